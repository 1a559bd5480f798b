/* client.h - one broker connection: TCP, QoS flows, keepalive, reconnect.
 *
 * Owns the socket and the two buffers; never blocks, never waits, never writes a log line. The
 * caller polls: client_fd and client_events say for what, client_deadline until when; then it calls
 * client_io with what poll found, client_next until that gives CLIENT_EV_NONE, and starts over.
 * All that happens to the connection happens in client_next, so a message stays where it is until
 * the caller has taken it. A caller that cannot take it yet says so with client_pause, and goes on
 * calling client_io: that is where a paused connection's PINGREQ comes from.
 *
 * Normative: MQTT 3.1.1, chapters 3 and 4. Times are milliseconds of a monotonic clock. */
#ifndef STS_CLIENT_H
#define STS_CLIENT_H

#include "bytes.h"
#include "conf.h"
#include "limits.h"
#include "mqtt_min.h"
#include "resolve.h"

#define CLIENT_ERRORS(X) \
    X(CLIENT_ERR_HOST, -1, "the host name has no address") \
    X(CLIENT_ERR_CONNECT, -2, "cannot connect") \
    X(CLIENT_ERR_CLOSED, -3, "the broker closed the connection") \
    X(CLIENT_ERR_NETWORK, -4, "the connection broke") \
    X(CLIENT_ERR_DEAD, -5, "the broker does not answer PINGREQ") \
    X(CLIENT_ERR_NO_CONNACK, -6, "no CONNACK in time") \
    X(CLIENT_ERR_NO_SUBACK, -7, "no SUBACK in time") \
    X(CLIENT_ERR_NO_ACK, -8, "no acknowledgement in time") \
    X(CLIENT_ERR_MALFORMED, -9, "a malformed packet") \
    X(CLIENT_ERR_UNEXPECTED, -10, "a packet that must not come here") \
    X(CLIENT_ERR_REFUSED, -11, "the broker refused the connection") \
    X(CLIENT_ERR_SUBSCRIPTION, -12, "the broker refused a subscription") \
    X(CLIENT_ERR_FULL, -13, "the packets in flight fill the buffer") \
    X(CLIENT_ERR_SYSTEM, -14, "the system refused a socket or a process")

enum client_err {
#define CLIENT_ERR_ENTRY(name, value, text) name = (value),
    CLIENT_ERRORS(CLIENT_ERR_ENTRY)
#undef CLIENT_ERR_ENTRY
};

enum client_state {
    CLIENT_IDLE,       /* never started, or closed, or failed */
    CLIENT_RESOLVING,  /* the host name is being looked up */
    CLIENT_CONNECTING, /* TCP */
    CLIENT_GREETING,   /* CONNECT is out, CONNACK not here */
    CLIENT_UP,
    CLIENT_CLOSING, /* DISCONNECT is on its way, or the broker's close */
    CLIENT_WAITING, /* for the next attempt to connect */
};

enum client_event_type {
    CLIENT_EV_NONE,       /* nothing more to say before the next poll */
    CLIENT_EV_CONNECTED,  /* CONNACK; u.session_present */
    CLIENT_EV_SUBSCRIBED, /* SUBACK: every filter is granted */
    CLIENT_EV_MESSAGE,    /* u.message, until client_taken */
    CLIENT_EV_SKIPPED,    /* a PUBLISH larger than the buffer was acknowledged unread; u.size */
    CLIENT_EV_LOST,       /* the connection is gone, and will be tried again; u.failure */
    CLIENT_EV_FAILED,     /* the connection is gone for good; u.failure */
    CLIENT_EV_CLOSED,     /* after client_disconnect */
};

struct client_failure {
    int err;          /* enum client_err; 0: none */
    int detail;       /* errno; enum mqtt_err; CONNACK code; index of the refused filter - as
                               `err` has it */
    int packet;       /* enum mqtt_type of a malformed or unexpected packet */
    uint32_t wait_ms; /* CLIENT_EV_LOST: until the next attempt */
};

struct client_event {
    enum client_event_type type;
    union {
        bool session_present;
        struct mqtt_publish message;
        size_t size; /* of the whole packet, bytes */
        struct client_failure failure;
    } u;
};

/* How a connection is to be used. */
struct client_use {
    const struct conf *conf; /* kept by reference */
    const char *client_id;   /* where conf has none; NULL: a random one. Copied. */
    uint64_t give_up_ms;     /* how long to go on trying after a loss; 0: a loss ends all;
                                   UINT64_MAX: for ever. The first connect is tried once, the
                                   first subscription twice, and what trying again cannot mend ends
                                   all; ... */
    bool patient;            /* ... but not with this: then everything is tried again */
    bool subscribe;          /* to conf's subtops */
    bool quick;              /* answers matter: see client_rx_read */
    bool single;             /* one message is all there will be to send */
    bool early;              /* PUBLISH may leave before CONNACK: [MQTT-3.1.4-5] and its note */
    bool forget;             /* the broker is made to forget the session of an earlier run first
                                   (section 3.1.2.4): nobody here can finish its QoS 2 flows */
};

/* What a PUBLISH in the ring is waiting for. */
enum client_flight_state {
    CLIENT_FLIGHT_QUEUED,   /* to be written, for the first time or again */
    CLIENT_FLIGHT_SENT,     /* PUBACK or PUBREC */
    CLIENT_FLIGHT_RELEASED, /* PUBCOMP */
    CLIENT_FLIGHT_DONE,     /* nothing, but older ones are before it in the ring */
};

struct client_flight {
    uint32_t start, len; /* of the packet in the ring */
    uint16_t packet_id;  /* 0: QoS 0 */
    uint8_t qos;
    enum client_flight_state state;
};

/* What waits to be written, in the order it leaves. */
enum client_queue_id {
    CLIENT_QUEUE_NONE,
    CLIENT_QUEUE_CONTROL, /* CONNECT, SUBSCRIBE, PUBREL */
    CLIENT_QUEUE_ACKS,    /* of what was received */
    CLIENT_QUEUE_FLIGHTS, /* PUBLISH */
    CLIENT_QUEUE_TAIL,    /* PINGREQ, DISCONNECT: behind everything else */
};

/* Bytes on their way out: whole packets. */
struct client_queue {
    size_t sent, len; /* in use: from 0 to len; written: up to sent */
};

/* A PUBLISH larger than the receive buffer, while it passes by. */
struct client_skip {
    enum {
        CLIENT_SKIP_NONE,
        CLIENT_SKIP_TOPIC_LENGTH,
        CLIENT_SKIP_TOPIC,
        CLIENT_SKIP_PACKET_ID,
        CLIENT_SKIP_REST,
    } step;
    size_t size; /* of the whole packet */
    size_t left; /* bytes of it that have not passed */
    size_t topic_left;
    uint8_t qos;
    uint16_t packet_id;
};

/* One connection; its fields belong to the files of the client. Others may read `state`, and which
 * packets are in flight. */
struct client {
    /* Small fields before large ones, here as in the other structs: short offsets are short code,
     * and on ARM a byte has to be nearest for that. */
    enum client_state state;
    bool forgetting;     /* this connection is only to make the broker forget */
    bool was_up;         /* a CONNACK was taken at least once */
    bool was_subscribed; /* a SUBACK */
    bool in_vain;        /* the last connection ended before the first SUBACK */
    bool answered;       /* CONNACK taken on this connection */
    bool proven;         /* ... and something of ours, or by us, acknowledged */
    bool deaf;           /* the caller kept us from reading when we last looked */
    bool paused;         /* the caller does not take messages */
    bool eof;            /* the broker closed its side */
    bool hung_up;        /* both sides are closed; poll would say so for ever */
    bool blocked;        /* the socket took no more; wait for POLLOUT */
    bool ping_wanted;    /* PINGREQ goes out behind all that is queued now */
    bool ping_covers;    /* the last of them left after every QoS 0 PUBLISH */
    bool unconfirmed;    /* a QoS 0 PUBLISH left, and no PINGRESP covers it */
    bool qos0_lost;      /* the connection went while that was so */
    bool rx_waits;       /* rx is unread until there is room for its acknowledgements */
    bool ids_used;       /* a bit of `unreleased` was set since they were all cleared */
    uint8_t taken_qos;   /* of the PUBLISH that CLIENT_EV_MESSAGE showed */
    uint16_t taken_id;
    uint16_t next_packet_id;
    uint16_t subscribe_id; /* 0: no SUBSCRIBE under way */
    short poll_said;       /* what poll said while resolving or connecting; 0: nothing yet */

    int fd;                                         /* -1: none */
    int io_error;                                   /* errno of a failed read or write */
    uint32_t backoff_ms;                            /* upper bound of the next wait */
    uint32_t pings;                                 /* PINGREQs without PINGRESP */
    uint32_t flight_head, flight_tail, flight_next; /* counters: oldest, free, to be written */
    enum client_queue_id partial; /* was cut off by a short write, and goes on first */
    struct client_use use;
    size_t rx_pos, rx_len; /* rx[rx_pos..rx_len-1] is unread */
    size_t taken_len;      /* of the PUBLISH that CLIENT_EV_MESSAGE showed; 0: none */
    size_t flight_sent;    /* bytes of flight_next already written */
    size_t acks_released;  /* acks up to here may leave */
    size_t address;        /* index of the one in use */
    struct client_queue control, acks, tail;

    uint64_t step_deadline_ms; /* of resolving, connecting, CONNACK, SUBACK, closing, waiting */
    uint64_t progress_ms;      /* when something unacknowledged last moved */
    uint64_t last_tx_ms, last_rx_ms;
    uint64_t lost_ms;          /* when the last good connection went; UINT64_MAX: none did */
    uint64_t connect_until_ms; /* for all addresses together */
    uint64_t up_ms;            /* when CONNACK came */
    uint64_t ping_ms;          /* when the oldest unanswered PINGREQ left */

    struct client_failure fault; /* found since the last client_next */
    struct client_skip skip;
    struct client_flight open; /* between client_publish and client_commit */
    char client_id[CONF_VALUE_MAX_CHARS + 1];
    struct client_flight flights[CLIENT_FLIGHTS_MAX];

    /* From here on client_init leaves everything as it is. */
    struct resolve resolve;
    uint8_t control_bytes[CLIENT_CONTROL_BYTES];
    uint8_t acks_bytes[CLIENT_ACKS_BYTES];
    uint8_t tail_bytes[2 * MQTT_EMPTY_PACKET_BYTES]; /* PINGREQ, DISCONNECT */
    uint8_t unreleased[65536 / 8]; /* QoS 2 ids taken and not yet PUBRELed: a bit each */
    uint8_t rx[CLIENT_RX_BYTES];
    uint8_t ring[CLIENT_RING_BYTES];
};

/* The words for an error, for a log line; never NULL. */
const char *client_err_text(int err);

/* Readies `c`, which was all zero before its first use, for client_start. Nothing is opened yet.
 * CLIENT_ERR_SYSTEM when the kernel gives no random bytes (client id, packet ids). */
int client_init(struct client *c, const struct client_use *use) __attribute__((warn_unused_result));

/* Begins to connect. What goes wrong comes as CLIENT_EV_FAILED. */
void client_start(struct client *c, uint64_t now_ms);

/* The descriptor to poll (-1: none) and for what (POLLIN, POLLOUT; 0: only errors). */
int client_fd(const struct client *c);
short client_events(const struct client *c);

/* When client_next has to be called though nothing came; UINT64_MAX: never. */
uint64_t client_deadline(const struct client *c);

/* Moves bytes: reads what poll said is there, writes what waits. `revents`: of client_fd; 0 is
 * fine. Errors are kept for client_next. */
void client_io(struct client *c, short revents, uint64_t now_ms);

/* Brings the connection forward and tells what happened; again until CLIENT_EV_NONE. May not be
 * called between CLIENT_EV_MESSAGE and client_taken. */
void client_next(struct client *c, struct client_event *event, uint64_t now_ms);

/* The payload of the last CLIENT_EV_MESSAGE, for who wants to change it where it is. */
uint8_t *client_payload(struct client *c, const struct mqtt_publish *message);

/* The message of the last CLIENT_EV_MESSAGE is dealt with: its bytes go, its acknowledgement is
 * made and held until client_release. */
void client_taken(struct client *c);

/* Lets the acknowledgements of all messages taken so far leave: what they say is written out. */
void client_release(struct client *c);

/* The caller takes no messages for now (true), or again (false): nothing is read meanwhile, the
 * keepalive goes on, and silence of the broker is not held against it. */
void client_pause(struct client *c, bool paused, uint64_t now_ms);

/* Whether client_publish has room for a PUBLISH of these sizes. */
bool client_room(const struct client *c, size_t topic_len, size_t payload_len, uint8_t qos);

/* Makes room for a PUBLISH and points `payload` at the `payload_len` bytes that the caller has to
 * fill; client_commit queues it, client_abandon forgets it.
 * CLIENT_ERR_FULL: not now; after some acknowledgement there is room. The caller keeps topic_len
 * within CONF_VALUE_MAX_CHARS and payload_len within PAYLOAD_MAX_BYTES. */
int client_publish(struct client *c, struct wr *payload, struct bytes topic, size_t payload_len,
                   uint8_t qos, bool retain, uint64_t now_ms) __attribute__((warn_unused_result));
void client_commit(struct client *c);
void client_abandon(struct client *c);

/* Whether the flight with this counter, from c->flight_head up to c->flight_tail, still waits for
 * its acknowledgement; *publish is what it carries then, until it is acknowledged. */
bool client_in_flight(const struct client *c, uint32_t flight, struct mqtt_publish *publish);

/* Asks the broker to confirm what left with QoS 0, which it never acknowledges: a PINGREQ behind
 * it, whose PINGRESP shows that the broker has read that far (packets are handled in the order they
 * come in on a connection). */
void client_confirm(struct client *c);

/* Whether every PUBLISH is through (QoS 1: PUBACK, QoS 2: PUBCOMP, QoS 0: confirmed). */
bool client_settled(const struct client *c);

/* Says DISCONNECT behind all that is queued, and closes; CLIENT_EV_CLOSED follows. Acknowledgements
 * that were not released are dropped, and so is a message that was not taken. */
void client_disconnect(struct client *c, uint64_t now_ms);

/* Closes at once, without DISCONNECT: the broker publishes the will. */
void client_abort(struct client *c);

#endif
