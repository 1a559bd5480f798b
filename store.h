/* store.h - the `state` file: what has to outlive a run so that no push or handshake counts twice.
 *
 * A sender's file holds the last id that its key may have used; a collector's file a push window
 * for each key. doc/protocol.md, "id" and "Pushes", is normative. The file is a header and records
 * of 512 bytes each, written in place and aligned, so that a crash leaves each of them as it was or
 * as it was to be. Each has a checksum; a file that is damaged, of another version, kind or key is
 * refused and named, never repaired by guessing. An empty file is one that was not yet begun.
 *
 * Layout, integers big endian. The checksum is the first 16 bytes of SHA-256 over the own public
 * key, the number of the block (4 bytes; the header is 0) and the 496 bytes before it. CRC-32 would
 * be more code, where SHA-256 is linked anyway, and would miss one damaged block in 2^32.
 *
 *   header     "sts state" 0x00, version (2) = 1, kind (2): 1 sender, 2 collector, records (4),
 *              own public key (32), zeros (446), checksum (16)
 *   sender     "last id" 0x0a, id (8), zeros (480), checksum (16)
 *   collector  "its key" 0x0a, public key (32), window (PUSH_WINDOW_BYTES), zeros, checksum (16)
 *   commit     "out len" 0x0a, sequence (8), length of the output file (8), the first 8 bytes of
 *              SHA-256 over its inode (8) and its last 256 bytes, readings (2), of each of them the
 *              number of its key's record (2) and its id (8); zeros, checksum (16)
 *
 * A collector with an output file has two commit blocks behind its records; store_out.c says how
 * they make file and windows one. What else is behind the records means nothing.
 *
 * A collector's record whose first 8 bytes are overwritten by "removed" 0x0a counts no more: so the
 * owner of a file lets in a key again that a wild clock has locked out.
 *
 * One thread. What fails is said in one log line; the function returns a status of sysexits.h. */
#ifndef STS_STORE_H
#define STS_STORE_H

#include <sys/types.h>

#include "log.h"
#include "peers.h"
#include "push.h"

#define STORE_BLOCK_BYTES 512
#define STORE_RECORDS_MAX 65535 /* keys that a collector's file remembers, gone ones too */

/* Readings that one commit block has room for. */
#define STORE_COMMIT_HEAD_BYTES (8 + 8 + 8 + 8 + 2)
#define STORE_COMMIT_ENTRY_BYTES (2 + 8)
#define STORE_GROUP_MAX \
    ((STORE_BLOCK_BYTES - 16 - STORE_COMMIT_HEAD_BYTES) / STORE_COMMIT_ENTRY_BYTES)

struct store {
    const char *file; /* NULL: none is configured (senders) */
    struct log *log;
    int fd;
    bool failed; /* a write or a sync failed: the file is not trusted any more */
    uint32_t records;
    /* a sender */
    uint64_t last;   /* id drawn last in this run */
    uint64_t synced; /* ids up to this one are this run's; 0: none are */
    bool held;       /* store_hold: nobody else draws meanwhile */
    /* a collector */
    const struct peers *peers;
    const struct push_window *windows;
    /* its output file */
    const char *out; /* NULL: none */
    int out_fd;
    off_t out_len;     /* nothing below it is cut off any more */
    uint64_t sequence; /* of the commit block written last */
    unsigned group;    /* readings in the next one */

    /* What is large stands last: code reaches the rest with shorter instructions. */
    uint8_t own_public[32];
    uint8_t commit[STORE_BLOCK_BYTES]; /* the one written last, as far as it is known */
    uint64_t marked[(PEERS_MAX + 63) / 64];
    uint16_t block[PEERS_MAX]; /* where the record of a peer is; 0: nowhere */
};

/* Opens the file of a master or a sender, and makes it (mode 0600, synced, its folder too) if it is
 * not there or empty. `file` NULL: none is configured. `file` and `log` are kept by reference.
 * Returns 0; EX_CONFIG (78) damaged, or of another version, kind or key; EX_CANTCREAT (73);
 * EX_NOINPUT (66), EX_NOPERM (77) cannot be opened or read; EX_IOERR (74) cannot be written. */
int store_open_sender(struct store *store, const char *file, const uint8_t own_public[32],
                      struct log *log) __attribute__((warn_unused_result));

/* Keeps the file for this run alone until store_close, and does nothing where there is none. For a
 * run that has many messages in flight: ids of another one, drawn later and arriving earlier, would
 * lift the collector's window over them. Returns 0; EX_TEMPFAIL another program has the file;
 * EX_CONFIG, EX_IOERR as above. */
int store_hold(struct store *store) __attribute__((warn_unused_result));

/* Draws the next id: the larger of the last id + 1 and `clock_us` (microseconds since 1970). The
 * file says `id + ahead` and is synced before this returns; ids up to that one are then drawn
 * without a sync, for as long as no other run draws. A run that ends leaves a gap of at most
 * `ahead`. Overlapping runs never draw the same id, and each id is above all drawn before.
 * Without a file the clock has to be set (not before 2024): EX_TEMPFAIL (75).
 * Returns 0; EX_CONFIG damaged meanwhile, or there is no id left; EX_IOERR cannot be written, now
 * or at an earlier call; EX_TEMPFAIL another program holds the file. */
int store_draw_id(struct store *store, uint64_t clock_us, uint64_t ahead, uint64_t *id)
    __attribute__((warn_unused_result));

/* Opens the file of a collector, or makes it as above, for this process alone until store_close.
 * Fills `windows`, one for each of `peers->list` at the same place; keys that the file does not
 * know get a record, synced, so a full disk shows here and not at the first push. Records of keys
 * that are not in `peers` stay as they are. All pointers are kept by reference.
 *
 * `out`: the output file, or NULL. It is made where it is not there, and belongs to this process,
 * too. What a run before appended and did not live to remember is cut off: it comes again. A file
 * that is another one than then, or shorter (moved away, emptied), is never cut.
 * Returns as store_open_sender, and EX_TEMPFAIL (75): another collector has one of the files. */
int store_open_collector(struct store *store, const char *file, const char *out,
                         const uint8_t own_public[32], const struct peers *peers,
                         struct push_window *windows, struct log *log)
    __attribute__((warn_unused_result));

/* Appends to the output file. Returns 0, or -1 and errno; the file may end with a part then. */
int store_append(struct store *store, const void *from, size_t len)
    __attribute__((warn_unused_result));

/* The window of peers->list[index] has changed: it took `id`. */
void store_mark(struct store *store, size_t index, uint64_t id);

/* Whether store_sync has to come before the next store_mark. */
static inline bool store_group_full(const struct store *store)
{
    return store->group == STORE_GROUP_MAX;
}

/* Writes the records of all windows marked since, and syncs once; does nothing when there are none.
 * With an output file, whole readings stand in it now, those that were marked: from here on it has
 * them, whatever crashes. Only then may their messages be acknowledged. EX_IOERR (74): nothing that
 * was marked may be, now or later in this run. */
int store_sync(struct store *store) __attribute__((warn_unused_result));

/* Closes what is open; a second time does nothing. What is marked and not synced is not written,
 * and what was appended since is cut off. */
void store_close(struct store *store);

#endif
