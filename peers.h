/* peers.h - the keys that this end talks to.
 *
 * Pure: a table that the caller fills, sorted by key, and owns. A master or a sender has one peer
 * in it. Names are for people; the key is what counts. */
#ifndef STS_PEERS_H
#define STS_PEERS_H

#include "bytes.h"
#include "crypto.h"
#include "limits.h"

struct peer {
    uint8_t key[32]; /* public, X25519, not of low order, not our own */
    uint8_t psk[32]; /* zeros where none is configured */
    uint8_t ss[32];  /* X25519 of the two static keys, once it was needed: a secret */
    bool has_ss;
    uint64_t session_id; /* slave: id of the last confirmed session of this key; 0: none */
    char name[PEER_NAME_MAX_CHARS + 1];
};

struct peers {
    struct peer *list; /* in rising order of `key`, byte by byte */
    size_t count;
};

/* The peer of this key; NULL: there is none. A binary search. */
/*@ requires table: \valid_read(peers) && \valid_read(peers->list + (0 .. peers->count - 1));
    requires key: \valid_read(key + (0 .. 31)) && \initialized(key + (0 .. 31)); */
struct peer *peers_find(const struct peers *peers, const uint8_t key[32]);

/* Sees to it that peer->ss is there: computed at the first call, kept for the others.
 * CRYPTO_ERR_POINT: the peer's key is of low order. */
int peer_need_ss(struct peer *peer, const uint8_t own_private[32])
    __attribute__((warn_unused_result));

/* Wipes every secret in the table. */
void peers_wipe(struct peers *peers);

#endif
