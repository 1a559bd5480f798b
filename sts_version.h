/* sts_version.h - between sts.c and the state machine of each version of the protocol; for nobody
 * else.
 *
 * A version owns the steps, what the messages hold, and its part of struct sts; sts.c owns the
 * outbox and picks the version. */
#ifndef STS_STS_VERSION_H
#define STS_STS_VERSION_H

#include "sts.h"

/* One version of the protocol: what sts.h says of the functions of these names. */
struct sts_version {
    int (*start)(struct sts *s, uint64_t now_ms);
    enum sts_event (*take)(struct sts *s, struct bytes *text, uint8_t *payload, size_t payload_len,
                           uint64_t now_ms);
    /* Writes the message that is first in the outbox, and takes it out; 0: it may not leave yet. */
    int (*pull)(struct sts *s, struct wr *out, uint64_t now_ms);
    bool (*ready)(const struct sts *s, uint64_t now_ms);
    size_t (*text_max)(const struct sts *s);
    size_t (*sealed_size)(const struct sts *s, size_t text_len);
    int (*seal)(struct sts *s, struct wr *out, struct bytes text, uint64_t now_ms);
    void (*stop)(struct sts *s);
    uint64_t (*deadline)(const struct sts *s);
    enum sts_event (*tick)(struct sts *s, uint64_t now_ms);
    void (*wipe)(struct sts *s);
};

/* Puts a message behind those that wait to leave; one that waits already keeps its place. */
void sts_post(struct sts *s, enum sts_type type);

bool sts_posted(const struct sts *s, enum sts_type type);

/* The first message of the outbox has left. */
void sts_unpost(struct sts *s);

#endif
