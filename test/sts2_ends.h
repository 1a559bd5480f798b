/* sts2_ends.h - an end of STS/2 for the tests: its keys, the peers it knows, and its session. */
#ifndef STS_TEST_STS2_ENDS_H
#define STS_TEST_STS2_ENDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sts2.h"
#include "vectors_sts2.h"

#define TIMEOUT_MS 30000
#define KEEPALIVE_MS 60000

struct end {
    struct sts2 s;
    struct noise_pair own;
    struct peer list[16];
    struct peers peers;
};

/* A copy in a block of its exact size: the sanitizer sees one byte too many. */
static inline uint8_t *block(struct bytes from)
{
    uint8_t *copy = malloc(from.len ? from.len : 1);

    assert_non_null(copy);
    if (from.len)
        memcpy(copy, from.p, from.len);
    return copy;
}

static inline void assert_bytes(struct bytes got, struct bytes want)
{
    assert_int_equal(got.len, want.len);
    if (want.len)
        assert_memory_equal(got.p, want.p, want.len);
}

static inline int peer_order(const void *a, const void *b)
{
    return memcmp(((const struct peer *)a)->key, ((const struct peer *)b)->key, 32);
}

/* The shared secrets are computed here, so that a dropped message changes not one byte. */
static inline void end_add_peer(struct end *e, struct bytes key, struct bytes psk)
{
    struct peer *p = &e->list[e->peers.count++];

    memset(p, 0, sizeof *p);
    memcpy(p->key, key.p, 32);
    memcpy(p->psk, psk.p, 32);
    assert_int_equal(peer_need_ss(p, e->own.private_key), 0);
    qsort(e->list, e->peers.count, sizeof e->list[0], peer_order);
}

static inline void end_keys(struct end *e, struct bytes own)
{
    memset(e, 0, sizeof *e);
    memcpy(e->own.private_key, own.p, 32);
    crypto_x25519_public(e->own.public_key, own.p);
    e->peers.list = e->list;
}

static inline void end_init(struct end *e, enum sts_mode mode, struct bytes own, struct bytes peer,
                            struct bytes psk, struct bytes pubtop)
{
    end_keys(e, own);
    end_add_peer(e, peer, psk);
    sts2_init(&e->s, &(struct sts_setup){mode, STS_CHACHAPOLY, pubtop, TIMEOUT_MS, KEEPALIVE_MS,
                                         &e->own, &e->peers});
}

/* Pulls what is due and holds it against `want`; the room is exact. */
static inline void end_pull(struct end *e, const struct sts2_fresh *fresh, struct bytes want,
                            uint64_t now_ms)
{
    uint8_t *out = malloc(want.len);
    struct wr w = wr_over(out, want.len);

    assert_int_equal(sts2_pull(&e->s, &w, fresh, now_ms), want.len);
    assert_bytes((struct bytes){out, want.len}, want);
    free(out);
}

#endif
