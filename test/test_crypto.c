/* test_crypto.c - crypto.c against published vectors, and short of memory and randomness. */
#include "crypto.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/random.h>

#include <cmocka.h>

#include "vectors_sts1.h"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

/* ---- in the place of getrandom ---- */

/* What the kernel does next; then it is itself again. */
static int interruptions;
static size_t most_at_once; /* 0: as it likes */
static int fail_after = -1; /* calls; -1: never */

ssize_t __real_getrandom(void *out, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags);

ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags)
{
    if (fail_after == 0) {
        errno = ENOSYS;
        return -1;
    }
    if (fail_after > 0)
        fail_after--;
    if (interruptions > 0) {
        interruptions--;
        errno = EINTR;
        return -1;
    }
    if (most_at_once > 0 && len > most_at_once)
        len = most_at_once;
    return __real_getrandom(out, len, flags);
}

static int kernel_as_it_is(void **state)
{
    (void)state;
    interruptions = 0;
    most_at_once = 0;
    fail_after = -1;
    return 0;
}

static void random_takes_every_byte(void **state)
{
    const size_t sizes[] = {0, 1, 7, 8, 9, 31, 32, 256, 257, 1000};

    (void)state;
    for (size_t i = 0; i < ROWS(sizes); i++) {
        size_t len = sizes[i];
        uint8_t seen[1002] = {0}; /* bits that were ever set, of a byte */

        /* 64 draws: a bit stays 0 by chance with 2^-64. */
        for (int draw = 0; draw < 64; draw++) {
            uint8_t out[1002] = {0};

            assert_int_equal(crypto_random(out + 1, len), 0);
            for (size_t at = 0; at < sizeof out; at++)
                seen[at] |= out[at];
        }
        assert_int_equal(seen[0], 0);
        assert_int_equal(seen[len + 1], 0);
        for (size_t at = 1; at <= len; at++)
            assert_int_equal(seen[at], 0xff);
    }
}

static void random_goes_on_after_a_signal(void **state)
{
    uint8_t seen[40] = {0};

    (void)state;
    for (int draw = 0; draw < 64; draw++) {
        uint8_t out[40] = {0};

        interruptions = 3;
        most_at_once = 7;
        assert_int_equal(crypto_random(out, sizeof out), 0);
        for (size_t at = 0; at < sizeof out; at++)
            seen[at] |= out[at];
    }
    for (size_t at = 0; at < sizeof seen; at++)
        assert_int_equal(seen[at], 0xff);
}

static void random_failing_leaves_zeros(void **state)
{
    const uint8_t zeros[40] = {0};
    uint8_t out[40];

    (void)state;
    memset(out, 0xaa, sizeof out);
    most_at_once = 7;
    fail_after = 3;
    assert_int_equal(crypto_random(out, sizeof out), CRYPTO_ERR_RANDOM);
    assert_memory_equal(out, zeros, sizeof out);
}

static void wipe_clears_exactly(void **state)
{
    uint8_t bytes[] = {1, 2, 3, 4, 5};
    const uint8_t expected[] = {1, 0, 0, 0, 5};

    (void)state;
    crypto_wipe(bytes + 1, 3);
    assert_memory_equal(bytes, expected, sizeof bytes);
    crypto_wipe(bytes, 0);
    assert_memory_equal(bytes, expected, sizeof bytes);
}

static void every_error_has_its_words(void **state)
{
    (void)state;
    assert_string_equal(crypto_err_text(CRYPTO_ERR_TAG), "does not authenticate");
    assert_non_null(crypto_err_text(0));
    assert_non_null(crypto_err_text(-100));
    for (int err = CRYPTO_ERR_TAG; err < 0; err++)
        assert_string_not_equal(crypto_err_text(err), crypto_err_text(-100));
}

/* ---- base64 ---- */

static const struct {
    const char *bytes, *text;
} base64_rows[] = {
    /* RFC 4648, 10. */
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff\xbf", "+/+/"},
};

static void base64_is_the_standards(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(base64_rows); i++) {
        const char *text = base64_rows[i].text;
        const size_t bytes_len = strlen(base64_rows[i].bytes), text_len = strlen(text);
        char written[9];

        memset(written, '#', sizeof written);
        crypto_base64(written, (const uint8_t *)base64_rows[i].bytes, bytes_len);
        assert_memory_equal(written, text, text_len);
        assert_int_equal(written[text_len], '#');
    }
}

#if STS_SEED

/* ---- in front of the arena ---- */

static size_t arena_room = SIZE_MAX; /* how much of it Mbed TLS gets */
static const uint8_t *arena;

void *__real_crypto_arena_calloc(size_t count, size_t size);
void *__wrap_crypto_arena_calloc(size_t count, size_t size);
void crypto_arena_free(void *block);

/* The first block of a computation is the arena's begin. What ends behind the room fits nowhere
 * before, or it would be there. */
void *__wrap_crypto_arena_calloc(size_t count, size_t size)
{
    uint8_t *block = __real_crypto_arena_calloc(count, size);

    if (!arena)
        arena = block;
    if (block && (size_t)(block - arena) + count * size > arena_room) {
        crypto_arena_free(block);
        return NULL;
    }
    return block;
}

static int arena_as_it_is(void **state)
{
    arena_room = SIZE_MAX;
    return kernel_as_it_is(state);
}

/* Nothing of a computation outlives it. */
static void assert_arena_wiped(void)
{
    for (size_t at = 0; at < CRYPTO_ARENA_BYTES; at++)
        assert_int_equal(arena[at], 0);
}

static bool all_zero(const void *p, size_t len)
{
    const uint8_t *byte = p;

    while (len > 0 && byte[len - 1] == 0)
        len--;
    return len == 0;
}

/* ---- secp256k1: SEC 2, section 2.4.1 ---- */

static const uint8_t field_p[32] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xfc, 0x2f,
};
static const uint8_t order_n[32] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
    0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
};
static const struct crypto_point base_g = {
    {
        0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62,
        0x95, 0xce, 0x87, 0x0b, 0x07, 0x02, 0x9b, 0xfc, 0xdb, 0x2d, 0xce,
        0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
    },
    {
        0x48, 0x3a, 0xda, 0x77, 0x26, 0xa3, 0xc4, 0x65, 0x5d, 0xa4, 0xfb,
        0xfc, 0x0e, 0x11, 0x08, 0xa8, 0xfd, 0x17, 0xb4, 0x48, 0xa6, 0x85,
        0x54, 0x19, 0x9c, 0x47, 0xd0, 0x8f, 0xfb, 0x10, 0xd4, 0xb8,
    },
};
/* The point of the curve with x = 1, and x + p: the same point to a sloppy reader. 1 + 7 = 8 has a
 * square root, and 1 + p < 2^256. */
static const uint8_t y_of_1[32] = {
    0x42, 0x18, 0xf2, 0x0a, 0xe6, 0xc6, 0x46, 0xb3, 0x63, 0xdb, 0x68, 0x60, 0x58, 0x22, 0xfb, 0x14,
    0x26, 0x4c, 0xa8, 0xd2, 0x58, 0x7f, 0xdd, 0x6f, 0xbc, 0x75, 0x0d, 0x58, 0x7e, 0x76, 0xa7, 0xee,
};

/* value + add, big endian; the low byte has to have room. */
static void add_to(uint8_t out[32], const uint8_t value[32], int add)
{
    memcpy(out, value, 32);
    out[31] = (uint8_t)(out[31] + add);
}

static void public_keys_are_those_of_the_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(vector_points); i++) {
        const struct vector_point *v = &vector_points[i];
        struct crypto_point got;

        assert_int_equal(crypto_secp256k1_public(v->private_key, &got), 0);
        assert_memory_equal(got.x, v->x, 32);
        assert_memory_equal(got.y, v->y, 32);
        assert_arena_wiped();
    }
}

static void secrets_are_those_of_the_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS(vector_ecdhs); i++) {
        const struct vector_ecdh *v = &vector_ecdhs[i];
        struct crypto_point peer;
        uint8_t secret[32];

        memcpy(peer.x, v->slave.x, 32);
        memcpy(peer.y, v->slave.y, 32);
        assert_int_equal(crypto_secp256k1_shared(secret, v->master.private_key, &peer), 0);
        assert_memory_equal(secret, v->secret, 32);
        memcpy(peer.x, v->master.x, 32);
        memcpy(peer.y, v->master.y, 32);
        assert_int_equal(crypto_secp256k1_shared(secret, v->slave.private_key, &peer), 0);
        assert_memory_equal(secret, v->secret, 32);
        assert_arena_wiped();
    }
}

static void private_keys_out_of_range_are_refused(void **state)
{
    const struct {
        const uint8_t *base;
        int add, expected;
    } rows[] = {
        {(const uint8_t[32]){0}, 0, CRYPTO_ERR_POINT}, /* 0 */
        {(const uint8_t[32]){0}, 1, 0},                /* 1: the base point */
        {order_n, -1, 0},                              /* n - 1 */
        {order_n, 0, CRYPTO_ERR_POINT},                /* n */
        {order_n, 1, CRYPTO_ERR_POINT},                /* n + 1 */
        {field_p, 0, CRYPTO_ERR_POINT},
    };

    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint8_t private_key[32], secret[32];
        struct crypto_point got;

        add_to(private_key, rows[i].base, rows[i].add);
        memset(&got, 0xaa, sizeof got);
        memset(secret, 0xaa, sizeof secret);
        assert_int_equal(crypto_secp256k1_public(private_key, &got), rows[i].expected);
        assert_int_equal(crypto_secp256k1_shared(secret, private_key, &base_g), rows[i].expected);
        assert_int_equal(all_zero(&got, sizeof got), rows[i].expected != 0);
        assert_int_equal(all_zero(secret, sizeof secret), rows[i].expected != 0);
        if (rows[i].expected == 0) /* 1 and n - 1: G and -G have the same x */
            assert_memory_equal(got.x, base_g.x, 32);
    }
}

static void points_off_the_curve_are_refused(void **state)
{
    const uint8_t zero[32] = {0}, one[32] = {[31] = 1};
    uint8_t one_plus_p[32], bad_x[32], bad_y[32], ones[32];
    const struct {
        const uint8_t *x, *y;
        int expected;
    } rows[] = {
        {base_g.x, base_g.y, 0},
        {one, y_of_1, 0},
        {base_g.x, bad_y, CRYPTO_ERR_POINT},
        {bad_x, base_g.y, CRYPTO_ERR_POINT},
        {base_g.y, base_g.x, CRYPTO_ERR_POINT},
        {zero, zero, CRYPTO_ERR_POINT}, /* how infinity might be written */
        {zero, one, CRYPTO_ERR_POINT},
        {one_plus_p, y_of_1, CRYPTO_ERR_POINT}, /* on the curve only mod p */
        {field_p, base_g.y, CRYPTO_ERR_POINT},
        {base_g.x, field_p, CRYPTO_ERR_POINT},
        {ones, ones, CRYPTO_ERR_POINT},
    };

    (void)state;
    memset(ones, 0xff, sizeof ones);
    add_to(one_plus_p, field_p, 1);
    add_to(bad_x, base_g.x, 1);
    add_to(bad_y, base_g.y, 1);
    for (size_t i = 0; i < ROWS(rows); i++) {
        uint8_t secret[32];
        struct crypto_point peer;

        memcpy(peer.x, rows[i].x, 32);
        memcpy(peer.y, rows[i].y, 32);
        memset(secret, 0xaa, sizeof secret);
        assert_int_equal(crypto_secp256k1_shared(secret, vector_points[0].private_key, &peer),
                         rows[i].expected);
        assert_int_equal(all_zero(secret, sizeof secret), rows[i].expected != 0);
        assert_arena_wiped();
    }
}

/* The original's keys hold 64 random bits of 256, and nobody looked. */
static void key_pairs_are_random_in_every_bit(void **state)
{
    uint8_t ever_one[32] = {0}, ever_zero[32] = {0};

    (void)state;
    for (int draw = 0; draw < 64; draw++) {
        uint8_t private_key[32];
        struct crypto_point public_key, again;

        assert_int_equal(crypto_secp256k1_keypair(private_key, &public_key), 0);
        assert_int_equal(crypto_secp256k1_public(private_key, &again), 0);
        assert_memory_equal(&public_key, &again, sizeof again);
        for (size_t at = 0; at < 32; at++) {
            ever_one[at] |= private_key[at];
            ever_zero[at] |= (uint8_t)~private_key[at];
        }
    }
    for (size_t at = 0; at < 32; at++) {
        assert_int_equal(ever_one[at], 0xff);
        assert_int_equal(ever_zero[at], 0xff);
    }
    assert_arena_wiped();
}

static void both_ends_get_the_same_secret(void **state)
{
    uint8_t private_a[32], private_b[32], secret_a[32], secret_b[32];
    struct crypto_point public_a, public_b;

    (void)state;
    assert_int_equal(crypto_secp256k1_keypair(private_a, &public_a), 0);
    assert_int_equal(crypto_secp256k1_keypair(private_b, &public_b), 0);
    assert_memory_not_equal(private_a, private_b, 32);
    assert_int_equal(crypto_secp256k1_shared(secret_a, private_a, &public_b), 0);
    assert_int_equal(crypto_secp256k1_shared(secret_b, private_b, &public_a), 0);
    assert_memory_equal(secret_a, secret_b, 32);
}

/* The key itself, then the blinding: whichever call fails, nothing comes out. */
static void without_randomness_no_keys(void **state)
{
    int failures = 0;

    (void)state;
    for (int calls = 0; calls < 8; calls++) {
        uint8_t private_key[32], secret[32];
        struct crypto_point public_key;
        int err;

        fail_after = calls;
        err = crypto_secp256k1_keypair(private_key, &public_key);
        assert_int_equal(all_zero(private_key, 32), err != 0);
        assert_int_equal(all_zero(&public_key, sizeof public_key), err != 0);
        assert_true(err == 0 || err == CRYPTO_ERR_RANDOM);
        failures += err != 0;

        fail_after = calls;
        err = crypto_secp256k1_shared(secret, vector_points[0].private_key, &base_g);
        assert_int_equal(all_zero(secret, 32), err != 0);
        assert_true(err == 0 || err == CRYPTO_ERR_RANDOM);
        failures += err != 0;
        assert_arena_wiped();
    }
    /* Not one draw for all: a key takes one and its multiplication is blinded with others. */
    assert_true(failures >= 3);
    fail_after = 0;
    assert_int_equal(
        crypto_secp256k1_public(vector_points[0].private_key, &(struct crypto_point){{0}, {0}}),
        CRYPTO_ERR_RANDOM);
}

/* ---- the arena ---- */

/* All of a handshake's arithmetic in an arena of `room` bytes: 0, or CRYPTO_ERR_ARENA. */
static int handshake_in(size_t room)
{
    uint8_t private_key[32], secret[32];
    struct crypto_point public_key;
    int keypair, shared;

    arena_room = room;
    keypair = crypto_secp256k1_keypair(private_key, &public_key);
    assert_true(keypair == 0 || keypair == CRYPTO_ERR_ARENA);
    assert_int_equal(all_zero(private_key, 32), keypair != 0);
    assert_int_equal(all_zero(&public_key, sizeof public_key), keypair != 0);
    assert_arena_wiped();

    shared = crypto_secp256k1_shared(secret, vector_points[0].private_key, &base_g);
    assert_true(shared == 0 || shared == CRYPTO_ERR_ARENA);
    assert_int_equal(all_zero(secret, 32), shared != 0);
    assert_arena_wiped();
    return keypair ? keypair : shared;
}

static void any_short_arena_is_an_error_and_no_more(void **state)
{
    size_t need = 0; /* one byte more than the largest arena that was short */

    (void)state;
    for (size_t room = 0; room <= CRYPTO_ARENA_BYTES; room += 8)
        if (handshake_in(room) == CRYPTO_ERR_ARENA)
            need = room + 8;
    print_message("# the arena needs %zu of its %d bytes\n", need, CRYPTO_ARENA_BYTES);
    assert_true(need > 1024); /* else this measured something else */
    assert_true(need <= CRYPTO_ARENA_BYTES - CRYPTO_ARENA_BYTES / 10);
}

/* What it needs may depend on the numbers: many of them, in one without the margin. */
static void the_margin_is_not_used(void **state)
{
    (void)state;
    for (int draw = 0; draw < 100; draw++)
        assert_int_equal(handshake_in(CRYPTO_ARENA_BYTES - CRYPTO_ARENA_BYTES / 10), 0);
}

/* ---- AES: NIST SP 800-38A, appendix F ---- */

static const uint8_t nist_key[32] = {
    0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d, 0x77, 0x81,
    0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14, 0xdf, 0xf4,
};
static const uint8_t nist_iv[16] = {
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
};
static const uint8_t nist_plaintext[64] = {
    0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a,
    0xae, 0x2d, 0x8a, 0x57, 0x1e, 0x03, 0xac, 0x9c, 0x9e, 0xb7, 0x6f, 0xac, 0x45, 0xaf, 0x8e, 0x51,
    0x30, 0xc8, 0x1c, 0x46, 0xa3, 0x5c, 0xe4, 0x11, 0xe5, 0xfb, 0xc1, 0x19, 0x1a, 0x0a, 0x52, 0xef,
    0xf6, 0x9f, 0x24, 0x45, 0xdf, 0x4f, 0x9b, 0x17, 0xad, 0x2b, 0x41, 0x7b, 0xe6, 0x6c, 0x37, 0x10,
};
/* F.1.5, F.1.6 */
static const uint8_t nist_ecb[64] = {
    0xf3, 0xee, 0xd1, 0xbd, 0xb5, 0xd2, 0xa0, 0x3c, 0x06, 0x4b, 0x5a, 0x7e, 0x3d, 0xb1, 0x81, 0xf8,
    0x59, 0x1c, 0xcb, 0x10, 0xd4, 0x10, 0xed, 0x26, 0xdc, 0x5b, 0xa7, 0x4a, 0x31, 0x36, 0x28, 0x70,
    0xb6, 0xed, 0x21, 0xb9, 0x9c, 0xa6, 0xf4, 0xf9, 0xf1, 0x53, 0xe7, 0xb1, 0xbe, 0xaf, 0xed, 0x1d,
    0x23, 0x30, 0x4b, 0x7a, 0x39, 0xf9, 0xf3, 0xff, 0x06, 0x7d, 0x8d, 0x8f, 0x9e, 0x24, 0xec, 0xc7,
};
/* F.2.5, F.2.6 */
static const uint8_t nist_cbc[64] = {
    0xf5, 0x8c, 0x4c, 0x04, 0xd6, 0xe5, 0xf1, 0xba, 0x77, 0x9e, 0xab, 0xfb, 0x5f, 0x7b, 0xfb, 0xd6,
    0x9c, 0xfc, 0x4e, 0x96, 0x7e, 0xdb, 0x80, 0x8d, 0x67, 0x9f, 0x77, 0x7b, 0xc6, 0x70, 0x2c, 0x7d,
    0x39, 0xf2, 0x33, 0x69, 0xa9, 0xd9, 0xba, 0xcf, 0xa5, 0x30, 0xe2, 0x63, 0x04, 0x23, 0x14, 0x61,
    0xb2, 0xeb, 0x05, 0xe2, 0xc3, 0x9b, 0xe9, 0xfc, 0xda, 0x6c, 0x19, 0x07, 0x8c, 0x6a, 0x9d, 0x1b,
};

static void ecb_is_nists(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 64; len += 16) {
        uint8_t data[65] = {[64] = 0xaa};

        memcpy(data, nist_plaintext, 64);
        assert_int_equal(crypto_aes256_ecb(data, len, nist_key, true), 0);
        assert_memory_equal(data, nist_ecb, len);
        assert_memory_equal(data + len, nist_plaintext + len, 64 - len);
        assert_int_equal(data[64], 0xaa);
        assert_int_equal(crypto_aes256_ecb(data, len, nist_key, false), 0);
        assert_memory_equal(data, nist_plaintext, 64);
    }
}

static void cbc_is_nists(void **state)
{
    (void)state;
    for (size_t len = 16; len <= 64; len += 16) {
        uint8_t data[65] = {[64] = 0xaa}, iv[16];

        memcpy(data, nist_plaintext, 64);
        memcpy(iv, nist_iv, 16);
        assert_int_equal(crypto_aes256_cbc(data, len, nist_key, iv, true), 0);
        assert_memory_equal(data, nist_cbc, len);
        assert_memory_equal(data + len, nist_plaintext + len, 64 - len);
        assert_memory_equal(iv, nist_cbc + len - 16, 16);
        assert_int_equal(data[64], 0xaa);
        memcpy(iv, nist_iv, 16);
        assert_int_equal(crypto_aes256_cbc(data, len, nist_key, iv, false), 0);
        assert_memory_equal(data, nist_plaintext, 64);
        assert_memory_equal(iv, nist_cbc + len - 16, 16);
    }
}

static void cbc_goes_on_across_calls(void **state)
{
    uint8_t data[64], iv[16];

    (void)state;
    memcpy(data, nist_plaintext, 64);
    memcpy(iv, nist_iv, 16);
    for (size_t at = 0; at < 64; at += 16)
        assert_int_equal(crypto_aes256_cbc(data + at, 16, nist_key, iv, true), 0);
    assert_memory_equal(data, nist_cbc, 64);
    /* No block: the chain stays where it is. */
    assert_int_equal(crypto_aes256_cbc(data, 0, nist_key, iv, true), 0);
    assert_memory_equal(iv, nist_cbc + 48, 16);
    memcpy(iv, nist_iv, 16);
    assert_int_equal(crypto_aes256_cbc(data, 16, nist_key, iv, false), 0);
    assert_int_equal(crypto_aes256_cbc(data + 16, 48, nist_key, iv, false), 0);
    assert_memory_equal(data, nist_plaintext, 64);
}

static void aes_refuses_part_of_a_block(void **state)
{
    (void)state;
    for (size_t len = 1; len < 64; len++) {
        uint8_t data[64], iv[16];

        if (len % 16 == 0)
            continue;
        memcpy(data, nist_plaintext, 64);
        memcpy(iv, nist_iv, 16);
        for (int encrypt = 0; encrypt <= 1; encrypt++) {
            assert_int_equal(crypto_aes256_ecb(data, len, nist_key, encrypt), CRYPTO_ERR_LIBRARY);
            assert_int_equal(crypto_aes256_cbc(data, len, nist_key, iv, encrypt),
                             CRYPTO_ERR_LIBRARY);
        }
        assert_memory_equal(data, nist_plaintext, 64);
        assert_memory_equal(iv, nist_iv, 16);
    }
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_takes_every_byte),
        cmocka_unit_test_teardown(random_goes_on_after_a_signal, kernel_as_it_is),
        cmocka_unit_test_teardown(random_failing_leaves_zeros, kernel_as_it_is),
        cmocka_unit_test(wipe_clears_exactly),
        cmocka_unit_test(every_error_has_its_words),
        cmocka_unit_test(base64_is_the_standards),
#if STS_SEED
        cmocka_unit_test(public_keys_are_those_of_the_vectors),
        cmocka_unit_test(secrets_are_those_of_the_vectors),
        cmocka_unit_test(private_keys_out_of_range_are_refused),
        cmocka_unit_test(points_off_the_curve_are_refused),
        cmocka_unit_test(key_pairs_are_random_in_every_bit),
        cmocka_unit_test(both_ends_get_the_same_secret),
        cmocka_unit_test_teardown(without_randomness_no_keys, arena_as_it_is),
        cmocka_unit_test_teardown(any_short_arena_is_an_error_and_no_more, arena_as_it_is),
        cmocka_unit_test_teardown(the_margin_is_not_used, arena_as_it_is),
        cmocka_unit_test(ecb_is_nists),
        cmocka_unit_test(cbc_is_nists),
        cmocka_unit_test(cbc_goes_on_across_calls),
        cmocka_unit_test(aes_refuses_part_of_a_block),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
