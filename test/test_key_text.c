/* test_key_text.c - 32 bytes <-> 44 characters, and what is no key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "key_text.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define TEXT "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static const uint8_t bytes[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                  16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
static const uint8_t zero[32];

/* In a heap block of exactly its size, for AddressSanitizer. */
static bool read_text(uint8_t key[32], const char *text, size_t len)
{
    uint8_t *block = malloc(len + 1);
    bool good;

    assert_non_null(block);
    memcpy(block + 1, text, len);
    memset(key, 0xee, 32);
    good = key_text_read(key, (struct bytes){block + 1, len});
    free(block);
    return good;
}

static void a_key(void **state)
{
    char text[KEY_TEXT_CHARS + 1];
    uint8_t key[32];

    (void)state;
    assert_true(read_text(key, TEXT, KEY_TEXT_CHARS));
    assert_memory_equal(key, bytes, 32);
    memset(text, 'x', sizeof text);
    key_text_write(text, bytes);
    assert_string_equal(text, TEXT);
}

static void no_keys(void **state)
{
    static const char *const texts[] = {
        "",
        "=",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",  /* no padding */
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", /* another text of the same bytes */
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+=",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", /* 31 bytes */
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", /* 33 bytes */
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\nHh8=",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH\nh8",
        "\r\nECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        " AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= ",
        "=AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH=8=",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH-8=", /* of base64url */
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH_8=",
    };
    uint8_t key[32];

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_false(read_text(key, texts[i], strlen(texts[i])));
        assert_memory_equal(key, zero, 32);
    }
    assert_false(read_text(key, TEXT "\0", KEY_TEXT_CHARS + 1));
    for (size_t len = 0; len < KEY_TEXT_CHARS; len++)
        assert_false(read_text(key, TEXT, len));
}

/* Any other character anywhere is another key or none, and a key is what its text says. */
static void every_character(void **state)
{
    char text[KEY_TEXT_CHARS + 1], again[KEY_TEXT_CHARS + 1];
    unsigned good = 0;
    uint8_t key[32];

    (void)state;
    for (size_t at = 0; at < KEY_TEXT_CHARS; at++)
        for (unsigned c = 0; c < 256; c++) {
            memcpy(text, TEXT, sizeof text);
            text[at] = (char)c;
            if (!read_text(key, text, KEY_TEXT_CHARS)) {
                assert_memory_equal(key, zero, 32);
                continue;
            }
            good++;
            key_text_write(again, key);
            assert_string_equal(text, again);
        }
    assert_int_equal(good, 42 * 64 + 16 + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key),
        cmocka_unit_test(no_keys),
        cmocka_unit_test(every_character),
    };

    return cmocka_run_group_tests_name("key_text", tests, NULL, NULL);
}
