/* peers_file.h - the file of the devices that a slave or a collector knows.
 *
 * A line is `name public-key [psk]`, blanks and tabs between, keys in base64. A '#' at the start of
 * a line or behind a blank begins a comment. Names are 1 to PEER_NAME_MAX_CHARS bytes of printable
 * UTF-8. Each name and each key is there once. */
#ifndef STS_PEERS_FILE_H
#define STS_PEERS_FILE_H

#include "log.h"
#include "noise.h"
#include "peers.h"

#define PEERS_LINE_MAX_BYTES 512

/* Reads `file` into `list`, which has room for `list_size` peers, and sorts it for peers_find.
 * `peers` is the table then, and `list` stays the caller's. `own`: a line with its public key is an
 * error. Warns when the file holds a psk and can be read by others.
 * Returns 0, EX_NOINPUT (66), EX_CONFIG (78); what is wrong was said with the line then, `list` is
 * wiped and `peers` empty. A file without any device is an error. */
int peers_load(struct peers *peers, struct peer *list, size_t list_size, const char *file,
               const struct noise_pair *own, struct log *log) __attribute__((warn_unused_result));

#endif
