/* sts.c - see sts.h: what both versions of the protocol share, and the randomness that sts2.c gets
 * from outside. sts1.c is STS/1. What only STS/2 has is asked for with is_v2. */
#include "sts.h"

#include <assert.h>

#include "sts1.h"
#include "words.h"

/* ---- STS/2 ---- */

static_assert(STS2_INITREQ_BYTES <= STS_CONTROL_MAX_BYTES, "what sts_pull writes at most");

static int v2_start(struct sts *s, uint64_t now_ms)
{
    sts2_start(&s->v2, now_ms);
    return 0;
}

/* An ephemeral key for each handshake message, drawn when it leaves: none waits in memory. */
static int draw_ephemeral(const struct sts *s, struct sts2_fresh *fresh)
{
    uint8_t random[32];
    int err = crypto_random(random, sizeof random);

    if (err == 0)
        sts2_ephemeral(&s->v2, fresh->ephemeral, random, fresh->id);
    crypto_wipe(random, sizeof random);
    return err;
}

static int v2_pull(struct sts *s, struct wr *out, uint64_t id, uint64_t now_ms)
{
    struct sts2_fresh fresh = {{0}, id};
    enum sts_type type;
    int len;

    if (!sts2_due(&s->v2, &type))
        return 0;
    if (type == STS_INITREQ || type == STS_INITACK) {
        s->crypto_err = draw_ephemeral(s, &fresh);
        if (s->crypto_err) {
            sts2_wipe(&s->v2);
            return STS_ERR_CRYPTO;
        }
    }
    len = sts2_pull(&s->v2, out, &fresh, now_ms);
    if (len == STS_ERR_CRYPTO)
        s->crypto_err = CRYPTO_ERR_POINT;
    crypto_wipe(&fresh, sizeof fresh);
    return len;
}

static enum sts_stage v2_stage(const struct sts *s)
{
    switch (s->v2.step) {
    case STS2_IDLE:
        return STS_STAGE_IDLE;
    case STS2_WAIT_INITREQ:
        return STS_STAGE_WAITING;
    case STS2_WAIT_INITACK:
        return STS_STAGE_HANDSHAKE;
    case STS2_ESTABLISHED:
        return STS_STAGE_ESTABLISHED;
    case STS2_CLOSING:
        return STS_STAGE_CLOSING;
    }
    return STS_STAGE_IDLE;
}

/* ---- which version ---- */

static bool has_session(const struct sts *s)
{
    return s->setup.mode == STS_MASTER || s->setup.mode == STS_SLAVE;
}

static bool is_v2(const struct sts *s)
{
    return has_session(s) && s->setup.cipher == STS_CHACHAPOLY;
}

static bool is_v1(const struct sts *s)
{
    return has_session(s) && (s->setup.cipher == STS_ECB || s->setup.cipher == STS_CBC);
}

/* What the version that speaks the cipher says or does; `none`: no version in this build, or
 * nothing that has a session. Not a table of functions: a static PIE has to relocate each
 * pointer. */
#define BY_VERSION(s, v1, v2, none) (is_v2(s) ? (v2) : STS_SEED && is_v1(s) ? (v1) : (none))

/* ---- words ---- */

const char *sts_err_text(int err)
{
    return words_of_err(STS_ERRORS(WORDS_ENTRY) "\0unknown error", err);
}

const char *sts_drop_text(enum sts_drop why)
{
#define STS_DROP_WORDS(name, text) text "\0"
    return words_at(STS_DROPS(STS_DROP_WORDS) "\0unknown reason", (unsigned)why);
#undef STS_DROP_WORDS
}

const char *sts_type_name(enum sts_type type)
{
    return words_at("INITREQ\0"
                    "INITACK\0"
                    "AUTHREQ\0"
                    "AUTHACK\0"
                    "RDYREQ\0"
                    "RDYACK\0"
                    "ENC\0"
                    "KILL\0"
                    "PUSH\0"
                    "\0unknown",
                    (unsigned)type - STS_INITREQ);
}

const char *sts_mode_name(enum sts_mode mode)
{
    return words_at("nosec\0"
                    "master\0"
                    "slave\0"
                    "push\0"
                    "collect\0"
                    "\0unknown",
                    (unsigned)mode);
}

const char *sts_cipher_name(enum sts_cipher cipher)
{
    return words_at("null\0"
                    "ecb\0"
                    "cbc\0"
                    "chachapoly\0"
                    "\0unknown",
                    (unsigned)cipher);
}

/* ---- both versions ---- */

void sts_init(struct sts *s, const struct sts_setup *setup)
{
    memset(s, 0, sizeof *s);
    s->setup = *setup;
    BY_VERSION(s, sts1_wipe(s), sts2_init(&s->v2, setup), (void)0);
}

int sts_start(struct sts *s, uint64_t now_ms)
{
    return BY_VERSION(s, sts1_start(s, now_ms), v2_start(s, now_ms), STS_ERR_STATE);
}

void sts_take(struct sts *s, struct sts_news *news, struct bytes topic, uint8_t *payload,
              size_t payload_len, uint64_t now_ms)
{
    memset(news, 0, sizeof *news);
    news->event = STS_EV_DROPPED;
    news->why = BY_VERSION(s, STS_DROP_FORM, STS_DROP_FORM, STS_DROP_STATE);
    if (payload_len > 0)
        BY_VERSION(s, sts1_take(s, news, payload, payload_len, now_ms),
                   sts2_take(&s->v2, news, topic, payload, payload_len, now_ms), (void)0);
    if (news->event == STS_EV_DROPPED)
        s->dropped++;
    if (news->event == STS_EV_TEXT)
        s->received++;
}

void sts_spent(struct sts *s, uint64_t spent_us)
{
    if (is_v2(s))
        sts2_spent(&s->v2, spent_us);
}

bool sts_needs_id(const struct sts *s)
{
    enum sts_type type;

    return is_v2(s) && sts2_due(&s->v2, &type) && type == STS_INITREQ;
}

int sts_pull(struct sts *s, struct wr *out, uint64_t id, uint64_t now_ms)
{
    return BY_VERSION(s, sts1_pull(s, out, now_ms), v2_pull(s, out, id, now_ms), 0);
}

bool sts_ready(const struct sts *s, uint64_t now_ms)
{
    return BY_VERSION(s, sts1_ready(s, now_ms), sts2_ready(&s->v2), false);
}

size_t sts_text_max(const struct sts *s)
{
    return BY_VERSION(s, sts1_text_max(s), MESSAGE_MAX_BYTES, 0);
}

size_t sts_sealed_size(const struct sts *s, size_t text_len)
{
    return BY_VERSION(s, sts1_sealed_size(text_len), STS2_ENC_BYTES + text_len, 0);
}

int sts_seal(struct sts *s, struct wr *out, struct bytes text, uint64_t now_ms)
{
    int err;

    if (!sts_ready(s, now_ms))
        return STS_ERR_STATE;
    err = BY_VERSION(s, sts1_seal(s, out, text), sts2_seal(&s->v2, out, text), STS_ERR_STATE);
    if (err == 0)
        s->sent++;
    return err;
}

void sts_written(struct sts *s, uint64_t count)
{
    if (is_v2(s))
        sts2_written(&s->v2, count);
}

void sts_stop(struct sts *s, uint64_t now_ms)
{
    BY_VERSION(s, sts1_stop(s), sts2_stop(&s->v2, now_ms), (void)0);
}

enum sts_stage sts_stage(const struct sts *s)
{
    return BY_VERSION(s, sts1_stage(s), v2_stage(s), STS_STAGE_IDLE);
}

bool sts_established(const struct sts *s)
{
    return sts_stage(s) == STS_STAGE_ESTABLISHED;
}

bool sts_open(const struct sts *s)
{
    return sts_stage(s) >= STS_STAGE_ESTABLISHED;
}

bool sts_delivered(const struct sts *s)
{
    return is_v2(s) && sts2_delivered(&s->v2);
}

const struct peer *sts_peer(const struct sts *s)
{
    return is_v2(s) ? s->v2.link.peer : NULL;
}

bool sts_counter(const struct sts *s, uint64_t *counter)
{
    if (!is_v2(s) || s->v2.link.take_next == 0)
        return false;
    *counter = s->v2.link.take_next - 1;
    return true;
}

uint64_t sts_deadline(const struct sts *s)
{
    return BY_VERSION(s, sts1_deadline(s), sts2_deadline(&s->v2), UINT64_MAX);
}

enum sts_event sts_tick(struct sts *s, uint64_t now_ms)
{
    return BY_VERSION(s, sts1_tick(s, now_ms), sts2_tick(&s->v2, now_ms), STS_EV_NONE);
}

void sts_wipe(struct sts *s)
{
    BY_VERSION(s, sts1_wipe(s), sts2_wipe(&s->v2), (void)0);
}
