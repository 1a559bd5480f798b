/* link.h - the two directions of one STS/2 session: keys, counters, and the messages they carry
 * (RDYACK, ENC, KILL).
 *
 * Pure. Normative: doc/protocol.md, "Transport messages". */
#ifndef STS_LINK_H
#define STS_LINK_H

#include "bytes.h"
#include "noise.h"
#include "peers.h"
#include "sts_types.h"

/* Version, type and counter; together they are the associated data. */
#define LINK_HEAD_BYTES (2 + 8)
/* What a message has beside its text. */
#define LINK_BYTES (2 + 8 + 16)

struct link {
    struct peer *peer;
    uint64_t id;       /* of the INITREQ that began it */
    uint8_t topic[32]; /* SHA-256 of the topic that its messages come in on */
    uint8_t send_key[32], take_key[32];
    uint64_t send_next, take_next; /* counters */
};

/* What stands for a topic in struct link, because topics have no length worth reserving. */
/*@ requires view: \valid_read(topic.p + (0 .. topic.len - 1));
    requires output: \valid(hash + (0 .. 31));
    assigns hash[0 .. 31] \from indirect:topic;
    ensures filled: \initialized(hash + (0 .. 31)); */
void link_hash_topic(uint8_t hash[32], struct bytes topic);

/* Opens a message of at least LINK_BYTES in place; then, and only then, the counter moves.
 * STS_DROP_NONE: *lost is the number of messages that are missing before it. Otherwise nothing has
 * changed, and another link may be tried on the message. */
/*@ requires state: \valid(link) && \valid(lost) && \valid_read(topic_hash + (0 .. 31));
    requires size: message_len >= LINK_BYTES;
    requires message: \valid(message + (0 .. message_len - 1)) &&
                      \initialized(message + (0 .. message_len - 1)); */
enum sts_drop link_open(struct link *link, uint64_t *lost, const uint8_t topic_hash[32],
                        uint8_t *message, size_t message_len) __attribute__((warn_unused_result));

/* Whether a message can still be sent: counter 2^64-1 never is. */
bool link_can_send(const struct link *link);

/* Seals a message: LINK_BYTES and the text, which may already stand at LINK_HEAD_BYTES of the room.
 * STS_ERR_STATE: no counter is left; STS_ERR_ROOM. On an error nothing was written. */
/*@ requires state: \valid(link) && \valid(out);
    requires view: text.len == 0 || \valid_read(text.p + (0 .. text.len - 1));
    requires length: text.len <= MESSAGE_MAX_BYTES;
    ensures result: \result == 0 || \result == STS_ERR_STATE || \result == STS_ERR_ROOM; */
int link_seal(struct link *link, struct wr *out, enum sts_type type, struct bytes text)
    __attribute__((warn_unused_result));

#endif
