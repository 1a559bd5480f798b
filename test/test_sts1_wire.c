/* test_sts1_wire.c - what the messages of STS/1 hold, and their obfuscation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "obfuscate.h"
#include "sts1.h"

/* The header has the vectors of other tests too. */
#pragma GCC diagnostic ignored "-Wunused-variable"
#include "vectors_sts1.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A block of exactly `len` bytes, so that the address sanitizer sees whoever reads on. */
static uint8_t *block_of(const void *bytes, size_t len)
{
    uint8_t *block = malloc(len ? len : 1);

    assert_non_null(block);
    if (len)
        memcpy(block, bytes, len);
    return block;
}

/* ---- obfuscation ---- */

static void test_obfuscation_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vector_obfuscations); i++) {
        const struct vector_obfuscation *v = &vector_obfuscations[i];
        uint8_t *block = block_of(v->clear.p, v->clear.len);

        assert_int_equal(v->clear.len, v->wire.len);
        obfuscate(block, v->clear.len);
        assert_memory_equal(block, v->wire.p, v->wire.len);
        clarify(block, v->wire.len);
        assert_memory_equal(block, v->clear.p, v->clear.len);
        free(block);
    }
}

/* Whatever pair is put in its place has to do this. */
static void test_clarify_undoes_obfuscate(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 256; len++) {
        uint8_t clear[256];
        uint8_t *block;

        for (size_t i = 0; i < sizeof clear; i++)
            clear[i] = (uint8_t)(len + i * 7);
        block = block_of(clear, len);
        obfuscate(block, len);
        clarify(block, len);
        assert_memory_equal(block, clear, len);
        free(block);
    }
}

/* ---- headers ---- */

static void test_parse(void **state)
{
    static const struct {
        const char *clear;
        size_t len;
        bool good;
        enum sts_type type;
        const char *data;
    } rows[] = {
        {"INITREQ:ids", 11, true, STS_INITREQ, "ids"},
        {"INITACK:", 8, true, STS_INITACK, ""},
        {"AUTHREQ:id", 10, true, STS_AUTHREQ, "id"},
        {"AUTHACK:", 8, true, STS_AUTHACK, ""},
        {"RDYREQ:XY", 9, true, STS_RDYREQ, "XY"},
        {"RDYACK:", 7, true, STS_RDYACK, ""},
        {"ENC:text", 8, true, STS_ENC, "text"},
        {"KILL:", 5, true, STS_KILL, ""},
        {"ENC:a:b", 7, true, STS_ENC, "a:b"},
        {"ENC:a\0b", 7, true, STS_ENC, "a"},
        {"AUTHACK:\0x", 10, true, STS_AUTHACK, ""},
        {"", 0, false, STS_ENC, NULL},
        {":", 1, false, STS_ENC, NULL},
        {":ENC:", 5, false, STS_ENC, NULL},
        {"ENC", 3, false, STS_ENC, NULL},
        {"ENC\0:", 5, false, STS_ENC, NULL},
        {"EN:", 3, false, STS_ENC, NULL},
        {"ENCX:", 5, false, STS_ENC, NULL},
        {"enc:", 4, false, STS_ENC, NULL},
        {" ENC:", 5, false, STS_ENC, NULL},
        {"KEYREQ:", 7, false, STS_ENC, NULL},
        {"unknown:", 8, false, STS_ENC, NULL},
        {"INITREQXX:", 10, false, STS_ENC, NULL},
        {"INITREQXXX:", 11, false, STS_ENC, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t *block = block_of(rows[i].clear, rows[i].len);
        struct sts1_message m;

        assert_int_equal(sts1_parse(&m, block, rows[i].len), rows[i].good);
        if (rows[i].good) {
            assert_int_equal(m.type, rows[i].type);
            assert_true(bytes_equal(m.data, bytes_of(rows[i].data)));
        }
        free(block);
    }
}

/* ---- ids ---- */

/* Uniform: 2,000 ids hold each of the 67 characters about 925 times, give or take 6 sigma. */
static void test_ids(void **state)
{
    static const char alphabet[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJK0123456789!@#$%^&*()-=['/<>]_+";
    size_t seen[256] = {0};
    uint8_t id[STS1_ID_CHARS];

    (void)state;
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(sts1_id_draw(id), 0);
        assert_true(sts1_ids_of_alphabet((struct bytes){id, sizeof id}));
        for (size_t k = 0; k < sizeof id; k++)
            seen[id[k]]++;
    }
    for (size_t c = 0; c < 256; c++) {
        const bool drawn = c > 0 && strchr(alphabet, (int)c);
        const uint8_t one = (uint8_t)c;

        if (drawn)
            assert_in_range(seen[c], 925 - 182, 925 + 182);
        else
            assert_int_equal(seen[c], 0);
        assert_int_equal(sts1_ids_of_alphabet((struct bytes){&one, 1}), drawn);
    }
}

/* ---- points ---- */

static void test_point_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vector_points); i++) {
        const struct vector_point *v = &vector_points[i];
        const size_t len = strlen(v->wire);
        uint8_t room[131];
        struct crypto_point point, made;

        assert_true(sts1_point_read(&point, bytes_of(v->wire)));
        assert_memory_equal(point.x, v->x, 32);
        assert_memory_equal(point.y, v->y, 32);
        assert_int_equal(crypto_secp256k1_public(v->private_key, &made), 0);
        assert_memory_equal(&made, &point, sizeof point);
        for (size_t size = 0; size <= len; size++) {
            struct wr out = wr_over(room, size);

            memset(room, 0xee, sizeof room);
            sts1_point_write(&out, &point);
            assert_int_equal(out.bad, size < len);
            assert_memory_equal(room, v->wire, (size_t)(out.p - room));
            assert_int_equal(room[size], 0xee);
        }
        assert_memory_equal(room, v->wire, len);
    }
}

#define DIGITS64 "123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef0"
#define ZEROS64 "0000000000000000000000000000000000000000000000000000000000000000"

static void test_point_read(void **state)
{
    static const struct {
        const char *wire;
        bool good;
        uint8_t x_first, x_last, y_last;
    } rows[] = {
        {"X1Y2", true, 0, 1, 2},
        {"X0abYaBC", true, 0, 0xab, 0xbc},
        {"X" ZEROS64 "01Y0000000000000002", true, 0, 1, 2},
        {"X" DIGITS64 "Y" DIGITS64, true, 0x12, 0xf0, 0xf0},
        {"X00" DIGITS64 "Y" ZEROS64 ZEROS64 DIGITS64, true, 0x12, 0xf0, 0xf0},
        {"X0Y0", true, 0, 0, 0},
        {"X1" DIGITS64 "Y1", false, 0, 0, 0},
        {"X1Y" DIGITS64 "0", false, 0, 0, 0},
        {"", false, 0, 0, 0},
        {"X", false, 0, 0, 0},
        {"XY", false, 0, 0, 0},
        {"X1", false, 0, 0, 0},
        {"X1Y", false, 0, 0, 0},
        {"XY1", false, 0, 0, 0},
        {"1Y2", false, 0, 0, 0},
        {"x1Y2", false, 0, 0, 0},
        {"X1y2", false, 0, 0, 0},
        {"Y1X2", false, 0, 0, 0},
        {"X1Y2 ", false, 0, 0, 0},
        {"X1Y2Y3", false, 0, 0, 0},
        {" X1Y2", false, 0, 0, 0},
        {"X-1Y2", false, 0, 0, 0},
        {"X0x1Y2", false, 0, 0, 0},
        {"X1 Y2", false, 0, 0, 0},
        {"XgY2", false, 0, 0, 0},
        {"X/Y2", false, 0, 0, 0},
        {"X:Y2", false, 0, 0, 0},
        {"X@Y2", false, 0, 0, 0},
        {"XGY2", false, 0, 0, 0},
        {"X`Y2", false, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const size_t len = strlen(rows[i].wire);
        uint8_t *block = block_of(rows[i].wire, len);
        struct crypto_point point;

        assert_int_equal(sts1_point_read(&point, (struct bytes){block, len}), rows[i].good);
        if (rows[i].good) {
            assert_int_equal(point.x[0], rows[i].x_first);
            assert_int_equal(point.x[31], rows[i].x_last);
            assert_int_equal(point.y[31], rows[i].y_last);
        }
        free(block);
    }
}

/* Every beginning of a point is either no point or one with fewer digits of Y. */
static void test_point_prefixes(void **state)
{
    const char *wire = vector_points[0].wire;
    const size_t y_at = (size_t)(strchr(wire, 'Y') - wire);

    (void)state;
    for (size_t len = 0; len <= strlen(wire); len++) {
        uint8_t *block = block_of(wire, len);
        struct crypto_point point;

        assert_int_equal(sts1_point_read(&point, (struct bytes){block, len}), len > y_at + 1);
        free(block);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_obfuscation_vectors),
        cmocka_unit_test(test_clarify_undoes_obfuscate),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_point_vectors),
        cmocka_unit_test(test_point_read),
        cmocka_unit_test(test_point_prefixes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
