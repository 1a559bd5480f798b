/* test_fmt.c - the formatter against printf, its calendar against one counted by hand. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fmt.h"

#define ROOM 256

/* What fmt makes of it has to be what printf makes of it. */
#define SAME_AS_PRINTF(...) \
    do { \
        char expected[ROOM]; \
        uint8_t room[ROOM]; \
        struct wr out = wr_over(room, sizeof room - 1); \
\
        (void)snprintf(expected, sizeof expected, __VA_ARGS__); \
        fmt(&out, __VA_ARGS__); \
        assert_false(out.bad); \
        *out.p = 0; \
        assert_string_equal((char *)room, expected); \
    } while (0)

static void text_and_characters(void **state)
{
    (void)state;
    SAME_AS_PRINTF("plain");
    SAME_AS_PRINTF("100%%, %s", "text");
    SAME_AS_PRINTF("%s%s%s", "", "a", "");
    SAME_AS_PRINTF("[%-8s|%8s|%-2s|%2s]", "abc", "abc", "abc", "abc");
    SAME_AS_PRINTF("[%.*s|%.*s|%.*s]", 3, "abcdef", 0, "abcdef", 9, "abc");
    SAME_AS_PRINTF("[%-8.*s|%8.*s]", 3, "abcdef", 2, "abcdef");
    SAME_AS_PRINTF("%c%c%c", 'x', '%', 0x7e);
    SAME_AS_PRINTF("[%-3c|%3c]", 'a', 'b');
}

static void numbers(void **state)
{
    (void)state;
    SAME_AS_PRINTF("%d %d %d %d", 0, -1, INT_MAX, INT_MIN);
    SAME_AS_PRINTF("%u %u %x %x", 0u, UINT_MAX, 0u, UINT_MAX);
    SAME_AS_PRINTF("%lu %lu %lx", 0ul, ULONG_MAX, ULONG_MAX);
    SAME_AS_PRINTF("%ld %ld", LONG_MAX, LONG_MIN);
    SAME_AS_PRINTF("%llu %llx", ULLONG_MAX, ULLONG_MAX);
    SAME_AS_PRINTF("%lld %lld %lld", LLONG_MAX, LLONG_MIN, -1ll);
    SAME_AS_PRINTF("%zu %zu %zx", (size_t)0, SIZE_MAX, SIZE_MAX);
    SAME_AS_PRINTF("%llu %u %llu %d", 1ull << 32, 7u, 1ull << 63, -7);
}

static void widths(void **state)
{
    (void)state;
    SAME_AS_PRINTF("[%02x|%02x|%02x]", 0u, 0xau, 0xabcu);
    SAME_AS_PRINTF("[%5d|%-5d|%05d]", -42, -42, -42);
    SAME_AS_PRINTF("[%1d|%01d|%02d|%03d]", -4, -4, -4, -4);
    SAME_AS_PRINTF("[%5u|%-5u|%05u]", 42u, 42u, 42u);
    SAME_AS_PRINTF("[%3u|%03u]", 12345u, 12345u);
    SAME_AS_PRINTF("[%20llu|%020llu|%-20llu]", 7ull, 7ull, 7ull);
    SAME_AS_PRINTF("[%023lld]", LLONG_MIN);
}

/* More arguments than go into registers, of both widths in turn. */
static void many_arguments(void **state)
{
    (void)state;
    SAME_AS_PRINTF("%d %llu %c %s %x %zu %d %llu %.*s %u", 1, 2ull, 'c', "four", 5u, (size_t)6, -7,
                   8ull, 2, "nine", 10u);
}

/* For formats that the compiler would not take. */
__attribute__((format(printf, 2, 0))) static void check(const char *expected, const char *format,
                                                        ...)
{
    uint8_t room[ROOM];
    struct wr out = wr_over(room, sizeof room - 1);
    va_list args;

    va_start(args, format);
    fmt_v(&out, format, args);
    va_end(args);
    assert_false(out.bad);
    *out.p = 0;
    assert_string_equal((char *)room, expected);
}

static void odd_formats(void **state)
{
    static const struct {
        const char *format, *expected;
    } cases[] = {
        {"%", "%"},   {"a%", "a%"},   {"%q %05q", "%q %05q"}, {"%-", "%-"},
        {"%l", "%l"}, {"%ll", "%ll"}, {"%.5", "%.5"},         {"%%d", "%d"},
    };

    (void)state;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(cases[i].expected, cases[i].format);
#pragma GCC diagnostic pop
}

static void null_text(void **state)
{
    const char *volatile none = NULL;

    (void)state;
    check("(null)", "%s", none);
    check("[]", "[%.*s]", 0, none);
}

/* Behind the bytes that a precision allows nothing is read (the sanitizer sees it). */
static void precision_bounds_reading(void **state)
{
    char *exact = malloc(4);

    (void)state;
    assert_non_null(exact);
    memcpy(exact, "abcd", 4);
    check("abcd", "%.*s", 4, exact);
    check("ab", "%.*s", 2, exact);
    free(exact);
}

/* Every room from none to enough: the text is cut there, and no byte behind it is touched. */
static void cut_at_the_room(void **state)
{
    static const char whole[] = "a=007 b=cd   e=ff %";

    (void)state;
    for (size_t size = 0; size < sizeof whole + 2; size++) {
        uint8_t room[sizeof whole + 3];
        struct wr out = wr_over(room, size);
        size_t expected = size < sizeof whole - 1 ? size : sizeof whole - 1;

        memset(room, 0xee, sizeof room);
        fmt(&out, "a=%03d b=%-4s e=%x %%", 7, "cd", 0xffu);
        assert_int_equal(out.p - room, expected);
        assert_memory_equal(room, whole, expected);
        assert_int_equal(room[expected], 0xee);
        assert_int_equal(out.bad, size < sizeof whole - 1);
    }
}

static void bad_stays_bad(void **state)
{
    uint8_t room[8] = {0};
    struct wr out = wr_over(room, sizeof room);

    (void)state;
    out.bad = true;
    fmt(&out, "abc%d", 1);
    assert_ptr_equal(out.p, room);
    assert_true(out.bad);
    assert_int_equal(room[0], 0);
}

static void check_time(int64_t ms, const char *expected)
{
    uint8_t room[24] = {0};
    struct wr out = wr_over(room, 23);

    fmt_time(&out, ms, ' ');
    assert_false(out.bad);
    assert_string_equal((char *)room, expected);
}

static void known_times(void **state)
{
    static const struct {
        int64_t ms;
        const char *expected;
    } cases[] = {
        {0, "1970-01-01 00:00:00.000"},
        {1, "1970-01-01 00:00:00.001"},
        {86399999, "1970-01-01 23:59:59.999"},
        {86400000, "1970-01-02 00:00:00.000"},
        {951782399999, "2000-02-28 23:59:59.999"},
        {951782400000, "2000-02-29 00:00:00.000"},
        {951868800000, "2000-03-01 00:00:00.000"},
        {1795444236181, "2026-11-23 14:30:36.181"},
        {2147483648000, "2038-01-19 03:14:08.000"},
        {4107542399999, "2100-02-28 23:59:59.999"},
        {4107542400000, "2100-03-01 00:00:00.000"},
        {253402300799999, "9999-12-31 23:59:59.999"},
        {253402300800000, "9999-12-31 23:59:59.999"},
        {INT64_MAX, "9999-12-31 23:59:59.999"},
        {-1, "1970-01-01 00:00:00.000"},
        {INT64_MIN, "1970-01-01 00:00:00.000"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_time(cases[i].ms, cases[i].expected);
}

/* Each day from 1970 to 2404, counted by hand. */
static void every_day(void **state)
{
    static const unsigned lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t ms = 43200000;

    (void)state;
    for (unsigned year = 1970; year < 2405; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        for (unsigned month = 0; month < 12; month++) {
            unsigned length = lengths[month] + (month == 1 && leap);

            for (unsigned day = 1; day <= length; day++, ms += 86400000) {
                char expected[64];

                (void)snprintf(expected, sizeof expected, "%04u-%02u-%02u 12:00:00.000", year,
                               month + 1, day);
                check_time(ms, expected);
            }
        }
    }
}

static void time_separator(void **state)
{
    uint8_t room[24] = {0};
    struct wr out = wr_over(room, 23);

    (void)state;
    fmt_time(&out, 1795444236181, 'T');
    assert_string_equal((char *)room, "2026-11-23T14:30:36.181");
}

static void tame(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", ""},
        {"plain ~", "plain ~"},
        {"\x1b[2J\x07\t\r\n", "?[2J????"},
        {"\x01\x1f\x20\x7e\x7f", "?? ~?"},
        {"\xc2\x80\xc2\x9f\xc2\xa0", "????\xc2\xa0"},
        {"\x80\x9b\x9f\xa0\xff", "?????"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xe2\x82\xac\xf0\x9f\x98\x80", "\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xc3", "?"},
        {"\xc3z\xe2\x82z\xf0\x9f\x98z", "?z??z???z"},
        {"\xc0\x80\xc1\xbf\xe0\x9f\xbf\xf0\x8f\xbf\xbf", "???????????"},
        {"\xed\x9f\xbf\xed\xa0\x80\xed\xbf\xbf\xee\x80\x80", "\xed\x9f\xbf??????\xee\x80\x80"},
        {"\xf4\x8f\xbf\xbf\xf4\x90\x80\x80\xf8\x88\x80\x80\x80", "\xf4\x8f\xbf\xbf?????????"},
        {"\xe2\x1b[m", "??[m"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t len = strlen(cases[i].text);
        uint8_t *exact = malloc(len + 1);

        assert_non_null(exact);
        exact[len] = 0xee;
        memcpy(exact, cases[i].text, len);
        fmt_tame(exact, len);
        assert_int_equal(strlen(cases[i].expected), len);
        assert_memory_equal(exact, cases[i].expected, len);
        assert_int_equal(exact[len], 0xee);
        free(exact);
    }
}

/* A character that is cut off by the end: nothing behind is read. */
static void tame_reads_inside(void **state)
{
    static const char text[] = "\xf0\x9f\x98\x80";

    (void)state;
    for (size_t len = 1; len < 4; len++) {
        uint8_t *exact = malloc(len);

        assert_non_null(exact);
        memcpy(exact, text, len);
        fmt_tame(exact, len);
        assert_memory_equal(exact, "???", len);
        free(exact);
    }
}

static void tame_zero_byte(void **state)
{
    uint8_t text[] = {'a', 0, 'b'};

    (void)state;
    fmt_tame(text, sizeof text);
    assert_memory_equal(text, "a?b", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_characters),
        cmocka_unit_test(numbers),
        cmocka_unit_test(widths),
        cmocka_unit_test(many_arguments),
        cmocka_unit_test(odd_formats),
        cmocka_unit_test(null_text),
        cmocka_unit_test(precision_bounds_reading),
        cmocka_unit_test(cut_at_the_room),
        cmocka_unit_test(bad_stays_bad),
        cmocka_unit_test(known_times),
        cmocka_unit_test(every_day),
        cmocka_unit_test(time_separator),
        cmocka_unit_test(tame),
        cmocka_unit_test(tame_reads_inside),
        cmocka_unit_test(tame_zero_byte),
    };

    return cmocka_run_group_tests_name("fmt", tests, NULL, NULL);
}
