/* test_noise.c - the published vectors of both patterns; what a handshake message does that is not
 * right; and the primitives below them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "noise.h"
#include "vectors_sts2.h"

/* A copy in a block of its exact size: the sanitizer sees one byte too many. */
static uint8_t *block(struct bytes from)
{
    uint8_t *copy = malloc(from.len ? from.len : 1);

    if (from.len)
        memcpy(copy, from.p, from.len);
    return copy;
}

static void assert_bytes(const uint8_t *got, struct bytes want)
{
    if (want.len)
        assert_memory_equal(got, want.p, want.len);
}

static struct bytes unhex(uint8_t *out, const char *hex)
{
    size_t len = strlen(hex) / 2;

    for (size_t i = 0; i < len; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], 0};

        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return (struct bytes){out, len};
}

/* ---- primitives ---- */

static void test_sha256(void **state)
{
    static const struct {
        const char *text, *digest;
    } table[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct bytes text = bytes_of(table[i].text);
        uint8_t digest[32], want[32];

        unhex(want, table[i].digest);
        /* However it is cut in three. */
        for (size_t a = 0; a <= text.len; a++)
            for (size_t b = a; b <= text.len; b++) {
                const struct bytes parts[3] = {
                    {text.p, a}, {text.p + a, b - a}, {text.p + b, text.len - b}};

                crypto_sha256(digest, parts, 3);
                assert_memory_equal(digest, want, 32);
            }
    }
}

/* RFC 4231, 4.2 to 4.4, whose keys are shorter than 32 bytes: filled up with zeros they are the
 * same keys to HMAC. */
static void test_hmac(void **state)
{
    static const struct {
        const char *key, *data, *mac;
    } table[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "dddddddddddddddddddddddddddddddddddddddddddddddddd"
         "dddddddddddddddddddddddddddddddddddddddddddddddddd",
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        uint8_t key[32] = {0}, data[64], mac[32], want[32];
        struct bytes d;

        unhex(key, table[i].key);
        d = unhex(data, table[i].data);
        unhex(want, table[i].mac);
        crypto_hmac_sha256(mac, key, &d, 1);
        assert_memory_equal(mac, want, 32);
        crypto_hmac_sha256(key, key, (struct bytes[]){{data, 3}, {data + 3, d.len - 3}}, 2);
        assert_memory_equal(key, want, 32);
    }
}

/* RFC 7748, 5.2 and 6.1. */
static void test_x25519(void **state)
{
    uint8_t k[32], u[32], out[32], want[32], pub[32];

    (void)state;
    unhex(k, "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
    unhex(u, "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
    unhex(want, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    assert_int_equal(crypto_x25519_shared(out, k, u), 0);
    assert_memory_equal(out, want, 32);
    unhex(k, "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d");
    unhex(u, "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493");
    unhex(want, "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
    assert_int_equal(crypto_x25519_shared(out, k, u), 0);
    assert_memory_equal(out, want, 32);
    assert_int_equal(crypto_x25519_keypair(k, pub), 0);
    assert_int_equal(k[0] & 7, 0);
    assert_int_equal(k[31] & 0xc0, 0x40);
    crypto_x25519_public(out, k);
    assert_memory_equal(out, pub, 32);
    /* 5.2: a thousand times over. */
    memset(k, 0, 32);
    memset(u, 0, 32);
    k[0] = u[0] = 9;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(crypto_x25519_shared(out, k, u), 0);
        memcpy(u, k, 32);
        memcpy(k, out, 32);
    }
    unhex(want, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
    assert_memory_equal(k, want, 32);
}

/* The table of low-order points and the arithmetic agree, for them and all their neighbours. */
static void test_low_order(void **state)
{
    static const char *const table[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    uint8_t u[32], k[32] = {1, 2, 3}, out[32];

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++)
        for (unsigned bit = 0; bit <= 256; bit += bit == 8 ? 247 : 1) {
            bool low;

            unhex(u, table[i]);
            if (bit > 0)
                u[(bit - 1) / 8] ^= (uint8_t)(1 << (bit - 1) % 8);
            low = crypto_x25519_low_order(u);
            if (bit == 0 || bit == 256)
                assert_true(low);
            assert_int_equal(crypto_x25519_shared(out, k, u), low ? CRYPTO_ERR_POINT : 0);
        }
    /* Every number from p on, and the first ones. */
    for (unsigned first = 0; first < 256; first++) {
        memset(u, first < 0xec ? 0 : 0xff, 32);
        u[0] = (uint8_t)first;
        assert_int_equal(crypto_x25519_shared(out, k, u),
                         crypto_x25519_low_order(u) ? CRYPTO_ERR_POINT : 0);
    }
}

/* RFC 8439, 2.8.2. */
static void test_aead(void **state)
{
    static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
                               "only one tip for the future, sunscreen would be it.";
    const size_t len = sizeof text - 1;
    uint8_t key[32], nonce[12], ad[12], want[32], tag[16], was[sizeof text];
    uint8_t *data = block((struct bytes){(const uint8_t *)text, len});

    (void)state;
    unhex(key, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    unhex(nonce, "070000004041424344454647");
    unhex(ad, "50515253c0c1c2c3c4c5c6c7");
    crypto_aead_seal(data, len, tag, key, nonce, (struct bytes){ad, 12});
    unhex(want, "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6");
    assert_memory_equal(data, want, 32);
    unhex(want, "1ae10b594f09e26a7e902ecbd0600691");
    assert_memory_equal(tag, want, 16);
    memcpy(was, data, len);
    for (unsigned bit = 0; bit < 8 * 16; bit++) {
        tag[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(crypto_aead_open(data, len, tag, key, nonce, (struct bytes){ad, 12}),
                         CRYPTO_ERR_TAG);
        assert_memory_equal(data, was, len);
        tag[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(crypto_aead_open(data, len, tag, key, nonce, (struct bytes){ad, 11}),
                     CRYPTO_ERR_TAG);
    assert_int_equal(crypto_aead_open(data, len - 1, tag, key, nonce, (struct bytes){ad, 12}),
                     CRYPTO_ERR_TAG);
    assert_int_equal(crypto_aead_open(data, len, tag, key, nonce, (struct bytes){ad, 12}), 0);
    assert_memory_equal(data, text, len);
    free(data);
}

static void test_equal(void **state)
{
    uint8_t a[32] = {0}, b[32] = {0};

    (void)state;
    assert_true(crypto_equal(a, b, 32));
    assert_true(crypto_equal(a, b, 0));
    for (unsigned bit = 0; bit < 256; bit++) {
        b[bit / 8] = (uint8_t)(1 << bit % 8);
        assert_false(crypto_equal(a, b, 32));
        b[bit / 8] = 0;
    }
}

/* ---- handshakes ---- */

struct ends {
    const struct v_noise *v;
    struct noise initiator, responder;
    struct noise_pair initiator_pair, responder_pair;
    uint8_t ss[32], re[32], rs[32];
    struct noise_peer peer;
};

static void pair_of(struct noise_pair *pair, struct bytes private_key)
{
    memcpy(pair->private_key, private_key.p, 32);
    crypto_x25519_public(pair->public_key, pair->private_key);
}

/* The prologue is cut in two places of its own, as label and topic. */
static void ends_start(struct ends *e, const struct v_noise *v)
{
    enum noise_pattern pattern = v->protocol[6] == 'I' ? NOISE_IKPSK1 : NOISE_XPSK1;
    struct bytes label = {v->prologue.p, 3}, topic = {v->prologue.p + 3, v->prologue.len - 3};

    e->v = v;
    pair_of(&e->initiator_pair, v->initiator);
    pair_of(&e->responder_pair, v->responder);
    assert_bytes(e->responder_pair.public_key, v->responder_public);
    assert_int_equal(crypto_x25519_shared(e->ss, v->initiator.p, e->responder_pair.public_key), 0);
    e->peer = (struct noise_peer){e->ss, v->psk.p};
    noise_start(&e->initiator, pattern, label, topic, e->responder_pair.public_key);
    noise_start(&e->responder, pattern, topic, (struct bytes){NULL, 0}, v->responder_public.p);
    assert_memory_not_equal(&e->initiator, &e->responder, sizeof e->initiator);
    noise_start(&e->responder, pattern, v->prologue, (struct bytes){NULL, 0},
                v->responder_public.p);
    assert_memory_equal(&e->initiator, &e->responder, sizeof e->initiator);
}

static int write_1(struct ends *e, struct wr *w, struct bytes payload)
{
    return noise_write_1(&e->initiator, w, &e->initiator_pair, e->v->initiator_ephemeral.p,
                         e->v->responder_public.p, &e->peer, (struct bytes){payload.p, 5},
                         (struct bytes){payload.p + 5, payload.len - 5});
}

/* Reads message 1 as a receiver does: the key, then the rest. */
static int read_1(struct ends *e, uint8_t *message, size_t payload_len)
{
    int err = noise_read_1_key(&e->responder, e->re, e->rs, message, &e->responder_pair);

    return err ? err
               : noise_read_1_payload(&e->responder, message + NOISE_HEAD_1_BYTES, payload_len,
                                      &e->peer);
}

static void do_message_1(struct ends *e)
{
    const struct v_text *m = &e->v->messages[0];
    uint8_t *out = malloc(m->ciphertext.len);
    struct wr w = wr_over(out, m->ciphertext.len);

    assert_int_equal(write_1(e, &w, m->payload), 0);
    assert_int_equal(wr_room(&w), 0);
    assert_bytes(out, m->ciphertext);
    assert_int_equal(read_1(e, out, m->payload.len), 0);
    assert_bytes(out + NOISE_HEAD_1_BYTES, m->payload);
    assert_memory_equal(e->rs, e->initiator_pair.public_key, 32);
    assert_memory_equal(e->re, m->ciphertext.p, 32);
    assert_memory_equal(&e->initiator, &e->responder, sizeof e->initiator);
    free(out);
}

static int write_2(struct ends *e, struct wr *w)
{
    return noise_write_2(&e->responder, w, e->v->responder_ephemeral.p, e->re, e->rs,
                         e->v->messages[1].payload);
}

static void do_message_2(struct ends *e)
{
    const struct v_text *m = &e->v->messages[1];
    uint8_t *out = malloc(m->ciphertext.len);
    struct wr w = wr_over(out, m->ciphertext.len);

    assert_int_equal(write_2(e, &w), 0);
    assert_int_equal(wr_room(&w), 0);
    assert_bytes(out, m->ciphertext);
    assert_int_equal(noise_read_2(&e->initiator, out, m->payload.len, &e->initiator_pair,
                                  e->v->initiator_ephemeral.p),
                     0);
    assert_bytes(out + 32, m->payload);
    assert_memory_equal(&e->initiator, &e->responder, sizeof e->initiator);
    free(out);
}

/* Transport messages go from one end to the other in turn, or all from the initiator. */
static void do_transport(struct ends *e, size_t first)
{
    uint8_t keys[2][32], same[2][32];
    uint64_t n[2] = {0, 0};
    bool one_way = e->v->protocol[6] == 'X';

    noise_split(&e->initiator, keys[0], keys[1]);
    noise_split(&e->responder, same[0], same[1]);
    assert_memory_equal(keys, same, sizeof keys);
    for (size_t i = first; i < e->v->messages_count; i++) {
        const struct v_text *m = &e->v->messages[i];
        uint8_t *text = malloc(m->ciphertext.len);
        size_t way = one_way ? 0 : i % 2;

        memcpy(text, m->payload.p, m->payload.len);
        noise_encrypt(keys[way], n[way], (struct bytes){NULL, 0}, text, m->payload.len);
        assert_bytes(text, m->ciphertext);
        assert_int_equal(
            noise_decrypt(keys[way], n[way], (struct bytes){NULL, 0}, text, m->payload.len), 0);
        assert_bytes(text, m->payload);
        n[way]++;
        free(text);
    }
}

static void test_published_vectors(void **state)
{
    (void)state;
    assert_int_equal(COUNT(noise_vectors), 2);
    for (size_t i = 0; i < COUNT(noise_vectors); i++) {
        struct ends e;
        bool two = noise_vectors[i].responder_ephemeral.len > 0;

        ends_start(&e, &noise_vectors[i]);
        do_message_1(&e);
        if (two)
            do_message_2(&e);
        assert_bytes(e.initiator.h, e.v->hash);
        assert_bytes(e.responder.h, e.v->hash);
        do_transport(&e, two ? 2 : 1);
    }
}

/* Each flipped bit of message 1: refused, and neither state nor message has changed. */
static void test_flipped_1(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(noise_vectors); i++) {
        const struct v_text *m = &noise_vectors[i].messages[0];
        struct ends e;
        struct noise before, middle;

        ends_start(&e, &noise_vectors[i]);
        before = e.responder;
        for (size_t bit = 0; bit < 8 * m->ciphertext.len; bit++) {
            uint8_t *bad = block(m->ciphertext), *was;
            int err;

            bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
            was = block((struct bytes){bad, m->ciphertext.len});
            err = noise_read_1_key(&e.responder, e.re, e.rs, bad, &e.responder_pair);
            assert_int_equal(err, bit / 8 < NOISE_HEAD_1_BYTES ? CRYPTO_ERR_TAG : 0);
            if (err == 0) {
                middle = e.responder;
                assert_int_equal(noise_read_1_payload(&e.responder, bad + NOISE_HEAD_1_BYTES,
                                                      m->payload.len, &e.peer),
                                 CRYPTO_ERR_TAG);
                assert_memory_equal(&e.responder, &middle, sizeof middle);
                e.responder = before;
            }
            assert_memory_equal(&e.responder, &before, sizeof before);
            assert_memory_equal(bad, was, m->ciphertext.len);
            free(bad);
            free(was);
        }
        do_message_1(&e);
    }
}

static void test_flipped_2(void **state)
{
    const struct v_text *m = &noise_vectors[0].messages[1];
    struct ends e;
    struct noise before;

    (void)state;
    ends_start(&e, &noise_vectors[0]);
    do_message_1(&e);
    before = e.initiator;
    for (size_t bit = 0; bit < 8 * m->ciphertext.len; bit++) {
        uint8_t *bad = block(m->ciphertext), *was;

        bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
        was = block((struct bytes){bad, m->ciphertext.len});
        assert_int_equal(noise_read_2(&e.initiator, bad, m->payload.len, &e.initiator_pair,
                                      e.v->initiator_ephemeral.p),
                         CRYPTO_ERR_TAG);
        assert_memory_equal(&e.initiator, &before, sizeof before);
        assert_memory_equal(bad, was, m->ciphertext.len);
        free(bad);
        free(was);
    }
    do_message_2(&e);
}

/* What is not in the message but has to be the same at both ends. */
static void test_wrong_secrets(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(noise_vectors); i++) {
        const struct v_text *m = &noise_vectors[i].messages[0];
        uint8_t other[32] = {7};

        for (int what = 0; what < 4; what++) {
            struct ends e;
            uint8_t *message = block(m->ciphertext);

            ends_start(&e, &noise_vectors[i]);
            if (what == 0)
                e.peer.psk = other;
            if (what == 1)
                e.peer.ss = other;
            if (what == 2)
                noise_start(&e.responder, e.v->protocol[6] == 'I' ? NOISE_XPSK1 : NOISE_IKPSK1,
                            e.v->prologue, (struct bytes){NULL, 0}, e.v->responder_public.p);
            if (what == 3)
                pair_of(&e.responder_pair, (struct bytes){other, 32});
            assert_int_equal(read_1(&e, message, m->payload.len), CRYPTO_ERR_TAG);
            free(message);
        }
    }
}

/* A point of low order in any place is refused, and changes nothing. */
static void test_low_order_peer(void **state)
{
    struct ends e;
    struct noise before;
    uint8_t out[256], message[256] = {0};
    struct wr w = wr_over(out, sizeof out);
    const uint8_t zero[32] = {0};

    (void)state;
    ends_start(&e, &noise_vectors[0]);
    before = e.initiator;
    assert_int_equal(noise_write_1(&e.initiator, &w, &e.initiator_pair, e.v->initiator.p, zero,
                                   &e.peer, (struct bytes){zero, 8}, (struct bytes){zero, 8}),
                     CRYPTO_ERR_POINT);
    assert_ptr_equal(w.p, out);
    assert_memory_equal(&e.initiator, &before, sizeof before);
    assert_int_equal(noise_read_1_key(&e.responder, e.re, e.rs, message, &e.responder_pair),
                     CRYPTO_ERR_POINT);
    assert_memory_equal(&e.responder, &before, sizeof before);
    do_message_1(&e);
    before = e.initiator;
    assert_int_equal(
        noise_read_2(&e.initiator, message, 0, &e.initiator_pair, e.v->initiator_ephemeral.p),
        CRYPTO_ERR_POINT);
    assert_memory_equal(&e.initiator, &before, sizeof before);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(noise_write_2(&e.responder, &w, e.v->responder_ephemeral.p,
                                       i ? e.re : zero, i ? zero : e.rs, e.v->messages[1].payload),
                         CRYPTO_ERR_POINT);
        assert_ptr_equal(w.p, out);
        assert_memory_equal(&e.responder, &before, sizeof before);
    }
    do_message_2(&e);
}

/* Every room from none to one byte too few: nothing is written, nothing changes. */
static void test_room(void **state)
{
    struct ends e;
    struct noise before;
    uint8_t *out;
    struct wr w;

    (void)state;
    ends_start(&e, &noise_vectors[0]);
    before = e.initiator;
    for (size_t room = 0; room < noise_vectors[0].messages[0].ciphertext.len; room++) {
        out = malloc(room + 1);
        memset(out, 0xa5, room + 1);
        w = wr_over(out, room);
        assert_int_equal(write_1(&e, &w, e.v->messages[0].payload), CRYPTO_ERR_LIBRARY);
        for (size_t i = 0; i <= room; i++)
            assert_int_equal(out[i], 0xa5);
        assert_memory_equal(&e.initiator, &before, sizeof before);
        free(out);
    }
    do_message_1(&e);
    before = e.responder;
    for (size_t room = 0; room < noise_vectors[0].messages[1].ciphertext.len; room++) {
        out = malloc(room + 1);
        w = wr_over(out, room);
        assert_int_equal(write_2(&e, &w), CRYPTO_ERR_LIBRARY);
        assert_memory_equal(&e.responder, &before, sizeof before);
        free(out);
    }
    do_message_2(&e);
}

/* The nonce: 4 zero bytes and the counter in little endian; every bit of the counter counts. */
static void test_counter(void **state)
{
    uint8_t key[32] = {1}, nonce[12] = {0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1};
    uint8_t a[3 + 16] = "abc", b[3] = "abc", tag[16];

    (void)state;
    noise_encrypt(key, UINT64_C(0x0102030405060708), bytes_of("ad"), a, 3);
    crypto_aead_seal(b, 3, tag, key, nonce, bytes_of("ad"));
    assert_memory_equal(a, b, 3);
    assert_memory_equal(a + 3, tag, 16);
    for (unsigned bit = 0; bit < 64; bit++)
        assert_int_equal(noise_decrypt(key, UINT64_C(0x0102030405060708) ^ UINT64_C(1) << bit,
                                       bytes_of("ad"), a, 3),
                         CRYPTO_ERR_TAG);
    assert_int_equal(noise_decrypt(key, UINT64_C(0x0102030405060708), bytes_of("ad"), a, 3), 0);
    assert_memory_equal(a, "abc", 3);
}

/* Another input, another ephemeral key; the same input, the same. */
static void test_ephemeral(void **state)
{
    uint8_t s[32] = {1}, r[32] = {2}, first[32], e[32], want[32], message[32 + 8 + 1] = {2};
    struct bytes all = {message, sizeof message};

    (void)state;
    noise_ephemeral(first, s, r, 3, bytes_of("t"));
    message[39] = 3;
    message[40] = 't';
    crypto_hmac_sha256(want, s, &all, 1);
    assert_memory_equal(first, want, 32);
    noise_ephemeral(e, r, r, 3, bytes_of("t"));
    assert_memory_not_equal(e, first, 32);
    noise_ephemeral(e, s, s, 3, bytes_of("t"));
    assert_memory_not_equal(e, first, 32);
    noise_ephemeral(e, s, r, 4, bytes_of("t"));
    assert_memory_not_equal(e, first, 32);
    noise_ephemeral(e, s, r, 3, bytes_of("u"));
    assert_memory_not_equal(e, first, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_x25519),
        cmocka_unit_test(test_low_order),
        cmocka_unit_test(test_aead),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_flipped_1),
        cmocka_unit_test(test_flipped_2),
        cmocka_unit_test(test_wrong_secrets),
        cmocka_unit_test(test_low_order_peer),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_counter),
        cmocka_unit_test(test_ephemeral),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
