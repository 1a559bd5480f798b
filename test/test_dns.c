/* test_dns.c - questions to a name server byte by byte, and what is made of answers.
 *
 * The packets are written by hand after RFC 1035, section 4; the answers of www.example.org stand as
 * a server of today gives them, with an alias and names that point back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns.h"

#define ID "\x12\x34"
#define QUESTION_REST "\1\0\0\1\0\0\0\0\0\0"
#define WWW "\3www\7example\3org\0"
#define A_IN "\0\1\0\1"
#define AAAA_IN "\0\x1c\0\1"

#define BYTES(literal) ((struct bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

static const struct bytes question_a = BYTES(ID QUESTION_REST WWW A_IN);
static const struct bytes question_aaaa = BYTES(ID QUESTION_REST WWW AAAA_IN);

static uint8_t room[DNS_QUESTION_MAX_BYTES + 64];

static bool write_into(size_t size, struct bytes *question, struct bytes name, enum dns_type type)
{
    struct wr out = wr_over(room, size);

    dns_write_question(&out, name, type, 0x1234);
    *question = (struct bytes){room, (size_t)(out.p - room)};
    return !out.bad;
}

static bool write_one(struct bytes *question, struct bytes name, enum dns_type type)
{
    return write_into(sizeof room, question, name, type);
}

static void a_question_is_as_in_the_standard(void **state)
{
    struct bytes question;

    (void)state;
    assert_true(write_one(&question, bytes_of("www.example.org"), DNS_A));
    assert_true(bytes_equal(question, question_a));
    assert_true(write_one(&question, bytes_of("WWW.eXample.ORG"), DNS_AAAA));
    assert_true(bytes_equal(question, question_aaaa));
    assert_true(write_one(&question, bytes_of("a"), DNS_A));
    assert_true(bytes_equal(question, BYTES(ID QUESTION_REST "\1a\0" A_IN)));
    assert_true(write_one(&question, bytes_of("_mqtt.xn--bcher-kva.\xc3\xa4"), DNS_A));
    assert_true(
        bytes_equal(question, BYTES(ID QUESTION_REST "\5_mqtt\15xn--bcher-kva\2\xc3\xa4\0" A_IN)));
}

static void what_is_no_name_is_not_asked_for(void **state)
{
    static const char *const names[] = {"", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\nb", "\x7f"};
    struct bytes question;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_false(write_one(&question, bytes_of(names[i]), DNS_A));
}

static void labels_and_names_have_a_longest(void **state)
{
    uint8_t name[DNS_NAME_MAX_CHARS + 1];
    struct bytes question;

    (void)state;
    memset(name, 'a', sizeof name);
    assert_true(write_one(&question, (struct bytes){name, 63}, DNS_A));
    assert_false(write_one(&question, (struct bytes){name, 64}, DNS_A));
    for (size_t i = 63; i < sizeof name; i += 64)
        name[i] = '.';
    assert_true(write_one(&question, (struct bytes){name, DNS_NAME_MAX_CHARS}, DNS_A));
    assert_int_equal(question.len, DNS_QUESTION_MAX_BYTES);
    for (size_t size = 0; size < DNS_QUESTION_MAX_BYTES; size++)
        assert_false(write_into(size, &question, (struct bytes){name, DNS_NAME_MAX_CHARS}, DNS_A));
    assert_false(write_one(&question, (struct bytes){name, DNS_NAME_MAX_CHARS + 1}, DNS_A));
}

/* ---- answers ---- */

static uint8_t found[64];
static size_t found_len;

/* In a block of its own size, for the sanitizer to guard. */
static enum dns_result read_into(size_t size, struct bytes answer, struct bytes question)
{
    uint8_t *copy = malloc(answer.len + 1);
    struct wr out = wr_over(found, size);

    memset(found, 0x77, sizeof found);
    memcpy(copy, answer.p, answer.len);
    const enum dns_result result = dns_read_answer(&out, (struct bytes){copy, answer.len},
                                                   question);
    free(copy);
    found_len = (size_t)(out.p - found);
    assert_false(out.bad);
    return result;
}

static enum dns_result read_one(struct bytes answer, struct bytes question)
{
    return read_into(sizeof found, answer, question);
}

#define HEAD(flags, answers) ID flags "\0\1\0" answers "\0\0\0\0"
#define OK "\x81\x80"
#define CUT "\x83\x80"
#define TTL "\0\0\1\x2c"
#define A_OF(address) "\xc0\x0c" A_IN TTL "\0\4" address
#define AAAA_OF(address) "\xc0\x0c" AAAA_IN TTL "\0\x10" address
#define ALIAS "\xc0\x0c\0\5\0\1" TTL "\0\6\3cdn\xc0\x10"
#define A_OF_ALIAS "\xc0\x2d" A_IN TTL "\0\4\xc0\0\2\7"
#define V6 "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\5"

static void expect_found(struct bytes answer, struct bytes question, struct bytes want)
{
    assert_int_equal(read_one(answer, question), DNS_ANSWERED);
    assert_int_equal(found_len, want.len);
    assert_memory_equal(found, want.p, want.len);
}

static void addresses_are_taken(void **state)
{
    (void)state;
    expect_found(BYTES(HEAD(OK, "\1") WWW A_IN A_OF("\xc0\0\2\1")), question_a,
                 BYTES("\xc0\0\2\1"));

    expect_found(BYTES(HEAD(OK, "\2") WWW A_IN A_OF("\xc0\0\2\1") A_OF("\xc0\0\2\2")), question_a,
                 BYTES("\xc0\0\2\1\xc0\0\2\2"));

    expect_found(BYTES(HEAD(OK, "\1") WWW AAAA_IN AAAA_OF(V6)), question_aaaa, BYTES(V6));

    expect_found(BYTES(HEAD(OK, "\2") WWW A_IN ALIAS A_OF_ALIAS), question_a, BYTES("\xc0\0\2\7"));
}

static void other_records_are_passed_over(void **state)
{
    (void)state;
    /* another kind, another class, a wrong length */
    expect_found(BYTES(HEAD(OK, "\4") WWW A_IN AAAA_OF(V6) "\xc0\x0c\0\1\0\3" TTL "\0\4abcd"
                                                           "\xc0\x0c" A_IN TTL
                                                           "\0\5abcde" A_OF("\xc0\0\2\1")),
                 question_a, BYTES("\xc0\0\2\1"));
    /* what stands behind the answers is not read */
    assert_int_equal(
        read_one(BYTES(HEAD(OK, "\1") WWW A_IN A_OF("\xc0\0\2\1") A_OF("\xc0\0\2\2")), question_a),
        DNS_ANSWERED);
    assert_int_equal(found_len, 4);
}

static void no_more_than_there_is_room_for(void **state)
{
    static const struct bytes two = BYTES(HEAD(OK, "\2") WWW A_IN A_OF("\xc0\0\2\1")
                                              A_OF("\xc0\0\2\2"));

    (void)state;
    for (size_t size = 0; size <= 9; size++) {
        assert_int_equal(read_into(size, two, question_a), DNS_ANSWERED);
        assert_int_equal(found_len, size / 4 > 2 ? 2 : size / 4 * 4 > 8 ? 8 : size / 4 * 4);
        assert_int_equal(found[size], 0x77);
    }
}

static void a_name_may_have_no_address(void **state)
{
    (void)state;
    assert_int_equal(read_one(BYTES(HEAD(OK, "\0") WWW A_IN), question_a), DNS_ANSWERED);
    assert_int_equal(found_len, 0);
    assert_int_equal(read_one(BYTES(HEAD("\x81\x83", "\0") WWW A_IN), question_a), DNS_ANSWERED);
    assert_int_equal(found_len, 0);
}

static void a_server_may_refuse(void **state)
{
    (void)state;
    for (uint8_t rcode = 1; rcode < 16; rcode++) {
        uint8_t with[] = HEAD("\x81\x80", "\0") WWW A_IN, bare[12] = ID "\x81\x80";

        if (rcode == 3)
            continue;
        with[3] |= rcode;
        bare[3] |= rcode;
        assert_int_equal(read_one((struct bytes){with, sizeof with - 1}, question_a), DNS_REFUSED);
        /* some leave the question out */
        assert_int_equal(read_one((struct bytes){bare, sizeof bare}, question_a), DNS_REFUSED);
    }
}

static void what_was_not_asked_is_no_answer(void **state)
{
    static const struct bytes cases[] = {
        BYTES("\x12\x35" OK "\0\1\0\1\0\0\0\0" WWW A_IN A_OF("\xc0\0\2\1")), /* the id */
        BYTES("\x13\x34" OK "\0\1\0\1\0\0\0\0" WWW A_IN A_OF("\xc0\0\2\1")),
        BYTES(HEAD("\1\0", "\1") WWW A_IN A_OF("\xc0\0\2\1")), /* a question */
        BYTES(HEAD(OK, "\1") "\3www\7example\3net\0" A_IN A_OF("\xc0\0\2\1")),
        BYTES(HEAD(OK, "\1") "\3wwv\7example\3org\0" A_IN A_OF("\xc0\0\2\1")),
        BYTES(HEAD(OK, "\1") WWW AAAA_IN A_OF("\xc0\0\2\1")),
        BYTES(HEAD(OK, "\1") WWW "\0\1\0\3" A_OF("\xc0\0\2\1")),
        BYTES(ID OK "\0\0\0\1\0\0\0\0" A_OF("\xc0\0\2\1")),
        BYTES(ID OK "\0\2\0\1\0\0\0\0" WWW A_IN A_OF("\xc0\0\2\1")),
        BYTES(""),
        BYTES(ID OK "\0\1\0\1\0\0\0"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(read_one(cases[i], question_a), DNS_UNRELATED);
}

/* RFC 4343: but letters only, and none else that differ in that bit. */
static void the_case_of_letters_does_not_matter(void **state)
{
    (void)state;
    expect_found(BYTES(HEAD(OK, "\1") "\3WwW\7EXAMPLE\3oRg\0" A_IN A_OF("\xc0\0\2\1")), question_a,
                 BYTES("\xc0\0\2\1"));
    expect_found(BYTES(HEAD(OK, "\1") "\4AZ{`\0" A_IN A_OF("\xc0\0\2\1")),
                 BYTES(ID QUESTION_REST "\4az{`\0" A_IN), BYTES("\xc0\0\2\1"));
    assert_int_equal(
        read_one(BYTES(HEAD(OK, "\0") "\4az[`\0" A_IN), BYTES(ID QUESTION_REST "\4az{`\0" A_IN)),
        DNS_UNRELATED);
    assert_int_equal(
        read_one(BYTES(HEAD(OK, "\0") "\4az{@\0" A_IN), BYTES(ID QUESTION_REST "\4az{`\0" A_IN)),
        DNS_UNRELATED);
}

static void an_answer_that_was_cut_counts_as_far_as_it_goes(void **state)
{
    static const struct bytes whole = BYTES(HEAD(CUT, "\2") WWW A_IN A_OF("\xc0\0\2\1")
                                                A_OF("\xc0\0\2\2"));

    (void)state;
    for (size_t len = question_a.len; len <= whole.len; len++) {
        const size_t count = (len - question_a.len) / 16;
        assert_int_equal(read_one((struct bytes){whole.p, len}, question_a),
                         count > 0 ? DNS_ANSWERED : DNS_REFUSED);
        assert_int_equal(found_len, 4 * count);
    }
}

static void a_broken_answer_is_none(void **state)
{
    static const struct bytes whole = BYTES(HEAD(OK, "\2") WWW A_IN ALIAS A_OF_ALIAS);
    static const struct bytes cases[] = {
        BYTES(HEAD(OK, "\1") WWW A_IN "\x40" A_IN TTL "\0\4abcd"), /* reserved label types */
        BYTES(HEAD(OK, "\1") WWW A_IN "\x80" A_IN TTL "\0\4abcd"),
        BYTES(HEAD(OK, "\1") WWW A_IN "\xbf" A_IN TTL "\0\4abcd"),
        BYTES(HEAD(OK, "\1") WWW A_IN "\x3f" A_IN TTL "\0\4abcd"), /* a label behind the end */
        BYTES(HEAD(OK, "\2") WWW A_IN A_OF("\xc0\0\2\1")),         /* one record is missing */
        BYTES(HEAD(OK, "\1") WWW A_IN "\xc0\x0c" A_IN TTL "\xff\xff"
                                      "abcd"),
        BYTES(HEAD(OK, "\xff") WWW A_IN A_OF("\xc0\0\2\1")),
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(read_one(cases[i], question_a), DNS_REFUSED);
    for (size_t len = question_a.len; len < whole.len; len++)
        assert_int_equal(read_one((struct bytes){whole.p, len}, question_a), DNS_REFUSED);
    for (size_t len = 0; len < question_a.len; len++)
        assert_int_equal(read_one((struct bytes){whole.p, len}, question_a), DNS_UNRELATED);
    assert_int_equal(read_one(whole, question_a), DNS_ANSWERED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_as_in_the_standard),
        cmocka_unit_test(what_is_no_name_is_not_asked_for),
        cmocka_unit_test(labels_and_names_have_a_longest),
        cmocka_unit_test(addresses_are_taken),
        cmocka_unit_test(other_records_are_passed_over),
        cmocka_unit_test(no_more_than_there_is_room_for),
        cmocka_unit_test(a_name_may_have_no_address),
        cmocka_unit_test(a_server_may_refuse),
        cmocka_unit_test(what_was_not_asked_is_no_answer),
        cmocka_unit_test(the_case_of_letters_does_not_matter),
        cmocka_unit_test(an_answer_that_was_cut_counts_as_far_as_it_goes),
        cmocka_unit_test(a_broken_answer_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
