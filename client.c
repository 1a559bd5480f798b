/* client.c - states, timers, connecting and events of a broker connection; see client_private.h.
 *
 *   state       what comes            what is done                       next state
 *   IDLE        client_start          look the host up                   RESOLVING or CONNECTING
 *   RESOLVING   the addresses         connect to the first               CONNECTING
 *   CONNECTING  connected             CONNECT                            GREETING
 *               refused, too slow     connect to the next address        CONNECTING, or a fault
 *   GREETING    CONNACK 0             SUBSCRIBE, resume flights          UP
 *   UP          packets               see client_rx.c                    UP
 *   GREETING,   end of stream, error, close, and wait where more          WAITING or IDLE
 *   UP          fault, time out       attempts are allowed
 *   WAITING     time                  as from IDLE                       RESOLVING or CONNECTING
 *   GREETING,   client_disconnect     DISCONNECT, wait for the close     CLOSING
 *   UP
 *   others      client_disconnect     close                              CLOSING
 *   CLOSING     end of stream, time   close                              IDLE
 */
#include "client_private.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>

#include "deadline.h"
#include "fmt.h"
#include "words.h"

const char *client_err_text(int err)
{
    return words_of_err(CLIENT_ERRORS(WORDS_ENTRY) "\0no error", err);
}

uint64_t client_timeout_ms(const struct client *c)
{
    return (uint64_t)c->use.conf->timeout_s * 1000;
}

/* Not inlined: there are a dozen calls, and each copy would be larger. */
__attribute__((noinline)) void client_fault(struct client *c, enum client_err err, int detail,
                                            int packet)
{
    if (c->fault.err == 0)
        c->fault = (struct client_failure){.err = err, .detail = detail, .packet = packet};
}

/* ---- start ---- */

/* "sts-" and 12 characters: within the 23 that MQTT 3.1 allows, 62^12 of them. Each byte taken
 * modulo 62 leans a little to the first characters, which does not matter for a name. */
static void make_client_id(struct client *c, const uint8_t random[12])
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    char *end = c->client_id + 4;

    memcpy(c->client_id, "sts-", 4);
    for (size_t i = 0; i < 12; i++)
        *end++ = alphabet[random[i] % (sizeof alphabet - 1)];
    *end = '\0';
}

int client_init(struct client *c, const struct client_use *use)
{
    const char *id = use->conf->clientid.set ? use->conf->clientid.text : use->client_id;
    struct wr id_out = wr_over((uint8_t *)c->client_id, sizeof c->client_id - 1);
    uint8_t random[2 + 12];

    /* The buffers need no zeros, and pages that nobody writes take no memory. */
    client_rx_forget_ids(c);
    memset(c, 0, offsetof(struct client, resolve));
    c->use = *use;
    c->forgetting = use->forget;
    c->fd = -1;
    c->step_deadline_ms = CLIENT_NEVER;
    c->lost_ms = CLIENT_NEVER;
    c->backoff_ms = CLIENT_BACKOFF_MIN_MS;
    resolve_init(&c->resolve);
    if (crypto_random(random, sizeof random) < 0)
        return CLIENT_ERR_SYSTEM;
    /* Packet ids start anywhere: a broker that keeps a session may still hold one of an earlier
     * run, and would take a new message under the same id for a duplicate. */
    c->next_packet_id = (uint16_t)(random[0] << 8 | random[1]);
    if (id)
        fmt(&id_out, "%s", id);
    else
        make_client_id(c, random + 2);
    return 0;
}

/* ---- loss and reconnect ---- */

/* What trying again cannot mend; the first attempt shows whether what is configured can work at
 * all. */
static bool is_final(const struct client *c, const struct client_failure *failure)
{
    if (c->use.patient)
        return false;
    switch ((enum client_err)failure->err) {
    case CLIENT_ERR_MALFORMED:
    case CLIENT_ERR_UNEXPECTED:
    case CLIENT_ERR_SUBSCRIPTION:
        return true;
    case CLIENT_ERR_REFUSED:
        return failure->detail != MQTT_CONNACK_UNAVAILABLE || !c->was_up;
    case CLIENT_ERR_HOST:
    case CLIENT_ERR_CONNECT:
    case CLIENT_ERR_CLOSED:
    case CLIENT_ERR_NETWORK:
    case CLIENT_ERR_DEAD:
    case CLIENT_ERR_NO_CONNACK:
    case CLIENT_ERR_NO_SUBACK:
    case CLIENT_ERR_NO_ACK:
    case CLIENT_ERR_FULL:
    case CLIENT_ERR_SYSTEM:
        return !c->was_up;
    }
    return true;
}

static_assert(CLIENT_BACKOFF_MAX_MS <= 65536, "32 bits are enough to draw a wait in");

/* Between half of the bound and all of it: many devices that lost one broker do not all come back
 * in the same second. Without random bytes the bound itself is good enough. */
static uint32_t draw_wait(struct client *c)
{
    const uint32_t bound = c->backoff_ms;
    uint8_t random[2];

    c->backoff_ms = bound * 2 < CLIENT_BACKOFF_MAX_MS ? bound * 2 : CLIENT_BACKOFF_MAX_MS;
    if (crypto_random(random, sizeof random) < 0)
        return bound;
    return bound / 2 + bound * (uint32_t)(random[0] << 8 | random[1]) / 65536 / 2;
}

static void drop_connection(struct client *c)
{
    resolve_cancel(&c->resolve);
    client_close_socket(c);
    c->answered = c->proven = c->deaf = false;
    c->fault = (struct client_failure){0};
    client_tx_reset(c);
    client_rx_reset(c);
    c->state = CLIENT_IDLE;
    c->step_deadline_ms = CLIENT_NEVER;
}

/* A connection that brought nothing forward belongs to the loss before it. Else a broker that takes
 * CONNECT and closes at the PUBLISH behind it would be tried again each second, for ever. */
static bool was_good(const struct client *c, uint64_t now_ms)
{
    const int err = c->fault.err;
    const bool in_vain = err == CLIENT_ERR_NO_ACK || err == CLIENT_ERR_NO_SUBACK;

    return c->answered && (c->proven || (!in_vain && now_ms - c->up_ms >= client_timeout_ms(c)));
}

/* Turns the fault into an event, and the state into what follows from it. */
static void lose(struct client *c, struct client_event *event, uint64_t now_ms)
{
    /* Some brokers close the connection instead of refusing a subscription: what happens twice in a
     * row would go on for ever. */
    const bool in_vain = c->answered && c->use.subscribe && !c->was_subscribed;
    const bool again = in_vain && c->in_vain;
    struct client_failure failure = c->fault;
    uint64_t lost_for;

    if (was_good(c, now_ms)) {
        c->lost_ms = CLIENT_NEVER;
        c->backoff_ms = CLIENT_BACKOFF_MIN_MS;
    }
    drop_connection(c);
    c->in_vain = in_vain;
    if (c->lost_ms == CLIENT_NEVER)
        c->lost_ms = now_ms;
    lost_for = now_ms - c->lost_ms;
    event->type = CLIENT_EV_FAILED;
    if (!again && !is_final(c, &failure) && lost_for < c->use.give_up_ms) {
        event->type = CLIENT_EV_LOST;
        failure.wait_ms = (uint32_t)deadline_earlier(draw_wait(c), c->use.give_up_ms - lost_for);
        c->state = CLIENT_WAITING;
        c->step_deadline_ms = now_ms + failure.wait_ms;
    }
    event->u.failure = failure;
}

/* ---- the connection at work ---- */

static void is_up(struct client *c, bool session_present, uint64_t now_ms)
{
    c->state = CLIENT_UP;
    c->answered = true;
    c->step_deadline_ms = CLIENT_NEVER;
    c->up_ms = c->progress_ms = now_ms;
    if (!session_present)
        client_rx_forget_ids(c);
    if (c->was_up)
        client_ring_resume(c, session_present);
    if (c->use.subscribe) {
        client_tx_subscribe(c);
        c->step_deadline_ms = now_ms + client_timeout_ms(c);
    }
    c->was_up = true;
}

/* Whether it is the caller who keeps us from hearing the broker. */
static bool is_deaf(const struct client *c)
{
    return c->paused || client_tx_acks_held(c);
}

/* The broker's answers may lie unread in the socket: its silence counts from now. */
static void count_from_now(struct client *c, uint64_t now_ms)
{
    c->last_rx_ms = c->progress_ms = now_ms;
    if (c->state == CLIENT_UP && c->subscribe_id != 0)
        c->step_deadline_ms = now_ms + client_timeout_ms(c);
}

static void look_who_is_silent(struct client *c, uint64_t now_ms)
{
    const bool deaf = is_deaf(c);

    if (deaf || c->deaf)
        count_from_now(c, now_ms);
    c->deaf = deaf;
}

/* Nothing sent for that long: the broker wants to hear from us ([MQTT-3.1.2-23]), even while it
 * owes us a PINGRESP. Nothing received: we want to know whether it is still there. */
static uint64_t ping_due(const struct client *c)
{
    const bool by_sent = is_deaf(c) || c->pings > 0 || c->last_tx_ms < c->last_rx_ms;
    const uint64_t last = by_sent ? c->last_tx_ms : c->last_rx_ms;

    /* On a connection that is broken, and kept for what it brought, nothing leaves any more. */
    if (c->use.conf->keepalive_s == 0 || c->ping_wanted || c->io_error != 0)
        return CLIENT_NEVER;
    return last + (uint64_t)c->use.conf->keepalive_s * 1000;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t pong_due(const struct client *c)
{
    if (c->pings == 0 || is_deaf(c))
        return CLIENT_NEVER;
    return later(c->ping_ms, c->last_rx_ms) + client_timeout_ms(c);
}

/* A PINGREQ that stands behind QoS 0 asks for an acknowledgement, and nothing else is one. */
static uint64_t ack_due(const struct client *c)
{
    const bool waiting = c->flight_head != c->flight_tail || c->ping_covers;

    return waiting && !is_deaf(c) ? c->progress_ms + client_timeout_ms(c) : CLIENT_NEVER;
}

/* A socket that takes nothing keeps PINGREQ back, and with it the time limit of its answer. */
static uint64_t write_due(const struct client *c)
{
    if (!c->blocked || is_deaf(c))
        return CLIENT_NEVER;
    return later(c->last_tx_ms, c->last_rx_ms) + client_timeout_ms(c);
}

static uint64_t step_due(const struct client *c)
{
    return c->state == CLIENT_UP && is_deaf(c) ? CLIENT_NEVER : c->step_deadline_ms;
}

static void want_ping(struct client *c, uint64_t now_ms)
{
    if (c->state == CLIENT_UP && now_ms >= ping_due(c))
        c->ping_wanted = true;
}

static void check_timers(struct client *c, uint64_t now_ms)
{
    if (now_ms >= step_due(c))
        client_fault(c, c->state == CLIENT_UP ? CLIENT_ERR_NO_SUBACK : CLIENT_ERR_NO_CONNACK, 0, 0);
    if (c->state != CLIENT_UP)
        return;
    if (now_ms >= ack_due(c))
        client_fault(c, CLIENT_ERR_NO_ACK, 0, 0);
    if (now_ms >= pong_due(c))
        client_fault(c, CLIENT_ERR_DEAD, 0, 0);
    if (now_ms >= write_due(c))
        client_fault(c, CLIENT_ERR_NETWORK, ETIMEDOUT, 0);
    want_ping(c, now_ms);
}

/* The broker has forgotten: now the connection that is to last. */
static void start_afresh(struct client *c, struct client_event *event, uint64_t now_ms)
{
    event->type = CLIENT_EV_NONE;
    client_tx_goodbye(c);
    client_tx_write(c, now_ms);
    drop_connection(c);
    c->forgetting = false;
    client_start(c, now_ms);
}

static void take_packets(struct client *c, struct client_event *event, uint64_t now_ms)
{
    client_rx_next(c, event, now_ms);
    if (event->type == CLIENT_EV_CONNECTED && c->forgetting)
        start_afresh(c, event, now_ms);
    else if (event->type == CLIENT_EV_CONNECTED)
        is_up(c, event->u.session_present, now_ms);
    else if (event->type == CLIENT_EV_SUBSCRIBED)
        c->step_deadline_ms = CLIENT_NEVER;
}

/* Packets first: what came before the end of the stream still counts, and a failed write says
 * nothing about what the broker had sent before: why it closed, for one. */
static void next_connected(struct client *c, struct client_event *event, uint64_t now_ms)
{
    look_who_is_silent(c, now_ms);
    do {
        take_packets(c, event, now_ms);
        if (event->type != CLIENT_EV_NONE || c->fault.err != 0 || c->fd < 0 ||
            c->state == CLIENT_CONNECTING)
            return;
    } while (c->io_error != 0 && !c->eof && client_rx_read(c, now_ms));
    if (c->io_error)
        client_fault(c, CLIENT_ERR_NETWORK, c->io_error, 0);
    else if (c->eof)
        client_fault(c, CLIENT_ERR_CLOSED, 0, 0);
    else
        check_timers(c, now_ms);
}

/* A broker that reads DISCONNECT closes. Closing first would send RST where bytes lie unread in our
 * socket, and RST may overtake DISCONNECT: the broker would publish the will. To a sender nothing
 * comes but CONNACK and what was waited for. */
static void next_closing(struct client *c, struct client_event *event, uint64_t now_ms)
{
    const bool sent = !client_tx_pending(c);

    if (!c->eof && c->io_error == 0 && now_ms < c->step_deadline_ms &&
        (!sent || c->use.subscribe || !c->answered))
        return;
    drop_connection(c);
    event->type = CLIENT_EV_CLOSED;
}

/* Not inlined: in session_next every field would be a far offset from the session. */
__attribute__((noinline)) void client_next(struct client *c, struct client_event *event,
                                           uint64_t now_ms)
{
    event->type = CLIENT_EV_NONE;
    switch (c->state) {
    case CLIENT_IDLE:
        break;
    case CLIENT_RESOLVING:
        client_next_resolving(c, now_ms);
        break;
    case CLIENT_CONNECTING:
        client_next_connecting(c, now_ms);
        break;
    case CLIENT_GREETING:
    case CLIENT_UP:
        next_connected(c, event, now_ms);
        break;
    case CLIENT_CLOSING:
        next_closing(c, event, now_ms);
        break;
    case CLIENT_WAITING:
        if (now_ms >= c->step_deadline_ms)
            client_start(c, now_ms);
        break;
    }
    if (c->fault.err != 0 && event->type == CLIENT_EV_NONE)
        lose(c, event, now_ms);
}

/* ---- polling ---- */

int client_fd(const struct client *c)
{
    if (c->state == CLIENT_RESOLVING)
        return c->resolve.fd;
    if (c->hung_up && c->state != CLIENT_CLOSING && is_deaf(c))
        return -1;
    return c->fd;
}

static bool wants_input(const struct client *c)
{
    return !c->paused && !c->eof && client_rx_room(c) && client_tx_acks_room(c);
}

short client_events(const struct client *c)
{
    short events = 0;

    if (c->state == CLIENT_RESOLVING)
        return POLLIN;
    if (c->state == CLIENT_CONNECTING)
        return POLLOUT;
    if (c->state == CLIENT_CLOSING || wants_input(c))
        events |= POLLIN;
    if (c->io_error == 0 && client_tx_pending(c))
        events |= POLLOUT;
    return events;
}

uint64_t client_deadline(const struct client *c)
{
    uint64_t due = c->fault.err != 0 ? 0 : step_due(c);

    if (c->state != CLIENT_UP)
        return due;
    /* What lies in rx already, no poll will tell of. */
    if (c->rx_waits && !c->paused && client_tx_acks_room(c))
        return 0;
    due = deadline_earlier(due, ack_due(c));
    due = deadline_earlier(due, pong_due(c));
    due = deadline_earlier(due, write_due(c));
    return deadline_earlier(due, ping_due(c));
}

/* After DISCONNECT what comes in is nobody's. */
static void discard_input(struct client *c, uint64_t now_ms)
{
    c->rx_pos = c->rx_len = 0;
    (void)client_rx_read(c, now_ms);
}

void client_io(struct client *c, short revents, uint64_t now_ms)
{
    if (c->state == CLIENT_RESOLVING || c->state == CLIENT_CONNECTING) {
        c->poll_said = (short)(c->poll_said | revents);
        return;
    }
    if (c->fd < 0)
        return;
    look_who_is_silent(c, now_ms);
    if (revents & (POLLHUP | POLLERR))
        c->hung_up = true;
    if (c->state == CLIENT_CLOSING && revents != 0)
        discard_input(c, now_ms);
    else if (revents != 0 && wants_input(c))
        (void)client_rx_read(c, now_ms);
    want_ping(c, now_ms);
    if ((!c->blocked || (revents & POLLOUT)) && c->io_error == 0)
        client_tx_write(c, now_ms);
}

void client_pause(struct client *c, bool paused, uint64_t now_ms)
{
    if (c->paused && !paused)
        count_from_now(c, now_ms);
    c->paused = paused;
}

/* ---- the end ---- */

void client_disconnect(struct client *c, uint64_t now_ms)
{
    if (c->state != CLIENT_UP && c->state != CLIENT_GREETING) {
        drop_connection(c);
        c->state = CLIENT_CLOSING;
        c->step_deadline_ms = 0;
        return;
    }
    /* Taken from here on, it would be acknowledged behind DISCONNECT ([MQTT-3.14.4-2]). */
    c->taken_len = 0;
    client_tx_goodbye(c);
    c->state = CLIENT_CLOSING;
    c->step_deadline_ms = now_ms + CLIENT_LINGER_MS;
    client_tx_write(c, now_ms);
}

void client_abort(struct client *c)
{
    drop_connection(c);
}
