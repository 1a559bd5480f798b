/* client_ring.c - see client_private.h. */
#include "client_private.h"

#include <assert.h>

static_assert((CLIENT_FLIGHTS_MAX & (CLIENT_FLIGHTS_MAX - 1)) == 0,
              "the flight counters wrap around at 2^32: a power of two keeps their places");

/* ---- packet ids ---- */

static bool packet_id_used(const struct client *c, uint16_t packet_id)
{
    if (packet_id == 0 || packet_id == c->subscribe_id)
        return true;
    for (uint32_t i = c->flight_head; i != c->flight_tail; i++)
        if (client_flight_look(c, i)->packet_id == packet_id)
            return true;
    return false;
}

uint16_t client_ring_packet_id(struct client *c)
{
    while (packet_id_used(c, c->next_packet_id))
        c->next_packet_id++;
    return c->next_packet_id++;
}

/* ---- the ring of PUBLISH packets ---- */

static bool ring_place(const struct client *c, uint32_t len, uint32_t *start)
{
    const uint32_t size = CLIENT_RING_BYTES;

    *start = 0;
    if (c->flight_head == c->flight_tail)
        return len <= size;
    const struct client_flight *oldest = client_flight_look(c, c->flight_head);
    const struct client_flight *newest = client_flight_look(c, c->flight_tail - 1);
    const uint32_t end = newest->start + newest->len;
    if (newest->start < oldest->start) {
        *start = end;
        return len <= oldest->start - end;
    }
    if (len <= size - end) {
        *start = end;
        return true;
    }
    return len <= oldest->start;
}

bool client_room(const struct client *c, size_t topic_len, size_t payload_len, uint8_t qos)
{
    const size_t size = mqtt_publish_size(topic_len, qos, payload_len);
    const uint32_t max = qos == 2 ? CLIENT_QOS2_FLIGHTS_MAX : CLIENT_FLIGHTS_MAX;
    uint32_t start;

    return c->flight_tail - c->flight_head < max && ring_place(c, (uint32_t)size, &start);
}

int client_publish(struct client *c, struct wr *payload, struct bytes topic, size_t payload_len,
                   uint8_t qos, bool retain, uint64_t now_ms)
{
    const size_t size = mqtt_publish_size(topic.len, qos, payload_len);
    struct client_flight flight = {.len = (uint32_t)size, .qos = qos};

    if (!client_room(c, topic.len, payload_len, qos))
        return CLIENT_ERR_FULL;
    (void)ring_place(c, flight.len, &flight.start);
    if (qos > 0)
        flight.packet_id = client_ring_packet_id(c);
    const struct mqtt_publish publish = {
        .topic = topic,
        .payload = {.len = payload_len},
        .packet_id = flight.packet_id,
        .qos = qos,
        .retain = retain,
    };
    struct wr w = wr_over(c->ring + flight.start, size);
    if (mqtt_write_publish(&w, &publish) < 0)
        return CLIENT_ERR_FULL;
    *payload = w;
    c->open = flight;
    if (c->flight_head == c->flight_tail)
        c->progress_ms = now_ms;
    return 0;
}

void client_commit(struct client *c)
{
    *client_flight_at(c, c->flight_tail++) = c->open;
}

void client_abandon(struct client *c)
{
    crypto_wipe(c->ring + c->open.start, c->open.len);
}

bool client_in_flight(const struct client *c, uint32_t counter, struct mqtt_publish *publish)
{
    const struct client_flight *flight = client_flight_look(c, counter);
    struct mqtt_packet packet;

    if (flight->state == CLIENT_FLIGHT_DONE ||
        mqtt_read(MQTT_3_1_1, &packet, c->ring + flight->start, flight->len) <= 0)
        return false;
    *publish = packet.u.publish;
    return true;
}

static void drop_done(struct client *c)
{
    while (c->flight_head != c->flight_tail &&
           client_flight_at(c, c->flight_head)->state == CLIENT_FLIGHT_DONE) {
        if (c->flight_next == c->flight_head)
            c->flight_next++;
        c->flight_head++;
    }
}

static void flight_written(struct client *c, struct client_flight *flight)
{
    if (flight->qos > 0) {
        flight->state = CLIENT_FLIGHT_SENT;
        return;
    }
    flight->state = CLIENT_FLIGHT_DONE;
    c->unconfirmed = true;
    c->ping_covers = false;
}

void client_ring_written(struct client *c, size_t n)
{
    struct client_flight *flight = client_flight_at(c, c->flight_next);

    c->flight_sent += n;
    if (c->flight_sent < flight->len)
        return;
    c->flight_sent = 0;
    flight_written(c, flight);
    c->flight_next++;
    drop_done(c);
}

static struct client_flight *find_flight(struct client *c, uint16_t packet_id)
{
    for (uint32_t i = c->flight_head; i != c->flight_tail; i++)
        if (client_flight_at(c, i)->packet_id == packet_id &&
            client_flight_at(c, i)->state != CLIENT_FLIGHT_DONE)
            return client_flight_at(c, i);
    return NULL;
}

/* Only what brings a flight forward is progress: another answer must not keep it waiting. */
static void bring_forward(struct client *c, struct client_flight *flight,
                          enum client_flight_state state, uint64_t now_ms)
{
    flight->state = state;
    c->progress_ms = now_ms;
    c->proven = c->proven || state == CLIENT_FLIGHT_DONE;
}

/* Sent on an earlier connection, and waiting to be sent again. */
static bool comes_again(const struct client *c, const struct client_flight *flight)
{
    return flight->state == CLIENT_FLIGHT_QUEUED && (c->ring[flight->start] & MQTT_FLAG_DUP);
}

/* PUBREC: section 4.3.3; a broker of MQTT 3.1 may repeat it, and one that has forgotten more than
 * we have must still get its PUBREL. */
static bool take_pubrec(struct client *c, struct client_flight *flight, uint16_t packet_id,
                        uint64_t now_ms)
{
    /* The broker repeated what was lost; the PUBLISH that is about to go out gets another. */
    if (flight && flight->qos == 2 && comes_again(c, flight))
        return true;
    if (flight && (flight->qos != 2 || flight->state == CLIENT_FLIGHT_QUEUED))
        return false;
    if (flight && flight->state == CLIENT_FLIGHT_SENT)
        bring_forward(c, flight, CLIENT_FLIGHT_RELEASED, now_ms);
    client_tx_ack(c, MQTT_PUBREL, packet_id);
    return true;
}

bool client_ring_acked(struct client *c, enum mqtt_type type, uint16_t packet_id, uint64_t now_ms)
{
    struct client_flight *flight = find_flight(c, packet_id);

    if (type == MQTT_PUBREC)
        return take_pubrec(c, flight, packet_id, now_ms);
    if (type == MQTT_PUBACK) {
        if (!flight || flight->qos != 1 || flight->state != CLIENT_FLIGHT_SENT)
            return false;
        bring_forward(c, flight, CLIENT_FLIGHT_DONE, now_ms);
    } else if (flight) {
        if (flight->state != CLIENT_FLIGHT_RELEASED)
            return false;
        bring_forward(c, flight, CLIENT_FLIGHT_DONE, now_ms);
    }
    drop_done(c);
    return true;
}

/* ---- confirmation of QoS 0 ---- */

static bool qos0_queued(const struct client *c)
{
    for (uint32_t i = c->flight_head; i != c->flight_tail; i++)
        if (client_flight_look(c, i)->qos == 0 &&
            client_flight_look(c, i)->state == CLIENT_FLIGHT_QUEUED)
            return true;
    return false;
}

void client_confirm(struct client *c)
{
    if (c->pings == 0 && (c->unconfirmed || qos0_queued(c)))
        c->ping_wanted = true;
}

bool client_settled(const struct client *c)
{
    return c->flight_head == c->flight_tail && !c->unconfirmed;
}

/* ---- reconnect ---- */

/* A broker that lost the session lost a message for which it had sent PUBREC, too: it comes again
 * as a new one, since twice is better than never. */
void client_ring_resume(struct client *c, bool session_present)
{
    for (uint32_t i = c->flight_head; i != c->flight_tail; i++) {
        struct client_flight *flight = client_flight_at(c, i);
        if (flight->state != CLIENT_FLIGHT_RELEASED)
            continue;
        if (session_present) {
            client_tx_ack(c, MQTT_PUBREL, flight->packet_id);
        } else {
            flight->state = CLIENT_FLIGHT_QUEUED;
            c->ring[flight->start] &= (uint8_t)~MQTT_FLAG_DUP;
        }
    }
}
