/* dns.c - name servers: a question for a name of the script, and an answer to it that the script
 * makes of records, or of any bytes, with the id and the question right or nearly so.
 *
 * What is taken must be what a second reader finds in the answer. */
#include "common.h"

#include "dns.h"
#include "limits.h"

struct message {
    uint8_t bytes[1024];
    size_t len;
};

static void put(struct message *m, struct bytes from)
{
    const size_t room = sizeof m->bytes - m->len, len = from.len < room ? from.len : room;

    if (len > 0)
        memcpy(m->bytes + m->len, from.p, len);
    m->len += len;
}

/* ---- the question ---- */

/* The name as text again; it has to be the one that was asked for, in lower case. */
static void check_name(struct bytes question, struct bytes name)
{
    size_t at = 12, i = 0;

    while (question.p[at] > 0) {
        const size_t len = question.p[at++];

        CHECK(len <= 63 && at + len < question.len);
        CHECK(i == 0 || name.p[i++] == '.');
        for (size_t end = at + len; at < end; at++, i++) {
            const uint8_t c = name.p[i];
            CHECK(i < name.len && c > ' ' && c != '.' && c != 0x7f);
            CHECK(question.p[at] == (c >= 'A' && c <= 'Z' ? c + 32 : c));
        }
    }
    CHECK(i == name.len && i > 0 && at + 5 == question.len);
}

static bool ask(struct message *question, struct rd *in, enum dns_type type)
{
    const struct bytes name = fuzz_take(in, rd_u8(in));
    const size_t room = rd_u8(in) % 4 == 0 ? rd_u8(in) : DNS_QUESTION_MAX_BYTES;
    uint8_t *block = malloc(room > 0 ? room : 1);
    struct wr out = wr_over(block, room);

    dns_write_question(&out, name, type, rd_be16(in));
    if (!out.bad) {
        put(question, (struct bytes){block, (size_t)(out.p - block)});
        check_name((struct bytes){question->bytes, question->len}, name);
    }
    free(block);
    return !out.bad;
}

/* ---- the answer ---- */

static void put_record(struct message *m, struct rd *in, enum dns_type type)
{
    static const uint8_t zeros[16];
    const uint8_t how = rd_u8(in);
    const uint8_t len = how & 1 ? rd_u8(in) % 20 : (uint8_t)dns_address_bytes(type);
    const uint8_t rest[] = {
        0, how & 2 ? rd_u8(in) : (uint8_t)type, 0, how & 4 ? 3 : 1, 0, 0, 0, 9, 0, len};
    const struct bytes name = how & 8 ? fuzz_take(in, rd_u8(in) % 16) : (struct bytes){zeros, 0};

    put(m, name);
    put(m, how & 16 ? (struct bytes){zeros, 1} : bytes_of("\xc0\x0c"));
    put(m, (struct bytes){rest, sizeof rest});
    put(m, fuzz_take(in, len));
}

static void make_answer(struct message *m, struct rd *in, const struct message *question,
                        enum dns_type type)
{
    uint8_t records = rd_u8(in) % 12;
    const uint8_t how = rd_u8(in),
                  flags[] = {how & 1 ? rd_u8(in) : 0x81, how & 2 ? rd_u8(in) : 0x80};
    const uint8_t counts[] = {0, 1, 0, records, 0, 0, 0, 0};

    put(m, (struct bytes){question->bytes, 2});
    put(m, (struct bytes){flags, sizeof flags});
    put(m, (struct bytes){counts, sizeof counts});
    put(m, (struct bytes){question->bytes + 12, question->len - 12});
    while (records-- > 0)
        put_record(m, in, type);
    if (how & 4) /* another byte somewhere */
        m->bytes[rd_be16(in) % m->len] ^= rd_u8(in);
    if (how & 8) /* cut */
        m->len = rd_be16(in) % m->len;
}

/* ---- a second reader ---- */

/* Where the name at `at` ends; 0: it does not. */
static size_t behind_name(const uint8_t *p, size_t len, size_t at)
{
    for (; at < len; at += 1u + p[at]) {
        if (p[at] == 0)
            return at + 1;
        if (p[at] >= 0xc0)
            return at + 2 <= len ? at + 2 : 0;
        if (p[at] > 63)
            return 0;
    }
    return 0;
}

/* The addresses of an answer up to where it breaks; returns whether it does. */
static bool read_again(struct message *found, const uint8_t *p, size_t len, size_t at,
                       enum dns_type type)
{
    for (unsigned records = (unsigned)(p[6] << 8 | p[7]); records > 0; records--) {
        at = behind_name(p, len, at);
        if (at == 0 || at + 10 > len)
            return true;
        const size_t data_len = (size_t)(p[at + 8] << 8 | p[at + 9]);
        if (at + 10 + data_len > len)
            return true;
        if (p[at] == 0 && p[at + 1] == type && p[at + 2] == 0 && p[at + 3] == 1 &&
            data_len == dns_address_bytes(type))
            put(found, (struct bytes){p + at + 10, data_len});
        at += 10 + data_len;
    }
    return false;
}

/* Questions are in lower case; an answer may have letters of either. */
static bool is_same_name(const uint8_t *p, const uint8_t *asked, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != asked[i] && !(p[i] >= 'A' && p[i] <= 'Z' && p[i] + ('a' - 'A') == asked[i]))
            return false;
    return true;
}

static void check(enum dns_result result, const struct message *answer,
                  const struct message *question, struct bytes taken, size_t room,
                  enum dns_type type)
{
    const uint8_t *p = answer->bytes;
    struct message found = {.len = 0};
    const size_t rest = question->len - 12;

    if (result != DNS_ANSWERED)
        return;
    CHECK(answer->len >= question->len && memcmp(p, question->bytes, 2) == 0);
    CHECK((p[2] & 0x80) && ((p[3] & 15) == 0 || (p[3] & 15) == 3));
    CHECK(p[4] == 0 && p[5] == 1 && is_same_name(p + 12, question->bytes + 12, rest));
    const bool broken = read_again(&found, p, answer->len, question->len, type);
    const size_t whole = room / dns_address_bytes(type) * dns_address_bytes(type);
    CHECK(!broken || (p[2] & 2));
    CHECK(taken.len == (found.len < whole ? found.len : whole));
    CHECK(memcmp(taken.p, found.bytes, taken.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd in = rd_over(data, size);
    const uint8_t how = rd_u8(&in);
    const enum dns_type type = how & 1 ? DNS_A : DNS_AAAA;
    const size_t room = how & 2 ? 128 : how >> 2;
    struct message question = {.len = 0}, answer = {.len = 0};

    fuzz_begin();
    if (!ask(&question, &in, type))
        return 0;
    if (rd_u8(&in) % 8 == 0)
        put(&answer, fuzz_take(&in, sizeof answer.bytes));
    else
        make_answer(&answer, &in, &question, type);

    const struct bytes exact = {answer.bytes, answer.len};
    uint8_t *copy = fuzz_copy(exact), *taken = malloc(room > 0 ? room : 1);
    struct wr out = wr_over(taken, room);
    const enum dns_result result = dns_read_answer(&out, (struct bytes){copy, answer.len},
                                                   (struct bytes){question.bytes, question.len});
    CHECK(!out.bad);
    check(result, &answer, &question, (struct bytes){taken, (size_t)(out.p - taken)}, room, type);
    free(taken);
    free(copy);
    return 0;
}
