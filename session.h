/* session.h - one configuration at work: a broker connection and, where the mode has one, an STS
 * conversation or pushes through it. What send.c, recv.c and shell.c share.
 *
 * It tells the user what happens (log lines), and its caller what to do (events). Driven like
 * client.h: poll, session_io, session_next until SESSION_EV_NONE. */
#ifndef STS_SESSION_H
#define STS_SESSION_H

#include <poll.h>

#include "client.h"
#include "conf.h"
#include "keyring.h"
#include "log.h"
#include "sts.h"

#define SESSION_ERRORS(X) \
    X(SESSION_ERR_NOT_READY, -1, "the session is not established") \
    X(SESSION_ERR_FULL, -2, "too many messages are in flight") \
    X(SESSION_ERR_LONG, -3, "the message is too long") \
    X(SESSION_ERR_NUL, -4, "a message of STS/1 cannot hold a zero byte") \
    X(SESSION_ERR_CRYPTO, -5, "the cryptographic library failed") \
    X(SESSION_ERR_ID, -6, "there is no id for the message")

enum session_err {
#define SESSION_ERR_ENTRY(name, value, text) name = (value),
    SESSION_ERRORS(SESSION_ERR_ENTRY)
#undef SESSION_ERR_ENTRY
};

enum session_event {
    SESSION_EV_NONE,
    SESSION_EV_READY,   /* messages may be sent: connected, subscribed, established */
    SESSION_EV_MESSAGE, /* *message, until session_taken */
    SESSION_EV_KILLED,  /* the other end ended the STS session; a slave waits for the next */
    SESSION_EV_OVER,    /* all is closed; session->end says why */
};

/* Why a session is over. */
enum session_end {
    SESSION_END_NONE,        /* it is not */
    SESSION_END_STOPPED,     /* session_stop, and all that was to be sent is through */
    SESSION_END_CLIENT,      /* client_err in session->failure */
    SESSION_END_HANDSHAKE,   /* the other end did not answer within `timeout` */
    SESSION_END_CRYPTO,      /* the cryptographic library failed */
    SESSION_END_UNSETTLED,   /* session_stop, but the broker did not confirm all in time */
    SESSION_END_UNRECEIPTED, /* STS/2: the other end did not say that it has everything */
    SESSION_END_STORE,       /* the state file; session->store_status */
};

struct session_message {
    struct bytes topic;
    struct bytes text; /* clear text, any bytes */
    const char *peer;  /* name of the sender; NULL: nobody proved who it is */
    uint64_t number;   /* id of a push, counter of a message of STS/2; see has_number */
    bool has_number;
};

/* What the session is for. */
struct session_use {
    const struct conf *conf; /* kept by reference */
    struct keyring *keyring; /* likewise; loaded for conf */
    struct log *log;         /* likewise */
    bool receive;            /* subscribe (master and slave always do) */
    bool early;              /* see client_use */
    bool many;               /* more than one message will be sent: draw ids in groups */
    bool patient_slave;      /* a slave waits for masters for ever, not for `timeout` */
    bool patient;            /* see client_use */
    uint64_t give_up_ms;     /* see client_use */
};

/* The push that the last SESSION_EV_MESSAGE showed. */
struct session_push {
    bool open;
    size_t sender; /* its place in the keyring's list */
    uint64_t id;
    struct push_window window; /* as it is once the message is taken */
};

/* What a log line is about that others can bring about at will. */
enum session_topic {
    SESSION_SAY_CONNECTED,
    SESSION_SAY_SUBSCRIBED,
    SESSION_SAY_CUT_OFF,
    SESSION_SAY_SKIPPED,
    SESSION_SAY_STARTED,
    SESSION_SAY_ESTABLISHED,
    SESSION_SAY_REPLACED,
    SESSION_SAY_RESTARTED,
    SESSION_SAY_KILLED,
    SESSION_SAY_WAITING,
    SESSION_SAY_TIMEOUT,
    SESSION_SAY_LOST,
    SESSION_SAY_COUNT,
};

/* How often that was, without a pause. */
struct session_repeat {
    uint64_t count, last_ms;
};

struct session {
    /* Small fields before large ones, as in client.h. */
    bool running;         /* between session_start and SESSION_EV_OVER */
    bool stopping;        /* session_stop was called */
    bool killed;          /* the other end's KILL came, and the session is not over yet */
    bool ready;           /* SESSION_EV_READY was given, and holds */
    bool look_again;      /* something was done that session_next has not looked at */
    bool shortfall;       /* an STS session ended without a receipt for all of its own */
    enum session_end end; /* set while running: it is closing, for this reason */
    int store_status;     /* of SESSION_END_STORE and SESSION_ERR_ID: sysexits.h */
    struct session_use use;
    uint64_t stop_until_ms;  /* when stopping: no longer than this */
    uint64_t slave_until_ms; /* an impatient slave's last moment; UINT64_MAX: none */
    uint64_t sent, received, skipped;
    uint64_t unwritten;            /* texts of STS taken since the last session_release */
    uint64_t sent_before;          /* of `sent`: in STS sessions before the one of now */
    uint64_t dropped, replays;     /* of pushes, and in all */
    uint64_t lost_untold;          /* messages of the other end that no log line has counted yet */
    uint64_t id_floor;             /* ids of what is sent are above it */
    uint64_t last_id;              /* of the push that was sealed last */
    struct client_failure failure; /* of SESSION_END_CLIENT */
    struct session_repeat repeats[SESSION_SAY_COUNT];
    struct session_push push;

    /* From here on session_init leaves everything to those whose it is. */
    struct sts sts;
    struct client client;
};

const char *session_err_text(int err);

/* Readies `s` for session_start; session_text_max and session_check can be asked from here on. */
void session_init(struct session *s, const struct session_use *use);

/* Starts to connect. CLIENT_ERR_SYSTEM: no random bytes. */
int session_start(struct session *s, uint64_t now_ms) __attribute__((warn_unused_result));

/* From now on a lost connection is final after `timeout`. */
void session_lose_patience(struct session *s);

/* What to poll: fills one entry (fd -1 where there is nothing). */
void session_poll(const struct session *s, struct pollfd *fd);
uint64_t session_deadline(const struct session *s);

void session_io(struct session *s, short revents, uint64_t now_ms);

/* What happened; again until SESSION_EV_NONE. Not between SESSION_EV_MESSAGE and session_taken. */
enum session_event session_next(struct session *s, struct session_message *message,
                                uint64_t now_ms);

/* The message is dealt with. Its acknowledgement waits for session_release. */
void session_taken(struct session *s);

/* The message is dropped: to the other end of an STS/2 session it counts as not received, and a
 * push would be taken again. Not followed by session_release. */
void session_refuse(struct session *s);

/* All that was taken so far is written out: syncs what a collector has to remember of it, then lets
 * the acknowledgements leave. A state file that cannot be written ends the session, and nothing is
 * acknowledged. */
void session_release(struct session *s, uint64_t now_ms);
void session_pause(struct session *s, bool paused, uint64_t now_ms);

/* Whether a message can be given to session_send now. */
bool session_ready(const struct session *s, uint64_t now_ms);

/* The longest text of one message, in bytes. */
size_t session_text_max(const struct session *s);

/* Whether a message of this text can be sent at all: 0, SESSION_ERR_LONG or SESSION_ERR_NUL. */
int session_check(const struct session *s, struct bytes text);

/* Sends one message: sealed where the mode has a cipher. 0, or enum session_err; SESSION_ERR_FULL
 * means: again after some progress. SESSION_ERR_ID: said in a log line, see store_status. */
int session_send(struct session *s, struct bytes text, uint64_t now_ms)
    __attribute__((warn_unused_result));

/* Seals a push into `payload`, which has room for FIRST_BYTES and the text, and sends nothing; its
 * id is s->last_id. `text` was checked. 0; SESSION_ERR_ID, SESSION_ERR_CRYPTO. */
int session_seal(struct session *s, struct wr *payload, struct bytes text)
    __attribute__((warn_unused_result));

/* Sends what session_seal made, perhaps in another run, for this topic. 0; SESSION_ERR_NOT_READY,
 * SESSION_ERR_FULL. */
int session_send_sealed(struct session *s, struct bytes topic, struct bytes sealed, uint64_t now_ms)
    __attribute__((warn_unused_result));

/* Whether the other end says in its KILL what it has: STS/2, master or slave. */
bool session_has_receipts(const struct session *s);

/* Whether the broker has every message. Asks for confirmation of QoS 0 where that is missing. */
bool session_settled(struct session *s);

/* Ends it: KILL where a session is established, DISCONNECT; SESSION_EV_OVER follows, at the latest
 * after `timeout`, and at once where there is no connection. */
void session_stop(struct session *s, uint64_t now_ms);

/* The same, and nothing is waited for any more, also where it is stopping already. */
void session_stop_at_once(struct session *s, uint64_t now_ms);

/* "connecting", "waiting for a master" and so on, for status lines; never NULL. */
const char *session_state_text(const struct session *s);

#endif
