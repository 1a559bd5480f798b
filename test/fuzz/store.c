/* store.c - the state file of a sender and of a collector, with its output file.
 *
 * The script makes a file of blocks, with checksums that are right where it does not say otherwise
 * (nothing would come past them), opens it, works with it, and opens it again. */
#include "store.h"

#include <sysexits.h>
#include <unistd.h>

#include "common.h"
#include "store_private.h"

#define BLOCKS_MAX 12
#define PEERS 6
#define OUT_BYTES 1024

static const uint8_t own_public[32] = {3, 1, 4, 1, 5};
static struct peer list[PEERS];
static struct peers peers = {list, PEERS};
static struct push_window windows[PEERS];
static struct store store;

/* ---- making a file ---- */

static void put_text(struct wr *out, struct bytes text)
{
    wr_put(out, text.p, text.len);
}

static void make_header(struct rd *in, struct wr *out, uint8_t how)
{
    wr_put(out, "sts state", 10);
    wr_be16(out, how & 1 ? rd_be16(in) : 1);
    wr_be16(out, how & 2 ? rd_be16(in) : how & 4 ? STORE_SENDER : STORE_COLLECTOR);
    wr_be32(out, how & 8 ? rd_be32(in) : how & 4 ? 1 : rd_u8(in) % BLOCKS_MAX);
    if (how & 16)
        put_text(out, fuzz_take(in, 32));
    else
        wr_put(out, own_public, 32);
}

/* Falling from what the script says, so that it is mostly a window. */
static void make_window(struct rd *in, struct wr *out, uint8_t how)
{
    uint64_t id = how & 1 ? rd_be64(in) : rd_be16(in);

    wr_be64(out, how & 2 ? rd_be16(in) : 0);
    for (unsigned i = 0; i < PUSH_WINDOW_IDS; i++) {
        wr_be64(out, id);
        id -= how & 2 ? 1 : id < 9 ? id : rd_u8(in) % 9;
    }
}

static void make_record(struct rd *in, struct wr *out, uint8_t how)
{
    wr_put(out, "its key\n", 8);
    if (how & 16)
        put_text(out, fuzz_take(in, 32));
    else
        wr_put(out, list[rd_u8(in) % PEERS].key, 32);
    make_window(in, out, how);
}

static void make_commit(struct rd *in, struct wr *out, uint8_t how)
{
    const unsigned count = rd_u8(in);

    wr_put(out, "out len\n", 8);
    wr_be64(out, how & 1 ? rd_be64(in) : rd_u8(in));
    wr_be64(out, how & 2 ? rd_be64(in) : rd_be16(in) % OUT_BYTES);
    put_text(out, fuzz_take(in, 8));
    wr_be16(out, how & 4 ? rd_be16(in) : (uint16_t)(count % 8));
    for (unsigned i = 0; i < count % 8; i++) {
        wr_be16(out, how & 8 ? rd_be16(in) : rd_u8(in) % BLOCKS_MAX);
        wr_be64(out, how & 16 ? rd_be64(in) : rd_be16(in));
    }
}

static void make_block(struct rd *in, uint8_t block[STORE_BLOCK_BYTES], uint8_t number)
{
    const uint8_t what = number == 0 ? 0 : rd_u8(in), how = rd_u8(in);
    struct wr out = wr_over(block, STORE_BODY_BYTES);
    struct store named = {.fd = -1};
    uint8_t digest[32], place[4] = {0, 0, 0, number};

    memset(block, 0, STORE_BLOCK_BYTES);
    switch (what % 6) {
    case 0:
        make_header(in, &out, how);
        break;
    case 1:
        wr_put(&out, "last id\n", 8);
        wr_be64(&out, how & 1 ? rd_be64(in) : rd_be16(in));
        break;
    case 2:
    case 3:
        make_record(in, &out, how);
        break;
    case 4:
        make_commit(in, &out, how);
        break;
    default:
        if (how & 1)
            wr_put(&out, "removed\n", 8);
        put_text(&out, fuzz_take(in, rd_u8(in)));
        break;
    }
    if (how & 32)
        block[STORE_BODY_BYTES - 1 - rd_u8(in)] ^= rd_u8(in);
    memcpy(named.own_public, number == 0 ? block + 18 : own_public, 32);
    const struct bytes parts[] = {{named.own_public, 32}, {place, 4}, {block, STORE_BODY_BYTES}};
    crypto_sha256(digest, parts, 3);
    memcpy(block + STORE_BODY_BYTES, digest, STORE_SUM_BYTES);
    if (how & 64)
        block[STORE_BLOCK_BYTES - 1 - rd_u8(in) % 32] ^= 1;
}

static void make_file(struct rd *in, struct fuzz_file *file)
{
    static uint8_t bytes[BLOCKS_MAX * STORE_BLOCK_BYTES];
    const uint8_t count = rd_u8(in);
    size_t len;

    for (uint8_t i = 0; i < count % (BLOCKS_MAX + 1); i++)
        make_block(in, bytes + i * STORE_BLOCK_BYTES, i);
    len = (size_t)(count % (BLOCKS_MAX + 1)) * STORE_BLOCK_BYTES;
    if (count & 0x80) /* not whole */
        len -= rd_be16(in) % (len + 1);
    fuzz_file_set(file, (struct bytes){bytes, len}, 0600);
}

/* ---- a sender ---- */

/* `path` NULL: no state is configured, and the clock is all there is. */
static void work_sender(struct rd *in, const char *path)
{
    uint64_t last = 0, id;
    int status = store_open_sender(&store, path, own_public, &fuzz_log);

    if (status == EX_OK && (rd_u8(in) & 1))
        status = store_hold(&store);
    while (status == EX_OK && fuzz_more(in)) {
        const uint8_t how = rd_u8(in);
        const uint64_t clock = how & 1 ? rd_be64(in) : rd_be16(in);
        const uint64_t ahead = how & 2 ? rd_be64(in) & INT64_MAX : how >> 4;

        if (path && how & 4) {
            store_close(&store);
            status = store_open_sender(&store, path, own_public, &fuzz_log);
        }
        if (status == EX_OK)
            status = store_draw_id(&store, clock, ahead, &id);
        if (status != EX_OK)
            break;
        CHECK(id > last && id <= STS_ID_MAX);
        last = id;
    }
    CHECK(status == EX_OK || fuzz_logged().len > 0);
    store_close(&store);
    /* What was drawn is never drawn again, whatever the clock says. */
    if (path && last > 0 && store_open_sender(&store, path, own_public, &fuzz_log) == EX_OK) {
        if (store_draw_id(&store, 0, 0, &id) == EX_OK)
            CHECK(id > last);
        store_close(&store);
    }
}

/* ---- a collector ---- */

static void check_windows(void)
{
    for (size_t i = 0; i < PEERS; i++) {
        const struct push_window *w = &windows[i];
        for (size_t k = 0; k < PUSH_WINDOW_IDS; k++) {
            CHECK(w->ids[k] <= STS_ID_MAX && (w->ids[k] == 0 || w->ids[k] > w->floor));
            CHECK(k == 0 || w->ids[k] == 0 || w->ids[k] < w->ids[k - 1]);
            CHECK(w->floor == 0 || w->ids[k] != 0);
        }
    }
}

static int open_collector(struct fuzz_file *file, struct fuzz_file *out)
{
    const int status = store_open_collector(&store, file->path, out ? out->path : NULL, own_public,
                                            &peers, windows, &fuzz_log);

    if (status == EX_OK)
        check_windows();
    else
        CHECK(store.fd == -1 && fuzz_logged().len > 0);
    return status;
}

/* Whether there is nothing behind the records and the two commits. More blocks there may come to
 * stand where a commit does, once records are added, and be taken for one. */
static bool is_strict(struct fuzz_file *file)
{
    static uint8_t bytes[STORE_BLOCK_BYTES * (BLOCKS_MAX + 1)];
    const size_t len = fuzz_file_get(file, bytes, sizeof bytes);
    struct rd header = rd_over(bytes, len);

    (void)rd_take(&header, 10 + 2 + 2);
    const uint32_t records = rd_be32(&header);
    return len <= STORE_BLOCK_BYTES * (size_t)(1 + records + 2);
}

static void work_collector(struct rd *in, struct fuzz_file *file, struct fuzz_file *out)
{
    const bool strict = is_strict(file);
    static uint8_t before[OUT_BYTES], after[4 * OUT_BYTES];
    static struct push_window synced[PEERS];
    const size_t out_before = out ? fuzz_file_get(out, before, sizeof before) : 0;
    size_t written = 0, out_synced;

    if (open_collector(file, out) != EX_OK)
        return;
    /* What is cut off is the end, and nothing is added. */
    out_synced = out ? fuzz_file_get(out, after, sizeof after) : 0;
    CHECK(out_synced <= out_before && memcmp(before, after, out_synced) == 0);
    memcpy(synced, windows, sizeof synced);
    while (fuzz_more(in)) {
        const uint8_t how = rd_u8(in), peer = (how >> 4) % PEERS;
        const uint64_t id = rd_be16(in);

        if (how & 1) {
            CHECK(store_sync(&store) == EX_OK);
            memcpy(synced, windows, sizeof synced);
            out_synced += written;
            written = 0;
        }
        if (!store_group_full(&store) && push_window_take(&windows[peer], id)) {
            if (out && out_synced + written < sizeof after - 8) {
                CHECK(store_append(&store, "reading\n", 8) == 0);
                written += 8;
            }
            store_mark(&store, peer, id);
        }
    }
    store_close(&store);
    CHECK(store.fd == -1);
    /* A run that crashed leaves more than it had synced. */
    if (out)
        CHECK(pwrite(out->fd, "crash", 5, (off_t)out_synced) == 5);
    /* The next run knows what was synced, and nothing else; so does the output file. */
    if (open_collector(file, out) == EX_OK) {
        CHECK(!strict || memcmp(windows, synced, sizeof synced) == 0);
        if (out && strict)
            CHECK(fuzz_file_get(out, after, sizeof after) == out_synced);
        store_close(&store);
    } else if (strict) {
        fuzz_fail(__FILE__, __LINE__, "it opens again");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd in = rd_over(data, size);
    const uint8_t how = rd_u8(&in);
    struct fuzz_file *file = fuzz_file(0), *out = fuzz_file(1);

    fuzz_begin();
    for (uint8_t i = 0; i < PEERS; i++) {
        memset(&list[i], 0, sizeof list[i]);
        list[i].key[0] = (uint8_t)(10 * (i + 1));
    }
    fuzz_file_set(out, fuzz_take(&in, how & 2 ? rd_u8(&in) : 0), 0600);
    if (how & 128) /* raw */
        fuzz_file_set(file, fuzz_take(&in, rd_be16(&in)), 0600);
    else
        make_file(&in, file);
    if (how & 1)
        work_sender(&in, how & 64 ? NULL : file->path);
    else
        work_collector(&in, file, how & 4 ? out : NULL);
    fuzz_log_check();
    return 0;
}
