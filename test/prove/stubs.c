/* stubs.c - bodies for what the proof needs to know more exactly than a contract says it. */
#include "crypto.h"

void crypto_wipe(void *p, size_t len)
{
    memset(p, 0, len);
}
