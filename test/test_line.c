/* test_line.c - the line editor: keys in, text and terminal bytes out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "line.h"

#define UP "\033[A"
#define DOWN "\033[B"
#define RIGHT "\033[C"
#define LEFT "\033[D"
#define HOME "\033[H"
#define END "\033[F"
#define ERASE_REST "\033[K"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Types `keys`; returns the last event, which all bytes before it must not bring. */
static enum line_event type_bytes(struct line *line, const char *keys, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        enum line_event event = line_take(line, (uint8_t)keys[i]);

        assert_int_equal(line->text[line->len], 0);
        assert_true(line->cursor <= line->len);
        if (event != LINE_EV_NONE) {
            assert_int_equal(i, len - 1);
            return event;
        }
    }
    return LINE_EV_NONE;
}

static enum line_event type(struct line *line, const char *keys)
{
    return type_bytes(line, keys, strlen(keys));
}

static void enter(struct line *line, const char *text)
{
    assert_int_equal(type(line, text), LINE_EV_NONE);
    assert_int_equal(type(line, "\r"), LINE_EV_DONE);
    assert_string_equal(line->text, text);
    line_next(line, true);
}

static void draws(struct line *line, const char *expected)
{
    uint8_t out[LINE_DRAW_MAX_BYTES];
    struct wr w = wr_over(out, sizeof out);

    line_draw(line, &w);
    assert_false(w.bad);
    assert_int_equal(w.p - out, strlen(expected));
    assert_memory_equal(out, expected, strlen(expected));
}

static void keys_edit_the_line(void **state)
{
    static const struct {
        const char *name, *keys, *text;
        size_t cursor;
    } cases[] = {
        {"plain text", "send hello", "send hello", 10},
        {"backspace", "ab\177", "a", 1},
        {"backspace as ^H", "ab\b", "a", 1},
        {"backspace on an empty line", "\177\177", "", 0},
        {"backspace takes a whole character", "a\xc3\xa9\177", "a", 1},
        {"and one of four bytes", "a\xf0\x9f\x98\x80\177", "a", 1},
        {"left, then insert", "ac" LEFT "b", "abc", 2},
        {"left stops at the begin", "a" LEFT LEFT LEFT "b", "ba", 1},
        {"left over a whole character", "\xe2\x82\xac" LEFT "a", "a\xe2\x82\xac", 1},
        {"right", "ab" LEFT LEFT RIGHT "-", "a-b", 2},
        {"right over a whole character", "\xe2\x82\xac" LEFT RIGHT "a",
         "\xe2\x82\xac"
         "a",
         4},
        {"right stops at the end", "ab" RIGHT RIGHT "c", "abc", 3},
        {"home and end", "bc" HOME "a" END "d", "abcd", 4},
        {"home and end, SS3", "bc\033OHa\033OFd", "abcd", 4},
        {"home and end, numbered", "bc\033[1~a\033[4~d", "abcd", 4},
        {"home and end, rxvt", "bc\033[7~a\033[8~d", "abcd", 4},
        {"home and end, ^A ^E", "bc\001a\005d", "abcd", 4},
        {"delete", "abc" LEFT LEFT "\033[3~", "ac", 1},
        {"delete takes a whole character",
         "a\xc3\xa9"
         "b" HOME RIGHT "\033[3~",
         "ab", 1},
        {"delete at the end", "ab\033[3~", "ab", 2},
        {"^U erases to the begin", "abc" LEFT "\025", "c", 0},
        {"^K erases to the end", "abc" LEFT LEFT "\013", "a", 1},
        {"^W erases a word", "send hello\027", "send ", 5},
        {"^W and the blanks behind it", "send hello  \027", "send ", 5},
        {"^W in the middle", "send hello" LEFT LEFT "\027", "send lo", 5},
        {"^W at the begin", "\027", "", 0},
        {"^D on a line with text", "ab" LEFT "\004", "ab", 1},
        {"UTF-8 of two, three and four bytes", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
         "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9},
        {"a continuation byte alone",
         "a\x80"
         "b",
         "ab", 2},
        {"a character cut short by another",
         "\xe2\x82"
         "b",
         "b", 1},
        {"a character cut short by a key", "\xe2\x82\001b", "b", 1},
        {"the rest of a character after a key",
         "\xe2" LEFT "\x82\xac"
         "b",
         "b", 1},
        {"an overlong character",
         "\xc0\xaf"
         "b",
         "b", 1},
        {"a surrogate",
         "\xed\xa0\x80"
         "b",
         "b", 1},
        {"a C1 control",
         "\xc2\x9b"
         "b",
         "b", 1},
        {"bytes that begin nothing",
         "\xff\xbf\xbf\xbf"
         "b",
         "b", 1},
        {"tab and other controls", "a\t\002\006\016\032\034\037b", "ab", 2},
        {"an unknown sequence", "a\033[99zb", "ab", 2},
        {"an unknown number", "a\033[5~b", "ab", 2},
        {"a very large number", "a\033[99999999999999999999~b", "ab", 2},
        {"several parameters", "ab\033[1;5Dc", "acb", 2},
        {"only the first parameter counts", "ab" LEFT "\033[3;4~", "a", 1},
        {"intermediate bytes", "a\033[?25 hb", "ab", 2},
        {"a function key of the Linux console", "a\033[[Ab", "ab", 2},
        {"a function key, SS3", "a\033OPb", "ab", 2},
        {"ESC and a letter", "a\033xb", "ab", 2},
        {"ESC twice, then a key", "ab\033\033[Dc", "acb", 2},
        {"a control character ends a sequence", "ab\033[1\177c", "ac", 2},
        {"UTF-8 in a sequence",
         "a\033[\xc3\xa9"
         "b",
         "ab", 2},
    };
    struct line line;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        print_message("  %s\n", cases[i].name);
        line_init(&line, "> ");
        assert_int_equal(type(&line, cases[i].keys), LINE_EV_NONE);
        assert_string_equal(line.text, cases[i].text);
        assert_int_equal(line.len, strlen(cases[i].text));
        assert_int_equal(line.cursor, cases[i].cursor);
    }
}

static void keys_bring_events(void **state)
{
    static const struct {
        const char *name, *keys;
        enum line_event event;
    } cases[] = {
        {"return", "a\r", LINE_EV_DONE},
        {"newline", "a\n", LINE_EV_DONE},
        {"return on an empty line", "\r", LINE_EV_DONE},
        {"return in the middle", "ab" LEFT "\r", LINE_EV_DONE},
        {"^C", "ab\003", LINE_EV_INTERRUPT},
        {"^C in a sequence", "ab\033[\003", LINE_EV_INTERRUPT},
        {"^D on an empty line", "\004", LINE_EV_END},
        {"^D on a line that was emptied", "ab\177\177\004", LINE_EV_END},
    };
    struct line line;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        print_message("  %s\n", cases[i].name);
        line_init(&line, "> ");
        assert_int_equal(type(&line, cases[i].keys), cases[i].event);
    }
}

static void full_line_takes_no_more(void **state)
{
    struct line line;

    (void)state;
    line_init(&line, "> ");
    for (size_t i = 0; i < SHELL_LINE_MAX_BYTES - 1; i++)
        type(&line, "x");
    type(&line, "\xc3\xa9");
    assert_int_equal(line.len, SHELL_LINE_MAX_BYTES - 1);
    type(&line, "y");
    assert_int_equal(line.len, SHELL_LINE_MAX_BYTES);
    type(&line, HOME "z");
    assert_int_equal(line.len, SHELL_LINE_MAX_BYTES);
    assert_int_equal(line.text[0], 'x');
    assert_int_equal(type(&line, "\r"), LINE_EV_DONE);
    line_next(&line, true);
    type(&line, UP);
    assert_int_equal(line.len, SHELL_LINE_MAX_BYTES);
}

static void history_goes_up_and_down(void **state)
{
    struct line line;

    (void)state;
    line_init(&line, "> ");
    type(&line, UP DOWN "typed" UP);
    assert_string_equal(line.text, "typed");
    type(&line, "\025");
    enter(&line, "one");
    enter(&line, "two");
    enter(&line, "two");
    enter(&line, "three");
    type(&line, "half" UP);
    assert_string_equal(line.text, "three");
    type(&line, UP);
    assert_string_equal(line.text, "two");
    type(&line, UP UP UP);
    assert_string_equal(line.text, "one");
    type(&line, DOWN);
    assert_string_equal(line.text, "two");
    type(&line, DOWN DOWN);
    assert_string_equal(line.text, "half");
    assert_int_equal(line.cursor, 4);
    type(&line, DOWN);
    assert_string_equal(line.text, "half");
}

static void recalled_line_can_be_edited(void **state)
{
    struct line line;

    (void)state;
    line_init(&line, "> ");
    enter(&line, "send a");
    type(&line, UP "\177b");
    assert_int_equal(type(&line, "\r"), LINE_EV_DONE);
    assert_string_equal(line.text, "send b");
    line_next(&line, true);
    type(&line, UP);
    assert_string_equal(line.text, "send b");
    type(&line, UP);
    assert_string_equal(line.text, "send a");
}

static void history_keeps_so_many_lines(void **state)
{
    struct line line;
    char text[16];

    (void)state;
    line_init(&line, "> ");
    enter(&line, "first");
    for (int i = 0; i < SHELL_HISTORY_LINES; i++) {
        snprintf(text, sizeof text, "%d", i);
        enter(&line, text);
    }
    for (int i = SHELL_HISTORY_LINES - 1; i >= 0; i--) {
        snprintf(text, sizeof text, "%d", i);
        type(&line, UP);
        assert_string_equal(line.text, text);
    }
    type(&line, UP);
    assert_string_equal(line.text, "0");
}

static void history_keeps_so_many_bytes(void **state)
{
    char text[SHELL_LINE_MAX_BYTES + 1];
    struct line line;

    (void)state;
    line_init(&line, "> ");
    for (char c = 'a'; c < 'h'; c++) {
        memset(text, c, sizeof text);
        text[SHELL_LINE_MAX_BYTES - 'h' + c] = '\0';
        enter(&line, text);
        assert_true(line.history_len <= SHELL_HISTORY_BYTES);
    }
    type(&line, UP);
    assert_string_equal(line.text, text);
    for (int i = 0; i < 10; i++)
        type(&line, UP);
    assert_int_equal(line.text[0], 'f');
    assert_int_equal(line.history_count, 2);
}

static void empty_and_unwanted_lines_are_not_kept(void **state)
{
    struct line line;

    (void)state;
    line_init(&line, "> ");
    line_next(&line, true);
    type(&line, "secret");
    line_next(&line, false);
    assert_string_equal(line.text, "");
    type(&line, UP);
    assert_string_equal(line.text, "");
}

static void plain_input_is_taken_as_it_is(void **state)
{
    static const char text[] = "send \033[A\177\003\004\xff\t\r";
    struct line line;

    (void)state;
    line_init(&line, "");
    for (size_t i = 0; i < sizeof text - 1; i++)
        assert_int_equal(line_take_plain(&line, (uint8_t)text[i]), LINE_EV_NONE);
    assert_int_equal(line_take_plain(&line, '\n'), LINE_EV_DONE);
    assert_int_equal(line.len, sizeof text - 1);
    assert_string_equal(line.text, text);
}

static void plain_line_that_is_too_long_is_skipped_whole(void **state)
{
    struct line line;

    (void)state;
    line_init(&line, "");
    for (size_t i = 0; i < SHELL_LINE_MAX_BYTES; i++)
        line_take_plain(&line, 'x');
    assert_int_equal(line_take_plain(&line, '\n'), LINE_EV_DONE);
    assert_int_equal(line.len, SHELL_LINE_MAX_BYTES);
    line_next(&line, false);
    for (size_t i = 0; i < SHELL_LINE_MAX_BYTES + 1; i++)
        assert_int_equal(line_take_plain(&line, 'x'), LINE_EV_NONE);
    assert_int_equal(line_take_plain(&line, '\n'), LINE_EV_LONG);
    line_next(&line, false);
    line_take_plain(&line, 'y');
    assert_int_equal(line_take_plain(&line, '\n'), LINE_EV_DONE);
    assert_string_equal(line.text, "y");
}

static void draw_shows_line_and_cursor(void **state)
{
    static const struct {
        const char *name;
        size_t columns;
        const char *keys, *expected;
    } cases[] = {
        {"empty", 80, "", "\r> " ERASE_REST},
        {"text", 80, "stop", "\r> stop" ERASE_REST},
        {"cursor inside", 80, "stop" LEFT, "\r> stop" ERASE_REST "\r\033[5C"},
        {"cursor at the begin", 80, "stop\001", "\r> stop" ERASE_REST "\r\033[2C"},
        {"a narrow character of two bytes", 80, "\xc3\xa9x" LEFT,
         "\r> \xc3\xa9x" ERASE_REST "\r\033[3C"},
        {"a wide character", 80, "\xe4\xb8\xadx" LEFT, "\r> \xe4\xb8\xadx" ERASE_REST "\r\033[4C"},
        {"an emoji", 80, "\xf0\x9f\x98\x80x" LEFT, "\r> \xf0\x9f\x98\x80x" ERASE_REST "\r\033[4C"},
        {"a combining mark", 80, "e\xcc\x81x" LEFT, "\r> e\xcc\x81x" ERASE_REST "\r\033[3C"},
        {"^L clears the screen", 80, "a\014", "\033[H\033[2J\r> a" ERASE_REST},
        {"just fits", 10, "1234567", "\r> 1234567" ERASE_REST},
        {"scrolled by one", 10, "12345678", "\r> 2345678" ERASE_REST},
        {"scrolled, cursor at the begin", 10, "12345678\001", "\r> 1234567" ERASE_REST "\r\033[2C"},
        {"a wide one that fits half", 10, "123456\xe4\xb8\xad\001",
         "\r> 123456" ERASE_REST "\r\033[2C"},
        {"one column of room", 3, "abc", "\r> c" ERASE_REST},
        {"no room at all", 1, "abc", "\r> c" ERASE_REST},
        {"no room for a wide one", 1, "\xe4\xb8\xad", "\r> " ERASE_REST},
        {"width not known", 0, "stop", "\r> stop" ERASE_REST},
    };
    struct line line;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        print_message("  %s\n", cases[i].name);
        line_init(&line, "> ");
        line_set_columns(&line, cases[i].columns);
        type(&line, cases[i].keys);
        draws(&line, cases[i].expected);
    }
}

static void draw_scrolls_back_and_forth(void **state)
{
    struct line line;

    (void)state;
    line_init(&line, "> ");
    line_set_columns(&line, 10);
    type(&line, "123456789");
    draws(&line, "\r> 3456789" ERASE_REST);
    type(&line, LEFT LEFT LEFT LEFT LEFT LEFT);
    draws(&line, "\r> 3456789" ERASE_REST "\r\033[3C");
    type(&line, LEFT);
    draws(&line, "\r> 1234567" ERASE_REST "\r\033[4C");
    line_go_end(&line);
    draws(&line, "\r> 3456789" ERASE_REST);
    type(&line, "\177\177\177\177\177\177\177");
    draws(&line, "\r> 12" ERASE_REST);
    type(&line, "\014");
    draws(&line, "\033[H\033[2J\r> 12" ERASE_REST);
    draws(&line, "\r> 12" ERASE_REST);
}

/* What was scrolled to is inside a character by now. */
static void draw_begins_with_a_whole_character(void **state)
{
    struct line line;

    (void)state;
    line_init(&line, "> ");
    line_set_columns(&line, 10);
    type(&line, "12345678");
    draws(&line, "\r> 2345678" ERASE_REST);
    type(&line, "\001\033[3~\xc3\xa9");
    draws(&line, "\r> \xc3\xa9"
                 "234567" ERASE_REST "\r\033[3C");
}

/* The longest output: every byte in use, all columns there are. */
static void draw_never_needs_more_room(void **state)
{
    uint8_t out[LINE_DRAW_MAX_BYTES + 1];
    struct wr w = wr_over(out, LINE_DRAW_MAX_BYTES);
    struct line line;

    (void)state;
    line_init(&line, "> ");
    line_set_columns(&line, SIZE_MAX);
    for (size_t i = 0; i < SHELL_LINE_MAX_BYTES; i++)
        type(&line, "x");
    type(&line, LEFT "\014");
    out[LINE_DRAW_MAX_BYTES] = 0xa5;
    line_draw(&line, &w);
    assert_false(w.bad);
    assert_int_equal(out[LINE_DRAW_MAX_BYTES], 0xa5);
}

/* Whatever is typed, the text stays well-formed and inside its limits. */
static void random_bytes_do_no_harm(void **state)
{
    uint8_t out[LINE_DRAW_MAX_BYTES], copy[SHELL_LINE_MAX_BYTES];
    static const char likely[] = "ab \033[ABCDHF3~\177\r\x80\xc3\xe2\xf0\xa9";
    struct line line;
    uint32_t seed = 1;

    (void)state;
    line_init(&line, "> ");
    for (int i = 0; i < 200000; i++) {
        struct wr w = wr_over(out, sizeof out);
        uint32_t drawn = (seed = seed * 1664525 + 1013904223) >> 8;
        uint8_t byte = drawn & 1 ? (uint8_t)(drawn >> 8)
                                 : (uint8_t)likely[(drawn >> 8) % (sizeof likely - 1)];

        if (line_take(&line, byte) == LINE_EV_DONE)
            line_next(&line, true);
        if (i % 16 == 0)
            line_set_columns(&line, drawn >> 4 & 31);
        line_draw(&line, &w);
        assert_false(w.bad);
        assert_true(line.cursor <= line.len && line.len <= SHELL_LINE_MAX_BYTES);
        assert_true(line.history_count <= SHELL_HISTORY_LINES);
        memcpy(copy, line.text, line.len);
        for (size_t at = 0; at < line.len; at++)
            assert_true(copy[at] >= 0x20 && copy[at] != 0x7f);
        assert_true(line.cursor == line.len || ((uint8_t)line.text[line.cursor] & 0xc0) != 0x80);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_edit_the_line),
        cmocka_unit_test(keys_bring_events),
        cmocka_unit_test(full_line_takes_no_more),
        cmocka_unit_test(history_goes_up_and_down),
        cmocka_unit_test(recalled_line_can_be_edited),
        cmocka_unit_test(history_keeps_so_many_lines),
        cmocka_unit_test(history_keeps_so_many_bytes),
        cmocka_unit_test(empty_and_unwanted_lines_are_not_kept),
        cmocka_unit_test(plain_input_is_taken_as_it_is),
        cmocka_unit_test(plain_line_that_is_too_long_is_skipped_whole),
        cmocka_unit_test(draw_shows_line_and_cursor),
        cmocka_unit_test(draw_scrolls_back_and_forth),
        cmocka_unit_test(draw_begins_with_a_whole_character),
        cmocka_unit_test(draw_never_needs_more_room),
        cmocka_unit_test(random_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
