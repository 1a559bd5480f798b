/* sts1.c - STS/1: both roles, from every step of the protocol, each of which an honest handshake
 * has reached before the fuzzing begins. The script sends what it likes in the clear and, so that
 * it comes past the cipher, under the session's key. */
#include "common.h"
#include "obfuscate.h"
#include "sts1.h"

#define STEPS 8 /* enum sts_step */
#define TOPIC bytes_of("t")
#define TIMEOUT_MS 30000

/* Of each role and cipher, in each step. */
static struct {
    bool known;
    struct sts s;
} steps[2][2][STEPS];

static struct sts_setup setup_of(bool slave, bool cbc)
{
    return (struct sts_setup){.mode = slave ? STS_SLAVE : STS_MASTER,
                              .cipher = cbc ? STS_CBC : STS_ECB,
                              .pubtop = TOPIC,
                              .timeout_ms = TIMEOUT_MS};
}

static void note(const struct sts *s, bool slave, bool cbc)
{
    steps[slave][cbc][s->v1.step].known = true;
    steps[slave][cbc][s->v1.step].s = *s;
}

/* One message from one end to the other. */
static bool pass(struct sts *from, struct sts *to, uint64_t now)
{
    uint8_t message[PAYLOAD_MAX_BYTES];
    struct wr out = wr_over(message, sizeof message);
    struct sts_news news;
    const int len = sts_pull(from, &out, 0, now);

    CHECK(len >= 0);
    if (len > 0)
        sts_take(to, &news, TOPIC, message, (size_t)len, now);
    return len > 0;
}

static void shake_hands(bool cbc)
{
    static struct sts ends[2];
    const struct sts_setup master = setup_of(false, cbc), slave = setup_of(true, cbc);

    sts_init(&ends[0], &master);
    sts_init(&ends[1], &slave);
    note(&ends[0], false, cbc);
    note(&ends[1], true, cbc);
    CHECK(sts_start(&ends[1], 1000) == 0 && sts_start(&ends[0], 1000) == 0);
    for (bool more = true; more;) {
        note(&ends[0], false, cbc);
        note(&ends[1], true, cbc);
        more = pass(&ends[0], &ends[1], 1000);
        note(&ends[1], true, cbc);
        more = pass(&ends[1], &ends[0], 1000) || more;
    }
    CHECK(sts_established(&ends[0]) && sts_established(&ends[1]));
}

/* ---- what must hold ---- */

static void check_state(const struct sts *s)
{
    static const uint8_t zero[32];
    const struct sts1 *v = &s->v1;

    CHECK(v->step <= STS_STEP_ESTABLISHED && v->outbox_len <= STS_OUTBOX_MAX);
    CHECK(v->shown_count <= STS1_SHOWN_KEYS_MAX);
    for (size_t i = 0; i < v->outbox_len; i++)
        CHECK(v->outbox[i] >= STS_INITREQ && v->outbox[i] <= STS_KILL && v->outbox[i] != STS_ENC);
    if (v->step == STS_STEP_IDLE) {
        CHECK(memcmp(v->key, zero, 32) == 0 && v->shown_count == 0);
        CHECK(sts_deadline(s) == UINT64_MAX && v->outbox_len == 0);
    }
    if (v->step == STS_STEP_ESTABLISHED)
        CHECK(v->shown_count == 0);
}

/* Nothing that is dropped leaves a trace, but for the chain of CBC and the count. */
static void check_dropped(const struct sts *before, const struct sts *after)
{
    CHECK(after->v1.step == before->v1.step && after->v1.outbox_len == before->v1.outbox_len);
    CHECK(memcmp(after->v1.key, before->v1.key, sizeof before->v1.key) == 0);
    CHECK(after->dropped == before->dropped + 1 && after->received == before->received);
}

static bool no_random;

static void take(struct sts *s, struct bytes payload, uint64_t now)
{
    uint8_t *copy = fuzz_copy(payload);
    const struct sts before = *s;
    struct sts_news news;

    sts_take(s, &news, TOPIC, copy, payload.len, now);
    check_state(s);
    if (news.event == STS_EV_DROPPED)
        check_dropped(&before, s);
    if (news.event == STS_EV_TEXT) {
        CHECK(before.v1.step == STS_STEP_ESTABLISHED && payload.len % STS1_BLOCK_BYTES == 0);
        CHECK(news.text.p >= copy && news.text.p + news.text.len <= copy + payload.len);
        CHECK(news.text.len == 0 || !memchr(news.text.p, 0, news.text.len));
    }
    if (news.event == STS_EV_ESTABLISHED)
        CHECK(s->v1.step == STS_STEP_ESTABLISHED && !sts1_secret_refused(s->v1.key));
    CHECK(news.event != STS_EV_FAILED || no_random); /* no payload makes the library fail */
    (void)sts_drop_text(news.why);
    free(copy);
}

/* ---- the script ---- */

static void take_message(struct sts *s, struct rd *in, uint64_t now, bool sealed)
{
    uint8_t bytes[STS1_PACKET_MAX_BYTES];
    struct wr w = wr_over(bytes, sizeof bytes);
    const uint8_t how = rd_u8(in);
    const char *name = sts_type_name((enum sts_type)(1 + how % 9));
    struct sts other = *s;

    if (how & 0x80)
        wr_put(&w, "X", 1);
    wr_put(&w, name, strlen(name));
    wr_u8(&w, ':');
    if (how & 0x40)
        wr_put(&w, how & 0x20 ? s->v1.id_slave : s->v1.id_master, STS1_ID_CHARS);
    if (how & 0x10)
        wr_put(&w, s->v1.id_slave, STS1_ID_CHARS);
    const struct bytes data = fuzz_take(in, rd_u8(in));
    wr_put(&w, data.p, data.len);
    size_t len = (size_t)(w.p - bytes);
    if (sealed) {
        memset(bytes + len, 0, sizeof bytes - len);
        len = (len + STS1_BLOCK_BYTES - 1) / STS1_BLOCK_BYTES * STS1_BLOCK_BYTES;
        CHECK(sts1_cipher(&other, bytes, len, true) == 0);
    } else {
        obfuscate(bytes, len);
    }
    take(s, (struct bytes){bytes, len}, now);
}

static void pull(struct sts *s, struct rd *in, uint64_t now)
{
    const size_t room = rd_u8(in);
    uint8_t *bytes = malloc(room > 0 ? room : 1);
    struct wr out = wr_over(bytes, room);
    const int len = sts_pull(s, &out, 0, now);

    CHECK(len >= 0 || len == STS_ERR_ROOM || len == STS_ERR_CRYPTO);
    CHECK(len < 0 || (size_t)len == room - wr_room(&out));
    check_state(s);
    free(bytes);
}

static void seal(struct sts *s, struct rd *in, uint64_t now)
{
    const struct bytes text = fuzz_take(in, fuzz_size(in, 1100));
    const size_t size = sts_sealed_size(s, text.len);
    uint8_t *bytes = malloc(size);
    struct wr out = wr_over(bytes, size);
    const bool ready = sts_ready(s, now);
    const int err = sts_seal(s, &out, text, now);

    CHECK(ready || err == STS_ERR_STATE);
    CHECK(err != 0 || (wr_room(&out) == 0 && text.len <= sts_text_max(s)));
    CHECK(err == 0 || wr_room(&out) == size);
    (void)sts_err_text(err);
    free(bytes);
}

/* On to the deadline; there, each call of sts_tick moves it on. */
static void tick(struct sts *s, uint64_t *now)
{
    if (sts_deadline(s) == UINT64_MAX)
        return;
    if (sts_deadline(s) > *now)
        *now = sts_deadline(s);
    for (int i = 0; sts_deadline(s) <= *now; i++) {
        (void)sts_tick(s, *now);
        check_state(s);
        CHECK(i < 4);
    }
}

static void step(struct sts *s, struct rd *in, uint64_t *now)
{
    const uint8_t op = rd_u8(in);

    switch (op % 8) {
    case 0:
        take(s, fuzz_take(in, fuzz_size(in, 1100)), *now);
        break;
    case 1:
    case 2:
        take_message(s, in, *now, false);
        break;
    case 3:
    case 4:
        take_message(s, in, *now, true);
        break;
    case 5:
        pull(s, in, *now);
        break;
    case 6:
        seal(s, in, *now);
        break;
    default:
        no_random = op & 8;
        fuzz_no_random(no_random);
        if (op & 16)
            sts_stop(s, *now);
        else if (op & 32)
            (void)!sts_start(s, *now);
        else
            tick(s, now);
        break;
    }
    check_state(s);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_begin();
    shake_hands(false);
    shake_hands(true);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sts s;
    struct rd in = rd_over(data, size);
    const uint8_t how = rd_u8(&in);
    uint64_t now = 1000;

    fuzz_begin();
    no_random = false;
    if (!steps[how & 1][how >> 1 & 1][how >> 2 & 7].known)
        return 0;
    s = steps[how & 1][how >> 1 & 1][how >> 2 & 7].s;
    while (fuzz_more(&in))
        step(&s, &in, &now);
    sts_wipe(&s);
    check_state(&s);
    CHECK(s.v1.step == STS_STEP_IDLE);
    return 0;
}
