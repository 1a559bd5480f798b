/* test_store.c - state files: what they keep across ends, crashes and other runs, and what is
 * refused. Tests store_sender.c and store_collector.c, too; a collector's output file is
 * test_store_out.c's. */
#include "scratch.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "store.h"

#define CLOCK UINT64_C(1800000000000000) /* 2027, in microseconds */
#define CLOCK_2024 UINT64_C(1704067200000000)
#define SENDER_BYTES (2 * STORE_BLOCK_BYTES)

static const uint8_t own[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
static const uint8_t other[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11};

static struct store store, second;
static struct peer list[PEERS_MAX], second_list[PEERS_MAX];
static struct peers peers = {list, 0}, second_peers = {second_list, 0};
static struct push_window windows[PEERS_MAX], second_windows[PEERS_MAX];

/* ---- calls that can be made to fail, and are counted ---- */

static enum call { NOTHING, PWRITE, FDATASYNC, FSYNC } failing;
static unsigned syncs, folder_syncs, writes;
static unsigned writes_unsynced;

ssize_t __real_pwrite(int fd, const void *from, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *from, size_t len, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

ssize_t __wrap_pwrite(int fd, const void *from, size_t len, off_t offset)
{
    writes++;
    writes_unsynced++;
    assert_int_equal(offset % STORE_BLOCK_BYTES, 0);
    assert_int_equal(len % STORE_BLOCK_BYTES, 0);
    if (failing == PWRITE) {
        errno = ENOSPC;
        return -1;
    }
    return __real_pwrite(fd, from, len, offset);
}

/* The sync itself takes long and says nothing to a test: no power goes. */
int __wrap_fdatasync(int fd)
{
    (void)fd;
    syncs++;
    writes_unsynced = 0;
    errno = EIO;
    return failing == FDATASYNC ? -1 : 0;
}

int __wrap_fsync(int fd)
{
    (void)fd;
    folder_syncs++;
    errno = EIO;
    return failing == FSYNC ? -1 : 0;
}

static void forget_counts(void)
{
    syncs = folder_syncs = writes = 0;
}

/* ---- helpers ---- */

static int setup(void **state)
{
    (void)state;
    (void)unlink("state");
    failing = NOTHING;
    forget_counts();
    log_forget();
    return 0;
}

static int open_sender(struct store *s)
{
    log_forget();
    return store_open_sender(s, "state", own, &test_log);
}

static uint64_t draw(struct store *s, uint64_t clock_us, uint64_t ahead)
{
    uint64_t id = 0;

    assert_int_equal(store_draw_id(s, clock_us, ahead, &id), 0);
    return id;
}

/* Peers with the first bytes first, first + step ...; in rising order. */
static void make_peers(struct peers *to, unsigned count, unsigned first, unsigned step)
{
    memset(to->list, 0, PEERS_MAX * sizeof *to->list);
    for (unsigned i = 0; i < count; i++) {
        unsigned number = first + i * step;

        to->list[i].key[0] = (uint8_t)(number >> 8);
        to->list[i].key[1] = (uint8_t)number;
        to->list[i].key[31] = 0x55;
    }
    to->count = count;
}

static int open_collector(void)
{
    log_forget();
    memset(windows, 0xee, sizeof windows);
    return store_open_collector(&store, "state", NULL, own, &peers, windows, &test_log);
}

static void take(size_t index, uint64_t id)
{
    assert_true(push_window_take(&windows[index], id));
    store_mark(&store, index, id);
}

static void make_sender_file(uint64_t last)
{
    (void)unlink("state");
    assert_int_equal(open_sender(&store), 0);
    assert_int_equal(draw(&store, last, 0), last);
    store_close(&store);
}

/* With keys 0, 1, 2, each of which has used some ids. */
static void make_collector_file(void)
{
    (void)unlink("state");
    make_peers(&peers, 3, 0, 1);
    assert_int_equal(open_collector(), 0);
    for (uint64_t id = 1; id <= 40; id++)
        take(0, id * 1000);
    take(1, 7);
    take(2, INT64_MAX);
    assert_int_equal(store_sync(&store), 0);
    store_close(&store);
}

static int open_either(bool collector)
{
    int status = collector ? open_collector() : open_sender(&store);

    if (status == 0)
        store_close(&store);
    else
        assert_int_equal(store.fd, -1);
    return status;
}

/* ---- senders ---- */

static void a_new_sender(void **state)
{
    static const uint8_t head[] = {'s', 't', 's', ' ', 's', 't', 'a', 't', 'e', 0, 0, 1, 0, 1,
                                   0,   0,   0,   1,   1,   2,   3,   4,   5,   6, 7, 8, 9, 10};
    uint8_t bytes[SENDER_BYTES + 1];

    (void)state;
    assert_int_equal(open_sender(&store), 0);
    assert_logged("state is new or empty: nothing is remembered from before");
    assert_one_line();
    assert_true(syncs == 1 && folder_syncs == 1 && writes == 1);
    assert_int_equal(mode_of("state"), 0600);
    assert_int_equal(get_file("state", bytes, sizeof bytes), SENDER_BYTES);
    assert_memory_equal(bytes, head, sizeof head);
    assert_memory_equal(bytes + STORE_BLOCK_BYTES, "last id\n\0\0\0\0\0\0\0\0\0\0", 18);
    assert_int_equal(draw(&store, CLOCK, 0), CLOCK);
    get_file("state", bytes, sizeof bytes);
    assert_memory_equal(bytes + STORE_BLOCK_BYTES + 8, "\x00\x06\x65\x17\x28\x98\x80\x00", 8);
    store_close(&store);
    store_close(&store);
    assert_int_equal(open_sender(&store), 0);
    assert_string_equal(log_text(), "");
    assert_int_equal(draw(&store, 0, 0), CLOCK + 1);
    store_close(&store);
}

static void ids_rise(void **state)
{
    static const struct {
        uint64_t clock_us, ahead, id;
        unsigned syncs;
    } draws[] = {
        {0, 0, 1, 1},         {0, 0, 2, 1},
        {1000, 0, 1000, 1},   {1000, 0, 1001, 1},
        {500, 10, 1002, 1},   {500, 10, 1003, 0},
        {1012, 10, 1012, 0},  {500, 10, 1013, 1},
        {1023, 0, 1023, 0},   {1023, 0, 1024, 1},
        {2000, 1, 2000, 1},   {2000, 1, 2001, 0},
        {2000, 1, 2002, 1},   {CLOCK, 1000, CLOCK, 1},
        {0, 0, CLOCK + 1, 0},
    };

    (void)state;
    assert_int_equal(open_sender(&store), 0);
    for (size_t i = 0; i < COUNT(draws); i++) {
        forget_counts();
        assert_int_equal(draw(&store, draws[i].clock_us, draws[i].ahead), draws[i].id);
        assert_int_equal(syncs, draws[i].syncs);
        assert_int_equal(writes, draws[i].syncs);
        assert_int_equal(writes_unsynced, 0);
    }
    store_close(&store);
    assert_int_equal(open_sender(&store), 0);
    assert_int_equal(draw(&store, 0, 0), CLOCK + 1001);
    store_close(&store);
}

static void the_last_ids(void **state)
{
    uint64_t id = 7;

    (void)state;
    assert_int_equal(open_sender(&store), 0);
    assert_int_equal(store_draw_id(&store, UINT64_C(1) << 63, 0, &id), EX_CONFIG);
    assert_logged("there is no id left");
    assert_int_equal(id, 0);
    assert_int_equal(draw(&store, INT64_MAX - 2, UINT64_MAX), INT64_MAX - 2);
    assert_int_equal(draw(&store, 0, UINT64_MAX), INT64_MAX - 1);
    assert_int_equal(draw(&store, 0, 5), INT64_MAX);
    assert_int_equal(store_draw_id(&store, 0, 0, &id), EX_CONFIG);
    store_close(&store);
    assert_int_equal(open_sender(&store), 0);
    assert_int_equal(store_draw_id(&store, CLOCK, 0, &id), EX_CONFIG);
    store_close(&store);
}

static void without_a_file(void **state)
{
    uint64_t id = 7;

    (void)state;
    assert_int_equal(store_open_sender(&store, NULL, own, &test_log), 0);
    assert_int_equal(store_draw_id(&store, CLOCK_2024 - 1, 0, &id), EX_TEMPFAIL);
    assert_logged("the clock is not set (before 2024): set it, or configure a state");
    assert_int_equal(store_draw_id(&store, 0, 0, &id), EX_TEMPFAIL);
    assert_int_equal(draw(&store, CLOCK_2024, 0), CLOCK_2024);
    assert_int_equal(draw(&store, CLOCK_2024, 100), CLOCK_2024 + 1);
    assert_int_equal(draw(&store, CLOCK, 0), CLOCK);
    assert_int_equal(draw(&store, CLOCK_2024, 0), CLOCK + 1);
    assert_int_equal(store_draw_id(&store, UINT64_MAX, 0, &id), EX_CONFIG);
    assert_int_equal(syncs + writes, 0);
    assert_int_not_equal(access("state", F_OK), 0);
    store_close(&store);
}

/* Two runs that overlap: each id is above all that were drawn before, in either. */
static void two_runs(void **state)
{
    static const uint64_t aheads[] = {0, 1, 3, 1000};
    uint64_t last = 0, id;

    (void)state;
    assert_int_equal(open_sender(&store), 0);
    assert_int_equal(open_sender(&second), 0);
    for (unsigned i = 0; i < 400; i++) {
        struct store *s = (i / 3 + i / 7) % 2 ? &store : &second;

        id = draw(s, 50 * i, aheads[i / 5 % COUNT(aheads)]);
        assert_true(id > last && id >= 50 * i);
        last = id;
    }
    store_close(&store);
    store_close(&second);
}

/* A process that draws until it is killed, or `count` ids, and writes each to `fd`. */
static pid_t start_drawing(int fd, unsigned count, uint64_t ahead)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    if (open_sender(&store) != 0)
        _exit(1);
    for (unsigned i = 0; i < count; i++) {
        uint64_t id = 0;

        if (store_draw_id(&store, i, ahead, &id) != 0 || write(fd, &id, sizeof id) != sizeof id)
            _exit(2);
    }
    _exit(0);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Four processes at once, from the making of the file on. */
static void processes_never_share_an_id(void **state)
{
    enum { PROCESSES = 4, DRAWS = 500 };
    static uint64_t ids[PROCESSES * DRAWS];
    size_t count = 0;

    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        FILE *file = tmpfile();
        pid_t pids[PROCESSES];

        (void)unlink("state");
        assert_non_null(file);
        for (unsigned i = 0; i < PROCESSES; i++)
            pids[i] = start_drawing(fileno(file), DRAWS, i * i * i);
        for (unsigned i = 0; i < PROCESSES; i++) {
            int status = -1;

            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_int_equal(status, 0);
        }
        rewind(file);
        count = fread(ids, sizeof *ids, COUNT(ids), file);
        (void)fclose(file);
        assert_int_equal(count, COUNT(ids));
        qsort(ids, count, sizeof *ids, by_value);
        for (size_t i = 1; i < count; i++)
            assert_true(ids[i - 1] < ids[i]);
    }
}

/* What a process that was killed has drawn is never drawn again. */
static void killed_senders(void **state)
{
    uint64_t last = 0, id;

    (void)state;
    for (unsigned round = 0; round < 30; round++) {
        int ends[2], status;
        pid_t pid;

        assert_int_equal(pipe(ends), 0);
        pid = start_drawing(ends[1], UINT32_MAX, round % 3);
        close(ends[1]);
        for (unsigned i = 0; i < 1 + round * 5; i++) {
            assert_int_equal(read(ends[0], &id, sizeof id), sizeof id);
            assert_true(id > last);
            last = id;
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        while (read(ends[0], &id, sizeof id) == sizeof id)
            last = id;
        close(ends[0]);
        assert_int_equal(open_sender(&store), 0);
        id = draw(&store, 0, 0);
        assert_true(id > last);
        last = id;
        store_close(&store);
    }
}

/* ---- what is refused ---- */

static void torn_anywhere(void **state)
{
    static uint8_t bytes[8 * STORE_BLOCK_BYTES];

    (void)state;
    for (int collector = 0; collector < 2; collector++) {
        size_t len;

        collector ? make_collector_file() : make_sender_file(CLOCK);
        len = get_file("state", bytes, sizeof bytes);
        assert_int_equal(len, (collector ? 4 : 2) * STORE_BLOCK_BYTES);
        for (size_t cut = 1; cut < len; cut++) {
            put_file("state", bytes, cut, 0600);
            assert_int_equal(open_either(collector), EX_CONFIG);
            assert_logged("state is damaged: it ");
            assert_int_equal(get_file("state", bytes + len, len), cut); /* left alone */
        }
        put_file("state", bytes, len, 0600);
        assert_int_equal(open_either(collector), 0);
        put_file("state", bytes, 0, 0600);
        assert_int_equal(open_either(collector), 0);
        assert_logged("state is new or empty");
        /* Zeros where the disk has lost a block. */
        for (size_t at = 0; at < len; at += STORE_BLOCK_BYTES) {
            static uint8_t damaged[8 * STORE_BLOCK_BYTES];

            memcpy(damaged, bytes, len);
            memset(damaged + at, 0, STORE_BLOCK_BYTES);
            put_file("state", damaged, len, 0600);
            assert_int_equal(open_either(collector), EX_CONFIG);
            assert_logged("state is damaged: ");
        }
    }
}

static void a_flipped_bit_anywhere(void **state)
{
    static uint8_t bytes[8 * STORE_BLOCK_BYTES];
    char expected[64];

    (void)state;
    for (int collector = 0; collector < 2; collector++) {
        size_t len;
        int fd;

        collector ? make_collector_file() : make_sender_file(CLOCK);
        len = get_file("state", bytes, sizeof bytes);
        fd = open("state", O_RDWR | O_CLOEXEC);
        for (size_t at = 0; at < len; at++) {
            uint8_t flipped = (uint8_t)(bytes[at] ^ 1u << at % 8);

            assert_int_equal(__real_pwrite(fd, &flipped, 1, (off_t)at), 1);
            assert_int_equal(open_either(collector), EX_CONFIG);
            assert_one_line();
            (void)snprintf(expected, sizeof expected, "record %zu has a wrong checksum",
                           at / STORE_BLOCK_BYTES);
            if (at >= STORE_BLOCK_BYTES)
                assert_logged(expected);
            assert_int_equal(__real_pwrite(fd, &bytes[at], 1, (off_t)at), 1);
        }
        close(fd);
        assert_int_equal(open_either(collector), 0);
    }
}

/* Damage that comes while the file is open. */
static void damaged_meanwhile(void **state)
{
    uint64_t id = 7;
    int fd;

    (void)state;
    make_sender_file(CLOCK);
    assert_int_equal(open_sender(&store), 0);
    fd = open("state", O_RDWR | O_CLOEXEC);
    assert_int_equal(__real_pwrite(fd, "x", 1, STORE_BLOCK_BYTES + 12), 1);
    close(fd);
    assert_int_equal(store_draw_id(&store, CLOCK, 0, &id), EX_CONFIG);
    assert_int_equal(id, 0);
    assert_logged("state is damaged: record 1 has a wrong checksum");
    store_close(&store);
}

static void not_this_file(void **state)
{
    static uint8_t bytes[8 * STORE_BLOCK_BYTES], copy[8 * STORE_BLOCK_BYTES];
    size_t len;

    (void)state;
    make_collector_file();
    log_forget();
    assert_int_equal(store_open_sender(&store, "state", own, &test_log), EX_CONFIG);
    assert_string_equal(log_text(), "state is not the state of a sender");
    log_forget();
    assert_int_equal(store_open_collector(&store, "state", NULL, other, &peers, windows, &test_log),
                     EX_CONFIG);
    assert_string_equal(log_text(), "state is of another key: "
                                    "AQIDBAUGBwgJCgAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    make_sender_file(CLOCK);
    assert_int_equal(open_collector(), EX_CONFIG);
    assert_string_equal(log_text(), "state is not the state of a collector");
    log_forget();
    assert_int_equal(store_open_sender(&store, "state", other, &test_log), EX_CONFIG);
    assert_string_equal(log_text(), "state is of another key: "
                                    "AQIDBAUGBwgJCgAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    len = get_file("state", bytes, sizeof bytes);
    bytes[11] = 2;
    put_file("state", bytes, len, 0600);
    assert_int_equal(open_sender(&store), EX_CONFIG);
    assert_string_equal(log_text(), "state is of another version of sts (2)");
    put_file("state", "key = value\n", 12, 0600);
    assert_int_equal(open_sender(&store), EX_CONFIG);
    memset(bytes, '\n', sizeof bytes);
    put_file("state", bytes, sizeof bytes, 0600);
    assert_int_equal(open_sender(&store), EX_CONFIG);
    assert_string_equal(log_text(), "state is damaged: it does not begin as a state file does");
    /* Records are not exchanged, neither in a file nor from one to another. */
    make_collector_file();
    len = get_file("state", bytes, sizeof bytes);
    memcpy(copy, bytes, len);
    memcpy(copy + STORE_BLOCK_BYTES, bytes + 2 * STORE_BLOCK_BYTES, STORE_BLOCK_BYTES);
    put_file("state", copy, len, 0600);
    assert_int_equal(open_collector(), EX_CONFIG);
    assert_logged("record 1 has a wrong checksum");
    (void)unlink("state");
    assert_int_equal(store_open_collector(&store, "state", NULL, other, &peers, windows, &test_log),
                     0);
    store_close(&store);
    get_file("state", copy, sizeof copy);
    memcpy(bytes + STORE_BLOCK_BYTES, copy + STORE_BLOCK_BYTES, STORE_BLOCK_BYTES);
    put_file("state", bytes, len, 0600);
    assert_int_equal(open_collector(), EX_CONFIG);
    assert_logged("record 1 has a wrong checksum");
}

static void cannot_be_opened(void **state)
{
    (void)state;
    assert_int_equal(store_open_sender(&store, "no/state", own, &test_log), EX_CANTCREAT);
    assert_logged("cannot make no/state: No such file");
    log_forget();
    assert_int_equal(store_open_sender(&store, ".", own, &test_log), EX_NOINPUT);
    assert_logged("cannot open .: Is a directory");
    log_forget();
    assert_int_equal(
        store_open_collector(&store, "/dev/null", NULL, own, &peers, windows, &test_log),
        EX_CONFIG);
    assert_logged("/dev/null is damaged: it is not a file");
    assert_int_equal(store.fd, -1);
}

/* ---- writes that fail ---- */

static void a_sender_that_cannot_write(void **state)
{
    static const enum call ways[] = {PWRITE, FDATASYNC};
    uint64_t id = 7;

    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        make_sender_file(CLOCK);
        assert_int_equal(open_sender(&store), 0);
        failing = ways[i];
        assert_int_equal(store_draw_id(&store, CLOCK, 0, &id), EX_IOERR);
        assert_int_equal(id, 0);
        assert_logged(with_errno("cannot write state", ways[i] == PWRITE ? ENOSPC : EIO));
        /* A later sync may say that all is well, and it is not. */
        failing = NOTHING;
        assert_int_equal(store_draw_id(&store, CLOCK, 0, &id), EX_IOERR);
        assert_int_equal(id, 0);
        store_close(&store);
        assert_int_equal(open_sender(&store), 0);
        assert_true(draw(&store, 0, 0) > CLOCK);
        store_close(&store);
    }
}

static void a_file_that_cannot_be_begun(void **state)
{
    static const enum call ways[] = {PWRITE, FDATASYNC, FSYNC};
    struct stat status;

    (void)state;
    make_peers(&peers, 3, 0, 1);
    for (int collector = 0; collector < 2; collector++)
        for (size_t i = 0; i < COUNT(ways); i++) {
            (void)unlink("state");
            failing = ways[i];
            assert_int_equal(open_either(collector), EX_IOERR);
            failing = NOTHING;
            assert_int_equal(stat("state", &status), 0);
            assert_int_equal(status.st_size, 0);
            assert_int_equal(open_either(collector), 0);
        }
}

static void a_collector_that_cannot_write(void **state)
{
    static const enum call ways[] = {PWRITE, FDATASYNC};

    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++) {
        make_collector_file();
        assert_int_equal(open_collector(), 0);
        take(1, 100);
        failing = ways[i];
        assert_int_equal(store_sync(&store), EX_IOERR);
        assert_one_line();
        failing = NOTHING;
        assert_int_equal(store_sync(&store), EX_IOERR);
        take(2, 1);
        assert_int_equal(store_sync(&store), EX_IOERR);
        store_close(&store);
        assert_int_equal(open_collector(), 0);
        assert_int_equal(windows[1].ids[0], ways[i] == PWRITE ? 7 : 100);
        store_close(&store);
        /* No room for a new device: said at the start, and the old ones are still there. */
        make_peers(&peers, 5, 0, 1);
        failing = ways[i];
        assert_int_equal(open_collector(), EX_IOERR);
        failing = NOTHING;
        assert_int_equal(open_collector(), 0);
        assert_int_equal(windows[2].ids[0], INT64_MAX);
        store_close(&store);
    }
}

/* ---- collectors ---- */

static void windows_are_kept(void **state)
{
    static const struct push_window none;

    (void)state;
    make_collector_file();
    assert_int_equal(mode_of("state"), 0600);
    forget_counts();
    assert_int_equal(open_collector(), 0);
    assert_string_equal(log_text(), "");
    assert_int_equal(writes + syncs, 0);
    assert_int_equal(windows[0].floor, 8000);
    assert_int_equal(windows[0].ids[0], 40000);
    assert_int_equal(windows[0].ids[31], 9000);
    assert_true(windows[1].floor == 0 && windows[1].ids[0] == 7 && windows[1].ids[1] == 0);
    assert_true(windows[2].floor == 0 && windows[2].ids[0] == INT64_MAX);
    assert_false(push_window_take(&windows[0], 8000));
    assert_int_equal(windows[3].floor, UINT64_C(0xeeeeeeeeeeeeeeee)); /* not ours */
    store_close(&store);
    /* What was marked and not synced is not there. */
    assert_int_equal(open_collector(), 0);
    take(1, 8);
    store_close(&store);
    assert_int_equal(open_collector(), 0);
    assert_int_equal(windows[1].ids[0], 7);
    take(1, 8);
    assert_int_equal(store_sync(&store), 0);
    store_close(&store);
    assert_int_equal(open_collector(), 0);
    assert_int_equal(windows[1].ids[0], 8);
    store_close(&store);
    (void)unlink("state");
    assert_int_equal(open_collector(), 0);
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(&windows[i], &none, sizeof none);
    store_close(&store);
}

/* One sync for a group, and of the records only those that changed. */
static void groups(void **state)
{
    (void)state;
    make_peers(&peers, 200, 0, 1);
    forget_counts();
    assert_int_equal(open_collector(), 0);
    assert_true(writes == 1 + 200 + 1 && syncs == 3 && folder_syncs == 1);
    forget_counts();
    assert_int_equal(store_sync(&store), 0);
    assert_true(writes == 0 && syncs == 0);
    for (uint64_t id = 1; id <= 20; id++)
        for (size_t i = 0; i < 200; i += 3)
            take(i, id);
    assert_int_equal(writes + syncs, 0);
    assert_int_equal(store_sync(&store), 0);
    assert_true(writes == 67 && syncs == 1 && writes_unsynced == 0);
    assert_int_equal(store_sync(&store), 0);
    assert_true(writes == 67 && syncs == 1);
    take(199, 5);
    assert_int_equal(store_sync(&store), 0);
    assert_true(writes == 68 && syncs == 2);
    store_close(&store);
}

/* Devices come and go; each key keeps its own record. */
static void other_peers(void **state)
{
    static uint8_t before[8 * STORE_BLOCK_BYTES], after[8 * STORE_BLOCK_BYTES];
    size_t len;

    (void)state;
    make_collector_file(); /* keys 0, 1, 2 */
    len = get_file("state", before, sizeof before);
    make_peers(&peers, 2, 1, 2); /* keys 1, 3 */
    forget_counts();
    assert_int_equal(open_collector(), 0);
    assert_true(writes == 2 && syncs == 2 && folder_syncs == 0);
    assert_int_equal(windows[0].ids[0], 7);
    assert_int_equal(windows[1].ids[0], 0);
    take(1, 33);
    assert_int_equal(store_sync(&store), 0);
    store_close(&store);
    assert_int_equal(get_file("state", after, sizeof after), len + STORE_BLOCK_BYTES);
    assert_memory_equal(after + STORE_BLOCK_BYTES, before + STORE_BLOCK_BYTES,
                        len - STORE_BLOCK_BYTES);
    make_peers(&peers, 4, 0, 1); /* keys 0, 1, 2, 3 */
    assert_int_equal(open_collector(), 0);
    assert_int_equal(windows[0].ids[0], 40000);
    assert_int_equal(windows[1].ids[0], 7);
    assert_int_equal(windows[2].ids[0], INT64_MAX);
    assert_int_equal(windows[3].ids[0], 33);
    store_close(&store);
    /* None at all: nothing to do, and the file stays. */
    peers.count = 0;
    assert_int_equal(open_collector(), 0);
    assert_int_equal(store_sync(&store), 0);
    store_close(&store);
    assert_int_equal(get_file("state", after, sizeof after), len + STORE_BLOCK_BYTES);
}

/* A run that broke off between the records of new devices and the header. */
static void records_that_do_not_count(void **state)
{
    static uint8_t bytes[8 * STORE_BLOCK_BYTES];
    static const size_t lens[] = {1, 511, 512, 513, 1024};
    size_t len;

    (void)state;
    make_collector_file();
    len = get_file("state", bytes, sizeof bytes);
    memset(bytes + len, 0xa5, sizeof bytes - len);
    for (size_t i = 0; i < COUNT(lens); i++) {
        put_file("state", bytes, len + lens[i], 0600);
        make_peers(&peers, 3, 0, 1);
        assert_int_equal(open_collector(), 0);
        assert_int_equal(windows[1].ids[0], 7);
        store_close(&store);
        make_peers(&peers, 4, 0, 1);
        assert_int_equal(open_collector(), 0);
        assert_int_equal(windows[3].ids[0], 0);
        take(3, 12);
        assert_int_equal(store_sync(&store), 0);
        store_close(&store);
        assert_int_equal(open_collector(), 0);
        assert_int_equal(windows[3].ids[0], 12);
        assert_int_equal(windows[2].ids[0], INT64_MAX);
        store_close(&store);
    }
}

/* As the header says how the owner of a file removes a key from it. */
static void a_removed_record(void **state)
{
    (void)state;
    make_collector_file();
    assert_int_equal(system("printf 'removed\\n' | dd of=state bs=512 seek=3 conv=notrunc "
                            "2>dd.log"),
                     0);
    assert_int_equal(open_collector(), 0);
    assert_int_equal(windows[0].ids[0], 40000);
    assert_int_equal(windows[2].ids[0], 0);
    take(2, 5);
    assert_int_equal(store_sync(&store), 0);
    store_close(&store);
    assert_int_equal(open_collector(), 0);
    assert_int_equal(windows[2].ids[0], 5);
    assert_int_equal(windows[1].ids[0], 7);
    store_close(&store);
}

/* Whoever holds the file draws alone; without a file there is nothing to hold. */
static void a_held_file_is_one_runs_alone(void **state)
{
    static struct store free_one;
    uint64_t id;

    (void)state;
    assert_int_equal(store_open_sender(&free_one, NULL, own, &test_log), 0);
    assert_int_equal(store_hold(&free_one), 0);
    assert_int_equal(open_sender(&store), 0);
    assert_int_equal(store_hold(&store), 0);
    assert_int_equal(draw(&store, CLOCK_2024, 100), CLOCK_2024);
    assert_int_equal(draw(&store, CLOCK_2024, 100), CLOCK_2024 + 1);
    assert_int_equal(open_sender(&second), 0);
    log_forget();
    assert_int_equal(store_draw_id(&second, CLOCK_2024, 0, &id), EX_TEMPFAIL);
    assert_string_equal(log_text(), "state is in use by another program");
    store_close(&store);
    assert_int_equal(store_draw_id(&second, CLOCK_2024, 0, &id), 0);
    assert_int_equal(id, CLOCK_2024 + 101);
    store_close(&second);
}

static void one_collector_at_a_time(void **state)
{
    pid_t pid;
    int status;

    (void)state;
    make_collector_file();
    make_peers(&second_peers, 3, 0, 1);
    assert_int_equal(open_collector(), 0);
    log_forget();
    assert_int_equal(
        store_open_collector(&second, "state", NULL, own, &second_peers, second_windows, &test_log),
        EX_TEMPFAIL);
    assert_string_equal(log_text(), "state is in use by another collector");
    /* A sender does not wait for it, for that would be for ever. */
    log_forget();
    assert_int_equal(store_open_sender(&second, "state", own, &test_log), EX_CONFIG);
    assert_string_equal(log_text(), "state is not the state of a sender");
    pid = fork();
    if (pid == 0)
        _exit(store_open_collector(&second, "state", NULL, own, &second_peers, second_windows,
                                   &test_log));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), EX_TEMPFAIL);
    store_close(&store);
    assert_int_equal(
        store_open_collector(&second, "state", NULL, own, &second_peers, second_windows, &test_log),
        0);
    store_close(&second);
}

/* What a collector that was killed has synced is still known, and its file opens at once. */
static void killed_collectors(void **state)
{
    enum { KEYS = 10 };

    (void)state;
    make_peers(&peers, KEYS, 0, 1);
    for (unsigned round = 0; round < 30; round++) {
        uint64_t id = 0;
        int ends[2], status;
        pid_t pid;

        assert_int_equal(pipe(ends), 0);
        pid = fork();
        if (pid == 0) {
            if (open_collector() != 0)
                _exit(1);
            for (uint64_t next = windows[0].ids[0] + 1;; next++) {
                for (size_t i = 0; i < KEYS; i++)
                    take(i, next);
                if (store_sync(&store) != 0 || write(ends[1], &next, sizeof next) < 0)
                    _exit(2);
            }
        }
        close(ends[1]);
        for (unsigned i = 0; i <= round * 3; i++)
            assert_int_equal(read(ends[0], &id, sizeof id), sizeof id);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        while (read(ends[0], &id, sizeof id) == sizeof id)
            continue;
        close(ends[0]);
        assert_int_equal(open_collector(), 0);
        for (size_t i = 0; i < KEYS; i++) {
            assert_in_range(windows[i].ids[0], id, id + 1);
            assert_false(push_window_take(&windows[i], id));
        }
        for (size_t i = 0; i < KEYS; i++) /* the next round begins alike */
            windows[i] = windows[0], store_mark(&store, i, id);
        assert_int_equal(store_sync(&store), 0);
        store_close(&store);
    }
}

static void as_many_as_fit(void **state)
{
    struct stat status;

    (void)state;
    make_peers(&peers, PEERS_MAX, 0, 3);
    assert_int_equal(open_collector(), 0);
    for (size_t i = 0; i < PEERS_MAX; i++)
        take(i, i + 1);
    forget_counts();
    assert_int_equal(store_sync(&store), 0);
    assert_true(syncs == 1 && writes == PEERS_MAX);
    store_close(&store);
    make_peers(&peers, PEERS_MAX, 1, 3); /* all others: the old ones stay */
    assert_int_equal(open_collector(), 0);
    store_close(&store);
    assert_int_equal(stat("state", &status), 0);
    assert_int_equal(status.st_size, STORE_BLOCK_BYTES * (1 + 2 * PEERS_MAX));
    make_peers(&peers, PEERS_MAX, 0, 3);
    assert_int_equal(open_collector(), 0);
    for (size_t i = 0; i < PEERS_MAX; i++)
        assert_int_equal(windows[i].ids[0], i + 1);
    store_close(&store);
    /* More keys than 16 bits number. */
    for (unsigned round = 0; round < 20; round++) {
        int result;

        make_peers(&peers, PEERS_MAX, 0, 1);
        for (size_t i = 0; i < PEERS_MAX; i++)
            list[i].key[2] = (uint8_t)(1 + round);
        result = open_collector();
        if (result != 0) {
            assert_int_equal(result, EX_CONFIG);
            assert_string_equal(log_text(), "state is full: it remembers 65535 keys");
            assert_int_equal(round, 13);
            return;
        }
        store_close(&store);
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_new_sender, setup),
        cmocka_unit_test_setup(ids_rise, setup),
        cmocka_unit_test_setup(the_last_ids, setup),
        cmocka_unit_test_setup(without_a_file, setup),
        cmocka_unit_test_setup(two_runs, setup),
        cmocka_unit_test_setup(processes_never_share_an_id, setup),
        cmocka_unit_test_setup(killed_senders, setup),
        cmocka_unit_test_setup(torn_anywhere, setup),
        cmocka_unit_test_setup(a_flipped_bit_anywhere, setup),
        cmocka_unit_test_setup(damaged_meanwhile, setup),
        cmocka_unit_test_setup(not_this_file, setup),
        cmocka_unit_test_setup(cannot_be_opened, setup),
        cmocka_unit_test_setup(a_sender_that_cannot_write, setup),
        cmocka_unit_test_setup(a_file_that_cannot_be_begun, setup),
        cmocka_unit_test_setup(a_collector_that_cannot_write, setup),
        cmocka_unit_test_setup(windows_are_kept, setup),
        cmocka_unit_test_setup(groups, setup),
        cmocka_unit_test_setup(other_peers, setup),
        cmocka_unit_test_setup(records_that_do_not_count, setup),
        cmocka_unit_test_setup(a_removed_record, setup),
        cmocka_unit_test_setup(a_held_file_is_one_runs_alone, setup),
        cmocka_unit_test_setup(one_collector_at_a_time, setup),
        cmocka_unit_test_setup(killed_collectors, setup),
        cmocka_unit_test_setup(as_many_as_fit, setup),
    };

    return cmocka_run_group_tests_name("store", tests, scratch_make, scratch_remove);
}
