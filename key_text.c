/* key_text.c - see key_text.h. */
#include "key_text.h"

#include "crypto.h"

void key_text_write(char text[KEY_TEXT_CHARS + 1], const uint8_t key[32])
{
    crypto_base64(text, key, 32);
    text[KEY_TEXT_CHARS] = 0;
}

/* crypto_base64_decode is strict: no other text makes the same key. */
bool key_text_read(uint8_t key[32], struct bytes text)
{
    size_t len = 0;
    bool good = text.len == KEY_TEXT_CHARS &&
                crypto_base64_decode(key, 32, &len, (const char *)text.p, text.len) == 0 &&
                len == 32;

    if (!good)
        crypto_wipe(key, 32);
    return good;
}
