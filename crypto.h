/* crypto.h - every cryptographic primitive, and randomness; the only module that calls Mbed TLS and
 * getrandom(2).
 *
 * Keys and secrets are the caller's arrays; this module keeps none. What it needs for itself (the
 * blocks of the AES key schedule, the numbers of the curve) it wipes before it returns. What can
 * fail returns 0 or an enum crypto_err; on an error every output is zero, but for crypto_aead_open
 * which leaves its message as it is. */
#ifndef STS_CRYPTO_H
#define STS_CRYPTO_H

#include "bytes.h"
#include "limits.h"

#define CRYPTO_ERRORS(X) \
    X(CRYPTO_ERR_RANDOM, -1, "the kernel gives no random bytes") \
    X(CRYPTO_ERR_POINT, -2, "not a point of the curve, or one of low order") \
    X(CRYPTO_ERR_ARENA, -3, "the arena for big numbers is too small (CRYPTO_ARENA_BYTES)") \
    X(CRYPTO_ERR_LIBRARY, -4, "Mbed TLS failed") \
    X(CRYPTO_ERR_TAG, -5, "does not authenticate")

enum crypto_err {
#define CRYPTO_ERR_ENTRY(name, value, text) name = (value),
    CRYPTO_ERRORS(CRYPTO_ERR_ENTRY)
#undef CRYPTO_ERR_ENTRY
};

/* The words for an error, for a log line; never NULL. */
const char *crypto_err_text(int err);

/* Fills `out` from getrandom(2), which waits until the kernel's generator is seeded.
 * CRYPTO_ERR_RANDOM when the kernel refuses (it is older than 3.17). */
/*@ requires output: \valid(out + (0 .. len - 1));
    assigns \result, out[0 .. len - 1] \from len;
    ensures result: \result == 0 || \result == CRYPTO_ERR_RANDOM;
    ensures filled: \initialized(out + (0 .. len - 1)); */
int crypto_random(uint8_t *out, size_t len) __attribute__((warn_unused_result));

/* Overwrites `len` bytes in a way that the compiler may not leave out. */
/*@ requires output: \valid((uint8_t *)p + (0 .. len - 1));
    assigns ((uint8_t *)p)[0 .. len - 1] \from \nothing;
    ensures wiped: \initialized((uint8_t *)p + (0 .. len - 1)); */
void crypto_wipe(void *p, size_t len);

/* Overwrites CRYPTO_STACK_BYTES of the stack below the caller: what the functions that it called
 * have left there. */
void crypto_wipe_stack(void);

/* Writes `len` bytes as base64 (RFC 4648, section 4): 4 characters for each 3 bytes begun, no
 * terminating zero. Takes the same time whatever the bytes are. */
/*@ requires input: \valid_read(from + (0 .. len - 1)) && \initialized(from + (0 .. len - 1));
    requires output: \valid(to + (0 .. (len + 2) / 3 * 4 - 1));
    assigns to[0 .. (len + 2) / 3 * 4 - 1] \from from[0 .. len - 1];
    ensures filled: \initialized(to + (0 .. (len + 2) / 3 * 4 - 1)); */
void crypto_base64(char *to, const uint8_t *from, size_t len);

/* Whether two secrets are equal, in a time that depends on their length alone. */
/*@ requires inputs: \valid_read(a + (0 .. len - 1)) && \valid_read(b + (0 .. len - 1));
    assigns \result \from a[0 .. len - 1], b[0 .. len - 1];
    ensures result: \result <= 1; */
bool crypto_equal(const uint8_t *a, const uint8_t *b, size_t len)
    __attribute__((warn_unused_result));

/* SHA-256 (FIPS 180-4) of all parts, one after the other. */
/*@ requires inputs: \valid_read(parts + (0 .. parts_count - 1));
    requires output: \valid(digest + (0 .. 31));
    assigns digest[0 .. 31] \from indirect:parts[0 .. parts_count - 1];
    ensures filled: \initialized(digest + (0 .. 31)); */
void crypto_sha256(uint8_t digest[32], const struct bytes *parts, size_t parts_count);

/* HMAC-SHA-256 (RFC 2104) of all parts, one after the other. `mac` may be where `key` is. */
void crypto_hmac_sha256(uint8_t mac[32], const uint8_t key[32], const struct bytes *parts,
                        size_t parts_count);

/* Draws an X25519 key pair, RFC 7748, 6.1. The private key is stored clamped, as `wg genkey` has
 * it. CRYPTO_ERR_RANDOM. */
int crypto_x25519_keypair(uint8_t private_key[32], uint8_t public_key[32])
    __attribute__((warn_unused_result));

/* The public key of a private one. Any 32 bytes are a private key. */
void crypto_x25519_public(uint8_t public_key[32], const uint8_t private_key[32]);

/* X25519(private_key, public_key). CRYPTO_ERR_POINT when the result is zero, which is so for the
 * points of low order and for no others. RFC 7748, 6.1. */
/*@ requires inputs: \valid_read(private_key + (0 .. 31)) && \valid_read(public_key + (0 .. 31));
    requires output: \valid(secret + (0 .. 31));
    assigns \result, secret[0 .. 31] \from private_key[0 .. 31], public_key[0 .. 31];
    ensures result: \result == 0 || \result == CRYPTO_ERR_POINT;
    ensures filled: \initialized(secret + (0 .. 31)); */
int crypto_x25519_shared(uint8_t secret[32], const uint8_t private_key[32],
                         const uint8_t public_key[32]) __attribute__((warn_unused_result));

/* Whether a public key is one of those that crypto_x25519_shared refuses. Some thousand times as
 * fast: it is a table, so that a file of peers can be checked when it is read. */
/*@ requires input: \valid_read(public_key + (0 .. 31)) && \initialized(public_key + (0 .. 31));
    assigns \result \from public_key[0 .. 31];
    ensures result: \result <= 1; */
bool crypto_x25519_low_order(const uint8_t public_key[32]);

/* Enciphers `len` bytes in place with ChaCha20-Poly1305 and makes the tag. RFC 8439, 2.8. */
void crypto_aead_seal(uint8_t *data, size_t len, uint8_t tag[16], const uint8_t key[32],
                      const uint8_t nonce[12], struct bytes associated);

/* Checks the tag; then, only if it is right, deciphers in place. CRYPTO_ERR_TAG: nothing was
 * deciphered, `data` is as it was and another key may be tried on it. */
int crypto_aead_open(uint8_t *data, size_t len, const uint8_t tag[16], const uint8_t key[32],
                     const uint8_t nonce[12], struct bytes associated)
    __attribute__((warn_unused_result));

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
