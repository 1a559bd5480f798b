/* limits.h - every size and limit of sts, with its unit.
 *
 * Nothing is allocated at run time: each of these is the size of an array or the bound of a loop.
 * A size made of parts is written as their sum, so it can be held against the protocol text. */
#ifndef STS_LIMITS_H
#define STS_LIMITS_H

/* ---- configuration ---- */

#define CONF_VALUE_MAX_CHARS 128 /* the original's limit, kept: "128 char max" */
#define CONF_FILE_MAX_BYTES 8192 /* all keys at full length and as much again of comments */
#define CONF_SUBTOPS_MAX 8       /* subscriptions of one connection */
#define CONF_TIMEOUT_MAX_S 86400 /* a day: keeps every deadline far from overflow */

#define OPTIONS_OVERRIDES_MAX 64 /* -o; every key and every subtop, and some twice by mistake */

/* ---- messages ---- */

/* One message as a user gives it. A reading has tens of bytes; this leaves room for a JSON dump of
 * a whole machine while the receive and send buffers stay below the memory budget. */
#define MESSAGE_MAX_BYTES 16384
/* What the widest envelope adds: version and type, ephemeral key, sealed static key, id, tag. */
#define ENVELOPE_MAX_BYTES (2 + 32 + 48 + 8 + 16)
#define PAYLOAD_MAX_BYTES (MESSAGE_MAX_BYTES + ENVELOPE_MAX_BYTES)

/* ---- MQTT ---- */

#define MQTT_FIXED_HEADER_MAX_BYTES (1 + 4)  /* section 2.2: type and flags, length */
#define MQTT_EMPTY_PACKET_BYTES 2            /* sections 3.12 to 3.14: PINGREQ, DISCONNECT */
#define MQTT_REMAINING_LENGTH_MAX 268435455u /* section 2.2.3: four bytes of seven bits */
#define MQTT_STRING_MAX_BYTES 65535          /* section 1.5.3: two bytes of length */
#define MQTT31_CLIENT_ID_MAX_CHARS 23        /* MQTT 3.1, section 3.1 */
#define TOPIC_RX_MAX_BYTES 1024              /* a received topic that is longer comes as oversize */

/* ---- one broker connection ---- */

/* The largest packet taken whole. A larger PUBLISH is skipped, acknowledged, counted. */
#define CLIENT_RX_BYTES \
    (MQTT_FIXED_HEADER_MAX_BYTES + 2 + TOPIC_RX_MAX_BYTES + 2 + PAYLOAD_MAX_BYTES)
/* The largest PUBLISH we make. */
#define CLIENT_PUBLISH_MAX_BYTES \
    (MQTT_FIXED_HEADER_MAX_BYTES + 2 + CONF_VALUE_MAX_CHARS + 2 + PAYLOAD_MAX_BYTES)
/* Packets waiting to be sent or acknowledged: the largest always fits an empty ring, and the rest
 * lets many small ones be in flight while a large one is. */
#define CLIENT_RING_BYTES (CLIENT_PUBLISH_MAX_BYTES + 8192)
#define CLIENT_FLIGHTS_MAX 64 /* PUBLISH packets in the ring; mosquitto_pub keeps 20 */
/* PUBLISH packets that leave before CONNACK. aedes keeps 42 packets of a client that it has not let
 * in yet, and closes the connection at the next. */
#define CLIENT_EARLY_MAX 32
/* QoS 2 packets in the ring. mosquitto handles 20 at a time by default, and delivers what is beyond
 * them out of order, or closes the connection. */
#define CLIENT_QOS2_FLIGHTS_MAX 20
#define CLIENT_ACKS_BYTES 2048 /* 512 acknowledgements of 4 bytes between two writes */
/* CONNECT with five strings at their limit, a SUBSCRIBE of all filters, a PUBREL for each flight */
#define CLIENT_CONTROL_BYTES \
    ((5 + 10 + 5 * (2 + CONF_VALUE_MAX_CHARS)) + \
     (5 + 2 + CONF_SUBTOPS_MAX * (2 + CONF_VALUE_MAX_CHARS + 1)) + 4 * CLIENT_FLIGHTS_MAX)
#define CLIENT_ADDRESSES_MAX 8 /* of one host name, tried in turn */
/* The bound of the first wait before a reconnect, doubled each time; a wait is between half of the
 * bound and all of it. */
#define CLIENT_BACKOFF_MIN_MS 2000
#define CLIENT_BACKOFF_MAX_MS 60000
#define CLIENT_LINGER_MS 1000 /* for the broker to close after our DISCONNECT */

/* ---- host names ---- */

#define DNS_NAME_MAX_CHARS 253                      /* RFC 1035, section 2.3.4, as text */
#define DNS_QUESTION_MAX_BYTES (12 + (253 + 2) + 4) /* head, name, type and class */
#define DNS_ANSWER_MAX_BYTES 512 /* section 4.2.1: of UDP, unless asked for more */
/* resolv.conf(5): what it may say, and what holds where it says nothing. */
#define LOOKUP_SERVERS_MAX 3
#define LOOKUP_SEARCH_BYTES 256
#define LOOKUP_NDOTS_MAX 15
#define LOOKUP_TIMEOUT_MAX_S 60
#define LOOKUP_TIMEOUT_S 5 /* of all attempts */
#define LOOKUP_ATTEMPTS_MAX 10
#define LOOKUP_ATTEMPTS 2

/* ---- STS/1 ---- */

#define STS_OUTBOX_MAX 8 /* messages waiting to leave: each type once at most */
#define STS1_ID_CHARS 31
#define STS1_PACKET_MAX_BYTES 1024 /* the original's buffer for a whole MQTT packet */
/* What an MQTT PUBLISH of that size holds beside topic and payload at QoS 0. */
#define STS1_PUBLISH_HEAD_BYTES (1 + 2 + 2)
#define STS1_BLOCK_BYTES 16 /* AES */
/* The longest handshake message, RDYREQ: "RDYREQ:" "X" 64 digits "Y" 64 digits. */
#define STS1_HANDSHAKE_MAX_BYTES (7 + 1 + 64 + 1 + 64)
/* What sts_pull writes at most, with STS/2 too: that. */
#define STS_CONTROL_MAX_BYTES STS1_HANDSHAKE_MAX_BYTES
#define STS1_INITREQ_RETRY_MS 2000 /* same ids again, for a slave that subscribes late */
#define STS1_RDYREQ_RETRY_MS 1000  /* another key, for an original that refused the secret */
#define STS1_SHOWN_KEYS_MAX 32     /* keys a master shows in one handshake, then shows the last */
#define STS1_REDRAW_MAX 64         /* draws for a secret nobody refuses: 0.12^64 never happens */
#define STS1_GUARD_MS 1500         /* the original slave reads as encrypted 1 s after RDYACK */

/* ---- STS/2 ---- */

#define PEERS_MAX 4096 /* devices that one slave or collector knows */
#define PEER_NAME_MAX_CHARS 31
#define STS_ID_MAX INT64_MAX       /* ids are 1 .. 2^63-1 */
#define STS2_PENDING_MAX 8         /* handshakes that a slave has answered and nobody confirmed */
#define STS2_INITREQ_RETRY_MS 1000 /* first wait for INITACK, doubled each time */
#define STS2_QUESTIONS_MAX 3       /* RDYACKs without an answer, one each `keepalive` */
#define STS2_SILENCE_MAX 4         /* times `keepalive` that a slave hears nothing */
#define STS2_KILLS_MAX 2           /* that one end sends in one session */
/* Handshake messages read: junk costs one X25519 each, an authentic INITREQ five with its answer.
 * A burst is what can be pending; after it 8 a second. Of junk as many as fit half of the time, if
 * that is more: a flood shares them with honest masters, and 8 of 10,000 would be none. */
#define STS2_HANDSHAKES_BURST 8
#define STS2_HANDSHAKE_EVERY_MS UINT64_C(125)
#define STS2_JUNK_SHARE 2  /* one part in so many of the time */
#define PUSH_WINDOW_IDS 32 /* ids above the floor that a collector remembers of one key */

/* ---- what Mbed TLS allocates from (bignum and curve arithmetic of secp256k1) ---- */

/* See crypto.c for the measured peak; `make test` measures it again. */
#define CRYPTO_ARENA_BYTES 1408

/* What is wiped of the stack below a function that is through with secrets: X25519 takes less than
 * half of it. */
#define CRYPTO_STACK_BYTES 4096

/* ---- the shell ---- */

#define SHELL_LINE_MAX_BYTES 1024
#define SHELL_ARGS_MAX 64
#define SHELL_HISTORY_LINES 16
#define SHELL_HISTORY_BYTES 2048 /* two of the longest lines, or 16 of the usual ones */

/* ---- one-shot receive ---- */

/* Standard output is written in pieces of this size: PIPE_BUF, so that a pipe which polls writable
 * takes a whole piece without blocking (pipe(7)). */
#define RECV_OUT_BYTES 4096

/* ---- the state file ---- */

/* How often, and how far apart, a sender tries to get the lock that another one holds for a write:
 * 2 s, which is long for a sync. */
#define STORE_LOCK_TRIES 200
#define STORE_LOCK_WAIT_MS 10

/* ---- the spool file ---- */

#define SPOOL_MIN_BYTES 1024      /* spool_max: a header and two small pushes */
#define SPOOL_MAX_BYTES 268435456 /* spool_max, 256 MiB: two million small pushes */
#define SPOOL_DEFAULT_BYTES 1048576
#define SPOOL_HEADER_BYTES 512                      /* a sector: written whole or not at all */
#define SPOOL_BOOKMARK_BYTES 16384                  /* what a run looks at: some 85 small pushes */
#define SPOOL_RECORD_HEAD_BYTES (4 + 8 + 8 + 2 + 4) /* mark, position, id, two lengths */
#define SPOOL_SUM_BYTES 16
#define SPOOL_RECORD_MAX_BYTES \
    (SPOOL_RECORD_HEAD_BYTES + CONF_VALUE_MAX_CHARS + PAYLOAD_MAX_BYTES + SPOOL_SUM_BYTES)
/* How often, and how far apart, the lock is tried that another run holds for a write: 10 s, for
 * there may be a queue of them, and each syncs its state file meanwhile. */
#define SPOOL_LOCK_TRIES 1000
#define SPOOL_LOCK_WAIT_MS 10
#define SPOOL_STALL_MS 2000       /* -l: so long a full flight may keep input from being read */
#define SPOOL_RETRY_MS 1000       /* before a spool that took nothing is tried again */
#define SPOOL_CLAIM_EVERY_MS 100  /* how often a run looks whether it can be the one that sends */
#define SPOOL_LOOK_EVERY_MS 10000 /* how often an idle run looks for what others have appended */
#define SPOOL_SYNC_EVERY_MS 1000  /* -l, while it appends: what a power cut can take */

/* ---- log ---- */

#define LOG_LINE_MAX_BYTES 512 /* a longer line is cut, and says so */
/* What others can bring about at will is told so often, and then when the count has doubled; anew
 * after a time without it. An honest broker that is away is tried less often than that is long. */
#define LOG_REPEATS_MAX 8
#define LOG_QUIET_MS 10000

#endif
