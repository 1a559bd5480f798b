/* test_resolve.c - host names -> addresses; nothing here leaves the machine, for /etc/hosts has
 * localhost, and the rest is refused or cancelled. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "resolve.h"

static struct resolve r;

static int fresh(void **state)
{
    (void)state;
    resolve_init(&r);
    return 0;
}

static void expect_nothing_left(void)
{
    assert_int_equal(r.fd, -1);
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
    assert_int_equal(r.addresses[r.count - 1].family, 4);   /* IPv6 goes first */
}

static void what_is_no_host_is_not_found(void **state)
{
    static const char *const hosts[] = {"256.1.1.1", "1.2.3.4.5", ":::1", "a b", "", "-.-",
                                        "nonexistent.invalid"};

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        assert_int_equal(look_up(hosts[i]), RESOLVE_NOT_FOUND);
}

static void a_child_that_dies_has_found_nothing(void **state)
{
    (void)state;
    assert_int_equal(resolve_start(&r, "nonexistent.invalid"), RESOLVE_PENDING);
    assert_int_equal(kill(r.pid, SIGKILL), 0);
    assert_int_equal(resolve_finish(&r), RESOLVE_NOT_FOUND);
    expect_nothing_left();
}

static void cancel_leaves_no_child(void **state)
{
    (void)state;
    resolve_cancel(&r);     /* nothing under way: nothing happens */
    for (int i = 0; i < 10; i++) {
        assert_int_equal(resolve_start(&r, "nonexistent.invalid"), RESOLVE_PENDING);
        const int fd = r.fd;
        assert_int_equal(kill(r.pid, SIGSTOP), 0);  /* whatever the child is at */
        resolve_cancel(&r);
        expect_nothing_left();
        assert_int_equal(close(fd), -1);
        resolve_cancel(&r);
    }
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
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
