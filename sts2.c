/* sts2.c - see sts2.h. */
#include "sts2.h"

#include <assert.h>

static_assert(STS2_INITREQ_BYTES == FIRST_BYTES, "INITREQ is a first message without data");
static_assert(STS2_INITACK_BYTES == 2 + NOISE_MESSAGE_2_BYTES, "INITACK is message 2");
static_assert(STS2_ENC_BYTES == LINK_BYTES, "an empty text");

#define HANDSHAKE_EVERY_US (1000 * STS2_HANDSHAKE_EVERY_MS)

/* ---- what a step holds ---- */

/* The one place where the step changes: each has the secrets it needs, and no others. */
static void go(struct sts2 *s, enum sts2_step step)
{
    s->step = step;
    s->quiet_ms = UINT64_MAX;
    s->rdyack_due = false;
    switch (step) {
    case STS2_IDLE:
        crypto_wipe(s->pending, sizeof s->pending);
        crypto_wipe(&s->link, sizeof s->link);
        crypto_wipe(&s->attempt, sizeof s->attempt);
        s->expires_ms = UINT64_MAX;
        break;
    case STS2_WAIT_INITREQ:
        crypto_wipe(&s->link, sizeof s->link);
        s->expires_ms = UINT64_MAX;
        break;
    case STS2_WAIT_INITACK:
        crypto_wipe(&s->link, sizeof s->link);
        crypto_wipe(&s->attempt, sizeof s->attempt);
        s->attempt.due = true;
        s->attempt.resend_ms = UINT64_MAX;
        s->attempt.wait_ms = STS2_INITREQ_RETRY_MS;
        break;
    case STS2_ESTABLISHED:
        crypto_wipe(&s->attempt, sizeof s->attempt);
        s->expires_ms = UINT64_MAX;
        break;
    case STS2_CLOSING:
        break;
    }
}

/* A session is over. A slave that was not told to stop waits for the next. */
static void go_over(struct sts2 *s)
{
    go(s, s->use.mode == STS_SLAVE && !s->stopping ? STS2_WAIT_INITREQ : STS2_IDLE);
}

static void go_closing(struct sts2 *s, uint64_t now_ms)
{
    if (s->step == STS2_ESTABLISHED) {
        go(s, STS2_CLOSING);
        s->expires_ms = now_ms + s->use.timeout_ms;
    }
}

static bool has_session(const struct sts2 *s)
{
    return s->step == STS2_ESTABLISHED || s->step == STS2_CLOSING;
}

/* ---- silence, point 5 ---- */

/* A message of the other end was taken. */
static void heard(struct sts2 *s, uint64_t now_ms)
{
    uint64_t wait_ms = s->use.keepalive_ms * (s->use.mode == STS_SLAVE ? STS2_SILENCE_MAX : 1);

    s->questions = 0;
    if (s->step == STS2_ESTABLISHED && wait_ms > 0)
        s->quiet_ms = now_ms + wait_ms;
}

static enum sts_event act_on_silence(struct sts2 *s, uint64_t now_ms)
{
    if (s->use.mode == STS_MASTER && s->questions < STS2_QUESTIONS_MAX) {
        s->questions++;
        s->rdyack_due = true;
        /* From now, not from when it was due: after a suspend to disk each question gets its
         * time. */
        s->quiet_ms = now_ms + s->use.keepalive_ms;
        return STS_EV_NONE;
    }
    if (s->use.mode == STS_MASTER)
        sts2_start(s, now_ms);
    else
        go(s, STS2_WAIT_INITREQ);
    return STS_EV_SILENT;
}

/* ---- KILL, point 6 ---- */

static bool kill_due(const struct sts2 *s)
{
    return s->step == STS2_CLOSING && tally_kill_due(&s->tally);
}

/* Ends the session when both ends know the same. */
static void settle(struct sts2 *s)
{
    if (s->step == STS2_CLOSING && tally_agrees(&s->tally))
        go_over(s);
}

bool sts2_delivered(const struct sts2 *s)
{
    return tally_delivered(&s->tally);
}

void sts2_written(struct sts2 *s, uint64_t count)
{
    tally_written(&s->tally, count);
}

/* ---- a session begins ---- */

static void begin(struct sts2 *s, struct sts_news *news, const struct link *link, uint64_t now_ms)
{
    news->began = true;
    news->replaced = has_session(s);
    tally_begin(&s->tally);
    s->link = *link;
    go(s, STS2_ESTABLISHED);
    heard(s, now_ms);
}

/* Handshakes read are limited in rate, point 9: each one takes its time from the future, and the
 * future is as long as a burst. */
static bool handshake_allowed(struct sts2 *s, uint64_t now_ms)
{
    uint64_t now_us = now_ms * 1000;
    uint64_t from_us = s->handshakes_us > now_us ? s->handshakes_us : now_us;

    if (from_us - now_us > (STS2_HANDSHAKES_BURST - 1) * HANDSHAKE_EVERY_US)
        return false;
    s->handshakes_us = from_us + HANDSHAKE_EVERY_US;
    s->junk_charged = true;
    return true;
}

void sts2_spent(struct sts2 *s, uint64_t spent_us)
{
    if (s->junk_charged && spent_us < HANDSHAKE_EVERY_US / STS2_JUNK_SHARE)
        s->handshakes_us -= HANDSHAKE_EVERY_US - spent_us * STS2_JUNK_SHARE;
    s->junk_charged = false;
}

/* ---- pending handshakes, point 3 ---- */

static void expire_pending(struct sts2 *s, uint64_t now_ms)
{
    for (size_t i = 0; i < STS2_PENDING_MAX; i++)
        if (s->pending[i].state != PENDING_NONE && s->pending[i].expires_ms <= now_ms)
            crypto_wipe(&s->pending[i], sizeof s->pending[i]);
}

/* Where a handshake of this peer goes: the place of the one it replaces, or a free one. */
static struct sts2_pending *pending_for(struct sts2 *s, const struct peer *peer)
{
    struct sts2_pending *free_one = NULL;

    for (size_t i = 0; i < STS2_PENDING_MAX; i++) {
        struct sts2_pending *p = &s->pending[i];

        if (p->state == PENDING_NONE)
            free_one = p;
        else if (p->link.peer == peer)
            return p;
    }
    return free_one;
}

/* The index of a handshake that waits for its INITACK; STS2_PENDING_MAX: there is none. */
static size_t pending_asked(const struct sts2 *s)
{
    size_t i = 0;

    while (i < STS2_PENDING_MAX && s->pending[i].state != PENDING_ASKED)
        i++;
    return i;
}

static enum sts_drop take_initreq(struct sts2 *s, struct sts_news *news, struct bytes topic,
                                  uint8_t *payload, size_t payload_len, uint64_t now_ms)
{
    struct first first;
    struct sts2_pending *p = NULL;
    enum sts_drop why = STS_DROP_RATE;

    if (s->step == STS2_IDLE || s->stopping)
        return STS_DROP_STATE;
    memset(&first, 0, sizeof first);
    if (handshake_allowed(s, now_ms))
        why = first_read(&first, STS_INITREQ, payload, payload_len, topic, s->use.own,
                         s->use.peers);
    if (why == STS_DROP_NONE) {
        p = pending_for(s, first.peer);
        if (first.id <= first.peer->session_id ||
            (p && p->state != PENDING_NONE && first.id <= p->link.id))
            why = STS_DROP_ID;
        else if (!p)
            why = STS_DROP_FULL;
    }
    if (why == STS_DROP_NONE) {
        crypto_wipe(p, sizeof *p);
        p->state = PENDING_ASKED;
        p->expires_ms = now_ms + s->use.timeout_ms;
        p->noise = first.noise;
        memcpy(p->ephemeral, first.ephemeral, 32);
        p->link.peer = first.peer;
        p->link.id = first.id;
        link_hash_topic(p->link.topic, topic);
        news->event = STS_EV_STARTED;
    }
    crypto_wipe(&first, sizeof first);
    return why;
}

static enum sts_drop take_initack(struct sts2 *s, struct sts_news *news, struct bytes topic,
                                  uint8_t *payload, uint64_t now_ms)
{
    struct sts2_attempt *a = &s->attempt;
    struct link link;

    if (!a->made)
        return STS_DROP_STATE; /* and in no step but WAIT_INITACK is one */
    if (!handshake_allowed(s, now_ms))
        return STS_DROP_RATE;
    if (noise_read_2(&a->noise, payload + 2, 0, s->use.own, a->ephemeral))
        return STS_DROP_TAG;
    memset(&link, 0, sizeof link);
    link.peer = &s->use.peers->list[0];
    link_hash_topic(link.topic, topic);
    noise_split(&a->noise, link.send_key, link.take_key);
    begin(s, news, &link, now_ms);
    crypto_wipe(&link, sizeof link);
    s->rdyack_due = true;
    news->event = STS_EV_ESTABLISHED;
    return STS_DROP_NONE;
}

/* ---- transport messages ---- */

/* Tries the pending handshakes: the first message that authenticates under the keys of one confirms
 * it, whatever its type, and ends the session that ran. Point 4. */
static enum sts_drop confirm(struct sts2 *s, struct sts_news *news, const uint8_t topic_hash[32],
                             uint8_t *payload, size_t payload_len, uint64_t now_ms)
{
    enum sts_drop why = STS_DROP_STATE;

    for (size_t i = 0; i < STS2_PENDING_MAX; i++) {
        struct sts2_pending *p = &s->pending[i];

        if (p->state != PENDING_ANSWERED)
            continue;
        why = link_open(&p->link, &news->lost, topic_hash, payload, payload_len);
        if (why == STS_DROP_NONE) {
            p->link.peer->session_id = p->link.id;
            begin(s, news, &p->link, now_ms);
            crypto_wipe(p, sizeof *p);
            return STS_DROP_NONE;
        }
    }
    return why;
}

/* A transport message is authentic: what it says. */
static void take_opened(struct sts2 *s, struct sts_news *news, enum sts_type type,
                        const uint8_t *text, size_t text_len, bool first_counter)
{
    struct rd r = rd_over(text, text_len);
    struct tally *t = &s->tally;

    if (type == STS_ENC) {
        t->taken++;
        news->text = (struct bytes){text, text_len};
        news->event = STS_EV_TEXT;
    } else if (type == STS_KILL) {
        t->peer_killed = true;
        t->peer_sent = rd_be64(&r);
        t->peer_received = rd_be64(&r);
        news->event = STS_EV_KILLED;
    } else {
        /* Counter 0 confirms, any other asks; and only a slave answers, so nothing can echo. */
        if (s->use.mode == STS_SLAVE && s->step == STS2_ESTABLISHED && !first_counter)
            s->rdyack_due = true;
        news->event = news->began ? STS_EV_ESTABLISHED : STS_EV_NONE;
    }
}

static enum sts_drop take_transport(struct sts2 *s, struct sts_news *news, enum sts_type type,
                                    struct bytes topic, uint8_t *payload, size_t payload_len,
                                    uint64_t now_ms)
{
    enum sts_drop why = STS_DROP_STATE, other;
    uint8_t topic_hash[32];

    link_hash_topic(topic_hash, topic);
    if (has_session(s))
        why = link_open(&s->link, &news->lost, topic_hash, payload, payload_len);
    if (why != STS_DROP_NONE) {
        other = confirm(s, news, topic_hash, payload, payload_len, now_ms);
        /* What was wrong with it in the running session says more. */
        if (other == STS_DROP_NONE || !has_session(s))
            why = other;
    }
    if (why != STS_DROP_NONE)
        return why;
    s->tally.lost += news->lost;
    heard(s, now_ms);
    take_opened(s, news, type, payload + LINK_HEAD_BYTES, payload_len - LINK_BYTES,
                s->link.take_next == 1);
    if (type == STS_KILL) {
        go_closing(s, now_ms);
        settle(s);
    }
    return STS_DROP_NONE;
}

/* ---- taking ---- */

/* Whether version, type and size are those of a message that the role takes. */
static bool form_ok(enum sts_mode mode, enum sts_type *type, const uint8_t *payload,
                    size_t payload_len)
{
    struct rd r = rd_over(payload, payload_len);
    uint8_t version = rd_u8(&r), wire_type = rd_u8(&r);

    if (r.bad || version != STS2_VERSION)
        return false;
    *type = (enum sts_type)wire_type;
    switch (wire_type) {
    case STS_INITREQ:
        return mode == STS_SLAVE && payload_len == STS2_INITREQ_BYTES;
    case STS_INITACK:
        return mode == STS_MASTER && payload_len == STS2_INITACK_BYTES;
    case STS_RDYACK:
        return payload_len == STS2_RDYACK_BYTES;
    case STS_ENC:
        return payload_len >= STS2_ENC_BYTES && payload_len - STS2_ENC_BYTES <= MESSAGE_MAX_BYTES;
    case STS_KILL:
        return payload_len == STS2_KILL_BYTES;
    default:
        return false; /* a byte of the wire, not an enum */
    }
}

/*             IDLE   WAIT_INITREQ    WAIT_INITACK    ESTABLISHED         CLOSING
 * INITREQ     -      pending         -               pending             pending (not stopping)
 * INITACK     -      -               -> ESTABLISHED  -                   -
 * RDYACK      -      pending keys:   -               slave answers       -
 * ENC         -      -> ESTABLISHED  -               text                text
 * KILL        -      -> CLOSING      -               -> CLOSING          receipt
 *
 * With the keys of a pending handshake, ESTABLISHED and CLOSING take what WAIT_INITREQ takes.
 * CLOSING ends when both ends know the same, in settle(). */
void sts2_take(struct sts2 *s, struct sts_news *news, struct bytes topic, uint8_t *payload,
               size_t payload_len, uint64_t now_ms)
{
    enum sts_drop why = STS_DROP_FORM;
    enum sts_type type;

    memset(news, 0, sizeof *news);
    s->junk_charged = false;
    expire_pending(s, now_ms);
    if (form_ok(s->use.mode, &type, payload, payload_len)) {
        if (type == STS_INITREQ)
            why = take_initreq(s, news, topic, payload, payload_len, now_ms);
        else if (type == STS_INITACK)
            why = take_initack(s, news, topic, payload, now_ms);
        else
            why = take_transport(s, news, type, topic, payload, payload_len, now_ms);
    }
    news->why = why;
    if (why != STS_DROP_NONE)
        news->event = STS_EV_DROPPED;
    else
        s->junk_charged = false;
}

/* ---- sending ---- */

bool sts2_ready(const struct sts2 *s)
{
    return s->step == STS2_ESTABLISHED && !s->rdyack_due && link_can_send(&s->link);
}

int sts2_seal(struct sts2 *s, struct wr *out, struct bytes text)
{
    int err;

    if (!sts2_ready(s))
        return STS_ERR_STATE;
    if (text.len > MESSAGE_MAX_BYTES)
        return STS_ERR_LONG;
    err = link_seal(&s->link, out, STS_ENC, text);
    if (err == 0)
        s->tally.sent++;
    return err;
}

static int pull_initreq(struct sts2 *s, struct wr *out, const struct sts2_fresh *fresh,
                        uint64_t now_ms)
{
    struct sts2_attempt *a = &s->attempt;
    int err = first_write(out, &a->noise, STS_INITREQ, s->use.own, &s->use.peers->list[0],
                          fresh->ephemeral, fresh->id, s->use.pubtop, (struct bytes){NULL, 0});

    if (err == STS_ERR_CRYPTO)
        go(s, STS2_IDLE);
    if (err)
        return err;
    memcpy(a->ephemeral, fresh->ephemeral, 32);
    a->due = false;
    a->made = true;
    a->resend_ms = now_ms + a->wait_ms;
    a->wait_ms *= 2;
    return 0;
}

static int pull_initack(struct sts2 *s, struct wr *out, const struct sts2_fresh *fresh,
                        uint64_t now_ms)
{
    struct sts2_pending *p = &s->pending[pending_asked(s)];
    struct wr message = *out;

    if (out->bad || wr_room(out) < STS2_INITACK_BYTES)
        return STS_ERR_ROOM;
    wr_u8(&message, STS2_VERSION);
    wr_u8(&message, STS_INITACK);
    if (noise_write_2(&p->noise, &message, fresh->ephemeral, p->ephemeral, p->link.peer->key,
                      (struct bytes){NULL, 0})) {
        crypto_wipe(p, sizeof *p);
        return STS_ERR_CRYPTO;
    }
    *out = message;
    noise_split(&p->noise, p->link.take_key, p->link.send_key);
    crypto_wipe(&p->noise, sizeof p->noise);
    p->state = PENDING_ANSWERED;
    p->expires_ms = now_ms + s->use.timeout_ms;
    return 0;
}

static int pull_kill(struct sts2 *s, struct wr *out)
{
    struct tally *t = &s->tally;
    uint8_t counts[8 + 8];
    struct wr w = wr_over(counts, sizeof counts);
    int err;

    wr_be64(&w, t->sent);
    wr_be64(&w, t->written);
    err = link_seal(&s->link, out, STS_KILL, (struct bytes){counts, sizeof counts});
    if (err)
        return err;
    t->kills++;
    t->said_received = t->written;
    settle(s);
    return 0;
}

static int pull_rdyack(struct sts2 *s, struct wr *out)
{
    int err = link_seal(&s->link, out, STS_RDYACK, (struct bytes){NULL, 0});

    if (err == 0)
        s->rdyack_due = false;
    return err;
}

bool sts2_due(const struct sts2 *s, enum sts_type *type)
{
    if (s->rdyack_due)
        *type = STS_RDYACK; /* before all else of its session: a master's first is counter 0 */
    else if (kill_due(s))
        *type = STS_KILL;
    else if (s->attempt.due)
        *type = STS_INITREQ;
    else if (pending_asked(s) < STS2_PENDING_MAX)
        *type = STS_INITACK;
    else
        return false;
    return true;
}

void sts2_ephemeral(const struct sts2 *s, uint8_t ephemeral[32], const uint8_t random[32],
                    uint64_t id)
{
    size_t asked = pending_asked(s);

    if (asked < STS2_PENDING_MAX)
        id = s->pending[asked].link.id;
    noise_ephemeral(ephemeral, s->use.own->private_key, random, id, s->use.pubtop);
}

int sts2_pull(struct sts2 *s, struct wr *out, const struct sts2_fresh *fresh, uint64_t now_ms)
{
    const uint8_t *from = out->p;
    enum sts_type type;
    int err;

    if (!sts2_due(s, &type))
        return 0;
    if (type == STS_INITREQ)
        err = pull_initreq(s, out, fresh, now_ms);
    else if (type == STS_INITACK)
        err = pull_initack(s, out, fresh, now_ms);
    else
        err = type == STS_KILL ? pull_kill(s, out) : pull_rdyack(s, out);
    return err ? err : (int)(out->p - from);
}

/* ---- begin, end, time ---- */

void sts2_init(struct sts2 *s, const struct sts_setup *setup)
{
    memset(s, 0, sizeof *s);
    s->use = *setup;
    go(s, STS2_IDLE);
}

void sts2_start(struct sts2 *s, uint64_t now_ms)
{
    s->stopping = false;
    go(s, STS2_IDLE);
    if (s->use.mode == STS_MASTER) {
        go(s, STS2_WAIT_INITACK);
        s->expires_ms = now_ms + s->use.timeout_ms;
    } else {
        go(s, STS2_WAIT_INITREQ);
    }
}

void sts2_stop(struct sts2 *s, uint64_t now_ms)
{
    s->stopping = true;
    crypto_wipe(s->pending, sizeof s->pending);
    if (has_session(s))
        go_closing(s, now_ms);
    else
        go(s, STS2_IDLE);
}

uint64_t sts2_deadline(const struct sts2 *s)
{
    uint64_t due = s->expires_ms < s->quiet_ms ? s->expires_ms : s->quiet_ms;

    if (s->step == STS2_WAIT_INITACK && s->attempt.resend_ms < due)
        due = s->attempt.resend_ms;
    for (size_t i = 0; i < STS2_PENDING_MAX; i++)
        if (s->pending[i].state != PENDING_NONE && s->pending[i].expires_ms < due)
            due = s->pending[i].expires_ms;
    return due;
}

enum sts_event sts2_tick(struct sts2 *s, uint64_t now_ms)
{
    expire_pending(s, now_ms);
    if (s->expires_ms <= now_ms) {
        go_over(s);
        return STS_EV_TIMEOUT;
    }
    if (s->quiet_ms <= now_ms)
        return act_on_silence(s, now_ms);
    if (s->step == STS2_WAIT_INITACK && s->attempt.resend_ms <= now_ms) {
        s->attempt.due = true;
        s->attempt.resend_ms = UINT64_MAX;
    }
    return STS_EV_NONE;
}

void sts2_wipe(struct sts2 *s)
{
    go(s, STS2_IDLE);
}
