/* noise.c - see noise.h. */
#include "noise.h"

#include <assert.h>

static_assert(NOISE_MESSAGE_1_BYTES == NOISE_HEAD_1_BYTES + NOISE_TAG_BYTES, "sizes of message 1");
static_assert(NOISE_MESSAGE_2_BYTES == NOISE_KEY_BYTES + NOISE_TAG_BYTES, "sizes of message 2");

static struct bytes key_bytes(const uint8_t key[32])
{
    return (struct bytes){key, NOISE_KEY_BYTES};
}

/* HKDF() of section 4.3: three outputs of 32 bytes. Whoever wants two leaves the last. */
static void hkdf(uint8_t out[3][32], const uint8_t chaining_key[32], struct bytes input)
{
    uint8_t temp[32];

    crypto_hmac_sha256(temp, chaining_key, &input, 1);
    for (uint8_t i = 0; i < 3; i++) {
        const uint8_t count = (uint8_t)(i + 1);
        const struct bytes parts[2] = {key_bytes(out[i ? i - 1 : 0]), {&count, 1}};

        /* Output 1 has no output before it. */
        crypto_hmac_sha256(out[i], temp, i ? parts : parts + 1, i ? 2 : 1);
    }
    crypto_wipe(temp, sizeof temp);
}

static void mix_hash(struct noise *n, struct bytes a, struct bytes b)
{
    const struct bytes parts[3] = {key_bytes(n->h), a, b};

    crypto_sha256(n->h, parts, 3);
}

static void mix_key(struct noise *n, const uint8_t input[32])
{
    uint8_t out[3][32];

    hkdf(out, n->ck, key_bytes(input));
    memcpy(n->ck, out[0], 32);
    memcpy(n->k, out[1], 32);
    n->n = 0;
    crypto_wipe(out, sizeof out);
}

/* The token psk. */
static void mix_key_and_hash(struct noise *n, const uint8_t psk[32])
{
    uint8_t out[3][32];

    hkdf(out, n->ck, key_bytes(psk));
    memcpy(n->ck, out[0], 32);
    mix_hash(n, key_bytes(out[1]), (struct bytes){NULL, 0});
    memcpy(n->k, out[2], 32);
    n->n = 0;
    crypto_wipe(out, sizeof out);
}

/* The token e, for a public key sent or received. Section 9.2: in a psk handshake it goes into the
 * key as well. */
static void mix_ephemeral(struct noise *n, const uint8_t public_key[32])
{
    mix_hash(n, key_bytes(public_key), (struct bytes){NULL, 0});
    mix_key(n, public_key);
}

/* The tokens es, ee, se. */
static int mix_dh(struct noise *n, const uint8_t private_key[32], const uint8_t public_key[32])
{
    uint8_t secret[32];
    int err = crypto_x25519_shared(secret, private_key, public_key);

    if (err == 0)
        mix_key(n, secret);
    crypto_wipe(secret, sizeof secret);
    return err;
}

/* Section 12.3. */
static void put_nonce(uint8_t nonce[12], uint64_t n)
{
    memset(nonce, 0, 4);
    for (unsigned i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(n >> 8 * i);
}

void noise_encrypt(const uint8_t key[32], uint64_t n, struct bytes associated, uint8_t *text,
                   size_t len)
{
    uint8_t nonce[12];

    put_nonce(nonce, n);
    crypto_aead_seal(text, len, text + len, key, nonce, associated);
}

int noise_decrypt(const uint8_t key[32], uint64_t n, struct bytes associated, uint8_t *text,
                  size_t len)
{
    uint8_t nonce[12];

    put_nonce(nonce, n);
    return crypto_aead_open(text, len, text + len, key, nonce, associated);
}

/* EncryptAndHash(), section 5.2, in place; the tag goes behind. */
static void encrypt_and_hash(struct noise *n, uint8_t *text, size_t len)
{
    noise_encrypt(n->k, n->n++, key_bytes(n->h), text, len);
    mix_hash(n, (struct bytes){text, len + NOISE_TAG_BYTES}, (struct bytes){NULL, 0});
}

/* DecryptAndHash(). The hash is of the ciphertext, which deciphering in place destroys, so it is
 * computed before; `n` is the caller's copy and goes away with an error. */
static int decrypt_and_hash(struct noise *n, uint8_t *text, size_t len)
{
    struct noise before = *n;
    int err;

    mix_hash(n, (struct bytes){text, len + NOISE_TAG_BYTES}, (struct bytes){NULL, 0});
    err = noise_decrypt(before.k, n->n++, key_bytes(before.h), text, len);
    crypto_wipe(&before, sizeof before);
    return err;
}

/* Ends a step that worked on the copy `next`. */
static int step_end(struct noise *n, struct noise *next, int err)
{
    if (err == 0)
        *n = *next;
    crypto_wipe(next, sizeof *next);
    return err;
}

void noise_ephemeral(uint8_t ephemeral[32], const uint8_t static_private[32],
                     const uint8_t random[32], uint64_t id, struct bytes topic)
{
    uint8_t id_bytes[8];
    struct wr w = wr_over(id_bytes, sizeof id_bytes);
    const struct bytes parts[3] = {key_bytes(random), {id_bytes, sizeof id_bytes}, topic};

    wr_be64(&w, id);
    crypto_hmac_sha256(ephemeral, static_private, parts, 3);
}

void noise_start(struct noise *noise, enum noise_pattern pattern, struct bytes label,
                 struct bytes topic, const uint8_t responder_public[32])
{
    struct bytes name = {NULL, 0};

    switch (pattern) {
    case NOISE_IKPSK1:
        name = bytes_of("Noise_IKpsk1_25519_ChaChaPoly_SHA256");
        break;
    case NOISE_XPSK1:
        name = bytes_of("Noise_Xpsk1_25519_ChaChaPoly_SHA256");
        break;
    }
    memset(noise, 0, sizeof *noise);
    /* Both names are longer than a hash, so they are hashed: InitializeSymmetric(). */
    crypto_sha256(noise->h, &name, 1);
    memcpy(noise->ck, noise->h, 32);
    mix_hash(noise, label, topic);
    mix_hash(noise, key_bytes(responder_public), (struct bytes){NULL, 0});
}

int noise_write_1(struct noise *noise, struct wr *out, const struct noise_pair *own,
                  const uint8_t ephemeral[32], const uint8_t responder_public[32],
                  const struct noise_peer *peer, struct bytes head, struct bytes body)
{
    struct noise next = *noise;
    size_t len = head.len + body.len;
    uint8_t *message = wr_claim(out, NOISE_MESSAGE_1_BYTES + len);
    uint8_t *sealed_s, *payload;
    int err;

    if (!message)
        return step_end(noise, &next, CRYPTO_ERR_LIBRARY);
    sealed_s = message + NOISE_KEY_BYTES;
    payload = message + NOISE_HEAD_1_BYTES;
    if (body.len > 0)
        memmove(payload + head.len, body.p, body.len);
    memcpy(payload, head.p, head.len);
    crypto_x25519_public(message, ephemeral);
    mix_ephemeral(&next, message);
    err = mix_dh(&next, ephemeral, responder_public);
    if (err == 0) {
        memcpy(sealed_s, own->public_key, NOISE_KEY_BYTES);
        encrypt_and_hash(&next, sealed_s, NOISE_KEY_BYTES);
        mix_key(&next, peer->ss);
        mix_key_and_hash(&next, peer->psk);
        encrypt_and_hash(&next, payload, len);
    } else {
        crypto_wipe(message, NOISE_MESSAGE_1_BYTES + len);
        out->p = message;
    }
    return step_end(noise, &next, err);
}

int noise_read_1_key(struct noise *noise, uint8_t initiator_ephemeral[32],
                     uint8_t initiator_public[32], const uint8_t head[NOISE_HEAD_1_BYTES],
                     const struct noise_pair *own)
{
    struct noise next = *noise;
    uint8_t s[NOISE_KEY_BYTES + NOISE_TAG_BYTES];
    int err;

    mix_ephemeral(&next, head);
    err = mix_dh(&next, own->private_key, head);
    memcpy(s, head + NOISE_KEY_BYTES, sizeof s);
    if (err == 0)
        err = decrypt_and_hash(&next, s, NOISE_KEY_BYTES);
    if (err == 0) {
        memcpy(initiator_ephemeral, head, NOISE_KEY_BYTES);
        memcpy(initiator_public, s, NOISE_KEY_BYTES);
    }
    crypto_wipe(s, sizeof s);
    return step_end(noise, &next, err);
}

int noise_read_1_payload(struct noise *noise, uint8_t *payload, size_t payload_len,
                         const struct noise_peer *peer)
{
    struct noise next = *noise;
    int err;

    mix_key(&next, peer->ss);
    mix_key_and_hash(&next, peer->psk);
    err = decrypt_and_hash(&next, payload, payload_len);
    return step_end(noise, &next, err);
}

int noise_write_2(struct noise *noise, struct wr *out, const uint8_t ephemeral[32],
                  const uint8_t initiator_ephemeral[32], const uint8_t initiator_public[32],
                  struct bytes payload)
{
    struct noise next = *noise;
    uint8_t *message = wr_claim(out, NOISE_MESSAGE_2_BYTES + payload.len);
    int err;

    if (!message)
        return step_end(noise, &next, CRYPTO_ERR_LIBRARY);
    if (payload.len > 0)
        memmove(message + NOISE_KEY_BYTES, payload.p, payload.len);
    crypto_x25519_public(message, ephemeral);
    mix_ephemeral(&next, message);
    err = mix_dh(&next, ephemeral, initiator_ephemeral);
    if (err == 0)
        err = mix_dh(&next, ephemeral, initiator_public);
    if (err == 0) {
        encrypt_and_hash(&next, message + NOISE_KEY_BYTES, payload.len);
    } else {
        crypto_wipe(message, NOISE_MESSAGE_2_BYTES + payload.len);
        out->p = message;
    }
    return step_end(noise, &next, err);
}

int noise_read_2(struct noise *noise, uint8_t *message, size_t payload_len,
                 const struct noise_pair *own, const uint8_t ephemeral[32])
{
    struct noise next = *noise;
    int err;

    mix_ephemeral(&next, message);
    err = mix_dh(&next, ephemeral, message);
    if (err == 0)
        err = mix_dh(&next, own->private_key, message);
    if (err == 0)
        err = decrypt_and_hash(&next, message + NOISE_KEY_BYTES, payload_len);
    return step_end(noise, &next, err);
}

void noise_split(const struct noise *noise, uint8_t initiator_sends[32],
                 uint8_t responder_sends[32])
{
    uint8_t out[3][32];

    hkdf(out, noise->ck, (struct bytes){NULL, 0});
    memcpy(initiator_sends, out[0], 32);
    memcpy(responder_sends, out[1], 32);
    crypto_wipe(out, sizeof out);
}
