/* tally.c - see tally.h. */
#include "tally.h"

void tally_begin(struct tally *tally)
{
    uint64_t unwritten = tally->stale + (tally->taken - tally->written);

    memset(tally, 0, sizeof *tally);
    tally->stale = unwritten;
}

void tally_written(struct tally *tally, uint64_t count)
{
    uint64_t stale = count < tally->stale ? count : tally->stale;
    uint64_t unwritten = tally->taken - tally->written;

    tally->stale -= stale;
    count -= stale;
    tally->written += count < unwritten ? count : unwritten;
}

bool tally_kill_due(const struct tally *tally)
{
    if (tally->kills >= STS2_KILLS_MAX)
        return false;
    if (tally->peer_killed)
        return tally->taken == tally->written &&
               (tally->kills == 0 || tally->said_received != tally->written);
    return tally->kills == 0;
}

bool tally_agrees(const struct tally *tally)
{
    return tally->kills > 0 && tally->peer_killed && tally->peer_sent == tally->said_received &&
           tally->peer_received == tally->sent;
}

bool tally_delivered(const struct tally *tally)
{
    return tally->peer_killed && tally->peer_received == tally->sent;
}
