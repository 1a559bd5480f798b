/* mqtt.c - the codec: whatever bytes come in, from every version and cut anywhere; whatever fields
 * go out, into any room. */
#include "common.h"
#include "limits.h"
#include "mqtt_min.h"

/* ---- decoding ---- */

static void check_header(enum mqtt_version version, const uint8_t *packet, size_t len, int result)
{
    struct mqtt_header header;
    const int head = mqtt_read_header(version, &header, packet, len);

    if (head <= 0) {
        CHECK(result == head);
        return;
    }
    CHECK((size_t)head == header.header_len && header.header_len >= 2 && header.header_len <= 5);
    CHECK(header.type == packet[0] >> 4 && header.flags == (packet[0] & 15));
    CHECK(header.remaining_length <= MQTT_REMAINING_LENGTH_MAX);
    if (result > 0)
        CHECK((size_t)result == header.header_len + header.remaining_length);
    if (result == 0)
        CHECK(len < header.header_len + header.remaining_length);
}

static bool is_inside(struct bytes part, const uint8_t *whole, size_t len)
{
    return part.len == 0 ||
           (part.p >= whole && part.len <= len && (size_t)(part.p - whole) <= len - part.len);
}

static void check_publish_views(const struct mqtt_publish *publish, const uint8_t *from, size_t len)
{
    CHECK(is_inside(publish->topic, from, len) && is_inside(publish->payload, from, len));
    CHECK(mqtt_topic_ok(publish->topic));
    CHECK((publish->qos > 0) == (publish->packet_id > 0));
    CHECK(mqtt_publish_size(publish->topic.len, publish->qos, publish->payload.len) <= len);
}

/* Writes it again where there is an encoder for it; else checks what it says. */
static bool write_again(struct wr *out, const struct mqtt_packet *packet, const uint8_t *from,
                        size_t len)
{
    const struct mqtt_publish *publish = &packet->u.publish;

    if (packet->type == MQTT_PUBLISH) {
        check_publish_views(publish, from, len);
        CHECK(mqtt_write_publish(out, publish) == 0);
        wr_put(out, publish->payload.p, publish->payload.len);
        return true;
    }
    if (packet->type >= MQTT_PUBACK && packet->type <= MQTT_PUBCOMP) {
        CHECK(mqtt_write_ack(out, packet->type, packet->u.ack.packet_id) == 0);
        return true;
    }
    if (packet->type == MQTT_SUBACK)
        CHECK(is_inside(packet->u.suback.codes, from, len) && packet->u.suback.codes.len > 0 &&
              packet->u.suback.packet_id != 0);
    else if (packet->type == MQTT_UNSUBACK)
        CHECK(packet->u.ack.packet_id != 0);
    else if (packet->type == MQTT_CONNACK)
        CHECK(packet->u.connack.code <= MQTT_CONNACK_NOT_AUTHORIZED);
    else
        CHECK(packet->type == MQTT_PINGRESP);
    return false;
}

/* The same bytes from what was decoded, but for needless digits of the remaining length, and in 3.1
 * flags that mean nothing. */
static void check_again(const struct mqtt_packet *packet, const uint8_t *from, size_t len)
{
    uint8_t *room = malloc(len);
    struct wr out = wr_over(room, len);
    size_t head = 2;

    while (from[head - 1] & 0x80)
        head++;
    if (write_again(&out, packet, from, len)) {
        const size_t rest = len - head;
        CHECK(!out.bad && room[0] >> 4 == from[0] >> 4);
        CHECK(packet->type != MQTT_PUBLISH || room[0] == from[0]);
        CHECK((size_t)(out.p - room) >= rest + 2);
        CHECK(memcmp(out.p - rest, from + head, rest) == 0);
    }
    free(room);
}

/* Each prefix gives "need more" up to some length, and from there the same answer. */
static void decode(enum mqtt_version version, struct bytes input)
{
    const size_t prefixes = input.len < 64 ? input.len : 64;
    struct mqtt_packet packet;
    int before = 0;

    CHECK(mqtt_utf8_ok(input) == (fuzz_utf8(input) && !memchr(input.p, 0, input.len)));
    for (size_t i = 0; i <= prefixes; i++) {
        const size_t len = i < prefixes ? i : input.len;
        uint8_t *copy = fuzz_copy((struct bytes){input.p, len});
        const int result = mqtt_read(version, &packet, copy, len);

        CHECK(before == 0 || result == before);
        CHECK(result <= (int)len);
        check_header(version, copy, len, result);
        if (result > 0)
            check_again(&packet, copy, (size_t)result);
        CHECK(mqtt_err_text(result)[0] && mqtt_type_name((enum mqtt_type)result)[0] &&
              mqtt_connack_text((enum mqtt_connack_code)result)[0]);
        before = result;
        free(copy);
    }
}

/* ---- encoding ---- */

#define ROOM_BYTES 200000

static uint8_t large[80000];

/* Bytes of the script, or very many; NULL, 0 now and then. */
static struct bytes any_string(struct rd *in)
{
    const uint8_t kind = rd_u8(in);

    if (kind == 0xff)
        return (struct bytes){large, (size_t)65530 + rd_u8(in) % 16};
    if (kind == 0xfe)
        return (struct bytes){NULL, 0};
    return fuzz_take(in, kind % 48);
}

static bool same_string(struct rd *r, struct bytes want)
{
    const size_t len = rd_be16(r);
    const struct bytes got = {rd_take(r, len), len};

    return !r->bad && bytes_equal(got, want);
}

/* A broker's view of the packet, sections 3.1, 3.8 and 3.10: all fields come out as they went
 * in. */
static struct rd open_packet(const uint8_t *packet, size_t len, uint8_t first)
{
    struct rd r = rd_over(packet, len);
    size_t remaining_length = 0;
    int shift = 0;
    uint8_t digit;

    CHECK(rd_u8(&r) == first);
    do {
        digit = rd_u8(&r);
        remaining_length |= (size_t)(digit & 0x7f) << shift;
        shift += 7;
    } while (digit & 0x80);
    CHECK(!r.bad && remaining_length == rd_left(&r) && (digit > 0 || shift == 7));
    return r;
}

static void check_connect(const struct mqtt_connect *c, const uint8_t *packet, size_t len)
{
    struct rd r = open_packet(packet, len, 0x10);

    CHECK(same_string(&r, bytes_of(c->version == MQTT_3_1 ? "MQIsdp" : "MQTT")));
    CHECK(rd_u8(&r) == c->version);
    const uint8_t flags = rd_u8(&r);
    CHECK((flags & 1) == 0 && !(flags & 2) == !c->clean_session);
    CHECK(!(flags & 4) == !c->will.present && !(flags & 0x80) == !c->username.p);
    CHECK(!(flags & 0x40) == !c->password.p && (!(flags & 0x40) || (flags & 0x80)));
    CHECK((flags >> 3 & 3) == (c->will.present ? c->will.qos : 0) && (flags >> 3 & 3) < 3);
    CHECK(!(flags & 0x20) == !(c->will.present && c->will.retain));
    CHECK(rd_be16(&r) == c->keepalive_s);
    CHECK(same_string(&r, c->client_id));
    if (c->will.present)
        CHECK(same_string(&r, c->will.topic) && same_string(&r, c->will.message));
    if (c->username.p)
        CHECK(same_string(&r, c->username));
    if (c->password.p)
        CHECK(same_string(&r, c->password));
    CHECK(rd_end(&r));
}

static void check_filters(const struct bytes *filters, size_t count, uint16_t id, int qos,
                          const uint8_t *packet, size_t len)
{
    struct rd r = open_packet(packet, len, qos < 0 ? 0xa2 : 0x82);

    CHECK(id != 0 && rd_be16(&r) == id && count > 0);
    for (size_t i = 0; i < count; i++)
        CHECK(same_string(&r, filters[i]) && (qos < 0 || rd_u8(&r) == qos));
    CHECK(rd_end(&r));
}

struct fields {
    enum { CONNECT, PUBLISH, ACK, SUBSCRIBE, UNSUBSCRIBE, EMPTY, KINDS } kind;
    struct mqtt_connect connect;
    struct mqtt_publish publish;
    enum mqtt_type type;
    uint16_t id;
    uint8_t qos;
    struct bytes filters[9];
    size_t filters_count;
};

static int write_fields(struct wr *out, const struct fields *f)
{
    switch (f->kind) {
    case CONNECT:
        return mqtt_write_connect(out, &f->connect);
    case PUBLISH:
        return mqtt_write_publish(out, &f->publish);
    case ACK:
        return mqtt_write_ack(out, f->type, f->id);
    case SUBSCRIBE:
        return mqtt_write_subscribe(out, f->id, f->filters, f->filters_count, f->qos);
    case UNSUBSCRIBE:
        return mqtt_write_unsubscribe(out, f->id, f->filters, f->filters_count);
    case EMPTY:
        return mqtt_write_empty(out, f->type);
    case KINDS:
        break;
    }
    return MQTT_ERR_TYPE;
}

static void check_publish(const struct mqtt_publish *want, uint8_t *packet, size_t head, size_t len)
{
    struct mqtt_packet got;

    CHECK(len == head + want->payload.len);
    CHECK(len == mqtt_publish_size(want->topic.len, want->qos, want->payload.len));
    memset(packet + head, 'x', len - head);
    CHECK(mqtt_read(MQTT_3_1_1, &got, packet, len) == (int)len && got.type == MQTT_PUBLISH);
    CHECK(bytes_equal(got.u.publish.topic, want->topic));
    CHECK(got.u.publish.payload.len == want->payload.len);
    CHECK(got.u.publish.qos == want->qos && got.u.publish.dup == want->dup &&
          got.u.publish.retain == want->retain && got.u.publish.packet_id == want->packet_id);
}

static void check_written(const struct fields *f, uint8_t *packet, size_t written, size_t size)
{
    struct mqtt_packet got;

    switch (f->kind) {
    case CONNECT:
        check_connect(&f->connect, packet, written);
        break;
    case PUBLISH:
        check_publish(&f->publish, packet, written, size);
        break;
    case ACK:
        CHECK(written == 4 && mqtt_read(MQTT_3_1_1, &got, packet, 4) == 4);
        CHECK(got.type == f->type && got.u.ack.packet_id == f->id);
        break;
    case SUBSCRIBE:
        check_filters(f->filters, f->filters_count, f->id, f->qos, packet, written);
        break;
    case UNSUBSCRIBE:
        check_filters(f->filters, f->filters_count, f->id, -1, packet, written);
        break;
    case EMPTY:
        CHECK(written == 2 && packet[0] == f->type << 4 && packet[1] == 0);
        break;
    case KINDS:
        break;
    }
}

static void read_fields(struct fields *f, struct rd *in)
{
    f->kind = rd_u8(in) % KINDS;
    f->type = (enum mqtt_type)(rd_u8(in) % 20);
    f->id = rd_be16(in);
    f->qos = rd_u8(in) % 5;
    if (f->kind == CONNECT) {
        const uint8_t flags = rd_u8(in);
        f->connect.version = flags & 1 ? MQTT_3_1 : MQTT_3_1_1;
        f->connect.clean_session = flags & 2;
        f->connect.will.present = flags & 4;
        f->connect.will.retain = flags & 8;
        f->connect.keepalive_s = rd_be16(in);
        f->connect.will.qos = f->qos;
        f->connect.client_id = any_string(in);
        f->connect.will.topic = any_string(in);
        f->connect.will.message = any_string(in);
        f->connect.username = flags & 16 ? any_string(in) : (struct bytes){0};
        f->connect.password = flags & 32 ? any_string(in) : (struct bytes){0};
    } else if (f->kind == PUBLISH) {
        const uint8_t flags = rd_u8(in);
        f->publish = (struct mqtt_publish){.packet_id = f->id,
                                           .qos = f->qos,
                                           .dup = flags & 1,
                                           .retain = flags & 2,
                                           .topic = any_string(in)};
        f->publish.payload.len = flags & 4 ? rd_be64(in) : rd_be16(in);
    } else if (f->kind == SUBSCRIBE || f->kind == UNSUBSCRIBE) {
        f->filters_count = rd_u8(in) % 10;
        for (size_t i = 0; i < f->filters_count; i++)
            f->filters[i] = any_string(in);
    }
}

/* Room of exactly what it takes, one byte less, and what the script says. */
static uint8_t untouched[ROOM_BYTES];

static void encode_into(const struct fields *f, size_t room)
{
    uint8_t *block = malloc(room > 0 ? room : 1);
    struct wr out = wr_over(block, room);
    int result;

    CHECK(block);
    memcpy(block, untouched, room);
    result = write_fields(&out, f);
    CHECK(result <= 0);
    if (result == 0) {
        const size_t written = (size_t)(out.p - block);
        const size_t payload = f->kind == PUBLISH ? f->publish.payload.len : 0;
        CHECK(!out.bad && written + payload <= room);
        check_written(f, block, written, written + payload);
        if (room == written + payload)
            encode_into(f, room - 1);
        else
            encode_into(f, written + payload);
    } else {
        CHECK(out.p == block && memcmp(block, untouched, room) == 0);
    }
    free(block);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    memset(large, 'a', sizeof large);
    memset(untouched, 0xa5, sizeof untouched);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd in = rd_over(data, size);
    struct fields fields = {0};

    fuzz_begin();
    switch (rd_u8(&in) % 3) {
    case 0:
        decode(MQTT_3_1_1, fuzz_take(&in, size));
        break;
    case 1:
        decode(MQTT_3_1, fuzz_take(&in, size));
        break;
    default:
        read_fields(&fields, &in);
        encode_into(&fields, sizeof untouched);
        encode_into(&fields, rd_u8(&in));
        break;
    }
    return 0;
}
