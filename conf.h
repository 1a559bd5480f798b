/* conf.h - `key = value` files and -o overrides -> struct conf.
 *
 * Pure: takes bytes, keeps values; opens nothing. A line is `key = value`, blanks around both free.
 * A '#' starts a comment at the start of a line or behind white space that follows a value; it is
 * never taken for one inside a value or as its first character, so that `subtop = sensors/#` and
 * `subtop = #` mean what they say. No value is ever cut: one that is too long is an error.
 *
 * conf_init, conf_parse for the file, conf_override for each -o, conf_finish. */
#ifndef STS_CONF_H
#define STS_CONF_H

#include "bytes.h"
#include "limits.h"
#include "sts.h"

#define CONF_ERROR_MAX_CHARS 320

/* A value as text; `text` ends with a zero byte. */
struct conf_value {
    char text[CONF_VALUE_MAX_CHARS + 1];
    bool set;
};

/* 32 bytes that were given in base64. */
struct conf_key32 {
    uint8_t bytes[32]; /* zeros while not `set` */
    bool set;
};

/* Each key, in the order of the table in the README: identifier, name in the file. */
#define CONF_KEYS(X) \
    X(CONF_MQTT_VERSION, "mqtt_version") \
    X(CONF_IP, "ip") \
    X(CONF_PORT, "port") \
    X(CONF_USERNAME, "username") \
    X(CONF_PASSWORD, "password") \
    X(CONF_CLIENTID, "clientid") \
    X(CONF_SUBTOP, "subtop") \
    X(CONF_PUBTOP, "pubtop") \
    X(CONF_STS_MODE, "sts_mode") \
    X(CONF_AES, "aes") \
    X(CONF_QOS, "qos") \
    X(CONF_RETAIN, "retain") \
    X(CONF_KEEPALIVE, "keepalive") \
    X(CONF_CLEAN_SESSION, "clean_session") \
    X(CONF_WILL_TOPIC, "will_topic") \
    X(CONF_WILL_MSG, "will_msg") \
    X(CONF_WILL_QOS, "will_qos") \
    X(CONF_WILL_RETAIN, "will_retain") \
    X(CONF_TIMEOUT, "timeout") \
    X(CONF_KEY, "key") \
    X(CONF_PEER, "peer") \
    X(CONF_PEERS, "peers") \
    X(CONF_PSK, "psk") \
    X(CONF_STATE, "state") \
    X(CONF_OUT, "out") \
    X(CONF_SPOOL, "spool") \
    X(CONF_SPOOL_MAX, "spool_max")

enum conf_key {
#define CONF_KEY_ENTRY(id, name) id,
    CONF_KEYS(CONF_KEY_ENTRY)
#undef CONF_KEY_ENTRY
        CONF_KEYS_COUNT
};

/* Where a key was set last: says which line to name, and what may still set it. */
struct conf_origin {
    uint32_t line; /* of the file; 0 with `layer` CONF_LAYER_OPTION */
    enum conf_layer { CONF_LAYER_DEFAULT, CONF_LAYER_FILE, CONF_LAYER_OPTION } layer;
    const char *alias; /* the name that was given; NULL with CONF_LAYER_DEFAULT */
};

struct conf {
    enum sts_mode mode;
    enum sts_cipher cipher;
    const char *name;     /* of the file, as the user gave it; "" when there is none */
    uint8_t mqtt_version; /* enum mqtt_version */
    uint16_t port;
    size_t subtop_count;
    uint8_t qos;
    bool retain;
    uint16_t keepalive_s; /* 0: off */
    bool clean_session;
    uint8_t will_qos;
    bool will_retain;
    uint32_t timeout_s;
    uint32_t spool_max_bytes;
    struct conf_value host;
    struct conf_value username, password, clientid;
    struct conf_value subtop[CONF_SUBTOPS_MAX];
    struct conf_value pubtop;
    struct conf_value will_topic, will_msg;
    struct conf_value key, peer, peers, psk, state, out, spool; /* as they were given */
    struct conf_key32 peer_key, psk_bytes;                      /* what `peer` and `psk` say */
    struct conf_origin origin[CONF_KEYS_COUNT];
};

/* What is wrong, ready for a log line: `FILE: line 3: port: "70000" is not a number from 1 to
 * 65535`, or `-o port=70000: ...` for an override; values are quoted, but never the one of
 * `password` or `psk`. Control characters are shown as '?', what is long is cut and shows "...". */
struct conf_error {
    char text[CONF_ERROR_MAX_CHARS]; /* ends with a zero byte */
};

/* Sets every default of the README's table. `name`: of the config file, kept by reference. */
void conf_init(struct conf *conf, const char *name);

/* Takes the whole text of the config file. Returns 0, or -1 and the first error: an unknown key, a
 * key given twice (but subtop, up to CONF_SUBTOPS_MAX), no '=', no value (will_msg may be empty), a
 * value out of range, too long, with a control character or not UTF-8. `ip`, `url` and `host` are
 * names of one key, and so are `aes` and `cipher`; a message uses the name that was given. */
/*@ requires state: \valid(conf) && \valid(error);
    requires text: \valid_read(text.p + (0 .. text.len - 1)) &&
                   \initialized(text.p + (0 .. text.len - 1));
    ensures result: \result == 0 || \result == -1; */
int conf_parse(struct conf *conf, struct conf_error *error, struct bytes text)
    __attribute__((warn_unused_result));

/* Takes one -o KEY=VALUE: blanks as in the file, but no comment. It replaces what the file said
 * (for subtop: all of it); the same key in two -o is an error, but for subtop, which adds up.
 * Returns 0 or -1. */
/*@ requires state: \valid(conf) && \valid(error);
    requires text: valid_read_string(key_value);
    ensures result: \result == 0 || \result == -1; */
int conf_override(struct conf *conf, struct conf_error *error, const char *key_value)
    __attribute__((warn_unused_result));

/* Checks what belongs together, once all is in, and sets the defaults that hang on the mode: push
 * and collect have `cipher` STS_CHACHAPOLY, collect has `qos` 1 at most and `clean_session` 0
 * (without a clientid, too: one that stays the same is then derived from the key).
 *
 *                  pubtop  subtop  key   peer     peers      psk        state  spool  out
 *   nosec          may     may     -     -        -          -          -      -      -
 *   ecb, cbc       must    one     -     -        -          -          -      -      -
 *   master         must    one     must  must     -          may        may    -      -
 *   slave          must    one     must  this or  this       with peer  -      -      -
 *   push           must    -       must  must     -          may        may    may    -
 *   collect        -       must    must  -        must       -          must   -      may
 *
 * `one`: and no wildcards. spool goes with QoS 1 and 2, spool_max with spool; retain is for nosec,
 * a password needs a username, will_* a will_topic, MQTT 3.1 a short client id, clean_session = 0 a
 * clientid. Returns 0 or -1 and the first error. */
int conf_finish(struct conf *conf, struct conf_error *error) __attribute__((warn_unused_result));

/* Wipes the psk: whoever needs it has a copy, or there was an error and nobody does. */
void conf_wipe(struct conf *conf);

/* The name of a key as the file writes it; never NULL. */
const char *conf_key_name(enum conf_key key);

#endif
