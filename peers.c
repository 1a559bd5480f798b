/* peers.c - see peers.h. */
#include "peers.h"

struct peer *peers_find(const struct peers *peers, const uint8_t key[32])
{
    size_t low = 0, high = peers->count;

    /* Public keys: how long this takes tells nothing that has to stay secret. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(key, peers->list[middle].key, 32);

        if (order == 0)
            return &peers->list[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

int peer_need_ss(struct peer *peer, const uint8_t own_private[32])
{
    int err = 0;

    if (!peer->has_ss) {
        err = crypto_x25519_shared(peer->ss, own_private, peer->key);
        peer->has_ss = err == 0;
    }
    return err;
}

void peers_wipe(struct peers *peers)
{
    crypto_wipe(peers->list, peers->count * sizeof peers->list[0]);
    peers->count = 0;
}
