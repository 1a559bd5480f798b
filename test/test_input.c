/* test_input.c - messages out of what is to be sent: an argument, all of standard input, lines. */
#include "scratch.h"

#include <errno.h>

#include "input.h"

#define ROOM (MESSAGE_MAX_BYTES + 1)

static union oneshot_bytes bytes;
static struct input in;
static char text[4 * ROOM];

/* What the next read of standard input does: so many bytes of it, then its end, or an error. */
static struct {
    const char *at;
    size_t left, most;
    int error;
    unsigned calls;
} source;

ssize_t __wrap_read(int fd, void *to, size_t len);
ssize_t __wrap_read(int fd, void *to, size_t len)
{
    size_t n = source.left < len ? source.left : len;

    assert_int_equal(fd, STDIN_FILENO);
    assert_true(len > 0);
    source.calls++;
    if (source.error != 0) {
        errno = source.error;
        return -1;
    }
    if (source.most > 0 && n > source.most)
        n = source.most;
    memcpy(to, source.at, n);
    source.at += n;
    source.left -= n;
    return (ssize_t)n;
}

static int fresh(void **state)
{
    (void)state;
    memset(&bytes, 'x', sizeof bytes);
    in = (struct input){.room = bytes.input};
    memset(&source, 0, sizeof source);
    return 0;
}

static void feed(const char *from, size_t len, size_t most)
{
    source.at = from;
    source.left = len;
    source.most = most;
}

static bool next_is(const char *wanted, size_t len)
{
    struct bytes message;

    return input_next(&in, &message) && message.len == len && memcmp(message.p, wanted, len) == 0;
}

static void take(void)
{
    struct bytes message;

    assert_true(input_next(&in, &message));
    input_take(&in, message);
}

/* ---- one message ---- */

static void an_argument(void **state)
{
    static const size_t lengths[] = {0, 1, MESSAGE_MAX_BYTES, ROOM, ROOM + 1, 2 * ROOM};
    struct bytes message;

    for (size_t i = 0; i < COUNT(lengths); i++) {
        const size_t len = lengths[i] < ROOM ? lengths[i] : ROOM;
        (void)fresh(state);
        memset(text, 'm', lengths[i]);
        text[lengths[i]] = 0;
        input_argument(&in, text);
        assert_false(input_wants(&in));
        assert_false(input_done(&in));
        assert_true(next_is(text, len));
        assert_int_equal(input_unfinished(&in), 0);
        take();
        assert_true(input_done(&in));
        assert_false(input_next(&in, &message));
    }
}

static void a_line_feed_in_an_argument(void **state)
{
    (void)state;
    input_argument(&in, "a\nb\n");
    assert_true(next_is("a\nb\n", 4));
}

/* All of standard input, in pieces of any size. */
static void whole(void **state)
{
    static const size_t lengths[] = {0, 1, 100, MESSAGE_MAX_BYTES, ROOM, ROOM + 1};
    static const size_t pieces[] = {0, 1, 7, ROOM - 1};
    struct bytes message;

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 10 ? (char)i : '\n';
    for (size_t i = 0; i < COUNT(lengths) * COUNT(pieces); i++) {
        const size_t len = lengths[i / COUNT(pieces)];
        (void)fresh(state);
        feed(text, len, pieces[i % COUNT(pieces)]);
        while (input_wants(&in)) {
            assert_false(input_next(&in, &message));
            assert_int_equal(input_read(&in), 0);
        }
        assert_false(input_done(&in));
        assert_int_equal(input_too_long(&in, &message), len >= ROOM);
        if (len >= ROOM)
            assert_int_equal(message.len, ROOM);
        else
            assert_true(next_is(text, len));
    }
    assert_int_equal(input_unfinished(&in), 0);
}

/* ---- lines ---- */

static const struct {
    const char *text;
    const char *lines[4];
} cases[] = {
    {"", {NULL}},
    {"\n", {""}},
    {"a", {"a"}},
    {"a\n", {"a"}},
    {"a\nb", {"a", "b"}},
    {"a\n\nb\n", {"a", "", "b"}},
    {"\n\n\n", {"", "", ""}},
    {"one\r\ntwo", {"one\r", "two"}},
    {"\nlast", {"", "last"}},
};

static void take_line(const char *wanted)
{
    assert_true(next_is(wanted, strlen(wanted)));
    assert_false(input_wants(&in));
    assert_false(input_done(&in));
    assert_int_equal(input_unfinished(&in), 0);
    take();
}

static void lines(void **state)
{
    struct bytes message;

    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t most = 1; most < 6; most++) {
            size_t n = 0;
            (void)fresh(state);
            in.lines = true;
            feed(cases[i].text, strlen(cases[i].text), most);
            while (!input_done(&in)) {
                while (input_next(&in, &message))
                    take_line(cases[i].lines[n++]);
                assert_false(input_too_long(&in, &message));
                if (input_wants(&in))
                    assert_int_equal(input_read(&in), 0);
            }
            assert_true(n == COUNT(cases[i].lines) || !cases[i].lines[n]);
            assert_false(input_next(&in, &message));
            assert_false(input_wants(&in));
        }
}

/* A line of every length around the largest, behind another one, with and without its end. */
static void the_longest(void **state)
{
    struct bytes message;

    for (size_t i = 0; i < 4 * 3; i++) {
        const size_t len = MESSAGE_MAX_BYTES - 1 + i / 4, before = i % 2 ? 5 : 0;
        const bool ends = i / 2 % 2;
        (void)fresh(state);
        in.lines = true;
        memset(text, 'l', sizeof text);
        if (before)
            text[before - 1] = '\n';
        if (ends)
            text[before + len] = '\n';
        feed(text, before + len + ends, 0);
        assert_int_equal(input_read(&in), 0);
        if (before)
            take();
        while (input_wants(&in))
            assert_int_equal(input_read(&in), 0);
        if (len <= MESSAGE_MAX_BYTES) {
            assert_false(input_too_long(&in, &message));
            assert_true(next_is(text + before, len));
            take();
            assert_int_equal(input_read(&in), 0);
            assert_true(input_done(&in));
        } else {
            assert_true(input_too_long(&in, &message));
            assert_int_equal(message.len, ROOM);
            assert_false(input_done(&in));
        }
    }
}

/* What comes after a line that is too long is not read over it. */
static void full_room_is_left_alone(void **state)
{
    struct bytes message;

    (void)state;
    in.lines = true;
    memset(text, 'l', sizeof text);
    text[3] = '\n';
    feed(text, sizeof text, 0);
    assert_int_equal(input_read(&in), 0);
    assert_false(input_too_long(&in, &message));
    take();
    assert_false(input_too_long(&in, &message)); /* four bytes of room are to be had */
    assert_true(input_wants(&in));
    assert_int_equal(input_read(&in), 0);
    assert_int_equal(source.left, sizeof text - ROOM - 4);
    assert_true(input_too_long(&in, &message));
    assert_false(input_wants(&in));
}

static void unfinished(void **state)
{
    (void)state;
    in.lines = true;
    feed("one\ntwo", 7, 0);
    assert_int_equal(input_read(&in), 0);
    assert_int_equal(input_unfinished(&in), 0); /* a whole one is first */
    take();
    assert_int_equal(input_unfinished(&in), 3);
    assert_false(input_done(&in));
    assert_int_equal(input_read(&in), 0); /* the end of the file is the end of the line */
    assert_int_equal(input_unfinished(&in), 0);
    take();
    assert_true(input_done(&in));
}

static void errors(void **state)
{
    static const struct {
        int error, result;
    } table[] = {{EINTR, 0}, {EAGAIN, 0}, {EIO, EIO}, {EBADF, EBADF}, {EISDIR, EISDIR}};

    for (size_t i = 0; i < COUNT(table); i++) {
        (void)fresh(state);
        in.lines = i % 2;
        source.error = table[i].error;
        assert_int_equal(input_read(&in), table[i].result);
        assert_true(input_wants(&in));
        assert_false(input_done(&in));
        assert_int_equal(source.calls, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_argument, fresh),
        cmocka_unit_test_setup(a_line_feed_in_an_argument, fresh),
        cmocka_unit_test_setup(whole, fresh),
        cmocka_unit_test_setup(lines, fresh),
        cmocka_unit_test_setup(the_longest, fresh),
        cmocka_unit_test_setup(full_room_is_left_alone, fresh),
        cmocka_unit_test_setup(unfinished, fresh),
        cmocka_unit_test_setup(errors, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
