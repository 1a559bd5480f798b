/* noise.h - the two Noise handshakes of STS/2: IKpsk1 and Xpsk1 with X25519, ChaCha20-Poly1305 and
 * SHA-256.
 *
 * Pure: no I/O, no clock, no randomness. One function is one step of a handshake; the state is the
 * caller's and is passed in. A step that fails changes nothing: not the state, and of the message
 * it was given not one byte, so the next message can be tried on both. Whatever a step computes on
 * its way it wipes; the state itself and the ephemeral private keys the caller wipes.
 *
 * Normative: "The Noise Protocol Framework", revision 34 (sections are its):
 *
 *   IKpsk1: <- s ...                         Xpsk1: <- s ...
 *           -> e, es, s, ss, psk                    -> e, es, s, ss, psk
 *           <- e, ee, se
 *
 * The initiator: noise_start, noise_write_1, for IKpsk1 noise_read_2, noise_split. The responder:
 * noise_start, noise_read_1_key, then it looks the initiator's key up, noise_read_1_payload, for
 * IKpsk1 noise_write_2, noise_split.
 *
 * The static-static DH (ss) is always the caller's: it is the same for each handshake of a pair, so
 * whoever talks to a peer twice need not compute it twice. crypto_x25519_shared makes it. */
#ifndef STS_NOISE_H
#define STS_NOISE_H

#include "bytes.h"
#include "crypto.h"

#define NOISE_KEY_BYTES 32
#define NOISE_TAG_BYTES 16
#define NOISE_MESSAGE_MAX_BYTES 65535 /* section 3 */
/* What message 1 and message 2 have beside their payload. */
#define NOISE_HEAD_1_BYTES (32 + (32 + 16))         /* e, sealed s */
#define NOISE_MESSAGE_1_BYTES (32 + (32 + 16) + 16) /* the same and the tag of the payload */
#define NOISE_MESSAGE_2_BYTES (32 + 16)             /* e, tag of the payload */

enum noise_pattern { NOISE_IKPSK1, NOISE_XPSK1 };

/* A key pair of X25519. */
struct noise_pair {
    uint8_t private_key[32], public_key[32];
};

/* What both ends know of each other before message 1, beside their own keys. */
struct noise_peer {
    const uint8_t *ss;  /* 32 bytes: X25519 of the two static keys, not zero */
    const uint8_t *psk; /* 32 bytes */
};

/* SymmetricState and its CipherState, section 5. There is always a key once message 1 has begun,
 * because in a psk handshake `e` is mixed into it (section 9.2). */
struct noise {
    uint8_t h[32];  /* hash of the handshake so far */
    uint8_t ck[32]; /* chaining key */
    uint8_t k[32];  /* key of the next EncryptAndHash */
    uint64_t n;     /* its nonce */
};

/* Makes the private key of an ephemeral pair: HMAC-SHA-256 with the static private key, of 32 fresh
 * random bytes, `id` and `topic`. So a machine whose random source fails does not use one twice. */
void noise_ephemeral(uint8_t ephemeral[32], const uint8_t static_private[32],
                     const uint8_t random[32], uint64_t id, struct bytes topic);

/* Initialize(), section 5.3. The prologue is `label` and `topic`, one after the other. */
/*@ requires output: \valid(noise);
    requires input: \valid_read(responder_public + (0 .. 31));
    requires views: \valid_read(label.p + (0 .. label.len - 1)) &&
                    \valid_read(topic.p + (0 .. topic.len - 1));
    assigns *noise \from indirect:pattern, indirect:label, indirect:topic,
                         responder_public[0 .. 31];
    ensures filled: \initialized(noise); */
void noise_start(struct noise *noise, enum noise_pattern pattern, struct bytes label,
                 struct bytes topic, const uint8_t responder_public[32]);

/* Initiator: message 1, of NOISE_MESSAGE_1_BYTES and the payload, which is `head` and `body`, one
 * after the other; `body` may already stand where it goes. CRYPTO_ERR_POINT when the responder's
 * key is a point of low order. No room: `out` becomes bad, the result is CRYPTO_ERR_LIBRARY. */
/*@ requires state: \valid(noise) && \valid(out) && \valid_read(own) && \valid_read(peer);
    requires inputs: \valid_read(ephemeral + (0 .. 31)) &&
                     \valid_read(responder_public + (0 .. 31));
    requires views: \valid_read(head.p + (0 .. head.len - 1)) &&
                    (body.len == 0 || \valid_read(body.p + (0 .. body.len - 1)));
    requires room: !out->bad && out->end - out->p >= NOISE_MESSAGE_1_BYTES + head.len + body.len;
    assigns *noise, *out, out->p[0 .. NOISE_MESSAGE_1_BYTES + head.len + body.len - 1], \result
        \from indirect:*noise;
    ensures result: \result == 0 || \result == CRYPTO_ERR_POINT;
    ensures written: \result == 0 ==>
        out->p == \old(out->p) + NOISE_MESSAGE_1_BYTES + head.len + body.len; */
int noise_write_1(struct noise *noise, struct wr *out, const struct noise_pair *own,
                  const uint8_t ephemeral[32], const uint8_t responder_public[32],
                  const struct noise_peer *peer, struct bytes head, struct bytes body)
    __attribute__((warn_unused_result));

/* Responder: the first NOISE_HEAD_1_BYTES of message 1. Gives the initiator's ephemeral and static
 * public key. The static key proves nothing before noise_read_1_payload. CRYPTO_ERR_POINT,
 * CRYPTO_ERR_TAG. */
/*@ requires state: \valid(noise) && \initialized(noise) && \valid_read(own);
    requires input: \valid_read(head + (0 .. NOISE_HEAD_1_BYTES - 1)) &&
                    \initialized(head + (0 .. NOISE_HEAD_1_BYTES - 1));
    requires outputs: \valid(initiator_ephemeral + (0 .. 31)) &&
                      \valid(initiator_public + (0 .. 31));
    assigns \result, *noise, initiator_ephemeral[0 .. 31], initiator_public[0 .. 31]
        \from head[0 .. NOISE_HEAD_1_BYTES - 1], *own, *noise;
    ensures result: \result == 0 || \result == CRYPTO_ERR_POINT || \result == CRYPTO_ERR_TAG;
    ensures filled: \initialized(noise) && \initialized(initiator_ephemeral + (0 .. 31)) &&
                    \initialized(initiator_public + (0 .. 31)); */
int noise_read_1_key(struct noise *noise, uint8_t initiator_ephemeral[32],
                     uint8_t initiator_public[32], const uint8_t head[NOISE_HEAD_1_BYTES],
                     const struct noise_pair *own) __attribute__((warn_unused_result));

/* Responder: the rest of message 1, `payload_len` bytes and their tag, deciphered in place. The
 * initiator is the owner of the static key once this returns 0. CRYPTO_ERR_TAG. */
/*@ requires state: \valid(noise) && \initialized(noise);
    requires peer: \valid_read(peer) && \valid_read(peer->ss + (0 .. 31)) &&
                   \valid_read(peer->psk + (0 .. 31));
    requires message: \valid(payload + (0 .. payload_len + NOISE_TAG_BYTES - 1)) &&
                      \initialized(payload + (0 .. payload_len + NOISE_TAG_BYTES - 1));
    assigns \result, *noise, payload[0 .. payload_len - 1]
        \from *noise, payload[0 .. payload_len + NOISE_TAG_BYTES - 1];
    ensures result: \result == 0 || \result == CRYPTO_ERR_TAG;
    ensures filled: \initialized(noise) && \initialized(payload + (0 .. payload_len - 1)); */
int noise_read_1_payload(struct noise *noise, uint8_t *payload, size_t payload_len,
                         const struct noise_peer *peer) __attribute__((warn_unused_result));

/* Responder: message 2 of IKpsk1. CRYPTO_ERR_POINT, CRYPTO_ERR_LIBRARY (no room) as above. */
int noise_write_2(struct noise *noise, struct wr *out, const uint8_t ephemeral[32],
                  const uint8_t initiator_ephemeral[32], const uint8_t initiator_public[32],
                  struct bytes payload) __attribute__((warn_unused_result));

/* Initiator: message 2, 32 + `payload_len` + 16 bytes; the payload is deciphered in place behind
 * the first 32 bytes. `ephemeral`: the private key that message 1 was made with.
 * CRYPTO_ERR_POINT, CRYPTO_ERR_TAG. */
/*@ requires state: \valid(noise) && \initialized(noise) && \valid_read(own);
    requires inputs: \valid_read(ephemeral + (0 .. 31));
    requires message: \valid(message + (0 .. NOISE_MESSAGE_2_BYTES + payload_len - 1)) &&
                      \initialized(message + (0 .. NOISE_MESSAGE_2_BYTES + payload_len - 1));
    assigns \result, *noise, message[32 .. 32 + payload_len - 1]
        \from *noise, message[0 .. NOISE_MESSAGE_2_BYTES + payload_len - 1];
    ensures result: \result == 0 || \result == CRYPTO_ERR_POINT || \result == CRYPTO_ERR_TAG;
    ensures filled: \initialized(noise); */
int noise_read_2(struct noise *noise, uint8_t *message, size_t payload_len,
                 const struct noise_pair *own, const uint8_t ephemeral[32])
    __attribute__((warn_unused_result));

/* Split(), section 5.2: the keys of the two directions. `noise` is not changed, for its h. */
/*@ requires state: \valid_read(noise) && \initialized(noise);
    requires outputs: \valid(initiator_sends + (0 .. 31)) && \valid(responder_sends + (0 .. 31));
    assigns initiator_sends[0 .. 31], responder_sends[0 .. 31] \from *noise;
    ensures filled: \initialized(initiator_sends + (0 .. 31)) &&
                    \initialized(responder_sends + (0 .. 31)); */
void noise_split(const struct noise *noise, uint8_t initiator_sends[32],
                 uint8_t responder_sends[32]);

/* ENCRYPT() and DECRYPT() of section 4.2 and 12.3, in place: the tag stands behind `len` bytes. The
 * nonce is `n`, which nobody uses twice with one key, and never UINT64_MAX. CRYPTO_ERR_TAG. */
/*@ requires inputs: \valid_read(key + (0 .. 31)) &&
                     \valid_read(associated.p + (0 .. associated.len - 1));
    requires nonce: n < 0xffffffffffffffff;
    requires text: \valid(text + (0 .. len + NOISE_TAG_BYTES - 1));
    assigns text[0 .. len + NOISE_TAG_BYTES - 1] \from text[0 .. len - 1], key[0 .. 31], n;
    ensures filled: \initialized(text + (len .. len + NOISE_TAG_BYTES - 1)); */
void noise_encrypt(const uint8_t key[32], uint64_t n, struct bytes associated, uint8_t *text,
                   size_t len);
/*@ requires inputs: \valid_read(key + (0 .. 31)) &&
                     \valid_read(associated.p + (0 .. associated.len - 1));
    requires nonce: n < 0xffffffffffffffff;
    requires text: \valid(text + (0 .. len + NOISE_TAG_BYTES - 1)) &&
                   \initialized(text + (0 .. len + NOISE_TAG_BYTES - 1));
    assigns \result, text[0 .. len - 1] \from text[0 .. len + NOISE_TAG_BYTES - 1], key[0 .. 31], n;
    ensures result: \result == 0 || \result == CRYPTO_ERR_TAG;
    ensures filled: \initialized(text + (0 .. len - 1)); */
int noise_decrypt(const uint8_t key[32], uint64_t n, struct bytes associated, uint8_t *text,
                  size_t len) __attribute__((warn_unused_result));

#endif
