/* sts.h - the STS state machines: payloads and a clock in; payloads, events and a deadline out.
 *
 * Pure: no I/O, no clock; randomness through crypto.h. Normative: doc/protocol.md. The caller owns
 * the struct sts (zero it, then sts_init), moves payloads between it and the broker connection, and
 * calls it at the deadline it names:
 *
 *   sts_start     begin: a master has INITREQ to send, a slave waits
 *   sts_take      a payload came in
 *   sts_pull      what has to go out, until it has no more; after every other call
 *   sts_seal      text -> payload, once sts_ready
 *   sts_deadline  when sts_tick is due
 *
 * Times are milliseconds of a monotonic clock. Which version is spoken follows from the cipher. */
#ifndef STS_STS_H
#define STS_STS_H

#include "bytes.h"
#include "crypto.h"
#include "limits.h"

#define STS_ERRORS(X) \
    X(STS_ERR_STATE, -1, "no session is established") \
    X(STS_ERR_LONG, -2, "the message is longer than the protocol carries") \
    X(STS_ERR_NUL, -3, "a message of STS/1 cannot hold a zero byte") \
    X(STS_ERR_ROOM, -4, "does not fit the buffer") \
    X(STS_ERR_CRYPTO, -5, "the cryptographic library failed")

enum sts_err {
#define STS_ERR_ENTRY(name, value, text) name = (value),
    STS_ERRORS(STS_ERR_ENTRY)
#undef STS_ERR_ENTRY
};

/* Message types, numbered as STS/2 puts them on the wire. */
enum sts_type {
    STS_INITREQ = 1,
    STS_INITACK = 2,
    STS_AUTHREQ = 3,
    STS_AUTHACK = 4,
    STS_RDYREQ = 5,
    STS_RDYACK = 6,
    STS_ENC = 7,
    STS_KILL = 8,
};

enum sts_mode { STS_NOSEC, STS_MASTER, STS_SLAVE };
enum sts_cipher { STS_NULL, STS_ECB, STS_CBC };

/* What a call brought about. */
enum sts_event {
    STS_EV_NONE,        /* nothing that a user has to know */
    STS_EV_STARTED,     /* slave: a master began a handshake */
    STS_EV_ESTABLISHED, /* the handshake is done */
    STS_EV_TEXT,        /* a message: *text */
    STS_EV_KILLED,      /* the other end ended the session; a slave waits for the next */
    STS_EV_RESTARTED,   /* slave: the master began anew, the session it had is over */
    STS_EV_DROPPED,     /* the payload made no sense here, or did not decrypt to a message */
    STS_EV_TIMEOUT,     /* the handshake took too long; a slave waits for the next */
    STS_EV_FAILED,      /* the cryptographic library failed; the session is over */
};

/* Where the conversation stands. */
enum sts_step {
    STS_STEP_IDLE,          /* not started, or over */
    STS_STEP_WAIT_INITREQ,  /* slave */
    STS_STEP_WAIT_INITACK,  /* master */
    STS_STEP_WAIT_AUTHREQ,  /* both: the receiver's own id is due */
    STS_STEP_WAIT_AUTHACK,  /* both */
    STS_STEP_WAIT_RDYREQ,   /* both: the other end's public key is due */
    STS_STEP_WAIT_RDYACK,   /* both */
    STS_STEP_ESTABLISHED,
};

#if STS_SEED

/* The state of an STS/1 session; its fields are sts1.c's alone. */
struct sts1 {
    uint8_t id_master[STS1_ID_CHARS];
    uint8_t id_slave[STS1_ID_CHARS];
    uint8_t shown[STS1_SHOWN_KEYS_MAX][32]; /* private keys of the RDYREQs sent, oldest first */
    size_t shown_count;
    uint8_t key[32];
    uint8_t iv[STS1_BLOCK_BYTES];           /* CBC: one chain that both directions share */
    struct crypto_point public_key;         /* what the next RDYREQ shows */
    uint64_t resend_ms;                     /* INITREQ or RDYREQ again; UINT64_MAX: never */
    uint64_t ready_ms;                      /* the first ENC or KILL may leave; 0: it may */
};

#endif

struct sts {
    enum sts_mode mode;
    enum sts_cipher cipher;
    enum sts_step step;
    uint64_t timeout_ms;    /* that a handshake may take */
    uint64_t expires_ms;    /* when this one has taken too long; UINT64_MAX: none under way */
    enum sts_type outbox[STS_OUTBOX_MAX];   /* waiting for sts_pull, in the order they leave */
    size_t outbox_len;
    uint64_t sent, received, dropped;   /* ENC messages; payloads dropped */
    size_t topic_len;       /* of the topic that ENC is published on */
    int crypto_err;         /* enum crypto_err behind the last STS_EV_FAILED or STS_ERR_CRYPTO */
#if STS_SEED
    struct sts1 v1;
#endif
};

/* The words for an error, for a log line; never NULL. */
const char *sts_err_text(int err);
/* "INITREQ" and so on; "nosec"; "ecb" and so on: as protocol and config write them. Never NULL. */
const char *sts_type_name(enum sts_type type);
const char *sts_mode_name(enum sts_mode mode);
const char *sts_cipher_name(enum sts_cipher cipher);

/* Makes `s` a master or slave that has not started. `pubtop_len`: length of the topic it publishes
 * on, in bytes, which bounds a message of STS/1. `timeout_ms`: for a whole handshake. */
void sts_init(struct sts *s, enum sts_mode mode, enum sts_cipher cipher, size_t pubtop_len,
              uint64_t timeout_ms);

/* Begins: the connection is up and the subscription acknowledged. A master gets INITREQ to send and
 * its handshake deadline, a slave waits for INITREQ without one. What there was before is over.
 * STS_ERR_CRYPTO when there are no random bytes; STS_ERR_STATE when this build has no version of
 * the protocol for the mode and cipher. */
int sts_start(struct sts *s, uint64_t now_ms) __attribute__((warn_unused_result));

/* Takes a payload that arrived, and changes it in place (clarifies, deciphers). With STS_EV_TEXT
 * `*text` is the message, a view into `payload`. */
enum sts_event sts_take(struct sts *s, struct bytes *text, uint8_t *payload, size_t payload_len,
                        uint64_t now_ms);

/* Writes the next payload that has to go out, and returns its length; 0: there is none now. Room
 * of PAYLOAD_MAX_BYTES always suffices; STS_ERR_ROOM otherwise, and the message stays.
 * STS_ERR_CRYPTO ends the session. A KILL that was asked for waits here until it may leave; with
 * it the session is over for this end. */
int sts_pull(struct sts *s, struct wr *out, uint64_t now_ms) __attribute__((warn_unused_result));

/* Whether sts_seal may be called now: established, the guard time of STS/1 is over, and nothing
 * waits for sts_pull (after sts_stop: KILL does). */
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

/* Asks for the end: an established session gets KILL to send (as soon as it may leave), any other
 * state is simply over. */
void sts_stop(struct sts *s);

/* Whether the session is established: messages are taken, and sent as soon as sts_ready. */
bool sts_established(const struct sts *s);

/* When sts_tick is due next, the end of the guard time included; UINT64_MAX: never. */
uint64_t sts_deadline(const struct sts *s);

/* Does what is due at `now_ms`. */
enum sts_event sts_tick(struct sts *s, uint64_t now_ms);

/* Wipes every secret and ends whatever is under way, without a word. The counters stay. */
void sts_wipe(struct sts *s);

#endif
