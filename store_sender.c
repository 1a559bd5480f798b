/* store_sender.c - see store.h: ids. */
#include "store_private.h"

#include <errno.h>
#include <poll.h>
#include <sys/file.h>
#include <sysexits.h>

#include "files.h"

#define CLOCK_MIN_US UINT64_C(1704067200000000) /* 2024-01-01T00:00:00Z */

/* flock has failed, with errno: the lock is held, by a sender for the time of a write, by a
 * collector for ever, or by somebody else. 0: it is worth while to wait. */
static int who_holds(const struct store *store, int tries)
{
    if (errno != EWOULDBLOCK && errno != EINTR) {
        log_cannot(store->log, "lock", store->file);
        return EX_IOERR;
    }
    if (tries == 0 && store_is_collectors(store)) {
        log_error(store->log, "%s is not the state of a sender", store->file);
        return EX_CONFIG;
    }
    if (tries < STORE_LOCK_TRIES)
        return EX_OK;
    log_error(store->log, "%s is in use by another program", store->file);
    return EX_TEMPFAIL;
}

/* Waits for other senders, but not for ever: signals and -w are not heard meanwhile. */
static int lock(const struct store *store)
{
    for (int tries = 0; flock(store->fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        const int status = who_holds(store, tries);
        if (status != EX_OK)
            return status;
        (void)poll(NULL, 0, STORE_LOCK_WAIT_MS);
    }
    return EX_OK;
}

int store_open_sender(struct store *store, const char *file, const uint8_t own_public[32],
                      struct log *log)
{
    uint64_t last;
    int status = store_open_file(store, file, own_public, log);

    if (!file || status != EX_OK)
        return status;
    store->records = 1;
    if (store_is_senders(store))
        return EX_OK; /* what it says is read when an id is drawn, with the lock */
    status = lock(store);
    if (status == EX_OK)
        status = store_read_or_begin(store, STORE_SENDER);
    if (status == EX_OK)
        status = store_read_last(store, &last);
    if (status != EX_OK)
        store_close(store);
    else
        (void)flock(store->fd, LOCK_UN);
    return status;
}

/* `last`: no id up to it may be drawn any more. */
static int next_id(const struct store *store, uint64_t last, uint64_t clock_us, uint64_t *id)
{
    if (last >= STS_ID_MAX || clock_us > STS_ID_MAX) {
        log_error(store->log, "there is no id left: the clock is, or was, far in the future");
        return EX_CONFIG;
    }
    *id = clock_us > last ? clock_us : last + 1;
    return EX_OK;
}

static int draw_without_file(struct store *store, uint64_t clock_us, uint64_t *id)
{
    int status;

    if (clock_us < CLOCK_MIN_US) {
        log_error(store->log, "the clock is not set (before 2024): set it, or configure a state");
        return EX_TEMPFAIL;
    }
    status = next_id(store, store->last, clock_us, id);
    if (status == EX_OK)
        store->last = *id;
    return status;
}

static int write_last(struct store *store, uint64_t last)
{
    uint8_t block[STORE_BLOCK_BYTES];

    store_put_sender(block, last);
    store->synced = 0;
    if (store_write_block(store, 1, block) != 0 || files_sync(store->fd) != 0)
        return store_cannot_write(store, store->file);
    store->synced = last;
    return EX_OK;
}

/* The file is locked, so what it says is above all that any run has drawn. As long as that is what
 * this run has written, the ids up to it are this run's alone. */
static int draw_locked(struct store *store, uint64_t clock_us, uint64_t ahead, uint64_t *id)
{
    uint64_t in_file = store->synced;
    int status = store->held && store->synced != 0 ? EX_OK : store_read_last(store, &in_file);
    const bool ours = store->synced != 0 && in_file == store->synced;

    if (status == EX_OK)
        status = next_id(store, ours ? store->last : in_file, clock_us, id);
    if (status == EX_OK && (!ours || *id > store->synced))
        status = write_last(store, ahead < STS_ID_MAX - *id ? *id + ahead : STS_ID_MAX);
    if (status == EX_OK)
        store->last = *id;
    return status;
}

int store_hold(struct store *store)
{
    int status;

    if (!store->file)
        return EX_OK;
    status = lock(store);
    store->held = status == EX_OK;
    return status;
}

int store_draw_id(struct store *store, uint64_t clock_us, uint64_t ahead, uint64_t *id)
{
    int status;

    *id = 0;
    if (!store->file)
        return draw_without_file(store, clock_us, id);
    if (store->failed)
        return EX_IOERR;
    status = store->held ? EX_OK : lock(store);
    if (status != EX_OK)
        return status;
    status = draw_locked(store, clock_us, ahead, id);
    if (!store->held)
        (void)flock(store->fd, LOCK_UN);
    if (status != EX_OK)
        *id = 0;
    return status;
}
