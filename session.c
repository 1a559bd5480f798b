/* session.c - see session.h. */
#include "session_private.h"

#include <stddef.h>
#include <string.h>
#include <sysexits.h>

#include "deadline.h"
#include "fmt.h"
#include "session_say.h"
#include "words.h"

const char *session_err_text(int err)
{
    return words_of_err(SESSION_ERRORS(WORDS_ENTRY) "\0no error", err);
}

bool session_has_sts(const struct session *s)
{
    return s->use.conf->mode == STS_MASTER || s->use.conf->mode == STS_SLAVE;
}

bool session_has_receipts(const struct session *s)
{
    return session_has_sts(s) && s->use.conf->cipher == STS_CHACHAPOLY;
}

static bool is_sts1(const struct session *s)
{
    return session_has_sts(s) && s->use.conf->cipher != STS_CHACHAPOLY;
}

uint64_t session_timeout_ms(const struct session *s)
{
    return (uint64_t)s->use.conf->timeout_s * 1000;
}

struct bytes session_pubtop(const struct session *s)
{
    return bytes_of(s->use.conf->pubtop.text);
}

/* The first of its kind is told, and then when the count has doubled. */
void session_count_drop(struct session *s, const char *why)
{
    s->dropped++;
    if ((s->dropped & (s->dropped - 1)) == 0)
        log_debug(s->use.log, "dropped a payload: %s (%llu so far)", why,
                  (unsigned long long)s->dropped);
}

bool session_tells(struct session *s, enum session_topic topic, uint64_t now_ms)
{
    struct session_repeat *repeat = &s->repeats[topic];

    if (now_ms - repeat->last_ms >= LOG_QUIET_MS)
        repeat->count = 0;
    repeat->last_ms = now_ms;
    repeat->count++;
    if (repeat->count <= LOG_REPEATS_MAX)
        return true;
    if ((repeat->count & (repeat->count - 1)) != 0)
        return false;
    s->use.log->times = repeat->count;
    return true;
}

/* ---- the end ---- */

void session_finish(struct session *s, enum session_end end, uint64_t now_ms)
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

/* ---- events of the connection ---- */

static void on_subscribed(struct session *s, uint64_t now_ms)
{
    const bool told = session_tells(s, SESSION_SAY_SUBSCRIBED, now_ms);

    for (size_t i = 0; told && i < s->use.conf->subtop_count; i++)
        log_info(s->use.log, "subscribed to %s", s->use.conf->subtop[i].text);
    if (session_has_sts(s))
        session_sts_begin(s, now_ms);
}

static enum session_event on_message(struct session *s, const struct mqtt_publish *publish,
                                     struct session_message *message, uint64_t now_ms)
{
    *message = (struct session_message){.topic = publish->topic};
    if (session_has_sts(s))
        return session_sts_take(s, publish, message, now_ms);
    if (s->use.conf->mode == STS_COLLECTOR)
        return session_push_take(s, publish, message);
    message->text = publish->payload;
    s->received++;
    return SESSION_EV_MESSAGE;
}

static void on_skipped(struct session *s, size_t size, uint64_t now_ms)
{
    s->skipped++;
    if (session_tells(s, SESSION_SAY_SKIPPED, now_ms))
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
        if (session_tells(s, SESSION_SAY_CONNECTED, now_ms))
            log_info(s->use.log, "connected to broker %s", s->use.conf->host.text);
        return SESSION_EV_NONE;
    case CLIENT_EV_SUBSCRIBED:
        on_subscribed(s, now_ms);
        return SESSION_EV_NONE;
    case CLIENT_EV_MESSAGE:
        return on_message(s, &event->u.message, message, now_ms);
    case CLIENT_EV_SKIPPED:
        on_skipped(s, event->u.size, now_ms);
        return SESSION_EV_NONE;
    case CLIENT_EV_LOST:
        s->ready = false;
        if (session_tells(s, SESSION_SAY_CUT_OFF, now_ms))
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
    if ((!session_has_sts(s) || !sts_open(&s->sts)) && session_settled(s))
        session_finish(s, session_sts_result(s), now_ms);
    else if (now_ms >= s->stop_until_ms)
        session_finish(s, SESSION_END_UNSETTLED, now_ms);
}

/* What is due, once the connection has nothing more to tell. */
static enum session_event settle_down(struct session *s, uint64_t now_ms)
{
    enum session_event event = SESSION_EV_NONE;

    s->look_again = false;
    if (session_has_sts(s))
        event = session_sts_work(s, now_ms);
    check_stopping(s, now_ms);
    if (event == SESSION_EV_NONE && !s->ready && session_ready(s, now_ms)) {
        s->ready = true;
        event = SESSION_EV_READY;
    }
    return event;
}

enum session_event session_next(struct session *s, struct session_message *message, uint64_t now_ms)
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
    memset(s, 0, offsetof(struct session, sts));
    s->use = *use;
    s->slave_until_ms = UINT64_MAX;
    if (session_has_sts(s))
        session_sts_init(s);
}

/* A collector has to come back under the name that its messages wait for. It is made of the public
 * key, which tells nothing that its peers' files do not. */
static void derive_client_id(const struct session *s, char *id, size_t id_size)
{
    const struct bytes parts[] = {bytes_of("sts client id"), {s->use.keyring->own.public_key, 32}};
    struct wr w = wr_over((uint8_t *)id, id_size);
    uint8_t digest[32];

    crypto_sha256(digest, parts, 2);
    fmt(&w, "sts-");
    for (int i = 0; i < 8; i++)
        fmt(&w, "%02x", digest[i]);
    wr_u8(&w, 0);
}

int session_start(struct session *s, uint64_t now_ms)
{
    const struct conf *conf = s->use.conf;
    char derived_id[4 + 2 * 8 + 1] = "";
    if (conf->mode == STS_COLLECTOR)
        derive_client_id(s, derived_id, sizeof derived_id);
    const struct client_use use = {
        .conf = conf,
        .client_id = conf->mode == STS_COLLECTOR ? derived_id : NULL,
        .subscribe = s->use.receive || session_has_sts(s),
        .quick = session_has_sts(s),
        .single = s->use.early && !s->use.many && !session_has_sts(s) &&
                  !(conf->spool.set && spool_in_use(&s->use.keyring->spool)),
        .patient = s->use.patient,
        .early = s->use.early && !session_has_sts(s),
        .forget = conf->qos == 2 && !conf->clean_session && (s->use.early || session_has_sts(s)),
        .give_up_ms = s->use.give_up_ms,
    };

    if (client_init(&s->client, &use) < 0) {
        log_error(s->use.log, "%s", crypto_err_text(CRYPTO_ERR_RANDOM));
        return CLIENT_ERR_SYSTEM;
    }
    if (is_sts1(s))
        session_warn_of_sts1(s->use.log);
    log_debug(s->use.log, "connecting to %s port %u as %s", conf->host.text, conf->port,
              s->client.client_id);
    s->running = true;
    client_start(&s->client, now_ms);
    return 0;
}

void session_lose_patience(struct session *s)
{
    s->use.patient = s->client.use.patient = false;
    s->use.give_up_ms = s->client.use.give_up_ms = s->use.many ? session_timeout_ms(s) : 0;
}

void session_poll(const struct session *s, struct pollfd *fd)
{
    fd->fd = s->running ? client_fd(&s->client) : -1;
    fd->events = client_events(&s->client);
    fd->revents = 0;
}

uint64_t session_deadline(const struct session *s)
{
    uint64_t due = UINT64_MAX;

    if (!s->running)
        return due;
    due = client_deadline(&s->client);
    if (s->end != SESSION_END_NONE || s->client.paused)
        return due;
    /* A KILL that was the last word may be on its way: nothing that comes in will wake us. */
    if (s->look_again)
        return 0;
    /* What is due to STS waits for the connection: session_sts_work. */
    if (session_has_sts(s) && s->client.state == CLIENT_UP)
        due = deadline_earlier(due, sts_deadline(&s->sts));
    if (s->stopping)
        due = deadline_earlier(due, s->stop_until_ms);
    return deadline_earlier(due, s->slave_until_ms);
}

void session_io(struct session *s, short revents, uint64_t now_ms)
{
    if (s->running)
        client_io(&s->client, revents, now_ms);
}

/* ---- messages ---- */

void session_taken(struct session *s)
{
    session_push_taken(s);
    s->unwritten++;
    client_taken(&s->client);
}

void session_refuse(struct session *s)
{
    s->push.open = false;
    client_taken(&s->client);
}

void session_release(struct session *s, uint64_t now_ms)
{
    if (s->use.conf->mode == STS_COLLECTOR) {
        s->store_status = store_sync(&s->use.keyring->store);
        if (s->store_status != EX_OK) {
            session_finish(s, SESSION_END_STORE, now_ms);
            return;
        }
    } else if (session_has_sts(s) && s->unwritten > 0) {
        sts_written(&s->sts, s->unwritten);
        session_sts_pump(s, now_ms);
        s->look_again = true;
    }
    s->unwritten = 0;
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
    if (session_has_sts(s))
        return sts_ready(&s->sts, now_ms);
    return s->client.use.early || (s->client.state == CLIENT_UP &&
                                   (s->client.subscribe_id == 0 || !s->client.use.subscribe));
}

size_t session_text_max(const struct session *s)
{
    return session_has_sts(s) ? sts_text_max(&s->sts) : MESSAGE_MAX_BYTES;
}

int session_check(const struct session *s, struct bytes text)
{
    if (text.len > session_text_max(s))
        return SESSION_ERR_LONG;
    /* STS/1 fills up with zero bytes: a text ends at the first. */
    if (is_sts1(s) && text.len > 0 && memchr(text.p, 0, text.len))
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
    case STS_ERR_ID:
        return SESSION_ERR_ID;
    case STS_ERR_CRYPTO:
        return SESSION_ERR_CRYPTO;
    }
    return 0;
}

static int put_text(struct session *s, struct wr *payload, struct bytes text, uint64_t now_ms)
{
    if (session_has_sts(s))
        return session_err_of(sts_seal(&s->sts, payload, text, now_ms));
    if (s->use.conf->mode == STS_SENDER)
        return session_seal(s, payload, text);
    wr_put(payload, text.p, text.len);
    return 0;
}

static size_t payload_size(const struct session *s, size_t text_len)
{
    if (session_has_sts(s))
        return sts_sealed_size(&s->sts, text_len);
    return s->use.conf->mode == STS_SENDER ? FIRST_BYTES + text_len : text_len;
}

int session_publish(struct session *s, struct wr *payload, struct bytes topic, size_t payload_len,
                    uint64_t now_ms)
{
    const struct conf *conf = s->use.conf;

    return client_publish(&s->client, payload, topic, payload_len, conf->qos, conf->retain, now_ms);
}

int session_send(struct session *s, struct bytes text, uint64_t now_ms)
{
    struct wr payload;

    if (!session_ready(s, now_ms))
        return SESSION_ERR_NOT_READY;
    int err = session_check(s, text);
    if (err < 0)
        return err;
    if (session_publish(s, &payload, session_pubtop(s), payload_size(s, text.len), now_ms) < 0)
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

int session_send_sealed(struct session *s, struct bytes topic, struct bytes sealed, uint64_t now_ms)
{
    struct wr payload;

    if (!session_ready(s, now_ms))
        return SESSION_ERR_NOT_READY;
    if (session_publish(s, &payload, topic, sealed.len, now_ms) < 0)
        return SESSION_ERR_FULL;
    wr_put(&payload, sealed.p, sealed.len);
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
    s->look_again = true;
    s->ready = false;
    s->slave_until_ms = UINT64_MAX;
    s->stop_until_ms = s->client.state == CLIENT_UP ? now_ms + session_timeout_ms(s) : now_ms;
    if (session_has_sts(s)) {
        sts_stop(&s->sts, now_ms);
        session_sts_pump(s, now_ms);
    }
    /* Nothing may come any more that would make session_next look. */
    check_stopping(s, now_ms);
}

void session_stop_at_once(struct session *s, uint64_t now_ms)
{
    session_stop(s, now_ms);
    s->stop_until_ms = now_ms;
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
    if (!session_has_sts(s))
        return "connected";
    switch (sts_stage(&s->sts)) {
    case STS_STAGE_WAITING:
        return "waiting for a master";
    case STS_STAGE_ESTABLISHED:
        return "established";
    case STS_STAGE_CLOSING:
        return "stopping";
    case STS_STAGE_IDLE:
    case STS_STAGE_HANDSHAKE:
        break;
    }
    return "handshake";
}
