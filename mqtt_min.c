/* mqtt_min.c - MQTT 3.1 and 3.1.1 codec. */
#include "mqtt_min.h"

#include "limits.h"
#include "words.h"

#define PACKET_ID_BYTES 2     /* section 2.3.1 */
#define STRING_LENGTH_BYTES 2 /* section 1.5.3 */
#define QOS_MAX 2             /* section 4.3 */
#define CONNECT_STRINGS_MAX 5 /* section 3.1.3 */

/* The flags of CONNECT, section 3.1.2.3. */
#define CONNECT_USERNAME 0x80
#define CONNECT_PASSWORD 0x40
#define CONNECT_WILL_RETAIN 0x20
#define CONNECT_WILL_QOS_SHIFT 3
#define CONNECT_WILL 0x04
#define CONNECT_CLEAN_SESSION 0x02

/* Of the flags of PUBLISH, section 3.3.1, those that mqtt_min.h does not name. */
#define PUBLISH_QOS_SHIFT 1
#define PUBLISH_QOS_MASK 0x03
#define PUBLISH_RETAIN 0x01

#define CONNACK_SESSION_PRESENT 0x01 /* section 3.2.2.2 */

/* What table 2.1 and the section of each type fix. PUBLISH has flags of its own. */
struct rule {
    uint8_t flags; /* the only value allowed, [MQTT-2.2.2-1] */
    bool from_broker;
    uint8_t least; /* remaining length */
    bool open;     /* more than `least` may follow */
};

static const struct rule rules[16] = {
    [MQTT_CONNACK] = {0, true, 1 + 1, false},
    [MQTT_PUBLISH] = {0, true, STRING_LENGTH_BYTES, true},
    [MQTT_PUBACK] = {0, true, PACKET_ID_BYTES, false},
    [MQTT_PUBREC] = {0, true, PACKET_ID_BYTES, false},
    [MQTT_PUBREL] = {2, true, PACKET_ID_BYTES, false}, /* [MQTT-3.6.1-1] */
    [MQTT_PUBCOMP] = {0, true, PACKET_ID_BYTES, false},
    [MQTT_SUBSCRIBE] = {.flags = 2}, /* [MQTT-3.8.1-1] */
    [MQTT_SUBACK] = {0, true, PACKET_ID_BYTES + 1, true},
    [MQTT_UNSUBSCRIBE] = {.flags = 2}, /* [MQTT-3.10.1-1] */
    [MQTT_UNSUBACK] = {0, true, PACKET_ID_BYTES, false},
    [MQTT_PINGRESP] = {0, true, 0, false},
};

/* ---- words ---- */

const char *mqtt_err_text(int err)
{
    return words_of_err(MQTT_ERRORS(WORDS_ENTRY) "\0unknown", err);
}

const char *mqtt_type_name(enum mqtt_type type)
{
    return words_at("CONNECT\0"
                    "CONNACK\0"
                    "PUBLISH\0"
                    "PUBACK\0"
                    "PUBREC\0"
                    "PUBREL\0"
                    "PUBCOMP\0"
                    "SUBSCRIBE\0"
                    "SUBACK\0"
                    "UNSUBSCRIBE\0"
                    "UNSUBACK\0"
                    "PINGREQ\0"
                    "PINGRESP\0"
                    "DISCONNECT\0"
                    "\0unknown",
                    (unsigned)type - MQTT_CONNECT);
}

const char *mqtt_connack_text(enum mqtt_connack_code code)
{
    return words_at("connection accepted\0"
                    "unacceptable protocol version\0"
                    "client identifier rejected\0"
                    "server unavailable\0"
                    "bad user name or password\0"
                    "not authorized\0"
                    "\0unknown",
                    (unsigned)code);
}

/* ---- strings and topics ---- */

/* Takes one character; false if it is not well formed or is NUL. A read past the end gives 0, which
 * is never the rest of a character. */
static bool take_character(struct rd *r)
{
    static const uint32_t lowest[] = {0, 0x80, 0x800, 0x10000}; /* of 1, 2 and 3 more bytes */
    uint32_t lead = rd_u8(r), code;
    int more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;

    if (lead < 0x80)
        return lead != 0; /* [MQTT-1.5.3-2] */
    if (lead < 0xc0 || lead > 0xf7)
        return false; /* [MQTT-1.5.3-1], as all below */
    code = lead & (0x3fu >> more);
    for (int i = 0; i < more; i++) {
        uint32_t next = rd_u8(r);

        if ((next & 0xc0) != 0x80)
            return false;
        code = code << 6 | (next & 0x3f);
    }
    return code >= lowest[more] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

/* Control characters and non-characters pass: section 1.5.3 advises against sending them, and
 * leaves what to do with them to the receiver. */
static int string_err(struct bytes s)
{
    struct rd r = rd_over(s.p, s.len);

    if (s.len > MQTT_STRING_MAX_BYTES)
        return MQTT_ERR_FIELD; /* section 1.5.3 */
    while (rd_left(&r) > 0) {
        if (!take_character(&r))
            return MQTT_ERR_UTF8;
    }
    return 0;
}

/* Whether `c` may come after `before` in a topic filter. */
static bool filter_goes_on(uint8_t before, uint8_t c)
{
    if (before == '#')
        return false; /* [MQTT-4.7.1-2] */
    if (before == '+')
        return c == '/'; /* [MQTT-4.7.1-3] */
    return (c != '#' && c != '+') || before == '/';
}

/* Bytes are enough to look at: none of '/', '+' and '#' is part of a longer character. */
static int topic_err(struct bytes topic, bool is_filter)
{
    struct rd r = rd_over(topic.p, topic.len);
    uint8_t before = '/';

    if (topic.len == 0)
        return MQTT_ERR_TOPIC; /* [MQTT-4.7.3-1] */
    while (rd_left(&r) > 0) {
        uint8_t c = rd_u8(&r);

        if (is_filter ? !filter_goes_on(before, c) : c == '#' || c == '+')
            return MQTT_ERR_TOPIC; /* a name: [MQTT-3.3.2-2], [MQTT-4.7.1-1] */
        before = c;
    }
    return string_err(topic); /* [MQTT-4.7.3-2], [MQTT-4.7.3-3] */
}

bool mqtt_utf8_ok(struct bytes s)
{
    return string_err(s) == 0;
}

bool mqtt_topic_ok(struct bytes topic)
{
    return topic_err(topic, false) == 0;
}

bool mqtt_filter_ok(struct bytes filter)
{
    return topic_err(filter, true) == 0;
}

/* ---- decoding ---- */

static uint8_t publish_qos(uint8_t flags)
{
    return flags >> PUBLISH_QOS_SHIFT & PUBLISH_QOS_MASK;
}

/* PUBLISH, section 3.3.1, sent or received. */
static int publish_flags_err(uint8_t qos, bool dup)
{
    if (qos > QOS_MAX)
        return MQTT_ERR_QOS; /* [MQTT-3.3.1-4] */
    if (dup && qos == 0)
        return MQTT_ERR_DUP; /* [MQTT-3.3.1-2] */
    return 0;
}

static int first_byte_err(enum mqtt_version version, uint8_t first)
{
    const struct rule *rule = &rules[first >> 4];
    uint8_t flags = first & 0x0f;

    if (!rule->from_broker)
        return MQTT_ERR_TYPE; /* table 2.1; 0 and 15 are reserved there */
    if (first >> 4 == MQTT_PUBLISH)
        return publish_flags_err(publish_qos(flags), flags & MQTT_FLAG_DUP);
    if (version == MQTT_3_1)
        return 0; /* MQTT V3.1, section 2.1: the flags mean something in some types only */
    return flags == rule->flags ? 0 : MQTT_ERR_FLAGS; /* [MQTT-2.2.2-2] */
}

/* Section 2.2.3. Returns like the decoders. Four bytes are taken even where fewer would do: neither
 * the section nor the decoder it shows refuses them; MQTT 5.0 was first to, in [MQTT-1.5.5-1]. */
static int read_remaining_length(struct rd *r, size_t *remaining_length)
{
    *remaining_length = 0;
    for (int shift = 0; shift < 4 * 7; shift += 7) {
        uint8_t digit = rd_u8(r);

        if (r->bad)
            return 0;
        *remaining_length |= (size_t)(digit & 0x7f) << shift;
        if (digit < 0x80)
            return 1 + shift / 7;
    }
    return MQTT_ERR_LENGTH;
}

int mqtt_read_header(enum mqtt_version version, struct mqtt_header *header, const uint8_t *in,
                     size_t in_len)
{
    struct rd r = rd_over(in, in_len);
    uint8_t first = rd_u8(&r);
    int result;

    if (r.bad)
        return 0;
    result = first_byte_err(version, first);
    if (result < 0)
        return result;
    result = read_remaining_length(&r, &header->remaining_length);
    if (result <= 0)
        return result;
    header->type = (enum mqtt_type)(first >> 4);
    header->flags = first & 0x0f;
    header->header_len = 1 + (size_t)result;
    return 1 + result;
}

static bool remaining_length_ok(const struct mqtt_header *header)
{
    const struct rule *rule = &rules[header->type];
    size_t least = rule->least;

    if (header->type == MQTT_PUBLISH && publish_qos(header->flags) > 0)
        least += PACKET_ID_BYTES; /* section 3.3.2.2 */
    return header->remaining_length == least || (rule->open && header->remaining_length > least);
}

/* In 3.1 the first byte is reserved and not used (MQTT V3.1, section 3.2). */
static int read_connack(enum mqtt_version version, struct mqtt_packet *packet, struct rd *r)
{
    uint8_t flags = rd_u8(r), code = rd_u8(r);

    if (version == MQTT_3_1)
        flags = 0;
    if (flags > CONNACK_SESSION_PRESENT)
        return MQTT_ERR_FLAGS; /* section 3.2.2.1: bits 7-1 MUST be 0 */
    if (code > MQTT_CONNACK_NOT_AUTHORIZED)
        return MQTT_ERR_RETURN_CODE; /* table 3.1: 6-255 are reserved */
    if (flags != 0 && code != MQTT_CONNACK_ACCEPTED)
        return MQTT_ERR_FLAGS; /* [MQTT-3.2.2-4] */
    packet->u.connack.session_present = flags != 0;
    packet->u.connack.code = (enum mqtt_connack_code)code;
    return 0;
}

static int read_publish(uint8_t flags, struct mqtt_packet *packet, struct rd *r)
{
    struct mqtt_publish *publish = &packet->u.publish;

    publish->qos = publish_qos(flags);
    publish->dup = flags & MQTT_FLAG_DUP;
    publish->retain = flags & PUBLISH_RETAIN;
    publish->topic = rd_bytes(r, rd_be16(r));
    publish->packet_id = publish->qos > 0 ? rd_be16(r) : 0;
    publish->payload = rd_bytes(r, rd_left(r));
    if (r->bad)
        return MQTT_ERR_SIZE; /* section 3.3.2: the topic ends behind the packet */
    if (publish->qos > 0 && publish->packet_id == 0)
        return MQTT_ERR_PACKET_ID;           /* [MQTT-2.3.1-1] */
    return topic_err(publish->topic, false); /* [MQTT-3.3.2-1], [MQTT-3.3.2-2] */
}

/* An acknowledgement repeats the id of what it acknowledges, which is never 0: [MQTT-2.3.1-6],
 * [MQTT-2.3.1-7]. */
static int read_ack(uint16_t *packet_id, struct rd *r)
{
    *packet_id = rd_be16(r);
    return *packet_id != 0 ? 0 : MQTT_ERR_PACKET_ID;
}

static int read_suback(struct mqtt_packet *packet, struct rd *r)
{
    int err = read_ack(&packet->u.suback.packet_id, r);

    if (err)
        return err;
    packet->u.suback.codes = (struct bytes){r->p, rd_left(r)};
    while (rd_left(r) > 0) {
        uint8_t code = rd_u8(r);

        if (code > QOS_MAX && code < MQTT_SUBACK_FAILURE)
            return MQTT_ERR_RETURN_CODE; /* [MQTT-3.9.3-2] */
    }
    return 0;
}

/* The fields behind the fixed header `r`, which is of a size that remaining_length_ok allows. */
static int read_fields(enum mqtt_version version, const struct mqtt_header *header,
                       struct mqtt_packet *packet, struct rd *r)
{
    packet->type = header->type;
    switch (header->type) {
    case MQTT_CONNACK:
        return read_connack(version, packet, r);
    case MQTT_PUBLISH:
        return read_publish(header->flags, packet, r);
    case MQTT_SUBACK:
        return read_suback(packet, r);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
    case MQTT_UNSUBACK:
        return read_ack(&packet->u.ack.packet_id, r);
    case MQTT_PINGRESP:
    case MQTT_CONNECT: /* this and the rest: not from a broker, mqtt_read_header refused it */
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
    case MQTT_PINGREQ:
    case MQTT_DISCONNECT:
        break;
    }
    return 0;
}

int mqtt_read(enum mqtt_version version, struct mqtt_packet *packet, const uint8_t *in,
              size_t in_len)
{
    struct rd all = rd_over(in, in_len), fields;
    struct mqtt_header header;
    int result = mqtt_read_header(version, &header, in, in_len);

    if (result <= 0)
        return result;
    if (!remaining_length_ok(&header))
        return MQTT_ERR_SIZE;
    rd_take(&all, header.header_len);
    if (header.remaining_length > rd_left(&all))
        return 0;
    fields = rd_over(all.p, header.remaining_length);
    result = read_fields(version, &header, packet, &fields);
    return result < 0 ? result : (int)(header.header_len + header.remaining_length);
}

/* ---- encoding ---- */

static size_t header_size(size_t remaining_length)
{
    size_t size = 1 + 1;

    while (remaining_length >>= 7)
        size++;
    return size;
}

/* Every encoder starts here: the fixed header, if the whole packet fits. What follows it then fits
 * too, so an error has written nothing. */
static int begin(struct wr *out, enum mqtt_type type, unsigned flags, size_t remaining_length)
{
    if (remaining_length > MQTT_REMAINING_LENGTH_MAX)
        return MQTT_ERR_FIELD; /* section 2.2.3 */
    if (out->bad || header_size(remaining_length) + remaining_length > wr_room(out))
        return MQTT_ERR_ROOM;
    wr_u8(out, (uint8_t)((unsigned)type << 4 | rules[type].flags | flags));
    for (; remaining_length > 0x7f; remaining_length >>= 7)
        wr_u8(out, (uint8_t)(0x80 | (remaining_length & 0x7f)));
    wr_u8(out, (uint8_t)remaining_length);
    return 0;
}

static size_t string_size(struct bytes s)
{
    return STRING_LENGTH_BYTES + s.len;
}

static void put_string(struct wr *out, struct bytes s)
{
    wr_be16(out, (uint16_t)s.len);
    wr_put(out, s.p, s.len);
}

/* The payload in the order of [MQTT-3.1.3-1]. Returns how many strings it has. */
static size_t connect_strings(struct bytes strings[CONNECT_STRINGS_MAX],
                              const struct mqtt_connect *connect)
{
    size_t count = 0;

    strings[count++] = connect->client_id;
    if (connect->will.present) {
        strings[count++] = connect->will.topic;
        strings[count++] = connect->will.message;
    }
    if (connect->username.p)
        strings[count++] = connect->username;
    if (connect->password.p)
        strings[count++] = connect->password;
    return count;
}

/* The will message and the password may be any bytes, sections 3.1.3.3 and 3.1.3.5. */
static int connect_err(const struct mqtt_connect *connect)
{
    int err = string_err(connect->client_id); /* [MQTT-3.1.3-4] */

    if (err == 0 && connect->will.present)
        err = connect->will.qos > QOS_MAX ? MQTT_ERR_QOS /* [MQTT-3.1.2-14] */
                                          : topic_err(connect->will.topic, false);
    if (err == 0 && connect->username.p)
        err = string_err(connect->username); /* [MQTT-3.1.3-11] */
    if (err == 0 && connect->password.p && !connect->username.p)
        err = MQTT_ERR_FLAGS; /* [MQTT-3.1.2-22] */
    return err;
}

static uint8_t connect_flags(const struct mqtt_connect *connect)
{
    unsigned flags = connect->clean_session ? CONNECT_CLEAN_SESSION : 0;

    if (connect->will.present) { /* without it all its flags are 0, [MQTT-3.1.2-11] */
        flags |= CONNECT_WILL | (unsigned)connect->will.qos << CONNECT_WILL_QOS_SHIFT;
        flags |= connect->will.retain ? CONNECT_WILL_RETAIN : 0;
    }
    flags |= connect->username.p ? CONNECT_USERNAME : 0;
    flags |= connect->password.p ? CONNECT_PASSWORD : 0;
    return (uint8_t)flags;
}

int mqtt_write_connect(struct wr *out, const struct mqtt_connect *connect)
{
    struct bytes name = bytes_of(connect->version == MQTT_3_1 ? "MQIsdp" : "MQTT");
    size_t remaining_length = string_size(name) + 1 + 1 + 2; /* level, flags, keep alive */
    struct bytes strings[CONNECT_STRINGS_MAX];
    size_t count = connect_strings(strings, connect);
    int err = connect_err(connect);

    for (size_t i = 0; i < count && err == 0; i++) {
        err = strings[i].len > MQTT_STRING_MAX_BYTES ? MQTT_ERR_FIELD : 0; /* section 1.5.3 */
        remaining_length += string_size(strings[i]);
    }
    if (err == 0)
        err = begin(out, MQTT_CONNECT, 0, remaining_length);
    if (err)
        return err;
    put_string(out, name); /* sections 3.1.2.1 to 3.1.2.10 */
    wr_u8(out, (uint8_t)connect->version);
    wr_u8(out, connect_flags(connect));
    wr_be16(out, connect->keepalive_s);
    for (size_t i = 0; i < count; i++)
        put_string(out, strings[i]);
    return 0;
}

/* A length past what MQTT can carry counts as one over it, so that no sum wraps around. */
static size_t bounded(size_t len)
{
    return len <= MQTT_REMAINING_LENGTH_MAX ? len : MQTT_REMAINING_LENGTH_MAX + 1;
}

static size_t publish_remaining_length(size_t topic_len, uint8_t qos, size_t payload_len)
{
    return STRING_LENGTH_BYTES + bounded(topic_len) + (qos > 0 ? PACKET_ID_BYTES : 0) +
           bounded(payload_len);
}

size_t mqtt_publish_size(size_t topic_len, uint8_t qos, size_t payload_len)
{
    size_t remaining_length = publish_remaining_length(topic_len, qos, payload_len);

    return header_size(remaining_length) + remaining_length;
}

static int publish_err(const struct mqtt_publish *publish)
{
    int err = publish_flags_err(publish->qos, publish->dup);

    if (err == 0 && (publish->qos > 0) != (publish->packet_id != 0))
        err = MQTT_ERR_PACKET_ID;                        /* [MQTT-2.3.1-1], [MQTT-2.3.1-5] */
    return err ? err : topic_err(publish->topic, false); /* [MQTT-3.3.2-1], [MQTT-3.3.2-2] */
}

int mqtt_write_publish(struct wr *out, const struct mqtt_publish *publish)
{
    size_t remaining_length = publish_remaining_length(publish->topic.len, publish->qos,
                                                       publish->payload.len);
    unsigned flags = (unsigned)publish->qos << PUBLISH_QOS_SHIFT;
    int err = publish_err(publish);

    flags |= (publish->dup ? MQTT_FLAG_DUP : 0) | (publish->retain ? PUBLISH_RETAIN : 0);
    if (err == 0)
        err = begin(out, MQTT_PUBLISH, flags, remaining_length);
    if (err)
        return err;
    put_string(out, publish->topic);
    if (publish->qos > 0)
        wr_be16(out, publish->packet_id); /* section 3.3.2.2 */
    return 0;
}

int mqtt_write_ack(struct wr *out, enum mqtt_type type, uint16_t packet_id)
{
    int err;

    if (type < MQTT_PUBACK || type > MQTT_PUBCOMP)
        return MQTT_ERR_TYPE;
    if (packet_id == 0)
        return MQTT_ERR_PACKET_ID; /* [MQTT-2.3.1-6] */
    err = begin(out, type, 0, PACKET_ID_BYTES);
    if (err == 0)
        wr_be16(out, packet_id);
    return err;
}

/* SUBSCRIBE and UNSUBSCRIBE differ in the byte that says the QoS, NULL in UNSUBSCRIBE. */
static int write_filters(struct wr *out, enum mqtt_type type, uint16_t packet_id,
                         const struct bytes *filters, size_t filters_count, const uint8_t *qos)
{
    size_t remaining_length = PACKET_ID_BYTES;
    int err = 0;

    if (packet_id == 0)
        return MQTT_ERR_PACKET_ID; /* [MQTT-2.3.1-1] */
    if (filters_count == 0)
        return MQTT_ERR_TOPIC; /* [MQTT-3.8.3-3], [MQTT-3.10.3-2] */
    for (size_t i = 0; i < filters_count; i++)
        remaining_length = bounded(remaining_length + string_size(filters[i]) + (qos ? 1 : 0));
    if (remaining_length > MQTT_REMAINING_LENGTH_MAX)
        return MQTT_ERR_FIELD; /* before all of them are looked through */
    for (size_t i = 0; i < filters_count && err == 0; i++)
        err = topic_err(filters[i], true); /* [MQTT-3.8.3-1], [MQTT-3.10.3-1] */
    if (err == 0)
        err = begin(out, type, 0, remaining_length);
    if (err)
        return err;
    wr_be16(out, packet_id);
    for (size_t i = 0; i < filters_count; i++) {
        put_string(out, filters[i]);
        if (qos)
            wr_u8(out, *qos);
    }
    return 0;
}

int mqtt_write_subscribe(struct wr *out, uint16_t packet_id, const struct bytes *filters,
                         size_t filters_count, uint8_t qos)
{
    if (qos > QOS_MAX)
        return MQTT_ERR_QOS; /* [MQTT-3-8.3-4] */
    return write_filters(out, MQTT_SUBSCRIBE, packet_id, filters, filters_count, &qos);
}

int mqtt_write_unsubscribe(struct wr *out, uint16_t packet_id, const struct bytes *filters,
                           size_t filters_count)
{
    return write_filters(out, MQTT_UNSUBSCRIBE, packet_id, filters, filters_count, NULL);
}

int mqtt_write_empty(struct wr *out, enum mqtt_type type)
{
    if (type != MQTT_PINGREQ && type != MQTT_DISCONNECT)
        return MQTT_ERR_TYPE;
    return begin(out, type, 0, 0);
}
