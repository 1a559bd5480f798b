/* store_collector.c - see store.h: push windows. */
#include "store_private.h"

#include <assert.h>
#include <errno.h>
#include <sys/file.h>
#include <sysexits.h>

#include "files.h"

#define BLOCKS_AT_ONCE 8 /* read by one system call, on the stack */

static const uint8_t key_mark[STORE_MARK_BYTES] = {'i', 't', 's', ' ', 'k', 'e', 'y', '\n'};
static const uint8_t removed_mark[STORE_MARK_BYTES] = {'r', 'e', 'm', 'o', 'v', 'e', 'd', '\n'};

static_assert(STORE_MARK_BYTES + 32 + PUSH_WINDOW_BYTES <= STORE_BODY_BYTES,
              "a record is one block");
static_assert(PEERS_MAX <= STORE_RECORDS_MAX, "each peer can have a record");
static_assert(STORE_RECORDS_MAX <= UINT16_MAX, "struct store numbers blocks with 16 bits");

static int write_window(const struct store *store, uint32_t number, const uint8_t key[32],
                        const struct push_window *window)
{
    uint8_t block[STORE_BLOCK_BYTES] = {0};
    struct wr out = wr_over(block, STORE_BODY_BYTES);

    wr_put(&out, key_mark, sizeof key_mark);
    wr_put(&out, key, 32);
    push_window_write(window, &out);
    return store_write_block(store, number, block);
}

int store_lock(const struct store *store, int fd, const char *file)
{
    int err;

    do {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return EX_OK;
        err = errno;
    } while (err == EINTR);
    if (err == EWOULDBLOCK)
        log_error(store->log, "%s is in use by another collector", file);
    else
        log_cannot(store->log, "lock", file);
    return err == EWOULDBLOCK ? EX_TEMPFAIL : EX_IOERR;
}

static int bad_record(const struct store *store, uint32_t number, const char *what)
{
    log_error(store->log, "%s is damaged: record %u %s", store->file, (unsigned)number, what);
    return EX_CONFIG;
}

/* *key NULL: the record counts no more. */
static int read_record(const struct store *store, uint32_t number, const uint8_t *block,
                       const uint8_t **key, struct push_window *window)
{
    struct rd in = rd_over(block, STORE_BODY_BYTES);

    (void)rd_take(&in, STORE_MARK_BYTES);
    *key = NULL;
    if (memcmp(block, removed_mark, sizeof removed_mark) == 0)
        return EX_OK;
    if (!store_block_good(store, number, block))
        return bad_record(store, number, "has a wrong checksum");
    *key = rd_take(&in, 32);
    push_window_read(window, &in);
    if (in.bad || memcmp(block, key_mark, sizeof key_mark) != 0 || !store_rest_zero(&in))
        return bad_record(store, number, "is no push window");
    return EX_OK;
}

/* It is written though it may hold the id: the kernel shows, after a sync that failed, what the
 * disk has not got, and does not write it by itself. */
int store_take_again(struct store *store, uint32_t number, uint64_t id)
{
    uint8_t block[STORE_BLOCK_BYTES] = {0};
    struct push_window window;
    const uint8_t *key;
    int status;

    if (files_read_at(store->fd, block, sizeof block, store_offset(number)) < 0)
        return store_cannot_read(store);
    status = read_record(store, number, block, &key, &window);
    if (status != EX_OK || !key)
        return status;
    (void)!push_window_take(&window, id);
    return write_window(store, number, key, &window) == 0 ? EX_OK
                                                          : store_cannot_write(store, store->file);
}

static int take_record(struct store *store, struct push_window *windows, uint32_t number,
                       const uint8_t *block)
{
    struct push_window window;
    const struct peer *peer;
    const uint8_t *key;
    const int status = read_record(store, number, block, &key, &window);
    size_t index;

    if (status != EX_OK || !key)
        return status;
    peer = peers_find(store->peers, key);
    if (!peer)
        return EX_OK;
    index = (size_t)(peer - store->peers->list);
    if (store->block[index] != 0)
        return bad_record(store, number, "is of a key that has one already");
    store->block[index] = (uint16_t)number;
    windows[index] = window;
    return EX_OK;
}

static int take_records(struct store *store, struct push_window *windows)
{
    uint8_t blocks[BLOCKS_AT_ONCE * STORE_BLOCK_BYTES];
    uint32_t number = 1;
    int status = EX_OK;

    while (status == EX_OK && number <= store->records) {
        const uint32_t left = store->records - number + 1;
        const uint32_t count = left < BLOCKS_AT_ONCE ? left : BLOCKS_AT_ONCE;
        const ssize_t len = files_read_at(store->fd, blocks, (size_t)count * STORE_BLOCK_BYTES,
                                          store_offset(number));

        if (len < 0)
            return store_cannot_read(store);
        if ((size_t)len < (size_t)count * STORE_BLOCK_BYTES)
            return store_damaged(store, "it has become shorter");
        for (uint32_t i = 0; i < count && status == EX_OK; i++)
            status = take_record(store, windows, number++, blocks + (size_t)i * STORE_BLOCK_BYTES);
    }
    return status;
}

/* The records are synced before the header counts them. The windows of keys without one are still
 * as store_open_collector zeroed them: empty. */
static int add_records(struct store *store)
{
    const uint32_t before = store->records;

    for (size_t i = 0; i < store->peers->count; i++) {
        if (store->block[i] != 0)
            continue;
        if (store->records == STORE_RECORDS_MAX) {
            log_error(store->log, "%s is full: it remembers %u keys", store->file,
                      (unsigned)STORE_RECORDS_MAX);
            return EX_CONFIG;
        }
        store->block[i] = (uint16_t)++store->records;
        if (write_window(store, store->records, store->peers->list[i].key, &store->windows[i]) != 0)
            return store_cannot_write(store, store->file);
    }
    if (store->records == before)
        return EX_OK;
    if (files_sync(store->fd) != 0 || store_write_header(store, STORE_COLLECTOR) != 0 ||
        files_sync(store->fd) != 0)
        return store_cannot_write(store, store->file);
    return EX_OK;
}

int store_open_collector(struct store *store, const char *file, const char *out,
                         const uint8_t own_public[32], const struct peers *peers,
                         struct push_window *windows, struct log *log)
{
    int status = store_open_file(store, file, own_public, log);

    if (status != EX_OK)
        return status;
    if (peers->count > PEERS_MAX) { /* our bug: there is no room for it below */
        store_close(store);
        return EX_SOFTWARE;
    }
    store->peers = peers;
    store->windows = windows;
    store->out = out;
    store->out_fd = -1;
    memset(windows, 0, peers->count * sizeof *windows);
    status = store_lock(store, store->fd, file);
    if (status == EX_OK && out)
        status = store_out_open(store);
    if (status == EX_OK)
        status = store_read_or_begin(store, STORE_COLLECTOR);
    if (status == EX_OK)
        status = store_out_recover(store);
    if (status == EX_OK)
        status = take_records(store, windows);
    if (status == EX_OK)
        status = add_records(store);
    if (status == EX_OK && out)
        status = store_out_commit(store);
    if (status != EX_OK)
        store_close(store);
    return status;
}

void store_mark(struct store *store, size_t index, uint64_t id)
{
    store->marked[index / 64] |= UINT64_C(1) << index % 64;
    if (store->out)
        store_out_mark(store, store->block[index], id);
}

static int write_marked(struct store *store, size_t word, size_t *written)
{
    for (uint64_t left = store->marked[word]; left != 0; left &= left - 1) {
        const size_t index = word * 64 + (size_t)__builtin_ctzll(left);

        if (write_window(store, store->block[index], store->peers->list[index].key,
                         &store->windows[index]) != 0)
            return -1;
        ++*written;
    }
    return 0;
}

int store_sync(struct store *store)
{
    const size_t words = (store->peers->count + 63) / 64;
    size_t written = 0;

    /* The kernel tells of a failed sync once, and of the next one that all is well. */
    if (store->failed)
        return EX_IOERR;
    if (store->group > 0 && store_out_commit(store) != EX_OK)
        return EX_IOERR;
    for (size_t word = 0; word < words; word++)
        if (store->marked[word] && write_marked(store, word, &written) != 0)
            return store_cannot_write(store, store->file);
    if (written == 0)
        return EX_OK;
    /* What a commit says can wait for the sync of the next one. */
    if (!store->out && files_sync(store->fd) != 0)
        return store_cannot_write(store, store->file);
    memset(store->marked, 0, sizeof store->marked);
    return EX_OK;
}
