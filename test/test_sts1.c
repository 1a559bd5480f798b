/* test_sts1.c - the state machine of STS/1, both roles, in memory and under a clock of its own. */
#define _GNU_SOURCE /* memmem, syscall */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "obfuscate.h"
#include "sts1.h"

#define TIMEOUT_MS 30000
#define T0 5000 /* the clock when things begin */
#define STEPS (STS_STEP_ESTABLISHED + 1)

/* ---- randomness that a test can take away ---- */

static bool random_fails;

ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
    if (random_fails) {
        errno = ENOSYS;
        return -1;
    }
    return syscall(SYS_getrandom, buffer, length, flags);
}

/* ---- payloads ---- */

struct payload {
    uint8_t bytes[PAYLOAD_MAX_BYTES];
    size_t len;
};

/* The next payload that leaves `s`; its len is 0 when there is none. */
static struct payload pull(struct sts *s, uint64_t now_ms)
{
    struct payload p;
    struct wr out = wr_over(p.bytes, sizeof p.bytes);
    int len = sts_pull(s, &out, 0, now_ms);

    assert_true(len >= 0);
    assert_int_equal(len, out.p - p.bytes);
    p.len = (size_t)len;
    return p;
}

/* Gives bytes to `s` in a block of exactly their size, so that the address sanitizer sees whoever
 * reads on. `text` (may be NULL) gets the message as a string. */
static enum sts_event give_bytes(struct sts *s, const uint8_t *bytes, size_t len, uint64_t now_ms,
                                 char *text)
{
    uint8_t *block = malloc(len ? len : 1);
    struct sts_news news;
    struct bytes view;

    assert_non_null(block);
    if (len)
        memcpy(block, bytes, len);
    sts_take(s, &news, bytes_of("any topic"), block, len, now_ms);
    view = news.text;
    assert_int_equal(news.began, news.event == STS_EV_ESTABLISHED);
    assert_false(news.replaced);
    assert_int_equal(news.lost, 0);
    assert_int_equal(news.why != STS_DROP_NONE, news.event == STS_EV_DROPPED);
    if (news.event == STS_EV_TEXT) {
        assert_true(view.p >= block && view.p + view.len <= block + len);
        if (text) {
            memcpy(text, view.p, view.len);
            text[view.len] = '\0';
        }
    } else {
        assert_int_equal(view.len, 0);
    }
    free(block);
    return news.event;
}

static enum sts_event give(struct sts *s, const struct payload *p, uint64_t now_ms, char *text)
{
    return give_bytes(s, p->bytes, p->len, now_ms, text);
}

/* A handshake message from its clear text. */
static struct payload obfuscated(const char *clear)
{
    struct payload p;

    p.len = strlen(clear);
    memcpy(p.bytes, clear, p.len);
    obfuscate(p.bytes, p.len);
    return p;
}

static enum sts_event say(struct sts *s, const char *clear, uint64_t now_ms)
{
    struct payload p = obfuscated(clear);

    return give(s, &p, now_ms, NULL);
}

/* The clear text of a handshake message. */
static const char *clear_text(const struct payload *p, char text[STS1_HANDSHAKE_MAX_BYTES + 1])
{
    assert_in_range(p->len, 1, STS1_HANDSHAKE_MAX_BYTES);
    memcpy(text, p->bytes, p->len);
    clarify((uint8_t *)text, p->len);
    text[p->len] = '\0';
    return text;
}

static bool is_type(const struct payload *p, const char *header)
{
    char text[STS1_HANDSHAKE_MAX_BYTES + 1];

    return strncmp(clear_text(p, text), header, strlen(header)) == 0;
}

/* What leaves next is a message that starts with `header`. */
static struct payload expect(struct sts *s, const char *header, uint64_t now_ms)
{
    struct payload p = pull(s, now_ms);

    assert_true(p.len > 0);
    assert_true(is_type(&p, header));
    return p;
}

static void expect_nothing(struct sts *s, uint64_t now_ms)
{
    assert_int_equal(pull(s, now_ms).len, 0);
}

static struct payload sealed(struct sts *s, const char *text, uint64_t now_ms)
{
    struct payload p;
    struct wr out = wr_over(p.bytes, sizeof p.bytes);

    p.len = sts_sealed_size(s, strlen(text));
    assert_int_equal(sts_seal(s, &out, bytes_of(text), now_ms), 0);
    assert_int_equal(out.p - p.bytes, p.len);
    return p;
}

/* ---- both ends ---- */

static void init(struct sts *s, enum sts_mode mode, enum sts_cipher cipher)
{
    const struct sts_setup conversation = {
        .mode = mode,
        .cipher = cipher,
        .pubtop = bytes_of("m2s/"),
        .timeout_ms = TIMEOUT_MS,
    };

    sts_init(s, &conversation);
}

static struct sts started(enum sts_mode mode, enum sts_cipher cipher)
{
    struct sts s;

    memset(&s, 0xa5, sizeof s);
    init(&s, mode, cipher);
    assert_int_equal(sts_start(&s, T0), 0);
    return s;
}

/* The rule of the original, written another way than in the program. */
static bool refused(const uint8_t secret[32])
{
    size_t len = strnlen((const char *)secret, 32);

    return len != 0 && len != 32;
}

static void assert_agreed(const struct sts *master, const struct sts *slave)
{
    assert_true(sts_established(master) && sts_established(slave));
    assert_memory_equal(master->v1.key, slave->v1.key, 32);
    assert_memory_equal(master->v1.iv, slave->v1.iv, STS1_BLOCK_BYTES);
    assert_memory_equal(master->v1.iv, master->v1.key, STS1_BLOCK_BYTES);
    assert_false(refused(master->v1.key));
}

/* Carries messages both ways until nobody has one. Returns how many there were. */
static size_t converse(struct sts *master, struct sts *slave, uint64_t now_ms)
{
    size_t count = 0;
    struct payload p;

    for (;;) {
        if ((p = pull(master, now_ms)).len)
            (void)give(slave, &p, now_ms, NULL);
        else if ((p = pull(slave, now_ms)).len)
            (void)give(master, &p, now_ms, NULL);
        else
            return count;
        count++;
    }
}

static void establish(struct sts *master, struct sts *slave, enum sts_cipher cipher)
{
    *master = started(STS_MASTER, cipher);
    *slave = started(STS_SLAVE, cipher);
    assert_int_equal(converse(master, slave, T0), 10);
    assert_agreed(master, slave);
}

/* Each step of both roles on the way through one handshake, as it stands before its message comes;
 * and the messages. Made once: a handshake takes milliseconds. */
static struct {
    struct sts at[STS_SLAVE + 1][STEPS];
    bool reached[STS_SLAVE + 1][STEPS];
    struct payload initreq, initack, authreq_to_master, authreq_to_slave, authack, rdyreq_of_master,
        rdyreq_of_slave, rdyack, enc_to_master, enc_to_slave, kill_to_master, kill_to_slave;
} way;

static void note(const struct sts *s)
{
    if (s->v1.outbox_len == 0 && !way.reached[s->setup.mode][s->v1.step]) {
        way.at[s->setup.mode][s->v1.step] = *s;
        way.reached[s->setup.mode][s->v1.step] = true;
    }
}

static struct payload sealed_kill(const struct sts *from)
{
    struct sts s = *from;

    sts_stop(&s, T0);
    return pull(&s, T0 + STS1_GUARD_MS);
}

static int setup(void **state)
{
    struct sts master, slave, s;

    (void)state;
    memset(&way, 0, sizeof way);
    init(&master, STS_MASTER, STS_CBC);
    init(&slave, STS_SLAVE, STS_CBC);
    note(&master);
    note(&slave);
    assert_int_equal(sts_start(&slave, T0), 0);
    assert_int_equal(sts_start(&master, T0), 0);
    note(&slave);
#define CARRY(from, header, to, message, event) \
    way.message = expect(from, header, T0); \
    note(from); \
    assert_int_equal(give(to, &way.message, T0, NULL), event); \
    note(to)
    CARRY(&master, "INITREQ:", &slave, initreq, STS_EV_STARTED);
    CARRY(&slave, "INITACK:", &master, initack, STS_EV_NONE);
    CARRY(&master, "AUTHREQ:", &slave, authreq_to_slave, STS_EV_NONE);
    CARRY(&slave, "AUTHACK:", &master, authack, STS_EV_NONE);
    CARRY(&slave, "AUTHREQ:", &master, authreq_to_master, STS_EV_NONE);
    CARRY(&master, "AUTHACK:", &slave, authack, STS_EV_NONE);
    CARRY(&master, "RDYREQ:", &slave, rdyreq_of_master, STS_EV_NONE);
    CARRY(&slave, "RDYACK:", &master, rdyack, STS_EV_NONE);
    CARRY(&slave, "RDYREQ:", &master, rdyreq_of_slave, STS_EV_ESTABLISHED);
    CARRY(&master, "RDYACK:", &slave, rdyack, STS_EV_ESTABLISHED);
#undef CARRY
    assert_agreed(&master, &slave);
    s = master;
    way.enc_to_slave = sealed(&s, "a reading", T0 + STS1_GUARD_MS);
    s = slave;
    way.enc_to_master = sealed(&s, "an answer", T0);
    way.kill_to_slave = sealed_kill(&master);
    way.kill_to_master = sealed_kill(&slave);
    return 0;
}

/* Ids of another master; the second pair has a character that ids are not drawn from. */
#define IDS_OTHER "abcdefghijklmnopqrstuvwxyzABCDEFGHIJK0123456789!@#$%^&*()-=['/"
#define IDS_LIBERAL "abcdefghijklmnopqrstuvwxyzABCDEFGHIJK0123456789!@#$%^&*()-=[' "

/* ---- a whole session ---- */

static void test_session(enum sts_cipher cipher)
{
    static const struct {
        const char *header, *data; /* data: 0 none, i two ids, m s one id, p point */
    } order[] = {
        {"M INITREQ:", "i"}, {"S INITACK:", ""}, {"M AUTHREQ:", "s"}, {"S AUTHACK:", ""},
        {"S AUTHREQ:", "m"}, {"M AUTHACK:", ""}, {"M RDYREQ:", "p"},  {"S RDYACK:", ""},
        {"S RDYREQ:", "p"},  {"M RDYACK:", ""},
    };
    struct sts master = started(STS_MASTER, cipher), slave = started(STS_SLAVE, cipher);
    char clear[STS1_HANDSHAKE_MAX_BYTES + 1], ids[2 * STS1_ID_CHARS + 1] = "", text[2000];
    struct payload p;

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        struct sts *from = order[i].header[0] == 'M' ? &master : &slave;
        const char *header = order[i].header + 2, *data = clear + strlen(header);

        p = expect(from, header, T0);
        clear_text(&p, clear);
        switch (order[i].data[0]) {
        case '\0':
            assert_string_equal(data, "");
            break;
        case 'i':
            assert_int_equal(strlen(data), 2 * STS1_ID_CHARS);
            memcpy(ids, data, sizeof ids);
            break;
        case 'm':
            assert_int_equal(strlen(data), STS1_ID_CHARS);
            assert_memory_equal(data, ids, STS1_ID_CHARS);
            break;
        case 's':
            assert_string_equal(data, ids + STS1_ID_CHARS);
            break;
        case 'p':
            assert_int_equal(data[0], 'X');
            assert_int_equal(strlen(data) % 2, 0);
            break;
        }
        (void)give(from == &master ? &slave : &master, &p, T0, NULL);
    }
    expect_nothing(&master, T0);
    expect_nothing(&slave, T0);
    assert_agreed(&master, &slave);

    for (int round = 0; round < 3; round++) {
        p = sealed(&master,
                   "temp=21.5\xc2\xb0"
                   "C",
                   T0 + STS1_GUARD_MS);
        assert_int_equal(give(&slave, &p, T0, text), STS_EV_TEXT);
        assert_string_equal(text, "temp=21.5\xc2\xb0"
                                  "C");
        p = sealed(&slave, "answer from the slave", T0);
        assert_int_equal(give(&master, &p, T0, text), STS_EV_TEXT);
        assert_string_equal(text, "answer from the slave");
    }
    assert_int_equal(master.sent, 3);
    assert_int_equal(master.received, 3);
    assert_int_equal(slave.sent, 3);
    assert_int_equal(slave.received, 3);
    assert_int_equal(master.dropped + slave.dropped, 0);
}

static void test_session_ecb(void **state)
{
    (void)state;
    test_session(STS_ECB);
}

static void test_session_cbc(void **state)
{
    (void)state;
    test_session(STS_CBC);
}

static void test_kill(void **state)
{
    static const enum sts_cipher ciphers[] = {STS_ECB, STS_CBC};
    const uint64_t later = T0 + STS1_GUARD_MS;
    struct sts master, slave;
    struct payload p;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        establish(&master, &slave, ciphers[i]);
        sts_stop(&master, T0);
        sts_stop(&master, T0);
        assert_true(sts_established(&master));
        p = pull(&master, later);
        assert_int_equal(p.len, STS1_BLOCK_BYTES);
        assert_int_equal(master.v1.step, STS_STEP_IDLE);
        expect_nothing(&master, later);
        assert_int_equal(give(&slave, &p, later, NULL), STS_EV_KILLED);
        assert_int_equal(slave.v1.step, STS_STEP_WAIT_INITREQ);
        expect_nothing(&slave, later);

        /* The slave serves the next master, and ends that session itself. */
        assert_int_equal(sts_start(&master, later), 0);
        assert_int_equal(converse(&master, &slave, later), 10);
        assert_agreed(&master, &slave);
        sts_stop(&slave, T0);
        p = pull(&slave, later);
        assert_int_equal(slave.v1.step, STS_STEP_IDLE);
        assert_int_equal(give(&master, &p, later, NULL), STS_EV_KILLED);
        assert_int_equal(master.v1.step, STS_STEP_IDLE);
    }
}

/* Asked to end and told to: a slave does not wait for the next master. */
static void test_kills_cross(void **state)
{
    struct sts slave = way.at[STS_SLAVE][STS_STEP_ESTABLISHED];

    (void)state;
    sts_stop(&slave, T0);
    assert_int_equal(say(&slave, "INITREQ:" IDS_OTHER, T0), STS_EV_DROPPED);
    assert_int_equal(give(&slave, &way.kill_to_slave, T0, NULL), STS_EV_KILLED);
    assert_int_equal(slave.v1.step, STS_STEP_IDLE);
    expect_nothing(&slave, T0);
}

static void test_stop_without_session(void **state)
{
    (void)state;
    for (int mode = STS_MASTER; mode <= STS_SLAVE; mode++) {
        for (int step = 0; step < STS_STEP_ESTABLISHED; step++) {
            struct sts s = way.at[mode][step];

            if (!way.reached[mode][step])
                continue;
            sts_stop(&s, T0);
            assert_int_equal(s.v1.step, STS_STEP_IDLE);
            expect_nothing(&s, T0);
            assert_true(sts_deadline(&s) == UINT64_MAX);
        }
    }
}

/* ---- every step x every message ---- */

enum message {
    INITREQ_SAME,
    INITREQ_OTHER,
    INITREQ_LIBERAL,
    INITREQ_SHORT,
    INITREQ_LONG,
    INITACK,
    INITACK_DATA,
    AUTHREQ_MASTER,
    AUTHREQ_SLAVE,
    AUTHREQ_WRONG,
    AUTHREQ_LONG,
    AUTHACK,
    AUTHACK_DATA,
    RDYREQ_MASTER,
    RDYREQ_SLAVE,
    RDYREQ_NO_POINT,
    RDYREQ_MALFORMED,
    RDYREQ_EMPTY,
    RDYACK,
    RDYACK_DATA,
    ENC_CLEAR,
    KILL_CLEAR,
    NO_TYPE,
    NO_COLON,
    LATE_COLON,
    LOWER_CASE,
    EMPTY,
    ENC_SEALED,
    KILL_SEALED,
    SEALED_GARBAGE,
    SEALED_LONGER,
    MESSAGES
};

static const char *const clear_messages[MESSAGES] = {
    [INITREQ_OTHER] = "INITREQ:" IDS_OTHER,
    [INITREQ_LIBERAL] = "INITREQ:" IDS_LIBERAL,
    [INITREQ_SHORT] = "INITREQ:abcdefghijklmnopqrstuvwxyzABCDEFGHIJK0123456789!@#$%^&*()-=['",
    [INITREQ_LONG] = "INITREQ:" IDS_OTHER "<",
    [INITACK] = "INITACK:",
    [INITACK_DATA] = "INITACK:x",
    [AUTHREQ_WRONG] = "AUTHREQ:abcdefghijklmnopqrstuvwxyzABCDE",
    [AUTHACK] = "AUTHACK:",
    [AUTHACK_DATA] = "AUTHACK:x",
    [RDYREQ_NO_POINT] = "RDYREQ:X01Y01",
    [RDYREQ_MALFORMED] = "RDYREQ:XY",
    [RDYREQ_EMPTY] = "RDYREQ:",
    [RDYACK] = "RDYACK:",
    [RDYACK_DATA] = "RDYACK:x",
    [ENC_CLEAR] = "ENC:text",
    [KILL_CLEAR] = "KILL:",
    [NO_TYPE] = "KEYREQ:",
    [NO_COLON] = "INITACK",
    [LATE_COLON] = "INITACKINIT:",
    [LOWER_CASE] = "initack:",
    [EMPTY] = "",
};

static struct payload message_for(enum sts_mode to, enum message m)
{
    struct payload p = {.len = 0};

    if (clear_messages[m])
        return obfuscated(clear_messages[m]);
    switch ((int)m) {
    case INITREQ_SAME:
        return way.initreq;
    case AUTHREQ_MASTER:
        return way.authreq_to_master;
    case AUTHREQ_SLAVE:
        return way.authreq_to_slave;
    case AUTHREQ_LONG:
        p = to == STS_MASTER ? way.authreq_to_master : way.authreq_to_slave;
        p.bytes[p.len++] = 0x55;
        return p;
    case RDYREQ_MASTER:
        return way.rdyreq_of_master;
    case RDYREQ_SLAVE:
        return way.rdyreq_of_slave;
    case ENC_SEALED:
        return to == STS_MASTER ? way.enc_to_master : way.enc_to_slave;
    case KILL_SEALED:
        return to == STS_MASTER ? way.kill_to_master : way.kill_to_slave;
    case SEALED_GARBAGE:
        memset(p.bytes, 0x5a, sizeof p.bytes);
        p.len = 3 * STS1_BLOCK_BYTES;
        return p;
    case SEALED_LONGER:
        p = to == STS_MASTER ? way.enc_to_master : way.enc_to_slave;
        p.bytes[p.len++] = 0;
        return p;
    default:
        fail_msg("message %d has no bytes", m);
        return p;
    }
}

/* All that is not here is dropped and changes nothing. `posts`: the types that wait to leave then,
 * a digit each. */
static const struct outcome {
    enum sts_mode mode;
    enum sts_step step;
    enum message message;
    enum sts_event event;
    enum sts_step next;
    const char *posts;
} outcomes[] = {
#define M STS_MASTER
#define S STS_SLAVE
#define STEP(name) STS_STEP_##name
    {M, STEP(WAIT_INITACK), INITACK, STS_EV_NONE, STEP(WAIT_AUTHACK), "3"},
    {M, STEP(WAIT_AUTHACK), AUTHACK, STS_EV_NONE, STEP(WAIT_AUTHREQ), ""},
    {M, STEP(WAIT_AUTHREQ), AUTHREQ_MASTER, STS_EV_NONE, STEP(WAIT_RDYACK), "45"},
    {M, STEP(WAIT_RDYACK), RDYACK, STS_EV_NONE, STEP(WAIT_RDYREQ), ""},
    {M, STEP(WAIT_RDYREQ), RDYREQ_SLAVE, STS_EV_ESTABLISHED, STEP(ESTABLISHED), "6"},
    /* Its own key come back is a point as good as any. */
    {M, STEP(WAIT_RDYREQ), RDYREQ_MASTER, STS_EV_ESTABLISHED, STEP(ESTABLISHED), "6"},
    {M, STEP(ESTABLISHED), ENC_SEALED, STS_EV_TEXT, STEP(ESTABLISHED), ""},
    {M, STEP(ESTABLISHED), KILL_SEALED, STS_EV_KILLED, STEP(IDLE), ""},

    {S, STEP(WAIT_INITREQ), INITREQ_SAME, STS_EV_STARTED, STEP(WAIT_AUTHREQ), "2"},
    {S, STEP(WAIT_INITREQ), INITREQ_OTHER, STS_EV_STARTED, STEP(WAIT_AUTHREQ), "2"},
    {S, STEP(WAIT_INITREQ), INITREQ_LIBERAL, STS_EV_STARTED, STEP(WAIT_AUTHREQ), "2"},
    {S, STEP(WAIT_AUTHREQ), AUTHREQ_SLAVE, STS_EV_NONE, STEP(WAIT_AUTHACK), "43"},
    {S, STEP(WAIT_AUTHACK), AUTHACK, STS_EV_NONE, STEP(WAIT_RDYREQ), ""},
    {S, STEP(WAIT_RDYREQ), RDYREQ_MASTER, STS_EV_NONE, STEP(WAIT_RDYACK), "65"},
    {S, STEP(WAIT_RDYREQ), RDYREQ_SLAVE, STS_EV_NONE, STEP(WAIT_RDYACK), "65"},
    {S, STEP(WAIT_RDYACK), RDYACK, STS_EV_ESTABLISHED, STEP(ESTABLISHED), ""},

    {S, STEP(WAIT_AUTHREQ), INITREQ_SAME, STS_EV_NONE, STEP(WAIT_AUTHREQ), ""},
    {S, STEP(WAIT_AUTHACK), INITREQ_SAME, STS_EV_NONE, STEP(WAIT_AUTHACK), ""},
    {S, STEP(WAIT_RDYREQ), INITREQ_SAME, STS_EV_NONE, STEP(WAIT_RDYREQ), ""},
    {S, STEP(WAIT_RDYACK), INITREQ_SAME, STS_EV_NONE, STEP(WAIT_RDYACK), ""},
    {S, STEP(WAIT_AUTHREQ), INITREQ_OTHER, STS_EV_STARTED, STEP(WAIT_AUTHREQ), "2"},
    {S, STEP(WAIT_AUTHACK), INITREQ_OTHER, STS_EV_STARTED, STEP(WAIT_AUTHREQ), "2"},
    {S, STEP(WAIT_RDYREQ), INITREQ_OTHER, STS_EV_STARTED, STEP(WAIT_AUTHREQ), "2"},
    {S, STEP(WAIT_RDYACK), INITREQ_OTHER, STS_EV_STARTED, STEP(WAIT_AUTHREQ), "2"},
    {S, STEP(WAIT_AUTHREQ), INITREQ_LIBERAL, STS_EV_STARTED, STEP(WAIT_AUTHREQ), "2"},
    {S, STEP(WAIT_AUTHACK), INITREQ_LIBERAL, STS_EV_STARTED, STEP(WAIT_AUTHREQ), "2"},
    {S, STEP(WAIT_RDYREQ), INITREQ_LIBERAL, STS_EV_STARTED, STEP(WAIT_AUTHREQ), "2"},
    {S, STEP(WAIT_RDYACK), INITREQ_LIBERAL, STS_EV_STARTED, STEP(WAIT_AUTHREQ), "2"},

    {S, STEP(ESTABLISHED), INITREQ_SAME, STS_EV_RESTARTED, STEP(WAIT_AUTHREQ), "2"},
    {S, STEP(ESTABLISHED), INITREQ_OTHER, STS_EV_RESTARTED, STEP(WAIT_AUTHREQ), "2"},
    {S, STEP(ESTABLISHED), ENC_SEALED, STS_EV_TEXT, STEP(ESTABLISHED), ""},
    {S, STEP(ESTABLISHED), KILL_SEALED, STS_EV_KILLED, STEP(WAIT_INITREQ), ""},
#undef M
#undef S
#undef STEP
};

static void assert_dropped(struct sts *s, const struct sts *before)
{
    assert_int_equal(s->dropped, before->dropped + 1);
    s->dropped = before->dropped;
    /* What deciphers to nothing moves the chain; a key was drawn before the point proved none. */
    if (s->v1.step == STS_STEP_ESTABLISHED)
        memcpy(s->v1.iv, before->v1.iv, sizeof s->v1.iv);
    if (s->v1.step == STS_STEP_WAIT_RDYREQ && s->setup.mode == STS_SLAVE)
        s->v1.public_key = before->v1.public_key;
    assert_memory_equal(s, before, sizeof *s);
}

static void check_outcome(enum sts_mode mode, enum sts_step step, enum message m)
{
    const struct sts *before = &way.at[mode][step];
    const struct payload p = message_for(mode, m);
    const struct outcome *o = NULL;
    struct sts s;
    enum sts_event event;
    char posts[STS_OUTBOX_MAX + 1] = "";

    memcpy(&s, before, sizeof s);
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++)
        if (outcomes[i].mode == mode && outcomes[i].step == step && outcomes[i].message == m)
            o = &outcomes[i];
    event = give(&s, &p, T0 + 1, NULL);
    if (!o) {
        if (event != STS_EV_DROPPED)
            fail_msg("%s, step %d, message %d: event %d", sts_mode_name(mode), step, m, event);
        assert_dropped(&s, before);
        return;
    }
    if (event != o->event || s.v1.step != o->next)
        fail_msg("%s, step %d, message %d: event %d, next %d", sts_mode_name(mode), step, m, event,
                 s.v1.step);
    assert_int_equal(s.dropped, before->dropped);
    for (size_t i = 0; i < s.v1.outbox_len; i++)
        posts[i] = (char)('0' + s.v1.outbox[i]);
    assert_string_equal(posts, o->posts);
}

static void test_every_step_and_message(void **state)
{
    size_t steps = 0;

    (void)state;
    for (int mode = STS_MASTER; mode <= STS_SLAVE; mode++) {
        for (int step = 0; step < STEPS; step++) {
            if (!way.reached[mode][step])
                continue;
            steps++;
            for (int m = 0; m < MESSAGES; m++)
                check_outcome((enum sts_mode)mode, (enum sts_step)step, (enum message)m);
        }
    }
    assert_int_equal(steps, 7 + 7);
}

/* Every message twice: the second changes nothing, and the session stands. */
static void test_duplicates(void **state)
{
    struct sts master = started(STS_MASTER, STS_CBC), slave = started(STS_SLAVE, STS_CBC);
    struct payload p;
    char text[100];

    (void)state;
    for (;;) {
        struct sts *from = master.v1.outbox_len > 0 ? &master : &slave;
        struct sts *to = from == &master ? &slave : &master;
        struct sts once;

        if ((p = pull(from, T0)).len == 0)
            break;
        assert_int_not_equal(give(to, &p, T0, NULL), STS_EV_DROPPED);
        once = *to;
        /* Answers wait in the outbox meanwhile; each is sent once all the same. */
        (void)give(to, &p, T0, NULL);
        assert_int_equal(to->v1.step, once.v1.step);
        assert_int_equal(to->v1.outbox_len, once.v1.outbox_len);
        assert_memory_equal(&to->v1, &once.v1, sizeof once.v1);
    }
    assert_agreed(&master, &slave);
    p = sealed(&master, "still one key", T0 + STS1_GUARD_MS);
    assert_int_equal(give(&slave, &p, T0, text), STS_EV_TEXT);
    assert_string_equal(text, "still one key");
}

/* A master that gave up and came back, at every step of the slave. */
static void test_master_comes_back(void **state)
{
    (void)state;
    for (int step = STS_STEP_WAIT_INITREQ; step < STEPS; step++) {
        struct sts master = started(STS_MASTER, STS_CBC), slave = way.at[STS_SLAVE][step];
        uint8_t old_key[32];

        if (!way.reached[STS_SLAVE][step])
            continue;
        memcpy(old_key, way.at[STS_SLAVE][step].v1.key, 32);
        assert_int_equal(converse(&master, &slave, T0), 10);
        assert_agreed(&master, &slave);
        assert_memory_not_equal(slave.v1.key, old_key, 32);
    }
}

/* ---- secrets that the original refuses ---- */

/* The slave of the original: one key, silent when the secret does not please it. */
struct original {
    uint8_t private_key[32];
    struct crypto_point public_key;
    uint8_t secret[32];
    bool settled;
};

static struct crypto_point point_of(const struct payload *rdyreq)
{
    char clear[STS1_HANDSHAKE_MAX_BYTES + 1];
    struct crypto_point point;

    assert_true(sts1_point_read(&point, bytes_of(clear_text(rdyreq, clear) + strlen("RDYREQ:"))));
    return point;
}

static void original_takes(struct original *o, const struct payload *rdyreq)
{
    const struct crypto_point point = point_of(rdyreq);
    uint8_t secret[32];

    assert_int_equal(crypto_secp256k1_shared(secret, o->private_key, &point), 0);
    if (o->settled || refused(secret))
        return;
    memcpy(o->secret, secret, 32);
    o->settled = true;
}

static enum sts_event original_shows_key(const struct original *o, struct sts *master,
                                         uint64_t now_ms)
{
    uint8_t bytes[STS1_HANDSHAKE_MAX_BYTES];
    struct wr out = wr_over(bytes, sizeof bytes);

    wr_put(&out, "RDYREQ:", 7);
    sts1_point_write(&out, &o->public_key);
    obfuscate(bytes, (size_t)(out.p - bytes));
    return give_bytes(master, bytes, (size_t)(out.p - bytes), now_ms, NULL);
}

/* A master that just showed its first key, and the original slave that got it; with a key of the
 * slave that makes the first secret refused, or not. */
static struct sts shown_to(struct original *o, bool refusal)
{
    struct sts master = way.at[STS_MASTER][STS_STEP_WAIT_AUTHREQ];
    struct payload p;
    struct crypto_point point;
    uint8_t secret[32];

    assert_int_equal(give(&master, &way.authreq_to_master, T0, NULL), STS_EV_NONE);
    (void)expect(&master, "AUTHACK:", T0);
    p = expect(&master, "RDYREQ:", T0);
    point = point_of(&p);
    memset(o, 0, sizeof *o);
    do {
        assert_int_equal(crypto_secp256k1_keypair(o->private_key, &o->public_key), 0);
        assert_int_equal(crypto_secp256k1_shared(secret, o->private_key, &point), 0);
    } while (refused(secret) != refusal);
    original_takes(o, &p);
    assert_int_equal(o->settled, !refusal);
    return master;
}

/* However many keys an original refuses, both ends come to one secret. */
static void test_original_slave_refuses(void **state)
{
    (void)state;
    for (int run = 0; run < 25; run++) {
        struct original o;
        struct sts master = shown_to(&o, true);
        uint64_t now_ms = T0;
        struct payload p;

        while (!o.settled) {
            assert_true(sts_deadline(&master) == now_ms + STS1_RDYREQ_RETRY_MS);
            now_ms = sts_deadline(&master);
            assert_int_equal(sts_tick(&master, now_ms), STS_EV_NONE);
            p = expect(&master, "RDYREQ:", now_ms);
            original_takes(&o, &p);
        }
        assert_int_equal(say(&master, "RDYACK:", now_ms), STS_EV_NONE);
        assert_int_equal(original_shows_key(&o, &master, now_ms), STS_EV_ESTABLISHED);
        assert_memory_equal(master.v1.key, o.secret, 32);
    }
}

/* RDYACK came late: the master has shown more keys, the slave kept the first. */
static void test_late_rdyack(void **state)
{
    (void)state;
    for (int run = 0; run < 10; run++) {
        struct original o;
        struct sts master = shown_to(&o, false);
        uint64_t now_ms = T0;

        for (int i = 0; i < 3; i++) {
            struct payload p;

            now_ms += STS1_RDYREQ_RETRY_MS;
            assert_int_equal(sts_tick(&master, now_ms), STS_EV_NONE);
            p = expect(&master, "RDYREQ:", now_ms);
            original_takes(&o, &p);
        }
        assert_int_equal(master.v1.shown_count, 4);
        assert_int_equal(say(&master, "RDYACK:", now_ms), STS_EV_NONE);
        assert_int_equal(original_shows_key(&o, &master, now_ms), STS_EV_ESTABLISHED);
        assert_memory_equal(master.v1.key, o.secret, 32);
    }
}

/* A slave that refuses nothing kept the first key, whatever its secret. */
static void test_slave_that_refuses_nothing(void **state)
{
    struct original o;
    struct sts master = shown_to(&o, true);
    const struct crypto_point point = master.v1.public_key;
    uint8_t secret[32];

    (void)state;
    assert_int_equal(crypto_secp256k1_shared(secret, o.private_key, &point), 0);
    assert_int_equal(say(&master, "RDYACK:", T0), STS_EV_NONE);
    assert_int_equal(original_shows_key(&o, &master, T0), STS_EV_ESTABLISHED);
    assert_memory_equal(master.v1.key, secret, 32);
    assert_true(refused(master.v1.key));
}

/* One in eight secrets is refused: none of these is. */
static void test_slave_never_offers_a_refused_secret(void **state)
{
    (void)state;
    for (int run = 0; run < 300; run++) {
        struct sts slave = way.at[STS_SLAVE][STS_STEP_WAIT_RDYREQ];
        struct sts master = way.at[STS_MASTER][STS_STEP_WAIT_RDYACK];
        struct payload p;

        assert_int_equal(give(&slave, &way.rdyreq_of_master, T0, NULL), STS_EV_NONE);
        p = expect(&slave, "RDYACK:", T0);
        assert_int_equal(give(&master, &p, T0, NULL), STS_EV_NONE);
        p = expect(&slave, "RDYREQ:", T0);
        assert_int_equal(give(&master, &p, T0, NULL), STS_EV_ESTABLISHED);
        assert_int_equal(say(&slave, "RDYACK:", T0), STS_EV_ESTABLISHED);
        assert_agreed(&master, &slave);
    }
}

/* Keys shown: a new one every second, up to the limit, then the last one again. */
static void test_keys_shown(void **state)
{
    struct sts master = way.at[STS_MASTER][STS_STEP_WAIT_RDYACK];
    struct payload p, last = way.rdyreq_of_master;
    uint64_t now_ms = T0;

    (void)state;
    master.v1.expires_ms = UINT64_MAX;
    for (size_t shown = 2; shown < STS1_SHOWN_KEYS_MAX + 4; shown++) {
        now_ms += STS1_RDYREQ_RETRY_MS;
        assert_true(sts_deadline(&master) == now_ms);
        assert_int_equal(sts_tick(&master, now_ms - 1), STS_EV_NONE);
        expect_nothing(&master, now_ms - 1);
        assert_int_equal(sts_tick(&master, now_ms), STS_EV_NONE);
        p = expect(&master, "RDYREQ:", now_ms);
        expect_nothing(&master, now_ms);
        if (shown <= STS1_SHOWN_KEYS_MAX) {
            assert_int_equal(master.v1.shown_count, shown);
            assert_false(p.len == last.len && memcmp(p.bytes, last.bytes, p.len) == 0);
        } else {
            assert_int_equal(master.v1.shown_count, STS1_SHOWN_KEYS_MAX);
            assert_int_equal(p.len, last.len);
            assert_memory_equal(p.bytes, last.bytes, p.len);
        }
        last = p;
    }
}

/* A key that nobody took off the outbox was never shown, and is not replaced. */
static void test_unsent_key_is_kept(void **state)
{
    struct sts master = way.at[STS_MASTER][STS_STEP_WAIT_AUTHREQ];
    struct crypto_point shown;

    (void)state;
    assert_int_equal(give(&master, &way.authreq_to_master, T0, NULL), STS_EV_NONE);
    shown = master.v1.public_key;
    assert_int_equal(sts_tick(&master, T0 + STS1_RDYREQ_RETRY_MS), STS_EV_NONE);
    assert_int_equal(master.v1.shown_count, 1);
    assert_memory_equal(&master.v1.public_key, &shown, sizeof shown);
    assert_true(sts_deadline(&master) == T0 + 2 * STS1_RDYREQ_RETRY_MS);
    (void)expect(&master, "AUTHACK:", T0);
    (void)expect(&master, "RDYREQ:", T0);
    expect_nothing(&master, T0);
}

/* ---- time ---- */

static void test_initreq_again(void **state)
{
    struct sts master = started(STS_MASTER, STS_CBC);
    struct payload first = expect(&master, "INITREQ:", T0), p;
    uint64_t now_ms = T0;

    (void)state;
    for (int i = 0; i < 5; i++) {
        now_ms += STS1_INITREQ_RETRY_MS;
        assert_true(sts_deadline(&master) == now_ms);
        assert_int_equal(sts_tick(&master, now_ms - 1), STS_EV_NONE);
        expect_nothing(&master, now_ms - 1);
        assert_int_equal(sts_tick(&master, now_ms), STS_EV_NONE);
        p = expect(&master, "INITREQ:", now_ms);
        assert_int_equal(p.len, first.len);
        assert_memory_equal(p.bytes, first.bytes, p.len);
        expect_nothing(&master, now_ms);
    }
    assert_int_equal(say(&master, "INITACK:", now_ms), STS_EV_NONE);
    (void)expect(&master, "AUTHREQ:", now_ms);
    assert_true(sts_deadline(&master) == T0 + TIMEOUT_MS);
    assert_int_equal(sts_tick(&master, now_ms + STS1_INITREQ_RETRY_MS), STS_EV_NONE);
    expect_nothing(&master, now_ms + STS1_INITREQ_RETRY_MS);
}

/* A slave that subscribed late gets two INITREQ in a row. */
static void test_late_slave(void **state)
{
    struct sts master = started(STS_MASTER, STS_CBC), slave;
    const uint64_t later = T0 + STS1_INITREQ_RETRY_MS;
    struct payload p;

    (void)state;
    p = expect(&master, "INITREQ:", T0);
    assert_int_equal(sts_tick(&master, later), STS_EV_NONE);
    slave = started(STS_SLAVE, STS_CBC);
    assert_int_equal(give(&slave, &p, later, NULL), STS_EV_STARTED);
    assert_int_equal(converse(&master, &slave, later), 10);
    assert_agreed(&master, &slave);
    assert_int_equal(master.dropped + slave.dropped, 0);
}

/* Nothing is left of the handshake or session that was. */
static void assert_wiped(const struct sts *s)
{
    static const struct sts1 zero;
    struct sts1 v1 = s->v1;

    assert_true(v1.resend_ms == UINT64_MAX);
    assert_true(v1.expires_ms == UINT64_MAX);
    v1.step = (enum sts_step)0;
    v1.resend_ms = v1.expires_ms = 0;
    assert_memory_equal(&v1, &zero, sizeof zero);
    assert_true(sts_deadline(s) == UINT64_MAX);
}

static void test_handshake_timeout(void **state)
{
    (void)state;
    for (int mode = STS_MASTER; mode <= STS_SLAVE; mode++) {
        for (int step = STS_STEP_WAIT_INITACK; step < STS_STEP_ESTABLISHED; step++) {
            struct sts s = way.at[mode][step];

            if (!way.reached[mode][step])
                continue;
            assert_true(sts_deadline(&s) <= T0 + TIMEOUT_MS);
            s.v1.resend_ms = UINT64_MAX;
            assert_true(sts_deadline(&s) == T0 + TIMEOUT_MS);
            assert_int_equal(sts_tick(&s, T0 + TIMEOUT_MS - 1), STS_EV_NONE);
            assert_int_equal(s.v1.step, step);
            assert_int_equal(sts_tick(&s, T0 + TIMEOUT_MS), STS_EV_TIMEOUT);
            assert_int_equal(s.v1.step, mode == STS_SLAVE ? STS_STEP_WAIT_INITREQ : STS_STEP_IDLE);
            assert_wiped(&s);
            assert_int_equal(sts_tick(&s, T0 + 2 * TIMEOUT_MS), STS_EV_NONE);
        }
    }
}

/* Waiting for a master has no end, nor has a session. */
static void test_no_deadline(void **state)
{
    struct sts slave = way.at[STS_SLAVE][STS_STEP_WAIT_INITREQ];

    (void)state;
    assert_true(sts_deadline(&slave) == UINT64_MAX);
    assert_int_equal(sts_tick(&slave, T0 + 100 * TIMEOUT_MS), STS_EV_NONE);
    slave = way.at[STS_SLAVE][STS_STEP_ESTABLISHED];
    assert_true(sts_deadline(&slave) == UINT64_MAX);
    assert_int_equal(sts_tick(&slave, T0 + 100 * TIMEOUT_MS), STS_EV_NONE);
    assert_true(sts_established(&slave));
}

/* The handshake of a master that came back has a time of its own. */
static void test_timeout_of_the_newer_handshake(void **state)
{
    struct sts slave = way.at[STS_SLAVE][STS_STEP_WAIT_RDYREQ];

    (void)state;
    assert_int_equal(say(&slave, "INITREQ:" IDS_OTHER, T0 + 1000), STS_EV_STARTED);
    assert_true(sts_deadline(&slave) == T0 + 1000 + TIMEOUT_MS);
    slave = way.at[STS_SLAVE][STS_STEP_WAIT_RDYREQ];
    assert_int_equal(give(&slave, &way.initreq, T0 + 1000, NULL), STS_EV_NONE);
    assert_true(sts_deadline(&slave) == T0 + TIMEOUT_MS);
}

static void test_guard(void **state)
{
    struct sts master = way.at[STS_MASTER][STS_STEP_WAIT_RDYREQ];
    struct sts slave = way.at[STS_SLAVE][STS_STEP_WAIT_RDYACK];
    const uint64_t ready_ms = T0 + 7 + STS1_GUARD_MS;
    uint8_t room[64];
    struct wr out = wr_over(room, sizeof room);

    (void)state;
    assert_int_equal(give(&master, &way.rdyreq_of_slave, T0, NULL), STS_EV_ESTABLISHED);
    /* RDYACK waited: the guard time begins when it leaves, and nothing overtakes it. */
    assert_true(sts_deadline(&master) == T0 + STS1_GUARD_MS);
    assert_false(sts_ready(&master, T0 + 2 * STS1_GUARD_MS));
    (void)expect(&master, "RDYACK:", T0 + 7);
    assert_true(sts_deadline(&master) == ready_ms);
    assert_false(sts_ready(&master, ready_ms - 1));
    assert_int_equal(sts_seal(&master, &out, bytes_of("early"), ready_ms - 1), STS_ERR_STATE);
    assert_true(sts_ready(&master, ready_ms));
    assert_int_equal(sts_tick(&master, ready_ms), STS_EV_NONE);
    assert_true(sts_deadline(&master) == UINT64_MAX);
    assert_true(sts_ready(&master, ready_ms));

    assert_false(sts_ready(&slave, T0));
    assert_int_equal(give(&slave, &way.rdyack, T0, NULL), STS_EV_ESTABLISHED);
    assert_true(sts_ready(&slave, T0));
}

/* A master can be written to before it may write. */
static void test_text_in_guard_time(void **state)
{
    struct sts master = way.at[STS_MASTER][STS_STEP_ESTABLISHED];
    char text[100];

    (void)state;
    assert_false(sts_ready(&master, T0));
    assert_int_equal(give(&master, &way.enc_to_master, T0, text), STS_EV_TEXT);
    assert_string_equal(text, "an answer");
}

static void test_kill_waits_for_guard(void **state)
{
    struct sts master = way.at[STS_MASTER][STS_STEP_ESTABLISHED];
    struct sts slave = way.at[STS_SLAVE][STS_STEP_ESTABLISHED];
    const uint64_t ready_ms = T0 + STS1_GUARD_MS;
    struct payload p;

    (void)state;
    sts_stop(&master, T0);
    expect_nothing(&master, ready_ms - 1);
    assert_true(sts_deadline(&master) == ready_ms);
    assert_false(sts_ready(&master, ready_ms));
    assert_int_equal(sts_tick(&master, ready_ms), STS_EV_NONE);
    assert_true(sts_established(&master));
    p = pull(&master, ready_ms);
    assert_int_equal(master.v1.step, STS_STEP_IDLE);
    assert_int_equal(give(&slave, &p, ready_ms, NULL), STS_EV_KILLED);
}

/* ---- what is left of secrets ---- */

static bool holds(const struct sts *s, const uint8_t *secret)
{
    return memmem(s, sizeof *s, secret, 16) || memmem(s, sizeof *s, secret + 16, 16);
}

static void test_wiping(void **state)
{
    struct sts established = way.at[STS_MASTER][STS_STEP_ESTABLISHED], s;
    struct sts showing = way.at[STS_MASTER][STS_STEP_WAIT_RDYACK];
    uint8_t key[32], shown[32];

    (void)state;
    memcpy(key, established.v1.key, 32);
    memcpy(shown, showing.v1.shown[0], 32);
    assert_true(holds(&established, key) && holds(&showing, shown));
    assert_false(holds(&established, shown));

    s = established;
    assert_int_equal(give(&s, &way.kill_to_master, T0, NULL), STS_EV_KILLED);
    assert_wiped(&s);
    s = established;
    sts_stop(&s, T0);
    assert_true(pull(&s, T0 + STS1_GUARD_MS).len > 0);
    assert_wiped(&s);
    s = established;
    s.sent = 3;
    sts_wipe(&s);
    assert_wiped(&s);
    assert_int_equal(s.v1.step, STS_STEP_IDLE);
    assert_int_equal(s.sent, 3);
    s = established;
    assert_int_equal(sts_start(&s, T0), 0);
    assert_false(holds(&s, key));
    s = showing;
    sts_stop(&s, T0);
    assert_wiped(&s);

    s = way.at[STS_SLAVE][STS_STEP_ESTABLISHED];
    assert_true(holds(&s, key));
    assert_int_equal(say(&s, "INITREQ:" IDS_OTHER, T0), STS_EV_RESTARTED);
    assert_false(holds(&s, key));
    s = way.at[STS_SLAVE][STS_STEP_WAIT_RDYACK];
    assert_true(holds(&s, key));
    assert_int_equal(say(&s, "INITREQ:" IDS_OTHER, T0), STS_EV_STARTED);
    assert_false(holds(&s, key));
}

/* ---- lengths and contents ---- */

static void test_lengths(void **state)
{
    static const enum sts_cipher ciphers[] = {STS_ECB, STS_CBC};
    const uint64_t now_ms = T0 + STS1_GUARD_MS;
    char text[STS1_PACKET_MAX_BYTES], got[STS1_PACKET_MAX_BYTES];
    struct sts master, slave;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        establish(&master, &slave, ciphers[i]);
        for (size_t len = 0; len <= sts_text_max(&master); len++) {
            struct payload p;

            if (len == 65)
                len = sts_text_max(&master) - 20;
            memset(text, 'a' + (int)(len % 26), len);
            text[len] = '\0';
            p = sealed(&master, text, now_ms);
            assert_int_equal(p.len, (4 + len + 15) / 16 * 16);
            assert_int_equal(give(&slave, &p, now_ms, got), STS_EV_TEXT);
            assert_string_equal(got, text);
        }
    }
}

/* The whole packet at QoS 0 has at most 1024 bytes. */
static void test_longest_text(void **state)
{
    static const struct {
        size_t topic_len, text_max;
    } rows[] = {
        {1, 1004},  {4, 1004},  {11, 1004}, {12, 988}, {27, 988}, {28, 972},
        {128, 876}, {1003, 12}, {1004, 0},  {1018, 0}, {1019, 0}, {65535, 0},
    };
    uint8_t room[STS1_PACKET_MAX_BYTES], text[STS1_PACKET_MAX_BYTES];

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sts s = way.at[STS_SLAVE][STS_STEP_ESTABLISHED];
        struct wr out = wr_over(room, sizeof room);
        const size_t max = rows[i].text_max;

        s.setup.pubtop.len = rows[i].topic_len;
        assert_int_equal(sts_text_max(&s), max);
        assert_int_equal(sts_seal(&s, &out, (struct bytes){text, max + 1}, T0), STS_ERR_LONG);
        assert_ptr_equal(out.p, room);
        if (max == 0) {
            assert_int_equal(sts_seal(&s, &out, (struct bytes){text, 0}, T0), STS_ERR_LONG);
            continue;
        }
        assert_int_equal(sts_seal(&s, &out, (struct bytes){text, max}, T0), 0);
        assert_in_range(5 + rows[i].topic_len + (size_t)(out.p - room), 1024 - 15, 1024);
        assert_int_equal(s.sent, 1);
    }
}

static void test_refused_texts(void **state)
{
    const struct sts before = way.at[STS_SLAVE][STS_STEP_ESTABLISHED];
    struct sts s = before;
    uint8_t room[64];
    struct wr out = wr_over(room, sizeof room);

    (void)state;
    assert_int_equal(sts_seal(&s, &out, (struct bytes){(const uint8_t *)"a\0b", 3}, T0),
                     STS_ERR_NUL);
    assert_int_equal(sts_seal(&s, &out, (struct bytes){(const uint8_t *)"ab\0", 3}, T0),
                     STS_ERR_NUL);
    assert_ptr_equal(out.p, room);
    for (size_t size = 0; size < 2 * STS1_BLOCK_BYTES; size++) {
        out = wr_over(room, size);
        memset(room, 0xee, sizeof room);
        assert_int_equal(sts_seal(&s, &out, bytes_of("thirteen char"), T0), STS_ERR_ROOM);
        assert_ptr_equal(out.p, room);
        assert_int_equal(room[0], 0xee);
    }
    assert_memory_equal(&s, &before, sizeof s);
    out = wr_over(room, 2 * STS1_BLOCK_BYTES);
    memset(room, 0xee, sizeof room);
    assert_int_equal(sts_seal(&s, &out, bytes_of("thirteen char"), T0), 0);
    assert_int_equal(room[2 * STS1_BLOCK_BYTES], 0xee);
}

static void test_seal_needs_session(void **state)
{
    uint8_t room[64];

    (void)state;
    for (int mode = STS_MASTER; mode <= STS_SLAVE; mode++) {
        for (int step = 0; step < STS_STEP_ESTABLISHED; step++) {
            struct sts s = way.at[mode][step];
            struct wr out = wr_over(room, sizeof room);

            if (!way.reached[mode][step])
                continue;
            assert_false(sts_ready(&s, UINT64_MAX));
            assert_int_equal(sts_seal(&s, &out, bytes_of("text"), UINT64_MAX), STS_ERR_STATE);
            assert_ptr_equal(out.p, room);
        }
    }
}

/* What the other end seals that is not ENC: text of the form sts would not make. */
static void test_sealed_oddities(void **state)
{
    static const struct {
        char clear[32];
        size_t len;
        enum sts_event event;
        const char *text;
    } rows[] = {
        {"ENC:a\0b", 16, STS_EV_TEXT, "a"},
        {"ENC:123456789012", 16, STS_EV_TEXT, "123456789012"},
        {"ENC:", 16, STS_EV_TEXT, ""},
        {"ENC:a:b", 16, STS_EV_TEXT, "a:b"},
        {"KILL:", 32, STS_EV_KILLED, NULL},
        {"KILL:now", 16, STS_EV_DROPPED, NULL},
        {"KILL", 16, STS_EV_DROPPED, NULL},
        {"kill:", 16, STS_EV_DROPPED, NULL},
        {"enc:text", 16, STS_EV_DROPPED, NULL},
        {" ENC:text", 16, STS_EV_DROPPED, NULL},
        {"\0ENC:text", 16, STS_EV_DROPPED, NULL},
        {"INITREQ:", 16, STS_EV_DROPPED, NULL},
        {"RDYACK:", 16, STS_EV_DROPPED, NULL},
        {":", 16, STS_EV_DROPPED, NULL},
        {"", 16, STS_EV_DROPPED, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sts master = way.at[STS_MASTER][STS_STEP_ESTABLISHED];
        struct sts slave = way.at[STS_SLAVE][STS_STEP_ESTABLISHED];
        struct payload p = {.len = rows[i].len};
        char text[64];

        memcpy(p.bytes, rows[i].clear, p.len);
        assert_int_equal(crypto_aes256_cbc(p.bytes, p.len, master.v1.key, master.v1.iv, true), 0);
        assert_int_equal(give(&slave, &p, T0, text), rows[i].event);
        assert_int_equal(slave.dropped, rows[i].event == STS_EV_DROPPED);
        assert_int_equal(slave.received, rows[i].event == STS_EV_TEXT);
        if (rows[i].text)
            assert_string_equal(text, rows[i].text);
        if (rows[i].event != STS_EV_KILLED)
            assert_memory_equal(slave.v1.iv, master.v1.iv, STS1_BLOCK_BYTES);
    }
}

/* A payload that no cipher can have made does not move the chain; garbage of the right length does,
 * and garbles the first block of what follows: then all is well again. */
static void test_chain(void **state)
{
    struct sts master = way.at[STS_MASTER][STS_STEP_ESTABLISHED];
    struct sts slave = way.at[STS_SLAVE][STS_STEP_ESTABLISHED];
    const uint64_t now_ms = T0 + STS1_GUARD_MS;
    uint8_t garbage[48] = {1, 2, 3};
    struct payload p;
    char text[100];

    (void)state;
    for (size_t len = 0; len < sizeof garbage; len++)
        if (len % STS1_BLOCK_BYTES != 0 || len == 0)
            assert_int_equal(give_bytes(&slave, garbage, len, now_ms, NULL), STS_EV_DROPPED);
    p = sealed(&master, "one", now_ms);
    assert_int_equal(give(&slave, &p, now_ms, text), STS_EV_TEXT);
    assert_string_equal(text, "one");
    assert_int_equal(give_bytes(&slave, garbage, 32, now_ms, NULL), STS_EV_DROPPED);
    p = sealed(&master, "two", now_ms);
    assert_int_equal(give(&slave, &p, now_ms, NULL), STS_EV_DROPPED);
    p = sealed(&master, "three", now_ms);
    assert_int_equal(give(&slave, &p, now_ms, text), STS_EV_TEXT);
    assert_string_equal(text, "three");
}

/* A restart asks for more than a handshake does: one stray message must not end a session. */
static void test_restart_is_well_formed(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        struct sts slave = way.at[STS_SLAVE][STS_STEP_ESTABLISHED];
        char clear[] = "INITREQ:" IDS_OTHER;
        const bool drawn = c < 128 && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJK0123456789"
                                             "!@#$%^&*()-=['/<>']_+",
                                             c);

        clear[8 + c % 62] = (char)c;
        assert_int_equal(say(&slave, clear, T0), drawn ? STS_EV_RESTARTED : STS_EV_DROPPED);
        assert_int_equal(sts_established(&slave), !drawn);
    }
}

static void test_restart_has_no_tail(void **state)
{
    struct sts slave = way.at[STS_SLAVE][STS_STEP_ESTABLISHED];
    struct payload p = obfuscated("INITREQ:" IDS_OTHER);

    (void)state;
    p.bytes[p.len++] = 0;
    assert_int_equal(give(&slave, &p, T0, NULL), STS_EV_DROPPED);
    assert_true(sts_established(&slave));
    p.len--;
    assert_int_equal(give(&slave, &p, T0, NULL), STS_EV_RESTARTED);
}

/* One id that differs makes it another handshake. */
static void test_each_id_counts(void **state)
{
    char clear[STS1_HANDSHAKE_MAX_BYTES + 1];

    (void)state;
    for (size_t at = 0; at < 2 * STS1_ID_CHARS; at++) {
        struct sts slave = way.at[STS_SLAVE][STS_STEP_WAIT_AUTHACK];

        clear_text(&way.initreq, clear);
        clear[8 + at] = clear[8 + at] == 'a' ? 'b' : 'a';
        assert_int_equal(say(&slave, clear, T0), STS_EV_STARTED);
        assert_int_equal(slave.v1.step, STS_STEP_WAIT_AUTHREQ);
    }
}

/* An MQTT message without a payload may come without an address. */
static void test_nothing_at_all(void **state)
{
    (void)state;
    for (int mode = STS_MASTER; mode <= STS_SLAVE; mode++) {
        for (int step = 0; step < STEPS; step++) {
            struct sts s = way.at[mode][step];
            struct sts_news news;

            if (!way.reached[mode][step])
                continue;
            sts_take(&s, &news, bytes_of("any topic"), NULL, 0, T0);
            assert_int_equal(news.event, STS_EV_DROPPED);
            assert_int_equal(news.why, STS_DROP_FORM);
        }
    }
}

/* ---- room ---- */

/* With less room than it takes a message stays, and leaves whole afterwards. */
static void test_pull_room(void **state)
{
    struct sts master = started(STS_MASTER, STS_CBC), slave = started(STS_SLAVE, STS_CBC);
    uint8_t room[STS1_HANDSHAKE_MAX_BYTES + 1];
    struct payload p;

    (void)state;
    for (int i = 0; i < 11; i++) {
        struct sts *from = master.v1.outbox_len > 0 ? &master : &slave;
        struct sts whole;

        if (i == 10) {
            sts_stop(&slave, T0);
            from = &slave;
        }
        whole = *from;
        p = pull(&whole, T0);
        assert_true(p.len > 0);
        for (size_t size = 0; size < p.len; size++) {
            struct sts before = *from;
            struct wr out = wr_over(room, size);

            assert_int_equal(sts_pull(from, &out, 0, T0), STS_ERR_ROOM);
            assert_memory_equal(from, &before, sizeof before);
        }
        memset(room, 0xee, sizeof room);
        struct wr out = wr_over(room, p.len);
        assert_int_equal(sts_pull(from, &out, 0, T0), p.len);
        assert_memory_equal(room, p.bytes, p.len);
        assert_int_equal(room[p.len], 0xee);
        (void)give(from == &master ? &slave : &master, &p, T0, NULL);
    }
    assert_int_equal(master.v1.step, STS_STEP_IDLE);
}

/* ---- failures ---- */

static void test_no_randomness(void **state)
{
    struct sts starting = way.at[STS_MASTER][STS_STEP_IDLE];
    struct sts master = way.at[STS_MASTER][STS_STEP_WAIT_AUTHREQ];
    struct sts showing = way.at[STS_MASTER][STS_STEP_WAIT_RDYACK];
    struct sts agreeing = way.at[STS_MASTER][STS_STEP_WAIT_RDYREQ];
    struct sts slave = way.at[STS_SLAVE][STS_STEP_WAIT_RDYREQ];
    struct sts *const all[] = {&starting, &master, &showing, &agreeing, &slave};

    (void)state;
    random_fails = true;
    assert_int_equal(sts_start(&starting, T0), STS_ERR_CRYPTO);
    assert_int_equal(give(&master, &way.authreq_to_master, T0, NULL), STS_EV_FAILED);
    assert_int_equal(sts_tick(&showing, T0 + STS1_RDYREQ_RETRY_MS), STS_EV_FAILED);
    assert_int_equal(give(&agreeing, &way.rdyreq_of_slave, T0, NULL), STS_EV_FAILED);
    assert_int_equal(give(&slave, &way.rdyreq_of_master, T0, NULL), STS_EV_FAILED);
    random_fails = false;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_int_equal(all[i]->crypto_err, CRYPTO_ERR_RANDOM);
        assert_int_equal(all[i]->v1.step, STS_STEP_IDLE);
        assert_wiped(all[i]);
        expect_nothing(all[i], T0);
    }
}

/* ---- anything at all ---- */

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % below;
}

static void mutate(struct payload *p)
{
    switch (draw(5)) {
    case 0:
        p->len = draw((uint32_t)p->len + 1);
        break;
    case 1:
        for (uint32_t n = draw(40); n > 0; n--)
            p->bytes[p->len++] = (uint8_t)draw(256);
        break;
    case 2:
        for (uint32_t n = 1 + draw(4); n > 0 && p->len > 0; n--)
            p->bytes[draw((uint32_t)p->len)] ^= (uint8_t)(1u << draw(8));
        break;
    case 3:
        p->len = draw(300);
        for (size_t i = 0; i < p->len; i++)
            p->bytes[i] = (uint8_t)draw(256);
        break;
    case 4:
        /* A message of another kind with the data of this. */
        clarify(p->bytes, p->len);
        if (p->len > 8)
            memcpy(p->bytes, &"INITREQ:AUTHREQ:RDYREQ:XRDYACK: "[8 * draw(4)], 8);
        obfuscate(p->bytes, p->len);
        break;
    }
}

static void test_mutations(void **state)
{
    size_t given = 0;

    (void)state;
    seed = 20260214;
    for (int i = 0; i < 20000; i++) {
        const enum sts_mode mode = draw(2) ? STS_MASTER : STS_SLAVE;
        const int step = (int)draw(STEPS);
        struct sts s = way.at[mode][step];
        const uint64_t dropped = s.dropped;
        struct payload p;
        enum sts_event event;

        if (!way.reached[mode][step])
            continue;
        p = message_for(mode, (enum message)draw(MESSAGES));
        mutate(&p);
        event = give(&s, &p, T0, NULL);
        given++;
        assert_int_equal(s.dropped, dropped + (event == STS_EV_DROPPED));
        /* Whatever it was, the time of a handshake is bounded, and one that is over is wiped. */
        if (sts_stage(&s) == STS_STAGE_HANDSHAKE)
            assert_true(sts_deadline(&s) <= T0 + TIMEOUT_MS);
        if (sts_stage(&s) == STS_STAGE_IDLE || sts_stage(&s) == STS_STAGE_WAITING)
            assert_wiped(&s);
        while (pull(&s, T0).len > 0)
            given++;
    }
    assert_true(given > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session_ecb),
        cmocka_unit_test(test_session_cbc),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_kills_cross),
        cmocka_unit_test(test_stop_without_session),
        cmocka_unit_test(test_every_step_and_message),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_master_comes_back),
        cmocka_unit_test(test_original_slave_refuses),
        cmocka_unit_test(test_late_rdyack),
        cmocka_unit_test(test_slave_that_refuses_nothing),
        cmocka_unit_test(test_slave_never_offers_a_refused_secret),
        cmocka_unit_test(test_keys_shown),
        cmocka_unit_test(test_unsent_key_is_kept),
        cmocka_unit_test(test_initreq_again),
        cmocka_unit_test(test_late_slave),
        cmocka_unit_test(test_handshake_timeout),
        cmocka_unit_test(test_no_deadline),
        cmocka_unit_test(test_timeout_of_the_newer_handshake),
        cmocka_unit_test(test_guard),
        cmocka_unit_test(test_text_in_guard_time),
        cmocka_unit_test(test_kill_waits_for_guard),
        cmocka_unit_test(test_wiping),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_longest_text),
        cmocka_unit_test(test_refused_texts),
        cmocka_unit_test(test_seal_needs_session),
        cmocka_unit_test(test_sealed_oddities),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_restart_is_well_formed),
        cmocka_unit_test(test_restart_has_no_tail),
        cmocka_unit_test(test_each_id_counts),
        cmocka_unit_test(test_nothing_at_all),
        cmocka_unit_test(test_pull_room),
        cmocka_unit_test(test_no_randomness),
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
