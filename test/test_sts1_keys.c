/* test_sts1_keys.c - the secret of an STS/1 session and its cipher, against the vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sts1.h"

/* The header has the vectors of other tests too. */
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "vectors_sts1.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- secrets ---- */

static struct crypto_point point_of(const struct vector_point *v)
{
    struct crypto_point point;

    memcpy(point.x, v->x, 32);
    memcpy(point.y, v->y, 32);
    return point;
}

static void test_ecdh_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vector_ecdhs); i++) {
        const struct vector_ecdh *v = &vector_ecdhs[i];
        const struct crypto_point of_master = point_of(&v->master), of_slave = point_of(&v->slave);
        uint8_t secret[32];

        assert_int_equal(crypto_secp256k1_shared(secret, v->master.private_key, &of_slave), 0);
        assert_memory_equal(secret, v->secret, 32);
        assert_int_equal(crypto_secp256k1_shared(secret, v->slave.private_key, &of_master), 0);
        assert_memory_equal(secret, v->secret, 32);
        for (size_t k = 0; k < v->zero_bytes.len; k++)
            assert_int_equal(secret[v->zero_bytes.p[k]], 0);
        assert_int_equal(sts1_secret_refused(secret), v->refused_by_original);
    }
}

/* One zero byte in each place: only the first is let pass. */
static void test_refused(void **state)
{
    uint8_t secret[32];

    (void)state;
    memset(secret, 0xff, sizeof secret);
    assert_false(sts1_secret_refused(secret));
    for (size_t i = 0; i < 32; i++) {
        memset(secret, 1, sizeof secret);
        secret[i] = 0;
        assert_int_equal(sts1_secret_refused(secret), i != 0);
        secret[0] = 0;
        assert_false(sts1_secret_refused(secret));
    }
}

static void init(struct sts *s, enum sts_mode mode, enum sts_cipher cipher)
{
    const struct sts_setup setup = {.mode = mode, .cipher = cipher, .timeout_ms = 30000};

    sts_init(s, &setup);
}

/* The vectors that share master key 1 make a master that has shown several keys: the roles turned
 * around, so that each has another secret with the same point. */
static void test_master_picks_first_not_refused(void **state)
{
    static const struct {
        size_t shown[3], count; /* places in vector_ecdhs */
        size_t picked;          /* place in `shown` */
    } rows[] = {
        {{0}, 1, 0},       {{1}, 1, 0},       {{1, 0}, 2, 1},
        {{0, 1}, 2, 0},    {{1, 2, 0}, 3, 2}, {{1, 2, 3}, 3, 0},
        {{3, 4, 0}, 3, 1}, {{2, 5, 0}, 3, 1}, {{4, 0, 1}, 3, 0},
    };
    const struct crypto_point of_peer = point_of(&vector_ecdhs[0].master);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sts s;

        init(&s, STS_MASTER, STS_CBC);
        s.v1.shown_count = rows[i].count;
        for (size_t k = 0; k < rows[i].count; k++)
            memcpy(s.v1.shown[k], vector_ecdhs[rows[i].shown[k]].slave.private_key, 32);
        assert_int_equal(sts1_agree_as_master(&s, &of_peer), 0);
        assert_memory_equal(s.v1.key, vector_ecdhs[rows[i].shown[rows[i].picked]].secret, 32);
    }
}

static void test_no_point(void **state)
{
    static const struct crypto_point no_point = {.x = {[31] = 1}, .y = {[31] = 1}};
    static const uint8_t zero[32];
    struct sts s;

    (void)state;
    init(&s, STS_MASTER, STS_CBC);
    s.v1.shown_count = 1;
    memcpy(s.v1.shown[0], vector_points[0].private_key, 32);
    assert_int_equal(sts1_agree_as_master(&s, &no_point), CRYPTO_ERR_POINT);
    assert_memory_equal(s.v1.key, zero, 32);
    init(&s, STS_SLAVE, STS_CBC);
    assert_int_equal(sts1_agree_as_slave(&s, &no_point), CRYPTO_ERR_POINT);
    assert_memory_equal(s.v1.key, zero, 32);
}

/* ---- sessions ---- */

static struct sts session(const struct vector_session *v, enum sts_mode mode)
{
    struct sts s;

    init(&s, mode, strcmp(v->aes, "ecb") == 0 ? STS_ECB : STS_CBC);
    s.v1.step = STS_STEP_ESTABLISHED;
    memcpy(s.v1.key, v->secret, 32);
    memcpy(s.v1.iv, v->secret, sizeof s.v1.iv);
    return s;
}

/* The sender makes the ciphertext of the vector, message for message. */
static struct bytes sealed_as(struct sts *s, const struct vector_message *v, uint8_t *room,
                              size_t size)
{
    const struct bytes text = {v->plaintext.p + 4, v->plaintext.len - 4};
    struct wr out = wr_over(room, size);

    if (v->iv.len > 0)
        assert_memory_equal(s->v1.iv, v->iv.p, sizeof s->v1.iv);
    if (memcmp(v->plaintext.p, "KILL", 4) == 0) {
        sts_stop(s, 0);
        assert_int_equal(sts_pull(s, &out, 0, 0), v->ciphertext.len);
    } else {
        assert_memory_equal(v->plaintext.p, "ENC:", 4);
        assert_int_equal(sts_sealed_size(s, text.len), v->ciphertext.len);
        assert_int_equal(sts_seal(s, &out, text, 0), 0);
    }
    assert_true(bytes_equal((struct bytes){room, (size_t)(out.p - room)}, v->ciphertext));
    return v->ciphertext;
}

static bool garbled(const struct vector_message *v)
{
    return v->receiver_sees.len > 0 &&
           memcmp(v->receiver_sees.p, v->plaintext.p, v->plaintext.len) != 0;
}

static void receive(struct sts *s, const struct vector_message *v, struct bytes wire)
{
    uint8_t payload[256];
    struct sts_news news;

    assert_in_range(wire.len, 16, sizeof payload);
    memcpy(payload, wire.p, wire.len);
    sts_take(s, &news, bytes_of("m2s/"), payload, wire.len, 0);
    if (v->receiver_sees.len > 0)
        assert_true(bytes_equal((struct bytes){payload, wire.len}, v->receiver_sees));
    if (garbled(v)) {
        assert_int_equal(news.event, STS_EV_DROPPED);
    } else if (memcmp(v->plaintext.p, "KILL", 4) == 0) {
        assert_int_equal(news.event, STS_EV_KILLED);
    } else {
        assert_int_equal(news.event, STS_EV_TEXT);
        assert_true(
            bytes_equal(news.text, (struct bytes){v->plaintext.p + 4, v->plaintext.len - 4}));
    }
}

static void test_session_vectors(void **state)
{
    size_t lost = 0, garbles = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(vector_sessions); i++) {
        const struct vector_session *v = &vector_sessions[i];
        struct sts master = session(v, STS_MASTER), slave = session(v, STS_SLAVE);

        for (size_t k = 0; k < v->message_count; k++) {
            const struct vector_message *m = &v->messages[k];
            uint8_t room[256];
            struct bytes wire = sealed_as(m->from_master ? &master : &slave, m, room, sizeof room);

            if (m->received)
                receive(m->from_master ? &slave : &master, m, wire);
            lost += !m->received;
            garbles += garbled(m);
        }
    }
    assert_int_equal(lost, 1);
    assert_int_equal(garbles, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ecdh_vectors),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_master_picks_first_not_refused),
        cmocka_unit_test(test_no_point),
        cmocka_unit_test(test_session_vectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
