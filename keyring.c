/* keyring.c - see keyring.h. */
#include "keyring.h"

#include <string.h>
#include <sysexits.h>

#include "keys.h"
#include "peers_file.h"

/* A master, a sender, and a slave of one: the peer of the config is the whole table. */
static int take_one_peer(struct keyring *k, const struct conf *conf, struct log *log)
{
    struct peer *peer = &k->list[0];

    memset(peer, 0, sizeof *peer);
    memcpy(peer->key, conf->peer_key.bytes, sizeof peer->key);
    if (conf->psk_bytes.set)
        memcpy(peer->psk, conf->psk_bytes.bytes, sizeof peer->psk);
    memcpy(peer->name, "peer", sizeof "peer");
    k->peers = (struct peers){k->list, 1};
    if (memcmp(peer->key, k->own.public_key, sizeof peer->key) != 0)
        return EX_OK;
    log_error(log, "%s: peer: this end's own key; it has to be the other end's", conf->name);
    return EX_CONFIG;
}

static int load_peers(struct keyring *k, const struct conf *conf, struct log *log)
{
    if (!conf->peers.set)
        return take_one_peer(k, conf, log);
    return peers_load(&k->peers, k->list, PEERS_MAX, conf->peers.text, &k->own, log);
}

static int open_senders_store(struct keyring *k, const char *file, bool alone, struct log *log)
{
    const int status = store_open_sender(&k->store, file, k->own.public_key, log);

    return status == EX_OK && alone ? store_hold(&k->store) : status;
}

static int open_store(struct keyring *k, const struct conf *conf, bool alone, struct log *log)
{
    const char *file = conf->state.set ? conf->state.text : NULL;

    switch (conf->mode) {
    case STS_NOSEC:
    case STS_SLAVE:
        return EX_OK;
    case STS_MASTER:
    case STS_SENDER:
        return open_senders_store(k, file, alone, log);
    case STS_COLLECTOR:
        return store_open_collector(&k->store, file, conf->out.set ? conf->out.text : NULL,
                                    k->own.public_key, &k->peers, k->windows, log);
    }
    return EX_SOFTWARE;
}

int keyring_load(struct keyring *k, const struct conf *conf, struct log *log)
{
    int status = EX_OK;

    k->store.fd = -1;
    k->store.file = NULL;
    if (conf->cipher != STS_CHACHAPOLY)
        return EX_OK;
    status = keys_load(&k->own, conf->key.text, log);
    if (status == EX_OK)
        status = load_peers(k, conf, log);
    if (status != EX_OK)
        keyring_wipe(k);
    return status;
}

int keyring_open_state(struct keyring *k, const struct conf *conf, bool alone, struct log *log)
{
    const int status = conf->cipher == STS_CHACHAPOLY ? open_store(k, conf, alone, log) : EX_OK;

    if (status != EX_OK)
        keyring_wipe(k);
    return status;
}

void keyring_wipe(struct keyring *k)
{
    crypto_wipe(&k->own, sizeof k->own);
    peers_wipe(&k->peers);
    store_close(&k->store);
    crypto_wipe_stack();
}
