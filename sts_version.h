/* sts_version.h - between sts.c and each version of the protocol; for nobody else.
 *
 * A version owns the steps, what the messages hold, and its part of struct sts; sts.c picks the
 * version, and counts. What only STS/2 has is not in the table. */
#ifndef STS_STS_VERSION_H
#define STS_STS_VERSION_H

#include "sts.h"

/* One version of the protocol: what sts.h says of the functions of these names. */
struct sts_version {
    void (*init)(struct sts *s);
    int (*start)(struct sts *s, uint64_t now_ms);
    void (*take)(struct sts *s, struct sts_news *news, struct bytes topic, uint8_t *payload,
                 size_t payload_len, uint64_t now_ms);
    int (*pull)(struct sts *s, struct wr *out, uint64_t id, uint64_t now_ms);
    bool (*ready)(const struct sts *s, uint64_t now_ms);
    size_t (*text_max)(const struct sts *s);
    size_t (*sealed_size)(const struct sts *s, size_t text_len);
    int (*seal)(struct sts *s, struct wr *out, struct bytes text, uint64_t now_ms);
    void (*stop)(struct sts *s, uint64_t now_ms);
    enum sts_stage (*stage)(const struct sts *s);
    uint64_t (*deadline)(const struct sts *s);
    enum sts_event (*tick)(struct sts *s, uint64_t now_ms);
    void (*wipe)(struct sts *s);
};

#endif
