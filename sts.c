/* sts.c - see sts.h: what all versions of the protocol share. sts1.c is STS/1. */
#include "sts.h"

#include <assert.h>

#include "sts1.h"
#include "sts_version.h"

static_assert((size_t)STS_KILL <= STS_OUTBOX_MAX, "every type fits the outbox once");

/* The version that speaks a cipher; NULL: none in this build. */
static const struct sts_version *version_of(const struct sts *s)
{
    switch (s->cipher) {
    case STS_NULL:
        break;
    case STS_ECB:
    case STS_CBC:
#if STS_SEED
        return &sts1_version;
#else
        break;
#endif
    }
    return NULL;
}

const char *sts_err_text(int err)
{
    switch (err) {
#define STS_ERR_CASE(name, value, text) case name: return text;
    STS_ERRORS(STS_ERR_CASE)
#undef STS_ERR_CASE
    }
    return "unknown error";
}

const char *sts_type_name(enum sts_type type)
{
    switch (type) {
    case STS_INITREQ:
        return "INITREQ";
    case STS_INITACK:
        return "INITACK";
    case STS_AUTHREQ:
        return "AUTHREQ";
    case STS_AUTHACK:
        return "AUTHACK";
    case STS_RDYREQ:
        return "RDYREQ";
    case STS_RDYACK:
        return "RDYACK";
    case STS_ENC:
        return "ENC";
    case STS_KILL:
        return "KILL";
    }
    return "unknown";
}

const char *sts_mode_name(enum sts_mode mode)
{
    switch (mode) {
    case STS_NOSEC:
        return "nosec";
    case STS_MASTER:
        return "master";
    case STS_SLAVE:
        return "slave";
    }
    return "unknown";
}

const char *sts_cipher_name(enum sts_cipher cipher)
{
    switch (cipher) {
    case STS_NULL:
        return "null";
    case STS_ECB:
        return "ecb";
    case STS_CBC:
        return "cbc";
    }
    return "unknown";
}

void sts_init(struct sts *s, enum sts_mode mode, enum sts_cipher cipher, size_t pubtop_len,
              uint64_t timeout_ms)
{
    memset(s, 0, sizeof *s);
    s->mode = mode;
    s->cipher = cipher;
    s->topic_len = pubtop_len;
    s->timeout_ms = timeout_ms;
    s->expires_ms = UINT64_MAX;
    sts_wipe(s);
}

int sts_start(struct sts *s, uint64_t now_ms)
{
    const struct sts_version *v = version_of(s);

    return v ? v->start(s, now_ms) : STS_ERR_STATE;
}

enum sts_event sts_take(struct sts *s, struct bytes *text, uint8_t *payload, size_t payload_len,
                        uint64_t now_ms)
{
    const struct sts_version *v = version_of(s);
    enum sts_event event = STS_EV_DROPPED;

    *text = (struct bytes){NULL, 0};
    if (v && payload_len > 0)
        event = v->take(s, text, payload, payload_len, now_ms);
    if (event == STS_EV_DROPPED)
        s->dropped++;
    if (event == STS_EV_TEXT)
        s->received++;
    return event;
}

void sts_post(struct sts *s, enum sts_type type)
{
    if (!sts_posted(s, type))
        s->outbox[s->outbox_len++] = type;
}

bool sts_posted(const struct sts *s, enum sts_type type)
{
    for (size_t i = 0; i < s->outbox_len; i++)
        if (s->outbox[i] == type)
            return true;
    return false;
}

void sts_unpost(struct sts *s)
{
    s->outbox_len--;
    memmove(&s->outbox[0], &s->outbox[1], s->outbox_len * sizeof s->outbox[0]);
}

int sts_pull(struct sts *s, struct wr *out, uint64_t now_ms)
{
    const struct sts_version *v = version_of(s);

    return v && s->outbox_len > 0 ? v->pull(s, out, now_ms) : 0;
}

bool sts_ready(const struct sts *s, uint64_t now_ms)
{
    const struct sts_version *v = version_of(s);

    return v && sts_established(s) && s->outbox_len == 0 && v->ready(s, now_ms);
}

size_t sts_text_max(const struct sts *s)
{
    const struct sts_version *v = version_of(s);

    return v ? v->text_max(s) : 0;
}

size_t sts_sealed_size(const struct sts *s, size_t text_len)
{
    const struct sts_version *v = version_of(s);

    return v ? v->sealed_size(s, text_len) : 0;
}

int sts_seal(struct sts *s, struct wr *out, struct bytes text, uint64_t now_ms)
{
    const struct sts_version *v = version_of(s);
    int err;

    if (!v || !sts_ready(s, now_ms))
        return STS_ERR_STATE;
    err = v->seal(s, out, text, now_ms);
    if (err == 0)
        s->sent++;
    return err;
}

void sts_stop(struct sts *s)
{
    const struct sts_version *v = version_of(s);

    if (v)
        v->stop(s);
}

bool sts_established(const struct sts *s)
{
    return s->step == STS_STEP_ESTABLISHED;
}

uint64_t sts_deadline(const struct sts *s)
{
    const struct sts_version *v = version_of(s);
    uint64_t due = v ? v->deadline(s) : UINT64_MAX;

    return due < s->expires_ms ? due : s->expires_ms;
}

enum sts_event sts_tick(struct sts *s, uint64_t now_ms)
{
    const struct sts_version *v = version_of(s);

    return v ? v->tick(s, now_ms) : STS_EV_NONE;
}

void sts_wipe(struct sts *s)
{
    const struct sts_version *v = version_of(s);

    if (v)
        v->wipe(s);
}
