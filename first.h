/* first.h - the first message of STS/2: INITREQ and PUSH, which are the same but for their Noise
 * pattern and what follows the id. One function writes it, one reads it.
 *
 * Pure. Normative: doc/protocol.md, "STS/2". */
#ifndef STS_FIRST_H
#define STS_FIRST_H

#include "bytes.h"
#include "limits.h"
#include "noise.h"
#include "peers.h"
#include "sts_types.h"

#define STS2_VERSION 0x02

/* Version and type, e, sealed s; then the sealed id and data. */
#define FIRST_HEAD_BYTES (2 + 32 + 48)
#define FIRST_BYTES (2 + 32 + 48 + 8 + 16)

/* One that authenticated. It holds secrets: wipe it. */
struct first {
    struct noise noise;    /* after message 1 */
    uint8_t ephemeral[32]; /* public, of the initiator */
    struct peer *peer;     /* the initiator */
    uint64_t id;           /* 1..STS_ID_MAX; whether it is new is for the caller to say */
    struct bytes data;     /* a view into the payload */
};

/* Writes FIRST_BYTES and the data (which may already stand at FIRST_HEAD_BYTES + 8 of the room), to
 * be published on `topic`. `type`: STS_INITREQ or STS_PUSH. `noise` is what the handshake goes on
 * with; wipe it. STS_ERR_ID; STS_ERR_LONG (MESSAGE_MAX_BYTES); STS_ERR_ROOM; STS_ERR_CRYPTO: the
 * peer's key is of low order. On an error nothing was written. */
/*@ requires state: \valid(out) && \valid(noise) && \valid(peer) && \valid_read(own);
    requires inputs: \valid_read(ephemeral + (0 .. 31));
    requires views: \valid_read(topic.p + (0 .. topic.len - 1)) &&
                    (data.len == 0 || \valid_read(data.p + (0 .. data.len - 1))); */
int first_write(struct wr *out, struct noise *noise, enum sts_type type,
                const struct noise_pair *own, struct peer *peer, const uint8_t ephemeral[32],
                uint64_t id, struct bytes topic, struct bytes data)
    __attribute__((warn_unused_result));

/* Reads a payload that came in on `topic`; deciphers it in place. STS_DROP_NONE: *first is filled.
 * Otherwise *first is zero, and the payload as it was; but for STS_DROP_ID, which is authentic. */
/*@ requires state: \valid(first) && \valid_read(own) && \valid_read(peers);
    requires message: \valid(payload + (0 .. payload_len - 1)) &&
                      \initialized(payload + (0 .. payload_len - 1));
    requires view: \valid_read(topic.p + (0 .. topic.len - 1));
    ensures id: \result == STS_DROP_NONE ==> 1 <= first->id <= STS_ID_MAX; */
enum sts_drop first_read(struct first *first, enum sts_type type, uint8_t *payload,
                         size_t payload_len, struct bytes topic, const struct noise_pair *own,
                         const struct peers *peers) __attribute__((warn_unused_result));

#endif
