/* session_sts.c - see session_private.h. */
#include "session_private.h"

#include "clock.h"
#include "session_say.h"

void session_sts_init(struct session *s)
{
    const struct conf *conf = s->use.conf;
    const struct sts_setup setup = {
        .mode = conf->mode,
        .cipher = conf->cipher,
        .pubtop = session_pubtop(s),
        .timeout_ms = session_timeout_ms(s),
        .keepalive_ms = (uint64_t)conf->keepalive_s * 1000,
        .own = s->use.keyring ? &s->use.keyring->own : NULL,
        .peers = s->use.keyring ? &s->use.keyring->peers : NULL,
    };

    sts_init(&s->sts, &setup);
}

/* One payload of the conversation, into the connection. False: there is none now. */
static bool pump_one(struct session *s, uint64_t now_ms)
{
    const struct bytes topic = session_pubtop(s);
    uint8_t bytes[STS_CONTROL_MAX_BYTES];
    struct wr w = wr_over(bytes, sizeof bytes), payload;
    uint64_t id = 0;

    if (!client_room(&s->client, topic.len, sizeof bytes, s->use.conf->qos))
        return false;
    if (sts_needs_id(&s->sts) && !session_draw_id(s, &id)) {
        session_finish(s, SESSION_END_STORE, now_ms);
        return false;
    }
    const int len = sts_pull(&s->sts, &w, id, now_ms);
    if (len < 0)
        session_finish(s, SESSION_END_CRYPTO, now_ms);
    if (len <= 0 || session_publish(s, &payload, topic, (size_t)len, now_ms) < 0)
        return false;
    wr_put(&payload, bytes, (size_t)len);
    client_commit(&s->client);
    return true;
}

void session_sts_pump(struct session *s, uint64_t now_ms)
{
    while (s->end == SESSION_END_NONE && pump_one(s, now_ms))
        ;
}

void session_sts_begin(struct session *s, uint64_t now_ms)
{
    if (sts_stage(&s->sts) != STS_STAGE_IDLE || s->stopping)
        return;
    if (sts_start(&s->sts, now_ms) < 0) {
        session_finish(s, SESSION_END_CRYPTO, now_ms);
        return;
    }
    if (s->use.conf->mode == STS_SLAVE) {
        log_info(s->use.log, "waiting for a master");
        if (!s->use.patient_slave)
            s->slave_until_ms = now_ms + session_timeout_ms(s);
    }
}

/* Whether the other end has all that was sent in the session of now, or the last one. */
static bool receipted(const struct session *s)
{
    return s->sent == s->sent_before || sts_delivered(&s->sts);
}

enum session_end session_sts_result(const struct session *s)
{
    if (session_has_receipts(s) && (s->shortfall || !receipted(s)))
        return SESSION_END_UNRECEIPTED;
    return SESSION_END_STOPPED;
}

/* ---- events ---- */

static const char *peer_name(const struct session *s)
{
    const struct peer *peer = sts_peer(&s->sts);

    return peer ? peer->name : NULL;
}

static void established(struct session *s, uint64_t now_ms)
{
    const char *name = peer_name(s);

    s->slave_until_ms = UINT64_MAX;
    s->killed = false;
    if (session_tells(s, SESSION_SAY_ESTABLISHED, now_ms))
        log_info(s->use.log, "session established%s%s", name ? " with " : "", name ? name : "");
}

static enum session_event killed(struct session *s, uint64_t now_ms)
{
    s->ready = false;
    if (!s->stopping && !s->killed && session_tells(s, SESSION_SAY_KILLED, now_ms))
        log_info(s->use.log, "the %s ended the session",
                 s->use.conf->mode == STS_SLAVE ? "master" : "slave");
    s->killed = true;
    return SESSION_EV_KILLED;
}

static enum session_event timed_out(struct session *s, uint64_t now_ms)
{
    const unsigned seconds = s->use.conf->timeout_s;

    s->ready = false;
    if (s->stopping || s->killed) {
        log_warn(s->use.log, "the other end did not answer KILL within %u s", seconds);
        if (s->stopping)
            session_finish(s, session_sts_result(s), now_ms);
    } else if (s->use.conf->mode == STS_MASTER) {
        log_error(s->use.log, "no slave answered within %u s", seconds);
        session_finish(s, SESSION_END_HANDSHAKE, now_ms);
    } else if (session_tells(s, SESSION_SAY_TIMEOUT, now_ms)) {
        log_warn(s->use.log, "the master did not finish its handshake within %u s", seconds);
    }
    return SESSION_EV_NONE;
}

static void silent(struct session *s)
{
    s->ready = false;
    if (s->use.conf->mode == STS_MASTER)
        log_warn(s->use.log, "the slave does not answer any more: a new handshake begins");
    else
        log_warn(s->use.log, "nothing came from the master for long: the session is over");
}

static enum session_event on_event(struct session *s, enum sts_event event, uint64_t now_ms)
{
    switch (event) {
    case STS_EV_NONE:
    case STS_EV_DROPPED:
        return SESSION_EV_NONE;
    case STS_EV_STARTED:
        if (session_tells(s, SESSION_SAY_STARTED, now_ms))
            log_info(s->use.log, "a master began a handshake");
        return SESSION_EV_NONE;
    case STS_EV_ESTABLISHED:
        established(s, now_ms);
        return SESSION_EV_NONE;
    case STS_EV_TEXT:
        s->received++;
        return SESSION_EV_MESSAGE;
    case STS_EV_KILLED:
        return killed(s, now_ms);
    case STS_EV_RESTARTED:
        s->ready = false;
        if (session_tells(s, SESSION_SAY_RESTARTED, now_ms))
            log_warn(s->use.log, "the master began anew: its last session did not end with KILL");
        return SESSION_EV_NONE;
    case STS_EV_SILENT:
        silent(s);
        return SESSION_EV_NONE;
    case STS_EV_TIMEOUT:
        return timed_out(s, now_ms);
    case STS_EV_FAILED:
        log_error(s->use.log, "%s", crypto_err_text(s->sts.crypto_err));
        session_finish(s, SESSION_END_CRYPTO, now_ms);
        return SESSION_EV_NONE;
    }
    return SESSION_EV_NONE;
}

/* What a payload brought beside its event. */
static void on_news(struct session *s, const struct sts_news *news, uint64_t now_ms)
{
    if (news->event == STS_EV_DROPPED)
        session_count_drop(s, sts_drop_text(news->why));
    if (news->replaced && session_tells(s, SESSION_SAY_REPLACED, now_ms))
        log_warn(s->use.log, "a new session takes the place of the one that ran");
    if (news->began && news->event != STS_EV_ESTABLISHED)
        established(s, now_ms);
    s->lost_untold += news->lost;
    if (news->lost > 0 && session_tells(s, SESSION_SAY_LOST, now_ms)) {
        log_warn(s->use.log, "%llu messages of the other end are lost",
                 (unsigned long long)s->lost_untold);
        s->lost_untold = 0;
    }
}

/* A retained payload is one that somebody left behind, not one that the other end sent now. */
enum session_event session_sts_take(struct session *s, const struct mqtt_publish *publish,
                                    struct session_message *message, uint64_t now_ms)
{
    enum session_event event = SESSION_EV_NONE;
    struct sts_news news;

    if (publish->retain) {
        session_count_drop(s, "a retained payload");
    } else {
        const bool whole = receipted(s); /* asked before a new session forgets it */

        const uint64_t from_us = clock_monotonic_us();

        sts_take(&s->sts, &news, publish->topic, client_payload(&s->client, publish),
                 publish->payload.len, now_ms);
        sts_spent(&s->sts, clock_monotonic_us() - from_us);
        if (news.began) {
            s->shortfall = s->shortfall || !whole;
            s->sent_before = s->sent;
        }
        on_news(s, &news, now_ms);
        message->text = news.text;
        message->peer = peer_name(s);
        message->has_number = sts_counter(&s->sts, &message->number);
        event = on_event(s, news.event, now_ms);
    }
    if (event != SESSION_EV_MESSAGE)
        client_taken(&s->client);
    return event;
}

/* After the other end's KILL and ours, a master is done; a slave waits for the next. */
static void check_killed(struct session *s, uint64_t now_ms)
{
    if (!s->killed || sts_open(&s->sts))
        return;
    s->killed = false;
    if (s->stopping)
        return;
    if (s->use.conf->mode == STS_MASTER)
        session_stop(s, now_ms);
    else if (session_tells(s, SESSION_SAY_WAITING, now_ms))
        log_info(s->use.log, "waiting for a master");
}

enum session_event session_sts_work(struct session *s, uint64_t now_ms)
{
    enum session_event event = SESSION_EV_NONE;

    /* Without a connection silence is the broker's, and nobody is to blame for it. */
    if (s->client.state == CLIENT_UP && now_ms >= sts_deadline(&s->sts))
        event = on_event(s, sts_tick(&s->sts, now_ms), now_ms);
    session_sts_pump(s, now_ms);
    check_killed(s, now_ms);
    if (now_ms >= s->slave_until_ms && s->end == SESSION_END_NONE) {
        log_error(s->use.log, "no master came within %u s", s->use.conf->timeout_s);
        session_finish(s, SESSION_END_HANDSHAKE, now_ms);
    }
    return event;
}
