/* input.c - see input.h. */
#include "input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void input_argument(struct input *in, const char *message)
{
    const size_t len = strlen(message);

    in->len = len < INPUT_ROOM_BYTES ? len : INPUT_ROOM_BYTES;
    memcpy(in->room, message, in->len);
    in->end = true;
}

int input_read(struct input *in)
{
    if (in->start > 0) {
        memmove(in->room, in->room + in->start, in->len - in->start);
        in->len -= in->start;
        in->start = 0;
    }
    const ssize_t n = read(STDIN_FILENO, in->room + in->len, INPUT_ROOM_BYTES - in->len);
    if (n > 0)
        in->len += (size_t)n;
    else if (n == 0)
        in->end = true;
    else if (errno != EINTR && errno != EAGAIN)
        return errno;
    return 0;
}

static const uint8_t *end_of_line(const struct input *in)
{
    const size_t left = in->len - in->start;

    return in->lines && left > 0 ? memchr(in->room + in->start, '\n', left) : NULL;
}

bool input_next(const struct input *in, struct bytes *message)
{
    const uint8_t *at = in->room + in->start;
    const size_t left = in->len - in->start;
    const uint8_t *end = end_of_line(in);

    *message = (struct bytes){at, end ? (size_t)(end - at) : left};
    return end || (in->end && !in->taken && (left > 0 || !in->lines));
}

void input_take(struct input *in, struct bytes message)
{
    in->start += message.len + (end_of_line(in) ? 1 : 0);
    in->taken = !in->lines;
}

bool input_too_long(const struct input *in, struct bytes *message)
{
    *message = (struct bytes){in->room, in->len};
    return in->start == 0 && in->len == INPUT_ROOM_BYTES && !end_of_line(in);
}

bool input_wants(const struct input *in)
{
    struct bytes message;

    return !in->end && !input_too_long(in, &message) && !input_next(in, &message);
}

bool input_done(const struct input *in)
{
    return in->lines ? in->end && in->start == in->len : in->taken;
}

size_t input_unfinished(const struct input *in)
{
    return in->lines && !in->end && !end_of_line(in) ? in->len - in->start : 0;
}
