/* obfuscate.h - the obfuscation of STS/1's handshake messages: the one place to put your own.
 *
 * What is here is the original's: the bits of every byte reversed, then the first byte XOR 1. It
 * hides nothing from anybody: there is no key in it, and whoever reads this file can undo it. It is
 * kept because the other end of an STS/1 session expects it.
 *
 * The original asks its users to replace the pair, and obfuscate.c is all that has to change for
 * that. Both ends of a session need the same pair. `clarify` has to undo `obfuscate` for every
 * input, of length 0 too, and neither can change the length: a message is recognised by it. */
#ifndef STS_OBFUSCATE_H
#define STS_OBFUSCATE_H

#include <stddef.h>
#include <stdint.h>

/* Turns a handshake message into what goes over the wire, in place. */
void obfuscate(uint8_t *bytes, size_t len);

/* Turns what came over the wire into a handshake message, in place. */
void clarify(uint8_t *bytes, size_t len);

#endif
