/* sts1_outbox.c - the messages of STS/1 that wait to leave; see sts1.h. */
#include "sts1.h"

#if STS_SEED

#include <assert.h>

static_assert((size_t)STS_KILL <= STS_OUTBOX_MAX, "every type of STS/1 fits the outbox once");

void sts1_post(struct sts1 *s, enum sts_type type)
{
    if (!sts1_posted(s, type))
        s->outbox[s->outbox_len++] = type;
}

bool sts1_posted(const struct sts1 *s, enum sts_type type)
{
    for (size_t i = 0; i < s->outbox_len; i++)
        if (s->outbox[i] == type)
            return true;
    return false;
}

void sts1_unpost(struct sts1 *s)
{
    s->outbox_len--;
    memmove(&s->outbox[0], &s->outbox[1], s->outbox_len * sizeof s->outbox[0]);
}

#endif
