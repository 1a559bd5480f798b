/* key_text.c - see key_text.h. */
#include "key_text.h"

#include "crypto.h"

void key_text_write(char text[KEY_TEXT_CHARS + 1], const uint8_t key[32])
{
    crypto_base64(text, key, 32);
    text[KEY_TEXT_CHARS] = 0;
}

/* All ones when `c` is not below `first`, else zero. */
static uint32_t from(uint32_t c, uint32_t first)
{
    return ((c - first) >> 31) - 1;
}

/* What a character of base64 stands for; anything for another one. No branch and no table, for it
 * may be one of a secret. In the order of ASCII: '+', '/', digits, capitals, small letters. */
static uint32_t value_of(uint32_t c)
{
    uint32_t value = c - '+' + 62;

    value -= 3 & from(c, '/');
    value -= 12 & from(c, '0');
    value -= 69 & from(c, 'A');
    value -= 6 & from(c, 'a');
    return value & 63;
}

/* Mbed TLS's own decoder branches on each character. */
static void decode(uint8_t key[32], const uint8_t text[KEY_TEXT_CHARS])
{
    for (size_t i = 0; i < 32; i++) {
        const uint8_t *at = text + i / 3 * 4 + i % 3;
        const unsigned shift = 2 * (unsigned)(i % 3);

        key[i] = (uint8_t)(value_of(at[0]) << (2 + shift) | value_of(at[1]) >> (4 - shift));
    }
}

/* A text is good when it is the one that the key is written as. */
bool key_text_read(uint8_t key[32], struct bytes text)
{
    char again[KEY_TEXT_CHARS + 1];
    bool good = false;

    if (text.len == KEY_TEXT_CHARS) {
        decode(key, text.p);
        key_text_write(again, key);
        good = crypto_equal((const uint8_t *)again, text.p, KEY_TEXT_CHARS);
        crypto_wipe(again, sizeof again);
    }
    if (!good)
        crypto_wipe(key, 32);
    return good;
}
