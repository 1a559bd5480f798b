/* keys.h - the file of this end's private key.
 *
 * One line of base64, as `wg genkey` writes it; the newline may be missing, nothing else may be
 * there. A file that group or others may read or write is refused: the key is then not known to be
 * private. Every buffer that held a key is wiped. What is wrong is said in one log line. */
#ifndef STS_KEYS_H
#define STS_KEYS_H

#include "log.h"
#include "noise.h"

/* Reads the key pair. Returns 0, EX_NOINPUT (66) when the file cannot be read, EX_NOPERM (77) when
 * others may, EX_CONFIG (78) when it holds no private key; `own` is zero then. */
int keys_load(struct noise_pair *own, const char *file, struct log *log)
    __attribute__((warn_unused_result));

/* Makes a private key in `file`, or reads the one that is there, and prints the public key, one
 * line, on standard output. A new file has mode 0600 whatever the umask is, and it and its folder
 * are synced before anything is printed. A file that is there is never changed, and one that could
 * not be finished is removed. Returns as keys_load, EX_CANTCREAT (73), EX_IOERR (74: written or
 * printed it could not be), EX_OSERR (71: the kernel gives no random bytes). */
int keys_make(const char *file, struct log *log) __attribute__((warn_unused_result));

#endif
