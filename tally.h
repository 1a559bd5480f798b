/* tally.h - what has become of the ENC messages of one STS/2 session, and what its KILLs say of
 * them.
 *
 * Pure. Normative: doc/protocol.md, "Sessions", point 6. */
#ifndef STS_TALLY_H
#define STS_TALLY_H

#include "bytes.h"
#include "limits.h"

struct tally {
    uint64_t sent;
    uint64_t taken, written; /* written out, of those taken */
    uint64_t stale;          /* taken in earlier sessions, and not written out yet */
    uint64_t lost;           /* transport messages missing before one that was taken */
    unsigned kills;          /* KILLs that we sent */
    uint64_t said_received;  /* in the last of them; `sent` is final with the first */
    bool peer_killed;        /* a KILL came in, the last one saying: */
    uint64_t peer_sent, peer_received;
};

/* A new session. */
/*@ requires state: \valid(tally) && \initialized(tally);
    assigns *tally \from *tally; */
void tally_begin(struct tally *tally);

/* The next `count` texts, in the order they were taken, are written out. */
/*@ requires state: \valid(tally) && \initialized(tally);
    assigns tally->stale, tally->written \from *tally, count; */
void tally_written(struct tally *tally, uint64_t count);

/* Whether a KILL has to leave, once the session is closing. Our own leaves at once. The answer to
 * one waits until all that was taken is written out, so that its receipt is the last word, and is
 * not due when our own KILL already said the same. */
/*@ requires state: \valid_read(tally) && \initialized(tally);
    assigns \result \from *tally; */
bool tally_kill_due(const struct tally *tally);

/* Whether both ends have told each other the same, and there is nothing left to say. */
/*@ requires state: \valid_read(tally) && \initialized(tally);
    assigns \result \from *tally; */
bool tally_agrees(const struct tally *tally);

/* Whether a KILL of the other end says that it has taken and written out all that we sent. */
/*@ requires state: \valid_read(tally) && \initialized(tally);
    assigns \result \from *tally; */
bool tally_delivered(const struct tally *tally);

#endif
