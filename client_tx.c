/* client_tx.c - see client_private.h. */
#include "client_private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* A write gathers the three queues and up to this many PUBLISH packets. */
#define GATHER_MAX (3 + 32)

/* What a write consists of: bytes, and the queue that each piece of them is from. */
struct parts {
    size_t count;
    uint8_t queues[GATHER_MAX]; /* enum client_queue_id */
    struct iovec bytes[GATHER_MAX];
};

/* ---- the control, acks and tail queues ---- */

static struct wr queue_open(uint8_t *bytes, size_t size, const struct client_queue *queue)
{
    return wr_over(bytes + queue->len, size - queue->len);
}

static void queue_close(struct client_queue *queue, const uint8_t *bytes, const struct wr *w)
{
    queue->len = (size_t)(w->p - bytes);
}

static void queue_take(struct client_queue *queue, size_t n)
{
    queue->sent += n;
    if (queue->sent == queue->len)
        *queue = (struct client_queue){0};
}

static struct bytes value_of(const struct conf_value *value)
{
    return value->set ? bytes_of(value->text) : (struct bytes){0};
}

void client_tx_connect(struct client *c)
{
    const struct conf *conf = c->use.conf;
    struct wr w = queue_open(c->control_bytes, sizeof c->control_bytes, &c->control);
    const struct mqtt_connect connect = {
        .version = (enum mqtt_version)conf->mqtt_version,
        .clean_session = conf->clean_session || c->forgetting,
        .keepalive_s = conf->keepalive_s,
        .client_id = bytes_of(c->client_id),
        .will = {.present = conf->will_topic.set && !c->forgetting,
                 .topic = value_of(&conf->will_topic),
                 .message = value_of(&conf->will_msg),
                 .qos = conf->will_qos,
                 .retain = conf->will_retain},
        .username = value_of(&conf->username),
        .password = value_of(&conf->password),
    };

    /* conf.c refuses every field that the encoder would: what fails here is our bug. */
    int err = mqtt_write_connect(&w, &connect);
    if (err < 0)
        client_fault(c, CLIENT_ERR_MALFORMED, err, MQTT_CONNECT);
    queue_close(&c->control, c->control_bytes, &w);
}

void client_tx_subscribe(struct client *c)
{
    struct bytes filters[CONF_SUBTOPS_MAX];
    struct wr w = queue_open(c->control_bytes, sizeof c->control_bytes, &c->control);

    for (size_t i = 0; i < c->use.conf->subtop_count; i++)
        filters[i] = bytes_of(c->use.conf->subtop[i].text);
    c->subscribe_id = client_ring_packet_id(c);
    int err = mqtt_write_subscribe(&w, c->subscribe_id, filters, c->use.conf->subtop_count,
                                   c->use.conf->qos);
    if (err < 0)
        client_fault(c, CLIENT_ERR_MALFORMED, err, MQTT_SUBSCRIBE);
    queue_close(&c->control, c->control_bytes, &w);
}

bool client_tx_acks_room(const struct client *c)
{
    return sizeof c->acks_bytes - c->acks.len >= 4;
}

/* A PUBREL that finds no room is left out: the broker asks again with PUBREC, or the flight times
 * out. CLIENT_CONTROL_BYTES has room for one of each flight. */
void client_tx_ack(struct client *c, enum mqtt_type type, uint16_t packet_id)
{
    const bool ours = type == MQTT_PUBREL;
    struct client_queue *queue = ours ? &c->control : &c->acks;
    uint8_t *bytes = ours ? c->control_bytes : c->acks_bytes;
    struct wr w = queue_open(bytes, ours ? sizeof c->control_bytes : sizeof c->acks_bytes, queue);

    if (mqtt_write_ack(&w, type, packet_id) == 0)
        queue_close(queue, bytes, &w);
}

bool client_tx_acks_held(const struct client *c)
{
    return !client_tx_acks_room(c) && c->acks_released < c->acks.len;
}

void client_release(struct client *c)
{
    c->proven = c->proven || c->acks.len > c->acks_released;
    c->acks_released = c->acks.len;
}

/* Takes released acknowledgements off the front; those still held move up when all before them are
 * gone. */
static void acks_take(struct client *c, size_t n)
{
    c->acks.sent += n;
    if (c->acks.sent < c->acks_released)
        return;
    c->acks.len -= c->acks.sent;
    memmove(c->acks_bytes, c->acks_bytes + c->acks.sent, c->acks.len);
    c->acks.sent = 0;
    c->acks_released = 0;
}

static void put_tail(struct client *c, enum mqtt_type type)
{
    struct wr w = queue_open(c->tail_bytes, sizeof c->tail_bytes, &c->tail);

    if (mqtt_write_empty(&w, type) == 0)
        queue_close(&c->tail, c->tail_bytes, &w);
}

/* ---- keepalive ---- */

/* Each PINGREQ has its PINGRESP ([MQTT-3.12.4-1]), so the last of them has it when all have. */
void client_tx_pong(struct client *c)
{
    if (c->pings == 0)
        return;
    c->proven = true;
    if (--c->pings > 0)
        return;
    if (c->ping_covers)
        c->unconfirmed = false;
    c->ping_covers = false;
}

/* ---- writing ---- */

/* [MQTT-3.1.4-5] and the note behind it: a client need not wait for CONNACK. What is sent again
 * after a reconnect does wait, because CONNACK says what the broker still knows. */
static bool flights_may_leave(const struct client *c)
{
    return !c->forgetting && (c->answered || (c->use.early && !c->was_up));
}

/* The counter behind the last that may. On the first connection they count from 0. */
static uint32_t flights_end(const struct client *c)
{
    if (!flights_may_leave(c))
        return c->flight_next;
    return c->answered || c->flight_tail < CLIENT_EARLY_MAX ? c->flight_tail : CLIENT_EARLY_MAX;
}

/* Behind every flight, so not before they may; and nothing follows DISCONNECT ([MQTT-3.14.4-2]). */
static bool ping_may_leave(const struct client *c)
{
    return c->ping_wanted && c->state != CLIENT_CLOSING && flights_may_leave(c) &&
           flights_end(c) == c->flight_tail;
}

static void gather(struct parts *parts, enum client_queue_id queue, uint8_t *bytes, size_t len)
{
    if (len == 0 || parts->count == GATHER_MAX)
        return;
    parts->queues[parts->count] = (uint8_t)queue;
    parts->bytes[parts->count++] = (struct iovec){bytes, len};
}

/* True when no flight is left that may leave. */
static bool gather_flights(struct client *c, struct parts *parts)
{
    const uint32_t end = flights_end(c);

    while (c->flight_next != end &&
           client_flight_at(c, c->flight_next)->state != CLIENT_FLIGHT_QUEUED)
        c->flight_next++;
    size_t skip = c->flight_sent;
    for (uint32_t i = c->flight_next; i != end; i++) {
        const struct client_flight *flight = client_flight_at(c, i);
        /* What is through already ends the run: it is skipped when flight_next gets there. One
         * place is kept for the tail. */
        if (flight->state != CLIENT_FLIGHT_QUEUED || parts->count == GATHER_MAX - 1)
            return false;
        gather(parts, CLIENT_QUEUE_FLIGHTS, c->ring + flight->start + skip, flight->len - skip);
        skip = 0;
    }
    return true;
}

/* False when the queues behind this one have to wait for another write. */
static bool gather_queue(struct client *c, struct parts *parts, enum client_queue_id queue)
{
    switch (queue) {
    case CLIENT_QUEUE_NONE:
        break;
    case CLIENT_QUEUE_CONTROL:
        gather(parts, queue, c->control_bytes + c->control.sent, c->control.len - c->control.sent);
        break;
    case CLIENT_QUEUE_ACKS:
        gather(parts, queue, c->acks_bytes + c->acks.sent, c->acks_released - c->acks.sent);
        break;
    case CLIENT_QUEUE_FLIGHTS:
        return gather_flights(c, parts);
    case CLIENT_QUEUE_TAIL:
        if (ping_may_leave(c) && c->tail.len == 0) {
            c->ping_wanted = false;
            put_tail(c, MQTT_PINGREQ);
        }
        gather(parts, queue, c->tail_bytes + c->tail.sent, c->tail.len - c->tail.sent);
        break;
    }
    return true;
}

/* A packet that was cut off goes on before anything else. Of flights only the one that was; of the
 * tail too: behind a PINGREQ stands DISCONNECT, which flights go before. */
static void gather_partial(struct client *c, struct parts *parts)
{
    (void)gather_queue(c, parts, c->partial);
    if (c->partial == CLIENT_QUEUE_FLIGHTS && parts->count > 1)
        parts->count = 1;
    if (c->partial == CLIENT_QUEUE_TAIL)
        parts->bytes[0].iov_len = MQTT_EMPTY_PACKET_BYTES - c->tail.sent % MQTT_EMPTY_PACKET_BYTES;
}

static void gather_all(struct client *c, struct parts *parts)
{
    parts->count = 0;
    if (c->partial != CLIENT_QUEUE_NONE) {
        gather_partial(c, parts);
        return;
    }
    for (int queue = CLIENT_QUEUE_CONTROL; queue <= CLIENT_QUEUE_TAIL; queue++)
        if (!gather_queue(c, parts, (enum client_queue_id)queue))
            return;
}

static void tail_taken(struct client *c, size_t n, uint64_t now_ms)
{
    queue_take(&c->tail, n);
    if (c->tail.len > 0 || c->state == CLIENT_CLOSING)
        return;
    if (c->pings++ == 0)
        c->ping_ms = now_ms;
    c->ping_covers = c->unconfirmed;
    if (c->ping_covers)
        c->progress_ms = now_ms;
}

static void take_part(struct client *c, enum client_queue_id queue, size_t n, uint64_t now_ms)
{
    switch (queue) {
    case CLIENT_QUEUE_NONE:
        break;
    case CLIENT_QUEUE_CONTROL:
        queue_take(&c->control, n);
        break;
    case CLIENT_QUEUE_ACKS:
        acks_take(c, n);
        break;
    case CLIENT_QUEUE_FLIGHTS:
        c->progress_ms = now_ms;
        client_ring_written(c, n);
        break;
    case CLIENT_QUEUE_TAIL:
        tail_taken(c, n, now_ms);
        break;
    }
}

/* Takes what was written off the queues, and notes whether the socket took all of it, and which
 * packet was cut off. */
static void take_written(struct client *c, const struct parts *parts, size_t n, uint64_t now_ms)
{
    c->partial = CLIENT_QUEUE_NONE;
    c->blocked = false;
    for (size_t i = 0; i < parts->count && !c->blocked; i++) {
        const enum client_queue_id queue = (enum client_queue_id)parts->queues[i];
        const size_t len = parts->bytes[i].iov_len;
        const size_t taken = n < len ? n : len;
        n -= taken;
        c->blocked = taken < len;
        if (taken > 0)
            take_part(c, queue, taken, now_ms);
        if (taken > 0 && c->blocked)
            c->partial = queue;
    }
}

static ssize_t send_parts(int fd, struct parts *parts)
{
    struct msghdr message = {.msg_iov = parts->bytes};
    ssize_t n;

    message.msg_iovlen = (__typeof__(message.msg_iovlen))parts->count;
    do {
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
}

void client_tx_write(struct client *c, uint64_t now_ms)
{
    struct parts parts;

    for (gather_all(c, &parts); parts.count > 0; gather_all(c, &parts)) {
        const ssize_t n = send_parts(c->fd, &parts);
        if (n < 0) {
            c->blocked = errno == EAGAIN;
            if (!c->blocked)
                c->io_error = errno;
            return;
        }
        c->last_tx_ms = now_ms;
        take_written(c, &parts, (size_t)n, now_ms);
        if (c->blocked)
            return;
    }
}

bool client_tx_pending(const struct client *c)
{
    if (c->control.len > 0 || c->acks.sent < c->acks_released || c->tail.len > 0 ||
        ping_may_leave(c))
        return true;
    const uint32_t end = flights_end(c);
    for (uint32_t i = c->flight_next; i != end; i++)
        if (client_flight_look(c, i)->state == CLIENT_FLIGHT_QUEUED)
            return true;
    return false;
}

void client_tx_goodbye(struct client *c)
{
    c->acks.len = c->acks_released;
    put_tail(c, MQTT_DISCONNECT);
}

/* ---- reconnect ---- */

/* Section 4.4: what was sent and not acknowledged is sent again, with DUP ([MQTT-3.3.1-1]). A
 * packet that was cut off cannot have been taken, so it is not a duplicate. */
void client_tx_reset(struct client *c)
{
    for (uint32_t i = c->flight_head; i != c->flight_tail; i++) {
        struct client_flight *flight = client_flight_at(c, i);
        if (flight->state == CLIENT_FLIGHT_SENT) {
            flight->state = CLIENT_FLIGHT_QUEUED;
            c->ring[flight->start] |= MQTT_FLAG_DUP;
        }
    }
    c->flight_next = c->flight_head;
    c->flight_sent = 0;
    c->control = c->acks = c->tail = (struct client_queue){0};
    c->acks_released = 0;
    c->partial = CLIENT_QUEUE_NONE;
    c->subscribe_id = 0;
    c->blocked = false;
    c->qos0_lost = c->qos0_lost || c->unconfirmed;
    c->pings = 0;
    c->ping_wanted = c->ping_covers = c->unconfirmed = false;
}