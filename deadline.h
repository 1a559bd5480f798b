/* deadline.h - moments of the monotonic clock, in milliseconds; UINT64_MAX is never. */
#ifndef STS_DEADLINE_H
#define STS_DEADLINE_H

#include <stdint.h>

static inline uint64_t deadline_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
