/* crypto.c - see crypto.h. */
#include "crypto.h"

#include <errno.h>
#include <sys/random.h>

#include "mbedtls/base64.h"
#include "mbedtls/platform_util.h"

#if STS_SEED
#include <assert.h>

#include "mbedtls/aes.h"
#include "mbedtls/ecp.h"
#include "mbedtls/memory_buffer_alloc.h"
#endif

const char *crypto_err_text(int err)
{
    switch (err) {
#define CRYPTO_ERR_CASE(name, value, text) case name: return text;
    CRYPTO_ERRORS(CRYPTO_ERR_CASE)
#undef CRYPTO_ERR_CASE
    }
    return "unknown error";
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

#if STS_SEED

/* Uncompressed point, SEC 1, 2.3.3: 0x04, x, y. */
#define POINT_BYTES (1 + 32 + 32)

static_assert(sizeof(struct crypto_point) == POINT_BYTES - 1, "a point is x and y without a gap");

/* All that Mbed TLS allocates comes from here, for the time of one call. Measured with 64-bit
 * pointers (test_crypto.c does it again): 2688 bytes are enough, which is the numbers, a header of
 * 64 bytes before each, and the gaps between them. The rest, an eighth of the arena, is margin. */
static _Alignas(8) uint8_t arena[CRYPTO_ARENA_BYTES];

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
    mbedtls_memory_buffer_alloc_free();
    /* Mbed TLS wipes what it frees; this also gets what an error path of its own left behind. */
    crypto_wipe(arena, sizeof arena);
}

static int curve_init(struct curve *c)
{
    mbedtls_memory_buffer_alloc_init(arena, sizeof arena);
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

static int curve_read_point(struct curve *c, const struct crypto_point *from)
{
    uint8_t wire[POINT_BYTES] = {0x04};

    memcpy(wire + 1, from->x, 32);
    memcpy(wire + 33, from->y, 32);
    return mbedtls_ecp_point_read_binary(&c->group, &c->point, wire, sizeof wire);
}

/* product = scalar * from, blinded. Mbed TLS checks both: scalar in 1..n-1, `from` on the curve. */
static int curve_multiply(struct curve *c, const mbedtls_ecp_point *from, struct crypto_point *to)
{
    uint8_t wire[POINT_BYTES];
    size_t wire_len = 0;
    int err = mbedtls_ecp_mul(&c->group, &c->product, &c->scalar, from, curve_random, NULL);

    if (err == 0)
        err = mbedtls_ecp_point_write_binary(&c->group, &c->product, MBEDTLS_ECP_PF_UNCOMPRESSED,
                                             &wire_len, wire, sizeof wire);
    if (err == 0 && wire_len != sizeof wire)
        err = MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    if (err == 0) {
        memcpy(to->x, wire + 1, 32);
        memcpy(to->y, wire + 33, 32);
    }
    crypto_wipe(wire, sizeof wire);
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
    memcpy(secret, product.x, 32);      /* zero after an error */
    crypto_wipe(&product, sizeof product);
    return curve_error(err);
}

static int aes256_set_key(mbedtls_aes_context *aes, const uint8_t key[32], bool encrypt)
{
    mbedtls_aes_init(aes);
    return encrypt ? mbedtls_aes_setkey_enc(aes, key, 256) : mbedtls_aes_setkey_dec(aes, key, 256);
}

int crypto_aes256_ecb(uint8_t *data, size_t len, const uint8_t key[32], bool encrypt)
{
    const int mode = encrypt ? MBEDTLS_AES_ENCRYPT : MBEDTLS_AES_DECRYPT;
    mbedtls_aes_context aes;
    int err;

    if (len % STS1_BLOCK_BYTES != 0)
        return CRYPTO_ERR_LIBRARY;
    err = aes256_set_key(&aes, key, encrypt);
    for (size_t at = 0; err == 0 && at < len; at += STS1_BLOCK_BYTES)
        err = mbedtls_aes_crypt_ecb(&aes, mode, data + at, data + at);
    mbedtls_aes_free(&aes);
    if (err)
        crypto_wipe(data, len);
    return err ? CRYPTO_ERR_LIBRARY : 0;
}

int crypto_aes256_cbc(uint8_t *data, size_t len, const uint8_t key[32], uint8_t iv[16],
                      bool encrypt)
{
    const int mode = encrypt ? MBEDTLS_AES_ENCRYPT : MBEDTLS_AES_DECRYPT;
    mbedtls_aes_context aes;
    int err;

    if (len % STS1_BLOCK_BYTES != 0)
        return CRYPTO_ERR_LIBRARY;
    err = aes256_set_key(&aes, key, encrypt);
    if (err == 0)
        err = mbedtls_aes_crypt_cbc(&aes, mode, len, iv, data, data);
    mbedtls_aes_free(&aes);
    if (err) {
        crypto_wipe(data, len);
        crypto_wipe(iv, STS1_BLOCK_BYTES);
    }
    return err ? CRYPTO_ERR_LIBRARY : 0;
}

#endif
