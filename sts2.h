/* sts2.h - STS/2 sessions: master and slave.
 *
 * Pure: no I/O, no clock, no randomness: whatever must be fresh is passed in. Normative:
 * doc/protocol.md, "Sessions" (points 1 to 9). For sts.c, which picks the version of the protocol
 * and draws what is fresh, and for nobody else.
 *
 * Nothing leaves by itself: sts2_due says what has to, sts2_pull writes it. Times are milliseconds
 * of a monotonic clock. */
#ifndef STS_STS2_H
#define STS_STS2_H

#include "bytes.h"
#include "first.h"
#include "limits.h"
#include "link.h"
#include "noise.h"
#include "peers.h"
#include "sts_types.h"
#include "tally.h"

/* Sizes on the wire; the sum of what stands after version and type, and these two. */
#define STS2_INITREQ_BYTES (2 + 32 + 48 + 8 + 16)
#define STS2_INITACK_BYTES (2 + 32 + 16)
#define STS2_RDYACK_BYTES (2 + 8 + 16)
#define STS2_ENC_BYTES (2 + 8 + 16) /* and the text */
#define STS2_KILL_BYTES (2 + 8 + 16 + 16)

/* What a handshake message uses up; the caller wipes it. */
struct sts2_fresh {
    uint8_t ephemeral[32]; /* private key, of sts2_ephemeral; never twice */
    uint64_t id;           /* INITREQ: new, and synced to the state file */
};

enum sts2_step {
    STS2_IDLE,         /* not started, or over */
    STS2_WAIT_INITREQ, /* slave: no session */
    STS2_WAIT_INITACK, /* master: no session */
    STS2_ESTABLISHED,
    STS2_CLOSING, /* a KILL was asked for, or has come */
};

/* A handshake that a slave was asked for. */
struct sts2_pending {
    enum { PENDING_NONE, PENDING_ASKED, PENDING_ANSWERED } state;
    uint64_t expires_ms;
    struct noise noise;    /* asked: after message 1 */
    uint8_t ephemeral[32]; /* asked: the master's */
    struct link link;      /* asked: but for the two keys */
};

/* A master's newest INITREQ. */
struct sts2_attempt {
    bool due; /* one more has to leave */
    bool made;
    uint64_t resend_ms; /* when the next is due; UINT64_MAX: not before this one left */
    uint64_t wait_ms;   /* between the next two */
    struct noise noise;
    uint8_t ephemeral[32]; /* private */
};

struct sts2 {
    enum sts2_step step;
    bool stopping;       /* sts2_stop was called: no new session */
    uint64_t expires_ms; /* of WAIT_INITACK and CLOSING */
    uint64_t quiet_ms;   /* ESTABLISHED: when silence has to be acted on */
    unsigned questions;  /* RDYACKs without an answer; master */
    bool rdyack_due;
    bool junk_charged;      /* the last message was a handshake's, and came to nothing */
    uint64_t handshakes_us; /* the handshakes read so far are paid for at this time */
    struct sts_setup use;
    struct tally tally; /* of this session or, when it is over, the last one */
    struct link link;
    struct sts2_attempt attempt;
    struct sts2_pending pending[STS2_PENDING_MAX];
};

/* `setup->cipher` is not looked at. */
void sts2_init(struct sts2 *s, const struct sts_setup *setup);

/* Begins: the subscription is acknowledged. A master has INITREQ due, a slave waits. What was there
 * is over, so not again after a reconnect: sessions and pending handshakes outlive it. */
void sts2_start(struct sts2 *s, uint64_t now_ms);

/* Takes a payload that came in on `topic`, and deciphers it in place if it authenticates. */
/*@ requires state: \valid(s) && \valid(news) && \valid_read(s->use.own) &&
                    \valid_read(s->use.peers);
    requires message: \valid(payload + (0 .. payload_len - 1)) &&
                      \initialized(payload + (0 .. payload_len - 1));
    requires view: \valid_read(topic.p + (0 .. topic.len - 1));
    ensures view: news->text.p == \null || news->text.p == payload + LINK_HEAD_BYTES; */
void sts2_take(struct sts2 *s, struct sts_news *news, struct bytes topic, uint8_t *payload,
               size_t payload_len, uint64_t now_ms);

/* The message that was taken last took that long by the clock. A handshake message that came to
 * nothing is not charged for more than its share of the time. */
/*@ requires state: \valid(s);
    assigns s->handshakes_us, s->junk_charged; */
void sts2_spent(struct sts2 *s, uint64_t spent_us);

/* What has to leave next; false: nothing. STS_INITREQ needs a fresh ephemeral key and id,
 * STS_INITACK a fresh ephemeral key. */
bool sts2_due(const struct sts2 *s, enum sts_type *type);

/* Makes the ephemeral key of the handshake message that is due. `id`: for INITREQ the id that it
 * will carry; INITACK uses the one that it answers. */
void sts2_ephemeral(const struct sts2 *s, uint8_t ephemeral[32], const uint8_t random[32],
                    uint64_t id);

/* Writes what is due and returns its length; 0: nothing is. `fresh` may be NULL when it is not a
 * handshake message. STS_ERR_ROOM, STS_ERR_ID: it stays due. STS_ERR_CRYPTO: a master's session is
 * over, a slave's handshake is. */
int sts2_pull(struct sts2 *s, struct wr *out, const struct sts2_fresh *fresh, uint64_t now_ms)
    __attribute__((warn_unused_result));

/* Whether sts2_seal may be called: established, and no RDYACK has to leave before. */
bool sts2_ready(const struct sts2 *s);

/* Seals one message: STS2_ENC_BYTES and the text, which may already stand at
 * LINK_HEAD_BYTES of the room. They must be published in the order they were sealed.
 * STS_ERR_STATE, STS_ERR_LONG, STS_ERR_ROOM. */
int sts2_seal(struct sts2 *s, struct wr *out, struct bytes text)
    __attribute__((warn_unused_result));

/* The next `count` texts, in the order they were taken, are written out. Not to be called for one
 * that is not: the other end is told so, and forgets the message. */
void sts2_written(struct sts2 *s, uint64_t count);

/* Asks for the end: an established session gets KILL to send, any other state is over. */
void sts2_stop(struct sts2 *s, uint64_t now_ms);

/* Whether a KILL of the other end says that it has taken, and written out, all that we sent in the
 * session: that of now or, when it is over, the last one. */
bool sts2_delivered(const struct sts2 *s);

/* When sts2_tick is due next; UINT64_MAX: never. */
uint64_t sts2_deadline(const struct sts2 *s);

/* Does what is due; again while sts2_deadline is not later than now. */
enum sts_event sts2_tick(struct sts2 *s, uint64_t now_ms);

/* Wipes every secret but those of `own` and `peers`, and stops. The counts stay. */
void sts2_wipe(struct sts2 *s);

#endif
