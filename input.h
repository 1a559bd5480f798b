/* input.h - what is to be sent: the argument of -s, all of standard input, or its lines. */
#ifndef STS_INPUT_H
#define STS_INPUT_H

#include "bytes.h"
#include "oneshot.h"

struct input {
    uint8_t *room;     /* of INPUT_ROOM_BYTES */
    size_t start, len; /* room[start..len-1] is not sent yet */
    bool lines;        /* a message a line; else all of it is one */
    bool end;          /* nothing more will come */
    bool taken;        /* the one message was */
};

#define INPUT_ROOM_BYTES sizeof((union oneshot_bytes *)0)->input

/* The text of -s MESSAGE, cut to one byte more than any message may have. */
void input_argument(struct input *in, const char *message);

/* Reads once. Returns 0, or errno. */
int input_read(struct input *in);

/* The next message, if it is there whole. A line is shown without its end. */
bool input_next(const struct input *in, struct bytes *message);

/* The message that input_next showed is dealt with. */
void input_take(struct input *in, struct bytes message);

/* Full without a whole message in it: it holds the start of one that is too long. */
bool input_too_long(const struct input *in, struct bytes *message);

/* Whether there is something to read for, and room. */
bool input_wants(const struct input *in);

/* Whether all there was is dealt with. */
bool input_done(const struct input *in);

/* Bytes of a line whose end has not come. */
size_t input_unfinished(const struct input *in);

#endif
