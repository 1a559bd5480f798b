/* test_sts1_outbox.c - the messages of STS/1 that wait to leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sts1.h"

/* First in, first out, each type once. */
static void test_outbox(void **state)
{
    static const enum sts_type order[] = {STS_AUTHACK, STS_AUTHREQ, STS_RDYACK, STS_RDYREQ,
                                          STS_INITREQ, STS_INITACK, STS_ENC,    STS_KILL};
    struct sts1 s;

    (void)state;
    memset(&s, 0, sizeof s);
    for (size_t round = 0; round < 2; round++)
        for (size_t i = 0; i < 8; i++) {
            assert_int_equal(sts1_posted(&s, order[i]), round);
            sts1_post(&s, order[i]);
        }
    assert_int_equal(s.outbox_len, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(s.outbox[0], order[i]);
        sts1_unpost(&s);
        assert_false(sts1_posted(&s, order[i]));
    }
    assert_int_equal(s.outbox_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outbox),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
