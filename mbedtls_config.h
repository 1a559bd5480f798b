/* mbedtls_config.h - the parts of Mbed TLS 3.6 that crypto.c uses, and no others.
 *
 * Given to every file of Mbed TLS and to crypto.c with -DMBEDTLS_CONFIG_FILE. A module is switched
 * on here and its .c files are named in the Makefile (MBEDTLS_SRC). */
#ifndef STS_MBEDTLS_CONFIG_H
#define STS_MBEDTLS_CONFIG_H

/* ---- the machine ---- */

/* Multiplication of big numbers, and the barriers that keep constant-time code constant. */
#define MBEDTLS_HAVE_ASM

/* Nothing of stdio or stdlib is behind Mbed TLS: no malloc, no printf, no exit. */
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_NO_STD_FUNCTIONS

#define MBEDTLS_DEPRECATED_REMOVED

/* ---- JSON, keys ---- */

#define MBEDTLS_BASE64_C

/* ---- STS/2: X25519, ChaCha20-Poly1305, SHA-256 ---- */

#define MBEDTLS_ECDH_VARIANT_EVEREST_ENABLED /* its curve alone; Mbed TLS's is slower */
#define MBEDTLS_CHACHA20_C
#define MBEDTLS_POLY1305_C
#define MBEDTLS_SHA256_C
/* A handshake hashes for a hundredth of the time that its X25519 takes: its rounds in a loop. */
#define MBEDTLS_SHA256_SMALLER

#if STS_SEED

/* ---- STS/1: memory for big numbers ---- */

#include <stddef.h>

/* Of crypto.c: room for the time of one of its calls. */
void *crypto_arena_calloc(size_t count, size_t size);
void crypto_arena_free(void *block);
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_PLATFORM_CALLOC_MACRO crypto_arena_calloc
#define MBEDTLS_PLATFORM_FREE_MACRO crypto_arena_free

/* ---- STS/1: ECDH on secp256k1 ---- */

#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256K1_ENABLED
/* A handshake takes two multiplications: room counts for more than time. */
#define MBEDTLS_ECP_WINDOW_SIZE 2
#define MBEDTLS_ECP_FIXED_POINT_OPTIM 0
#define MBEDTLS_MPI_WINDOW_SIZE 1
#define MBEDTLS_MPI_MAX_SIZE 64 /* the product of two coordinates */

/* ---- STS/1: AES-256 in ECB and CBC mode ---- */

#define MBEDTLS_AES_C
#define MBEDTLS_CIPHER_MODE_CBC
/* Its tables are made when they are needed first: the code for that is 2 KB smaller than they. */
#define MBEDTLS_AES_FEWER_TABLES

#endif
#endif
