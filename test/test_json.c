/* test_json.c - bytes as JSON text, for whatever room there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"

#define GUARD 0xa5

/* All of `from` in one call. */
static size_t at_once(uint8_t *to, size_t size, enum json_form form, struct bytes from)
{
    struct wr w = wr_over(to, size);
    size_t offset = 0;

    assert_true(json_put(&w, form, from, &offset));
    assert_int_equal(offset, from.len);
    assert_false(w.bad);
    return (size_t)(w.p - to);
}

/* RFC 8259, section 7. */
static void each_byte_of_a_string(void **state)
{
    static const char *const names[] = {
        ['"'] = "\\\"", ['\\'] = "\\\\", ['\b'] = "\\b", ['\f'] = "\\f",
        ['\n'] = "\\n", ['\r'] = "\\r",  ['\t'] = "\\t",
    };

    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t from = (uint8_t)byte;
        uint8_t out[8];
        char expected[8] = {(char)byte, 0};
        const char *name = byte < sizeof names / sizeof names[0] ? names[byte] : NULL;
        const size_t len = at_once(out, sizeof out, JSON_STRING, (struct bytes){&from, 1});
        if (name)
            strcpy(expected, name);
        else if (byte < 0x20 || byte == 0x7f)
            snprintf(expected, sizeof expected, "\\u%04x", byte);
        assert_int_equal(len, byte == 0 ? 6 : strlen(expected));
        assert_memory_equal(out, expected, len);
    }
}

/* RFC 4648, section 10, and bytes that text has not. */
static void base64_of_each_length(void **state)
{
    static const struct {
        const char *from;
        size_t len;
        const char *to;
    } cases[] = {
        {"", 0, ""},
        {"f", 1, "Zg=="},
        {"fo", 2, "Zm8="},
        {"foo", 3, "Zm9v"},
        {"foob", 4, "Zm9vYg=="},
        {"fooba", 5, "Zm9vYmE="},
        {"foobar", 6, "Zm9vYmFy"},
        {"\xff\xfe\xfb\x00", 4, "//77AA=="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t out[64];
        const struct bytes from = {(const uint8_t *)cases[i].from, cases[i].len};
        assert_int_equal(at_once(out, sizeof out, JSON_BASE64, from), strlen(cases[i].to));
        assert_memory_equal(out, cases[i].to, strlen(cases[i].to));
    }
}

/* Room of 0 to 64 bytes at a time: never past it, always on with 8, the same text in the end. */
static void pieces_make_the_same_text(void **state)
{
    uint8_t from[300], whole[6 * sizeof from], pieces[6 * sizeof from];

    (void)state;
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (uint8_t)(i * 7);
    for (int form = JSON_RAW; form <= JSON_BASE64; form++)
        for (size_t len = 0; len <= sizeof from; len += len < 8 ? 1 : 73)
            for (size_t room = 0; room <= 64; room++) {
                const struct bytes bytes = {from, len};
                const size_t whole_len = at_once(whole, sizeof whole, (enum json_form)form, bytes);
                size_t pieces_len = 0, offset = 0;
                bool all = false;

                for (int i = 0; i < 700 && !all; i++) {
                    uint8_t out[64 + 1];
                    struct wr w = wr_over(out, room);
                    const size_t before = offset;
                    memset(out, GUARD, sizeof out);
                    all = json_put(&w, (enum json_form)form, bytes, &offset);
                    assert_false(w.bad);
                    assert_int_equal(out[room], GUARD);
                    assert_true(offset > before || len == 0 || room < 8);
                    assert_true(all == (offset == len));
                    memcpy(pieces + pieces_len, out, (size_t)(w.p - out));
                    pieces_len += (size_t)(w.p - out);
                }
                assert_true(all || room < 8);
                if (!all)
                    continue;
                assert_int_equal(pieces_len, whole_len);
                assert_memory_equal(pieces, whole, whole_len);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_of_a_string),
        cmocka_unit_test(base64_of_each_length),
        cmocka_unit_test(pieces_make_the_same_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
