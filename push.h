/* push.h - STS/2 pushes: one self-contained sealed message each, and what a collector remembers to
 * take none twice.
 *
 * Pure: no I/O, no clock, no randomness. Normative: doc/protocol.md, "Pushes". */
#ifndef STS_PUSH_H
#define STS_PUSH_H

#include "bytes.h"
#include "first.h"
#include "limits.h"

/* A push that authenticated. */
struct push {
    struct peer *sender;
    uint64_t id;
    struct bytes data; /* a view into the payload */
};

/* Seals one push for `collector`: FIRST_BYTES and the data, which may already stand at
 * FIRST_HEAD_BYTES + 8 of the room. `ephemeral`: made by noise_ephemeral for this push, and wiped
 * by the caller. `id` was synced to the state file before. `topic`: that the push is published on.
 * STS_ERR_ID; STS_ERR_LONG (MESSAGE_MAX_BYTES); STS_ERR_ROOM; STS_ERR_CRYPTO: the collector's key
 * is of low order. On an error nothing was written. */
/*@ requires state: \valid(out) && \valid_read(own) && \valid(collector);
    requires inputs: \valid_read(ephemeral + (0 .. 31));
    requires views: \valid_read(topic.p + (0 .. topic.len - 1)) &&
                    \valid_read(data.p + (0 .. data.len - 1));
    ensures nothing: \result != 0 ==> out->p == \old(out->p); */
int push_seal(struct wr *out, const struct noise_pair *own, struct peer *collector,
              const uint8_t ephemeral[32], uint64_t id, struct bytes topic, struct bytes data)
    __attribute__((warn_unused_result));

/* Opens a payload that came in on `topic`, in place. STS_DROP_NONE: *push is filled, and it is for
 * push_window_take to say whether it is new. Otherwise nothing has changed. */
/*@ requires state: \valid(push) && \valid_read(own) && \valid_read(peers);
    requires message: \valid(payload + (0 .. payload_len - 1)) &&
                      \initialized(payload + (0 .. payload_len - 1));
    requires view: \valid_read(topic.p + (0 .. topic.len - 1)); */
enum sts_drop push_open(struct push *push, uint8_t *payload, size_t payload_len, struct bytes topic,
                        const struct noise_pair *own, const struct peers *peers)
    __attribute__((warn_unused_result));

/* The ids that one key has used: the highest ones, and a floor under them. All zero: none yet. */
struct push_window {
    uint64_t floor;
    uint64_t ids[PUSH_WINDOW_IDS]; /* falling; zeros where there are fewer */
};

#define PUSH_WINDOW_BYTES (8 + 8 * PUSH_WINDOW_IDS)

/* Remembers `id`; false: it is a replay (or no id at all), and nothing has changed. */
/*@ requires state: \valid(window) && \initialized(window);
    assigns \result, *window \from *window, id; */
bool push_window_take(struct push_window *window, uint64_t id) __attribute__((warn_unused_result));

/* The window as PUSH_WINDOW_BYTES of a state file. Reading makes `in` bad when the bytes are no
 * window that push_window_take can have made; the window is all zero then. */
/*@ requires state: \valid_read(window) && \initialized(window) && \valid(out); */
void push_window_write(const struct push_window *window, struct wr *out);
/*@ requires state: \valid(window) && \valid(in);
    ensures filled: \initialized(window); */
void push_window_read(struct push_window *window, struct rd *in);

#endif
