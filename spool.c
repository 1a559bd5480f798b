/* spool.c - see spool.h: the file, its header, locks, and what the callers ask for. */
#include "spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "files.h"

#define VERSION 1
#define BODY_BYTES (SPOOL_HEADER_BYTES - SPOOL_SUM_BYTES)

static const uint8_t magic[10] = "sts spool";

int spool_cannot(const struct spool *s, const char *what)
{
    log_error(s->log, "cannot %s %s: %s", what, s->file, strerror(errno));
    return EX_IOERR;
}

static int damaged(const struct spool *s, const char *what)
{
    log_error(s->log, "%s is damaged: %s", s->file, what);
    return EX_CONFIG;
}

/* ---- opening ---- */

static int cannot_open(const struct spool *s)
{
    const int err = errno;

    (void)spool_cannot(s, "open");
    return err == EISDIR ? EX_CONFIG : files_not_opened(err);
}

static int open_or_make(struct spool *s)
{
    s->fd = files_open(s->file, O_RDWR);
    if (s->fd < 0 && errno == ENOENT) {
        s->fd = files_make(s->file);
        if (s->fd >= 0 && files_sync_folder(s->file) == 0)
            return EX_OK;
        if (s->fd >= 0 || errno != EEXIST) {
            (void)spool_cannot(s, "make");
            return EX_CANTCREAT;
        }
        s->fd = files_open(s->file, O_RDWR); /* another run was faster */
    }
    return s->fd < 0 ? cannot_open(s) : EX_OK;
}

int spool_open(struct spool *s, const char *file, uint32_t size_max, struct log *log)
{
    int status;

    memset(s, 0, sizeof *s);
    s->file = file;
    s->log = log;
    s->size_max = size_max;
    status = open_or_make(s);
    if (status != EX_OK)
        spool_close(s);
    return status;
}

void spool_close(struct spool *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* ---- locks ---- */

/* Until the next look. */
static void know_nothing(struct spool *s)
{
    s->capacity = s->head = s->next = s->end = s->tail = s->head_synced = 0;
}

int spool_claim(struct spool *s)
{
    while (flock(s->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return EX_TEMPFAIL;
        if (errno != EINTR)
            return spool_cannot(s, "lock");
    }
    /* What was known counted only until now: the run before has removed what it has sent. */
    s->alone = true;
    know_nothing(s);
    return EX_OK;
}

static int set_lock(const struct spool *s, short type)
{
    struct flock whole = {.l_type = type, .l_whence = SEEK_SET};

    return fcntl(s->fd, F_SETLK, &whole);
}

/* Waits for other runs, but not for ever: signals and -w are not heard meanwhile. */
static int lock(struct spool *s)
{
    for (int tries = 0; set_lock(s, F_WRLCK) != 0; tries++) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return spool_cannot(s, "lock");
        if (tries == SPOOL_LOCK_TRIES || s->failed) {
            log_error(s->log, "%s is in use by another program", s->file);
            s->failed = true; /* nobody is waited for twice */
            return EX_IOERR;
        }
        (void)poll(NULL, 0, SPOOL_LOCK_WAIT_MS);
    }
    return EX_OK;
}

static void unlock(struct spool *s)
{
    s->open = false;
    (void)set_lock(s, F_UNLCK);
}

/* ---- the header ---- */

static uint64_t wanted_capacity(const struct spool *s)
{
    return s->size_max - SPOOL_HEADER_BYTES;
}

static int put_header(const struct spool *s, uint64_t capacity, uint64_t head)
{
    uint8_t block[SPOOL_HEADER_BYTES] = {0};
    struct wr out = wr_over(block, BODY_BYTES);

    wr_put(&out, magic, sizeof magic);
    wr_be16(&out, VERSION);
    wr_be64(&out, capacity);
    wr_be64(&out, head);
    wr_be64(&out, s->tail);
    wr_be64(&out, s->last_id);
    spool_sum(block + BODY_BYTES, block, BODY_BYTES);
    return files_write_at(s->fd, block, sizeof block, 0);
}

static bool is_right(const uint8_t block[SPOOL_HEADER_BYTES])
{
    uint8_t sum[SPOOL_SUM_BYTES];

    spool_sum(sum, block, BODY_BYTES);
    return memcmp(sum, block + BODY_BYTES, sizeof sum) == 0;
}

/* A file system that never overwrites refuses both writes when the disk is full: then there is still
 * the header that was there. */
static bool header_is_lost(const struct spool *s)
{
    uint8_t block[SPOOL_HEADER_BYTES] = {0};

    return put_header(s, s->capacity, s->head) != 0 &&
           (files_read_at(s->fd, block, sizeof block, 0) < 0 || !is_right(block));
}

static int change_header(struct spool *s, uint64_t capacity, uint64_t head)
{
    if (put_header(s, capacity, head) != 0) {
        (void)spool_cannot(s, "write");
        s->failed |= header_is_lost(s);
        return EX_IOERR;
    }
    s->capacity = capacity;
    s->head = head;
    return EX_OK;
}

/* Takes what the header says. Only this run moves the head of a spool that it has claimed, so
 * another head is that of another ring: somebody has emptied the file by hand. */
static int take_header(struct spool *s, uint64_t capacity, uint64_t head)
{
    if (capacity < SPOOL_MIN_BYTES - SPOOL_HEADER_BYTES ||
        capacity > SPOOL_MAX_BYTES - SPOOL_HEADER_BYTES || head > INT64_MAX)
        return damaged(s, "it cannot be that large");
    if (s->capacity == 0 || head != s->head)
        s->next = head;
    s->capacity = capacity;
    s->head = head;
    return EX_OK;
}

static int check_header(struct spool *s, const uint8_t block[SPOOL_HEADER_BYTES])
{
    struct rd in = rd_over(block, BODY_BYTES);
    const bool is_ours = rd_is(&in, magic, sizeof magic);
    const uint16_t version = rd_be16(&in);
    const uint64_t capacity = rd_be64(&in), head = rd_be64(&in);
    uint64_t last_id;

    if (!is_ours)
        return damaged(s, "it does not begin as a spool does");
    if (version != VERSION) {
        log_error(s->log, "%s is of another version of sts (%u)", s->file, version);
        return EX_CONFIG;
    }
    if (!is_right(block))
        return damaged(s, "its header has a wrong checksum");
    s->mark = rd_be64(&in);
    last_id = rd_be64(&in);
    if (last_id > s->last_id)
        s->last_id = last_id;
    return take_header(s, capacity, head);
}

/* A crash may leave a header of which only the beginning, or only the size, is in the file. What
 * begins otherwise is not ours, however short it is. */
static bool is_unfinished(const uint8_t block[SPOOL_HEADER_BYTES], size_t len)
{
    uint8_t all = 0;

    for (size_t i = 0; i < len; i++)
        all |= block[i];
    if (all == 0)
        return true;
    return len < SPOOL_HEADER_BYTES &&
           memcmp(block, magic, len < sizeof magic ? len : sizeof magic) == 0;
}

static void forget_all(struct spool *s)
{
    know_nothing(s);
    s->capacity = wanted_capacity(s);
    s->said = 0;
    s->fresh = true;
    s->unsynced = false;
}

static int drop_all(struct spool *s)
{
    if (files_cut(s->fd, 0) != 0)
        return spool_cannot(s, "cut");
    forget_all(s);
    return EX_OK;
}

static int read_header(struct spool *s, uint64_t size)
{
    uint8_t block[SPOOL_HEADER_BYTES] = {0};
    const ssize_t len = files_read_at(s->fd, block, sizeof block, 0);

    if (len < 0)
        return spool_cannot(s, "read");
    if (!is_unfinished(block, (size_t)len))
        return check_header(s, block);
    log_warn(s->log, "%s was begun and not written whole: its %llu bytes are cut off", s->file,
             (unsigned long long)size);
    return drop_all(s);
}

/* ---- looking ---- */

/* How long the file is; an empty one needs no further look. */
static int look_at_size(struct spool *s, uint64_t *size)
{
    struct stat status;

    if (fstat(s->fd, &status) != 0)
        return spool_cannot(s, "read");
    if (!S_ISREG(status.st_mode)) {
        log_error(s->log, "%s is not a file", s->file);
        return EX_CONFIG;
    }
    if (status.st_nlink == 0) {
        log_error(s->log, "%s was removed meanwhile", s->file);
        return EX_IOERR;
    }
    *size = (uint64_t)status.st_size;
    s->fresh = *size == 0;
    if (s->fresh)
        forget_all(s);
    return EX_OK;
}

/* With the lock. */
static int look(struct spool *s)
{
    uint64_t size;
    int status = look_at_size(s, &size);

    if (status == EX_OK && !s->fresh)
        status = read_header(s, size);
    if (status == EX_OK && !s->fresh)
        status = spool_walk(s, size);
    return status;
}

static int lock_and_look(struct spool *s)
{
    const bool first = s->capacity == 0;
    int status = lock(s);

    if (status != EX_OK)
        return status;
    status = look(s);
    if (status != EX_OK)
        unlock(s);
    if (status != EX_OK && first)
        know_nothing(s);
    return status;
}

/* That a spool is empty shows without the lock, and with it would be no truer a moment later. */
int spool_look(struct spool *s)
{
    uint64_t size;
    int status = look_at_size(s, &size);

    if (status != EX_OK || s->fresh)
        return status;
    status = lock_and_look(s);
    if (status == EX_OK)
        unlock(s);
    return status;
}

/* ---- appending ---- */

/* As long as no record lies where the ring is of another size, it can have the one that is wanted
 * now. */
static int fit_capacity(struct spool *s)
{
    const uint64_t wanted = wanted_capacity(s);

    if (s->capacity == wanted || s->end > s->capacity || s->end > wanted)
        return EX_OK;
    return change_header(s, wanted, s->head);
}

int spool_begin(struct spool *s, struct bytes topic, size_t payload_len, struct wr *payload)
{
    int status = s->failed ? EX_IOERR : lock_and_look(s);

    if (status != EX_OK)
        return status;
    status = fit_capacity(s);
    spool_put_record(s, topic, payload_len, payload);
    if (status == EX_OK && s->record_len > s->capacity - (s->end - s->head))
        status = EX_CANTCREAT;
    if (status != EX_OK)
        unlock(s);
    s->open = status == EX_OK;
    return status;
}

void spool_abandon(struct spool *s)
{
    unlock(s);
}

static int sync_file(struct spool *s)
{
    if (files_sync(s->fd) != 0) {
        s->failed = true;
        return spool_cannot(s, "sync");
    }
    s->head_synced = s->head;
    s->unsynced = false;
    return EX_OK;
}

/* A record of an older lap may be overwritten once the head that is behind it is on the disk. Where
 * another run has written that head, this one does not know when it was synced. */
static int sync_head(struct spool *s)
{
    if (s->end + s->record_len <= s->capacity + (s->alone ? s->head_synced : 0))
        return EX_OK;
    return sync_file(s);
}

/* Each header has a bookmark at the last record. That needs no sync: what is ahead of the records on
 * the disk is not believed. */
static int move_bookmark(struct spool *s)
{
    return s->end > s->mark + SPOOL_BOOKMARK_BYTES ? change_header(s, s->capacity, s->head) : EX_OK;
}

/* The header first: alone it is an empty spool. */
static int append(struct spool *s)
{
    if (sync_head(s) != EX_OK)
        return EX_IOERR;
    if (move_bookmark(s) != EX_OK)
        return EX_IOERR;
    if ((!s->fresh || put_header(s, s->capacity, 0) == 0) &&
        spool_ring(s, SPOOL_WRITE, s->record, s->record_len, s->end) == 0)
        return EX_OK;
    (void)spool_cannot(s, "write");
    s->failed |= (s->fresh ? files_cut(s->fd, 0) : spool_drop_end(s)) != 0;
    return EX_IOERR;
}

int spool_commit(struct spool *s, uint64_t id, uint64_t *position)
{
    int status;

    spool_finish_record(s, id);
    status = append(s);
    if (status == EX_OK) {
        *position = s->end;
        spool_extend(s, s->end, id, s->end + s->record_len);
        s->unsynced = true;
    }
    unlock(s);
    return status;
}

int spool_sync(struct spool *s)
{
    if (s->failed)
        return EX_IOERR;
    return s->unsynced ? sync_file(s) : EX_OK;
}

/* ---- sending ---- */

int spool_next(struct spool *s, struct spool_record *record)
{
    int status = spool_read_record(s, s->next, s->end, record);
    uint64_t found = s->next;
    bool known = true;

    if (status == EX_UNAVAILABLE) {
        status = spool_find_record(s, s->next + 1, s->end, UINT64_MAX, record);
        found = status == EX_OK ? record->position : s->end;
        if (status != EX_IOERR)
            known = spool_lost(s, s->next, found);
    }
    if (status == EX_IOERR)
        return status;
    s->next = status == EX_OK && known ? spool_behind(record) : found;
    return known ? status : EX_UNAVAILABLE;
}

int spool_remove(struct spool *s, uint64_t position)
{
    int status;

    if (position <= s->head)
        return EX_OK;
    status = lock_and_look(s);
    if (status != EX_OK)
        return status;
    if (position > s->head && position <= s->next)
        status = position == s->end ? drop_all(s) : change_header(s, s->capacity, position);
    unlock(s);
    return status;
}
