/* keyring.h - what STS/2 needs beside the config: this end's key pair, the keys it talks to, and
 * the state file. Secrets live here and nowhere else for the length of a run. */
#ifndef STS_KEYRING_H
#define STS_KEYRING_H

#include "conf.h"
#include "log.h"
#include "noise.h"
#include "peers.h"
#include "push.h"
#include "spool.h"
#include "store.h"

struct keyring {
    struct peers peers;
    struct store store;
    struct noise_pair own;
    union {                                    /* a sender has no windows, a collector no spool */
        struct push_window windows[PEERS_MAX]; /* of the peer at the same place */
        struct spool spool;                    /* opened by spooler.h */
    };
    struct peer list[PEERS_MAX]; /* peers.list */
};

/* Reads the key file and the peers that `conf` names; nothing where the mode needs none. A copy of
 * the psk is taken; conf_wipe is next. Says what is wrong in one log line, and returns the exit
 * status (keys.h, peers_file.h); 0: all is there. */
int keyring_load(struct keyring *keyring, const struct conf *conf, struct log *log)
    __attribute__((warn_unused_result));

/* Then the state file; on its own, for signals_open has to come first. `alone`: other runs are kept
 * out of a sender's file (store_hold). Returns as store.h says. */
int keyring_open_state(struct keyring *keyring, const struct conf *conf, bool alone,
                       struct log *log) __attribute__((warn_unused_result));

/* Wipes every secret, also what its use has left on the stack, and closes the state file. */
void keyring_wipe(struct keyring *keyring);

#endif
