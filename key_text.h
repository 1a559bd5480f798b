/* key_text.h - 32 bytes as the 44 characters of base64 that WireGuard writes keys in.
 *
 * Pure. Public keys, private keys and psks look the same; reading one takes the same time whatever
 * its bytes are. */
#ifndef STS_KEY_TEXT_H
#define STS_KEY_TEXT_H

#include "bytes.h"

#define KEY_TEXT_CHARS 44 /* (32 + 1) / 3 * 4, the last of them '=' */

/* Reads exactly one key, nothing around it. False: it is none, and `key` is zero. Of the several
 * texts that base64 decoders take for one key only the one that key_text_write makes is good. */
/*@ requires view: text.len == 0 ||
        (\valid_read(text.p + (0 .. text.len - 1)) && \initialized(text.p + (0 .. text.len - 1)));
    requires output: \valid(key + (0 .. 31));
    assigns \result, key[0 .. 31] \from text.p[0 .. text.len - 1], text.len;
    ensures result: \result <= 1 && \initialized(key + (0 .. 31)); */
bool key_text_read(uint8_t key[32], struct bytes text) __attribute__((warn_unused_result));

/* Writes the text and a zero byte. */
/*@ requires input: \valid_read(key + (0 .. 31)) && \initialized(key + (0 .. 31));
    requires output: \valid(text + (0 .. KEY_TEXT_CHARS));
    assigns text[0 .. KEY_TEXT_CHARS] \from key[0 .. 31];
    ensures ended: text[KEY_TEXT_CHARS] == 0; */
void key_text_write(char text[KEY_TEXT_CHARS + 1], const uint8_t key[32]);

#endif
