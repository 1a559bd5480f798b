/* test_sts.c - what the versions of the protocol share, and what is left without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sts_version.h"

static void test_names(void **state)
{
    static const char *const types[] = {"unknown", "INITREQ", "INITACK", "AUTHREQ", "AUTHACK",
                                        "RDYREQ",  "RDYACK",  "ENC",     "KILL",    "unknown"};

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_string_equal(sts_type_name((enum sts_type)i), types[i]);
    assert_string_equal(sts_mode_name(STS_NOSEC), "nosec");
    assert_string_equal(sts_mode_name(STS_MASTER), "master");
    assert_string_equal(sts_mode_name(STS_SLAVE), "slave");
    assert_string_equal(sts_mode_name((enum sts_mode)9), "unknown");
    assert_string_equal(sts_cipher_name(STS_NULL), "null");
    assert_string_equal(sts_cipher_name(STS_ECB), "ecb");
    assert_string_equal(sts_cipher_name(STS_CBC), "cbc");
    assert_string_equal(sts_cipher_name((enum sts_cipher)9), "unknown");
}

static void test_error_texts(void **state)
{
    (void)state;
    for (int err = STS_ERR_STATE; err >= STS_ERR_CRYPTO; err--)
        assert_string_not_equal(sts_err_text(err), "unknown error");
    assert_string_equal(sts_err_text(STS_ERR_ROOM), "does not fit the buffer");
    assert_string_equal(sts_err_text(0), "unknown error");
    assert_string_equal(sts_err_text(STS_ERR_CRYPTO - 1), "unknown error");
}

/* First in, first out, each type once. */
static void test_outbox(void **state)
{
    static const enum sts_type order[] = {STS_AUTHACK, STS_AUTHREQ, STS_RDYACK, STS_RDYREQ,
                                          STS_INITREQ, STS_INITACK, STS_ENC,    STS_KILL};
    struct sts s;

    (void)state;
    sts_init(&s, STS_MASTER, STS_NULL, 4, 30000);
    for (size_t round = 0; round < 2; round++)
        for (size_t i = 0; i < 8; i++) {
            assert_int_equal(sts_posted(&s, order[i]), round);
            sts_post(&s, order[i]);
        }
    assert_int_equal(s.outbox_len, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(s.outbox[0], order[i]);
        sts_unpost(&s);
        assert_false(sts_posted(&s, order[i]));
    }
    assert_int_equal(s.outbox_len, 0);
}

/* Without a cipher there is no version: nothing starts, leaves, or is taken for a message. */
static void test_no_version(void **state)
{
    static const enum sts_mode modes[] = {STS_NOSEC, STS_MASTER, STS_SLAVE};
    uint8_t payload[] = "ENC:text", room[64];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct wr out = wr_over(room, sizeof room);
        struct bytes text = {payload, 1};
        struct sts s;

        sts_init(&s, modes[i], STS_NULL, 4, 30000);
        assert_int_equal(sts_start(&s, 0), STS_ERR_STATE);
        assert_int_equal(sts_take(&s, &text, payload, sizeof payload, 0), STS_EV_DROPPED);
        assert_int_equal(text.len, 0);
        assert_int_equal(s.dropped, 1);
        assert_int_equal(sts_pull(&s, &out, 0), 0);
        assert_false(sts_ready(&s, UINT64_MAX));
        assert_false(sts_established(&s));
        assert_int_equal(sts_text_max(&s), 0);
        assert_int_equal(sts_sealed_size(&s, 5), 0);
        assert_int_equal(sts_seal(&s, &out, bytes_of("text"), 0), STS_ERR_STATE);
        assert_ptr_equal(out.p, room);
        sts_stop(&s);
        sts_wipe(&s);
        assert_true(sts_deadline(&s) == UINT64_MAX);
        assert_int_equal(sts_tick(&s, 1000000), STS_EV_NONE);
        assert_int_equal(s.step, STS_STEP_IDLE);
    }
}

/* A cipher without the mode that speaks it starts nothing either. */
static void test_nosec_with_cipher(void **state)
{
    struct sts s;

    (void)state;
    sts_init(&s, STS_NOSEC, STS_CBC, 4, 30000);
    assert_int_equal(sts_start(&s, 0), STS_ERR_STATE);
    assert_int_equal(s.step, STS_STEP_IDLE);
    assert_int_equal(s.outbox_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_error_texts),
        cmocka_unit_test(test_outbox),
        cmocka_unit_test(test_no_version),
        cmocka_unit_test(test_nosec_with_cipher),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
