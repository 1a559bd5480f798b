/* test_store_out.c - a collector's output file: each reading is in it exactly once and in order,
 * whatever crashes, and whichever call fails.
 *
 * What the store does to its two files is recorded. A power cut is then played at every place of
 * that record: each file has all that was synced, and of what was not any part. A kill is the same
 * with all of it. From there on the broker sends again what was not acknowledged, and some of what
 * was. */
#include "scratch.h"

#include <errno.h>
#include <sysexits.h>

#include "store.h"

#define SENDERS 11
#define OPS_MAX 4000
#define IMAGE_BYTES 40000

static const uint8_t own[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};

static struct store store, second;
static struct peer list[SENDERS];
static struct peers peers = {list, 0};
static struct push_window windows[SENDERS];

/* What the broker knows: each sender's ids are 1, 2, 3 ... */
static uint64_t sent[SENDERS], acked[SENDERS], taken[SENDERS];

/* ---- a disk ---- */

enum file { STATE, OUT, NO_FILE };

struct image {
    uint8_t bytes[2][IMAGE_BYTES];
    size_t len[2];
};

static struct op {
    enum { WRITE, CUT, SYNC, BAD_SYNC, ACK } kind;
    enum file file;
    size_t at, len; /* ACK: at: sender, len: id */
    uint8_t bytes[STORE_BLOCK_BYTES];
} ops[OPS_MAX];

static struct image base, image; /* where the record begins; the files after a crash */
static size_t ops_count;
static bool recording;

static uint64_t seed;

static unsigned draw(unsigned below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % below;
}

static void record(struct op op, const void *bytes)
{
    if (!recording)
        return;
    assert_true(ops_count < OPS_MAX);
    ops[ops_count] = op;
    if (bytes)
        memcpy(ops[ops_count].bytes, bytes, op.len);
    ops_count++;
}

static void set_len(struct image *to, enum file file, size_t len)
{
    assert_true(len <= IMAGE_BYTES);
    if (len > to->len[file])
        memset(to->bytes[file] + to->len[file], 0, len - to->len[file]);
    to->len[file] = len;
}

static void apply(struct image *to, const struct op *op, size_t len)
{
    if (op->kind == CUT) {
        set_len(to, op->file, op->at);
    } else if (op->kind == WRITE) {
        if (op->at + len > to->len[op->file])
            set_len(to, op->file, op->at + len);
        memcpy(to->bytes[op->file] + op->at, op->bytes, len);
    }
}

enum loss { NOTHING_LOST, ALL_LOST, SOME_LOST };

/* Whether the disk has ops[at] when all ends before ops[count]. What the kernel could not write in
 * a sync that failed it does not try again. (Lengths and the header are left out of that.) */
static bool is_synced(size_t at, size_t count)
{
    const struct op *op = &ops[at];

    for (size_t i = at + 1; i < count; i++) {
        if (ops[i].file != op->file || ops[i].kind == ACK)
            continue;
        if (ops[i].kind == SYNC)
            return true;
        if (ops[i].kind == BAD_SYNC && op->kind == WRITE && op->at > 0)
            return false;
    }
    return false;
}

/* The files when it all ends before ops[count]. An append may leave a part, or only its length. */
static void crash(size_t count, enum loss loss)
{
    image = base;
    for (size_t i = 0; i < count; i++) {
        const struct op *op = &ops[i];

        if (op->kind != WRITE && op->kind != CUT)
            continue;
        if (loss == NOTHING_LOST || is_synced(i, count))
            apply(&image, op, op->len);
        else if (loss == SOME_LOST && draw(2))
            apply(&image, op,
                  op->file == OUT && draw(3) == 0 ? draw((unsigned)op->len + 1) : op->len);
    }
}

/* ---- the calls ---- */

ssize_t __real_pwrite(int fd, const void *from, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *from, size_t len, off_t offset);
ssize_t __real_write(int fd, const void *from, size_t len);
ssize_t __wrap_write(int fd, const void *from, size_t len);
int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);

static unsigned calls, fail_at, fail_count; /* calls fail_at .. fail_at + fail_count - 1 fail */
static int fail_with;
static bool fail_short; /* a write that fails has written a part before */

static bool fails(void)
{
    errno = fail_with;
    return calls++ - fail_at < fail_count;
}

static enum file file_of(int fd, size_t *len)
{
    struct stat here, there;

    if (!recording)
        return NO_FILE;
    assert_int_equal(fstat(fd, &here), 0);
    *len = (size_t)here.st_size;
    if (stat("state", &there) == 0 && there.st_ino == here.st_ino)
        return STATE;
    return stat("out", &there) == 0 && there.st_ino == here.st_ino ? OUT : NO_FILE;
}

ssize_t __wrap_pwrite(int fd, const void *from, size_t len, off_t offset)
{
    size_t size;
    const enum file file = file_of(fd, &size);

    if (file == NO_FILE)
        return __real_pwrite(fd, from, len, offset);
    assert_int_equal(file, STATE);
    assert_int_equal(len, STORE_BLOCK_BYTES);
    assert_int_equal(offset % STORE_BLOCK_BYTES, 0);
    if (fails())
        return -1;
    record((struct op){.kind = WRITE, .file = file, .at = (size_t)offset, .len = len}, from);
    return __real_pwrite(fd, from, len, offset);
}

ssize_t __wrap_write(int fd, const void *from, size_t len)
{
    size_t size;
    const enum file file = file_of(fd, &size);

    if (file != OUT)
        return __real_write(fd, from, len);
    if (fails()) {
        if (!fail_short || len < 2)
            return -1;
        len /= 2;
        fail_at = calls;
    }
    record((struct op){.kind = WRITE, .file = file, .at = size, .len = len}, from);
    return __real_write(fd, from, len);
}

int __wrap_ftruncate(int fd, off_t len)
{
    size_t size;
    const enum file file = file_of(fd, &size);

    if (file == NO_FILE)
        return __real_ftruncate(fd, len);
    if (fails())
        return -1;
    record((struct op){.kind = CUT, .file = file, .at = (size_t)len}, NULL);
    return __real_ftruncate(fd, len);
}

int __wrap_fdatasync(int fd)
{
    size_t size;
    const enum file file = file_of(fd, &size);
    const bool bad = fails();

    record((struct op){.kind = bad ? BAD_SYNC : SYNC, .file = file}, NULL);
    return bad ? -1 : 0;
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return fails() ? -1 : 0;
}

/* ---- helpers ---- */

/* Keeps the inodes. Not by way of no bytes at all: ext4 would write the file out at close. */
static void put_files(const struct image *from)
{
    static const char *const names[] = {"state", "out"};

    recording = false;
    for (size_t i = 0; i < 2; i++) {
        const int fd = open(names[i], O_RDWR | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(__real_pwrite(fd, from->bytes[i], from->len[i], 0), from->len[i]);
        assert_int_equal(__real_ftruncate(fd, (off_t)from->len[i]), 0);
        close(fd);
    }
}

static void get_files(struct image *to)
{
    to->len[STATE] = get_file("state", to->bytes[STATE], IMAGE_BYTES);
    to->len[OUT] = get_file("out", to->bytes[OUT], IMAGE_BYTES);
}

static void put_text(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void assert_content(const char *name, const char *text)
{
    static char content[IMAGE_BYTES];

    content[get_file(name, content, sizeof content - 1)] = 0;
    assert_string_equal(content, text);
}

static int setup(void **state)
{
    (void)state;
    (void)unlink("state");
    (void)unlink("out");
    (void)unlink("out.1");
    put_text("state", "");
    put_text("out", "");
    memset(sent, 0, sizeof sent);
    memset(acked, 0, sizeof acked);
    memset(&base, 0, sizeof base);
    recording = false;
    fail_count = 0;
    ops_count = 0;
    seed = 1;
    log_forget();
    return 0;
}

static int open_as(const char *out, size_t count)
{
    memset(list, 0, sizeof list);
    for (size_t i = 0; i < SENDERS; i++)
        list[i].key[0] = (uint8_t)(i + 1);
    peers.count = count;
    memset(windows, 0xee, sizeof windows);
    log_forget();
    return store_open_collector(&store, "state", out, own, &peers, windows, &test_log);
}

static void open_good(size_t count)
{
    assert_int_equal(open_as("out", count), 0);
}

/* As a kill does it: nobody cuts anything off. */
static void abandon(void)
{
    close(store.out_fd);
    close(store.fd);
    store.fd = -1;
}

static int append(const char *text)
{
    const size_t half = strlen(text) / 2;

    return store_append(&store, text, half) != 0 ||
           store_append(&store, text + half, strlen(text) - half) != 0;
}

enum { NOT_APPENDED = -1 }; /* which its caller says */

/* One message from the broker. */
static int take(size_t sender, uint64_t id)
{
    char line[32];

    if (!push_window_take(&windows[sender], id))
        return 0;
    assert_true(id > acked[sender]);
    (void)snprintf(line, sizeof line, "%zu %llu\n", sender, (unsigned long long)id);
    if (append(line) != 0)
        return NOT_APPENDED;
    store_mark(&store, sender, id);
    taken[sender] = id;
    return 0;
}

static int release(void)
{
    const int status = store_sync(&store);

    for (size_t i = 0; i < SENDERS && status == 0; i++)
        if (taken[i] > acked[i]) {
            acked[i] = taken[i];
            record((struct op){.kind = ACK, .at = i, .len = (size_t)acked[i]}, NULL);
        }
    return status;
}

/* Delivers what was not acknowledged, with some of what was, in any order of the senders; groups of
 * `group` readings, 0: of any size. */
static int deliver(unsigned group)
{
    uint64_t next[SENDERS];
    size_t left = 0;
    int status = 0;

    for (size_t i = 0; i < peers.count; i++) {
        const unsigned again = draw(4);

        next[i] = acked[i] > again ? acked[i] - again + 1 : 1;
        left += (size_t)(sent[i] + 1 - next[i]);
    }
    memcpy(taken, acked, sizeof taken);
    while (left > 0 && status == 0) {
        const size_t sender = draw((unsigned)peers.count);

        if (next[sender] > sent[sender])
            continue;
        left--;
        status = take(sender, next[sender]);
        /* It is the broker's to acknowledge, new or not, once the store has let go. */
        if (status == 0 && next[sender] > taken[sender])
            taken[sender] = next[sender];
        next[sender]++;
        if (status == 0 &&
            (store_group_full(&store) || store.group == group || (group == 0 && draw(12) == 0)))
            status = release();
    }
    return status == 0 ? release() : status;
}

static void send_each(size_t count, unsigned each)
{
    for (size_t i = 0; i < count; i++)
        sent[i] += each;
}

static void assert_each_once(void)
{
    uint64_t seen[SENDERS] = {0};
    FILE *file = fopen("out", "r");
    unsigned long long id;
    size_t sender;
    char end;

    assert_non_null(file);
    while (fscanf(file, "%zu %llu%c", &sender, &id, &end) == 3) {
        assert_true(sender < SENDERS && end == '\n');
        if (id != ++seen[sender])
            fail_msg("%llu of sender %zu, where %llu comes next", id, sender,
                     (unsigned long long)seen[sender]);
    }
    assert_true(feof(file));
    (void)fclose(file);
    assert_memory_equal(seen, sent, sizeof seen);
}

/* After a crash, another run or two; all that there is has to come out. */
static void recover(void)
{
    while (draw(3) == 0) {
        open_good(1 + draw(SENDERS));
        draw(2) ? abandon() : store_close(&store);
    }
    open_good(SENDERS);
    assert_int_equal(deliver(1 + draw(46)), 0);
    store_close(&store);
    assert_each_once();
}

/* ---- crashes ---- */

/* Runs with more and more senders; some are killed, with readings that were not committed. */
static void record_runs(void)
{
    recording = true;
    send_each(3, 1);
    open_good(3);
    assert_int_equal(deliver(1), 0);
    send_each(3, 17);
    assert_int_equal(deliver(46), 0);
    store_close(&store);

    open_good(4);
    send_each(4, 8);
    assert_int_equal(deliver(0), 0);
    send_each(4, 1);
    assert_int_equal(take(3, sent[3]), 0);
    abandon();

    open_good(9);
    send_each(9, 6);
    assert_int_equal(deliver(0), 0);
    send_each(9, 1);
    assert_int_equal(take(5, sent[5]), 0);
    assert_int_equal(take(0, sent[0]), 0);
    store_close(&store);

    open_good(9);
    assert_int_equal(deliver(7), 0);
    store_close(&store);

    /* A run without the file knows what the ones with it have taken. */
    assert_int_equal(open_as(NULL, 8), 0);
    for (size_t i = 0; i < 8; i++)
        assert_false(push_window_take(&windows[i], sent[i]));
    store_close(&store);

    open_good(10);
    send_each(10, 2);
    assert_int_equal(deliver(3), 0);
    store_close(&store);
    recording = false;
}

/* What the record says that the broker had heard of by then. */
static void acks_until(const struct op *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (from[i].kind == ACK)
            acked[from[i].at] = from[i].len;
}

static void a_crash_anywhere(void **state)
{
    static const enum loss losses[] = {NOTHING_LOST, ALL_LOST, SOME_LOST, SOME_LOST, SOME_LOST};
    static struct op all[OPS_MAX];
    size_t count;

    (void)state;
    record_runs();
    assert_each_once();
    count = ops_count;
    assert_in_range(count, 300, OPS_MAX / 2);
    memcpy(all, ops, sizeof all);
    for (size_t at = 0; at <= count; at++)
        for (size_t i = 0; i < COUNT(losses); i++) {
            memcpy(ops, all, count * sizeof *all);
            memset(&base, 0, sizeof base);
            memset(acked, 0, sizeof acked);
            acks_until(all, at);
            crash(at, losses[i]);
            put_files(&image);
            if (i == COUNT(losses) - 1) { /* and once more, on the way back */
                base = image;
                ops_count = 0;
                recording = true;
                recover();
                recording = false;
                const size_t again = draw((unsigned)ops_count + 1);
                memset(acked, 0, sizeof acked);
                acks_until(all, at);
                acks_until(ops, again);
                crash(again, SOME_LOST);
                put_files(&image);
            }
            recover();
        }
}

/* ---- calls that fail ---- */

static int run_until_it_fails(void)
{
    int status = open_as("out", 3);

    for (unsigned round = 0; round < 4 && status == 0; round++)
        status = deliver(round == 0 ? 1 : 0);
    if (store.fd >= 0)
        store_close(&store);
    return status;
}

static void any_call_fails(void **state)
{
    static const int errors[] = {ENOSPC, EIO, EFBIG};
    static struct image start;
    unsigned call = 0;
    int status = -1;

    setup(state);
    send_each(3, 20);
    open_good(2);
    peers.count = 2;
    assert_int_equal(deliver(0), 0);
    send_each(3, 8);
    assert_int_equal(take(1, acked[1] + 1), 0);
    abandon();
    get_files(&start);
    const uint64_t acked_then[2] = {acked[0], acked[1]};
    for (call = 0; status != 0; call++)
        for (unsigned variant = 0; variant < 4; variant++) {
            memset(acked, 0, sizeof acked);
            memcpy(acked, acked_then, sizeof acked_then);
            put_files(&start);
            base = start;
            ops_count = calls = 0;
            seed = 5;
            fail_at = call;
            fail_count = variant % 2 ? 1000000 : 1;
            fail_with = errors[call % 3];
            fail_short = variant >= 2;
            recording = true;
            status = run_until_it_fails();
            fail_count = 0;
            if (status != 0 && status != NOT_APPENDED) {
                assert_int_equal(status, EX_IOERR);
                assert_logged(strerror(fail_with));
            }
            /* Another run sees what the kernel has, and not what the disk has. */
            if (draw(2)) {
                open_good(3);
                if (draw(2))
                    assert_int_equal(deliver(46), 0);
                abandon();
            }
            recording = false;
            if (draw(2)) {
                crash(ops_count, SOME_LOST);
                put_files(&image);
            }
            recover();
        }
    assert_in_range(call, 40, 400);
}

/* A later sync may say that all is well, and it is not. The sync of the file, the block, its sync,
 * the window: what fails before the block is cut off, then it is the next start that decides. */
static void what_failed_stays_so(void **state)
{
    (void)state;
    for (unsigned call = 0; call < 4; call++) {
        setup(NULL);
        open_good(1);
        assert_int_equal(take(0, 1), 0);
        recording = true;
        calls = 0;
        fail_at = call;
        fail_count = 1;
        fail_with = EIO;
        log_forget();
        assert_int_equal(store_sync(&store), EX_IOERR);
        assert_string_equal(log_text(),
                            with_errno(call == 0 ? "cannot write out" : "cannot write state", EIO));
        assert_int_equal(store_sync(&store), EX_IOERR);
        assert_int_equal(take(0, 2), 0);
        assert_int_equal(store_sync(&store), EX_IOERR);
        assert_one_line();
        store_close(&store);
        assert_content("out", call == 0 ? "" : "0 1\n");
        open_good(1);
        assert_int_equal(windows[0].ids[0], call < 2 ? 0 : 1);
        assert_content("out", call < 2 ? "" : "0 1\n");
        store_close(&store);
    }
}

/* ---- which file ---- */

/* Three committed readings, and one that is not. */
static void make_uncommitted(void)
{
    setup(NULL);
    open_good(1);
    for (uint64_t id = 1; id <= 3; id++)
        assert_int_equal(take(0, id), 0);
    assert_int_equal(store_sync(&store), 0);
    assert_int_equal(take(0, 4), 0);
    abandon();
    assert_content("out", "0 1\n0 2\n0 3\n0 4\n");
}

static void a_restart_cuts(void **state)
{
    (void)state;
    make_uncommitted();
    open_good(1);
    assert_string_equal(log_text(),
                        "out: the last 4 bytes were never acknowledged, and are cut off");
    assert_one_line();
    assert_content("out", "0 1\n0 2\n0 3\n");
    assert_true(push_window_take(&windows[0], 4));
    abandon();
    open_good(1);
    assert_string_equal(log_text(), "");
    assert_int_equal(take(0, 4), 0);
    store_close(&store); /* not synced: a clean end cuts, too */
    assert_content("out", "0 1\n0 2\n0 3\n");
    open_good(1);
    assert_int_equal(take(0, 4), 0);
    assert_int_equal(store_sync(&store), 0);
    store_close(&store);
    assert_content("out", "0 1\n0 2\n0 3\n0 4\n");
}

static void the_first_time(void **state)
{
    (void)state;
    (void)unlink("state");
    (void)unlink("out");
    open_good(1);
    assert_int_equal(mode_of("out"), 0600);
    store_close(&store);
    /* What the user had is kept, with and without a state from before. */
    for (unsigned round = 0; round < 2; round++) {
        setup(NULL);
        if (round == 1) {
            assert_int_equal(open_as(NULL, 1), 0);
            store_close(&store);
        }
        put_text("out", "mine");
        open_good(1);
        assert_int_equal(take(0, 1), 0);
        abandon();
        assert_content("out", "mine0 1\n");
        open_good(1);
        assert_content("out", "mine");
        store_close(&store);
    }
}

static void assert_not_cut(const char *before, const char *after)
{
    open_good(1);
    assert_logged("out is another file than before, or was cut: it stays as it is");
    assert_one_line();
    assert_content("out", before);
    assert_false(push_window_take(&windows[0], 3));
    assert_int_equal(take(0, 4), 0);
    assert_int_equal(store_sync(&store), 0);
    assert_int_equal(take(0, 5), 0);
    abandon();
    open_good(1);
    assert_content("out", after);
    store_close(&store);
}

static void another_file(void **state)
{
    (void)state;
    make_uncommitted(); /* moved away */
    assert_int_equal(rename("out", "out.1"), 0);
    assert_not_cut("", "0 4\n");
    assert_content("out.1", "0 1\n0 2\n0 3\n0 4\n");
    make_uncommitted(); /* moved away, and a longer one in its place */
    assert_int_equal(rename("out", "out.1"), 0);
    put_text("out", "0 1\n0 2\n0 3\nmine\n");
    assert_not_cut("0 1\n0 2\n0 3\nmine\n", "0 1\n0 2\n0 3\nmine\n0 4\n");
    make_uncommitted(); /* emptied; cut in the middle */
    put_text("out", "");
    assert_not_cut("", "0 4\n");
    make_uncommitted();
    put_text("out", "0 1\n0 2\n");
    assert_not_cut("0 1\n0 2\n", "0 1\n0 2\n0 4\n");
    make_uncommitted(); /* the same inode, with something else in it */
    put_text("out", "0 1\n0 2\n0 9\nmore, and more of it\n");
    assert_not_cut("0 1\n0 2\n0 9\nmore, and more of it\n",
                   "0 1\n0 2\n0 9\nmore, and more of it\n0 4\n");
    make_uncommitted(); /* another name */
    assert_int_equal(open_as("out.1", 1), 0);
    assert_logged("out.1 is another file");
    store_close(&store);
    assert_content("out", "0 1\n0 2\n0 3\n0 4\n");
    assert_content("out.1", "");
    open_good(1); /* which is what counts from then on */
    assert_content("out", "0 1\n0 2\n0 3\n0 4\n");
    store_close(&store);
}

/* What somebody empties while it is written to begins anew, and has no hole. */
static void emptied_meanwhile(void **state)
{
    (void)state;
    open_good(1);
    for (uint64_t id = 1; id <= 3; id++) {
        put_text("out", "");
        assert_int_equal(take(0, id), 0);
        assert_int_equal(store_sync(&store), 0);
    }
    assert_content("out", "0 3\n");
    assert_int_equal(take(0, 4), 0);
    abandon();
    open_good(1);
    assert_content("out", "0 3\n");
    store_close(&store);
}

static void refused(const char *out, int status, const char *text)
{
    static struct image before;

    get_files(&before);
    assert_int_equal(open_as(out, 1), status);
    assert_int_equal(store.fd, -1);
    assert_logged(text);
    assert_one_line();
    get_files(&image);
    assert_int_equal(before.len[STATE], image.len[STATE]);
    assert_memory_equal(before.bytes[STATE], image.bytes[STATE], image.len[STATE]);
}

static void what_cannot_be_the_file(void **state)
{
    (void)state;
    make_uncommitted();
    assert_int_equal(mkfifo("fifo", 0600), 0);
    refused("fifo", EX_CONFIG, "fifo is not a file, and out has to be one");
    (void)unlink("fifo");
    refused("/dev/null", EX_CONFIG, "/dev/null is not a file, and out has to be one");
    refused(".", EX_NOINPUT, "cannot open .: Is a directory");
    refused("none/out", EX_CANTCREAT, "cannot make none/out: No such file");
    refused("state", EX_TEMPFAIL, "state is in use by another collector");
    /* Two collectors of their own, and one file. */
    assert_int_equal(
        store_open_collector(&second, "state.2", "out", own, &peers, windows, &test_log), 0);
    refused("out", EX_TEMPFAIL, "out is in use by another collector");
    store_close(&second);
    (void)unlink("state.2");
    open_good(1);
    store_close(&store);
    store_close(&store);
}

/* ---- the blocks ---- */

static void the_form_of_a_commit(void **state)
{
    static const uint8_t head[] = {'o', 'u', 't', ' ', 'l', 'e', 'n', '\n', 0, 0, 0, 0,
                                   0,   0,   0,   2,   0,   0,   0,   0,    0, 0, 0, 8};
    static const uint8_t group[] = {0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0,
                                    5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9};

    (void)state;
    assert_int_equal(STORE_GROUP_MAX, 46);
    open_good(2);
    get_files(&image);
    assert_int_equal(image.len[STATE], 5 * STORE_BLOCK_BYTES);
    assert_int_equal(take(1, 5), 0);
    assert_int_equal(take(0, 9), 0);
    assert_int_equal(store_sync(&store), 0);
    get_files(&image);
    assert_memory_equal(image.bytes[STATE] + 3 * STORE_BLOCK_BYTES, head, sizeof head);
    assert_memory_equal(image.bytes[STATE] + 3 * STORE_BLOCK_BYTES + sizeof head + 8, group,
                        sizeof group);
    assert_memory_equal(image.bytes[STATE] + 4 * STORE_BLOCK_BYTES, head, 15);
    assert_int_equal(image.bytes[STATE][4 * STORE_BLOCK_BYTES + 15], 1);
    store_close(&store);
    open_good(2);
    get_files(&image);
    assert_int_equal(image.bytes[STATE][4 * STORE_BLOCK_BYTES + 15], 3);
    store_close(&store);
    /* Without the file they are gone. */
    assert_int_equal(open_as(NULL, 2), 0);
    store_close(&store);
    get_files(&image);
    assert_int_equal(image.len[STATE], 3 * STORE_BLOCK_BYTES);
}

/* One sync of each file for a group; the windows are written, and wait for the next one. */
static void syncs_of_a_group(void **state)
{
    (void)state;
    send_each(3, 20);
    open_good(3);
    ops_count = 0;
    recording = true;
    memset(taken, 0, sizeof taken);
    for (uint64_t id = 1; id <= 15; id++)
        for (size_t sender = 0; sender < 3; sender++)
            assert_int_equal(take(sender, id), 0);
    assert_false(store_group_full(&store));
    assert_int_equal(take(0, 16), 0);
    assert_true(store_group_full(&store));
    assert_int_equal(ops_count, 2 * 46);
    ops_count = 0;
    assert_int_equal(store_sync(&store), 0);
    assert_false(store_group_full(&store));
    assert_int_equal(ops_count, 6);
    assert_true(ops[0].kind == SYNC && ops[0].file == OUT);
    assert_true(ops[1].kind == WRITE && ops[1].at == 5 * STORE_BLOCK_BYTES - STORE_BLOCK_BYTES);
    assert_true(ops[2].kind == SYNC && ops[2].file == STATE);
    for (size_t i = 0; i < 3; i++)
        assert_true(ops[3 + i].kind == WRITE && ops[3 + i].at == (1 + i) * STORE_BLOCK_BYTES);
    assert_int_equal(store_sync(&store), 0);
    assert_int_equal(ops_count, 6);
    /* One too many is our bug, and ends it before it does harm. */
    for (uint64_t id = 17; id <= 62; id++)
        assert_int_equal(take(0, id), 0);
    store_mark(&store, 0, 63);
    assert_int_equal(store_sync(&store), EX_IOERR);
    recording = false;
    store_close(&store);
}

/* Any byte of a commit block: the other one counts then. When both are damaged it is as it was
 * before the first, and nothing is cut. */
static void a_damaged_commit(void **state)
{
    static struct image good;
    static const char all[] = "0 1\n0 2\n0 3\n0 4\n";

    (void)state;
    setup(NULL);
    open_good(1); /* commit 1 */
    assert_int_equal(take(0, 1), 0);
    assert_int_equal(store_sync(&store), 0);
    assert_int_equal(take(0, 2), 0);
    assert_int_equal(store_sync(&store), 0);
    assert_int_equal(take(0, 3), 0);
    assert_int_equal(store_sync(&store), 0); /* commit 4, in the block of the even ones */
    assert_int_equal(take(0, 4), 0);
    abandon();
    get_files(&good);
    assert_int_equal(good.len[STATE], 4 * STORE_BLOCK_BYTES);
    for (size_t at = 2 * STORE_BLOCK_BYTES; at < good.len[STATE]; at++) {
        const bool newer = at < 3 * STORE_BLOCK_BYTES;

        image = good;
        image.bytes[STATE][at] ^= (uint8_t)(1u << at % 8);
        put_files(&image);
        open_good(1);
        assert_content("out", newer ? "0 1\n0 2\n" : "0 1\n0 2\n0 3\n");
        store_close(&store);
        image.bytes[STATE][at ^ STORE_BLOCK_BYTES] ^= 1;
        put_files(&image);
        open_good(1);
        assert_content("out", all);
        store_close(&store);
    }
}

/* What a window has not got is taken from the blocks, of keys that are in `peers` no more, too; and
 * not for a key that was removed by hand. */
static void windows_that_lag(void **state)
{
    static struct image late;

    (void)state;
    open_good(3);
    get_files(&base);
    for (size_t sender = 0; sender < 3; sender++)
        assert_int_equal(take(sender, 7), 0);
    assert_int_equal(store_sync(&store), 0);
    for (size_t sender = 0; sender < 3; sender++)
        assert_int_equal(take(sender, 8), 0);
    assert_int_equal(store_sync(&store), 0);
    abandon();
    get_files(&late);
    memcpy(late.bytes[STATE], base.bytes[STATE], 4 * STORE_BLOCK_BYTES);
    memcpy(late.bytes[STATE] + 2 * STORE_BLOCK_BYTES, "removed\n", 8);
    for (unsigned with_out = 0; with_out < 2; with_out++) {
        put_files(&late);
        assert_int_equal(open_as(with_out ? "out" : NULL, 1), 0);
        assert_int_equal(windows[0].ids[0], 8);
        assert_int_equal(windows[0].ids[1], 7);
        store_close(&store);
        get_files(&image);
        assert_memory_equal(image.bytes[STATE] + 2 * STORE_BLOCK_BYTES, "removed\n", 8);
        open_good(3);
        assert_int_equal(windows[1].ids[0], 0);
        assert_int_equal(windows[2].ids[0], 8);
        assert_int_equal(windows[2].ids[1], 7);
        store_close(&store);
    }
    /* A record that is damaged is refused, and the blocks stay. */
    late.bytes[STATE][3 * STORE_BLOCK_BYTES + 40] ^= 1;
    put_files(&late);
    assert_int_equal(open_as(NULL, 3), EX_CONFIG);
    assert_string_equal(log_text(), "state is damaged: record 3 has a wrong checksum");
    assert_int_equal(open_as("out", 3), EX_CONFIG);
    get_files(&image);
    image.bytes[STATE][3 * STORE_BLOCK_BYTES + 40] ^= 1;
    put_files(&image);
    open_good(3);
    assert_int_equal(windows[0].ids[0], 8);
    assert_int_equal(windows[2].ids[0], 8);
    store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_crash_anywhere, setup),
        cmocka_unit_test_setup(any_call_fails, setup),
        cmocka_unit_test_setup(what_failed_stays_so, setup),
        cmocka_unit_test_setup(a_restart_cuts, setup),
        cmocka_unit_test_setup(the_first_time, setup),
        cmocka_unit_test_setup(another_file, setup),
        cmocka_unit_test_setup(emptied_meanwhile, setup),
        cmocka_unit_test_setup(what_cannot_be_the_file, setup),
        cmocka_unit_test_setup(the_form_of_a_commit, setup),
        cmocka_unit_test_setup(syncs_of_a_group, setup),
        cmocka_unit_test_setup(a_damaged_commit, setup),
        cmocka_unit_test_setup(windows_that_lag, setup),
    };

    return cmocka_run_group_tests_name("store_out", tests, scratch_make, scratch_remove);
}
