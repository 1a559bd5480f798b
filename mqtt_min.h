/* mqtt_min.h - MQTT 3.1 and 3.1.1 codec: bytes <-> packets, complete for a client.
 *
 * Pure: no I/O, no clock, no state, no memory of its own. Normative: "MQTT Version 3.1.1", OASIS
 * Standard, 29 October 2014 (sections and [MQTT-x.y.z-n] are its), and "MQTT V3.1 Protocol
 * Specification" where a function takes a version.
 *
 * Encoders write through a cursor (bytes.h) and return 0, or MQTT_ERR_ROOM when it does not fit, or
 * the error of a field that may not be sent. On an error nothing was written.
 * The decoder returns > 0: bytes used, 0: need more, < 0: enum mqtt_err. It never reads outside
 * what it was given, and the views it returns live as long as those bytes do. */
#ifndef STS_MQTT_MIN_H
#define STS_MQTT_MIN_H

#include "bytes.h"

/* Each error: name, value, and the words a log line uses for it. */
#define MQTT_ERRORS(X) \
    X(MQTT_ERR_ROOM, -1, "does not fit the buffer") \
    X(MQTT_ERR_FIELD, -2, "a field is longer than MQTT can carry") \
    X(MQTT_ERR_TYPE, -3, "a packet type that a broker never sends") \
    X(MQTT_ERR_FLAGS, -4, "flags that are not allowed") \
    X(MQTT_ERR_QOS, -5, "QoS 3") \
    X(MQTT_ERR_DUP, -6, "DUP with QoS 0") \
    X(MQTT_ERR_LENGTH, -7, "a remaining length of more than four bytes") \
    X(MQTT_ERR_SIZE, -8, "the remaining length does not fit the packet") \
    X(MQTT_ERR_PACKET_ID, -9, "packet id 0") \
    X(MQTT_ERR_TOPIC, -10, "a topic that is empty or has a wildcard in a wrong place") \
    X(MQTT_ERR_UTF8, -11, "a string that is not well-formed UTF-8, or holds NUL") \
    X(MQTT_ERR_RETURN_CODE, -12, "an unknown return code")

enum mqtt_err {
#define MQTT_ERR_ENTRY(name, value, text) name = (value),
    MQTT_ERRORS(MQTT_ERR_ENTRY)
#undef MQTT_ERR_ENTRY
};

/* Section 2.2.1. */
enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK = 2,
    MQTT_PUBLISH = 3,
    MQTT_PUBACK = 4,
    MQTT_PUBREC = 5,
    MQTT_PUBREL = 6,
    MQTT_PUBCOMP = 7,
    MQTT_SUBSCRIBE = 8,
    MQTT_SUBACK = 9,
    MQTT_UNSUBSCRIBE = 10,
    MQTT_UNSUBACK = 11,
    MQTT_PINGREQ = 12,
    MQTT_PINGRESP = 13,
    MQTT_DISCONNECT = 14,
};

/* The protocol level byte of CONNECT, and the values of the config key mqtt_version. */
enum mqtt_version {
    MQTT_3_1 = 3,   /* protocol name "MQIsdp" */
    MQTT_3_1_1 = 4, /* protocol name "MQTT" */
};

/* Section 3.2.2.3. */
enum mqtt_connack_code {
    MQTT_CONNACK_ACCEPTED = 0,
    MQTT_CONNACK_VERSION = 1,
    MQTT_CONNACK_IDENTIFIER = 2,
    MQTT_CONNACK_UNAVAILABLE = 3,
    MQTT_CONNACK_CREDENTIALS = 4,
    MQTT_CONNACK_NOT_AUTHORIZED = 5,
};

/* Section 3.9.3 has no other failure, and no code above it; but brokers that speak MQTT 5, too,
 * forget themselves and send its codes (ejabberd: 0x87), where whatever is above is a failure. */
#define MQTT_SUBACK_FAILURE 0x80
#define MQTT_FLAG_DUP 0x08 /* in the first byte of a PUBLISH, section 3.3.1.1 */

/* The fixed header, section 2.2. */
struct mqtt_header {
    enum mqtt_type type;
    uint8_t flags;           /* the low four bits of the first byte */
    size_t header_len;       /* bytes of the fixed header: 2..5 */
    size_t remaining_length; /* bytes that follow it */
};

struct mqtt_will {
    bool present;
    struct bytes topic;   /* not empty, no wildcards */
    struct bytes message; /* 0..65535 bytes, any */
    uint8_t qos;          /* 0..2 */
    bool retain;
};

/* Section 3.1. A user name or password is sent where its `p` is not NULL. */
struct mqtt_connect {
    enum mqtt_version version;
    bool clean_session;
    uint16_t keepalive_s; /* 0: off */
    struct bytes client_id;
    struct mqtt_will will;
    struct bytes username;
    struct bytes password; /* only with a user name, [MQTT-3.1.2-22] */
};

/* Section 3.3. */
struct mqtt_publish {
    struct bytes topic;
    struct bytes payload;
    uint16_t packet_id; /* QoS 0: 0, and not on the wire */
    uint8_t qos;
    bool dup;
    bool retain;
};

/* One packet from a broker. */
struct mqtt_packet {
    enum mqtt_type type; /* says which member is filled */
    union {
        struct {
            bool session_present; /* always false in MQTT 3.1 */
            enum mqtt_connack_code code;
        } connack;
        struct mqtt_publish publish;
        struct {
            uint16_t packet_id;
        } ack; /* PUBACK PUBREC PUBREL PUBCOMP UNSUBACK */
        struct {
            uint16_t packet_id;
            struct bytes codes; /* one a filter: 0, 1, 2 or a failure */
        } suback;
    } u;
};

/* The words for an error, for a log line; never NULL. */
const char *mqtt_err_text(int err);

/* The name of a packet type as the standard writes it ("PUBLISH"); never NULL. */
const char *mqtt_type_name(enum mqtt_type type);

/* The words for a CONNACK return code, section 3.2.2.3; never NULL. */
const char *mqtt_connack_text(enum mqtt_connack_code code);

/* Whether `s` is a string that MQTT takes: well-formed UTF-8 without surrogates and without NUL,
 * at most 65535 bytes. Section 1.5.3, [MQTT-1.5.3-1] and [MQTT-1.5.3-2]. */
/*@ requires view: \valid_read(s.p + (0 .. s.len - 1));
    assigns \result \from s.p[0 .. s.len - 1], s.len;
    ensures result: \result <= 1; */
bool mqtt_utf8_ok(struct bytes s);

/* Whether `topic` may stand in a PUBLISH: not empty, no wildcard, a string as above. Sections
 * 3.3.2.1 and 4.7. */
/*@ requires view: \valid_read(topic.p + (0 .. topic.len - 1));
    assigns \result \from topic.p[0 .. topic.len - 1], topic.len;
    ensures result: \result <= 1; */
bool mqtt_topic_ok(struct bytes topic);

/* Whether `filter` may stand in a SUBSCRIBE: not empty, '#' alone in the last level, '+' alone in
 * its level, a string as above. Section 4.7.1. */
/*@ requires view: \valid_read(filter.p + (0 .. filter.len - 1));
    assigns \result \from filter.p[0 .. filter.len - 1], filter.len;
    ensures result: \result <= 1; */
bool mqtt_filter_ok(struct bytes filter);

/* Decodes a fixed header, section 2.2, and checks its flags. 3.1 leaves the flags of all but
 * PUBLISH unused, so they are not looked at there.
 * Returns > 0: header_len; 0: need more; MQTT_ERR_TYPE (0, 15, or what only a client sends),
 * MQTT_ERR_FLAGS, MQTT_ERR_QOS, MQTT_ERR_DUP, MQTT_ERR_LENGTH. */
/*@ requires input: \valid_read(in + (0 .. in_len - 1)) && \initialized(in + (0 .. in_len - 1));
    requires output: \valid(header);
    assigns \result, *header \from in[0 .. in_len - 1], in_len, version;
    ensures result: MQTT_ERR_RETURN_CODE <= \result <= 5 && \result <= in_len; */
int mqtt_read_header(enum mqtt_version version, struct mqtt_header *header, const uint8_t *in,
                     size_t in_len) __attribute__((warn_unused_result));

/* Decodes one whole packet that a broker may send.
 * Returns > 0: bytes used; 0: need more; < 0: what mqtt_read_header returns, MQTT_ERR_SIZE (fields
 * overrun the packet, or bytes are left over), MQTT_ERR_PACKET_ID, MQTT_ERR_TOPIC, MQTT_ERR_UTF8,
 * MQTT_ERR_RETURN_CODE. A remaining length that cannot be right for the type is refused as soon as
 * the fixed header is there. */
/*@ requires input: \valid_read(in + (0 .. in_len - 1)) && \initialized(in + (0 .. in_len - 1));
    requires output: \valid(packet);
    assigns \result, *packet \from in, in[0 .. in_len - 1], in_len, version;
    ensures result: MQTT_ERR_RETURN_CODE <= \result <= in_len; */
int mqtt_read(enum mqtt_version version, struct mqtt_packet *packet, const uint8_t *in,
              size_t in_len) __attribute__((warn_unused_result));

/* CONNECT, section 3.1. MQTT_ERR_FIELD: a string over 65535 bytes; MQTT_ERR_UTF8, MQTT_ERR_TOPIC,
 * MQTT_ERR_QOS: a bad string, will topic or will QoS; MQTT_ERR_FLAGS: a password without a user
 * name. */
/*@ requires room: \valid(out) && \valid(out->p + (0 .. out->end - out->p - 1));
    requires input: \valid_read(connect);
    ensures result: MQTT_ERR_RETURN_CODE <= \result <= 0;
    ensures nothing: \result < 0 ==> out->p == \old(out->p); */
int mqtt_write_connect(struct wr *out, const struct mqtt_connect *connect)
    __attribute__((warn_unused_result));

/* The number of bytes that a PUBLISH of these sizes takes on the wire, section 3.3. */
size_t mqtt_publish_size(size_t topic_len, uint8_t qos, size_t payload_len);

/* PUBLISH up to where its payload starts, section 3.3: the caller puts publish->payload.len bytes
 * behind it (publish->payload.p is not read). MQTT_ERR_QOS, MQTT_ERR_DUP, MQTT_ERR_PACKET_ID,
 * MQTT_ERR_TOPIC, MQTT_ERR_UTF8; MQTT_ERR_FIELD when the topic or the packet would be longer than
 * MQTT allows. Room is checked for the payload too. */
/*@ requires room: \valid(out) && \valid(out->p + (0 .. out->end - out->p - 1));
    requires input: \valid_read(publish) &&
                    \valid_read(publish->topic.p + (0 .. publish->topic.len - 1));
    ensures result: MQTT_ERR_RETURN_CODE <= \result <= 0;
    ensures nothing: \result < 0 ==> out->p == \old(out->p); */
int mqtt_write_publish(struct wr *out, const struct mqtt_publish *publish)
    __attribute__((warn_unused_result));

/* PUBACK, PUBREC, PUBREL or PUBCOMP, sections 3.4 to 3.7: always 4 bytes. MQTT_ERR_TYPE for another
 * type, MQTT_ERR_PACKET_ID for 0. */
/*@ requires room: \valid(out) && \valid(out->p + (0 .. out->end - out->p - 1));
    ensures result: MQTT_ERR_RETURN_CODE <= \result <= 0;
    ensures nothing: \result < 0 ==> out->p == \old(out->p); */
int mqtt_write_ack(struct wr *out, enum mqtt_type type, uint16_t packet_id)
    __attribute__((warn_unused_result));

/* SUBSCRIBE, section 3.8: 1 or more filters, all with the same QoS. MQTT_ERR_TOPIC for a bad filter
 * or none at all; MQTT_ERR_UTF8, MQTT_ERR_FIELD, MQTT_ERR_PACKET_ID, MQTT_ERR_QOS. */
/*@ requires room: \valid(out) && \valid(out->p + (0 .. out->end - out->p - 1));
    requires input: \valid_read(filters + (0 .. filters_count - 1));
    ensures result: MQTT_ERR_RETURN_CODE <= \result <= 0;
    ensures nothing: \result < 0 ==> out->p == \old(out->p); */
int mqtt_write_subscribe(struct wr *out, uint16_t packet_id, const struct bytes *filters,
                         size_t filters_count, uint8_t qos) __attribute__((warn_unused_result));

/* UNSUBSCRIBE, section 3.10. Errors as above. */
/*@ requires room: \valid(out) && \valid(out->p + (0 .. out->end - out->p - 1));
    requires input: \valid_read(filters + (0 .. filters_count - 1));
    ensures result: MQTT_ERR_RETURN_CODE <= \result <= 0;
    ensures nothing: \result < 0 ==> out->p == \old(out->p); */
int mqtt_write_unsubscribe(struct wr *out, uint16_t packet_id, const struct bytes *filters,
                           size_t filters_count) __attribute__((warn_unused_result));

/* PINGREQ, section 3.12, or DISCONNECT, section 3.14: 2 bytes. MQTT_ERR_TYPE for another type. */
/*@ requires room: \valid(out) && \valid(out->p + (0 .. out->end - out->p - 1));
    ensures result: MQTT_ERR_RETURN_CODE <= \result <= 0;
    ensures nothing: \result < 0 ==> out->p == \old(out->p); */
int mqtt_write_empty(struct wr *out, enum mqtt_type type) __attribute__((warn_unused_result));

#endif
