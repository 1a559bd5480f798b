/* sts.h - the STS state machines: payloads and a clock in; payloads, news and a deadline out.
 *
 * Pure: no I/O, no clock; randomness through crypto.h. Normative: doc/protocol.md. The caller owns
 * the struct sts (zero it, then sts_init), moves payloads between it and the broker connection, and
 * calls it at the deadline it names:
 *
 *   sts_start     begin: a master has INITREQ to send, a slave waits
 *   sts_take      a payload came in
 *   sts_pull      what has to go out, until it has no more; after every other call
 *   sts_seal      text -> payload, once sts_ready
 *   sts_written   texts that were taken are written out
 *   sts_deadline  when sts_tick is due
 *
 * Times are milliseconds of a monotonic clock. Which version is spoken follows from the cipher.
 * Pushes have no state machine: push.h. */
#ifndef STS_STS_H
#define STS_STS_H

#include "bytes.h"
#include "crypto.h"
#include "limits.h"
#include "sts2.h"
#include "sts_types.h"

/* Where a conversation stands, in either version of the protocol. */
enum sts_stage {
    STS_STAGE_IDLE,    /* not started, or over */
    STS_STAGE_WAITING, /* a slave, for a master */
    STS_STAGE_HANDSHAKE,
    STS_STAGE_ESTABLISHED,
    STS_STAGE_CLOSING, /* STS/2: for KILLs */
};

#if STS_SEED

/* The steps of STS/1. */
enum sts_step {
    STS_STEP_IDLE,         /* not started, or over */
    STS_STEP_WAIT_INITREQ, /* slave */
    STS_STEP_WAIT_INITACK, /* master */
    STS_STEP_WAIT_AUTHREQ, /* both: the receiver's own id is due */
    STS_STEP_WAIT_AUTHACK, /* both */
    STS_STEP_WAIT_RDYREQ,  /* both: the other end's public key is due */
    STS_STEP_WAIT_RDYACK,  /* both */
    STS_STEP_ESTABLISHED,
};

/* The state of an STS/1 session; its fields are sts1.c's alone. */
struct sts1 {
    enum sts_step step;
    uint64_t expires_ms; /* when the handshake has taken too long; UINT64_MAX: none under way */
    uint64_t resend_ms;  /* INITREQ or RDYREQ again; UINT64_MAX: never */
    uint64_t ready_ms;   /* the first ENC or KILL may leave; 0: it may */
    size_t outbox_len, shown_count;
    enum sts_type outbox[STS_OUTBOX_MAX]; /* waiting for sts_pull, in the order they leave */
    uint8_t id_master[STS1_ID_CHARS];
    uint8_t id_slave[STS1_ID_CHARS];
    uint8_t key[32];
    uint8_t iv[STS1_BLOCK_BYTES];           /* CBC: one chain that both directions share */
    struct crypto_point public_key;         /* what the next RDYREQ shows */
    uint8_t shown[STS1_SHOWN_KEYS_MAX][32]; /* private keys of the RDYREQs sent, oldest first */
};

#endif

struct sts {
    struct sts_setup setup;
    int crypto_err; /* enum crypto_err behind the last STS_EV_FAILED or STS_ERR_CRYPTO */
    union {         /* of the version that is spoken */
#if STS_SEED
        struct sts1 v1;
#endif
        struct sts2 v2;
    };
    uint64_t sent, received, dropped; /* ENC messages of all sessions; payloads dropped */
};

/* The words for an error or a drop, for a log line; never NULL. */
const char *sts_err_text(int err);
const char *sts_drop_text(enum sts_drop why);
/* "INITREQ" and so on; "nosec"; "ecb" and so on: as protocol and config write them. Never NULL. */
const char *sts_type_name(enum sts_type type);
const char *sts_mode_name(enum sts_mode mode);
const char *sts_cipher_name(enum sts_cipher cipher);

/* Makes `s` a master or slave that has not started. */
void sts_init(struct sts *s, const struct sts_setup *setup);

/* Begins: the connection is up and the subscription acknowledged. A master gets INITREQ to send and
 * its handshake deadline, a slave waits for INITREQ without one. What there was before is over, so
 * with STS/2 not again after a reconnect: sessions and pending handshakes outlive it.
 * STS_ERR_CRYPTO when there are no random bytes; STS_ERR_STATE when this build has no version of
 * the protocol for the mode and cipher. */
int sts_start(struct sts *s, uint64_t now_ms) __attribute__((warn_unused_result));

/* Takes a payload that arrived on `topic`, and changes it in place (clarifies, deciphers). What it
 * brought is in *news; news->text is a view into `payload`. */
void sts_take(struct sts *s, struct sts_news *news, struct bytes topic, uint8_t *payload,
              size_t payload_len, uint64_t now_ms);

/* The payload that was taken last took that long: what a flood of junk may cost goes by it. */
void sts_spent(struct sts *s, uint64_t spent_us);

/* Whether the next sts_pull uses an id up (STS/2: INITREQ): draw one, sync it to the state file,
 * and give it to sts_pull. Otherwise its `id` is not looked at. */
bool sts_needs_id(const struct sts *s);

/* Writes the next payload that has to go out, and returns its length; 0: there is none now. Room
 * of PAYLOAD_MAX_BYTES always suffices; STS_ERR_ROOM otherwise, and the message stays.
 * STS_ERR_CRYPTO ends the session; STS_ERR_ID: not in 1..STS_ID_MAX, the message stays. */
int sts_pull(struct sts *s, struct wr *out, uint64_t id, uint64_t now_ms)
    __attribute__((warn_unused_result));

/* Whether sts_seal may be called now: established, the guard time of STS/1 is over, and nothing of
 * the session waits for sts_pull. */
bool sts_ready(const struct sts *s, uint64_t now_ms);

/* The longest text that sts_seal takes, in bytes. */
size_t sts_text_max(const struct sts *s);

/* The length of the payload that sts_seal makes of `text_len` bytes. */
size_t sts_sealed_size(const struct sts *s, size_t text_len);

/* Seals one message; exactly sts_sealed_size bytes are written, and 0 returned. Payloads have to be
 * published in the order they were sealed.
 * STS_ERR_STATE: not ready; STS_ERR_LONG; STS_ERR_NUL; STS_ERR_ROOM; STS_ERR_CRYPTO. */
int sts_seal(struct sts *s, struct wr *out, struct bytes text, uint64_t now_ms)
    __attribute__((warn_unused_result));

/* The next `count` texts, in the order they were taken and whichever session they came in, are
 * written out (where there is an `out` file: synced). This is the receipt that KILL gives, and a
 * KILL that is to be answered waits for it. STS/1: nothing. */
void sts_written(struct sts *s, uint64_t count);

/* Asks for the end: an established session gets KILL to send (as soon as it may leave), any other
 * state is simply over. sts_open tells when it is. */
void sts_stop(struct sts *s, uint64_t now_ms);

enum sts_stage sts_stage(const struct sts *s);

/* Whether the session is established: messages are taken, and sent as soon as sts_ready. */
bool sts_established(const struct sts *s);

/* Whether there is a session still: established, or (STS/2) waiting for KILLs. */
bool sts_open(const struct sts *s);

/* STS/2: whether the other end said, in a KILL, that it has taken and written out all that was
 * sealed in the session of now or, when it is over, in the last one. STS/1: false. */
bool sts_delivered(const struct sts *s);

/* STS/2: who the session of now is with; NULL: there is none, or nobody knows. */
const struct peer *sts_peer(const struct sts *s);

/* STS/2: the counter of the message that was taken last, which numbers what the other end sent in
 * the session. False: there is none. */
bool sts_counter(const struct sts *s, uint64_t *counter);

/* When sts_tick is due next, the end of the guard time included; UINT64_MAX: never. */
uint64_t sts_deadline(const struct sts *s);

/* Does what is due at `now_ms`; again while sts_deadline is not later. */
enum sts_event sts_tick(struct sts *s, uint64_t now_ms);

/* Wipes every secret and ends whatever is under way, without a word. The counters stay. */
void sts_wipe(struct sts *s);

#endif
