/* record.c - stands between the program and crypto.c, and between that and Mbed TLS, and writes
 * every secret that passes into a file, for test/test_wipe.py to look for in the memory.
 *
 * The file is the descriptor RECORD_FD. Bytes go there from where they are; no copy is made that a
 * search could find. A record is a letter, a length of two bytes, and the bytes:
 *
 *   S   a secret
 *   K   the key of an HMAC, which begins one
 *   P   what goes in
 *   T   SHA-256's state once it is keyed: a secret if K is
 *   M   the result, which ends it: a secret if K or a P is. (The first keys of a handshake come of
 *       its name, and of what is on the wire.) */
#include <unistd.h>

#include "crypto.h"
#include "mbedtls/aes.h"
#include "mbedtls/poly1305.h"
#include "mbedtls/sha256.h"

#define RECORD_FD 200
#define SHA256_BLOCK_BYTES 64

static void put(char kind, const void *p, size_t len)
{
    const uint8_t head[3] = {(uint8_t)kind, (uint8_t)len, (uint8_t)(len >> 8)};

    if (write(RECORD_FD, head, sizeof head) != sizeof head ||
        write(RECORD_FD, p, len) != (ssize_t)len)
        __builtin_trap();
}

/* ---- crypto.h ---- */

int real_crypto_random(uint8_t *out, size_t len);
int crypto_random(uint8_t *out, size_t len)
{
    const int err = real_crypto_random(out, len);

    if (len == 32) /* client ids and the like are shorter */
        put('S', out, len);
    return err;
}

void real_crypto_hmac_sha256(uint8_t mac[32], const uint8_t key[32], const struct bytes *parts,
                             size_t parts_count);
void crypto_hmac_sha256(uint8_t mac[32], const uint8_t key[32], const struct bytes *parts,
                        size_t parts_count)
{
    put('K', key, 32);
    for (size_t i = 0; i < parts_count; i++)
        put('P', parts[i].p, parts[i].len);
    real_crypto_hmac_sha256(mac, key, parts, parts_count);
    put('M', mac, 32);
}

int real_crypto_x25519_keypair(uint8_t private_key[32], uint8_t public_key[32]);
int crypto_x25519_keypair(uint8_t private_key[32], uint8_t public_key[32])
{
    const int err = real_crypto_x25519_keypair(private_key, public_key);

    put('S', private_key, 32);
    return err;
}

void real_crypto_x25519_public(uint8_t public_key[32], const uint8_t private_key[32]);
void crypto_x25519_public(uint8_t public_key[32], const uint8_t private_key[32])
{
    put('S', private_key, 32);
    real_crypto_x25519_public(public_key, private_key);
}

int real_crypto_x25519_shared(uint8_t secret[32], const uint8_t private_key[32],
                              const uint8_t public_key[32]);
int crypto_x25519_shared(uint8_t secret[32], const uint8_t private_key[32],
                         const uint8_t public_key[32])
{
    int err;

    put('S', private_key, 32);
    err = real_crypto_x25519_shared(secret, private_key, public_key);
    put('S', secret, 32);
    return err;
}

void real_crypto_aead_seal(uint8_t *data, size_t len, uint8_t tag[16], const uint8_t key[32],
                           const uint8_t nonce[12], struct bytes associated);
void crypto_aead_seal(uint8_t *data, size_t len, uint8_t tag[16], const uint8_t key[32],
                      const uint8_t nonce[12], struct bytes associated)
{
    put('S', key, 32);
    real_crypto_aead_seal(data, len, tag, key, nonce, associated);
}

int real_crypto_aead_open(uint8_t *data, size_t len, const uint8_t tag[16], const uint8_t key[32],
                          const uint8_t nonce[12], struct bytes associated);
int crypto_aead_open(uint8_t *data, size_t len, const uint8_t tag[16], const uint8_t key[32],
                     const uint8_t nonce[12], struct bytes associated)
{
    put('S', key, 32);
    return real_crypto_aead_open(data, len, tag, key, nonce, associated);
}

#if STS_SEED

int real_crypto_secp256k1_keypair(uint8_t private_key[32], struct crypto_point *public_key);
int crypto_secp256k1_keypair(uint8_t private_key[32], struct crypto_point *public_key)
{
    const int err = real_crypto_secp256k1_keypair(private_key, public_key);

    put('S', private_key, 32);
    return err;
}

int real_crypto_secp256k1_shared(uint8_t secret[32], const uint8_t private_key[32],
                                 const struct crypto_point *peer);
int crypto_secp256k1_shared(uint8_t secret[32], const uint8_t private_key[32],
                            const struct crypto_point *peer)
{
    const int err = real_crypto_secp256k1_shared(secret, private_key, peer);

    put('S', secret, 32);
    return err;
}

/* ---- Mbed TLS: what it makes of a key ---- */

/* The round keys; those of deciphering are in the other order, and mixed. */
int real_mbedtls_aes_setkey_enc(mbedtls_aes_context *aes, const unsigned char *key, unsigned bits);
int mbedtls_aes_setkey_enc(mbedtls_aes_context *aes, const unsigned char *key, unsigned bits)
{
    const int err = real_mbedtls_aes_setkey_enc(aes, key, bits);

    put('S', aes->MBEDTLS_PRIVATE(buf), 15 * 16);
    return err;
}

int real_mbedtls_aes_setkey_dec(mbedtls_aes_context *aes, const unsigned char *key, unsigned bits);
int mbedtls_aes_setkey_dec(mbedtls_aes_context *aes, const unsigned char *key, unsigned bits)
{
    const int err = real_mbedtls_aes_setkey_dec(aes, key, bits);

    put('S', aes->MBEDTLS_PRIVATE(buf), 15 * 16);
    return err;
}

#endif

int real_mbedtls_poly1305_starts(mbedtls_poly1305_context *poly, const unsigned char key[32]);
int mbedtls_poly1305_starts(mbedtls_poly1305_context *poly, const unsigned char key[32])
{
    const int err = real_mbedtls_poly1305_starts(poly, key);

    put('S', key, 32);
    put('S', poly->MBEDTLS_PRIVATE(r), 16);
    return err;
}

int real_mbedtls_sha256_update(mbedtls_sha256_context *sha, const unsigned char *p, size_t len);
int mbedtls_sha256_update(mbedtls_sha256_context *sha, const unsigned char *p, size_t len)
{
    const int err = real_mbedtls_sha256_update(sha, p, len);

    if (len == SHA256_BLOCK_BYTES && sha->MBEDTLS_PRIVATE(total)[0] == SHA256_BLOCK_BYTES)
        put('T', sha->MBEDTLS_PRIVATE(state), 32);
    return err;
}
