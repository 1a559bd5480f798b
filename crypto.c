/* crypto.c - see crypto.h. */
#include "crypto.h"

#include <errno.h>
#include <sys/random.h>

#include "words.h"

/* Everest's source does the same, but its header alone takes it for granted that there is one. */
#ifndef __SIZEOF_INT128__
#define KRML_VERIFIED_UINT128
#endif

#include "everest/Hacl_Curve25519.h"
#include "mbedtls/base64.h"
#include "mbedtls/chacha20.h"
#include "mbedtls/constant_time.h"
#include "mbedtls/platform_util.h"
#include "mbedtls/poly1305.h"
#include "mbedtls/sha256.h"

#if STS_SEED
#include "mbedtls/aes.h"
#include "mbedtls/ecp.h"
#endif

const char *crypto_err_text(int err)
{
    return words_of_err(CRYPTO_ERRORS(WORDS_ENTRY) "\0unknown error", err);
}

int crypto_random(uint8_t *out, size_t len)
{
    size_t have = 0;

    /* A signal can interrupt it, or cut a long request short. */
    while (have < len) {
        ssize_t n = getrandom(out + have, len - have, 0);

        if (n > 0) {
            have += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            crypto_wipe(out, len);
            return CRYPTO_ERR_RANDOM;
        }
    }
    return 0;
}

void crypto_wipe(void *p, size_t len)
{
    mbedtls_platform_zeroize(p, len);
}

__attribute__((noinline)) void crypto_wipe_stack(void)
{
    uint8_t below[CRYPTO_STACK_BYTES];

    crypto_wipe(below, sizeof below);
}

/* Mbed TLS ends what it writes with a zero byte, for which the caller has no room. */
#define BASE64_PIECE_BYTES 48

void crypto_base64(char *to, const uint8_t *from, size_t len)
{
    unsigned char text[BASE64_PIECE_BYTES / 3 * 4 + 1];

    while (len > 0) {
        const size_t piece = len < BASE64_PIECE_BYTES ? len : BASE64_PIECE_BYTES;
        size_t written = 0;
        /* Cannot fail: there is room for the longest piece. */
        (void)mbedtls_base64_encode(text, sizeof text, &written, from, piece);
        memcpy(to, text, written);
        to += written;
        from += piece;
        len -= piece;
    }
    crypto_wipe(text, sizeof text);
}

/* These parts of Mbed TLS have no way to fail but a wrong argument. That is our bug, and going on
 * without a hash or a cipher would be worse than to stop. Always inlined, for where the compiler
 * sees that they return 0 nothing is left of it. */
static inline __attribute__((always_inline)) void must(int mbedtls_error)
{
    if (mbedtls_error)
        __builtin_trap();
}

bool crypto_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    return mbedtls_ct_memcmp(a, b, len) == 0;
}

static void sha256_start(mbedtls_sha256_context *sha)
{
    mbedtls_sha256_init(sha);
    must(mbedtls_sha256_starts(sha, 0));
}

static void sha256_finish(mbedtls_sha256_context *sha, uint8_t digest[32],
                          const struct bytes *parts, size_t parts_count)
{
    for (size_t i = 0; i < parts_count; i++)
        must(mbedtls_sha256_update(sha, parts[i].p, parts[i].len));
    must(mbedtls_sha256_finish(sha, digest));
    mbedtls_sha256_free(sha);
}

void crypto_sha256(uint8_t digest[32], const struct bytes *parts, size_t parts_count)
{
    mbedtls_sha256_context sha;

    sha256_start(&sha);
    sha256_finish(&sha, digest, parts, parts_count);
}

#define SHA256_BLOCK_BYTES 64

/* The key as the first block of a hash, each byte of it XOR `pad`. RFC 2104, 2. */
static void hmac_start(mbedtls_sha256_context *sha, const uint8_t key[32], uint8_t pad)
{
    uint8_t block[SHA256_BLOCK_BYTES];

    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (uint8_t)((i < 32 ? key[i] : 0) ^ pad);
    sha256_start(sha);
    must(mbedtls_sha256_update(sha, block, sizeof block));
    crypto_wipe(block, sizeof block);
}

/* By hand, because mbedtls_md would bring its tables of every hash for these few lines. */
void crypto_hmac_sha256(uint8_t mac[32], const uint8_t key[32], const struct bytes *parts,
                        size_t parts_count)
{
    mbedtls_sha256_context inner, outer;
    uint8_t digest[32];

    hmac_start(&inner, key, 0x36);
    hmac_start(&outer, key, 0x5c);
    sha256_finish(&inner, digest, parts, parts_count);
    sha256_finish(&outer, mac, &(struct bytes){digest, sizeof digest}, 1);
    crypto_wipe(digest, sizeof digest);
}

/* Everest takes its inputs without const, and changes none of them. It leaves a copy of the scalar,
 * and the result in limbs, on the stack. */
static void x25519(uint8_t out[32], const uint8_t scalar[32], const uint8_t point[32])
{
    uint8_t s[32], p[32];

    memcpy(s, scalar, sizeof s);
    memcpy(p, point, sizeof p);
    Hacl_Curve25519_crypto_scalarmult(out, s, p);
    crypto_wipe(s, sizeof s);
    crypto_wipe_stack();
}

int crypto_x25519_keypair(uint8_t private_key[32], uint8_t public_key[32])
{
    int err = crypto_random(private_key, 32);

    if (err) {
        crypto_wipe(public_key, 32);
        return err;
    }
    private_key[0] &= 0xf8;
    private_key[31] = (uint8_t)((private_key[31] & 0x7f) | 0x40);
    crypto_x25519_public(public_key, private_key);
    return 0;
}

void crypto_x25519_public(uint8_t public_key[32], const uint8_t private_key[32])
{
    static const uint8_t base[32] = {9};

    x25519(public_key, private_key, base);
}

int crypto_x25519_shared(uint8_t secret[32], const uint8_t private_key[32],
                         const uint8_t public_key[32])
{
    static const uint8_t zero[32];

    x25519(secret, private_key, public_key);
    return crypto_equal(secret, zero, 32) ? CRYPTO_ERR_POINT : 0;
}

bool crypto_x25519_low_order(const uint8_t public_key[32])
{
    /* 0, 1, the two points of order 8, p - 1, p, p + 1; X25519 ignores the highest bit. Other
     * numbers above p are ordinary points. The test holds the table against the arithmetic. */
    static const uint8_t low[7][32] = {
        {0},
        {1},
        {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
         0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
         0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
        {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1,
         0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c,
         0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
        {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
        {0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
        {0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
         0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
    };

    for (size_t i = 0; i < sizeof low / sizeof low[0]; i++)
        if (memcmp(low[i], public_key, 31) == 0 && low[i][31] == (public_key[31] & 0x7f))
            return true;
    return false;
}

/* Keys both ciphers for one message: Poly1305 gets the first half of block 0 of the key stream, and
 * ChaCha20 stands at block 1. RFC 8439, 2.6. */
static void aead_start(mbedtls_chacha20_context *chacha, mbedtls_poly1305_context *poly,
                       const uint8_t key[32], const uint8_t nonce[12])
{
    uint8_t block[64] = {0};

    mbedtls_chacha20_init(chacha);
    mbedtls_poly1305_init(poly);
    must(mbedtls_chacha20_setkey(chacha, key));
    must(mbedtls_chacha20_starts(chacha, nonce, 0));
    must(mbedtls_chacha20_update(chacha, sizeof block, block, block));
    must(mbedtls_poly1305_starts(poly, block));
    crypto_wipe(block, sizeof block);
}

static void poly1305_padded(mbedtls_poly1305_context *poly, const uint8_t *p, size_t len)
{
    static const uint8_t zeros[16];

    must(mbedtls_poly1305_update(poly, p, len));
    must(mbedtls_poly1305_update(poly, zeros, (16 - len % 16) % 16));
}

/* RFC 8439, 2.8. */
static void aead_tag(mbedtls_poly1305_context *poly, uint8_t tag[16], struct bytes associated,
                     const uint8_t *data, size_t len)
{
    uint8_t lengths[16];

    for (unsigned i = 0; i < 8; i++) {
        lengths[i] = (uint8_t)((uint64_t)associated.len >> 8 * i);
        lengths[8 + i] = (uint8_t)((uint64_t)len >> 8 * i);
    }
    poly1305_padded(poly, associated.p, associated.len);
    poly1305_padded(poly, data, len);
    must(mbedtls_poly1305_update(poly, lengths, sizeof lengths));
    must(mbedtls_poly1305_finish(poly, tag));
    mbedtls_poly1305_free(poly);
}

/* Out of its two ciphers, because Mbed TLS's own composition deciphers while it checks, and what
 * fails is gone: a slave tries the keys of several sessions on one message. */
void crypto_aead_seal(uint8_t *data, size_t len, uint8_t tag[16], const uint8_t key[32],
                      const uint8_t nonce[12], struct bytes associated)
{
    mbedtls_chacha20_context chacha;
    mbedtls_poly1305_context poly;

    aead_start(&chacha, &poly, key, nonce);
    must(mbedtls_chacha20_update(&chacha, len, data, data));
    aead_tag(&poly, tag, associated, data, len);
    mbedtls_chacha20_free(&chacha);
}

int crypto_aead_open(uint8_t *data, size_t len, const uint8_t tag[16], const uint8_t key[32],
                     const uint8_t nonce[12], struct bytes associated)
{
    mbedtls_chacha20_context chacha;
    mbedtls_poly1305_context poly;
    uint8_t expected[16];
    int err = CRYPTO_ERR_TAG;

    aead_start(&chacha, &poly, key, nonce);
    aead_tag(&poly, expected, associated, data, len);
    if (crypto_equal(expected, tag, sizeof expected)) {
        must(mbedtls_chacha20_update(&chacha, len, data, data));
        err = 0;
    }
    mbedtls_chacha20_free(&chacha);
    crypto_wipe(expected, sizeof expected);
    return err;
}

#if STS_SEED

/* All that Mbed TLS allocates comes from here, for the time of one call. A block is whole units,
 * and what is free is zero. Measured with 64-bit pointers (test_crypto.c does it again): 1184 bytes
 * are enough. The rest, a sixth of the arena, is margin. */
#define ARENA_UNIT_BYTES 32
#define ARENA_UNITS (CRYPTO_ARENA_BYTES / ARENA_UNIT_BYTES)
static _Alignas(16) uint8_t arena[ARENA_UNITS][ARENA_UNIT_BYTES];
static uint8_t arena_block[ARENA_UNITS]; /* units of the block that a unit is in; 0: it is free */

/* The first gap that is wide enough. By hand, because Mbed TLS's own, with headers and lists in the
 * arena, takes a kilobyte. */
void *crypto_arena_calloc(size_t count, size_t size)
{
    size_t len, units, gap = 0;

    if (__builtin_mul_overflow(count, size, &len) || len == 0 || len > sizeof arena)
        return NULL;
    units = (len + ARENA_UNIT_BYTES - 1) / ARENA_UNIT_BYTES;
    for (size_t end = 1; end <= ARENA_UNITS; end++) {
        gap = arena_block[end - 1] ? 0 : gap + 1;
        if (gap == units) {
            memset(arena_block + end - units, (int)units, units);
            return arena[end - units];
        }
    }
    return NULL;
}

void crypto_arena_free(void *block)
{
    if (block) {
        const size_t at = (size_t)((uint8_t *)block - arena[0]) / ARENA_UNIT_BYTES;
        const size_t units = arena_block[at];

        crypto_wipe(block, units * ARENA_UNIT_BYTES);
        memset(arena_block + at, 0, units);
    }
}

/* What ecp.c gets for mbedtls_mpi_mod_mpi (see the Makefile). It divides only for a curve whose
 * prime has no reduction of its own; secp256k1 has one, but that is more than a compiler sees. */
int crypto_no_division(mbedtls_mpi *r, const mbedtls_mpi *a, const mbedtls_mpi *b);

int crypto_no_division(mbedtls_mpi *r, const mbedtls_mpi *a, const mbedtls_mpi *b)
{
    (void)r;
    (void)a;
    (void)b;
    return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
}

/* What one multiplication works with. */
struct curve {
    mbedtls_ecp_group group;
    mbedtls_ecp_point point, product;
    mbedtls_mpi scalar;
};

static void curve_free(struct curve *c)
{
    mbedtls_mpi_free(&c->scalar);
    mbedtls_ecp_point_free(&c->product);
    mbedtls_ecp_point_free(&c->point);
    mbedtls_ecp_group_free(&c->group);
    /* What was freed is wiped; this also gets what an error path of Mbed TLS left behind. */
    crypto_wipe(arena, sizeof arena);
    memset(arena_block, 0, sizeof arena_block);
}

static int curve_init(struct curve *c)
{
    mbedtls_ecp_group_init(&c->group);
    mbedtls_ecp_point_init(&c->point);
    mbedtls_ecp_point_init(&c->product);
    mbedtls_mpi_init(&c->scalar);
    return mbedtls_ecp_group_load(&c->group, MBEDTLS_ECP_DP_SECP256K1);
}

/* Mbed TLS's source of randomness: private keys, and the blinding of every multiplication. */
static int curve_random(void *unused, unsigned char *out, size_t len)
{
    (void)unused;
    return crypto_random(out, len) ? MBEDTLS_ERR_ECP_RANDOM_FAILED : 0;
}

static int curve_error(int mbedtls_error)
{
    switch (mbedtls_error) {
    case 0:
        return 0;
    case MBEDTLS_ERR_ECP_RANDOM_FAILED:
        return CRYPTO_ERR_RANDOM;
    case MBEDTLS_ERR_ECP_INVALID_KEY:
        return CRYPTO_ERR_POINT;
    case MBEDTLS_ERR_MPI_ALLOC_FAILED:
    case MBEDTLS_ERR_ECP_ALLOC_FAILED:
        return CRYPTO_ERR_ARENA;
    default:
        return CRYPTO_ERR_LIBRARY;
    }
}

/* Field by field, because Mbed TLS's own reader also knows compressed points, and so brings square
 * roots and exponentiation: 3 KiB. What it looks at beyond that is looked at when multiplying. */
static int curve_read_point(struct curve *c, const struct crypto_point *from)
{
    int err = mbedtls_mpi_read_binary(&c->point.MBEDTLS_PRIVATE(X), from->x, 32);

    if (err == 0)
        err = mbedtls_mpi_read_binary(&c->point.MBEDTLS_PRIVATE(Y), from->y, 32);
    if (err == 0)
        err = mbedtls_mpi_lset(&c->point.MBEDTLS_PRIVATE(Z), 1);
    return err;
}

/* product = scalar * from, blinded. Mbed TLS checks both: scalar in 1..n-1, `from` on the curve.
 * The order n is prime, so the product has coordinates. */
static int curve_multiply(struct curve *c, const mbedtls_ecp_point *from, struct crypto_point *to)
{
    int err = mbedtls_ecp_mul(&c->group, &c->product, &c->scalar, from, curve_random, NULL);

    if (err == 0)
        err = mbedtls_mpi_write_binary(&c->product.MBEDTLS_PRIVATE(X), to->x, 32);
    if (err == 0)
        err = mbedtls_mpi_write_binary(&c->product.MBEDTLS_PRIVATE(Y), to->y, 32);
    if (err)
        crypto_wipe(to, sizeof *to);
    return err;
}

int crypto_secp256k1_keypair(uint8_t private_key[32], struct crypto_point *public_key)
{
    struct curve c;
    int err = curve_init(&c);

    if (err == 0)
        err = mbedtls_ecp_gen_privkey(&c.group, &c.scalar, curve_random, NULL);
    if (err == 0)
        err = mbedtls_mpi_write_binary(&c.scalar, private_key, 32);
    if (err == 0)
        err = curve_multiply(&c, &c.group.G, public_key);
    curve_free(&c);
    if (err) {
        crypto_wipe(private_key, 32);
        crypto_wipe(public_key, sizeof *public_key);
    }
    return curve_error(err);
}

int crypto_secp256k1_public(const uint8_t private_key[32], struct crypto_point *public_key)
{
    struct curve c;
    int err = curve_init(&c);

    if (err == 0)
        err = mbedtls_mpi_read_binary(&c.scalar, private_key, 32);
    if (err == 0)
        err = curve_multiply(&c, &c.group.G, public_key);
    curve_free(&c);
    if (err)
        crypto_wipe(public_key, sizeof *public_key);
    return curve_error(err);
}

int crypto_secp256k1_shared(uint8_t secret[32], const uint8_t private_key[32],
                            const struct crypto_point *peer)
{
    struct curve c;
    struct crypto_point product = {0};
    int err = curve_init(&c);

    if (err == 0)
        err = mbedtls_mpi_read_binary(&c.scalar, private_key, 32);
    if (err == 0)
        err = curve_read_point(&c, peer);
    if (err == 0)
        err = curve_multiply(&c, &c.point, &product);
    curve_free(&c);
    memcpy(secret, product.x, 32); /* zero after an error */
    crypto_wipe(&product, sizeof product);
    return curve_error(err);
}

/* `iv` NULL: ECB. */
static int aes256(uint8_t *data, size_t len, const uint8_t key[32], uint8_t *iv, bool encrypt)
{
    const int mode = encrypt ? MBEDTLS_AES_ENCRYPT : MBEDTLS_AES_DECRYPT;
    mbedtls_aes_context aes;
    int err;

    if (len % STS1_BLOCK_BYTES != 0)
        return CRYPTO_ERR_LIBRARY;
    mbedtls_aes_init(&aes);
    err = encrypt ? mbedtls_aes_setkey_enc(&aes, key, 256) : mbedtls_aes_setkey_dec(&aes, key, 256);
    for (size_t at = 0; err == 0 && at < len; at += STS1_BLOCK_BYTES)
        err = iv ? mbedtls_aes_crypt_cbc(&aes, mode, STS1_BLOCK_BYTES, iv, data + at, data + at)
                 : mbedtls_aes_crypt_ecb(&aes, mode, data + at, data + at);
    mbedtls_aes_free(&aes);
    if (err)
        crypto_wipe(data, len);
    if (err && iv)
        crypto_wipe(iv, STS1_BLOCK_BYTES);
    return err ? CRYPTO_ERR_LIBRARY : 0;
}

int crypto_aes256_ecb(uint8_t *data, size_t len, const uint8_t key[32], bool encrypt)
{
    return aes256(data, len, key, NULL, encrypt);
}

int crypto_aes256_cbc(uint8_t *data, size_t len, const uint8_t key[32], uint8_t iv[16],
                      bool encrypt)
{
    return aes256(data, len, key, iv, encrypt);
}

#endif
