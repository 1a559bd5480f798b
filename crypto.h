/* crypto.h - every cryptographic primitive, and randomness; the only module that calls Mbed TLS and
 * getrandom(2).
 *
 * Keys and secrets are the caller's arrays; this module keeps none. What it needs for itself (the
 * blocks of the AES key schedule, the numbers of the curve) it wipes before it returns. All
 * functions return 0 or an enum crypto_err; on an error every output is zero. */
#ifndef STS_CRYPTO_H
#define STS_CRYPTO_H

#include "bytes.h"
#include "limits.h"

#define CRYPTO_ERRORS(X) \
    X(CRYPTO_ERR_RANDOM, -1, "the kernel gives no random bytes") \
    X(CRYPTO_ERR_POINT, -2, "not a point of the curve") \
    X(CRYPTO_ERR_ARENA, -3, "the arena for big numbers is too small (CRYPTO_ARENA_BYTES)") \
    X(CRYPTO_ERR_LIBRARY, -4, "Mbed TLS failed")

enum crypto_err {
#define CRYPTO_ERR_ENTRY(name, value, text) name = (value),
    CRYPTO_ERRORS(CRYPTO_ERR_ENTRY)
#undef CRYPTO_ERR_ENTRY
};

/* The words for an error, for a log line; never NULL. */
const char *crypto_err_text(int err);

/* Fills `out` from getrandom(2), which waits until the kernel's generator is seeded.
 * CRYPTO_ERR_RANDOM when the kernel refuses (it is older than 3.17). */
int crypto_random(uint8_t *out, size_t len) __attribute__((warn_unused_result));

/* Overwrites `len` bytes in a way that the compiler may not leave out. */
void crypto_wipe(void *p, size_t len);

/* Writes `len` bytes as base64 (RFC 4648, section 4): 4 characters for each 3 bytes begun, no
 * terminating zero. Takes the same time whatever the bytes are. */
void crypto_base64(char *to, const uint8_t *from, size_t len);

#if STS_SEED

/* A secp256k1 point, coordinates big endian. */
struct crypto_point {
    uint8_t x[32], y[32];
};

/* Draws a secp256k1 key pair: `private_key` uniformly from 1..n-1, big endian. SEC 2, 2.4.1.
 * CRYPTO_ERR_RANDOM, CRYPTO_ERR_ARENA, CRYPTO_ERR_LIBRARY. */
int crypto_secp256k1_keypair(uint8_t private_key[32], struct crypto_point *public_key)
    __attribute__((warn_unused_result));

/* The public key of a private one. CRYPTO_ERR_POINT when it is not in 1..n-1; CRYPTO_ERR_RANDOM
 * (blinding), CRYPTO_ERR_ARENA, CRYPTO_ERR_LIBRARY. */
int crypto_secp256k1_public(const uint8_t private_key[32], struct crypto_point *public_key)
    __attribute__((warn_unused_result));

/* ECDH: the x coordinate of private_key * peer, 32 bytes, big endian, leading zeros kept. SEC 1,
 * 3.3.1. CRYPTO_ERR_POINT when `peer` is not a point of the curve; errors as above. */
int crypto_secp256k1_shared(uint8_t secret[32], const uint8_t private_key[32],
                            const struct crypto_point *peer) __attribute__((warn_unused_result));

/* Enciphers or deciphers `len` bytes in place with AES-256 (FIPS 197) in ECB mode (SP 800-38A,
 * 6.1); `len` is a multiple of 16, else CRYPTO_ERR_LIBRARY and nothing is touched. */
int crypto_aes256_ecb(uint8_t *data, size_t len, const uint8_t key[32], bool encrypt)
    __attribute__((warn_unused_result));

/* The same in CBC mode (SP 800-38A, 6.2). `iv` is replaced by the last ciphertext block. */
int crypto_aes256_cbc(uint8_t *data, size_t len, const uint8_t key[32], uint8_t iv[16],
                      bool encrypt) __attribute__((warn_unused_result));

#endif
#endif
