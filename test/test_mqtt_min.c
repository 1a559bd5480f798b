/* test_mqtt_min.c - the MQTT codec against bytes taken from the standard by hand.
 *
 * What is decoded stands in heap blocks of exactly its size, so AddressSanitizer sees any read
 * outside of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "limits.h"
#include "mqtt_min.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define B(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
#define UNTOUCHED 0xa5
#define PACKET_MAX_BYTES (MQTT_FIXED_HEADER_MAX_BYTES + (size_t)MQTT_REMAINING_LENGTH_MAX)

static const enum mqtt_version versions[] = {MQTT_3_1, MQTT_3_1_1};

static uint8_t long_string[MQTT_STRING_MAX_BYTES + 1];

/* A copy of `len` bytes at the very end of a heap block; *block is to be freed. */
static uint8_t *exact_copy(uint8_t **block, const uint8_t *bytes, size_t len)
{
    size_t unused = len == 0;

    *block = malloc(len + unused);
    assert_non_null(*block);
    if (len > 0)
        memcpy(*block, bytes, len);
    return *block + unused;
}

static int read_exact(enum mqtt_version version, const uint8_t *bytes, size_t len)
{
    struct mqtt_packet packet;
    uint8_t *block;
    int result = mqtt_read(version, &packet, exact_copy(&block, bytes, len), len);

    free(block);
    return result;
}

static void check_bytes(const char *name, struct bytes is, struct bytes expected)
{
    if (!bytes_equal(is, expected))
        fail_msg("%s: %zu bytes, not the %zu expected, or others", name, is.len, expected.len);
}

static void check_int(const char *name, long is, long expected)
{
    if (is != expected)
        fail_msg("%s: %ld, expected %ld", name, is, expected);
}

/* Address space for the largest packet; pages that nobody writes cost nothing. */
static uint8_t *map_largest(void)
{
    void *map = mmap(NULL, PACKET_MAX_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_true(map != MAP_FAILED);
    return map;
}

/* ---- words ---- */

static void test_words(void **state)
{
    static const char *const types[] = {
        "CONNECT",   "CONNACK", "PUBLISH",     "PUBACK",   "PUBREC",  "PUBREL",   "PUBCOMP",
        "SUBSCRIBE", "SUBACK",  "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT"};
    static const char *const codes[] = {
        "connection accepted", "unacceptable protocol version", "client identifier rejected",
        "server unavailable",  "bad user name or password",     "not authorized"};

    (void)state;
#define CHECK_TEXT(name, value, text) assert_string_equal(mqtt_err_text(name), text);
    MQTT_ERRORS(CHECK_TEXT)
#undef CHECK_TEXT
    for (size_t i = 0; i < COUNT(types); i++)
        assert_string_equal(mqtt_type_name((enum mqtt_type)(i + 1)), types[i]);
    for (size_t i = 0; i < COUNT(codes); i++)
        assert_string_equal(mqtt_connack_text((enum mqtt_connack_code)i), codes[i]);
    assert_string_equal(mqtt_err_text(0), "unknown");
    assert_string_equal(mqtt_err_text(MQTT_ERR_RETURN_CODE - 1), "unknown");
    assert_string_equal(mqtt_err_text(INT32_MIN), "unknown");
    assert_string_equal(mqtt_err_text(INT32_MAX), "unknown");
    assert_string_equal(mqtt_type_name((enum mqtt_type)0), "unknown");
    assert_string_equal(mqtt_type_name((enum mqtt_type)15), "unknown");
    assert_string_equal(mqtt_connack_text((enum mqtt_connack_code)6), "unknown");
}

/* ---- strings ---- */

static bool utf8_ok(const uint8_t *bytes, size_t len)
{
    uint8_t *block;
    bool ok = mqtt_utf8_ok((struct bytes){exact_copy(&block, bytes, len), len});

    free(block);
    return ok;
}

static const struct {
    const char *name;
    const uint8_t *bytes;
    size_t len;
    bool ok;
} strings[] = {
    {"one letter", B('a'), true},
    {"NUL", B(0), false},
    {"NUL in the middle", B('a', 0, 'b'), false},
    {"control character", B(0x01), true},
    {"DEL", B(0x7f), true},
    {"lowest of two bytes, U+0080", B(0xc2, 0x80), true},
    {"highest of two bytes, U+07FF", B(0xdf, 0xbf), true},
    {"lowest of three bytes, U+0800", B(0xe0, 0xa0, 0x80), true},
    {"U+D7FF", B(0xed, 0x9f, 0xbf), true},
    {"surrogate U+D800", B(0xed, 0xa0, 0x80), false},
    {"surrogate U+DFFF", B(0xed, 0xbf, 0xbf), false},
    {"surrogate pair", B(0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80), false},
    {"U+E000", B(0xee, 0x80, 0x80), true},
    {"byte order mark, [MQTT-1.5.3-3]", B(0xef, 0xbb, 0xbf), true},
    {"non-character U+FFFF", B(0xef, 0xbf, 0xbf), true},
    {"lowest of four bytes, U+10000", B(0xf0, 0x90, 0x80, 0x80), true},
    {"example of section 1.5.3, A U+2A6D4", B('A', 0xf0, 0xaa, 0x9b, 0x94), true},
    {"U+10FFFF", B(0xf4, 0x8f, 0xbf, 0xbf), true},
    {"U+110000", B(0xf4, 0x90, 0x80, 0x80), false},
    {"U+1FFFFF", B(0xf7, 0xbf, 0xbf, 0xbf), false},
    {"overlong NUL", B(0xc0, 0x80), false},
    {"overlong slash of two bytes", B(0xc0, 0xaf), false},
    {"overlong DEL", B(0xc1, 0xbf), false},
    {"overlong slash of three bytes", B(0xe0, 0x80, 0xaf), false},
    {"overlong U+07FF", B(0xe0, 0x9f, 0xbf), false},
    {"overlong slash of four bytes", B(0xf0, 0x80, 0x80, 0xaf), false},
    {"overlong U+FFFF", B(0xf0, 0x8f, 0xbf, 0xbf), false},
    {"five bytes", B(0xf8, 0x88, 0x80, 0x80, 0x80), false},
    {"six bytes", B(0xfc, 0x84, 0x80, 0x80, 0x80, 0x80), false},
    {"0xfe", B(0xfe), false},
    {"0xff", B(0xff), false},
    {"continuation alone", B(0x80), false},
    {"continuation after a letter", B('a', 0xbf), false},
    {"one of two bytes", B(0xc3), false},
    {"two of three bytes", B(0xe2, 0x82), false},
    {"three of four bytes", B(0xf0, 0x9f, 0x98), false},
    {"a letter where a continuation should be", B(0xc3, 'a'), false},
    {"a lead where a continuation should be", B(0xe2, 0x82, 0xc3), false},
    {"one continuation too many", B(0xc3, 0xa9, 0xa9), false},
};

static void test_strings(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(strings); i++)
        check_int(strings[i].name, utf8_ok(strings[i].bytes, strings[i].len), strings[i].ok);
    assert_true(mqtt_utf8_ok((struct bytes){NULL, 0}));
    assert_true(mqtt_utf8_ok((struct bytes){long_string, MQTT_STRING_MAX_BYTES}));
    assert_false(mqtt_utf8_ok((struct bytes){long_string, MQTT_STRING_MAX_BYTES + 1}));
}

/* Table 3-7 of the Unicode standard: the length of the well-formed character that `b` starts with,
 * 0 if there is none. */
static size_t table_3_7(const uint8_t *b, size_t len)
{
    static const uint8_t rows[][6] = {
        /* first, to, second, to, bytes */
        {0x00, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        const uint8_t *row = rows[i];

        if (b[0] < row[0] || b[0] > row[1] || len < row[4])
            continue;
        if (row[4] > 1 && (b[1] < row[2] || b[1] > row[3]))
            continue;
        if ((row[4] > 2 && (b[2] & 0xc0) != 0x80) || (row[4] > 3 && (b[3] & 0xc0) != 0x80))
            continue;
        return row[4];
    }
    return 0;
}

static bool reference_utf8_ok(const uint8_t *b, size_t len)
{
    for (size_t at = 0, n; at < len; at += n) {
        n = table_3_7(b + at, len - at);
        if (n == 0 || b[at] == 0)
            return false;
    }
    return true;
}

static void test_utf8_against_the_table(void **state)
{
    static const uint8_t borders[] = {0x00, 'a', 0x80, 0xbf, 0xc0};
    uint8_t b[4];

    (void)state;
    for (unsigned i = 0; i < 0x10000; i++) {
        for (size_t j = 0; j < COUNT(borders) * COUNT(borders); j++) {
            b[0] = (uint8_t)(i >> 8);
            b[1] = (uint8_t)i;
            b[2] = borders[j / COUNT(borders)];
            b[3] = borders[j % COUNT(borders)];
            for (size_t len = j == 0 ? 1 : 4; len <= 4; len++) {
                if (mqtt_utf8_ok((struct bytes){b, len}) != reference_utf8_ok(b, len))
                    fail_msg("%02x %02x %02x %02x, first %zu", b[0], b[1], b[2], b[3], len);
            }
        }
    }
}

/* ---- topics ---- */

static const struct {
    const char *text;
    bool topic, filter;
} topics[] = {
    {"", false, false},
    {"a", true, true},
    {"/", true, true},
    {"//", true, true},
    {"/a", true, true},
    {"a/", true, true},
    {"a b/c", true, true},
    {"$SYS/broker", true, true},
    {"sport/tennis/player1", true, true},
    {"\xc3\xa9/\xf0\x9f\x98\x80", true, true},
    {"\xc0\xaf", false, false},
    {"a/\xed\xa0\x80", false, false},
    {"#", false, true},
    {"+", false, true},
    {"/#", false, true},
    {"/+", false, true},
    {"+/", false, true},
    {"+/+", false, true},
    {"+/#", false, true},
    {"a/#", false, true},
    {"a/+", false, true},
    {"a/+/b", false, true},
    {"+/a/#", false, true},
    {"$SYS/#", false, true},
    {"a#", false, false},
    {"a/b#", false, false},
    {"#/", false, false},
    {"#/a", false, false},
    {"#a", false, false},
    {"##", false, false},
    {"a/#/b", false, false},
    {"a+", false, false},
    {"+a", false, false},
    {"++", false, false},
    {"+#", false, false},
    {"#+", false, false},
    {"a/b+/c", false, false},
    {"a/+b/c", false, false},
    {"\xc3\xa9+", false, false},
    {"+/\xff", false, false},
};

static void test_topics(void **state)
{
    static const struct bytes with_nul = {(const uint8_t *)"a\0b", 3};
    struct bytes longest = {long_string, MQTT_STRING_MAX_BYTES};
    struct bytes too_long = {long_string, MQTT_STRING_MAX_BYTES + 1};

    (void)state;
    for (size_t i = 0; i < COUNT(topics); i++) {
        struct bytes text = bytes_of(topics[i].text);
        uint8_t *block;

        text.p = exact_copy(&block, text.p, text.len);
        check_int(topics[i].text, mqtt_topic_ok(text), topics[i].topic);
        check_int(topics[i].text, mqtt_filter_ok(text), topics[i].filter);
        free(block);
    }
    assert_false(mqtt_topic_ok(with_nul));
    assert_false(mqtt_filter_ok(with_nul));
    assert_true(mqtt_topic_ok(longest));
    assert_true(mqtt_filter_ok(longest));
    assert_false(mqtt_topic_ok(too_long));
    assert_false(mqtt_filter_ok(too_long));
    assert_false(mqtt_topic_ok((struct bytes){NULL, 0}));
    assert_false(mqtt_filter_ok((struct bytes){NULL, 0}));
}

/* ---- the fixed header ---- */

/* What a broker may put first, from tables 2.1 and 2.2. */
static int expected_for_first_byte(enum mqtt_version version, unsigned first)
{
    static const uint8_t allowed[] = {0x20, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x3a, 0x3b,
                                      0x3c, 0x3d, 0x40, 0x50, 0x62, 0x70, 0x90, 0xb0, 0xd0};
    unsigned type = first >> 4;

    for (size_t i = 0; i < COUNT(allowed); i++) {
        if (first == allowed[i])
            return 2;
        if (version == MQTT_3_1 && type != MQTT_PUBLISH && type == allowed[i] >> 4)
            return 2;
    }
    if (type == MQTT_PUBLISH)
        return (first & 6) == 6 ? MQTT_ERR_QOS : MQTT_ERR_DUP;
    return strchr("\x2\x4\x5\x6\x7\x9\xb\xd", (int)type) && type ? MQTT_ERR_FLAGS : MQTT_ERR_TYPE;
}

static void test_first_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(versions); i++) {
        for (unsigned first = 0; first < 256; first++) {
            int expected = expected_for_first_byte(versions[i], first);
            uint8_t in[2] = {(uint8_t)first, 5};
            struct mqtt_header header;
            char name[32];

            snprintf(name, sizeof name, "version %d, first byte %02x", versions[i], first);
            check_int(name, mqtt_read_header(versions[i], &header, in, 1),
                      expected < 0 ? expected : 0);
            check_int(name, mqtt_read_header(versions[i], &header, in, 2), expected);
            if (expected < 0)
                continue;
            check_int(name, header.type, first >> 4);
            check_int(name, header.flags, first & 15);
            check_int(name, (long)header.header_len, 2);
            check_int(name, (long)header.remaining_length, 5);
        }
    }
}

static const struct {
    const char *name;
    uint8_t digits[5];
    int expected; /* header_len or an error */
    size_t remaining_length;
} lengths[] = {
    {"0", {0x00}, 2, 0},
    {"1", {0x01}, 2, 1},
    {"127", {0x7f}, 2, 127},
    {"128", {0x80, 0x01}, 3, 128},
    {"321, section 2.2.3", {0xc1, 0x02}, 3, 321},
    {"16383", {0xff, 0x7f}, 3, 16383},
    {"16384", {0x80, 0x80, 0x01}, 4, 16384},
    {"2097151", {0xff, 0xff, 0x7f}, 4, 2097151},
    {"2097152", {0x80, 0x80, 0x80, 0x01}, 5, 2097152},
    {"268435455", {0xff, 0xff, 0xff, 0x7f}, 5, 268435455},
    {"268435456", {0x80, 0x80, 0x80, 0x80, 0x01}, MQTT_ERR_LENGTH, 0},
    {"five bytes of a small value", {0x81, 0x80, 0x80, 0x80, 0x00}, MQTT_ERR_LENGTH, 0},
    {"five bytes, all ones", {0xff, 0xff, 0xff, 0xff, 0xff}, MQTT_ERR_LENGTH, 0},
    {"0 in two bytes", {0x80, 0x00}, 3, 0},
    {"127 in four bytes", {0xff, 0x80, 0x80, 0x00}, 5, 127},
};

static void test_remaining_lengths_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        uint8_t in[6] = {0x30};
        size_t whole = lengths[i].expected > 0 ? (size_t)lengths[i].expected : 5;
        struct mqtt_header header;

        memcpy(in + 1, lengths[i].digits, 5);
        for (size_t len = 0; len <= whole; len++) {
            uint8_t *block, *at = exact_copy(&block, in, len);

            check_int(lengths[i].name, mqtt_read_header(MQTT_3_1_1, &header, at, len),
                      len < whole ? 0 : lengths[i].expected);
            free(block);
        }
        if (lengths[i].expected < 0)
            continue;
        check_int(lengths[i].name, (long)header.header_len, lengths[i].expected);
        check_int(lengths[i].name, (long)header.remaining_length,
                  (long)lengths[i].remaining_length);
    }
}

static void test_remaining_lengths_written(void **state)
{
    uint8_t *map = map_largest();

    (void)state;
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct mqtt_publish publish = {.topic = bytes_of("t")};
        struct wr out = wr_over(map, PACKET_MAX_BYTES);
        size_t digits = (size_t)lengths[i].expected - 1;

        if (lengths[i].expected < 0 || lengths[i].remaining_length < 3 ||
            lengths[i].digits[digits - 1] == 0)
            continue;
        publish.payload.len = lengths[i].remaining_length - 3;
        check_int(lengths[i].name, mqtt_write_publish(&out, &publish), 0);
        check_int(lengths[i].name, out.p - map, 1 + (long)digits + 3);
        check_int(lengths[i].name, map[0], 0x30);
        assert_memory_equal(map + 1, lengths[i].digits, digits);
        assert_memory_equal(map + 1 + digits, "\0\x1t", 3);
        check_int(lengths[i].name, (long)mqtt_publish_size(1, 0, publish.payload.len),
                  1 + (long)digits + (long)lengths[i].remaining_length);
    }
    munmap(map, PACKET_MAX_BYTES);
}

/* ---- packets that are well formed ---- */

static const struct packet_case {
    const char *name;
    const uint8_t *bytes;
    size_t len;
    bool only_3_1;
} valid[] = {
    {"CONNACK accepted", B(0x20, 2, 0, 0), false},
    {"CONNACK with a session", B(0x20, 2, 1, 0), false},
    {"CONNACK not authorized", B(0x20, 2, 0, 5), false},
    {"CONNACK, length in two bytes", B(0x20, 0x82, 0, 0, 0), false},
    {"CONNACK, length in four bytes", B(0x20, 0x82, 0x80, 0x80, 0, 0, 0), false},
    {"CONNACK of 3.1 with the reserved byte used", B(0x20, 2, 0xff, 0), true},
    {"CONNACK of 3.1, reserved byte and a refusal", B(0x20, 2, 1, 5), true},
    {"CONNACK of 3.1 with flags", B(0x2f, 2, 0, 0), true},
    {"PUBLISH QoS 0", B(0x30, 6, 0, 3, 'a', '/', 'b', 'x'), false},
    {"PUBLISH without payload", B(0x31, 3, 0, 1, 'a'), false},
    {"PUBLISH QoS 1", B(0x32, 6, 0, 1, 'a', 0, 1, 'x'), false},
    {"PUBLISH QoS 1 without payload", B(0x32, 5, 0, 1, 'a', 0xff, 0xff), false},
    {"PUBLISH QoS 1 DUP", B(0x3a, 6, 0, 1, 'a', 0, 1, 'x'), false},
    {"PUBLISH QoS 2 DUP RETAIN", B(0x3d, 7, 0, 1, 'a', 1, 0, 'x', 0), false},
    {"PUBLISH with a topic beyond ASCII", B(0x30, 4, 0, 2, 0xc3, 0xa9), false},
    {"PUBACK", B(0x40, 2, 0, 1), false},
    {"PUBREC", B(0x50, 2, 0xff, 0xff), false},
    {"PUBREL", B(0x62, 2, 1, 0), false},
    {"PUBREL of 3.1 with DUP", B(0x6a, 2, 0, 1), true},
    {"PUBREL of 3.1 without QoS", B(0x60, 2, 0, 1), true},
    {"PUBCOMP", B(0x70, 2, 0, 1), false},
    {"SUBACK of one", B(0x90, 3, 0, 1, 0), false},
    {"SUBACK of all codes", B(0x90, 6, 0, 1, 0, 1, 2, 0x80), false},
    {"SUBACK, failures of MQTT 5", B(0x90, 5, 0, 1, 0x81, 0x87, 0xff), false},
    {"UNSUBACK", B(0xb0, 2, 0, 1), false},
    {"PINGRESP", B(0xd0, 0), false},
    {"PINGRESP of 3.1 with flags", B(0xdf, 0), true},
};

static void test_every_prefix_needs_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        const struct packet_case *c = &valid[i];

        for (size_t v = 0; v < COUNT(versions); v++) {
            if (c->only_3_1 && versions[v] != MQTT_3_1)
                continue;
            for (size_t len = 0; len < c->len; len++)
                check_int(c->name, read_exact(versions[v], c->bytes, len), 0);
            check_int(c->name, read_exact(versions[v], c->bytes, c->len), (long)c->len);
        }
    }
}

static void test_3_1_is_not_3_1_1(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        if (valid[i].only_3_1)
            check_int(valid[i].name, read_exact(MQTT_3_1_1, valid[i].bytes, valid[i].len),
                      MQTT_ERR_FLAGS);
    }
}

/* Each packet followed by one byte, and by each other packet. */
static void test_what_follows_is_left_alone(void **state)
{
    uint8_t both[64];

    (void)state;
    for (size_t i = 0; i < COUNT(valid); i++) {
        memcpy(both, valid[i].bytes, valid[i].len);
        for (unsigned next = 0; next < 256; next++) {
            both[valid[i].len] = (uint8_t)next;
            check_int(valid[i].name, read_exact(MQTT_3_1, both, valid[i].len + 1),
                      (long)valid[i].len);
        }
        for (size_t j = 0; j < COUNT(valid); j++) {
            size_t len = valid[i].len + valid[j].len;

            memcpy(both + valid[i].len, valid[j].bytes, valid[j].len);
            check_int(valid[i].name, read_exact(MQTT_3_1, both, len), (long)valid[i].len);
            check_int(valid[j].name, read_exact(MQTT_3_1, both + valid[i].len, len - valid[i].len),
                      (long)valid[j].len);
        }
    }
}

static struct mqtt_packet packet_of(enum mqtt_version version, const uint8_t *bytes, size_t len)
{
    struct mqtt_packet packet;

    memset(&packet, UNTOUCHED, sizeof packet);
    assert_int_equal(mqtt_read(version, &packet, bytes, len), len);
    assert_int_equal(packet.type, bytes[0] >> 4);
    return packet;
}

static void test_connack_fields(void **state)
{
    (void)state;
    for (uint8_t code = 0; code <= 5; code++) {
        struct mqtt_packet packet = packet_of(MQTT_3_1_1, B(0x20, 2, 0, code));

        assert_false(packet.u.connack.session_present);
        assert_int_equal(packet.u.connack.code, code);
        packet = packet_of(MQTT_3_1, B(0x20, 2, 1, code));
        assert_false(packet.u.connack.session_present);
        assert_int_equal(packet.u.connack.code, code);
    }
    assert_true(packet_of(MQTT_3_1_1, B(0x20, 2, 1, 0)).u.connack.session_present);
}

static void test_publish_fields(void **state)
{
    static const uint8_t in[] = {0x3d, 10, 0, 3, 'a', '/', 'b', 0x12, 0x34, 'x', 0, 'y'};
    struct mqtt_publish publish = packet_of(MQTT_3_1_1, in, sizeof in).u.publish;

    (void)state;
    assert_ptr_equal(publish.topic.p, in + 4);
    assert_int_equal(publish.topic.len, 3);
    assert_int_equal(publish.packet_id, 0x1234);
    assert_ptr_equal(publish.payload.p, in + 9);
    assert_int_equal(publish.payload.len, 3);
    assert_int_equal(publish.qos, 2);
    assert_true(publish.dup);
    assert_true(publish.retain);

    publish = packet_of(MQTT_3_1, B(0x30, 3, 0, 1, 'a')).u.publish;
    assert_int_equal(publish.packet_id, 0);
    assert_int_equal(publish.payload.len, 0);
    assert_int_equal(publish.qos, 0);
    assert_false(publish.dup);
    assert_false(publish.retain);
    assert_true(packet_of(MQTT_3_1, B(0x31, 3, 0, 1, 'a')).u.publish.retain);
    assert_true(packet_of(MQTT_3_1, B(0x3a, 5, 0, 1, 'a', 0, 1)).u.publish.dup);
    assert_int_equal(packet_of(MQTT_3_1, B(0x32, 5, 0, 1, 'a', 0, 1)).u.publish.qos, 1);
}

static void test_ack_and_suback_fields(void **state)
{
    static const uint8_t firsts[] = {0x40, 0x50, 0x62, 0x70, 0xb0};
    static const uint8_t suback[] = {0x90, 6, 0x43, 0x21, 2, 0x80, 0, 1};
    struct mqtt_packet packet = packet_of(MQTT_3_1_1, suback, sizeof suback);

    (void)state;
    assert_int_equal(packet.u.suback.packet_id, 0x4321);
    assert_ptr_equal(packet.u.suback.codes.p, suback + 4);
    assert_int_equal(packet.u.suback.codes.len, 4);
    for (size_t i = 0; i < COUNT(firsts); i++)
        assert_int_equal(packet_of(MQTT_3_1_1, B(firsts[i], 2, 0x12, 0x34)).u.ack.packet_id,
                         0x1234);
}

static void test_longest_publish(void **state)
{
    static const uint8_t head[] = {0x32, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff};
    uint8_t *map = map_largest();
    struct mqtt_packet packet;

    (void)state;
    memcpy(map, head, sizeof head);
    memcpy(map + 7, long_string, MQTT_STRING_MAX_BYTES);
    map[7 + MQTT_STRING_MAX_BYTES + 1] = 1;
    assert_int_equal(mqtt_read(MQTT_3_1_1, &packet, map, PACKET_MAX_BYTES - 1), 0);
    packet = packet_of(MQTT_3_1_1, map, PACKET_MAX_BYTES);
    assert_int_equal(packet.u.publish.topic.len, MQTT_STRING_MAX_BYTES);
    assert_int_equal(packet.u.publish.packet_id, 1);
    assert_int_equal(packet.u.publish.payload.len, 268435455 - 2 - 65535 - 2);
    munmap(map, PACKET_MAX_BYTES);
}

static void test_longest_suback(void **state)
{
    static const uint8_t head[] = {0x90, 0xff, 0xff, 0x03, 0, 1};
    uint8_t in[4 + 65535] = {0};

    (void)state;
    memcpy(in, head, sizeof head);
    assert_int_equal(packet_of(MQTT_3_1_1, in, sizeof in).u.suback.codes.len, 65533);
    in[sizeof in - 1] = 3;
    assert_int_equal(read_exact(MQTT_3_1_1, in, sizeof in), MQTT_ERR_RETURN_CODE);
}

/* ---- packets that are malformed ---- */

static const struct {
    const char *name;
    const uint8_t *bytes;
    size_t len;
    int in_3_1_1;
    int in_3_1; /* 0: the same */
} malformed[] = {
    {"type 0", B(0x00, 0), MQTT_ERR_TYPE, 0},
    {"type 15", B(0xf0, 0), MQTT_ERR_TYPE, 0},
    {"CONNECT", B(0x10, 0), MQTT_ERR_TYPE, 0},
    {"SUBSCRIBE", B(0x82, 6, 0, 1, 0, 1, 'a', 0), MQTT_ERR_TYPE, 0},
    {"UNSUBSCRIBE", B(0xa2, 5, 0, 1, 0, 1, 'a'), MQTT_ERR_TYPE, 0},
    {"PINGREQ", B(0xc0, 0), MQTT_ERR_TYPE, 0},
    {"DISCONNECT", B(0xe0, 0), MQTT_ERR_TYPE, 0},
    {"CONNACK, reserved header flag", B(0x21, 2, 0, 0), MQTT_ERR_FLAGS, 4},
    {"PUBACK, reserved header flag", B(0x42, 2, 0, 1), MQTT_ERR_FLAGS, 4},
    {"PUBREC, reserved header flag", B(0x58, 2, 0, 1), MQTT_ERR_FLAGS, 4},
    {"PUBREL, flags 0", B(0x60, 2, 0, 1), MQTT_ERR_FLAGS, 4},
    {"PUBREL, DUP", B(0x6a, 2, 0, 1), MQTT_ERR_FLAGS, 4},
    {"PUBCOMP, reserved header flag", B(0x74, 2, 0, 1), MQTT_ERR_FLAGS, 4},
    {"SUBACK, reserved header flag", B(0x92, 3, 0, 1, 0), MQTT_ERR_FLAGS, 5},
    {"UNSUBACK, reserved header flag", B(0xb2, 2, 0, 1), MQTT_ERR_FLAGS, 4},
    {"PINGRESP, reserved header flag", B(0xd1, 0), MQTT_ERR_FLAGS, 2},
    {"PUBLISH, QoS 3", B(0x36, 5, 0, 1, 'a', 0, 1), MQTT_ERR_QOS, 0},
    {"PUBLISH, QoS 3, DUP, RETAIN", B(0x3f, 5, 0, 1, 'a', 0, 1), MQTT_ERR_QOS, 0},
    {"PUBLISH, DUP with QoS 0", B(0x38, 3, 0, 1, 'a'), MQTT_ERR_DUP, 0},
    {"PUBLISH, DUP and RETAIN with QoS 0", B(0x39, 3, 0, 1, 'a'), MQTT_ERR_DUP, 0},
    {"remaining length of five bytes", B(0x30, 0x83, 0x80, 0x80, 0x80, 0, 0, 1, 'a'),
     MQTT_ERR_LENGTH, 0},
    {"fourth length byte says there is a fifth", B(0x30, 0xff, 0xff, 0xff, 0xff), MQTT_ERR_LENGTH,
     0},

    {"CONNACK of 0", B(0x20, 0), MQTT_ERR_SIZE, 0},
    {"CONNACK of 1", B(0x20, 1), MQTT_ERR_SIZE, 0},
    {"CONNACK of 3", B(0x20, 3), MQTT_ERR_SIZE, 0},
    {"PUBACK of 1", B(0x40, 1), MQTT_ERR_SIZE, 0},
    {"PUBACK of 268435455", B(0x40, 0xff, 0xff, 0xff, 0x7f), MQTT_ERR_SIZE, 0},
    {"PUBREC of 3", B(0x50, 3), MQTT_ERR_SIZE, 0},
    {"PUBREL of 0", B(0x62, 0), MQTT_ERR_SIZE, 0},
    {"PUBCOMP of 3", B(0x70, 3), MQTT_ERR_SIZE, 0},
    {"SUBACK without codes", B(0x90, 2), MQTT_ERR_SIZE, 0},
    {"SUBACK of 0", B(0x90, 0), MQTT_ERR_SIZE, 0},
    {"UNSUBACK of 3", B(0xb0, 3), MQTT_ERR_SIZE, 0},
    {"PINGRESP of 1", B(0xd0, 1), MQTT_ERR_SIZE, 0},
    {"PUBLISH of 0", B(0x30, 0), MQTT_ERR_SIZE, 0},
    {"PUBLISH of 1", B(0x30, 1), MQTT_ERR_SIZE, 0},
    {"PUBLISH QoS 1 of 3", B(0x32, 3), MQTT_ERR_SIZE, 0},
    {"PUBLISH QoS 2 of 3", B(0x34, 3), MQTT_ERR_SIZE, 0},
    {"PUBLISH, topic one byte longer than the packet", B(0x30, 3, 0, 2, 'a'), MQTT_ERR_SIZE, 0},
    {"PUBLISH, topic of 65535 in a small packet", B(0x30, 6, 0xff, 0xff, 'a', 'b', 'c', 'd'),
     MQTT_ERR_SIZE, 0},
    {"PUBLISH, topic reaches into the next packet", B(0x30, 3, 0, 3, 'a', 'b', 'c', 'd'),
     MQTT_ERR_SIZE, 0},
    {"PUBLISH QoS 1, no room for the id", B(0x32, 4, 0, 2, 'a', 'b'), MQTT_ERR_SIZE, 0},
    {"PUBLISH QoS 1, half an id", B(0x32, 5, 0, 2, 'a', 'b', 0), MQTT_ERR_SIZE, 0},

    {"PUBLISH QoS 1, id 0", B(0x32, 5, 0, 1, 'a', 0, 0), MQTT_ERR_PACKET_ID, 0},
    {"PUBLISH QoS 2, id 0", B(0x34, 6, 0, 1, 'a', 0, 0, 'x'), MQTT_ERR_PACKET_ID, 0},
    {"PUBACK, id 0", B(0x40, 2, 0, 0), MQTT_ERR_PACKET_ID, 0},
    {"PUBREC, id 0", B(0x50, 2, 0, 0), MQTT_ERR_PACKET_ID, 0},
    {"PUBREL, id 0", B(0x62, 2, 0, 0), MQTT_ERR_PACKET_ID, 0},
    {"PUBCOMP, id 0", B(0x70, 2, 0, 0), MQTT_ERR_PACKET_ID, 0},
    {"SUBACK, id 0", B(0x90, 3, 0, 0, 0), MQTT_ERR_PACKET_ID, 0},
    {"UNSUBACK, id 0", B(0xb0, 2, 0, 0), MQTT_ERR_PACKET_ID, 0},

    {"PUBLISH, empty topic", B(0x30, 2, 0, 0), MQTT_ERR_TOPIC, 0},
    {"PUBLISH, empty topic before a payload", B(0x30, 3, 0, 0, 'x'), MQTT_ERR_TOPIC, 0},
    {"PUBLISH QoS 1, empty topic", B(0x32, 4, 0, 0, 0, 1), MQTT_ERR_TOPIC, 0},
    {"PUBLISH to #", B(0x30, 3, 0, 1, '#'), MQTT_ERR_TOPIC, 0},
    {"PUBLISH to a/+", B(0x30, 5, 0, 3, 'a', '/', '+'), MQTT_ERR_TOPIC, 0},
    {"PUBLISH to a+b", B(0x30, 5, 0, 3, 'a', '+', 'b'), MQTT_ERR_TOPIC, 0},
    {"PUBLISH, NUL in the topic", B(0x30, 5, 0, 3, 'a', 0, 'b'), MQTT_ERR_UTF8, 0},
    {"PUBLISH, topic ends with NUL", B(0x30, 4, 0, 2, 'a', 0), MQTT_ERR_UTF8, 0},
    {"PUBLISH, overlong slash", B(0x30, 4, 0, 2, 0xc0, 0xaf), MQTT_ERR_UTF8, 0},
    {"PUBLISH, surrogate", B(0x30, 5, 0, 3, 0xed, 0xa0, 0x80), MQTT_ERR_UTF8, 0},
    {"PUBLISH, past U+10FFFF", B(0x30, 6, 0, 4, 0xf4, 0x90, 0x80, 0x80), MQTT_ERR_UTF8, 0},
    {"PUBLISH, character cut at the end of the topic", B(0x30, 4, 0, 1, 0xc3, 0xa9), MQTT_ERR_UTF8,
     0},

    {"CONNACK, reserved acknowledge flag 1", B(0x20, 2, 0x02, 0), MQTT_ERR_FLAGS, 4},
    {"CONNACK, reserved acknowledge flag 7", B(0x20, 2, 0x80, 0), MQTT_ERR_FLAGS, 4},
    {"CONNACK, reserved flag beside session present", B(0x20, 2, 0x03, 0), MQTT_ERR_FLAGS, 4},
    {"CONNACK, session present and refused", B(0x20, 2, 1, 2), MQTT_ERR_FLAGS, 4},
    {"CONNACK, code 6", B(0x20, 2, 0, 6), MQTT_ERR_RETURN_CODE, 0},
    {"CONNACK, code 255", B(0x20, 2, 0, 255), MQTT_ERR_RETURN_CODE, 0},
    {"SUBACK, code 3", B(0x90, 3, 0, 1, 3), MQTT_ERR_RETURN_CODE, 0},
    {"SUBACK, code 0x7f", B(0x90, 3, 0, 1, 0x7f), MQTT_ERR_RETURN_CODE, 0},
    {"SUBACK, code 0x7f after good ones", B(0x90, 6, 0, 1, 0, 0x80, 2, 0x7f), MQTT_ERR_RETURN_CODE,
     0},
};

/* A prefix may be refused before it is whole, but never be taken for a packet. */
static void test_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(malformed); i++) {
        const char *name = malformed[i].name;
        int in_3_1 = malformed[i].in_3_1 ? malformed[i].in_3_1 : malformed[i].in_3_1_1;

        check_int(name, read_exact(MQTT_3_1_1, malformed[i].bytes, malformed[i].len),
                  malformed[i].in_3_1_1);
        check_int(name, read_exact(MQTT_3_1, malformed[i].bytes, malformed[i].len), in_3_1);
        for (size_t len = 0; len < malformed[i].len; len++) {
            int result = read_exact(MQTT_3_1_1, malformed[i].bytes, len);

            if (result != 0 && result != malformed[i].in_3_1_1)
                fail_msg("%s, first %zu bytes: %d", name, len, result);
        }
    }
}

/* ---- encoders ---- */

static int connect_3_1_1(struct wr *out)
{
    struct mqtt_connect connect = {.version = MQTT_3_1_1,
                                   .clean_session = true,
                                   .keepalive_s = 60,
                                   .client_id = bytes_of("id")};

    return mqtt_write_connect(out, &connect);
}

static int connect_plain(struct wr *out)
{
    struct mqtt_connect connect = {.version = MQTT_3_1_1, .will.qos = 2, .will.retain = true};

    return mqtt_write_connect(out, &connect);
}

static int connect_3_1_full(struct wr *out)
{
    struct mqtt_connect connect = {.version = MQTT_3_1,
                                   .keepalive_s = 0x1234,
                                   .client_id = bytes_of("id"),
                                   .will = {true, bytes_of("w"), bytes_of("bye"), 2, true},
                                   .username = bytes_of("u"),
                                   .password = bytes_of("pw")};

    return mqtt_write_connect(out, &connect);
}

/* The example of section 3.1.2.11: all but will retain, will QoS 1, 10 s. */
static int connect_example(struct wr *out)
{
    static const uint8_t binary[] = {0, 0xff, '#'};
    struct mqtt_connect connect = {.version = MQTT_3_1_1,
                                   .clean_session = true,
                                   .keepalive_s = 10,
                                   .client_id = bytes_of("c"),
                                   .will = {true, bytes_of("w"), {binary, 3}, 1, false},
                                   .username = bytes_of("u"),
                                   .password = {binary, 3}};

    return mqtt_write_connect(out, &connect);
}

static int connect_empty_strings(struct wr *out)
{
    struct mqtt_connect connect = {.version = MQTT_3_1_1,
                                   .clean_session = true,
                                   .will = {.present = true, .topic = bytes_of("w")},
                                   .username = bytes_of(""),
                                   .password = bytes_of("")};

    return mqtt_write_connect(out, &connect);
}

static int publish_qos0(struct wr *out)
{
    struct mqtt_publish publish = {.topic = bytes_of("a/b"), .payload = {NULL, 5}};

    return mqtt_write_publish(out, &publish);
}

static int publish_qos1_retain(struct wr *out)
{
    struct mqtt_publish publish = {
        .topic = bytes_of("a/b"), .packet_id = 10, .qos = 1, .retain = true};

    return mqtt_write_publish(out, &publish);
}

static int publish_qos2_dup(struct wr *out)
{
    struct mqtt_publish publish = {
        .topic = bytes_of("t"), .payload = {NULL, 123}, .packet_id = 0xfffe, .qos = 2, .dup = true};

    return mqtt_write_publish(out, &publish);
}

static int write_puback(struct wr *out)
{
    return mqtt_write_ack(out, MQTT_PUBACK, 1);
}

static int write_pubrec(struct wr *out)
{
    return mqtt_write_ack(out, MQTT_PUBREC, 0x1234);
}

static int write_pubrel(struct wr *out)
{
    return mqtt_write_ack(out, MQTT_PUBREL, 0xff00);
}

static int write_pubcomp(struct wr *out)
{
    return mqtt_write_ack(out, MQTT_PUBCOMP, 0xffff);
}

static int subscribe_two(struct wr *out)
{
    struct bytes filters[] = {bytes_of("a/b"), bytes_of("c/#")};

    return mqtt_write_subscribe(out, 10, filters, 2, 1);
}

static int subscribe_one(struct wr *out)
{
    struct bytes filter = bytes_of("+");

    return mqtt_write_subscribe(out, 0xffff, &filter, 1, 2);
}

static int unsubscribe_two(struct wr *out)
{
    struct bytes filters[] = {bytes_of("a/b"), bytes_of("c/#")};

    return mqtt_write_unsubscribe(out, 10, filters, 2);
}

static int write_pingreq(struct wr *out)
{
    return mqtt_write_empty(out, MQTT_PINGREQ);
}

static int write_disconnect(struct wr *out)
{
    return mqtt_write_empty(out, MQTT_DISCONNECT);
}

static const struct {
    const char *name;
    int (*write)(struct wr *out);
    const uint8_t *bytes;
    size_t len;
    size_t payload_len; /* that the caller adds */
} written[] = {
    {"CONNECT 3.1.1", connect_3_1_1,
     B(0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 4, 0x02, 0, 60, 0, 2, 'i', 'd'), 0},
    {"CONNECT, nothing set, no will", connect_plain,
     B(0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 0, 0, 0), 0},
    {"CONNECT 3.1 with everything", connect_3_1_full,
     B(0x10, 31, 0, 6, 'M', 'Q', 'I', 's', 'd', 'p', 3, 0xf4, 0x12, 0x34, 0, 2, 'i', 'd', 0, 1, 'w',
       0, 3, 'b', 'y', 'e', 0, 1, 'u', 0, 2, 'p', 'w'),
     0},
    {"CONNECT, section 3.1.2.11", connect_example,
     B(0x10, 29, 0, 4, 'M', 'Q', 'T', 'T', 4, 0xce, 0, 10, 0, 1, 'c', 0, 1, 'w', 0, 3, 0, 0xff, '#',
       0, 1, 'u', 0, 3, 0, 0xff, '#'),
     0},
    {"CONNECT, empty strings", connect_empty_strings,
     B(0x10, 21, 0, 4, 'M', 'Q', 'T', 'T', 4, 0xc6, 0, 0, 0, 0, 0, 1, 'w', 0, 0, 0, 0, 0, 0), 0},
    {"PUBLISH QoS 0", publish_qos0, B(0x30, 10, 0, 3, 'a', '/', 'b'), 5},
    {"PUBLISH QoS 1 RETAIN, section 3.3.2", publish_qos1_retain,
     B(0x33, 7, 0, 3, 'a', '/', 'b', 0, 10), 0},
    {"PUBLISH QoS 2 DUP of 128", publish_qos2_dup, B(0x3c, 0x80, 0x01, 0, 1, 't', 0xff, 0xfe), 123},
    {"PUBACK", write_puback, B(0x40, 2, 0, 1), 0},
    {"PUBREC", write_pubrec, B(0x50, 2, 0x12, 0x34), 0},
    {"PUBREL", write_pubrel, B(0x62, 2, 0xff, 0x00), 0},
    {"PUBCOMP", write_pubcomp, B(0x70, 2, 0xff, 0xff), 0},
    {"SUBSCRIBE of two", subscribe_two,
     B(0x82, 14, 0, 10, 0, 3, 'a', '/', 'b', 1, 0, 3, 'c', '/', '#', 1), 0},
    {"SUBSCRIBE of one", subscribe_one, B(0x82, 6, 0xff, 0xff, 0, 1, '+', 2), 0},
    {"UNSUBSCRIBE of two", unsubscribe_two,
     B(0xa2, 12, 0, 10, 0, 3, 'a', '/', 'b', 0, 3, 'c', '/', '#'), 0},
    {"PINGREQ", write_pingreq, B(0xc0, 0), 0},
    {"DISCONNECT", write_disconnect, B(0xe0, 0), 0},
};

/* A cursor that an encoder refused to write through: as it was, and nothing behind it written. */
static void check_unwritten(const char *name, const struct wr *out, const uint8_t *block,
                            size_t size, bool bad)
{
    check_int(name, out->p - block, 0);
    check_int(name, out->end - block, (long)size);
    check_int(name, out->bad, bad);
    for (size_t i = 0; i < size; i++)
        check_int(name, block[i], UNTOUCHED);
}

static void check_room(size_t i, size_t room)
{
    const char *name = written[i].name;
    size_t needed = written[i].len + written[i].payload_len;
    uint8_t *block = malloc(room + 1);
    struct wr out = wr_over(block, room);
    int result;

    assert_non_null(block);
    memset(block, UNTOUCHED, room + 1);
    result = written[i].write(&out);
    if (room < needed) {
        check_int(name, result, MQTT_ERR_ROOM);
        check_unwritten(name, &out, block, room, false);
    } else {
        check_int(name, result, 0);
        check_int(name, out.bad, false);
        check_bytes(name, (struct bytes){block, (size_t)(out.p - block)},
                    (struct bytes){written[i].bytes, written[i].len});
    }
    for (size_t at = room < needed ? 0 : written[i].len; at <= room; at++)
        check_int(name, block[at], UNTOUCHED);
    free(block);
}

static void test_written_bytes_in_every_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(written); i++) {
        for (size_t room = 0; room <= written[i].len + written[i].payload_len + 2; room++)
            check_room(i, room);
    }
}

static void test_bad_cursor_stays_bad(void **state)
{
    uint8_t block[256];

    (void)state;
    for (size_t i = 0; i < COUNT(written); i++) {
        struct wr out = {block, block + sizeof block, true};

        memset(block, UNTOUCHED, sizeof block);
        check_int(written[i].name, written[i].write(&out), MQTT_ERR_ROOM);
        check_unwritten(written[i].name, &out, block, sizeof block, true);
    }
}

/* ---- fields that may not be sent ---- */

static void check_connect(const char *name, const struct mqtt_connect *connect, int expected)
{
    static uint8_t block[8 * (MQTT_STRING_MAX_BYTES + 1)];
    struct wr out = wr_over(block, sizeof block);

    memset(block, UNTOUCHED, sizeof block);
    check_int(name, mqtt_write_connect(&out, connect), expected);
    if (expected < 0)
        check_unwritten(name, &out, block, sizeof block, false);
}

static void test_connect_refuses(void **state)
{
    struct bytes longest = {long_string, MQTT_STRING_MAX_BYTES};
    struct bytes too_long = {long_string, MQTT_STRING_MAX_BYTES + 1};
    struct bytes ill = bytes_of("\xc0\xaf"), nul = {(const uint8_t *)"\0", 1};
    const struct mqtt_connect good = {.version = MQTT_3_1_1,
                                      .client_id = longest,
                                      .will = {true, longest, longest, 0, false},
                                      .username = longest,
                                      .password = longest};
    struct mqtt_connect c = good;

    (void)state;
    check_connect("all at 65535 bytes", &c, 0);
#define REFUSED(name, member, value, expected) \
    c = good; \
    c.member = value; \
    check_connect(name, &c, expected)
    REFUSED("client id one over", client_id, too_long, MQTT_ERR_FIELD);
    REFUSED("client id ill formed", client_id, ill, MQTT_ERR_UTF8);
    REFUSED("client id with NUL", client_id, nul, MQTT_ERR_UTF8);
    REFUSED("will topic one over", will.topic, too_long, MQTT_ERR_FIELD);
    REFUSED("will topic ill formed", will.topic, ill, MQTT_ERR_UTF8);
    REFUSED("will topic empty", will.topic, bytes_of(""), MQTT_ERR_TOPIC);
    REFUSED("will topic with a wildcard", will.topic, bytes_of("a/#"), MQTT_ERR_TOPIC);
    REFUSED("will message one over", will.message, too_long, MQTT_ERR_FIELD);
    REFUSED("will QoS 3", will.qos, 3, MQTT_ERR_QOS);
    REFUSED("will QoS 255", will.qos, 255, MQTT_ERR_QOS);
    REFUSED("user name one over", username, too_long, MQTT_ERR_FIELD);
    REFUSED("user name ill formed", username, ill, MQTT_ERR_UTF8);
    REFUSED("password one over", password, too_long, MQTT_ERR_FIELD);
    REFUSED("password of any bytes", password, ill, 0);
    REFUSED("password without a user name", username, ((struct bytes){NULL, 0}), MQTT_ERR_FLAGS);
    REFUSED("user name without a password", password, ((struct bytes){NULL, 0}), 0);
    REFUSED("no will, so its topic does not matter", will,
            ((struct mqtt_will){false, ill, too_long, 3, true}), 0);
#undef REFUSED
}

static void test_publish_refuses(void **state)
{
    static const struct {
        const char *name;
        const char *topic;
        uint16_t packet_id;
        uint8_t qos;
        bool dup;
        int expected;
    } cases[] = {
        {"QoS 0", "a", 0, 0, false, 0},
        {"QoS 3", "a", 1, 3, false, MQTT_ERR_QOS},
        {"QoS 255", "a", 1, 255, true, MQTT_ERR_QOS},
        {"DUP with QoS 0", "a", 0, 0, true, MQTT_ERR_DUP},
        {"QoS 1 without id", "a", 0, 1, false, MQTT_ERR_PACKET_ID},
        {"QoS 2 without id", "a", 0, 2, true, MQTT_ERR_PACKET_ID},
        {"QoS 0 with id", "a", 1, 0, false, MQTT_ERR_PACKET_ID},
        {"empty topic", "", 0, 0, false, MQTT_ERR_TOPIC},
        {"wildcard", "a/+", 0, 0, false, MQTT_ERR_TOPIC},
        {"ill-formed topic", "a\x80", 0, 0, false, MQTT_ERR_UTF8},
    };
    uint8_t block[32];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mqtt_publish publish = {.topic = bytes_of(cases[i].topic),
                                       .qos = cases[i].qos,
                                       .packet_id = cases[i].packet_id,
                                       .dup = cases[i].dup};
        struct wr out = wr_over(block, sizeof block);

        memset(block, UNTOUCHED, sizeof block);
        check_int(cases[i].name, mqtt_write_publish(&out, &publish), cases[i].expected);
        if (cases[i].expected < 0)
            check_unwritten(cases[i].name, &out, block, sizeof block, false);
    }
}

static void test_publish_too_long(void **state)
{
    static const size_t topic_lens[] = {1, MQTT_STRING_MAX_BYTES};
    uint8_t *map = map_largest();

    (void)state;
    for (size_t i = 0; i < COUNT(topic_lens); i++) {
        struct mqtt_publish publish = {.topic = {long_string, topic_lens[i]}};
        size_t most = MQTT_REMAINING_LENGTH_MAX - 2 - topic_lens[i];
        const size_t too_many[] = {most + 1, MQTT_REMAINING_LENGTH_MAX, SIZE_MAX - 4, SIZE_MAX};
        struct wr out = wr_over(map, PACKET_MAX_BYTES);

        for (size_t j = 0; j < COUNT(too_many); j++) {
            publish.payload.len = too_many[j];
            assert_int_equal(mqtt_write_publish(&out, &publish), MQTT_ERR_FIELD);
            assert_ptr_equal(out.p, map);
            assert_true(mqtt_publish_size(topic_lens[i], 0, too_many[j]) > PACKET_MAX_BYTES);
        }
        publish.payload.len = most;
        out.end--;
        assert_int_equal(mqtt_write_publish(&out, &publish), MQTT_ERR_ROOM);
        out.end++;
        assert_int_equal(mqtt_write_publish(&out, &publish), 0);
        assert_int_equal(mqtt_publish_size(topic_lens[i], 0, most), PACKET_MAX_BYTES);
    }
    assert_true(mqtt_publish_size(SIZE_MAX, 2, SIZE_MAX) > PACKET_MAX_BYTES);
    munmap(map, PACKET_MAX_BYTES);
}

static void test_topic_too_long(void **state)
{
    static uint8_t block[2 * MQTT_STRING_MAX_BYTES];
    struct bytes topic = {long_string, MQTT_STRING_MAX_BYTES + 1};
    struct mqtt_publish publish = {.topic = topic};
    struct wr out = wr_over(block, sizeof block);

    (void)state;
    assert_int_equal(mqtt_write_publish(&out, &publish), MQTT_ERR_FIELD);
    assert_int_equal(mqtt_write_subscribe(&out, 1, &topic, 1, 0), MQTT_ERR_FIELD);
    assert_int_equal(mqtt_write_unsubscribe(&out, 1, &topic, 1), MQTT_ERR_FIELD);
    assert_ptr_equal(out.p, block);
    topic.len--;
    assert_int_equal(mqtt_write_subscribe(&out, 1, &topic, 1, 0), 0);
    assert_int_equal(out.p - block, 1 + 3 + 2 + 2 + 65535 + 1);
    assert_memory_equal(block, "\x82\x84\x80\x04\0\x1\xff\xff", 8);
    assert_int_equal(block[out.p - block - 1], 0);
}

static void check_filters(const char *name, uint16_t packet_id, const char *first,
                          const char *second, uint8_t qos, int expected)
{
    struct bytes filters[] = {bytes_of(first), bytes_of(second)};
    uint8_t block[32];
    struct wr out = wr_over(block, sizeof block);

    memset(block, UNTOUCHED, sizeof block);
    check_int(name, mqtt_write_subscribe(&out, packet_id, filters, 2, qos), expected);
    check_unwritten(name, &out, block, sizeof block, false);
    if (expected != MQTT_ERR_QOS) {
        check_int(name, mqtt_write_unsubscribe(&out, packet_id, filters, 2), expected);
        check_unwritten(name, &out, block, sizeof block, false);
    }
}

static void test_filters_refused(void **state)
{
    uint8_t block[32];
    struct wr out = wr_over(block, sizeof block);

    (void)state;
    check_filters("id 0", 0, "a", "b", 0, MQTT_ERR_PACKET_ID);
    check_filters("QoS 3", 1, "a", "b", 3, MQTT_ERR_QOS);
    check_filters("empty filter", 1, "", "b", 0, MQTT_ERR_TOPIC);
    check_filters("empty second filter", 1, "a", "", 0, MQTT_ERR_TOPIC);
    check_filters("bad wildcard", 1, "a#", "b", 0, MQTT_ERR_TOPIC);
    check_filters("bad wildcard in the second", 1, "a", "+b", 0, MQTT_ERR_TOPIC);
    check_filters("ill formed", 1, "a", "\xff", 0, MQTT_ERR_UTF8);
    assert_int_equal(mqtt_write_subscribe(&out, 1, NULL, 0, 0), MQTT_ERR_TOPIC);
    assert_int_equal(mqtt_write_unsubscribe(&out, 1, NULL, 0), MQTT_ERR_TOPIC);
    assert_ptr_equal(out.p, block);
}

/* 4095 filters of 65535 bytes are the most that an UNSUBSCRIBE can carry. The first is bad, which
 * shows what is looked at first, and saves a look through all 268 MB. */
static void test_filters_too_many(void **state)
{
    static struct bytes filters[4096];
    uint8_t block[32];
    struct wr out = wr_over(block, sizeof block);

    (void)state;
    for (size_t i = 0; i < COUNT(filters); i++)
        filters[i] = (struct bytes){long_string, MQTT_STRING_MAX_BYTES};
    filters[0].p = (const uint8_t *)"#/";
    assert_int_equal(mqtt_write_subscribe(&out, 1, filters, 4096, 0), MQTT_ERR_FIELD);
    assert_int_equal(mqtt_write_unsubscribe(&out, 1, filters, 4096), MQTT_ERR_FIELD);
    assert_int_equal(mqtt_write_subscribe(&out, 1, filters, 4095, 0), MQTT_ERR_TOPIC);
    assert_int_equal(mqtt_write_unsubscribe(&out, 1, filters, 4095), MQTT_ERR_TOPIC);
    assert_ptr_equal(out.p, block);
}

static void test_types_refused(void **state)
{
    uint8_t block[8];
    struct wr out = wr_over(block, sizeof block);

    (void)state;
    for (int type = 0; type < 20; type++) {
        bool ack = type >= MQTT_PUBACK && type <= MQTT_PUBCOMP;
        bool empty = type == MQTT_PINGREQ || type == MQTT_DISCONNECT;

        if (!ack)
            assert_int_equal(mqtt_write_ack(&out, (enum mqtt_type)type, 1), MQTT_ERR_TYPE);
        else
            assert_int_equal(mqtt_write_ack(&out, (enum mqtt_type)type, 0), MQTT_ERR_PACKET_ID);
        if (!empty)
            assert_int_equal(mqtt_write_empty(&out, (enum mqtt_type)type), MQTT_ERR_TYPE);
    }
    assert_ptr_equal(out.p, block);
    assert_false(out.bad);
}

/* ---- round trips ---- */

static void check_publish_round_trip(const struct mqtt_publish *publish, enum mqtt_version version)
{
    static uint8_t buffer[2 * MQTT_STRING_MAX_BYTES];
    struct wr out = wr_over(buffer, sizeof buffer);
    struct mqtt_publish back;

    assert_int_equal(mqtt_write_publish(&out, publish), 0);
    wr_put(&out, publish->payload.p, publish->payload.len);
    assert_false(out.bad);
    assert_int_equal(out.p - buffer,
                     mqtt_publish_size(publish->topic.len, publish->qos, publish->payload.len));
    back = packet_of(version, buffer, (size_t)(out.p - buffer)).u.publish;
    check_bytes("topic", back.topic, publish->topic);
    check_bytes("payload", back.payload, publish->payload);
    assert_int_equal(back.packet_id, publish->packet_id);
    assert_int_equal(back.qos, publish->qos);
    assert_int_equal(back.dup, publish->dup);
    assert_int_equal(back.retain, publish->retain);
}

static void test_publish_round_trips(void **state)
{
    static const size_t topic_lens[] = {1, 2, 125, 126, 127, 128, 65535};
    static const size_t payload_lens[] = {0, 1, 127, 128, 16383, 16384, 60000};

    (void)state;
    for (unsigned i = 0; i < COUNT(topic_lens) * COUNT(payload_lens) * 12; i++) {
        struct mqtt_publish publish = {
            .topic = {long_string, topic_lens[i / 12 / COUNT(payload_lens)]},
            .payload = {long_string, payload_lens[i / 12 % COUNT(payload_lens)]},
            .qos = (uint8_t)(i % 3),
            .dup = i % 12 / 3 % 2,
            .retain = i % 12 / 6,
        };

        if (publish.dup && publish.qos == 0)
            continue;
        publish.packet_id = publish.qos > 0 ? (uint16_t)(i * 257 % 65535 + 1) : 0;
        check_publish_round_trip(&publish, versions[i % 2]);
    }
}

static void test_ack_round_trips(void **state)
{
    (void)state;
    for (int type = MQTT_PUBACK; type <= MQTT_PUBCOMP; type++) {
        for (unsigned id = 1; id <= 65535; id++) {
            uint8_t buffer[4];
            struct wr out = wr_over(buffer, sizeof buffer);

            assert_int_equal(mqtt_write_ack(&out, (enum mqtt_type)type, (uint16_t)id), 0);
            assert_ptr_equal(out.p, buffer + 4);
            assert_int_equal(packet_of(MQTT_3_1_1, buffer, 4).u.ack.packet_id, id);
        }
    }
}

/* ---- mutated packets ---- */

#define FUZZ_ROUNDS 200000
#define FUZZ_MAX_BYTES 48

static uint32_t draw(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static size_t mutate(uint8_t *bytes, size_t len, uint32_t *seed)
{
    static const uint8_t liked[] = {0, 1, 2, 3, 4, 5, '#', '+', '/', 0x7f, 0x80, 0xc3, 0xff};
    size_t at = draw(seed) % (len + 1);

    switch (draw(seed) % 6) {
    case 0: /* flip a bit */
        bytes[at] ^= (uint8_t)(1u << draw(seed) % 8);
        return len;
    case 1:
        bytes[at] = (uint8_t)draw(seed);
        return len;
    case 2:
        bytes[at] = liked[draw(seed) % COUNT(liked)];
        return len;
    case 3: /* cut */
        return at;
    case 4: /* insert */
        if (len + 1 >= FUZZ_MAX_BYTES)
            return len;
        memmove(bytes + at + 1, bytes + at, len - at);
        bytes[at] = liked[draw(seed) % COUNT(liked)];
        return len + 1;
    default: /* delete */
        if (at < len)
            memmove(bytes + at, bytes + at + 1, len - at - 1);
        return at < len ? len - 1 : len;
    }
}

static void check_inside(struct bytes view, const uint8_t *in, size_t len)
{
    assert_true(view.p >= in && view.len <= len && (size_t)(view.p - in) <= len - view.len);
}

/* What was taken is what an encoder makes of it, but for a length of more bytes than needed. */
static void check_taken(const struct mqtt_packet *packet, const uint8_t *in, size_t used)
{
    uint8_t again[FUZZ_MAX_BYTES + 4];
    struct wr out = wr_over(again, sizeof again);
    const struct mqtt_publish *publish = &packet->u.publish;

    switch (packet->type) {
    case MQTT_PUBLISH:
        check_inside(publish->topic, in, used);
        check_inside(publish->payload, in, used);
        assert_ptr_equal(publish->payload.p + publish->payload.len, in + used);
        assert_int_equal(mqtt_write_publish(&out, publish), 0);
        wr_put(&out, publish->payload.p, publish->payload.len);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        assert_int_equal(mqtt_write_ack(&out, packet->type, packet->u.ack.packet_id), 0);
        break;
    case MQTT_SUBACK:
        check_inside(packet->u.suback.codes, in, used);
        assert_true(packet->u.suback.codes.len > 0 && packet->u.suback.packet_id > 0);
        return;
    case MQTT_CONNECT:
    case MQTT_CONNACK:
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
    case MQTT_UNSUBACK:
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
    case MQTT_DISCONNECT:
        return;
    }
    if ((in[1] & 0x80) == 0)
        check_bytes("encoded again", (struct bytes){again, (size_t)(out.p - again)},
                    (struct bytes){in, used});
}

static void test_mutated_packets(void **state)
{
    uint32_t seed = 0x5715c0de;
    unsigned taken = 0, refused = 0, short_of = 0;

    (void)state;
    for (unsigned i = 0; i < FUZZ_ROUNDS; i++) {
        const struct packet_case *from = &valid[draw(&seed) % COUNT(valid)];
        uint8_t bytes[FUZZ_MAX_BYTES] = {0}, *block, *at;
        struct mqtt_packet packet;
        size_t len = from->len;
        int result;

        memcpy(bytes, from->bytes, len);
        for (unsigned n = 1 + draw(&seed) % 4; n > 0; n--)
            len = mutate(bytes, len, &seed);
        at = exact_copy(&block, bytes, len);
        result = mqtt_read(MQTT_3_1_1, &packet, at, len);
        assert_true(result >= MQTT_ERR_RETURN_CODE && result <= (int)len);
        if (result > 0)
            check_taken(&packet, at, (size_t)result);
        *(result > 0 ? &taken : result < 0 ? &refused : &short_of) += 1;
        result = mqtt_read(MQTT_3_1, &packet, at, len);
        assert_true(result >= MQTT_ERR_RETURN_CODE && result <= (int)len);
        free(block);
    }
    /* Each of the three outcomes was met often enough to mean something. */
    assert_true(taken > FUZZ_ROUNDS / 20);
    assert_true(refused > FUZZ_ROUNDS / 20);
    assert_true(short_of > FUZZ_ROUNDS / 20);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_utf8_against_the_table),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_first_bytes),
        cmocka_unit_test(test_remaining_lengths_read),
        cmocka_unit_test(test_remaining_lengths_written),
        cmocka_unit_test(test_every_prefix_needs_more),
        cmocka_unit_test(test_3_1_is_not_3_1_1),
        cmocka_unit_test(test_what_follows_is_left_alone),
        cmocka_unit_test(test_connack_fields),
        cmocka_unit_test(test_publish_fields),
        cmocka_unit_test(test_ack_and_suback_fields),
        cmocka_unit_test(test_longest_publish),
        cmocka_unit_test(test_longest_suback),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_written_bytes_in_every_room),
        cmocka_unit_test(test_bad_cursor_stays_bad),
        cmocka_unit_test(test_connect_refuses),
        cmocka_unit_test(test_publish_refuses),
        cmocka_unit_test(test_publish_too_long),
        cmocka_unit_test(test_topic_too_long),
        cmocka_unit_test(test_filters_refused),
        cmocka_unit_test(test_filters_too_many),
        cmocka_unit_test(test_types_refused),
        cmocka_unit_test(test_publish_round_trips),
        cmocka_unit_test(test_ack_round_trips),
        cmocka_unit_test(test_mutated_packets),
    };

    memset(long_string, 'a', sizeof long_string);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
