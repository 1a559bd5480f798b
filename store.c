/* store.c - see store.h: blocks, the header, opening. */
#include "store_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "files.h"
#include "key_text.h"

#define VERSION 1

static const uint8_t magic[10] = "sts state";
static const uint8_t sender_mark[STORE_MARK_BYTES] = {'l', 'a', 's', 't', ' ', 'i', 'd', '\n'};

static_assert(STORE_HEADER_BYTES <= STORE_BODY_BYTES, "a header is one block");

/* ---- what is said ---- */

int store_damaged(const struct store *store, const char *what)
{
    log_error(store->log, "%s is damaged: %s", store->file, what);
    return EX_CONFIG;
}

int store_cannot_write(struct store *store, const char *file)
{
    log_cannot(store->log, "write", file);
    store->failed = true;
    return EX_IOERR;
}

int store_cannot_read(const struct store *store)
{
    log_cannot(store->log, "read", store->file);
    return EX_NOINPUT;
}

/* ---- blocks ---- */

/* The checksum knows whose block it is and where: one copied from elsewhere is refused too. */
static void checksum(const struct store *store, uint32_t number, const uint8_t *body,
                     uint8_t digest[32])
{
    uint8_t place[4];
    struct wr out = wr_over(place, sizeof place);
    const struct bytes parts[] = {{store->own_public, sizeof store->own_public},
                                  {place, sizeof place},
                                  {body, STORE_BODY_BYTES}};

    wr_be32(&out, number);
    crypto_sha256(digest, parts, sizeof parts / sizeof parts[0]);
}

bool store_block_good(const struct store *store, uint32_t number, const uint8_t *block)
{
    uint8_t digest[32];

    checksum(store, number, block, digest);
    return memcmp(digest, block + STORE_BODY_BYTES, STORE_SUM_BYTES) == 0;
}

static void finish_block(const struct store *store, uint32_t number, uint8_t *block)
{
    uint8_t digest[32];

    checksum(store, number, block, digest);
    memcpy(block + STORE_BODY_BYTES, digest, STORE_SUM_BYTES);
}

int store_write_block(const struct store *store, uint32_t number, uint8_t block[STORE_BLOCK_BYTES])
{
    finish_block(store, number, block);
    return files_write_at(store->fd, block, STORE_BLOCK_BYTES, store_offset(number));
}

bool store_rest_zero(const struct rd *in)
{
    uint8_t all = 0;

    for (const uint8_t *p = in->p; p < in->end; p++)
        all |= *p;
    return all == 0;
}

/* ---- a sender's record ---- */

void store_put_sender(uint8_t block[STORE_BLOCK_BYTES], uint64_t id)
{
    struct wr out = wr_over(block, STORE_BODY_BYTES);

    memset(block, 0, STORE_BLOCK_BYTES);
    wr_put(&out, sender_mark, sizeof sender_mark);
    wr_be64(&out, id);
}

int store_read_last(const struct store *store, uint64_t *last)
{
    uint8_t block[STORE_BLOCK_BYTES] = {0};
    struct rd in = rd_over(block, STORE_BODY_BYTES);
    ssize_t len = files_read_at(store->fd, block, sizeof block, store_offset(1));
    const bool is_sender = rd_is(&in, sender_mark, sizeof sender_mark);

    if (len < 0)
        return store_cannot_read(store);
    *last = rd_be64(&in);
    if ((size_t)len < sizeof block || !store_block_good(store, 1, block))
        return store_damaged(store, "record 1 has a wrong checksum");
    if (!is_sender || *last > STS_ID_MAX || !store_rest_zero(&in))
        return store_damaged(store, "record 1 is no id");
    return EX_OK;
}

/* ---- the header ---- */

static void put_header(const struct store *store, enum store_kind kind, uint8_t *block)
{
    struct wr out = wr_over(block, STORE_BODY_BYTES);

    memset(block, 0, STORE_BLOCK_BYTES);
    wr_put(&out, magic, sizeof magic);
    wr_be16(&out, VERSION);
    wr_be16(&out, (uint16_t)kind);
    wr_be32(&out, store->records);
    wr_put(&out, store->own_public, sizeof store->own_public);
}

int store_write_header(const struct store *store, enum store_kind kind)
{
    uint8_t block[STORE_BLOCK_BYTES];

    put_header(store, kind, block);
    return store_write_block(store, 0, block);
}

static int other_version(const struct store *store, unsigned version)
{
    log_error(store->log, "%s is of another version of sts (%u)", store->file, version);
    return EX_CONFIG;
}

static int other_key(const struct store *store, const uint8_t key[32])
{
    char text[KEY_TEXT_CHARS + 1];

    key_text_write(text, key);
    log_error(store->log, "%s is of another key: %s", store->file, text);
    return EX_CONFIG;
}

static int other_kind(const struct store *store, enum store_kind kind)
{
    log_error(store->log, "%s is not the state of a %s", store->file,
              kind == STORE_SENDER ? "sender" : "collector");
    return EX_CONFIG;
}

/* Another version may do the rest in another way, and a block is checked with the key it names. */
static int check_header(struct store *store, enum store_kind kind, const uint8_t *block)
{
    struct store named = {0};
    struct rd in = rd_over(block, STORE_BODY_BYTES);
    const bool is_ours = rd_is(&in, magic, sizeof magic);
    const uint16_t version = rd_be16(&in), its_kind = rd_be16(&in);
    const uint32_t records = rd_be32(&in);
    const uint8_t *key = rd_take(&in, 32);

    if (!is_ours || !key)
        return store_damaged(store, "it does not begin as a state file does");
    if (version != VERSION)
        return other_version(store, version);
    memcpy(named.own_public, key, sizeof named.own_public);
    if (!store_block_good(&named, 0, block))
        return store_damaged(store, "its header has a wrong checksum");
    if (!store_rest_zero(&in))
        return other_version(store, version);
    if (its_kind != kind)
        return other_kind(store, kind);
    if (memcmp(key, store->own_public, sizeof store->own_public) != 0)
        return other_key(store, key);
    if (kind == STORE_SENDER ? records != 1 : records > STORE_RECORDS_MAX)
        return store_damaged(store, "it cannot have that many records");
    store->records = records;
    return EX_OK;
}

/* What is beyond the records was never promised to anybody: a run broke off before it said in the
 * header that there are more. */
static int check_size(const struct store *store, off_t size)
{
    const off_t expected = store_offset(1 + store->records);

    if (size >= expected)
        return EX_OK;
    log_error(store->log, "%s is damaged: it has %lld bytes and should have %lld", store->file,
              (long long)size, (long long)expected);
    return EX_CONFIG;
}

static int read_header(struct store *store, enum store_kind kind, off_t size)
{
    uint8_t block[STORE_BLOCK_BYTES];
    const ssize_t len = files_read_at(store->fd, block, sizeof block, 0);
    int status;

    if (len < 0)
        return store_cannot_read(store);
    if ((size_t)len < sizeof block)
        return store_damaged(store, "it is shorter than its header");
    status = check_header(store, kind, block);
    return status == EX_OK ? check_size(store, size) : status;
}

bool store_is_collectors(const struct store *store)
{
    uint8_t block[STORE_BLOCK_BYTES] = {0};
    struct rd in = rd_over(block, STORE_BODY_BYTES);
    const ssize_t len = files_read_at(store->fd, block, sizeof block, 0);
    const bool is_ours = rd_is(&in, magic, sizeof magic);

    (void)rd_be16(&in);
    return len == (ssize_t)sizeof block && is_ours && rd_be16(&in) == STORE_COLLECTOR;
}

/* ---- opening ---- */

int store_cannot_open(const struct store *store, const char *file)
{
    const int err = errno;
    const bool is_there = access(file, F_OK) == 0;

    errno = err;
    log_cannot(store->log, is_there ? "open" : "make", file);
    return is_there ? files_not_opened(err) : EX_CANTCREAT;
}

int store_open_file(struct store *store, const char *file, const uint8_t own_public[32],
                    struct log *log)
{
    memset(store, 0, sizeof *store);
    store->file = file;
    store->log = log;
    memcpy(store->own_public, own_public, sizeof store->own_public);
    store->fd = file ? files_open(file, O_RDWR | O_CREAT) : -1;
    return file && store->fd < 0 ? store_cannot_open(store, file) : EX_OK;
}

/* Both blocks of a sender in one write: a process that is killed leaves an empty file or a whole
 * one. */
static int begin_file(struct store *store, enum store_kind kind)
{
    uint8_t blocks[2 * STORE_BLOCK_BYTES];
    size_t len = STORE_BLOCK_BYTES;

    log_info(store->log, "%s is new or empty: nothing is remembered from before", store->file);
    store->records = kind == STORE_SENDER;
    put_header(store, kind, blocks);
    finish_block(store, 0, blocks);
    if (kind == STORE_SENDER) {
        store_put_sender(blocks + STORE_BLOCK_BYTES, 0);
        finish_block(store, 1, blocks + STORE_BLOCK_BYTES);
        len = sizeof blocks;
    }
    if (files_write_at(store->fd, blocks, len, 0) == 0 && files_sync(store->fd) == 0 &&
        files_sync_folder(store->file) == 0)
        return EX_OK;
    /* Still locked, and of no use to anybody as it is. */
    const int err = errno;
    (void)ftruncate(store->fd, 0);
    errno = err;
    return store_cannot_write(store, store->file);
}

bool store_is_senders(const struct store *store)
{
    uint8_t blocks[2 * STORE_BLOCK_BYTES], header[STORE_BLOCK_BYTES];

    if (files_read_at(store->fd, blocks, sizeof blocks, 0) != (ssize_t)sizeof blocks)
        return false;
    put_header(store, STORE_SENDER, header);
    finish_block(store, 0, header);
    return memcmp(blocks, header, sizeof header) == 0 &&
           store_block_good(store, 1, blocks + STORE_BLOCK_BYTES);
}

int store_read_or_begin(struct store *store, enum store_kind kind)
{
    struct stat status;

    if (fstat(store->fd, &status) != 0)
        return store_cannot_read(store);
    if (!S_ISREG(status.st_mode))
        return store_damaged(store, "it is not a file");
    if (status.st_size == 0)
        return begin_file(store, kind);
    return read_header(store, kind, status.st_size);
}

void store_close(struct store *store)
{
    if (store->fd < 0)
        return;
    store_out_close(store);
    close(store->fd);
    store->fd = -1;
}
