/* test_log.c - log lines, byte by byte.
 *
 * write and clock_gettime are this file's own, so that every line has a known time and the kernel
 * can be as awkward as the test wants. */
#define _GNU_SOURCE

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "limits.h"
#include "log.h"

#define LOG_FD 1000
#define TIME "2026-11-23 14:30:36.181"

static struct {
    char text[4 * LOG_LINE_MAX_BYTES];
    size_t len;
    int calls;
    size_t most;    /* bytes that one call takes; 0: all */
    int interrupts; /* calls that fail with EINTR before that */
    int error;      /* what every call fails with; 0: none */
} kernel;

ssize_t write(int fd, const void *bytes, size_t len)
{
    size_t taken = kernel.most > 0 && kernel.most < len ? kernel.most : len;

    if (fd != LOG_FD)
        return syscall(SYS_write, fd, bytes, len);
    kernel.calls++;
    if (kernel.interrupts > 0 || kernel.error != 0) {
        errno = kernel.interrupts > 0 ? EINTR : kernel.error;
        kernel.interrupts -= kernel.interrupts > 0;
        return -1;
    }
    assert_true(taken < sizeof kernel.text - kernel.len);
    memcpy(kernel.text + kernel.len, bytes, taken);
    kernel.len += taken;
    return (ssize_t)taken;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    (void)clock;
    time->tv_sec = 1795444236;
    time->tv_nsec = 181999999;
    return 0;
}

static int fresh_kernel(void **state)
{
    (void)state;
    memset(&kernel, 0, sizeof kernel);
    return 0;
}

static struct log log_at(enum log_level level)
{
    return (struct log){.fd = LOG_FD, .level = level};
}

static void each_level_in_its_column(void **state)
{
    struct log log = log_at(LOG_DEBUG);

    (void)state;
    log_info(&log, "connected to broker %s", "127.0.0.1");
    log_warn(&log, "w");
    log_error(&log, "e %d", -1);
    log_debug(&log, "d");
    assert_string_equal(kernel.text, TIME " - [INFO]  # sts: connected to broker 127.0.0.1\n" TIME
                                          " - [WARN]  # sts: w\n" TIME
                                          " - [ERROR] # sts: e -1\n" TIME " - [DEBUG] # sts: d\n");
    assert_int_equal(kernel.calls, 4);
}

static void levels_not_wanted(void **state)
{
    static const enum log_level levels[] = {LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG};

    (void)state;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        struct log log = log_at(levels[i]);

        kernel.calls = 0;
        log_debug(&log, "d");
        assert_int_equal(log.written, levels[i] == LOG_DEBUG);
        log_info(&log, "i");
        assert_int_equal(log.written, levels[i] >= LOG_INFO);
        log_warn(&log, "w");
        assert_int_equal(log.written, levels[i] >= LOG_WARN);
        log_error(&log, "e");
        assert_true(log.written);
        assert_int_equal(kernel.calls, i + 1);
    }
}

/* A line nobody wants is not formatted: its arguments are not looked at. */
static void not_formatted_unless_wanted(void **state)
{
    struct log log = log_at(LOG_INFO);

    (void)state;
    log_debug(&log, "%s", (const char *)(uintptr_t)1);
    assert_int_equal(kernel.calls, 0);
}

static void erase_in_the_same_write(void **state)
{
    struct log log = log_at(LOG_INFO);

    (void)state;
    log.erase = "\r\x1b[K";
    log_info(&log, "a\x1b[K");
    assert_string_equal(kernel.text, "\r\x1b[K" TIME " - [INFO]  # sts: a?[K\n");
    assert_int_equal(kernel.calls, 1);
    assert_true(log.written);
}

static void endless_erase(void **state)
{
    char erase[2 * LOG_LINE_MAX_BYTES];
    struct log log = log_at(LOG_INFO);

    (void)state;
    memset(erase, '\b', sizeof erase - 1);
    erase[sizeof erase - 1] = 0;
    log.erase = erase;
    log_info(&log, "a");
    assert_string_equal(kernel.text + strspn(kernel.text, "\b"), TIME " - [INFO]  # sts: a\n");
}

static void control_characters(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"a\nb\r\tc", "a?b??c"},
        {"\x1b[2J\x7f", "?[2J?"},
        {"\xc2\x9b"
         "2J",
         "??2J"},
        {"\x9b"
         "2J\xff",
         "?2J?"},
        {"\xc3\xa9\xe2\x82\xac", "\xc3\xa9\xe2\x82\xac"},
        {"", ""},
    };
    static const char head[] = TIME " - [INFO]  # sts: ";

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct log log = log_at(LOG_INFO);
        size_t len = strlen(cases[i].expected);

        memset(&kernel, 0, sizeof kernel);
        log_info(&log, "%s", cases[i].text);
        assert_int_equal(kernel.len, sizeof head - 1 + len + 1);
        assert_memory_equal(kernel.text, head, sizeof head - 1);
        assert_memory_equal(kernel.text + sizeof head - 1, cases[i].expected, len);
        assert_int_equal(kernel.text[kernel.len - 1], '\n');
    }
}

/* One line with `len` times 'x', then `tail`. */
static void write_long(size_t len, const char *tail)
{
    char text[2 * LOG_LINE_MAX_BYTES];
    struct log log = log_at(LOG_INFO);

    memset(&kernel, 0, sizeof kernel);
    memset(text, 'x', len);
    memcpy(text + len, tail, strlen(tail) + 1);
    log_info(&log, "%s", text);
}

static void long_lines(void **state)
{
    const size_t room = LOG_LINE_MAX_BYTES - strlen(TIME " - [INFO]  # sts: ") - 1;

    (void)state;
    write_long(room, "");
    assert_int_equal(kernel.len, LOG_LINE_MAX_BYTES);
    assert_memory_equal(kernel.text + kernel.len - 4, "xxx\n", 4);
    write_long(room - 1, "");
    assert_int_equal(kernel.len, LOG_LINE_MAX_BYTES - 1);
    assert_memory_equal(kernel.text + kernel.len - 4, "xxx\n", 4);
    write_long(room + 1, "");
    assert_int_equal(kernel.len, LOG_LINE_MAX_BYTES);
    assert_memory_equal(kernel.text + kernel.len - 5, "x...\n", 5);
    write_long(LOG_LINE_MAX_BYTES, "end");
    assert_int_equal(kernel.len, LOG_LINE_MAX_BYTES);
    assert_memory_equal(kernel.text + kernel.len - 5, "x...\n", 5);
}

/* The cut takes away whole characters. */
static void cut_between_characters(void **state)
{
    const size_t room = LOG_LINE_MAX_BYTES - strlen(TIME " - [INFO]  # sts: ") - 1;

    (void)state;
    for (size_t before = 0; before < 8; before++) {
        write_long(room - before, "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80");
        assert_true(kernel.len <= LOG_LINE_MAX_BYTES && kernel.len > LOG_LINE_MAX_BYTES - 4);
        assert_memory_equal(kernel.text + kernel.len - 4, "...\n", 4);
        assert_null(memchr(kernel.text, '?', kernel.len));
    }
    write_long(room - 8, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80");
    assert_memory_equal(kernel.text + kernel.len - 5, "?...\n", 5);
}

static void awkward_kernel(void **state)
{
    struct log log = log_at(LOG_INFO);

    (void)state;
    kernel.most = 7;
    kernel.interrupts = 3;
    log_info(&log, "in pieces");
    assert_string_equal(kernel.text, TIME " - [INFO]  # sts: in pieces\n");
    assert_int_equal(kernel.calls, 3 + (kernel.len + 6) / 7);
}

/* What cannot be written is given up at once, not tried for ever. */
static void broken_stderr(void **state)
{
    static const int errors[] = {EPIPE, EBADF, EAGAIN, ENOSPC};

    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        struct log log = log_at(LOG_INFO);

        memset(&kernel, 0, sizeof kernel);
        kernel.error = errors[i];
        log_info(&log, "lost");
        assert_int_equal(kernel.calls, 1);
        assert_true(log.written);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_level_in_its_column, fresh_kernel),
        cmocka_unit_test_setup(levels_not_wanted, fresh_kernel),
        cmocka_unit_test_setup(not_formatted_unless_wanted, fresh_kernel),
        cmocka_unit_test_setup(erase_in_the_same_write, fresh_kernel),
        cmocka_unit_test_setup(endless_erase, fresh_kernel),
        cmocka_unit_test_setup(control_characters, fresh_kernel),
        cmocka_unit_test_setup(long_lines, fresh_kernel),
        cmocka_unit_test_setup(cut_between_characters, fresh_kernel),
        cmocka_unit_test_setup(awkward_kernel, fresh_kernel),
        cmocka_unit_test_setup(broken_stderr, fresh_kernel),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
