/* obfuscate.c - see obfuscate.h. */
#include "obfuscate.h"

static uint8_t reverse_bits(uint8_t byte)
{
    uint8_t reversed = 0;

    for (unsigned bit = 0; bit < 8; bit++)
        if (byte & 1u << bit)
            reversed |= (uint8_t)(0x80u >> bit);
    return reversed;
}

void obfuscate(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = reverse_bits(bytes[i]);
    if (len > 0)
        bytes[0] ^= 1;
}

void clarify(uint8_t *bytes, size_t len)
{
    if (len > 0)
        bytes[0] ^= 1;
    for (size_t i = 0; i < len; i++)
        bytes[i] = reverse_bits(bytes[i]);
}
