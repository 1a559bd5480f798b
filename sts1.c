/* sts1.c - the state machine of STS/1; see sts1.h.
 *
 * A step is left by one type of message, and only enter() changes it. */
#include "sts1.h"

#if STS_SEED

#include <assert.h>

#include "obfuscate.h"

#define ENC_HEADER_CHARS 4 /* "ENC:" */
#define INITREQ_CHARS (8 + 2 * STS1_ID_CHARS)

/* A restart has to be told from a sealed message by its length alone. */
static_assert(INITREQ_CHARS % STS1_BLOCK_BYTES != 0, "no ciphertext is as long as INITREQ");
static_assert(INITREQ_CHARS <= STS1_HANDSHAKE_MAX_BYTES, "RDYREQ is the longest");

/* ---- steps ---- */

/* The one place that changes the step. Nothing is sent again in the next step that the step before
 * was waiting with. */
static void enter(struct sts *s, enum sts_step step)
{
    s->v1.step = step;
    s->v1.resend_ms = UINT64_MAX;
}

/* Ends what is under way: no secret, no deadline and no message to send outlives it. */
static void end(struct sts *s, enum sts_step next)
{
    crypto_wipe(&s->v1, sizeof s->v1);
    s->v1.expires_ms = UINT64_MAX;
    enter(s, next);
}

/* Where an end goes when the other end is done with it: a slave serves one master after the other,
 * until it is asked to stop. */
static enum sts_step rest(const struct sts *s)
{
    if (s->setup.mode == STS_SLAVE && !sts1_posted(&s->v1, STS_KILL))
        return STS_STEP_WAIT_INITREQ;
    return STS_STEP_IDLE;
}

static enum sts_event fail(struct sts *s, int crypto_err)
{
    s->crypto_err = crypto_err;
    end(s, STS_STEP_IDLE);
    return STS_EV_FAILED;
}

static struct bytes id_bytes(const uint8_t id[STS1_ID_CHARS])
{
    return (struct bytes){id, STS1_ID_CHARS};
}

/* ---- keys ---- */

/* A master shows one more key, or its last one again when it has shown them all. A key that still
 * waits to leave is not replaced: the slave could never take it, but its secret might be picked. */
static enum sts_event show_key(struct sts *s, uint64_t now_ms)
{
    if (s->v1.shown_count < STS1_SHOWN_KEYS_MAX && !sts1_posted(&s->v1, STS_RDYREQ)) {
        int err = crypto_secp256k1_keypair(s->v1.shown[s->v1.shown_count], &s->v1.public_key);

        if (err)
            return fail(s, err);
        s->v1.shown_count++;
    }
    sts1_post(&s->v1, STS_RDYREQ);
    s->v1.resend_ms = now_ms + STS1_RDYREQ_RETRY_MS;
    return STS_EV_NONE;
}

/* ---- sealing ---- */

static size_t padded(size_t len)
{
    return (len + STS1_BLOCK_BYTES - 1) / STS1_BLOCK_BYTES * STS1_BLOCK_BYTES;
}

/* Writes header and text, padded with zero bytes and enciphered. */
static int write_sealed(struct sts *s, struct wr *out, enum sts_type type, struct bytes text)
{
    const struct bytes name = bytes_of(sts_type_name(type));
    const struct wr before = *out;
    const size_t size = padded(name.len + 1 + text.len);
    uint8_t *sealed = wr_claim(out, size);
    struct wr clear;
    int err;

    if (!sealed)
        return STS_ERR_ROOM;
    memset(sealed, 0, size);
    clear = wr_over(sealed, size);
    wr_put(&clear, name.p, name.len);
    wr_u8(&clear, ':');
    wr_put(&clear, text.p, text.len);
    err = sts1_cipher(s, sealed, size, true);
    if (err) {
        *out = before;
        fail(s, err);
        return STS_ERR_CRYPTO;
    }
    return 0;
}

static bool guard_is_over(const struct sts *s, uint64_t now_ms)
{
    return now_ms >= s->v1.ready_ms;
}

bool sts1_ready(const struct sts *s, uint64_t now_ms)
{
    return sts_established(s) && s->v1.outbox_len == 0 && guard_is_over(s, now_ms);
}

/* The longest ciphertext: one packet of the original, QoS 0, holds it. */
static size_t ciphertext_max(const struct sts *s)
{
    const size_t head = STS1_PUBLISH_HEAD_BYTES + s->setup.pubtop.len;

    if (head >= STS1_PACKET_MAX_BYTES)
        return 0;
    return (STS1_PACKET_MAX_BYTES - head) / STS1_BLOCK_BYTES * STS1_BLOCK_BYTES;
}

size_t sts1_text_max(const struct sts *s)
{
    const size_t max = ciphertext_max(s);

    return max > 0 ? max - ENC_HEADER_CHARS : 0;
}

size_t sts1_sealed_size(size_t text_len)
{
    return padded(ENC_HEADER_CHARS + text_len);
}

int sts1_seal(struct sts *s, struct wr *out, struct bytes text)
{
    if (text.len > sts1_text_max(s) || ciphertext_max(s) == 0)
        return STS_ERR_LONG;
    if (text.len > 0 && memchr(text.p, 0, text.len))
        return STS_ERR_NUL;
    return write_sealed(s, out, STS_ENC, text);
}

/* ---- what goes out ---- */

/* The data of a handshake message. */
static void write_data(const struct sts *s, struct wr *out, enum sts_type type)
{
    switch (type) {
    case STS_INITREQ:
        wr_put(out, s->v1.id_master, STS1_ID_CHARS);
        wr_put(out, s->v1.id_slave, STS1_ID_CHARS);
        break;
    case STS_AUTHREQ:
        wr_put(out, s->setup.mode == STS_MASTER ? s->v1.id_slave : s->v1.id_master, STS1_ID_CHARS);
        break;
    case STS_RDYREQ:
        sts1_point_write(out, &s->v1.public_key);
        break;
    case STS_INITACK:
    case STS_AUTHACK:
    case STS_RDYACK:
    case STS_ENC:
    case STS_KILL:
    case STS_PUSH:
        break;
    }
}

static int pull_handshake(struct sts *s, struct wr *out, enum sts_type type)
{
    const char *name = sts_type_name(type);
    uint8_t bytes[STS1_HANDSHAKE_MAX_BYTES];
    struct wr message = wr_over(bytes, sizeof bytes);
    size_t len;

    wr_put(&message, name, strlen(name));
    wr_u8(&message, ':');
    write_data(s, &message, type);
    len = sizeof bytes - wr_room(&message);
    obfuscate(bytes, len);
    wr_put(out, bytes, len);
    if (out->bad)
        return STS_ERR_ROOM;
    sts1_unpost(&s->v1);
    return (int)len;
}

static int pull_kill(struct sts *s, struct wr *out)
{
    const size_t room = wr_room(out);
    int err = write_sealed(s, out, STS_KILL, (struct bytes){NULL, 0});

    if (err)
        return err;
    end(s, STS_STEP_IDLE);
    return (int)(room - wr_room(out));
}

int sts1_pull(struct sts *s, struct wr *out, uint64_t now_ms)
{
    const enum sts_type type = s->v1.outbox[0];
    int len;

    if (s->v1.outbox_len == 0)
        return 0;
    if (type == STS_KILL)
        return guard_is_over(s, now_ms) ? pull_kill(s, out) : 0;
    len = pull_handshake(s, out, type);
    /* The slave counts its second from the arrival of RDYACK, which may have waited here. */
    if (len > 0 && type == STS_RDYACK && s->setup.mode == STS_MASTER)
        s->v1.ready_ms = now_ms + STS1_GUARD_MS;
    return len;
}

/* ---- what comes in ---- */

/* A slave meets INITREQ. The ids of the handshake under way are the master's repetition, for a
 * slave that subscribes late; others mean that it gave up and came back. */
static enum sts_event take_initreq(struct sts *s, struct bytes ids, uint64_t now_ms)
{
    struct rd in = rd_over(ids.p, ids.len);
    const struct bytes id_master = rd_bytes(&in, STS1_ID_CHARS);
    const struct bytes id_slave = rd_bytes(&in, STS1_ID_CHARS);
    const bool established = sts_established(s);

    if (!rd_end(&in))
        return STS_EV_DROPPED;
    if (s->v1.step != STS_STEP_WAIT_INITREQ && !established &&
        bytes_equal(id_master, id_bytes(s->v1.id_master)) &&
        bytes_equal(id_slave, id_bytes(s->v1.id_slave)))
        return STS_EV_NONE;
    end(s, STS_STEP_WAIT_AUTHREQ);
    memcpy(s->v1.id_master, id_master.p, STS1_ID_CHARS);
    memcpy(s->v1.id_slave, id_slave.p, STS1_ID_CHARS);
    s->v1.expires_ms = now_ms + s->setup.timeout_ms;
    sts1_post(&s->v1, STS_INITACK);
    return established ? STS_EV_RESTARTED : STS_EV_STARTED;
}

/* The receiver's own id came back to it; the slave asks in turn, the master goes on to keys. */
static enum sts_event take_authreq(struct sts *s, struct bytes id, uint64_t now_ms)
{
    const bool master = s->setup.mode == STS_MASTER;

    if (!bytes_equal(id, id_bytes(master ? s->v1.id_master : s->v1.id_slave)))
        return STS_EV_DROPPED;
    sts1_post(&s->v1, STS_AUTHACK);
    if (master) {
        enter(s, STS_STEP_WAIT_RDYACK);
        return show_key(s, now_ms);
    }
    sts1_post(&s->v1, STS_AUTHREQ);
    enter(s, STS_STEP_WAIT_AUTHACK);
    return STS_EV_NONE;
}

/* A master of the original can be written to at once, a slave of it only after the guard time. */
static enum sts_event establish(struct sts *s, uint64_t now_ms)
{
    s->v1.expires_ms = UINT64_MAX;
    s->v1.ready_ms = s->setup.mode == STS_MASTER ? now_ms + STS1_GUARD_MS : 0;
    enter(s, STS_STEP_ESTABLISHED);
    return STS_EV_ESTABLISHED;
}

/* The other end's public key. */
static enum sts_event take_rdyreq(struct sts *s, struct bytes data, uint64_t now_ms)
{
    const bool master = s->setup.mode == STS_MASTER;
    struct crypto_point peer;
    int err;

    if (!sts1_point_read(&peer, data))
        return STS_EV_DROPPED;
    err = master ? sts1_agree_as_master(s, &peer) : sts1_agree_as_slave(s, &peer);
    if (err == CRYPTO_ERR_POINT)
        return STS_EV_DROPPED;
    if (err)
        return fail(s, err);
    crypto_wipe(s->v1.shown, sizeof s->v1.shown);
    s->v1.shown_count = 0;
    memcpy(s->v1.iv, s->v1.key, sizeof s->v1.iv);
    sts1_post(&s->v1, STS_RDYACK);
    if (master)
        return establish(s, now_ms);
    sts1_post(&s->v1, STS_RDYREQ);
    enter(s, STS_STEP_WAIT_RDYACK);
    return STS_EV_NONE;
}

/* An acknowledgement that carries data is none. */
static bool is_ack(const struct sts1_message *m, enum sts_type type)
{
    return m->type == type && m->data.len == 0;
}

/* The messages that move a step on. All others change nothing and are dropped, but for INITREQ at a
 * slave and for sealed messages, which `take` sends their own ways.
 *
 *   step          message              action                            next
 *   master
 *   WAIT_INITACK  INITACK              post AUTHREQ                      WAIT_AUTHACK
 *   WAIT_AUTHACK  AUTHACK                                                WAIT_AUTHREQ
 *   WAIT_AUTHREQ  AUTHREQ id_master    post AUTHACK, RDYREQ              WAIT_RDYACK
 *   WAIT_RDYACK   RDYACK                                                 WAIT_RDYREQ
 *   WAIT_RDYREQ   RDYREQ point         secret; post RDYACK               ESTABLISHED
 *   slave
 *   WAIT_INITREQ  INITREQ ids          post INITACK                      WAIT_AUTHREQ
 *   WAIT_AUTHREQ  AUTHREQ id_slave     post AUTHACK, AUTHREQ             WAIT_AUTHACK
 *   WAIT_AUTHACK  AUTHACK                                                WAIT_RDYREQ
 *   WAIT_RDYREQ   RDYREQ point         secret; post RDYACK, RDYREQ       WAIT_RDYACK
 *   WAIT_RDYACK   RDYACK                                                 ESTABLISHED
 *   handshake     INITREQ, same ids    none                              (the same)
 *   handshake     INITREQ, other ids   begin anew: post INITACK          WAIT_AUTHREQ
 *   ESTABLISHED   INITREQ, well formed end the session; post INITACK     WAIT_AUTHREQ
 *   both
 *   ESTABLISHED   sealed ENC           give the text                     ESTABLISHED
 *   ESTABLISHED   sealed KILL          end the session                   WAIT_INITREQ, master: IDLE
 */
static enum sts_event take_step(struct sts *s, const struct sts1_message *m, uint64_t now_ms)
{
    const bool master = s->setup.mode == STS_MASTER;

    switch (s->v1.step) {
    case STS_STEP_IDLE:
    case STS_STEP_WAIT_INITREQ:
    case STS_STEP_ESTABLISHED:
        break;
    case STS_STEP_WAIT_INITACK:
        if (!is_ack(m, STS_INITACK))
            break;
        sts1_post(&s->v1, STS_AUTHREQ);
        enter(s, STS_STEP_WAIT_AUTHACK);
        return STS_EV_NONE;
    case STS_STEP_WAIT_AUTHREQ:
        return m->type == STS_AUTHREQ ? take_authreq(s, m->data, now_ms) : STS_EV_DROPPED;
    case STS_STEP_WAIT_AUTHACK:
        if (!is_ack(m, STS_AUTHACK))
            break;
        enter(s, master ? STS_STEP_WAIT_AUTHREQ : STS_STEP_WAIT_RDYREQ);
        return STS_EV_NONE;
    case STS_STEP_WAIT_RDYREQ:
        return m->type == STS_RDYREQ ? take_rdyreq(s, m->data, now_ms) : STS_EV_DROPPED;
    case STS_STEP_WAIT_RDYACK:
        if (!is_ack(m, STS_RDYACK))
            break;
        if (!master)
            return establish(s, now_ms);
        enter(s, STS_STEP_WAIT_RDYREQ);
        return STS_EV_NONE;
    }
    return STS_EV_DROPPED;
}

static enum sts_event malformed(struct sts_news *news)
{
    news->why = STS_DROP_FORM;
    return STS_EV_DROPPED;
}

static enum sts_event take_handshake(struct sts *s, struct sts_news *news, uint8_t *payload,
                                     size_t payload_len, uint64_t now_ms)
{
    struct sts1_message m;

    clarify(payload, payload_len);
    if (!sts1_parse(&m, payload, payload_len))
        return malformed(news);
    if (m.type == STS_INITREQ && s->setup.mode == STS_SLAVE && s->v1.step != STS_STEP_IDLE)
        return take_initreq(s, m.data, now_ms);
    return take_step(s, &m, now_ms);
}

/* Whatever deciphers to no message has still moved the chain of CBC on, as at the original. */
static enum sts_event take_sealed(struct sts *s, struct sts_news *news, uint8_t *payload,
                                  size_t payload_len)
{
    struct sts1_message m;
    int err = sts1_cipher(s, payload, payload_len, false);

    if (err)
        return fail(s, err);
    if (!sts1_parse(&m, payload, payload_len))
        return malformed(news);
    if (m.type == STS_ENC) {
        news->text = m.data;
        return STS_EV_TEXT;
    }
    if (!is_ack(&m, STS_KILL))
        return STS_EV_DROPPED;
    end(s, rest(s));
    return STS_EV_KILLED;
}

/* Whether a payload that no cipher can have made begins a session in place of the one there is. One
 * stray message must not end that, so the ids have to be as the original draws them. */
static enum sts_event take_restart(struct sts *s, struct sts_news *news, uint8_t *payload,
                                   size_t payload_len, uint64_t now_ms)
{
    struct sts1_message m;

    if (s->setup.mode != STS_SLAVE || sts1_posted(&s->v1, STS_KILL))
        return STS_EV_DROPPED;
    if (payload_len != INITREQ_CHARS)
        return malformed(news);
    clarify(payload, payload_len);
    if (!sts1_parse(&m, payload, payload_len) || m.type != STS_INITREQ ||
        !sts1_ids_of_alphabet(m.data))
        return malformed(news);
    return take_initreq(s, m.data, now_ms);
}

void sts1_take(struct sts *s, struct sts_news *news, uint8_t *payload, size_t payload_len,
               uint64_t now_ms)
{
    news->why = STS_DROP_STATE;
    if (!sts_established(s))
        news->event = take_handshake(s, news, payload, payload_len, now_ms);
    else if (payload_len % STS1_BLOCK_BYTES == 0)
        news->event = take_sealed(s, news, payload, payload_len);
    else
        news->event = take_restart(s, news, payload, payload_len, now_ms);
    if (news->event != STS_EV_DROPPED)
        news->why = STS_DROP_NONE;
    news->began = news->event == STS_EV_ESTABLISHED;
}

/* ---- begin, end, time ---- */

void sts1_wipe(struct sts *s)
{
    end(s, STS_STEP_IDLE);
}

int sts1_start(struct sts *s, uint64_t now_ms)
{
    int err;

    sts1_wipe(s);
    if (s->setup.mode == STS_SLAVE) {
        enter(s, STS_STEP_WAIT_INITREQ);
        return 0;
    }
    err = sts1_id_draw(s->v1.id_master);
    if (err == 0)
        err = sts1_id_draw(s->v1.id_slave);
    if (err) {
        fail(s, err);
        return STS_ERR_CRYPTO;
    }
    sts1_post(&s->v1, STS_INITREQ);
    enter(s, STS_STEP_WAIT_INITACK);
    s->v1.expires_ms = now_ms + s->setup.timeout_ms;
    s->v1.resend_ms = now_ms + STS1_INITREQ_RETRY_MS;
    return 0;
}

void sts1_stop(struct sts *s)
{
    if (sts_established(s))
        sts1_post(&s->v1, STS_KILL);
    else
        sts1_wipe(s);
}

enum sts_stage sts1_stage(const struct sts *s)
{
    switch (s->v1.step) {
    case STS_STEP_IDLE:
        return STS_STAGE_IDLE;
    case STS_STEP_WAIT_INITREQ:
        return STS_STAGE_WAITING;
    case STS_STEP_WAIT_INITACK:
    case STS_STEP_WAIT_AUTHREQ:
    case STS_STEP_WAIT_AUTHACK:
    case STS_STEP_WAIT_RDYREQ:
    case STS_STEP_WAIT_RDYACK:
        return STS_STAGE_HANDSHAKE;
    case STS_STEP_ESTABLISHED:
        return STS_STAGE_ESTABLISHED;
    }
    return STS_STAGE_IDLE;
}

uint64_t sts1_deadline(const struct sts *s)
{
    uint64_t due = s->v1.resend_ms;

    if (s->v1.ready_ms > 0 && s->v1.ready_ms < due)
        due = s->v1.ready_ms;
    return due < s->v1.expires_ms ? due : s->v1.expires_ms;
}

/* Sends again what the step is waiting with. */
static enum sts_event resend(struct sts *s, uint64_t now_ms)
{
    if (s->v1.step == STS_STEP_WAIT_RDYACK)
        return show_key(s, now_ms);
    sts1_post(&s->v1, STS_INITREQ);
    s->v1.resend_ms = now_ms + STS1_INITREQ_RETRY_MS;
    return STS_EV_NONE;
}

enum sts_event sts1_tick(struct sts *s, uint64_t now_ms)
{
    if (now_ms >= s->v1.expires_ms) {
        end(s, rest(s));
        return STS_EV_TIMEOUT;
    }
    if (guard_is_over(s, now_ms))
        s->v1.ready_ms = 0;
    return now_ms >= s->v1.resend_ms ? resend(s, now_ms) : STS_EV_NONE;
}

#endif
