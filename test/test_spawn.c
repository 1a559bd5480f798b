/* test_spawn.c - splitting a command line, and running programs. */
#define _POSIX_C_SOURCE 200809L

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void split_finds_the_arguments(void **state)
{
    static const struct {
        const char *text;
        int count;
        const char *args[4];
    } cases[] = {
        {"", 0, {0}},
        {" \t ", 0, {0}},
        {"one", 1, {"one"}},
        {"  one  ", 1, {"one"}},
        {"one two\tthree", 3, {"one", "two", "three"}},
        {"'one two'", 1, {"one two"}},
        {"\"one  two\" three", 2, {"one  two", "three"}},
        {"a'b c'd \"e\"f", 2, {"ab cd", "ef"}},
        {"'' \"\" x", 3, {"", "", "x"}},
        {"'\"' \"'\"", 2, {"\"", "'"}},
        {"a\\ b $c *", 4, {"a\\", "b", "$c", "*"}},
        {"'one", SPAWN_ERR_QUOTE, {0}},
        {"one \"two", SPAWN_ERR_QUOTE, {0}},
        {"one'", SPAWN_ERR_QUOTE, {0}},
    };
    char *argv[SHELL_ARGS_MAX + 1];
    char text[64];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        print_message("  <%s>\n", cases[i].text);
        memcpy(text, cases[i].text, strlen(cases[i].text) + 1);
        assert_int_equal(spawn_split(argv, text), cases[i].count);
        for (int j = 0; j < cases[i].count; j++)
            assert_string_equal(argv[j], cases[i].args[j]);
        if (cases[i].count >= 0)
            assert_null(argv[cases[i].count]);
    }
}

static void split_takes_so_many_arguments(void **state)
{
    char *argv[SHELL_ARGS_MAX + 1];
    char text[2 * SHELL_ARGS_MAX + 3];

    (void)state;
    for (int i = 0; i <= SHELL_ARGS_MAX; i++)
        memcpy(text + 2 * i, "x ", 3);
    assert_int_equal(spawn_split(argv, text), SPAWN_ERR_ARGS);
    for (int i = 0; i < SHELL_ARGS_MAX; i++)
        memcpy(text + 2 * i, "x ", 3);
    assert_int_equal(spawn_split(argv, text), SHELL_ARGS_MAX);
    assert_null(argv[SHELL_ARGS_MAX]);
}

static int run(struct spawn *s, const char *command, enum spawn_use use)
{
    char *argv[SHELL_ARGS_MAX + 1];
    char text[64];

    memcpy(text, command, strlen(command) + 1);
    assert_true(spawn_split(argv, text) > 0);
    return spawn_start(s, argv, use);
}

static void wait_for_end(struct spawn *s)
{
    while (!spawn_ended(s))
        (void)poll(NULL, 0, 5);
}

static void output_comes_through_the_pipe(void **state)
{
    char bytes[8];
    struct spawn s;

    (void)state;
    assert_int_equal(run(&s, "sh -c \"cat; printf 'a\\nb'; exit 3\"", SPAWN_CAPTURE), 0);
    wait_for_end(&s);
    assert_int_equal(read(s.output, bytes, sizeof bytes), 3);
    assert_memory_equal(bytes, "a\nb", 3);
    assert_int_equal(read(s.output, bytes, sizeof bytes), 0);
    assert_true(WIFEXITED(s.status));
    assert_int_equal(WEXITSTATUS(s.status), 3);
    spawn_close(&s);
    assert_int_equal(s.output, -1);
}

static void reading_does_not_block(void **state)
{
    struct spawn s;
    char byte;

    (void)state;
    assert_int_equal(run(&s, "sleep 1000", SPAWN_CAPTURE), 0);
    assert_false(spawn_ended(&s));
    assert_int_equal(read(s.output, &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
    spawn_stop(&s);
    wait_for_end(&s);
    assert_true(WIFSIGNALED(s.status));
    assert_int_equal(WTERMSIG(s.status), SIGTERM);
    spawn_close(&s);
}

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += dup2(fd, fd) == fd;
    return count;
}

static void what_cannot_run_says_why(void **state)
{
    static const struct {
        const char *program;
        int err;
    } cases[] = {
        {"/nonexistent/program", ENOENT},
        {"nonexistent-program", ENOENT},
        {"/dev/null", EACCES},
    };
    static const enum spawn_use uses[] = {SPAWN_TERMINAL, SPAWN_QUIET, SPAWN_CAPTURE};
    const int before = open_descriptors();
    struct spawn s;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t j = 0; j < COUNT(uses); j++) {
            assert_int_equal(run(&s, cases[i].program, uses[j]), cases[i].err);
            assert_true(spawn_ended(&s));
            assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        }
    }
    assert_int_equal(open_descriptors(), before);
}

/* SIGINT and others are blocked in the shell; whoever started it may have it ignore SIGPIPE. */
static void program_gets_the_usual_signals(void **state)
{
    static const int signals[] = {SIGINT, SIGPIPE, SIGXFSZ};
    /* By name, for an emulator has other numbers than the shell that it starts. */
    static const char *const names[] = {"INT", "PIPE", "XFSZ"};
    sigset_t set, old;
    struct spawn s;
    char program[64];

    (void)state;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        (void)sigaddset(&set, signals[i]);
    assert_int_equal(sigprocmask(SIG_BLOCK, &set, &old), 0);
    assert_ptr_not_equal(signal(SIGPIPE, SIG_IGN), SIG_ERR);
    assert_ptr_not_equal(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        (void)snprintf(program, sizeof program, "sh -c 'kill -%s $$; echo survived'", names[i]);
        assert_int_equal(run(&s, program, SPAWN_CAPTURE), 0);
        wait_for_end(&s);
        spawn_close(&s);
        assert_true(WIFSIGNALED(s.status));
        assert_int_equal(WTERMSIG(s.status), signals[i]);
    }
    assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGXFSZ, SIG_DFL);
}

static void errors_have_words(void **state)
{
    (void)state;
    assert_string_equal(spawn_err_text(SPAWN_ERR_QUOTE), "a quote is not closed");
    assert_string_equal(spawn_err_text(SPAWN_ERR_ARGS), "too many arguments");
    assert_non_null(spawn_err_text(-99));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_finds_the_arguments),
        cmocka_unit_test(split_takes_so_many_arguments),
        cmocka_unit_test(output_comes_through_the_pipe),
        cmocka_unit_test(reading_does_not_block),
        cmocka_unit_test(what_cannot_run_says_why),
        cmocka_unit_test(program_gets_the_usual_signals),
        cmocka_unit_test(errors_have_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
