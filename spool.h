/* spool.h - the `spool` file: sealed pushes that wait for the broker, so that what could not be
 * sent outlives the run, the process and the power.
 *
 * It holds what a broker would get to see anyway, and never plaintext. It is a ring in a file:
 * appending and removing move nothing, so flash is written once for each push that waits.
 * Positions count bytes from when the ring was begun and never wrap; the byte at position p is at
 * offset SPOOL_HEADER_BYTES + p % capacity. Integers are big endian; each checksum is the first 16
 * bytes of SHA-256 over all that stands before it in its block or record.
 *
 *   header   "sts spool" 0x00, version (2) = 1, capacity (8), head (8), bookmark (8), highest id (8),
 *            zeros, checksum (16)
 *   record   "push", its own position (8), id (8), length of the topic (2), of the payload (4),
 *            topic, payload, checksum (16)
 *
 * `head` is where the oldest record begins that is not known to be acknowledged. What it says may
 * be old: then pushes are sent again, and the collector drops them by their ids. Behind the last
 * whole record the spool ends. What a crash left unfinished there was promised to nobody: it is cut
 * off and named. Damage with good records behind it is passed over, named as an error, and noted in
 * `damaged`. An empty file is an empty spool, and one that has been emptied becomes that again.
 *
 * `bookmark` is where a record begins, so that a run need not read all that waits to find the end:
 * the last record when the header was written, which is at the latest when the next one would begin
 * more than SPOOL_BOOKMARK_BYTES behind. No record up to it has an id above `highest id`. It is a
 * hint: where no whole record stands there, or one with a higher id, the head is where a run begins.
 * Zeros are none, as in files of before there were any. What is damaged before the bookmark only the
 * run that sends finds out.
 *
 * The locks are gone with the process that held them. flock(2), spool_claim: one run at a time
 * sends what is here and removes it. A record lock (fcntl(2)), inside the other functions, for as
 * long as a write takes: any run may append meanwhile. On a local file system only.
 *
 * One thread. What fails is said in one log line; the functions return a status of sysexits.h. */
#ifndef STS_SPOOL_H
#define STS_SPOOL_H

#include <stdbool.h>

#include "bytes.h"
#include "limits.h"
#include "log.h"

struct spool {
    const char *file;
    struct log *log;
    int fd;                 /* -1: not open, and nothing below counts */
    uint32_t size_max;      /* bytes that the file may have */
    bool alone;             /* spool_claim: this run sends */
    bool failed;            /* a write, a sync or a lock failed: no more is appended */
    bool damaged;           /* records were lost to damage */
    bool unsynced;          /* something was appended since the last sync */
    bool open;              /* between spool_begin and spool_commit or spool_abandon */
    bool fresh;             /* the file is empty: it has no header yet */
    uint64_t capacity;      /* of the ring, bytes */
    uint64_t head;          /* position of the oldest record; the spool is empty at `end` */
    uint64_t next;          /* ... of the one that spool_next reads next */
    uint64_t end;           /* ... behind the last whole record that this run knows of */
    uint64_t last_id;       /* no id in it is higher, as far as this run knows; 0: none */
    uint64_t tail, tail_id; /* the record that ends at `end`: its position, its id */
    uint64_t mark;          /* the bookmark, where a record begins */
    uint64_t head_synced;   /* the head on the disk is this or a later one; if `alone` */
    uint64_t said;          /* damage before this position was said */
    size_t record_len;      /* of the record that is open */
    uint8_t record[SPOOL_RECORD_MAX_BYTES];
};

/* A record, until the next call on the spool. */
struct spool_record {
    uint64_t position; /* where it begins */
    uint64_t id;
    struct bytes topic, payload;
};

/* Opens the file, and makes it (mode 0600, empty, its folder synced) where it is not there, so that
 * a spool which cannot be written shows before it is needed. Reads nothing yet. `file` and `log`
 * are kept by reference. Returns 0; EX_CANTCREAT (73) cannot be made; EX_NOPERM (77), EX_NOINPUT
 * (66) cannot be opened; EX_CONFIG (78) a folder. After an error s->fd is -1. */
int spool_open(struct spool *s, const char *file, uint32_t size_max, struct log *log)
    __attribute__((warn_unused_result));

/* Tries to become the one run that sends from the spool, until spool_close. Does not wait and says
 * nothing when it is taken: EX_TEMPFAIL (75). EX_IOERR (74) cannot be locked; said. */
int spool_claim(struct spool *s) __attribute__((warn_unused_result));

/* Learns what is in the file: at first where it ends, then what other runs have appended. Cuts off
 * an unfinished end. Sets head and next the first time, end and last_id each time. Returns 0;
 * EX_CONFIG (78) it is no plain file, or its header is damaged or of another version: nothing was
 * touched; EX_IOERR (74) cannot be read, cut or locked, or was removed. */
int spool_look(struct spool *s) __attribute__((warn_unused_result));

/* Begins a record: takes the lock, looks, makes sure of the room, and points `payload` at the
 * `payload_len` bytes (PAYLOAD_MAX_BYTES at most) that the caller has to fill. An id that is
 * drawn between this and spool_commit has to be above s->last_id: so records stand in the order of
 * their ids, but for what was in flight when it was drawn, and is appended later. `topic` is copied
 * (CONF_VALUE_MAX_CHARS at most). Returns as spool_look, and EX_CANTCREAT (73): there is no room
 * for it; not said. After an error nothing is open. */
int spool_begin(struct spool *s, struct bytes topic, size_t payload_len, struct wr *payload)
    __attribute__((warn_unused_result));

/* Appends the record, not synced, and gives its position in *position; or forgets it. EX_IOERR
 * (74): it is not in the spool, and said; ENOSPC is one such, and leaves the spool as it was. */
int spool_commit(struct spool *s, uint64_t id, uint64_t *position)
    __attribute__((warn_unused_result));
void spool_abandon(struct spool *s);

/* Syncs what was appended; does nothing where nothing was. EX_IOERR (74), now and ever after. */
int spool_sync(struct spool *s) __attribute__((warn_unused_result));

/* Whether spool_next has something, as far as this run knows. */
static inline bool spool_has_next(const struct spool *s)
{
    return s->fd >= 0 && s->next != s->end;
}

/* Whether something waits, sent or not. */
static inline bool spool_in_use(const struct spool *s)
{
    return s->fd >= 0 && s->head != s->end;
}

/* Reads the record at s->next and moves on; only where spool_has_next, and for the run that has
 * claimed the spool. EX_UNAVAILABLE (69): it was damaged meanwhile, which is said, noted and passed
 * over. EX_IOERR (74) cannot be read. */
int spool_next(struct spool *s, struct spool_record *record) __attribute__((warn_unused_result));

/* What is before `position` is acknowledged: removes it. Makes the file empty again when nothing is
 * left. Not synced: what comes back after a power cut is sent once more. Only for the run that has
 * claimed the spool. EX_IOERR (74). */
int spool_remove(struct spool *s, uint64_t position) __attribute__((warn_unused_result));

/* Closes the file, which gives back the locks; a second time does nothing. Syncs nothing. */
void spool_close(struct spool *s);

#endif
