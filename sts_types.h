/* sts_types.h - the words that both versions of the STS protocol and their users share. */
#ifndef STS_STS_TYPES_H
#define STS_STS_TYPES_H

#include "bytes.h"

#define STS_ERRORS(X) \
    X(STS_ERR_STATE, -1, "no session is established") \
    X(STS_ERR_LONG, -2, "the message is longer than the protocol carries") \
    X(STS_ERR_NUL, -3, "a message of STS/1 cannot hold a zero byte") \
    X(STS_ERR_ROOM, -4, "does not fit the buffer") \
    X(STS_ERR_CRYPTO, -5, "the cryptographic library failed") \
    X(STS_ERR_ID, -6, "an id outside of 1..2^63-1")

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
    STS_PUSH = 9,
};

enum sts_mode { STS_NOSEC, STS_MASTER, STS_SLAVE, STS_SENDER, STS_COLLECTOR };
enum sts_cipher { STS_NULL, STS_ECB, STS_CBC, STS_CHACHAPOLY };

/* What a conversation is made with; what it points at stays the caller's, and has to stay. */
struct sts_setup {
    enum sts_mode mode; /* STS_MASTER or STS_SLAVE */
    enum sts_cipher cipher;
    struct bytes pubtop;          /* topic that is published on */
    uint64_t timeout_ms;          /* that a handshake, or the wait for a KILL, may take */
    uint64_t keepalive_ms;        /* STS/2: 0 is off */
    const struct noise_pair *own; /* STS/2 */
    struct peers *peers;          /* STS/2; a master's has one entry */
};

/* What a call brought about. */
enum sts_event {
    STS_EV_NONE,        /* nothing that a user has to know */
    STS_EV_STARTED,     /* slave: a master began a handshake */
    STS_EV_ESTABLISHED, /* the handshake is done */
    STS_EV_TEXT,        /* a message: news->text */
    STS_EV_KILLED,      /* the other end ended the session, or answered our KILL */
    STS_EV_RESTARTED,   /* STS/1, slave: the master began anew, the session it had is over */
    STS_EV_SILENT,      /* STS/2: the other end is gone; a master starts again, a slave waits */
    STS_EV_DROPPED,     /* the payload changed nothing; news->why */
    STS_EV_TIMEOUT,     /* the handshake, or the wait for a KILL, took too long */
    STS_EV_FAILED,      /* the cryptographic library failed; the session is over */
};

/* Why a payload was dropped; the words are for a log line. */
#define STS_DROPS(X) \
    X(STS_DROP_NONE, "it was not") \
    X(STS_DROP_FORM, "a size, version or type that is not taken here") \
    X(STS_DROP_STATE, "not at this point") \
    X(STS_DROP_TOPIC, "not on this topic") \
    X(STS_DROP_RATE, "too many handshakes") \
    X(STS_DROP_FULL, "too many handshakes are pending") \
    X(STS_DROP_KEY, "an unknown key") \
    X(STS_DROP_TAG, "does not authenticate") \
    X(STS_DROP_ID, "an id that is not new") \
    X(STS_DROP_COUNTER, "a repeated or late message")

enum sts_drop {
#define STS_DROP_ENTRY(name, text) name,
    STS_DROPS(STS_DROP_ENTRY)
#undef STS_DROP_ENTRY
};

/* What a payload brought. One message can do two things at once: the first one of a session begins
 * it, whatever else it is. */
struct sts_news {
    enum sts_event event;
    bool began;        /* a session began with it; before the event */
    bool replaced;     /* ... and ended another one, of this key or another */
    uint64_t lost;     /* messages of the other end that are missing before it */
    struct bytes text; /* with STS_EV_TEXT: a view into the payload */
    enum sts_drop why; /* with STS_EV_DROPPED */
};

#endif
