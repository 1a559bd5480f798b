/* key_text.h - 32 bytes as the 44 characters of base64 that WireGuard writes keys in.
 *
 * Pure. Public keys, private keys and psks look the same; reading one takes the same time whatever
 * its bytes are. */
#ifndef STS_KEY_TEXT_H
#define STS_KEY_TEXT_H

#include "bytes.h"

#define KEY_TEXT_CHARS 44   /* (32 + 1) / 3 * 4, the last of them '=' */

/* Reads exactly one key, nothing around it. False: it is none, and `key` is zero. Of the several
 * texts that base64 decoders take for one key only the one that key_text_write makes is good. */
bool key_text_read(uint8_t key[32], struct bytes text) __attribute__((warn_unused_result));

/* Writes the text and a zero byte. */
void key_text_write(char text[KEY_TEXT_CHARS + 1], const uint8_t key[32]);

#endif
