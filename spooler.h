/* spooler.h - sending with a spool: a message goes to the broker directly while that takes it, and
 * through the spool file whenever it does not, or older ones still wait there.
 *
 * What is in the spool is in the hands of the user: the run ends with EX_TEMPFAIL (75), and the
 * next one sends it. So is, sooner or later, all that was in flight when a connection broke.
 * Owns no memory of its own: the spool stands in the keyring, the packets in flight in the client.
 * Where no spool is configured, or it cannot be used, nothing here may be called but
 * spooler_active and what is used to get there. */
#ifndef STS_SPOOLER_H
#define STS_SPOOLER_H

#include <sysexits.h>

#include "session.h"

struct spooler {
    struct session *session;
    struct spool *spool;
    bool configured;      /* there should be one */
    bool away;            /* the broker takes nothing just now */
    bool used;            /* this run has put something into the spool */
    bool lost;            /* the spool failed, and may hold something: the run has to end */
    bool unsearched;      /* what waits was not searched for late ones yet */
    int refused;          /* why the spool last took nothing: sysexits.h; EX_OK: it takes */
    uint64_t refused_ms;  /* when that was */
    uint32_t flight_head; /* of the client, when last looked */
    uint64_t sync_due_ms, claim_due_ms, look_due_ms;
    uint64_t moved_ms;      /* when something last got forward */
    uint64_t late, late_id; /* the next record that newer ones stand before; UINT64_MAX: none */
    uint64_t newest_id;     /* of those before it */
    uint64_t records[CLIENT_FLIGHTS_MAX]; /* of the packet in flight: where it stands in the
                                               spool; SPOOLER_DIRECT: nowhere */
    uint64_t ids[CLIENT_FLIGHTS_MAX];
};

#define SPOOLER_DIRECT UINT64_MAX

enum spooler_give {
    SPOOLER_TAKEN,   /* on its way, or in the spool */
    SPOOLER_LATER,   /* not now: packets in flight, or the spool, leave no room */
    SPOOLER_REFUSED, /* never: *err is an enum session_err */
};

/* Opens the spool of `conf`, if there is one. One that cannot be opened is warned of, and what is
 * sent goes without. */
void spooler_open(struct spooler *sp, const struct conf *conf, struct session *session);

/* Whether there is a spool, and it works. */
static inline bool spooler_active(const struct spooler *sp)
{
    return sp->spool->fd >= 0;
}

/* Whether this run is the one that sends; tries to become it, at most once in a while. */
bool spooler_claim(struct spooler *sp, uint64_t now_ms);

/* Takes one message. After SPOOLER_LATER it may be given again once something has moved. */
enum spooler_give spooler_give(struct spooler *sp, struct bytes text, int *err, uint64_t now_ms);

/* Brings things forward: what waits in the spool into flight, what was acknowledged out of the
 * spool, what the broker does not take into it. After each session_io. */
void spooler_work(struct spooler *sp, uint64_t now_ms);

/* When spooler_work is due though nothing came. */
uint64_t spooler_deadline(const struct spooler *sp);

/* Whether every message that was taken, and all of the spool, is with the broker. */
bool spooler_settled(const struct spooler *sp);

/* From when on a run that can only wait should not any more: nothing has moved for `timeout`
 * and a little.
 * `done`: there is no more input; then it does not wait either where no attempt to connect went
 * well and the last one has failed. */
uint64_t spooler_hopeless_ms(const struct spooler *sp, bool done);

/* The end of the run: puts what is still in flight into the spool, and syncs. Returns EX_OK all is
 * with the broker; EX_TEMPFAIL the rest is in the spool, synced (said); EX_CANTCREAT it is full;
 * EX_IOERR it could not be written, or it is empty now and had lost something to damage. */
int spooler_finish(struct spooler *sp, uint64_t now_ms);

/* A status for what was not kept: EX_TEMPFAIL would say that it is in the spool. */
static inline int spooler_not_kept(const struct spooler *sp, int status)
{
    return sp->configured && status == EX_TEMPFAIL ? EX_CANTCREAT : status;
}

#endif
