/* prove_key_text - keys in base64: every text of 0 to MAX bytes read, every key written. What
 * writes base64 is Mbed TLS, taken at the contract of crypto.h. */
#include "key_text.h"
#include "prove.h"

#define MAX (KEY_TEXT_CHARS + 4)

void main(void)
{
    uint8_t in[MAX + 1], key[32];
    char text[KEY_TEXT_CHARS + 1];
    size_t len = any_size(MAX);

    //@ split len;
    any_bytes(in, len);
    (void)key_text_read(key, (struct bytes){in, len});
    any_bytes(key, sizeof key);
    key_text_write(text, key);
}
