/* prove.h - what the harnesses of `make prove` share; doc/proof.md says how they are to be read.
 *
 * An input is a local array of which only the first `len` bytes are given a value, any value: so
 * what reads behind them reads what is not initialised, which is an alarm as much as reading behind
 * the array is. `//@ split len;` has each length looked at on its own. */
#ifndef STS_PROVE_H
#define STS_PROVE_H

#include <__fc_builtin.h>

#include "bytes.h"

static size_t any_size(size_t max)
{
    return Frama_C_unsigned_long_interval(0, max);
}

static uint64_t any_u64(void)
{
    return Frama_C_unsigned_long_long_interval(0, UINT64_MAX);
}

static uint8_t any_byte(uint8_t max)
{
    return (uint8_t)Frama_C_interval(0, max);
}

static bool any_bool(void)
{
    return Frama_C_interval(0, 1) == 1;
}

static void any_bytes(void *to, size_t len)
{
    Frama_C_make_unknown(to, len);
}

#endif
