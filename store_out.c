/* store_out.c - see store.h: the output file of a collector.
 *
 * Readings are appended, and their ids noted: a group. To commit it: sync the output file; write a
 * commit block, which says how long that file is now and which ids are the group's; sync. Then the
 * group's windows are written in place, and the acknowledgements may leave. Those windows are not
 * synced before the next commit is: until then the block stands in for them. So there are two
 * blocks, written in turns; a commit overwrites the one whose windows the last commit has synced.
 *
 * A start finds the newer block: what the output file has beyond that length was never acknowledged
 * and is cut off, and what is in a block and not in the windows is taken into them. */
#include "store_private.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "files.h"

#define TAIL_BYTES 256 /* with -j, more than a reading and its id */
#define MARK_BYTES 8

static const uint8_t commit_mark[STORE_MARK_BYTES] = {'o', 'u', 't', ' ', 'l', 'e', 'n', '\n'};

static_assert(STORE_COMMIT_HEAD_BYTES == STORE_MARK_BYTES + 8 + 8 + MARK_BYTES + 2,
              "as commit writes it");
static_assert(STORE_COMMIT_HEAD_BYTES + STORE_GROUP_MAX * STORE_COMMIT_ENTRY_BYTES <=
                  STORE_BODY_BYTES,
              "a commit is one block");
static_assert(STORE_RECORDS_MAX <= UINT16_MAX, "a commit numbers records with 16 bits");

/* As it stands in the file. */
struct commit {
    uint8_t block[STORE_BLOCK_BYTES];
    uint64_t sequence; /* 0: there is none */
    uint64_t len;
    const uint8_t *mark; /* of the output file at that length */
    struct rd group;     /* count, entries */
};

/* What tells the output file from any other one that has the same number, or the same end. */
static int mark_of(const struct store *store, const struct stat *status, uint64_t len,
                   uint8_t mark[32])
{
    const size_t tail_len = len < TAIL_BYTES ? (size_t)len : TAIL_BYTES;
    uint8_t inode[8], tail[TAIL_BYTES] = {0};
    struct wr out = wr_over(inode, sizeof inode);
    const struct bytes parts[] = {{inode, sizeof inode}, {tail, tail_len}};

    wr_be64(&out, status->st_ino);
    if (files_read_at(store->out_fd, tail, tail_len, (off_t)(len - tail_len)) < 0)
        return -1;
    crypto_sha256(mark, parts, 2);
    return 0;
}

static uint32_t place_of(const struct store *store, uint64_t sequence)
{
    return 1 + store->records + (uint32_t)(sequence % 2);
}

/* ---- opening ---- */

int store_out_open(struct store *store)
{
    struct stat status;

    /* Appending is left to the kernel: so a file that somebody empties begins anew. What is no file
     * shall not keep us waiting. */
    store->out_fd = files_open(store->out, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY);
    store->out_len = INT64_MAX;
    if (store->out_fd < 0)
        return store_cannot_open(store, store->out);
    if (fstat(store->out_fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        log_error(store->log, "%s is not a file, and out has to be one", store->out);
        return EX_CONFIG;
    }
    if (status.st_size == 0 && files_sync_folder(store->out) != 0)
        return store_cannot_write(store, store->out);
    return store_lock(store, store->out_fd, store->out);
}

/* What is no good block is none: nothing was committed yet, or records were about to be added. */
static int read_commit(const struct store *store, uint32_t number, struct commit *commit)
{
    struct rd in = rd_over(commit->block, STORE_BODY_BYTES);
    const ssize_t len = files_read_at(store->fd, commit->block, sizeof commit->block,
                                      store_offset(number));

    if (len < 0)
        return store_cannot_read(store);
    if (len < (ssize_t)sizeof commit->block || !store_block_good(store, number, commit->block) ||
        !rd_is(&in, commit_mark, sizeof commit_mark))
        return EX_OK;
    commit->sequence = rd_be64(&in);
    commit->len = rd_be64(&in);
    commit->mark = rd_take(&in, MARK_BYTES);
    commit->group = in;
    return EX_OK;
}

static int take_again(struct store *store, struct commit *commit)
{
    int status = EX_OK;

    for (unsigned left = rd_be16(&commit->group); left > 0 && status == EX_OK; left--) {
        const uint16_t number = rd_be16(&commit->group);

        status = store_take_again(store, number, rd_be64(&commit->group));
    }
    return status;
}

/* Synced even when it has the right length: a run before may have cut it only a moment ago. */
static int cut(struct store *store, const struct commit *last)
{
    uint8_t mark[32];
    struct stat status;

    if (fstat(store->out_fd, &status) != 0 || mark_of(store, &status, last->len, mark) != 0)
        return store_cannot_write(store, store->out);
    const uint64_t len = (uint64_t)status.st_size;
    if (len < last->len || memcmp(mark, last->mark, MARK_BYTES) != 0)
        log_info(store->log,
                 "%s is another file than before, or was cut: it stays as it is, "
                 "and is appended to",
                 store->out);
    else if (len > last->len) {
        log_info(store->log, "%s: the last %llu bytes were never acknowledged, and are cut off",
                 store->out, (unsigned long long)(len - last->len));
        if (files_cut(store->out_fd, (off_t)last->len) != 0)
            return store_cannot_write(store, store->out);
    }
    return files_sync(store->out_fd) == 0 ? EX_OK : store_cannot_write(store, store->out);
}

/* The blocks go only when all that they say is on the disk without them. */
static int drop_commits(struct store *store)
{
    if (files_sync(store->fd) != 0 || files_cut(store->fd, store_offset(1 + store->records)) != 0 ||
        files_sync(store->fd) != 0)
        return store_cannot_write(store, store->file);
    return EX_OK;
}

int store_out_recover(struct store *store)
{
    struct commit commits[2] = {0};
    struct commit *older = &commits[0], *newer = &commits[1];
    int status = read_commit(store, place_of(store, 0), older);

    if (status == EX_OK)
        status = read_commit(store, place_of(store, 1), newer);
    if (older->sequence > newer->sequence) {
        older = &commits[1];
        newer = &commits[0];
    }
    if (status != EX_OK || newer->sequence == 0)
        return status;
    store->sequence = newer->sequence;
    if (store->out)
        status = cut(store, newer);
    if (status == EX_OK)
        status = take_again(store, older);
    if (status == EX_OK)
        status = take_again(store, newer);
    return status == EX_OK ? drop_commits(store) : status;
}

/* ---- at work ---- */

int store_append(struct store *store, const void *from, size_t len)
{
    return files_write(store->out_fd, from, len);
}

/* More than fit is our bug: then nothing is committed, and nothing acknowledged, any more. */
void store_out_mark(struct store *store, uint16_t number, uint64_t id)
{
    struct wr out = wr_over(store->commit, STORE_BODY_BYTES);

    if (store_group_full(store)) {
        store->failed = true;
        return;
    }
    (void)wr_claim(&out, STORE_COMMIT_HEAD_BYTES + store->group++ * STORE_COMMIT_ENTRY_BYTES);
    wr_be16(&out, number);
    wr_be64(&out, id);
}

int store_out_commit(struct store *store)
{
    struct wr out = wr_over(store->commit, STORE_BODY_BYTES);
    uint8_t mark[32];
    struct stat status;

    if (fstat(store->out_fd, &status) != 0 ||
        mark_of(store, &status, (uint64_t)status.st_size, mark) != 0 ||
        files_sync(store->out_fd) != 0)
        return store_cannot_write(store, store->out);
    /* Even if the block cannot be written, a start may find it: it decides then. */
    store->out_len = status.st_size;
    wr_put(&out, commit_mark, sizeof commit_mark);
    wr_be64(&out, ++store->sequence);
    wr_be64(&out, (uint64_t)status.st_size);
    wr_put(&out, mark, MARK_BYTES);
    wr_be16(&out, (uint16_t)store->group);
    if (store_write_block(store, place_of(store, store->sequence), store->commit) != 0 ||
        files_sync(store->fd) != 0)
        return store_cannot_write(store, store->file);
    memset(store->commit, 0, sizeof store->commit);
    store->group = 0;
    return EX_OK;
}

/* Whole readings only are left to a reader. When that fails, the next start does it. */
void store_out_close(struct store *store)
{
    struct stat status;

    if (!store->out || store->out_fd < 0)
        return;
    if (fstat(store->out_fd, &status) == 0 && status.st_size > store->out_len)
        (void)!files_cut(store->out_fd, store->out_len);
    close(store->out_fd);
}
