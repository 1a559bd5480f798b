/* client_rx.c - see client_private.h. */
#include "client_private.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- bytes ---- */

static size_t unread(const struct client *c)
{
    return c->rx_len - c->rx_pos;
}

bool client_rx_room(const struct client *c)
{
    return unread(c) < sizeof c->rx && c->taken_len == 0;
}

static void compact(struct client *c)
{
    if (c->rx_pos == 0)
        return;
    memmove(c->rx, c->rx + c->rx_pos, unread(c));
    c->rx_len -= c->rx_pos;
    c->rx_pos = 0;
}

/* A broker that leaves Nagle's algorithm on (mosquitto does) holds its next packet until we have
 * acknowledged the last, which Linux puts off by 40 ms. A handshake would wait for that twice. The
 * option lasts for one acknowledgement only. */
static void acknowledge_tcp(const struct client *c)
{
    const int on = 1;

    if (c->use.quick)
        (void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

bool client_rx_read(struct client *c, uint64_t now_ms)
{
    ssize_t n;

    if (!client_rx_room(c))
        return false;
    compact(c);
    do {
        n = read(c->fd, c->rx + c->rx_len, sizeof c->rx - c->rx_len);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        c->rx_len += (size_t)n;
        c->last_rx_ms = now_ms;
        acknowledge_tcp(c);
    } else if (n == 0) {
        c->eof = true;
    } else if (errno != EAGAIN && c->io_error == 0) {
        c->io_error = errno;
    }
    return n > 0;
}

void client_rx_reset(struct client *c)
{
    c->rx_pos = c->rx_len = 0;
    c->rx_waits = false;
    c->taken_len = 0;
    c->skip = (struct client_skip){0};
    c->eof = c->hung_up = false;
    c->io_error = 0;
}

/* ---- QoS 2: which ids were taken and not released, section 4.3.3 ---- */

static_assert(sizeof((struct client *)0)->unreleased * 8 == 65536, "a bit for each packet id");

static bool id_unreleased(const struct client *c, uint16_t packet_id)
{
    return (c->unreleased[packet_id / 8] >> (packet_id % 8)) & 1;
}

static void id_mark(struct client *c, uint16_t packet_id)
{
    c->unreleased[packet_id / 8] |= (uint8_t)(1 << (packet_id % 8));
    c->ids_used = true;
}

static void id_release(struct client *c, uint16_t packet_id)
{
    c->unreleased[packet_id / 8] &= (uint8_t) ~(1 << (packet_id % 8));
}

void client_rx_forget_ids(struct client *c)
{
    if (c->ids_used)
        memset(c->unreleased, 0, sizeof c->unreleased);
    c->ids_used = false;
}

static void acknowledge(struct client *c, uint8_t qos, uint16_t packet_id)
{
    if (qos == 0)
        return;
    client_tx_ack(c, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, packet_id);
    if (qos == 2)
        id_mark(c, packet_id);
}

uint8_t *client_payload(struct client *c, const struct mqtt_publish *message)
{
    return c->rx + (message->payload.p - c->rx);
}

void client_taken(struct client *c)
{
    if (c->taken_len == 0)
        return;
    acknowledge(c, c->taken_qos, c->taken_id);
    c->rx_pos += c->taken_len;
    c->taken_len = 0;
}

/* ---- packets larger than the buffer ---- */

/* Passes over up to `n` bytes that are there; returns how many. */
static size_t pass(struct client *c, size_t n)
{
    const size_t passed = n < unread(c) ? n : unread(c);

    c->rx_pos += passed;
    c->skip.left -= passed;
    return passed;
}

static bool skip_be16(struct client *c, uint16_t *value)
{
    struct rd r = rd_over(c->rx + c->rx_pos, unread(c));

    *value = rd_be16(&r);
    if (r.bad)
        return false;
    pass(c, 2);
    return true;
}

static void skip_begin(struct client *c, const struct mqtt_header *header)
{
    c->skip = (struct client_skip){
        .step = CLIENT_SKIP_TOPIC_LENGTH,
        .size = header->header_len + header->remaining_length,
        .left = header->remaining_length,
        .qos = (header->flags >> 1) & 3,
    };
    c->rx_pos += header->header_len;
}

/* One step over the packet; false when more bytes are needed. */
static bool skip_step(struct client *c)
{
    struct client_skip *skip = &c->skip;
    uint16_t value;

    switch (skip->step) {
    case CLIENT_SKIP_NONE:
        return false;
    case CLIENT_SKIP_TOPIC_LENGTH:
        if (!skip_be16(c, &value))
            return false;
        skip->topic_left = value;
        skip->step = CLIENT_SKIP_TOPIC;
        return true;
    case CLIENT_SKIP_TOPIC:
        skip->topic_left -= pass(c, skip->topic_left);
        if (skip->topic_left > 0)
            return false;
        skip->step = skip->qos > 0 ? CLIENT_SKIP_PACKET_ID : CLIENT_SKIP_REST;
        return true;
    case CLIENT_SKIP_PACKET_ID:
        if (!skip_be16(c, &skip->packet_id))
            return false;
        skip->step = CLIENT_SKIP_REST;
        return true;
    case CLIENT_SKIP_REST:
        pass(c, skip->left);
        return false;
    }
    return false;
}

/* Whether the topic and packet id that are still to come fit what is left of the packet. */
static bool skip_fits(const struct client_skip *skip)
{
    switch (skip->step) {
    case CLIENT_SKIP_TOPIC:
        return skip->topic_left + (skip->qos > 0 ? 2 : 0) <= skip->left;
    case CLIENT_SKIP_REST:
        return skip->qos == 0 || skip->packet_id != 0;
    case CLIENT_SKIP_NONE:
    case CLIENT_SKIP_TOPIC_LENGTH:
    case CLIENT_SKIP_PACKET_ID:
        return true;
    }
    return true;
}

/* The packet has passed: it is acknowledged, so that it does not come back, and reported. */
static void skip_done(struct client *c, struct client_event *event)
{
    if (!c->use.subscribe) {
        /* Not ours, as in take_publish. */
    } else if (c->skip.qos == 2 && id_unreleased(c, c->skip.packet_id)) {
        client_tx_ack(c, MQTT_PUBREC, c->skip.packet_id);
    } else {
        acknowledge(c, c->skip.qos, c->skip.packet_id);
        event->type = CLIENT_EV_SKIPPED;
        event->u.size = c->skip.size;
    }
    c->skip = (struct client_skip){0};
}

/* True when the skipping is over, or cannot go on before more is read. */
static bool skip_run(struct client *c, struct client_event *event)
{
    while (skip_step(c))
        if (!skip_fits(&c->skip)) {
            client_fault(c, CLIENT_ERR_MALFORMED, MQTT_ERR_SIZE, MQTT_PUBLISH);
            return true;
        }
    if (c->skip.step != CLIENT_SKIP_REST || c->skip.left > 0)
        return true;
    skip_done(c, event);
    return event->type != CLIENT_EV_NONE;
}

/* ---- packets ---- */

static void take_connack(struct client *c, const struct mqtt_packet *packet,
                         struct client_event *event)
{
    if (packet->u.connack.code != MQTT_CONNACK_ACCEPTED) {
        client_fault(c, CLIENT_ERR_REFUSED, (int)packet->u.connack.code, MQTT_CONNACK);
        return;
    }
    /* [MQTT-3.2.2-1]: there is none where a clean one was asked for. */
    if (packet->u.connack.session_present && (c->use.conf->clean_session || c->forgetting)) {
        client_fault(c, CLIENT_ERR_UNEXPECTED, 0, MQTT_CONNACK);
        return;
    }
    event->type = CLIENT_EV_CONNECTED;
    /* MQTT 3.1 has no such flag: there a session that was asked for is taken to be there. */
    event->u.session_present = c->use.conf->mqtt_version == MQTT_3_1
                                   ? !c->use.conf->clean_session
                                   : packet->u.connack.session_present;
}

static void take_suback(struct client *c, const struct mqtt_packet *packet,
                        struct client_event *event)
{
    const struct bytes codes = packet->u.suback.codes;

    if (packet->u.suback.packet_id != c->subscribe_id || codes.len != c->use.conf->subtop_count) {
        client_fault(c, CLIENT_ERR_UNEXPECTED, 0, MQTT_SUBACK);
        return;
    }
    for (size_t i = 0; i < codes.len; i++)
        if (codes.p[i] >= MQTT_SUBACK_FAILURE) {
            client_fault(c, CLIENT_ERR_SUBSCRIPTION, (int)i, MQTT_SUBACK);
            return;
        }
    c->subscribe_id = 0;
    c->was_subscribed = true;
    event->type = CLIENT_EV_SUBSCRIBED;
}

/* A sender subscribes to nothing. What a broker brings it all the same, out of an old session of
 * the same client id, stays unacknowledged: it belongs to whoever subscribed. */
static bool take_publish(struct client *c, const struct mqtt_publish *publish, size_t used,
                         struct client_event *event)
{
    if (!c->use.subscribe)
        return false;
    if (publish->qos == 2 && id_unreleased(c, publish->packet_id)) {
        client_tx_ack(c, MQTT_PUBREC, publish->packet_id);
        return false;
    }
    event->type = CLIENT_EV_MESSAGE;
    event->u.message = *publish;
    c->taken_len = used;
    c->taken_id = publish->packet_id;
    c->taken_qos = publish->qos;
    return true;
}

static void take_other(struct client *c, const struct mqtt_packet *packet,
                       struct client_event *event, uint64_t now_ms)
{
    switch (packet->type) {
    case MQTT_SUBACK:
        take_suback(c, packet, event);
        return;
    case MQTT_PINGRESP:
        client_tx_pong(c);
        return;
    case MQTT_PUBREL:
        id_release(c, packet->u.ack.packet_id);
        client_tx_ack(c, MQTT_PUBCOMP, packet->u.ack.packet_id);
        return;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBCOMP:
        if (client_ring_acked(c, packet->type, packet->u.ack.packet_id, now_ms))
            return;
        break;
    case MQTT_CONNECT:
    case MQTT_CONNACK:
    case MQTT_PUBLISH:
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
    case MQTT_UNSUBACK:
    case MQTT_PINGREQ:
    case MQTT_DISCONNECT:
        break;
    }
    client_fault(c, CLIENT_ERR_UNEXPECTED, 0, (int)packet->type);
}

/* The first packet is CONNACK, and no other is: [MQTT-3.2.0-1]. */
static void take_packet(struct client *c, const struct mqtt_packet *packet, size_t used,
                        struct client_event *event, uint64_t now_ms)
{
    if ((packet->type == MQTT_CONNACK) != (c->state == CLIENT_GREETING)) {
        client_fault(c, CLIENT_ERR_UNEXPECTED, 0, (int)packet->type);
        return;
    }
    if (packet->type == MQTT_PUBLISH && take_publish(c, &packet->u.publish, used, event))
        return;
    c->rx_pos += used;
    if (packet->type == MQTT_CONNACK)
        take_connack(c, packet, event);
    else if (packet->type != MQTT_PUBLISH)
        take_other(c, packet, event, now_ms);
}

/* No whole packet is there: is it one that never will be? */
static void look_at_rest(struct client *c)
{
    struct mqtt_header header;
    const enum mqtt_version version = (enum mqtt_version)c->use.conf->mqtt_version;

    if (mqtt_read_header(version, &header, c->rx + c->rx_pos, unread(c)) <= 0)
        return;
    if (header.header_len + header.remaining_length <= sizeof c->rx)
        return;
    if (header.type != MQTT_PUBLISH || c->state != CLIENT_UP)
        client_fault(c, CLIENT_ERR_MALFORMED, MQTT_ERR_SIZE, (int)header.type);
    else
        skip_begin(c, &header);
}

static void bad_packet(struct client *c, int err)
{
    const uint8_t type = c->rx[c->rx_pos] >> 4;

    client_fault(c, CLIENT_ERR_MALFORMED, err, type);
}

/* On a connection that ended no acknowledgement leaves any more, so none needs room. */
static bool may_take(const struct client *c)
{
    return client_tx_acks_room(c) || c->eof || c->io_error != 0;
}

void client_rx_next(struct client *c, struct client_event *event, uint64_t now_ms)
{
    const enum mqtt_version version = (enum mqtt_version)c->use.conf->mqtt_version;
    struct mqtt_packet packet;

    while (event->type == CLIENT_EV_NONE && c->fault.err == 0) {
        c->rx_waits = !may_take(c);
        if (c->rx_waits)
            return;
        if (c->skip.step != CLIENT_SKIP_NONE && skip_run(c, event))
            return;
        const int used = mqtt_read(version, &packet, c->rx + c->rx_pos, unread(c));
        if (used > 0) {
            take_packet(c, &packet, (size_t)used, event, now_ms);
            continue;
        }
        if (used < 0) {
            bad_packet(c, used);
            return;
        }
        look_at_rest(c);
        if (c->skip.step == CLIENT_SKIP_NONE)
            return;
    }
}
