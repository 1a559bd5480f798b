/* world.h - keys, peers and a topic with any bytes in them, for the harnesses of STS/2. What they
 * call of noise.h and crypto.h is taken at its contract. */
#ifndef STS_PROVE_WORLD_H
#define STS_PROVE_WORLD_H

#include "peers.h"
#include "prove.h"
#include "sts2.h"

/* Around every size that a message of STS/2 can have, and around the longest text. */
#define SMALL_MAX (FIRST_BYTES + 8)
#define LARGE_MIN (LINK_BYTES + MESSAGE_MAX_BYTES - 1)
#define LARGE_MAX (FIRST_BYTES + MESSAGE_MAX_BYTES + 1)

struct world {
    struct noise_pair own;
    struct peer list[2];
    struct peers peers;
    uint8_t topic_bytes[8];
    struct bytes topic;
};

static void world_init(struct world *w)
{
    any_bytes(&w->own, sizeof w->own);
    any_bytes(w->list, sizeof w->list);
    for (int i = 0; i < 2; i++)
        w->list[i].has_ss = any_bool();
    w->peers.list = w->list;
    w->peers.count = any_size(2);
    any_bytes(w->topic_bytes, sizeof w->topic_bytes);
    w->topic.p = w->topic_bytes;
    w->topic.len = any_size(sizeof w->topic_bytes);
}

/* 0 to SMALL_MAX, and what is next to the two longest. */
static size_t any_message_len(void)
{
    switch (Frama_C_interval(0, 2)) {
    case 0:
        return any_size(SMALL_MAX);
    case 1:
        return LARGE_MIN + any_size(2);
    default:
        return LARGE_MAX - any_size(2);
    }
}

#endif
