/* test_sts.c - what the versions of the protocol share, what is left without one, and a session of
 * STS/2 with the randomness that sts.c draws for it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/random.h>

#include <cmocka.h>

#include "sts.h"

#define TIMEOUT_MS 30000
#define TO_SLAVE bytes_of("t/in")
#define TO_MASTER bytes_of("t/out")

/* ---- randomness that is always the same, or fails ---- */

static bool random_fails;

ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
    (void)flags;
    if (random_fails) {
        errno = ENOSYS;
        return -1;
    }
    memset(buffer, 0x5a, length);
    return (ssize_t)length;
}

/* ---- words ---- */

static void test_names(void **state)
{
    static const char *const types[] = {"unknown", "INITREQ", "INITACK", "AUTHREQ",
                                        "AUTHACK", "RDYREQ",  "RDYACK",  "ENC",
                                        "KILL",    "PUSH",    "unknown"};
    static const char *const modes[] = {"nosec", "master", "slave", "push", "collect", "unknown"};
    static const char *const ciphers[] = {"null", "ecb", "cbc", "chachapoly", "unknown"};

    (void)state;
    for (int i = 0; i < 11; i++)
        assert_string_equal(sts_type_name((enum sts_type)i), types[i]);
    for (int i = 0; i < 6; i++)
        assert_string_equal(sts_mode_name((enum sts_mode)i), modes[i]);
    for (int i = 0; i < 5; i++)
        assert_string_equal(sts_cipher_name((enum sts_cipher)i), ciphers[i]);
}

static void test_error_texts(void **state)
{
    (void)state;
    for (int err = STS_ERR_STATE; err >= STS_ERR_ID; err--)
        assert_string_not_equal(sts_err_text(err), "unknown error");
    assert_string_equal(sts_err_text(STS_ERR_ROOM), "does not fit the buffer");
    assert_string_equal(sts_err_text(0), "unknown error");
    assert_string_equal(sts_err_text(STS_ERR_ID - 1), "unknown error");
}

static void test_drop_texts(void **state)
{
    (void)state;
    for (int why = STS_DROP_NONE; why <= STS_DROP_COUNTER; why++)
        assert_string_not_equal(sts_drop_text((enum sts_drop)why), "unknown reason");
    assert_string_equal(sts_drop_text(STS_DROP_TOPIC), "not on this topic");
    assert_string_equal(sts_drop_text((enum sts_drop)(STS_DROP_COUNTER + 1)), "unknown reason");
}

/* ---- no version ---- */

/* Nothing starts, leaves, or is taken for a message. */
static void check_no_version(enum sts_mode mode, enum sts_cipher cipher)
{
    const struct sts_setup setup = {.mode = mode, .cipher = cipher, .timeout_ms = TIMEOUT_MS};
    uint8_t payload[] = "ENC:text", room[64];
    struct wr out = wr_over(room, sizeof room);
    struct sts_news news;
    struct sts s;

    memset(&news, 0xa5, sizeof news);
    memset(&s, 0xa5, sizeof s);
    sts_init(&s, &setup);
    assert_int_equal(sts_start(&s, 0), STS_ERR_STATE);
    sts_take(&s, &news, TO_SLAVE, payload, sizeof payload, 0);
    assert_int_equal(news.event, STS_EV_DROPPED);
    assert_int_equal(news.why, STS_DROP_STATE);
    assert_int_equal(news.text.len, 0);
    assert_int_equal(s.dropped, 1);
    assert_false(sts_needs_id(&s));
    assert_int_equal(sts_pull(&s, &out, 1, 0), 0);
    assert_false(sts_ready(&s, UINT64_MAX));
    assert_int_equal(sts_text_max(&s), 0);
    assert_int_equal(sts_sealed_size(&s, 5), 0);
    assert_int_equal(sts_seal(&s, &out, bytes_of("text"), 0), STS_ERR_STATE);
    assert_ptr_equal(out.p, room);
    sts_written(&s, 1);
    sts_stop(&s, 0);
    sts_wipe(&s);
    assert_int_equal(sts_stage(&s), STS_STAGE_IDLE);
    assert_false(sts_established(&s));
    assert_false(sts_open(&s));
    assert_false(sts_delivered(&s));
    assert_null(sts_peer(&s));
    assert_true(sts_deadline(&s) == UINT64_MAX);
    assert_int_equal(sts_tick(&s, 1000000), STS_EV_NONE);
}

static void test_no_version(void **state)
{
    (void)state;
    for (int mode = STS_NOSEC; mode <= STS_COLLECTOR; mode++)
        for (int cipher = STS_NULL; cipher <= STS_CHACHAPOLY; cipher++) {
            const bool session = mode == STS_MASTER || mode == STS_SLAVE;
            const bool spoken = cipher == STS_CHACHAPOLY || (STS_SEED && cipher != STS_NULL);

            if (!session || !spoken)
                check_no_version((enum sts_mode)mode, (enum sts_cipher)cipher);
        }
}

/* ---- STS/2 ---- */

struct end {
    struct sts s;
    struct noise_pair own;
    struct peer peer;
    struct peers peers;
};

static void end_init(struct end *e, enum sts_mode mode, uint8_t own, uint8_t other)
{
    struct sts_setup setup = {
        .mode = mode,
        .cipher = STS_CHACHAPOLY,
        .pubtop = mode == STS_MASTER ? TO_SLAVE : TO_MASTER,
        .timeout_ms = TIMEOUT_MS,
        .keepalive_ms = 2 * TIMEOUT_MS,
        .own = &e->own,
        .peers = &e->peers,
    };
    uint8_t other_private[32] = {other};

    memset(e, 0, sizeof *e);
    e->own.private_key[0] = own;
    crypto_x25519_public(e->own.public_key, e->own.private_key);
    crypto_x25519_public(e->peer.key, other_private);
    e->peers = (struct peers){&e->peer, 1};
    sts_init(&e->s, &setup);
}

struct both {
    struct end master, slave;
};

static int both_started(void **state)
{
    struct both *both = calloc(1, sizeof *both);

    if (!both)
        return -1;
    random_fails = false;
    end_init(&both->master, STS_MASTER, 8, 16);
    end_init(&both->slave, STS_SLAVE, 16, 8);
    *state = both;
    return sts_start(&both->slave.s, 0) | sts_start(&both->master.s, 0);
}

static int both_over(void **state)
{
    free(*state);
    return 0;
}

/* The next message of `from`, which is of `type`, reaches `to`. */
static struct sts_news pass(struct end *from, struct end *to, enum sts_type type, uint64_t id)
{
    uint8_t room[STS_CONTROL_MAX_BYTES];
    struct wr out = wr_over(room, sizeof room);
    struct sts_news news;
    const int len = sts_pull(&from->s, &out, id, 0);

    assert_true(len > 1);
    assert_int_equal(len, out.p - room);
    assert_int_equal(room[1], type);
    sts_take(&to->s, &news, from->s.setup.pubtop, room, (size_t)len, 0);
    return news;
}

static void assert_nothing_leaves(struct end *e)
{
    uint8_t room[STS_CONTROL_MAX_BYTES];
    struct wr out = wr_over(room, sizeof room);

    assert_int_equal(sts_pull(&e->s, &out, 1, 0), 0);
}

static void establish(struct both *both)
{
    assert_int_equal(pass(&both->master, &both->slave, STS_INITREQ, 7).event, STS_EV_STARTED);
    assert_false(sts_needs_id(&both->slave.s)); /* INITACK carries none */
    assert_int_equal(pass(&both->slave, &both->master, STS_INITACK, 0).event, STS_EV_ESTABLISHED);
    assert_false(sts_ready(&both->master.s, 0)); /* RDYACK first */
    assert_int_equal(pass(&both->master, &both->slave, STS_RDYACK, 0).event, STS_EV_ESTABLISHED);
}

static void say(struct end *from, struct end *to, const char *text)
{
    uint8_t room[64];
    struct wr out = wr_over(room, sizeof room);
    struct sts_news news;
    size_t len;

    assert_true(sts_ready(&from->s, 0));
    assert_int_equal(sts_seal(&from->s, &out, bytes_of(text), 0), 0);
    len = (size_t)(out.p - room);
    assert_int_equal(len, sts_sealed_size(&from->s, strlen(text)));
    sts_take(&to->s, &news, from->s.setup.pubtop, room, len, 0);
    assert_int_equal(news.event, STS_EV_TEXT);
    assert_true(bytes_equal(news.text, bytes_of(text)));
    assert_true(news.text.p >= room && news.text.p < room + sizeof room);
}

static void test_session(void **state)
{
    struct both *both = *state;
    struct sts *const master = &both->master.s, *const slave = &both->slave.s;

    assert_int_equal(sts_stage(master), STS_STAGE_HANDSHAKE);
    assert_int_equal(sts_stage(slave), STS_STAGE_WAITING);
    assert_true(sts_needs_id(master));
    assert_false(sts_needs_id(slave));
    assert_true(sts_deadline(master) == TIMEOUT_MS);
    assert_int_equal(sts_text_max(master), MESSAGE_MAX_BYTES);
    establish(both);
    assert_false(sts_needs_id(master));
    assert_true(sts_established(master) && sts_established(slave));
    assert_ptr_equal(sts_peer(master), &both->master.peer);
    assert_ptr_equal(sts_peer(slave), &both->slave.peer);
    say(&both->master, &both->slave, "a reading");
    say(&both->slave, &both->master, "an answer");
    say(&both->master, &both->slave, "");
    assert_int_equal(master->sent, 2);
    assert_int_equal(slave->received, 2);
    assert_int_equal(slave->sent, 1);
    assert_int_equal(master->received, 1);

    sts_written(slave, 2);
    sts_written(master, 1);
    sts_stop(master, 0);
    assert_int_equal(sts_stage(master), STS_STAGE_CLOSING);
    assert_true(sts_open(master));
    assert_false(sts_established(master));
    assert_int_equal(sts_seal(master, &(struct wr){0}, bytes_of("late"), 0), STS_ERR_STATE);
    assert_int_equal(pass(&both->master, &both->slave, STS_KILL, 0).event, STS_EV_KILLED);
    assert_false(sts_delivered(master));
    assert_int_equal(pass(&both->slave, &both->master, STS_KILL, 0).event, STS_EV_KILLED);
    assert_true(sts_delivered(master) && sts_delivered(slave));
    assert_int_equal(sts_stage(master), STS_STAGE_IDLE);
    assert_int_equal(sts_stage(slave), STS_STAGE_WAITING);
    assert_null(sts_peer(master));
    assert_int_equal(master->dropped + slave->dropped, 0);
}

/* A payload on another topic, of another key, of another form: counted, with its reason. */
static void test_drops(void **state)
{
    struct both *both = *state;
    uint8_t nothing[] = {2};
    struct sts_news news;

    both->slave.peer.key[0] ^= 1;
    assert_int_equal(pass(&both->master, &both->slave, STS_INITREQ, 7).why, STS_DROP_KEY);
    sts_take(&both->slave.s, &news, TO_SLAVE, nothing, sizeof nothing, 0);
    assert_int_equal(news.why, STS_DROP_FORM);
    sts_take(&both->slave.s, &news, TO_SLAVE, NULL, 0, 0);
    assert_int_equal(news.event, STS_EV_DROPPED);
    assert_int_equal(news.why, STS_DROP_FORM);
    assert_int_equal(both->slave.s.dropped, 3);
}

/* The kernel gives the same bytes each time, but no ephemeral key comes twice. */
static void test_ephemerals_differ(void **state)
{
    struct both *both = *state;
    uint8_t first[STS2_INITREQ_BYTES], second[STS2_INITREQ_BYTES];
    struct wr out = wr_over(first, sizeof first);

    assert_int_equal(sts_pull(&both->master.s, &out, 1, 0), STS2_INITREQ_BYTES);
    assert_int_equal(sts_tick(&both->master.s, STS2_INITREQ_RETRY_MS), STS_EV_NONE);
    assert_true(sts_needs_id(&both->master.s));
    out = wr_over(second, sizeof second);
    assert_int_equal(sts_pull(&both->master.s, &out, 2, STS2_INITREQ_RETRY_MS), STS2_INITREQ_BYTES);
    assert_memory_not_equal(first + 2, second + 2, 32);
}

static void test_bad_ids(void **state)
{
    struct both *both = *state;
    const uint64_t ids[] = {0, (uint64_t)STS_ID_MAX + 1, UINT64_MAX};
    uint8_t room[STS2_INITREQ_BYTES];

    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        struct wr out = wr_over(room, sizeof room);

        assert_int_equal(sts_pull(&both->master.s, &out, ids[i], 0), STS_ERR_ID);
        assert_true(sts_needs_id(&both->master.s));
    }
    assert_int_equal(pass(&both->master, &both->slave, STS_INITREQ, STS_ID_MAX).event,
                     STS_EV_STARTED);
}

static void test_no_randomness(void **state)
{
    struct both *both = *state;
    struct end *const ends[] = {&both->slave, &both->master};

    assert_int_equal(pass(&both->master, &both->slave, STS_INITREQ, 7).event, STS_EV_STARTED);
    assert_int_equal(sts_tick(&both->master.s, STS2_INITREQ_RETRY_MS), STS_EV_NONE);
    random_fails = true;
    for (size_t i = 0; i < 2; i++) {
        uint8_t room[STS_CONTROL_MAX_BYTES];
        struct wr out = wr_over(room, sizeof room);

        assert_int_equal(sts_pull(&ends[i]->s, &out, 8, STS2_INITREQ_RETRY_MS), STS_ERR_CRYPTO);
        assert_ptr_equal(out.p, room);
        assert_int_equal(ends[i]->s.crypto_err, CRYPTO_ERR_RANDOM);
        assert_int_equal(sts_stage(&ends[i]->s), STS_STAGE_IDLE);
    }
    random_fails = false;
    assert_nothing_leaves(&both->slave);
    assert_nothing_leaves(&both->master);
}

/* A slave's key of low order: no handshake, and the reason is at hand. */
static void test_low_order_key(void **state)
{
    struct both *both = *state;
    uint8_t room[STS2_INITREQ_BYTES];
    struct wr out = wr_over(room, sizeof room);

    memset(both->master.peer.key, 0, 32);
    assert_int_equal(sts_pull(&both->master.s, &out, 7, 0), STS_ERR_CRYPTO);
    assert_int_equal(both->master.s.crypto_err, CRYPTO_ERR_POINT);
    assert_int_equal(sts_stage(&both->master.s), STS_STAGE_IDLE);
}

static void test_wipe(void **state)
{
    struct both *both = *state;
    static const struct link no_link;

    establish(both);
    say(&both->master, &both->slave, "a reading");
    sts_wipe(&both->master.s);
    assert_int_equal(sts_stage(&both->master.s), STS_STAGE_IDLE);
    assert_memory_equal(&both->master.s.v2.link, &no_link, sizeof no_link);
    assert_int_equal(both->master.s.sent, 1);
    assert_true(sts_deadline(&both->master.s) == UINT64_MAX);
    assert_nothing_leaves(&both->master);
}

int main(void)
{
#define SESSION_TEST(f) cmocka_unit_test_setup_teardown(f, both_started, both_over)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_error_texts),
        cmocka_unit_test(test_drop_texts),
        cmocka_unit_test(test_no_version),
        SESSION_TEST(test_session),
        SESSION_TEST(test_drops),
        SESSION_TEST(test_ephemerals_differ),
        SESSION_TEST(test_bad_ids),
        SESSION_TEST(test_no_randomness),
        SESSION_TEST(test_low_order_key),
        SESSION_TEST(test_wipe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
