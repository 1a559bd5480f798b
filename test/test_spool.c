/* test_spool.c - the spool: what it keeps across ends, crashes, power cuts, damage and other runs.
 * Tests spool_scan.c, too. */
#include "scratch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "crypto.h"
#include "spool.h"

#define AROUND (SPOOL_RECORD_HEAD_BYTES + SPOOL_SUM_BYTES)
#define IMAGE_MAX 65536
#define IDS_MAX 20000

static struct spool spool, second, third;

/* ---- calls that can be made to fail, and are noted ---- */

enum call { NOTHING, FCNTL, FDATASYNC, FSTAT, FSYNC, FTRUNCATE, PREAD, PWRITE, PWRITE_HALF, FLOCK };

static enum call failing;
static int fail_after, fail_count, fail_errno; /* so many calls go well; then so many fail */
static bool cut_fails_too;
static int half_count = 1; /* writes that fail behind a half one */
static unsigned reads, writes, syncs, polls;

enum op_kind { OP_WRITE, OP_CUT, OP_SYNC };

/* What happened to the file, for power cuts. */
struct op {
    enum op_kind kind;
    off_t offset;
    size_t len, bytes; /* `bytes`: where they begin in op_bytes */
};

static bool noting;
static struct op ops[4096];
static size_t ops_count, op_bytes_len;
static uint8_t op_bytes[1 << 20];

static bool fails(enum call call)
{
    if (failing != call || fail_after-- > 0 || fail_count <= 0)
        return false;
    fail_count--;
    errno = fail_errno;
    return true;
}

static void fail_call(enum call call, int after, int count, int err)
{
    failing = call;
    fail_after = after;
    fail_count = count;
    fail_errno = err;
}

static void note(enum op_kind kind, off_t offset, const void *bytes, size_t len)
{
    if (!noting)
        return;
    assert_true(ops_count < COUNT(ops) && op_bytes_len + len <= sizeof op_bytes);
    ops[ops_count++] = (struct op){kind, offset, len, op_bytes_len};
    if (bytes)
        memcpy(op_bytes + op_bytes_len, bytes, len);
    op_bytes_len += bytes ? len : 0;
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, struct flock *how);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_flock(int fd, int how);
int __wrap_flock(int fd, int how);
int __real_fstat(int fd, struct stat *status);
int __wrap_fstat(int fd, struct stat *status);
int __wrap_fsync(int fd);
int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
ssize_t __real_pread(int fd, void *to, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void *to, size_t size, off_t offset);
ssize_t __real_pwrite(int fd, const void *from, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *from, size_t len, off_t offset);

int __wrap_fcntl(int fd, int command, struct flock *how)
{
    return how->l_type != F_UNLCK && fails(FCNTL) ? -1 : __real_fcntl(fd, command, how);
}

/* The sync itself takes long and says nothing to a test: no power goes. */
int __wrap_fdatasync(int fd)
{
    (void)fd;
    if (fails(FDATASYNC))
        return -1;
    syncs++;
    note(OP_SYNC, 0, NULL, 0);
    return 0;
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return fails(FSYNC) ? -1 : 0;
}

int __wrap_flock(int fd, int how)
{
    return fails(FLOCK) ? -1 : __real_flock(fd, how);
}

int __wrap_fstat(int fd, struct stat *status)
{
    return fails(FSTAT) ? -1 : __real_fstat(fd, status);
}

int __wrap_ftruncate(int fd, off_t size)
{
    if (fd == test_log.fd)
        return __real_ftruncate(fd, size);
    if (cut_fails_too || fails(FTRUNCATE))
        return -1;
    note(OP_CUT, size, NULL, 0);
    return __real_ftruncate(fd, size);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    polls++;
    assert_int_equal(timeout_ms, SPOOL_LOCK_WAIT_MS);
    return polls % 16 ? 0 : __real_poll(fds, count, timeout_ms);
}

ssize_t __wrap_pread(int fd, void *to, size_t size, off_t offset)
{
    reads++;
    return fd != test_log.fd && fails(PREAD) ? -1 : __real_pread(fd, to, size, offset);
}

ssize_t __wrap_pwrite(int fd, const void *from, size_t len, off_t offset)
{
    writes++;
    if (fails(PWRITE))
        return -1;
    if (failing == PWRITE_HALF && fail_after-- == 0) {
        fail_call(PWRITE, 0, half_count, fail_errno);
        len = (len + 1) / 2;
    }
    note(OP_WRITE, offset, from, len);
    return __real_pwrite(fd, from, len, offset);
}

/* ---- helpers ---- */

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

static int setup(void **state)
{
    (void)state;
    (void)remove("spool");
    failing = NOTHING;
    noting = false;
    reads = writes = syncs = polls = 0;
    seed = 1;
    log_forget();
    return 0;
}

/* What a record says follows from its id and its length. */
static size_t topic_len(uint64_t id)
{
    return 1 + id % 7;
}

static uint8_t byte_of(uint64_t id, size_t at)
{
    return at % 5 == 1 ? 'p' : (uint8_t)(id * 31 + at * 7);
}

static int begin(struct spool *s, uint64_t id, size_t payload_len, struct wr *payload)
{
    return spool_begin(s, (struct bytes){(const uint8_t *)"topic/7", topic_len(id)}, payload_len,
                       payload);
}

static int try_put(struct spool *s, uint64_t id, size_t payload_len, uint64_t *position)
{
    struct wr payload;
    int status = begin(s, id, payload_len, &payload);

    assert_true((status == EX_OK) == s->open);
    if (status != EX_OK)
        return status;
    assert_int_equal(wr_room(&payload), payload_len);
    for (size_t i = 0; i < payload_len; i++)
        wr_u8(&payload, byte_of(id, i));
    status = spool_commit(s, id, position);
    assert_false(s->open);
    return status;
}

static uint64_t put(struct spool *s, uint64_t id, size_t payload_len)
{
    uint64_t position = UINT64_MAX;

    assert_int_equal(try_put(s, id, payload_len, &position), EX_OK);
    return position;
}

static bool is_right(const struct spool_record *record)
{
    if (record->topic.len != topic_len(record->id) ||
        memcmp(record->topic.p, "topic/7", record->topic.len) != 0)
        return false;
    for (size_t i = 0; i < record->payload.len; i++)
        if (record->payload.p[i] != byte_of(record->id, i))
            return false;
    return true;
}

static void assert_next(struct spool *s, uint64_t id, size_t payload_len)
{
    struct spool_record record;

    assert_true(spool_has_next(s));
    assert_int_equal(spool_next(s, &record), EX_OK);
    assert_int_equal(record.id, id);
    assert_int_equal(record.payload.len, payload_len);
    assert_true(is_right(&record));
}

static void open_as(struct spool *s, uint32_t size_max)
{
    assert_int_equal(spool_open(s, "spool", size_max, &test_log), EX_OK);
}

static void open_alone(struct spool *s, uint32_t size_max)
{
    open_as(s, size_max);
    assert_int_equal(spool_claim(s), EX_OK);
    assert_int_equal(spool_look(s), EX_OK);
}

static size_t size_now(void)
{
    struct stat status;

    assert_int_equal(stat("spool", &status), 0);
    return (size_t)status.st_size;
}

/* All that can be read, as ids; damage is passed over. */
static size_t read_all(struct spool *s, uint64_t *ids, size_t ids_max)
{
    struct spool_record record;
    size_t count = 0;

    while (spool_has_next(s)) {
        const int status = spool_next(s, &record);

        if (status == EX_UNAVAILABLE)
            continue;
        assert_int_equal(status, EX_OK);
        assert_true(is_right(&record));
        assert_true(count < ids_max);
        ids[count++] = record.id;
    }
    return count;
}

static void assert_holds(uint64_t first, uint64_t last)
{
    static uint64_t ids[IDS_MAX];
    size_t count;

    open_alone(&third, 4096);
    count = read_all(&third, ids, COUNT(ids));
    assert_int_equal(count, last + 1 - first);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ids[i], first + i);
    spool_close(&third);
}

/* ---- opening ---- */

static void opening(void **state)
{
    uint8_t byte;

    (void)state;
    open_as(&spool, 1024);
    assert_int_equal(mode_of("spool"), 0600);
    assert_int_equal(size_now(), 0);
    assert_string_equal(log_text(), "");
    assert_false(spool_has_next(&spool) || spool_in_use(&spool));
    assert_int_equal(spool_sync(&spool), EX_OK);
    assert_int_equal(spool_look(&spool), EX_OK);
    assert_true(writes == 0 && syncs == 0);
    spool_close(&spool);
    spool_close(&spool);
    assert_int_equal(spool.fd, -1);
    open_as(&spool, 1024);
    spool_close(&spool);
    assert_int_equal(get_file("spool", &byte, 1), 0);
}

static void cannot_be_opened(void **state)
{
    static const struct {
        const char *file, *said;
        int status;
    } files[] = {
        {"none/spool", "cannot make none/spool: No such file", EX_CANTCREAT},
        {"folder", "cannot open folder: Is a directory", EX_CONFIG},
        {"log/spool", "cannot open log/spool: Not a directory", EX_NOINPUT},
        {"loop", "cannot open loop: ", EX_NOINPUT},
        {"nowhere", "cannot open nowhere: No such file", EX_NOINPUT},
        {"/proc/version", "cannot open /proc/version: ", EX_NOPERM},
    };

    (void)state;
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(symlink("loop", "loop"), 0);
    assert_int_equal(symlink("not/there", "nowhere"), 0);
    for (size_t i = 0; i < COUNT(files); i++) {
        log_forget();
        if (i == COUNT(files) - 1 && geteuid() == 0)
            continue; /* root may open all that there is */
        assert_int_equal(spool_open(&spool, files[i].file, 1024, &test_log), files[i].status);
        assert_int_equal(spool.fd, -1);
        assert_logged(files[i].said);
        assert_one_line();
        assert_false(spool_has_next(&spool) || spool_in_use(&spool));
    }
    assert_int_equal(spool_open(&spool, "fifo", 1024, &test_log), EX_OK);
    log_forget();
    assert_int_equal(spool_look(&spool), EX_CONFIG);
    assert_string_equal(log_text(), "fifo is not a file");
    spool_close(&spool);
    fail_call(FSYNC, 0, 1, EIO);
    log_forget();
    assert_int_equal(spool_open(&spool, "spool", 1024, &test_log), EX_CANTCREAT);
    assert_logged(with_errno("cannot make spool", EIO));
    assert_int_equal(spool.fd, -1);
}

/* ---- one run ---- */

static void known_bytes(void **state)
{
    static const uint8_t header[] = {'s', 't', 's', ' ', 's', 'p', 'o', 'o', 'l', 0, 0, 1, 0, 0, 0,
                                     0,   0,   0,   2,   0,   0,   0,   0,   0,   0, 0, 0, 0, 0};
    static const uint8_t record[] = {'p', 'u', 's', 'h', 0,   0,   0,   0,   0,  0, 0,
                                     0,   1,   2,   3,   4,   5,   6,   7,   8,  0, 3,
                                     0,   0,   0,   2,   'a', '/', 'b', 'x', 'y'};
    uint8_t bytes[1024], digest[32];
    const struct bytes parts[] = {{header, sizeof header},
                                  {bytes + sizeof header, 496 - sizeof header}},
                       whole = {record, sizeof record};
    struct wr payload;
    uint64_t position = 7;

    (void)state;
    open_as(&spool, 1024);
    assert_int_equal(spool_begin(&spool, bytes_of("a/b"), 2, &payload), EX_OK);
    wr_put(&payload, "xy", 2);
    assert_int_equal(spool_commit(&spool, 0x0102030405060708, &position), EX_OK);
    assert_int_equal(position, 0);
    assert_int_equal(get_file("spool", bytes, sizeof bytes), 512 + sizeof record + 16);
    assert_memory_equal(bytes, header, sizeof header);
    for (size_t i = sizeof header; i < 496; i++)
        assert_int_equal(bytes[i], 0);
    crypto_sha256(digest, parts, 2);
    assert_memory_equal(bytes + 496, digest, 16);
    assert_memory_equal(bytes + 512, record, sizeof record);
    crypto_sha256(digest, &whole, 1);
    assert_memory_equal(bytes + 512 + sizeof record, digest, 16);
    assert_true(syncs == 0 && spool.unsynced);
    assert_int_equal(spool_sync(&spool), EX_OK);
    assert_int_equal(spool_sync(&spool), EX_OK);
    assert_true(syncs == 1 && !spool.unsynced);
    spool_close(&spool);
}

static void in_and_out(void **state)
{
    uint64_t positions[4];

    (void)state;
    open_alone(&spool, 4096);
    for (uint64_t id = 0; id < 4; id++)
        positions[id] = put(&spool, 10 + id, 20 + id);
    assert_int_equal(spool.last_id, 13);
    for (uint64_t id = 0; id < 4; id++)
        assert_next(&spool, 10 + id, 20 + id);
    assert_false(spool_has_next(&spool));
    assert_true(spool_in_use(&spool));
    writes = 0;
    assert_int_equal(spool_remove(&spool, positions[0]), EX_OK);
    assert_int_equal(writes, 0);
    assert_int_equal(spool_remove(&spool, positions[2]), EX_OK);
    assert_int_equal(writes, 1);
    assert_int_equal(spool_remove(&spool, positions[1]), EX_OK);
    assert_int_equal(writes, 1);
    spool_close(&spool);
    assert_holds(12, 13);
    open_alone(&spool, 4096);
    assert_int_equal(spool.last_id, 13);
    assert_int_equal(spool.next, positions[2]);
    assert_next(&spool, 12, 22);
    /* Not what was not read. */
    assert_int_equal(spool_remove(&spool, spool.end), EX_OK);
    assert_int_equal(spool.head, positions[2]);
    assert_next(&spool, 13, 23);
    syncs = 0;
    assert_int_equal(spool_remove(&spool, spool.end), EX_OK);
    assert_int_equal(syncs, 0);
    assert_int_equal(size_now(), 0);
    assert_false(spool_in_use(&spool) || spool_has_next(&spool));
    assert_true(spool.head == 0 && spool.next == 0 && spool.end == 0 && spool.last_id == 13);
    assert_int_equal(put(&spool, 14, 1), 0);
    assert_next(&spool, 14, 1);
    spool_close(&spool);
    assert_holds(14, 14);
    assert_string_equal(log_text(), "");
}

/* Forgotten, or of a run that ends between: nothing of it is in the file. */
static void abandoned(void **state)
{
    struct wr payload;

    (void)state;
    open_as(&spool, 1024);
    assert_int_equal(begin(&spool, 1, 10, &payload), EX_OK);
    assert_true(spool.open);
    spool_abandon(&spool);
    assert_false(spool.open);
    assert_int_equal(size_now(), 0);
    put(&spool, 1, 10);
    assert_int_equal(begin(&spool, 2, 10, &payload), EX_OK);
    spool_close(&spool);
    assert_holds(1, 1);
}

static void the_largest(void **state)
{
    struct wr payload;
    struct spool_record record;
    char topic[CONF_VALUE_MAX_CHARS];
    uint64_t position;

    (void)state;
    memset(topic, 't', sizeof topic);
    open_alone(&spool, SPOOL_HEADER_BYTES + SPOOL_RECORD_MAX_BYTES);
    for (uint64_t id = 1; id < 4; id++) {
        assert_int_equal(spool_begin(&spool, (struct bytes){(uint8_t *)topic, sizeof topic},
                                     PAYLOAD_MAX_BYTES, &payload),
                         EX_OK);
        memset(wr_claim(&payload, PAYLOAD_MAX_BYTES), (int)id, PAYLOAD_MAX_BYTES);
        assert_int_equal(spool_commit(&spool, id, &position), EX_OK);
        assert_int_equal(begin(&spool, 1, 1, &payload), EX_CANTCREAT);
        spool_close(&spool);
        open_alone(&spool, SPOOL_HEADER_BYTES + SPOOL_RECORD_MAX_BYTES);
        assert_int_equal(spool_next(&spool, &record), EX_OK);
        assert_int_equal(record.topic.len, sizeof topic);
        assert_memory_equal(record.topic.p, topic, sizeof topic);
        assert_int_equal(record.payload.len, PAYLOAD_MAX_BYTES);
        assert_int_equal(record.payload.p[PAYLOAD_MAX_BYTES - 1], id);
        assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    }
    spool_close(&spool);
}

static void full(void **state)
{
    uint64_t position, first;

    (void)state;
    open_alone(&spool, 1024);
    /* Two halves: to the last byte. */
    first = put(&spool, 7, 256 - AROUND - topic_len(7));
    assert_int_equal(try_put(&spool, 8, 257 - AROUND - topic_len(8), &position), EX_CANTCREAT);
    put(&spool, 8, 256 - AROUND - topic_len(8));
    assert_int_equal(spool.end, 512);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(try_put(&spool, 14, 1, &position), EX_CANTCREAT);
        assert_string_equal(log_text(), "");
        spool_close(&spool);
        assert_holds(7, 8);
        open_alone(&spool, 1024);
    }
    assert_next(&spool, 7, 256 - AROUND - topic_len(7));
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_int_equal(put(&spool, 9, 256 - AROUND - topic_len(9)), 512);
    assert_int_equal(spool.end - spool.head, 512);
    assert_int_equal(try_put(&spool, 14, 1, &position), EX_CANTCREAT);
    spool_close(&spool);
    assert_holds(8, 9);
    assert_int_equal(first, 0);
    assert_int_equal(size_now(), 1024);
}

/* ---- a queue to hold it against ---- */

struct model {
    uint64_t first, last; /* the ids in it: first .. last - 1 */
    uint64_t read;        /* the one that comes next */
    size_t lens[IDS_MAX];
    uint64_t ends[IDS_MAX];
};

static struct model model;

static void model_put(struct spool *s, size_t len_max)
{
    const uint64_t id = model.last;
    const size_t len = 1 + draw((uint32_t)len_max);
    uint64_t position;
    const int status = try_put(s, id, len, &position);

    if (status == EX_CANTCREAT) {
        assert_true(AROUND + topic_len(id) + len > s->capacity - (s->end - s->head));
        return;
    }
    assert_int_equal(status, EX_OK);
    assert_int_equal(s->last_id, id);
    model.lens[id] = len;
    model.ends[id] = s->end;
    model.last++;
}

static void model_next(struct spool *s)
{
    assert_true(spool_has_next(s));
    assert_next(s, model.read, model.lens[model.read]);
    model.read++;
}

static void model_remove(struct spool *s)
{
    const uint64_t count = model.read - model.first;
    uint64_t id;

    if (count == 0)
        return;
    id = model.first + draw((uint32_t)count);
    assert_int_equal(spool_remove(s, model.ends[id]), EX_OK);
    model.first = id + 1;
    if (model.first == model.last)
        assert_int_equal(size_now(), 0);
}

static void model_reopen(struct spool *s, uint32_t size_max, bool alone)
{
    spool_close(s);
    if (!alone) {
        open_as(s, size_max);
        return;
    }
    open_alone(s, size_max);
    model.read = model.first;
    assert_int_equal(spool_has_next(s), model.first != model.last);
    if (model.first != model.last)
        assert_int_equal(s->last_id, model.last - 1);
}

/* One run that sends, and two that append. */
static void model_step(uint32_t size_max, size_t len_max)
{
    const uint32_t what = draw(16);

    if (what < 4)
        model_put(&spool, len_max);
    else if (what < 6)
        model_put(what == 4 ? &second : &third, len_max);
    else if (what < 10 && model.read < model.last) {
        assert_int_equal(spool_look(&spool), EX_OK);
        model_next(&spool);
    } else if (what < 14)
        model_remove(&spool);
    else if (what == 14)
        model_reopen(draw(2) ? &second : &third, size_max, false);
    else if (draw(8) == 0)
        model_reopen(&spool, size_max, true);
}

static void as_a_queue(void **state)
{
    static const struct {
        uint32_t size_min, size_step;
        size_t len_max;
    } rings[] = {{1024, 1, 100},   {1024, 7, 400},   {1100, 13, 20},
                 {3000, 101, 600}, {40000, 0, 9000}, {50000, 1, 300}};

    (void)state;
    for (size_t i = 0; i < COUNT(rings); i++)
        for (uint32_t round = 0; round < 8; round++) {
            const uint32_t size_max = rings[i].size_min + round * rings[i].size_step;

            (void)unlink("spool");
            model = (struct model){.first = 1, .last = 1, .read = 1};
            seed = 1 + round;
            open_alone(&spool, size_max);
            open_as(&second, size_max);
            open_as(&third, size_max);
            for (unsigned step = 0; step < 1000; step++) {
                model_step(size_max, rings[i].len_max);
                assert_true(size_now() <= size_max);
            }
            assert_false(spool.damaged || second.damaged || third.damaged);
            assert_string_equal(log_text(), "");
            assert_true(model.last > 100);
            spool_close(&spool);
            spool_close(&second);
            spool_close(&third);
        }
}

/* A record at each place of the ring, so also across its end in every way. */
static void across_the_end(void **state)
{
    (void)state;
    open_alone(&spool, 1024);
    put(&spool, 1, 50);
    for (uint64_t id = 2; id < 2000; id++) {
        put(&spool, id, 50 + id % 3);
        spool_close(&spool);
        open_alone(&spool, 1024);
        assert_next(&spool, id - 1, id == 2 ? 50 : 50 + (id - 1) % 3);
        assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
        assert_next(&spool, id, 50 + id % 3);
    }
    assert_string_equal(log_text(), "");
    spool_close(&spool);
}

/* spool_max was changed: at once where no record lies badly for it. */
static void another_size(void **state)
{
    uint64_t position;

    (void)state;
    open_alone(&spool, 1024);
    put(&spool, 1, 200);
    put(&spool, 2, 150);
    assert_int_equal(try_put(&spool, 3, 200, &position), EX_CANTCREAT);
    open_as(&second, 2048);
    put(&second, 3, 200);
    assert_int_equal(second.capacity, 2048 - 512);
    /* The run that sends goes on, and leaves the size as it is. */
    assert_next(&spool, 1, 200);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_int_equal(spool.capacity, 2048 - 512);
    assert_next(&spool, 2, 150);
    assert_int_equal(spool_look(&spool), EX_OK);
    assert_next(&spool, 3, 200);
    /* Smaller again: not while what is there is larger. */
    put(&spool, 4, 30);
    assert_int_equal(spool.capacity, 2048 - 512);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_next(&spool, 4, 30);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    put(&spool, 5, 30);
    assert_int_equal(spool.capacity, 512);
    put(&second, 6, 200);
    assert_int_equal(second.capacity, 2048 - 512);
    put(&spool, 7, 100);
    assert_int_equal(spool.capacity, 512);
    assert_next(&spool, 5, 30);
    assert_next(&spool, 6, 200);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    put(&spool, 8, 150); /* across the end */
    put(&second, 9, 10);
    assert_int_equal(second.capacity, 512);
    assert_next(&spool, 7, 100);
    spool_close(&spool);
    spool_close(&second);
    assert_holds(7, 9);
    assert_string_equal(log_text(), "");
}

/* ---- more than one run ---- */

static int in_child(int (*what)(void))
{
    const pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(what());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int child_claims(void)
{
    open_as(&third, 4096);
    return spool_claim(&third);
}

static int child_puts(void)
{
    uint64_t position;

    open_as(&third, 4096);
    return try_put(&third, 100, 5, &position);
}

static int child_looks(void)
{
    open_as(&third, 4096);
    return spool_look(&third);
}

static void locks(void **state)
{
    struct wr payload;

    (void)state;
    open_as(&spool, 4096);
    assert_int_equal(spool_claim(&spool), EX_OK);
    assert_int_equal(spool_claim(&spool), EX_OK);
    assert_int_equal(in_child(child_claims), EX_TEMPFAIL);
    assert_string_equal(log_text(), "");
    put(&spool, 1, 10);
    assert_int_equal(in_child(child_puts), EX_OK);
    assert_int_equal(spool_look(&spool), EX_OK);
    assert_int_equal(spool.last_id, 100);
    assert_int_equal(begin(&spool, 101, 10, &payload), EX_OK);
    assert_int_equal(in_child(child_puts), EX_IOERR);
    assert_string_equal(log_text(), "spool is in use by another program");
    log_forget();
    assert_int_equal(in_child(child_looks), EX_IOERR);
    spool_abandon(&spool);
    assert_int_equal(in_child(child_looks), EX_OK);
    /* No function leaves it locked. */
    put(&spool, 101, 10);
    assert_int_equal(in_child(child_looks), EX_OK);
    assert_next(&spool, 1, 10);
    assert_next(&spool, 100, 5);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_int_equal(in_child(child_looks), EX_OK);
    assert_next(&spool, 101, 10);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_int_equal(in_child(child_looks), EX_OK);
    assert_int_equal(begin(&spool, 1, 10000, &payload), EX_CANTCREAT);
    assert_int_equal(in_child(child_looks), EX_OK);
    spool_close(&spool);
    assert_int_equal(in_child(child_claims), EX_OK);
}

/* Three processes that append as long as there is room, one that takes out; some are killed. */
static pid_t start_appending(uint64_t number, int fd)
{
    const pid_t pid = fork();
    uint64_t position;

    if (pid != 0)
        return pid;
    open_as(&third, 2048);
    for (uint64_t id = number << 32 | 1;; id++) {
        int status;

        while ((status = try_put(&third, id, 1 + id % 90, &position)) == EX_CANTCREAT)
            (void)__real_poll(NULL, 0, 1);
        if (status != EX_OK || write(fd, &id, sizeof id) != sizeof id)
            _exit(1);
    }
}

static void appending_and_sending(void **state)
{
    uint64_t told[4] = {0}, got[4] = {0}, id;
    pid_t pids[4];
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_true(__real_fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    for (uint64_t i = 1; i < 4; i++)
        pids[i] = start_appending(i, ends[1]);
    close(ends[1]);
    open_alone(&spool, 2048);
    for (unsigned count = 0; count < 3000;) {
        struct spool_record record;

        while (read(ends[0], &id, sizeof id) == sizeof id)
            told[id >> 32] = id & UINT32_MAX;
        assert_int_equal(spool_look(&spool), EX_OK);
        while (spool_has_next(&spool)) {
            assert_int_equal(spool_next(&spool, &record), EX_OK);
            assert_true(is_right(&record));
            assert_int_equal(record.id & UINT32_MAX, got[record.id >> 32] + 1);
            got[record.id >> 32]++;
            count++;
        }
        if (draw(3))
            assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
        if (count > 1000 && pids[1] && kill(pids[1], SIGKILL) == 0)
            assert_int_equal(waitpid(pids[1], NULL, 0), pids[1]), pids[1] = 0;
    }
    for (size_t i = 2; i < 4; i++) {
        assert_int_equal(kill(pids[i], SIGKILL), 0);
        assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
    }
    while (read(ends[0], &id, sizeof id) == sizeof id)
        told[id >> 32] = id & UINT32_MAX;
    close(ends[0]);
    assert_int_equal(spool_look(&spool), EX_OK);
    while (spool_has_next(&spool)) {
        struct spool_record record;

        assert_int_equal(spool_next(&spool, &record), EX_OK);
        assert_int_equal(record.id & UINT32_MAX, ++got[record.id >> 32]);
    }
    for (size_t i = 1; i < 4; i++)
        assert_in_range(got[i], told[i], told[i] + 1);
    assert_false(spool.damaged);
    spool_close(&spool);
}

/* What was known before somebody else sent is not what is there now. */
static void claimed_later(void **state)
{
    (void)state;
    open_as(&second, 4096);
    put(&second, 1, 10);
    put(&second, 2, 10);
    open_alone(&spool, 4096);
    assert_next(&spool, 1, 10);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_int_equal(spool_claim(&second), EX_TEMPFAIL);
    spool_close(&spool);
    assert_int_equal(spool_claim(&second), EX_OK);
    assert_false(spool_has_next(&second));
    assert_int_equal(spool_look(&second), EX_OK);
    assert_next(&second, 2, 10);
    assert_false(spool_has_next(&second));
    spool_close(&second);
}

/* Emptied and begun anew, with other records at the same places. */
static void begun_anew(void **state)
{
    (void)state;
    open_alone(&spool, 1024);
    open_as(&second, 1024);
    put(&second, 1, 30);
    put(&second, 2, 100);
    assert_int_equal(spool_look(&spool), EX_OK);
    assert_next(&spool, 1, 30);
    assert_next(&spool, 2, 100);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    put(&spool, 3, 100);
    put(&spool, 4, 30);
    put(&spool, 5, 100);
    put(&second, 6, 10);
    assert_int_equal(second.last_id, 6);
    assert_int_equal(spool_look(&spool), EX_OK);
    for (uint64_t id = 3; id < 7; id++)
        assert_next(&spool, id, id == 4 ? 30 : id == 6 ? 10 : 100);
    spool_close(&spool);
    assert_string_equal(log_text(), "");
    assert_holds(3, 6);
    spool_close(&second);
}

static void removed_meanwhile(void **state)
{
    struct wr payload;

    (void)state;
    open_alone(&spool, 1024);
    put(&spool, 1, 10);
    assert_next(&spool, 1, 10);
    (void)unlink("spool");
    assert_int_equal(spool_look(&spool), EX_IOERR);
    assert_string_equal(log_text(), "spool was removed meanwhile");
    assert_int_equal(begin(&spool, 2, 10, &payload), EX_IOERR);
    assert_int_equal(spool_remove(&spool, spool.next), EX_IOERR);
    spool_close(&spool);
    /* Emptied by hand: what is put in then is sent. */
    open_alone(&spool, 1024);
    put(&spool, 1, 10);
    assert_next(&spool, 1, 10);
    assert_int_equal(truncate("spool", 0), 0);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    put(&spool, 2, 30);
    assert_next(&spool, 2, 30);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_int_equal(size_now(), 0);
    spool_close(&spool);
}

/* ---- torn and damaged files ---- */

static uint8_t image[IMAGE_MAX], changed[IMAGE_MAX];
static size_t image_len;

/* Four records. `laps`: how many lie before them. */
static void make_image(unsigned laps)
{
    (void)unlink("spool");
    open_alone(&spool, 1024);
    for (uint64_t id = 1; laps > 0 && id < 8 * laps; id++) {
        put(&spool, 100 + id, 60);
        if (id > 1) {
            assert_next(&spool, 99 + id, 60);
            assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
        }
    }
    for (uint64_t id = 1; id <= 4; id++) {
        put(&spool, id, 40 + id);
        if (id == 1 && laps > 0) {
            assert_next(&spool, 100 + 8 * laps - 1, 60);
            assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
        }
    }
    assert_int_equal(spool_sync(&spool), EX_OK);
    spool_close(&spool);
    image_len = get_file("spool", image, sizeof image);
    log_forget();
}

/* Looks, appends one more, and looks again. Returns how many of the four were there, from the
 * first; with the status of the look in *status. */
static uint64_t try_image(const uint8_t *bytes, size_t len, int *status)
{
    uint64_t ids[8];
    size_t count, again;

    log_forget();
    put_file("spool", bytes, len, 0600);
    open_as(&spool, 1024);
    assert_int_equal(spool_claim(&spool), EX_OK);
    *status = spool_look(&spool);
    if (*status != EX_OK) {
        assert_false(spool_has_next(&spool) || spool_in_use(&spool));
        spool_close(&spool);
        return 0;
    }
    count = read_all(&spool, ids, COUNT(ids));
    for (size_t i = 1; i < count; i++)
        assert_true(ids[i - 1] < ids[i]);
    put(&spool, 9, 33);
    assert_next(&spool, 9, 33);
    spool_close(&spool);
    open_alone(&spool, 1024);
    again = read_all(&spool, ids, COUNT(ids));
    assert_int_equal(again, count + 1);
    assert_int_equal(ids[count], 9);
    for (size_t i = 0; i < count; i++)
        assert_in_range(ids[i], 1, 4);
    return count;
}

static void assert_cut(size_t at, uint64_t count, int status)
{
    size_t end = SPOOL_HEADER_BYTES;
    uint64_t whole = 0;

    assert_int_equal(status, EX_OK);
    while (whole < 4 && end + AROUND + topic_len(whole + 1) + 41 + whole <= at)
        end += AROUND + topic_len(whole + 1) + 41 + whole, whole++;
    assert_int_equal(count, whole);
    assert_false(spool.damaged);
    if (at > end)
        assert_logged("bytes at its end were not written whole");
    else
        assert_null(strstr(log_text(), "not written whole"));
}

static void cut_anywhere(void **state)
{
    (void)state;
    make_image(0);
    for (size_t cut = 0; cut <= image_len; cut++) {
        int status;
        const uint64_t count = try_image(image, cut, &status);

        if (cut == 0 || cut >= SPOOL_HEADER_BYTES) {
            assert_cut(cut, count, status);
        } else {
            assert_int_equal(status, EX_OK);
            assert_int_equal(count, 0);
            assert_logged("spool was begun and not written whole");
        }
        spool_close(&spool);
    }
}

static void zeros_from_anywhere(void **state)
{
    (void)state;
    make_image(0);
    for (size_t from = 0; from < image_len; from++) {
        int status;
        uint64_t count;

        memcpy(changed, image, image_len);
        memset(changed + from, 0, image_len - from);
        if (memcmp(changed, image, image_len) == 0)
            continue;
        count = try_image(changed, image_len, &status);
        if (from == 0) {
            assert_true(status == EX_OK && count == 0);
            assert_logged("spool was begun and not written whole");
        } else if (from < SPOOL_HEADER_BYTES && memcmp(changed, image, SPOOL_HEADER_BYTES) != 0) {
            assert_int_equal(status, EX_CONFIG);
        } else {
            assert_int_equal(status, EX_OK);
            assert_true(count < 4);
            assert_logged("bytes at its end were not written whole");
        }
        spool_close(&spool);
    }
    /* Only the size has come to the disk. */
    memset(changed, 0, sizeof changed);
    for (size_t len = 1; len < 1024; len++) {
        int status;

        assert_int_equal(try_image(changed, len, &status), 0);
        assert_int_equal(status, EX_OK);
        assert_logged("spool was begun and not written whole");
        spool_close(&spool);
    }
}

/* In a ring that has wrapped a torn record has the bytes of an older lap behind it. */
static void torn_over_an_older_lap(void **state)
{
    static uint8_t before[IMAGE_MAX];

    (void)state;
    for (unsigned laps = 1; laps < 12; laps++) {
        uint64_t position;
        size_t len;

        make_image(laps);
        memcpy(before, image, image_len);
        open_alone(&spool, 1024);
        position = put(&spool, 5, 50);
        len = (size_t)(spool.end - position);
        spool_close(&spool);
        assert_int_equal(get_file("spool", image, sizeof image), image_len);
        for (size_t keep = 0; keep < len; keep++) {
            int status;

            memcpy(changed, before, image_len);
            for (size_t i = 0; i < keep; i++)
                changed[512 + (position + i) % 512] = image[512 + (position + i) % 512];
            if (memcmp(changed, image, image_len) == 0)
                continue;
            assert_int_equal(try_image(changed, image_len, &status), 4);
            assert_int_equal(status, EX_OK);
            assert_false(spool.damaged);
            if (keep > 12)
                assert_logged("bytes at its end were not written whole");
            spool_close(&spool);
        }
    }
}

/* Not a wrong record, not more than the one that was hit; and it is said. */
static void a_damaged_byte_anywhere(void **state)
{
    (void)state;
    for (unsigned laps = 0; laps < 12; laps += 4) {
        make_image(laps);
        for (size_t at = 0; at < image_len; at++) {
            const size_t fourth = image_len - (AROUND + topic_len(4) + 44);
            const bool said_lost = at < fourth;
            uint64_t count;
            int status;

            memcpy(changed, image, image_len);
            changed[at] ^= (uint8_t)(1u << at % 8);
            count = try_image(changed, image_len, &status);
            if (at < SPOOL_HEADER_BYTES) {
                assert_int_equal(status, EX_CONFIG);
                assert_one_line();
                assert_int_equal(get_file("spool", changed + image_len, image_len), image_len);
                assert_memory_equal(changed + image_len, changed, image_len);
                continue;
            }
            assert_int_equal(status, EX_OK);
            assert_true(count >= 3);
            if (count == 3 && laps == 0)
                assert_logged(said_lost ? "spool is damaged at byte"
                                        : "bytes at its end were not written whole");
            spool_close(&spool);
        }
    }
}

static void said_and_passed_over(void **state)
{
    char said[100];
    uint64_t ids[8];

    (void)state;
    make_image(0);
    image[SPOOL_HEADER_BYTES + AROUND + 2 + 41 + 30] ^= 1; /* in the second one */
    put_file("spool", image, image_len, 0600);
    open_alone(&spool, 1024);
    (void)snprintf(said, sizeof said, "spool is damaged at byte %zu: %zu bytes of it are lost",
                   SPOOL_HEADER_BYTES + AROUND + topic_len(1) + 41, AROUND + topic_len(2) + 42);
    assert_string_equal(log_text(), said);
    assert_true(spool.damaged);
    assert_int_equal(spool_look(&spool), EX_OK);
    assert_int_equal(read_all(&spool, ids, 8), 3);
    assert_true(ids[0] == 1 && ids[1] == 3 && ids[2] == 4);
    assert_string_equal(log_text(), said); /* once */
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_int_equal(size_now(), 0);
    spool_close(&spool);
}

static void write_at(uint64_t offset, const void *bytes, size_t len)
{
    const int fd = open("spool", O_WRONLY | O_CLOEXEC);

    assert_int_equal(__real_pwrite(fd, bytes, len, (off_t)offset), len);
    close(fd);
}

/* No record begins there any more. */
static void damage(uint64_t position)
{
    write_at(SPOOL_HEADER_BYTES + position + 1, "\xff", 1);
}

/* What is searched is read in pieces: a record may begin across two of them. */
static void behind_a_large_gap(void **state)
{
    const size_t piece = SPOOL_RECORD_MAX_BYTES - (2 * AROUND + topic_len(1) + topic_len(2) + 8000);

    (void)state;
    for (size_t len = piece - 40; len < piece + 20; len++) {
        uint64_t ids[4], second_at;

        (void)unlink("spool");
        open_as(&spool, 40000);
        put(&spool, 1, 8000);
        second_at = put(&spool, 2, len);
        put(&spool, 3, 10);
        spool_close(&spool);
        damage(0);
        damage(second_at);
        open_alone(&spool, 40000);
        assert_int_equal(read_all(&spool, ids, COUNT(ids)), 1);
        assert_true(ids[0] == 3 && spool.damaged);
        spool_close(&spool);
    }
}

/* Lengths count only within their limits, whatever the ring has room for. */
static void lengths_that_cannot_be(void **state)
{
    static const struct {
        off_t at;
        const char *bytes;
        size_t len;
    } lengths[] = {{20, "\xff\xff", 2}, {20, "\0\x81", 2},           {20, "\0\0", 2},
                   {22, "\0\1\0\0", 4}, {22, "\xff\xff\xff\xff", 4}, {22, "\0\0\0\0", 4}};

    (void)state;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        uint64_t ids[4];
        int fd;

        (void)unlink("spool");
        open_as(&spool, 200000);
        put(&spool, 1, 10);
        put(&spool, 2, 10);
        spool_close(&spool);
        fd = open("spool", O_WRONLY | O_CLOEXEC);
        assert_int_equal(
            __real_pwrite(fd, lengths[i].bytes, lengths[i].len, SPOOL_HEADER_BYTES + lengths[i].at),
            lengths[i].len);
        close(fd);
        open_alone(&spool, 200000);
        assert_int_equal(read_all(&spool, ids, COUNT(ids)), 1);
        assert_true(ids[0] == 2 && spool.damaged);
        spool_close(&spool);
    }
}

/* A look that fails leaves what was known. */
static void a_look_that_fails(void **state)
{
    (void)state;
    for (int after = 0; after < 8; after++) {
        uint64_t end;

        make_image(0);
        open_alone(&spool, 1024);
        end = spool.end;
        assert_int_equal(truncate("spool", (off_t)image_len - 1), 0);
        fail_call(PREAD, after, 1, EIO);
        assert_int_equal(spool_look(&spool), EX_IOERR);
        assert_int_equal(spool.end, end);
        for (uint64_t id = 1; id < 4; id++)
            assert_next(&spool, id, 40 + id);
        assert_int_equal(spool_look(&spool), EX_OK);
        assert_false(spool_has_next(&spool));
        spool_close(&spool);
    }
}

static void damaged_meanwhile(void **state)
{
    struct spool_record record;
    int fd;

    (void)state;
    for (uint64_t hit = 1; hit <= 4; hit++) {
        off_t at = SPOOL_HEADER_BYTES + 10;

        make_image(0);
        for (uint64_t id = 1; id < hit; id++)
            at += (off_t)(AROUND + topic_len(id) + 40 + id);
        open_alone(&spool, 1024);
        fd = open("spool", O_WRONLY | O_CLOEXEC);
        assert_int_equal(__real_pwrite(fd, "\xff", 1, at), 1);
        close(fd);
        for (uint64_t id = 1; id <= 4; id++) {
            if (id != hit) {
                assert_next(&spool, id, 40 + id);
                continue;
            }
            assert_int_equal(spool_next(&spool, &record), EX_UNAVAILABLE);
            assert_logged("spool is damaged at byte ");
            assert_true(spool.damaged);
        }
        assert_false(spool_has_next(&spool));
        assert_one_line();
        /* The end may have moved back: then what comes now begins there. */
        put(&spool, 5, 10);
        assert_next(&spool, 5, 10);
        assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
        assert_int_equal(size_now(), 0);
        spool_close(&spool);
    }
}

static void seal_header(uint8_t *header)
{
    const struct bytes body = {header, 496};
    uint8_t digest[32];

    crypto_sha256(digest, &body, 1);
    memcpy(header + 496, digest, 16);
}

static void not_a_spool(void **state)
{
    static const struct {
        size_t at;
        const char *bytes, *said;
        size_t len;
        bool sealed;
    } headers[] = {
        {0, "S", "it does not begin as a spool does", 1, true},
        {10, "\0\2", "spool is of another version of sts (2)", 2, true},
        {10, "\0\2", "spool is of another version of sts (2)", 2, false},
        {400, "x", "its header has a wrong checksum", 1, false},
        {12, "\0\0\0\0\0\0\1\xff", "it cannot be that large", 8, true},
        {12, "\0\0\0\0\x0f\xff\xfe\1", "it cannot be that large", 8, true},
    };
    static const char *const texts[] = {"key = value\n", "s", "sts spoon", "sts spool\n", "\0x"};
    struct wr payload;
    int status;

    (void)state;
    for (size_t i = 0; i < COUNT(headers); i++) {
        make_image(0);
        memcpy(image + headers[i].at, headers[i].bytes, headers[i].len);
        if (headers[i].sealed)
            seal_header(image);
        (void)try_image(image, image_len, &status);
        assert_int_equal(status, EX_CONFIG);
        assert_logged(headers[i].said);
        open_as(&spool, 1024);
        assert_int_equal(begin(&spool, 1, 1, &payload), EX_CONFIG);
        assert_int_equal(in_child(child_looks), EX_CONFIG); /* not: still locked */
        spool_close(&spool);
        assert_int_equal(get_file("spool", changed, sizeof changed), image_len);
        assert_memory_equal(changed, image, image_len);
    }
    for (size_t i = 0; i < COUNT(texts); i++) {
        const size_t len = strlen(texts[i]) + (i == 4 ? 2 : 0);

        (void)try_image((const uint8_t *)texts[i], len, &status);
        assert_int_equal(status, i == 1 ? EX_OK : EX_CONFIG);
        spool_close(&spool);
    }
}

/* The head may be ahead of all that has come to the disk. */
static void a_head_behind_the_end(void **state)
{
    static const uint64_t heads[] = {1, 100, 511, 512, 513, 700, 1025, 123456789};

    (void)state;
    for (size_t i = 0; i < COUNT(heads); i++)
        for (size_t len = SPOOL_HEADER_BYTES; len <= 1024; len += 64) {
            struct wr out = wr_over(changed + 20, 8);
            uint64_t ids[8];

            make_image(0);
            memset(changed, 0, 1024);
            memcpy(changed, image, image_len);
            wr_be64(&out, heads[i]);
            seal_header(changed);
            put_file("spool", changed, len, 0600);
            open_alone(&spool, 1024);
            if (heads[i] > image_len - 512)
                assert_false(spool_has_next(&spool));
            (void)read_all(&spool, ids, 8);
            put(&spool, 9, 33);
            assert_int_equal(read_all(&spool, ids, 8), 1);
            assert_int_equal(ids[0], 9);
            spool_close(&spool);
            open_alone(&spool, 1024);
            (void)read_all(&spool, ids, 8);
            assert_int_equal(spool.last_id, 9);
            spool_close(&spool);
        }
}

/* ---- the bookmark ---- */

enum { MANY = 2000, LEN = 130, MARK_AT = 28 };

/* What a look reads at most where the bookmark counts: two reads for each record behind it, and
 * some for the header, the end and the bookmark itself. */
#define FEW_READS (2 * (SPOOL_BOOKMARK_BYTES / (AROUND + LEN) + 2) + 10)

static void put_many(uint64_t first, uint64_t last)
{
    open_as(&second, 1000000);
    for (uint64_t id = first; id <= last; id++)
        put(&second, id, LEN);
    spool_close(&second);
}

static uint64_t header_field(size_t at)
{
    uint8_t bytes[SPOOL_HEADER_BYTES];
    struct rd in = rd_over(bytes + at, 8);

    assert_true(get_file("spool", bytes, sizeof bytes) > 0);
    return rd_be64(&in);
}

static void set_bookmark(uint64_t position, uint64_t id)
{
    uint8_t bytes[SPOOL_HEADER_BYTES];
    struct wr out = wr_over(bytes + MARK_AT, 16);

    assert_true(get_file("spool", bytes, sizeof bytes) > 0);
    wr_be64(&out, position);
    wr_be64(&out, id);
    seal_header(bytes);
    write_at(0, bytes, sizeof bytes);
}

/* How many reads it takes to learn where it ends; it has to be behind record `last_id`. */
static unsigned reads_to_look(uint64_t last_id)
{
    open_as(&spool, 1000000);
    reads = 0;
    assert_int_equal(spool_look(&spool), EX_OK);
    assert_int_equal(spool.last_id, last_id);
    spool_close(&spool);
    return reads;
}

/* What 2,000 records cost a run that appends one more: no more than 20 would, and a header now and
 * then. */
static void a_bookmark_is_used(void **state)
{
    uint64_t end;

    (void)state;
    put_many(1, MANY);
    end = size_now() - SPOOL_HEADER_BYTES;
    assert_in_range(writes, MANY + 1 + end / (SPOOL_BOOKMARK_BYTES + AROUND + LEN + 7),
                    MANY + 1 + end / SPOOL_BOOKMARK_BYTES);
    assert_int_equal(syncs, 0);
    assert_in_range(header_field(MARK_AT), end - SPOOL_BOOKMARK_BYTES - AROUND - LEN - 7, end);
    assert_in_range(header_field(MARK_AT + 8), MANY - SPOOL_BOOKMARK_BYTES / (AROUND + LEN), MANY);
    assert_in_range(reads_to_look(MANY), 1, FEW_READS);
    for (uint64_t id = MANY + 1; id <= MANY + 300; id++) {
        reads = writes = 0;
        put_many(id, id);
        assert_in_range(reads, 1, FEW_READS);
        assert_in_range(writes, 1, 2);
        assert_int_equal(writes == 2, header_field(MARK_AT + 8) == id - 1);
    }
    assert_holds(1, MANY + 300);
    assert_string_equal(log_text(), "");
}

/* Files of before there were bookmarks, and what such a program makes of a header. */
static void without_a_bookmark(void **state)
{
    (void)state;
    put_many(1, MANY);
    for (int again = 0; again < 2; again++) {
        set_bookmark(0, 0);
        assert_in_range(reads_to_look(MANY), 2 * MANY, 2 * MANY + 10);
        assert_in_range(reads_to_look(MANY), 2 * MANY, 2 * MANY + 10); /* looking writes nothing */
    }
    put_many(MANY + 1, MANY + 1);
    assert_in_range(reads_to_look(MANY + 1), 1, FEW_READS);
    assert_int_equal(header_field(MARK_AT + 8), MANY);
    assert_holds(1, MANY + 1);
    assert_string_equal(log_text(), "");
}

/* Where the bookmark proves nothing a run begins at the head. */
static void a_bookmark_is_not_believed(void **state)
{
    uint64_t right, id, end;

    (void)state;
    put_many(1, MANY);
    end = size_now() - SPOOL_HEADER_BYTES;
    right = header_field(MARK_AT);
    id = header_field(MARK_AT + 8);
    const struct {
        uint64_t position, id;
        bool believed;
    } marks[] = {
        {right, id, true},
        {right, MANY, true},
        {right, id - 1, false}, /* another record */
        {right, 0, false},
        {0, 0, false},
        {right + 1, id, false},
        {right - 1, id, false},
        {end, id, false},
        {end + 100, id, false},
        {1000000 - SPOOL_HEADER_BYTES - 1, id, false},
        {right + (1000000 - SPOOL_HEADER_BYTES), id, false}, /* a lap ahead */
        {right - (1000000 - SPOOL_HEADER_BYTES), id, false}, /* ... behind */
        {INT64_MAX, id, false},
        {UINT64_MAX, id, false},
        {UINT64_MAX - 100, id, false},
    };
    for (size_t i = 0; i < COUNT(marks); i++) {
        set_bookmark(marks[i].position, marks[i].id);
        assert_int_equal(reads_to_look(MANY) <= FEW_READS, marks[i].believed);
        if (marks[i].believed)
            continue;
        put_many(MANY + 1, MANY + 1);
        assert_int_equal(header_field(MARK_AT + 8), MANY); /* the next run has a better one */
        assert_int_equal(truncate("spool", (off_t)(SPOOL_HEADER_BYTES + end)), 0);
    }
    assert_holds(1, MANY);
    assert_string_equal(log_text(), "");
}

/* Records that are whole, and not between the head and a lap behind it: one that was removed, and
 * one that nobody can have written. */
static void a_bookmark_outside(void **state)
{
    enum { COUNT_OF = 200 };
    static const uint64_t far = UINT64_MAX - 30;
    uint8_t record[SPOOL_RECORD_HEAD_BYTES + 2 + SPOOL_SUM_BYTES], digest[32];
    const struct bytes body = {record, SPOOL_RECORD_HEAD_BYTES + 2};
    struct wr out = wr_over(record, sizeof record);
    uint64_t positions[COUNT_OF + 1], end;

    (void)state;
    open_alone(&spool, 1000000);
    for (uint64_t id = 1; id <= COUNT_OF; id++)
        positions[id] = put(&spool, id, LEN);
    for (uint64_t id = 1; id <= 150; id++)
        assert_next(&spool, id, LEN);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    end = spool.end;
    spool_close(&spool);
    set_bookmark(positions[100], COUNT_OF);
    assert_in_range(reads_to_look(COUNT_OF), 100, 110);
    assert_holds(151, COUNT_OF);
    wr_put(&out, "push", 4);
    wr_be64(&out, far);
    wr_be64(&out, COUNT_OF);
    wr_be16(&out, 1);
    wr_be32(&out, 1);
    wr_put(&out, "tp", 2);
    crypto_sha256(digest, &body, 1);
    wr_put(&out, digest, SPOOL_SUM_BYTES);
    write_at(SPOOL_HEADER_BYTES + far % (1000000 - SPOOL_HEADER_BYTES), record, sizeof record);
    set_bookmark(far, COUNT_OF);
    open_alone(&spool, 1000000);
    assert_int_equal(spool.head, positions[151]);
    assert_int_equal(spool.end, end);
    assert_false(spool.damaged);
    spool_close(&spool);
}

/* The record that it points at is damaged, or not on the disk, or torn. */
static void a_bookmark_that_points_at_nothing(void **state)
{
    static uint64_t ids[IDS_MAX];
    uint64_t mark;

    (void)state;
    put_many(1, MANY);
    mark = header_field(MARK_AT);
    assert_true(size_now() > SPOOL_HEADER_BYTES + mark + 2 * (AROUND + LEN));
    damage(mark);
    open_alone(&spool, 1000000);
    assert_logged("spool is damaged at byte ");
    assert_int_equal(read_all(&spool, ids, COUNT(ids)), MANY - 1);
    assert_int_equal(spool.last_id, MANY);
    spool_close(&spool);
    put_many(MANY + 1, MANY + 1);
    assert_in_range(reads_to_look(MANY + 1), 1, FEW_READS);
    for (int from = 120; from >= 0; from -= 60) { /* behind its head; its head; all of it */
        log_forget();
        set_bookmark(mark, MANY);
        assert_int_equal(truncate("spool", (off_t)(SPOOL_HEADER_BYTES + mark) + from), 0);
        open_alone(&spool, 1000000);
        if (from > 0)
            assert_logged("bytes at its end were not written whole");
        assert_int_equal(spool.end, mark);
        assert_false(spool.damaged);
        spool_close(&spool);
    }
    put_many(MANY + 2, MANY + 3);
    assert_in_range(reads_to_look(MANY + 3), 1, FEW_READS);
}

/* A header of the ring before, and the records of this one at the same places. */
static void a_bookmark_of_another_ring(void **state)
{
    uint8_t header[SPOOL_HEADER_BYTES];

    (void)state;
    put_many(1, MANY);
    assert_true(get_file("spool", header, sizeof header) > 0);
    (void)unlink("spool");
    put_many(7001, 7000 + MANY); /* 7: of the same lengths */
    write_at(0, header, sizeof header);
    assert_in_range(reads_to_look(7000 + MANY), 2 * MANY, 2 * MANY + 10);
    assert_holds(7001, 7000 + MANY);
}

/* A run that knew of higher ids, in a ring that has been emptied since. */
static void emptied_and_begun_anew(void **state)
{
    (void)state;
    put_many(1, MANY);
    open_alone(&spool, 1000000);
    (void)read_all(&spool, (uint64_t[IDS_MAX]){0}, IDS_MAX);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_int_equal(size_now(), 0);
    put(&spool, MANY + 1, LEN);
    assert_int_equal(header_field(MARK_AT), 0);
    spool_close(&spool);
    put_many(MANY + 2, MANY + 400);
    assert_in_range(reads_to_look(MANY + 400), 1, FEW_READS);
    assert_holds(MANY + 1, MANY + 400);
    assert_string_equal(log_text(), "");
    /* Cut to its header by hand: what was the last record is none any more. */
    (void)unlink("spool");
    open_as(&spool, 2000);
    open_as(&second, 3000);
    put(&spool, 1, LEN);
    put(&spool, 2, LEN);
    put(&second, 3, LEN);
    assert_int_equal(truncate("spool", SPOOL_HEADER_BYTES), 0);
    put(&spool, 4, LEN); /* has another size for the ring, so writes the header */
    assert_int_equal(header_field(MARK_AT), 0);
    spool_close(&spool);
    spool_close(&second);
}

/* What was in flight when newer ones were appended stands behind them with lower ids. */
static void late_ids_behind_the_bookmark(void **state)
{
    (void)state;
    put_many(5000, 5000 + 63);
    put_many(1000, 1000 + MANY);
    assert_int_equal(header_field(MARK_AT + 8), 5063);
    assert_in_range(reads_to_look(5063), 1, FEW_READS);
    put_many(5064, 5065);
    put_many(4000, 4001);
    assert_in_range(reads_to_look(5065), 1, FEW_READS);
}

/* The oldest are removed, and the ring goes round: the bookmark goes with it, lap by lap. */
static void a_bookmark_in_each_lap(void **state)
{
    enum { SIZE = 60000 };
    uint64_t id = 1, oldest = 1, waiting = 250;

    (void)state;
    while (id <= waiting)
        open_as(&spool, SIZE), put(&spool, id++, LEN), spool_close(&spool);
    while (spool.end < 6 * SIZE) {
        if (id % 100 < 50) { /* else the oldest stay, and the bookmark moves by itself */
            open_alone(&spool, SIZE);
            for (int i = 0; i < 2 && oldest + 20 < id; i++)
                assert_next(&spool, oldest++, LEN);
            assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
            spool_close(&spool);
        }
        open_as(&spool, SIZE);
        reads = 0;
        put(&spool, id, LEN);
        assert_int_equal(spool.last_id, id++);
        /* The search for what is behind the last record reads the ring. */
        assert_in_range(reads, 1, FEW_READS + 3 * SIZE / SPOOL_RECORD_MAX_BYTES + 3);
        spool_close(&spool);
    }
    assert_holds(oldest, id - 1);
    assert_string_equal(log_text(), "");
}

/* A run that only appends does not see it any more; the one that sends does, and says so once. */
static void damage_before_the_bookmark(void **state)
{
    static uint64_t ids[IDS_MAX];
    uint64_t hit;

    (void)state;
    put_many(1, 10);
    hit = size_now() - SPOOL_HEADER_BYTES;
    put_many(11, MANY);
    damage(hit);
    put_many(MANY + 1, MANY + 1);
    open_alone(&spool, 1000000);
    assert_string_equal(log_text(), "");
    assert_false(spool.damaged);
    assert_int_equal(read_all(&spool, ids, COUNT(ids)), MANY);
    assert_true(ids[9] == 10 && ids[10] == 12 && ids[MANY - 1] == MANY + 1);
    assert_true(spool.damaged);
    assert_logged("spool is damaged at byte ");
    assert_one_line();
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_int_equal(size_now(), 0);
    spool_close(&spool);
}

/* A header is one sector, and comes to the disk whole or not at all: what is neither the old nor
 * the new one is no header, and nothing is touched. */
static void a_torn_bookmark(void **state)
{
    static uint8_t before[SPOOL_HEADER_BYTES];

    (void)state;
    put_many(1, 50);
    assert_true(get_file("spool", before, sizeof before) > 0);
    put_many(51, 150);
    image_len = get_file("spool", image, sizeof image);
    assert_int_not_equal(memcmp(image, before, sizeof before), 0);
    for (size_t at = 0; at <= sizeof before; at++) {
        int status;

        memcpy(changed, image, image_len);
        memcpy(changed + at, before + at, sizeof before - at);
        put_file("spool", changed, image_len, 0600);
        log_forget();
        open_as(&spool, 1000000);
        status = spool_look(&spool);
        if (memcmp(changed, image, sizeof before) == 0 ||
            memcmp(changed, before, sizeof before) == 0) {
            assert_int_equal(status, EX_OK);
            assert_int_equal(spool.last_id, 150);
        } else {
            assert_int_equal(status, EX_CONFIG);
            assert_string_equal(log_text(), "spool is damaged: its header has a wrong checksum");
        }
        spool_close(&spool);
        assert_int_equal(get_file("spool", changed + image_len, image_len), image_len);
        assert_memory_equal(changed + image_len, changed, image_len);
    }
}

/* It is written before the record, which is not in the spool then; and all goes on. */
static void a_bookmark_that_cannot_be_written(void **state)
{
    static const struct {
        enum call call;
        int count;
    } ways[] = {{PWRITE, 1}, {PWRITE_HALF, 1}, {PWRITE, 2}, {PWRITE_HALF, 2}};
    uint64_t id = 1;

    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        log_forget();
        open_as(&spool, 1000000);
        do {
            put(&spool, id, LEN);
        } while (spool.end <= header_field(MARK_AT) + SPOOL_BOOKMARK_BYTES && id++);
        half_count = ways[i].count;
        fail_call(ways[i].call, 0, ways[i].count, ENOSPC);
        assert_int_equal(try_put(&spool, id + 1, LEN, &(uint64_t){0}), EX_IOERR);
        failing = NOTHING;
        assert_string_equal(log_text(), with_errno("cannot write spool", ENOSPC));
        const bool torn = ways[i].call == PWRITE_HALF && ways[i].count == 2;
        assert_int_equal(spool.failed, torn);
        assert_int_equal(spool.last_id, id);
        spool_close(&spool);
        if (!torn)
            assert_holds(1, id++);
    }
    half_count = 1;
}

/* ---- power cuts ---- */

enum { CUT_IDS = 400 };

static struct {
    size_t len;
    size_t synced_at, removed_at; /* after how many operations; SIZE_MAX: not yet */
    uint64_t end;
} cut_records[CUT_IDS];

static uint8_t disk[IMAGE_MAX];
static size_t disk_size;

static void disk_cut(size_t size)
{
    if (size < disk_size)
        memset(disk + size, 0, disk_size - size);
    disk_size = size;
}

static void disk_write(const struct op *op, size_t at, size_t len)
{
    const size_t end = (size_t)op->offset + at + len;

    assert_true(end <= sizeof disk);
    memcpy(disk + op->offset + at, op_bytes + op->bytes + at, len);
    if (end > disk_size)
        disk_size = end;
}

/* Each sector of a write comes to the disk or not; its place in the file may come without it. */
static void disk_may_write(const struct op *op)
{
    for (size_t at = 0; at < op->len;) {
        const size_t left = 512 - ((size_t)op->offset + at) % 512;
        const size_t len = op->len - at < left ? op->len - at : left;

        switch (draw(3)) {
        case 0:
            break;
        case 1:
            if ((size_t)op->offset + at + len > disk_size)
                disk_size = (size_t)op->offset + at + len;
            break;
        default:
            disk_write(op, at, len);
        }
        at += len;
    }
}

static void disk_after(size_t count)
{
    size_t synced = 0;

    for (size_t i = 0; i < count; i++)
        if (ops[i].kind == OP_SYNC)
            synced = i;
    disk_cut(0);
    for (size_t i = 0; i < count; i++) {
        if (ops[i].kind == OP_CUT && (i < synced || draw(3)))
            disk_cut((size_t)ops[i].offset);
        if (ops[i].kind == OP_WRITE && i < synced)
            disk_write(&ops[i], 0, ops[i].len);
        else if (ops[i].kind == OP_WRITE)
            disk_may_write(&ops[i]);
    }
}

static void cut_scenario(uint32_t size_max, size_t len_max)
{
    uint64_t next_id = 1, first = 1, read = 1;

    ops_count = op_bytes_len = 0;
    open_alone(&spool, size_max);
    open_as(&second, size_max);
    noting = true;
    while (next_id < CUT_IDS && ops_count < 160) {
        const uint32_t what = draw(10);

        if (what < 4) {
            struct spool *s = what == 0 ? &second : &spool;
            uint64_t position;
            const size_t len = 1 + draw((uint32_t)len_max);

            if (try_put(s, next_id, len, &position) == EX_OK) {
                cut_records[next_id].len = len;
                cut_records[next_id].synced_at = cut_records[next_id].removed_at = SIZE_MAX;
                cut_records[next_id++].end = s->end;
            }
        } else if (what == 4) {
            spool.unsynced = true; /* for what the other one has appended, too */
            assert_int_equal(spool_sync(&spool), EX_OK);
            for (uint64_t id = first; id < next_id; id++)
                if (cut_records[id].synced_at == SIZE_MAX)
                    cut_records[id].synced_at = ops_count;
        } else if (what < 8) {
            assert_int_equal(spool_look(&spool), EX_OK);
            if (spool_has_next(&spool))
                assert_next(&spool, read, cut_records[read].len), read++;
        } else if (read > first && draw(2)) {
            const uint64_t id = first + draw((uint32_t)(read - first));
            const size_t removed_at = ops_count;

            assert_int_equal(spool_remove(&spool, cut_records[id].end), EX_OK);
            for (; first <= id; first++)
                cut_records[first].removed_at = removed_at;
        }
    }
    noting = false;
    spool_close(&spool);
    spool_close(&second);
    cut_records[next_id].len = 0;
}

/* After a cut behind so many operations: what was promised is there, in order; whatever else is
 * there was once appended. Then all goes on. */
static void check_cut(size_t count, uint32_t size_max)
{
    uint64_t ids[CUT_IDS], found = 0;
    size_t ids_count;

    disk_after(count);
    log_forget();
    put_file("spool", disk, disk_size, 0600);
    open_as(&spool, size_max);
    assert_int_equal(spool_claim(&spool), EX_OK);
    assert_int_equal(spool_look(&spool), EX_OK);
    ids_count = read_all(&spool, ids, COUNT(ids));
    for (uint64_t id = 1; cut_records[id].len > 0; id++) {
        if (cut_records[id].synced_at > count || cut_records[id].removed_at < count)
            continue;
        while (found < ids_count && ids[found] != id)
            found++;
        if (found == ids_count)
            fail_msg("record %d is missing after %d operations: %s", (int)id, (int)count,
                     log_text());
    }
    if (spool.end - spool.head + 200 < spool.capacity) {
        put(&spool, 5000, 20);
        spool_close(&spool);
        open_alone(&spool, size_max);
        assert_int_equal(read_all(&spool, ids, COUNT(ids)), ids_count + 1);
        assert_int_equal(ids[ids_count], 5000);
    }
    spool_close(&spool);
}

static void power_cuts(void **state)
{
    static const struct {
        uint32_t size_max;
        size_t len_max;
    } rings[] = {{1024, 60}, {1300, 200}, {2500, 600}, {4096, 30}, {30000, 1500}};

    (void)state;
    for (uint32_t round = 0; round < 15; round++) {
        const size_t which = round % COUNT(rings);

        (void)unlink("spool");
        seed = 1000 + round;
        cut_scenario(rings[which].size_max, rings[which].len_max);
        for (size_t count = 0; count <= ops_count; count++)
            for (unsigned subset = 0; subset < 3; subset++)
                check_cut(count, rings[which].size_max);
    }
}

/* Where an older lap is overwritten, the head that allows it is on the disk before: one sync, not
 * one for each record. */
static void synced_before_it_is_overwritten(void **state)
{
    (void)state;
    open_alone(&spool, 1024);
    for (uint64_t id = 1; id < 9; id++)
        put(&spool, 7 * id, 63 - AROUND); /* 64 bytes each */
    assert_int_equal(syncs, 0);
    for (uint64_t id = 1; id < 5; id++)
        assert_next(&spool, 7 * id, 63 - AROUND);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_int_equal(syncs, 0);
    put(&spool, 63, 63 - AROUND);
    assert_int_equal(syncs, 1);
    for (uint64_t id = 10; id < 13; id++)
        put(&spool, 7 * id, 63 - AROUND);
    assert_int_equal(syncs, 1);
    assert_next(&spool, 35, 63 - AROUND);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    open_as(&second, 1024);
    put(&second, 91, 63 - AROUND);
    assert_int_equal(syncs, 2);
    fail_call(FDATASYNC, 0, 1, EIO);
    assert_next(&spool, 42, 63 - AROUND);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    writes = 0;
    assert_int_equal(try_put(&second, 98, 63 - AROUND, &(uint64_t){0}), EX_IOERR);
    assert_true(writes == 0 && second.failed);
    spool_close(&spool);
    spool_close(&second);
}

/* ---- what fails ---- */

static bool promised[64], refused[64];

/* Some of everything; whatever fails is left at that. */
static void busy_run(void)
{
    uint64_t position = 0, next_id = 1;

    memset(promised, 0, sizeof promised);
    memset(refused, 0, sizeof refused);
    if (spool_open(&spool, "spool", 1024, &test_log) != EX_OK || spool_claim(&spool) != EX_OK)
        goto out;
    for (unsigned round = 0; round < 6; round++) {
        struct spool_record record;

        for (unsigned i = 0; i < 4; i++, next_id++) {
            const bool failed = spool.failed;
            const int status = try_put(&spool, next_id, 60, &position);

            assert_true(status == EX_OK || status == EX_IOERR || status == EX_CANTCREAT);
            assert_false(failed && status == EX_OK);
            promised[next_id] = status == EX_OK;
            refused[next_id] = status != EX_OK && !spool.failed;
        }
        if (spool_sync(&spool) != EX_OK)
            assert_true(spool.failed);
        for (unsigned i = 0; i < 3 && spool_has_next(&spool); i++) {
            const int status = spool_next(&spool, &record);

            assert_true(status == EX_OK || status == EX_IOERR);
            if (status == EX_OK) {
                assert_true(promised[record.id]);
                if (spool_remove(&spool, spool.next) == EX_OK)
                    memset(promised, 0, (size_t)record.id + 1);
            }
        }
    }
out:
    spool_close(&spool);
}

static void check_busy_run(void)
{
    uint64_t ids[64];
    size_t count, found = 0;

    failing = NOTHING;
    open_as(&spool, 1024);
    assert_int_equal(spool_claim(&spool), EX_OK);
    assert_int_equal(spool_look(&spool), EX_OK);
    count = read_all(&spool, ids, COUNT(ids));
    assert_false(spool.damaged);
    for (uint64_t id = 1; id < 64; id++) {
        const bool there = found < count && ids[found] == id;

        assert_true(there || !promised[id]);
        assert_false(there && refused[id]);
        found += there;
    }
    assert_int_equal(found, count);
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_int_equal(size_now(), 0);
    put(&spool, 1, 1);
    spool_close(&spool);
}

static void each_call_fails(void **state)
{
    static const struct {
        enum call call;
        int err;
    } ways[] = {{FCNTL, ENOLCK},    {FDATASYNC, EIO}, {FSTAT, EIO},          {FSYNC, EIO},
                {FTRUNCATE, EIO},   {PREAD, EIO},     {PWRITE, ENOSPC},      {PWRITE, EIO},
                {PWRITE_HALF, EIO}, {FLOCK, ENOLCK},  {PWRITE_HALF, ENOSPC}, {PWRITE_HALF, EFBIG}};

    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++)
        for (int count = 1; count < 3; count++)
            for (int after = 0;; after++) {
                bool all;

                (void)unlink("spool");
                log_forget();
                fail_call(ways[i].call, after, count, ways[i].err);
                busy_run();
                all = fail_after >= 0 && failing == ways[i].call;
                if (!all)
                    assert_logged("cannot ");
                check_busy_run();
                if (all)
                    break;
            }
}

/* Interrupted calls are made again. */
static void interrupted(void **state)
{
    static const enum call calls[] = {FCNTL,  FDATASYNC, FTRUNCATE,  PREAD,
                                      PWRITE, FLOCK,     PWRITE_HALF};

    (void)state;
    for (size_t i = 0; i < COUNT(calls); i++)
        for (int after = 0; after < 20; after++) {
            (void)unlink("spool");
            fail_call(calls[i], after, 3, EINTR);
            busy_run();
            assert_string_equal(log_text(), "");
            check_busy_run();
        }
}

/* No room on the disk, at any byte: the spool stays as it was, and goes on when there is room. */
static void no_room_on_the_disk(void **state)
{
    (void)state;
    for (unsigned laps = 0; laps < 6; laps++) {
        make_image(laps);
        for (int half = 0; half < 2; half++)
            for (int after = 0; after < 3; after++) {
                uint64_t position;
                int status;

                put_file("spool", image, image_len, 0600);
                log_forget();
                open_as(&spool, 1024);
                fail_call(half ? PWRITE_HALF : PWRITE, after, 1, ENOSPC);
                status = try_put(&spool, 5, 50, &position);
                if (status == EX_OK) {
                    failing = NOTHING;
                    spool_close(&spool);
                    continue;
                }
                assert_int_equal(status, EX_IOERR);
                assert_string_equal(log_text(), with_errno("cannot write spool", ENOSPC));
                assert_false(spool.failed);
                failing = NOTHING;
                log_forget();
                put(&spool, 5, 44);
                spool_close(&spool);
                assert_holds(1, 5);
                assert_string_equal(log_text(), "");
            }
    }
    (void)unlink("spool");
    open_as(&spool, 1024);
    for (int after = 0; after < 2; after++) {
        fail_call(PWRITE_HALF, after, 1, ENOSPC);
        assert_int_equal(try_put(&spool, 1, 50, &(uint64_t){0}), EX_IOERR);
        assert_int_equal(size_now(), 0);
        assert_false(spool.failed);
    }
    failing = NOTHING;
    /* Nor can it be taken back: then this run appends no more, and the next one cuts it off. */
    put(&spool, 1, 10);
    fail_call(PWRITE_HALF, 0, 1, EIO);
    cut_fails_too = true;
    assert_int_equal(try_put(&spool, 2, 50, &(uint64_t){0}), EX_IOERR);
    cut_fails_too = false;
    failing = NOTHING;
    assert_true(spool.failed);
    assert_int_equal(try_put(&spool, 2, 50, &(uint64_t){0}), EX_IOERR);
    assert_int_equal(spool_sync(&spool), EX_IOERR);
    spool_close(&spool);
    log_forget();
    assert_holds(1, 1);
    assert_logged("spool: 48 bytes at its end were not written whole and are cut off");
}

/* The record that would be the first of the second lap. */
static void no_room_at_the_end_of_the_ring(void **state)
{
    (void)state;
    open_alone(&spool, 1024);
    put(&spool, 7, 256 - AROUND - topic_len(7));
    put(&spool, 8, 256 - AROUND - topic_len(8));
    assert_next(&spool, 7, 256 - AROUND - topic_len(7));
    assert_int_equal(spool_remove(&spool, spool.next), EX_OK);
    assert_int_equal(spool.end, spool.capacity);
    fail_call(PWRITE_HALF, 0, 1, ENOSPC);
    assert_int_equal(try_put(&spool, 9, 100, &(uint64_t){0}), EX_IOERR);
    assert_false(spool.failed);
    spool_close(&spool);
    log_forget();
    assert_holds(8, 8);
    assert_string_equal(log_text(), "");
}

static void what_cannot_be_taken_back(void **state)
{
    (void)state;
    open_as(&spool, 1024);
    put(&spool, 1, 10);
    fail_call(FTRUNCATE, 0, 1, EIO);
    assert_int_equal(truncate("spool", (off_t)size_now() + 5), 0);
    assert_int_equal(spool_look(&spool), EX_IOERR);
    assert_logged(with_errno("cannot cut spool", EIO));
    assert_int_equal(spool_look(&spool), EX_OK);
    assert_false(spool.failed);
    fail_call(FDATASYNC, 0, 1, EIO);
    log_forget();
    assert_int_equal(spool_sync(&spool), EX_IOERR);
    assert_string_equal(log_text(), with_errno("cannot sync spool", EIO));
    assert_int_equal(spool_sync(&spool), EX_IOERR);
    assert_int_equal(try_put(&spool, 2, 10, &(uint64_t){0}), EX_IOERR);
    assert_one_line();
    spool_close(&spool);
    assert_holds(1, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(opening, setup),
        cmocka_unit_test_setup(cannot_be_opened, setup),
        cmocka_unit_test_setup(known_bytes, setup),
        cmocka_unit_test_setup(in_and_out, setup),
        cmocka_unit_test_setup(abandoned, setup),
        cmocka_unit_test_setup(the_largest, setup),
        cmocka_unit_test_setup(full, setup),
        cmocka_unit_test_setup(as_a_queue, setup),
        cmocka_unit_test_setup(across_the_end, setup),
        cmocka_unit_test_setup(another_size, setup),
        cmocka_unit_test_setup(locks, setup),
        cmocka_unit_test_setup(appending_and_sending, setup),
        cmocka_unit_test_setup(claimed_later, setup),
        cmocka_unit_test_setup(begun_anew, setup),
        cmocka_unit_test_setup(removed_meanwhile, setup),
        cmocka_unit_test_setup(cut_anywhere, setup),
        cmocka_unit_test_setup(zeros_from_anywhere, setup),
        cmocka_unit_test_setup(torn_over_an_older_lap, setup),
        cmocka_unit_test_setup(a_damaged_byte_anywhere, setup),
        cmocka_unit_test_setup(said_and_passed_over, setup),
        cmocka_unit_test_setup(behind_a_large_gap, setup),
        cmocka_unit_test_setup(lengths_that_cannot_be, setup),
        cmocka_unit_test_setup(a_look_that_fails, setup),
        cmocka_unit_test_setup(damaged_meanwhile, setup),
        cmocka_unit_test_setup(not_a_spool, setup),
        cmocka_unit_test_setup(a_head_behind_the_end, setup),
        cmocka_unit_test_setup(a_bookmark_is_used, setup),
        cmocka_unit_test_setup(without_a_bookmark, setup),
        cmocka_unit_test_setup(a_bookmark_is_not_believed, setup),
        cmocka_unit_test_setup(a_bookmark_outside, setup),
        cmocka_unit_test_setup(a_bookmark_that_points_at_nothing, setup),
        cmocka_unit_test_setup(a_bookmark_of_another_ring, setup),
        cmocka_unit_test_setup(emptied_and_begun_anew, setup),
        cmocka_unit_test_setup(late_ids_behind_the_bookmark, setup),
        cmocka_unit_test_setup(a_bookmark_in_each_lap, setup),
        cmocka_unit_test_setup(damage_before_the_bookmark, setup),
        cmocka_unit_test_setup(a_torn_bookmark, setup),
        cmocka_unit_test_setup(a_bookmark_that_cannot_be_written, setup),
        cmocka_unit_test_setup(power_cuts, setup),
        cmocka_unit_test_setup(synced_before_it_is_overwritten, setup),
        cmocka_unit_test_setup(each_call_fails, setup),
        cmocka_unit_test_setup(interrupted, setup),
        cmocka_unit_test_setup(no_room_on_the_disk, setup),
        cmocka_unit_test_setup(no_room_at_the_end_of_the_ring, setup),
        cmocka_unit_test_setup(what_cannot_be_taken_back, setup),
    };

    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
