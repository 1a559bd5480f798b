/* test_resolve.c - host names -> addresses; nothing here leaves the machine, for /etc/hosts has
 * localhost, and the rest is refused or cancelled. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "resolve.h"
#include "sandbox.h"

/* The list of calls is that of musl. This machine's C library makes others; whether the
 * list is whole, test/sandbox.bats sees. */
int __wrap_sandbox_enter(enum sandbox who);
int __wrap_sandbox_enter(enum sandbox who)
{
    assert(who == SANDBOX_RESOLVER);
    return 0;
}

static struct resolve r;

static int fresh(void **state)
{
    (void)state;
    memset(&r, 0, sizeof r);
    resolve_init(&r);
    return 0;
}

static void signal_child(int number)
{
    assert_true(r.pid > 0); /* 0 would be ourselves */
    assert_int_equal(kill(r.pid, number), 0);
}

static void expect_nothing_left(void)
{
    assert_int_equal(r.pid, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void numeric_addresses_are_taken_as_they_stand(void **state)
{
    static const struct {
        const char *host;
        uint8_t family;
        const char *address;
    } cases[] = {
        {"127.0.0.1", 4, "\x7f\0\0\1"},
        {"255.255.255.255", 4, "\xff\xff\xff\xff"},
        {"::1", 6, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"},
        {"2001:db8::a:1", 6, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\x0a\0\1"},
        {"::ffff:1.2.3.4", 6, "\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(resolve_start(&r, cases[i].host), RESOLVE_DONE);
        assert_int_equal(r.count, 1);
        assert_int_equal(r.addresses[0].family, cases[i].family);
        assert_memory_equal(r.addresses[0].address, cases[i].address,
                            cases[i].family == 4 ? 4 : 16);
        expect_nothing_left();
    }
}

#if STS_RESOLVER

static enum resolve_result look_up(const char *host)
{
    assert_int_equal(resolve_start(&r, host), RESOLVE_PENDING);
    struct pollfd fd = {.fd = r.fd, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 60000), 1);
    const enum resolve_result result = resolve_finish(&r);
    expect_nothing_left();
    return result;
}

static void localhost_is_found(void **state)
{
    (void)state;
    assert_int_equal(look_up("localhost"), RESOLVE_DONE);
    assert_in_range(r.count, 1, CLIENT_ADDRESSES_MAX);
    for (size_t i = 0; i < r.count; i++)
        assert_memory_equal(r.addresses[i].address,
                            r.addresses[i].family == 4 ? "\x7f\0\0\1"
                                                       : "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1",
                            r.addresses[i].family == 4 ? 4 : 16);
    assert_int_equal(r.addresses[r.count - 1].family, 4); /* IPv6 goes first */
}

static void what_is_no_host_is_not_found(void **state)
{
    static const char *const hosts[] = {"256.1.1.1", "1.2.3.4.5",          ":::1", "a b", "",
                                        "-.-",       "nonexistent.invalid"};

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        assert_int_equal(look_up(hosts[i]), RESOLVE_NOT_FOUND);
}

static void a_child_that_dies_has_found_nothing(void **state)
{
    (void)state;
    assert_int_equal(resolve_start(&r, "nonexistent.invalid"), RESOLVE_PENDING);
    signal_child(SIGKILL);
    assert_int_equal(resolve_finish(&r), RESOLVE_NOT_FOUND);
    expect_nothing_left();
}

static void cancel_leaves_no_child(void **state)
{
    (void)state;
    resolve_cancel(&r); /* nothing under way: nothing happens */
    for (int i = 0; i < 10; i++) {
        assert_int_equal(resolve_start(&r, "nonexistent.invalid"), RESOLVE_PENDING);
        const int fd = r.fd;
        signal_child(SIGSTOP); /* whatever the child is at */
        resolve_cancel(&r);
        expect_nothing_left();
        assert_int_equal(close(fd), -1);
        resolve_cancel(&r);
    }
}

static void kept(const char *host, void *secrets, size_t secrets_len)
{
    resolve_keep(&r, host, secrets, secrets_len);
    resolve_init(&r); /* as client_init does */
    assert_true(r.kept);
    assert_true(r.pid > 0);
}

static enum resolve_result look_up_again(const char *host)
{
    struct pollfd fd = {.fd = r.fd, .events = POLLIN};

    assert_int_equal(resolve_start(&r, host), RESOLVE_PENDING);
    assert_int_equal(poll(&fd, 1, 60000), 1);
    return resolve_finish(&r);
}

static void end_kept(void)
{
    r.kept = false;
    resolve_cancel(&r);
    expect_nothing_left();
}

static void a_kept_child_answers_again(void **state)
{
    (void)state;
    kept("localhost", NULL, 0);
    const pid_t child = r.pid;
    for (int i = 0; i < 5; i++) {
        r.count = 0;
        assert_int_equal(look_up_again("localhost"), RESOLVE_DONE);
        assert_in_range(r.count, 1, CLIENT_ADDRESSES_MAX);
        resolve_cancel(&r);
        resolve_init(&r);
        assert_int_equal(r.pid, child);
    }
    assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    end_kept();
}

static char secrets[64];

static void read_secrets(char found[sizeof secrets], pid_t pid)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    const int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    memset(found, 0x77, sizeof secrets);
    (void)!pread(fd, found, sizeof secrets, (off_t)(uintptr_t)secrets);
    close(fd);
}

static void a_kept_child_wipes_the_secrets(void **state)
{
    char theirs[sizeof secrets];

    (void)state;
    memcpy(secrets, "localhost\0secret secret secret", 31);
    read_secrets(theirs, getpid());
    if (memcmp(theirs, secrets, sizeof theirs) != 0)
        skip(); /* an emulator, which has them elsewhere */
    kept(secrets, secrets, sizeof secrets);
    assert_int_equal(look_up_again("localhost"), RESOLVE_DONE); /* it has come so far */
    read_secrets(theirs, r.pid);
    assert_memory_equal(theirs, (char[sizeof theirs]){0}, sizeof theirs);
    assert_string_equal(secrets + 10, "secret secret secret");
    end_kept();
}

static void no_child_is_kept_for_a_number(void **state)
{
    (void)state;
    resolve_keep(&r, "127.0.0.1", NULL, 0);
    assert_int_equal(resolve_start(&r, "127.0.0.1"), RESOLVE_DONE);
    expect_nothing_left();
}

/* A question that was given up: its answer, when it is there at last, is not the next one's. */
static void an_answer_that_came_late_is_not_taken(void **state)
{
    struct pollfd fd;

    (void)state;
    kept("localhost", NULL, 0);
    fd = (struct pollfd){.fd = r.fd, .events = POLLIN};
    assert_int_equal(resolve_start(&r, "localhost"), RESOLVE_PENDING);
    resolve_cancel(&r);
    assert_int_equal(poll(&fd, 1, 60000), 1);
    signal_child(SIGSTOP);
    assert_int_equal(resolve_start(&r, "localhost"), RESOLVE_PENDING);
    assert_int_equal(poll(&fd, 1, 0), 0); /* the old one is gone, a new one not there */
    signal_child(SIGCONT);
    assert_int_equal(poll(&fd, 1, 60000), 1);
    assert_int_equal(resolve_finish(&r), RESOLVE_DONE);
    end_kept();
}

static void a_question_is_not_asked_twice(void **state)
{
    struct pollfd fd;

    (void)state;
    kept("localhost", NULL, 0);
    signal_child(SIGSTOP);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(resolve_start(&r, "localhost"), RESOLVE_PENDING);
        resolve_cancel(&r);
    }
    signal_child(SIGCONT);
    fd = (struct pollfd){.fd = r.fd, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 60000), 1);
    assert_int_equal(resolve_finish(&r), RESOLVE_DONE);
    assert_int_equal(poll(&fd, 1, 100), 0);
    end_kept();
}

static void a_kept_child_that_dies_leaves_what_it_said_last(void **state)
{
    (void)state;
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    kept("localhost", NULL, 0);
    assert_int_equal(look_up_again("localhost"), RESOLVE_DONE);
    const size_t count = r.count;
    signal_child(SIGKILL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(look_up_again("localhost"), RESOLVE_DONE);
        assert_int_equal(r.count, count);
    }
    end_kept();
}

/* Whatever happens to the program, even with a look-up under way. */
static void a_kept_child_ends_with_the_program(void **state)
{
    int fds[2];
    pid_t child = 0;

    (void)state;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        skip(); /* an emulator that does not know it */
    assert_int_equal(pipe(fds), 0);
    const pid_t program = fork();
    if (program == 0) {
        resolve_keep(&r, "localhost", NULL, 0);
        (void)look_up_again("localhost");
        (void)!write(fds[1], &r.pid, sizeof r.pid);
        (void)kill(r.pid, SIGSTOP);
        (void)raise(SIGKILL);
    }
    assert_int_equal(waitpid(program, NULL, 0), program);
    assert_int_equal(read(fds[0], &child, sizeof child), sizeof child);
    assert_true(child > 0);
    for (int i = 0; i < 600 && waitpid(child, NULL, WNOHANG) == 0; i++)
        (void)poll(NULL, 0, 100);
    assert_int_equal(kill(child, SIGKILL), -1);
    assert_int_equal(errno, ESRCH);
    close(fds[0]);
    close(fds[1]);
}

/* What keeps it from being made is told when it is needed. */
static void a_child_that_could_not_be_made_is_told_of_later(void **state)
{
    struct rlimit none = {0, 0}, before;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    resolve_keep(&r, "localhost", NULL, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    resolve_init(&r);
    assert_int_equal(resolve_start(&r, "localhost"), RESOLVE_SYSTEM);
    assert_int_equal(errno, EMFILE);
    expect_nothing_left();
    r.kept = false;
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(numeric_addresses_are_taken_as_they_stand, fresh),
#if STS_RESOLVER
        cmocka_unit_test_setup(localhost_is_found, fresh),
        cmocka_unit_test_setup(what_is_no_host_is_not_found, fresh),
        cmocka_unit_test_setup(a_child_that_dies_has_found_nothing, fresh),
        cmocka_unit_test_setup(cancel_leaves_no_child, fresh),
        cmocka_unit_test_setup(a_kept_child_answers_again, fresh),
        cmocka_unit_test_setup(a_kept_child_wipes_the_secrets, fresh),
        cmocka_unit_test_setup(no_child_is_kept_for_a_number, fresh),
        cmocka_unit_test_setup(an_answer_that_came_late_is_not_taken, fresh),
        cmocka_unit_test_setup(a_question_is_not_asked_twice, fresh),
        cmocka_unit_test_setup(a_kept_child_that_dies_leaves_what_it_said_last, fresh),
        cmocka_unit_test_setup(a_kept_child_ends_with_the_program, fresh),
        cmocka_unit_test_setup(a_child_that_could_not_be_made_is_told_of_later, fresh),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
