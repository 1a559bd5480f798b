/* session.c - see session.h. */
#include "session.h"

#include "session_say.h"

#include <string.h>

#define ENTRY_TEXT(name, value, text) \
    case name: \
        return text;

const char *session_err_text(int err)
{
    switch ((enum session_err)err) {
        SESSION_ERRORS(ENTRY_TEXT)
    }
    return "no error";
}

static bool has_sts(const struct session *s)
{
    return s->use.conf->mode != STS_NOSEC;
}

static uint64_t timeout_ms(const struct session *s)
{
    return (uint64_t)s->use.conf->timeout_s * 1000;
}

static struct bytes pubtop(const struct session *s)
{
    return bytes_of(s->use.conf->pubtop.text);
}

/* ---- the end ---- */

/* Begins to close, for good. What comes of it is SESSION_EV_OVER. */
static void finish(struct session *s, enum session_end end, uint64_t now_ms)
{
    if (s->end != SESSION_END_NONE)
        return;
    s->end = end;
    s->ready = false;
    sts_wipe(&s->sts);
    client_disconnect(&s->client, now_ms);
}

static enum session_event over(struct session *s)
{
    s->running = false;
    s->ready = false;
    sts_wipe(&s->sts);
    return SESSION_EV_OVER;
}

static enum session_event failed(struct session *s, const struct client_failure *failure)
{
    if (s->end == SESSION_END_NONE) {
        s->end = SESSION_END_CLIENT;
        s->failure = *failure;
        session_say_failure(s->use.log, s->use.conf, failure);
    }
    return over(s);
}

/* ---- STS ---- */

/* Moves what STS has to send into the connection. */
static void pump_sts(struct session *s, uint64_t now_ms)
{
    uint8_t bytes[STS_CONTROL_MAX_BYTES];
    const uint8_t qos = s->use.conf->qos;

    while (s->end == SESSION_END_NONE &&
           client_room(&s->client, pubtop(s).len, sizeof bytes, qos)) {
        struct wr w = wr_over(bytes, sizeof bytes);
        struct wr payload;
        const int len = sts_pull(&s->sts, &w, now_ms);
        if (len < 0)
            finish(s, SESSION_END_CRYPTO, now_ms);
        if (len <= 0)
            return;
        if (client_publish(&s->client, &payload, pubtop(s), (size_t)len, qos, false, now_ms) < 0)
            return;
        wr_put(&payload, bytes, (size_t)len);
        client_commit(&s->client);
    }
}

static void begin_sts(struct session *s, uint64_t now_ms)
{
    if (s->sts.step != STS_STEP_IDLE || s->stopping)
        return;
    if (sts_start(&s->sts, now_ms) < 0) {
        finish(s, SESSION_END_CRYPTO, now_ms);
        return;
    }
    if (s->use.conf->mode == STS_SLAVE) {
        log_info(s->use.log, "waiting for a master");
        if (!s->use.patient_slave)
            s->slave_until_ms = now_ms + timeout_ms(s);
    }
}

static enum session_event sts_killed(struct session *s, uint64_t now_ms)
{
    s->ready = false;
    log_info(s->use.log, "the %s ended the session",
             s->use.conf->mode == STS_SLAVE ? "master" : "slave");
    if (s->use.conf->mode == STS_MASTER || s->stopping)
        finish(s, SESSION_END_KILLED, now_ms);
    return SESSION_EV_KILLED;
}

static enum session_event sts_timed_out(struct session *s, uint64_t now_ms)
{
    s->ready = false;
    if (s->use.conf->mode == STS_MASTER) {
        log_error(s->use.log, "no slave answered within %u s", s->use.conf->timeout_s);
        finish(s, SESSION_END_HANDSHAKE, now_ms);
    } else {
        log_warn(s->use.log, "the master did not finish its handshake within %u s",
                 s->use.conf->timeout_s);
    }
    return SESSION_EV_NONE;
}

static enum session_event on_sts_event(struct session *s, enum sts_event event, uint64_t now_ms)
{
    switch (event) {
    case STS_EV_NONE:
        return SESSION_EV_NONE;
    case STS_EV_STARTED:
        log_info(s->use.log, "a master began a handshake");
        return SESSION_EV_NONE;
    case STS_EV_ESTABLISHED:
        s->slave_until_ms = UINT64_MAX;
        log_info(s->use.log, "session established");
        return SESSION_EV_NONE;
    case STS_EV_TEXT:
        s->received++;
        return SESSION_EV_MESSAGE;
    case STS_EV_KILLED:
        return sts_killed(s, now_ms);
    case STS_EV_RESTARTED:
        s->ready = false;
        log_warn(s->use.log, "the master began anew: its last session did not end with KILL");
        return SESSION_EV_NONE;
    case STS_EV_DROPPED:
        log_debug(s->use.log, "dropped a payload that makes no sense here (%llu so far)",
                  (unsigned long long)s->sts.dropped);
        return SESSION_EV_NONE;
    case STS_EV_TIMEOUT:
        return sts_timed_out(s, now_ms);
    case STS_EV_FAILED:
        log_error(s->use.log, "%s", crypto_err_text(s->sts.crypto_err));
        finish(s, SESSION_END_CRYPTO, now_ms);
        return SESSION_EV_NONE;
    }
    return SESSION_EV_NONE;
}

/* A retained payload is one that somebody left behind, not one that the other end sent now. */
static enum session_event take_sts(struct session *s, const struct mqtt_publish *publish,
                                   struct session_message *message, uint64_t now_ms)
{
    enum session_event event = SESSION_EV_NONE;

    if (publish->retain)
        log_debug(s->use.log, "dropped a retained payload on %.*s", (int)publish->topic.len,
                  (const char *)publish->topic.p);
    else
        event = on_sts_event(s,
                             sts_take(&s->sts, &message->text,
                                      client_payload(&s->client, publish), publish->payload.len,
                                      now_ms),
                             now_ms);
    if (event != SESSION_EV_MESSAGE)
        client_taken(&s->client);
    return event;
}

/* ---- events of the connection ---- */

static void on_subscribed(struct session *s, uint64_t now_ms)
{
    for (size_t i = 0; i < s->use.conf->subtop_count; i++)
        log_info(s->use.log, "subscribed to %s", s->use.conf->subtop[i].text);
    if (has_sts(s))
        begin_sts(s, now_ms);
}

static enum session_event on_message(struct session *s, const struct mqtt_publish *publish,
                                     struct session_message *message, uint64_t now_ms)
{
    message->topic = publish->topic;
    if (has_sts(s))
        return take_sts(s, publish, message, now_ms);
    message->text = publish->payload;
    s->received++;
    return SESSION_EV_MESSAGE;
}

static void on_skipped(struct session *s, size_t size)
{
    s->skipped++;
    log_warn(s->use.log, "skipped a PUBLISH of %zu bytes: a packet may have %u", size,
             (unsigned)CLIENT_RX_BYTES);
}

static enum session_event on_client_event(struct session *s, const struct client_event *event,
                                          struct session_message *message, uint64_t now_ms)
{
    switch (event->type) {
    case CLIENT_EV_NONE:
        return SESSION_EV_NONE;
    case CLIENT_EV_CONNECTED:
        log_info(s->use.log, "connected to broker %s", s->use.conf->host.text);
        return SESSION_EV_NONE;
    case CLIENT_EV_SUBSCRIBED:
        on_subscribed(s, now_ms);
        return SESSION_EV_NONE;
    case CLIENT_EV_MESSAGE:
        return on_message(s, &event->u.message, message, now_ms);
    case CLIENT_EV_SKIPPED:
        on_skipped(s, event->u.size);
        return SESSION_EV_NONE;
    case CLIENT_EV_LOST:
        s->ready = false;
        session_say_lost(s->use.log, s->use.conf, &event->u.failure);
        return SESSION_EV_NONE;
    case CLIENT_EV_FAILED:
        return failed(s, &event->u.failure);
    case CLIENT_EV_CLOSED:
        return over(s);
    }
    return SESSION_EV_NONE;
}

/* ---- time ---- */

static void check_stopping(struct session *s, uint64_t now_ms)
{
    if (!s->stopping || s->end != SESSION_END_NONE)
        return;
    if (s->sts.outbox_len == 0 && session_settled(s))
        finish(s, SESSION_END_STOPPED, now_ms);
    else if (now_ms >= s->stop_until_ms)
        finish(s, SESSION_END_UNSETTLED, now_ms);
}

/* What is due, once the connection has nothing more to tell. */
static enum session_event settle_down(struct session *s, uint64_t now_ms)
{
    enum session_event event = SESSION_EV_NONE;

    if (has_sts(s)) {
        if (now_ms >= sts_deadline(&s->sts))
            event = on_sts_event(s, sts_tick(&s->sts, now_ms), now_ms);
        pump_sts(s, now_ms);
        if (now_ms >= s->slave_until_ms && s->end == SESSION_END_NONE) {
            log_error(s->use.log, "no master came within %u s", s->use.conf->timeout_s);
            finish(s, SESSION_END_HANDSHAKE, now_ms);
        }
    }
    check_stopping(s, now_ms);
    if (event == SESSION_EV_NONE && !s->ready && session_ready(s, now_ms)) {
        s->ready = true;
        event = SESSION_EV_READY;
    }
    return event;
}

enum session_event session_next(struct session *s, struct session_message *message,
                                uint64_t now_ms)
{
    struct client_event client_event;
    enum session_event event;

    while (s->running) {
        client_next(&s->client, &client_event, now_ms);
        event = on_client_event(s, &client_event, message, now_ms);
        if (event != SESSION_EV_NONE)
            return event;
        if (client_event.type == CLIENT_EV_NONE)
            return settle_down(s, now_ms);
    }
    return SESSION_EV_NONE;
}

/* ---- start, polling ---- */

void session_init(struct session *s, const struct session_use *use)
{
    const struct conf *conf = use->conf;

    s->use = *use;
    s->running = s->stopping = s->ready = false;
    s->end = SESSION_END_NONE;
    s->failure = (struct client_failure){0};
    s->slave_until_ms = UINT64_MAX;
    s->sent = s->received = s->skipped = 0;
    sts_init(&s->sts, conf->mode, conf->cipher, pubtop(s).len, timeout_ms(s));
}

int session_start(struct session *s, uint64_t now_ms)
{
    const struct conf *conf = s->use.conf;
    const struct client_use use = {
        .conf = conf,
        .subscribe = s->use.receive || has_sts(s),
        .early = s->use.early && !has_sts(s),
        .give_up_ms = s->use.give_up_ms,
    };

    if (client_init(&s->client, &use) < 0) {
        log_error(s->use.log, "%s", crypto_err_text(CRYPTO_ERR_RANDOM));
        return CLIENT_ERR_SYSTEM;
    }
    if (has_sts(s))
        session_warn_of_sts1(s->use.log);
    log_debug(s->use.log, "connecting to %s port %u as %s", conf->host.text, conf->port,
              s->client.client_id);
    s->running = true;
    client_start(&s->client, now_ms);
    return 0;
}

void session_poll(const struct session *s, struct pollfd *fd)
{
    fd->fd = s->running ? client_fd(&s->client) : -1;
    fd->events = client_events(&s->client);
    fd->revents = 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t session_deadline(const struct session *s)
{
    uint64_t due = UINT64_MAX;

    if (!s->running)
        return due;
    due = client_deadline(&s->client);
    if (s->end != SESSION_END_NONE || s->client.paused)
        return due;
    if (has_sts(s))
        due = earlier(due, sts_deadline(&s->sts));
    if (s->stopping)
        due = earlier(due, s->stop_until_ms);
    return earlier(due, s->slave_until_ms);
}

void session_io(struct session *s, short revents, uint64_t now_ms)
{
    if (s->running)
        client_io(&s->client, revents, now_ms);
}

/* ---- messages ---- */

void session_taken(struct session *s)
{
    client_taken(&s->client);
}

void session_release(struct session *s)
{
    client_release(&s->client);
}

void session_pause(struct session *s, bool paused, uint64_t now_ms)
{
    client_pause(&s->client, paused, now_ms);
}

bool session_ready(const struct session *s, uint64_t now_ms)
{
    if (!s->running || s->stopping || s->end != SESSION_END_NONE)
        return false;
    if (has_sts(s))
        return sts_ready(&s->sts, now_ms);
    return s->client.use.early || (s->client.state == CLIENT_UP &&
                                   (s->client.subscribe_id == 0 || !s->client.use.subscribe));
}

size_t session_text_max(const struct session *s)
{
    return has_sts(s) ? sts_text_max(&s->sts) : MESSAGE_MAX_BYTES;
}

int session_check(const struct session *s, struct bytes text)
{
    if (text.len > session_text_max(s))
        return SESSION_ERR_LONG;
    /* STS/1 fills up with zero bytes: a text ends at the first. */
    if (has_sts(s) && text.len > 0 && memchr(text.p, 0, text.len))
        return SESSION_ERR_NUL;
    return 0;
}

static int session_err_of(int sts_err)
{
    switch ((enum sts_err)sts_err) {
    case STS_ERR_STATE:
        return SESSION_ERR_NOT_READY;
    case STS_ERR_LONG:
        return SESSION_ERR_LONG;
    case STS_ERR_NUL:
        return SESSION_ERR_NUL;
    case STS_ERR_ROOM:
        return SESSION_ERR_FULL;
    case STS_ERR_CRYPTO:
        return SESSION_ERR_CRYPTO;
    }
    return 0;
}

static int put_text(struct session *s, struct wr *payload, struct bytes text, uint64_t now_ms)
{
    if (has_sts(s))
        return session_err_of(sts_seal(&s->sts, payload, text, now_ms));
    wr_put(payload, text.p, text.len);
    return 0;
}

int session_send(struct session *s, struct bytes text, uint64_t now_ms)
{
    const struct conf *conf = s->use.conf;
    struct wr payload;
    size_t size = text.len;

    if (!session_ready(s, now_ms))
        return SESSION_ERR_NOT_READY;
    int err = session_check(s, text);
    if (err < 0)
        return err;
    if (has_sts(s))
        size = sts_sealed_size(&s->sts, text.len);
    if (client_publish(&s->client, &payload, pubtop(s), size, conf->qos, conf->retain, now_ms) < 0)
        return SESSION_ERR_FULL;
    err = put_text(s, &payload, text, now_ms);
    if (err < 0) {
        client_abandon(&s->client);
        return err;
    }
    client_commit(&s->client);
    s->sent++;
    return 0;
}

bool session_settled(struct session *s)
{
    client_confirm(&s->client);
    return client_settled(&s->client);
}

void session_stop(struct session *s, uint64_t now_ms)
{
    if (!s->running || s->stopping)
        return;
    s->stopping = true;
    s->ready = false;
    s->slave_until_ms = UINT64_MAX;
    s->stop_until_ms = s->client.state == CLIENT_UP ? now_ms + timeout_ms(s) : now_ms;
    if (has_sts(s)) {
        sts_stop(&s->sts);
        pump_sts(s, now_ms);
    }
    /* Nothing may come any more that would make session_next look. */
    check_stopping(s, now_ms);
}

const char *session_state_text(const struct session *s)
{
    if (!s->running)
        return "stopped";
    if (s->stopping || s->end != SESSION_END_NONE)
        return "stopping";
    switch (s->client.state) {
    case CLIENT_IDLE:
    case CLIENT_RESOLVING:
    case CLIENT_CONNECTING:
    case CLIENT_GREETING:
        return "connecting";
    case CLIENT_WAITING:
        return "waiting to reconnect";
    case CLIENT_CLOSING:
        return "stopping";
    case CLIENT_UP:
        break;
    }
    if (!has_sts(s))
        return "connected";
    if (sts_established(&s->sts))
        return "established";
    return s->sts.step == STS_STEP_WAIT_INITREQ ? "waiting for a master" : "handshake";
}
