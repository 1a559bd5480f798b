/* ct.c - runs all of STS/2 under valgrind's memcheck with every secret marked undefined: memcheck
 * then reports each branch and each address that depends on one. For test/test_ct.py.
 *
 * The code under test is that of the program, object by object. What is random is secret from the
 * moment the kernel gives it (getrandom below), and so is all that is computed from it. Marked
 * defined again is only what somebody else gets to see anyway: what goes over the wire, public
 * keys, ids and counts, and the one bit that says whether something authenticates.
 *
 * Prints "NAME ERRORS SECRETS" for each scene: how often memcheck complained, and how many outputs
 * that have to be secret were not marked so (a taint that was lost would hide everything behind
 * it). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <memcheck.h>

#include "crypto.h"
#include "key_text.h"
#include "link.h"
#include "noise.h"
#include "peers.h"
#include "push.h"
#include "sts.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define TEXT_MAX 400

static unsigned lost; /* secrets that memcheck takes for public */

static void secret(void *p, size_t len)
{
    (void)VALGRIND_MAKE_MEM_UNDEFINED(p, len);
}

static void public(const void *p, size_t len)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(p, len);
}

/* Every byte of it, or the taint did not go through. */
static void must_be_secret(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t undefined = 0;

        if (VALGRIND_GET_VBITS(&p[i], &undefined, 1) != 1 || undefined == 0) {
            lost++;
            return;
        }
    }
}

/* The test itself is wrong, or the code. */
static void must(int good, int line)
{
    if (!good) {
        fprintf(stderr, "ct.c: line %d\n", line);
        exit(1);
    }
}
#define MUST(condition) must(condition, __LINE__)

/* ---- where a secret becomes public, inside of the code under test ---- */

ssize_t __real_getrandom(void *to, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags);
int real_mbedtls_ct_memcmp(const void *a, const void *b, size_t len);
int mbedtls_ct_memcmp(const void *a, const void *b, size_t len);
struct peer *real_peers_find(const struct peers *peers, const uint8_t key[32]);
struct peer *peers_find(const struct peers *peers, const uint8_t key[32]);
int real_noise_read_1_payload(struct noise *noise, uint8_t *payload, size_t payload_len,
                              const struct noise_peer *peer);
int noise_read_1_payload(struct noise *noise, uint8_t *payload, size_t payload_len,
                         const struct noise_peer *peer);
int real_noise_decrypt(const uint8_t key[32], uint64_t n, struct bytes associated, uint8_t *text,
                       size_t len);
int noise_decrypt(const uint8_t key[32], uint64_t n, struct bytes associated, uint8_t *text,
                  size_t len);

ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags)
{
    ssize_t n = __real_getrandom(to, len, flags);

    if (n > 0)
        secret(to, (size_t)n);
    return n;
}

/* Equal or not: whether a tag is right, a secret zero, a text a key. The answer shows in what
 * happens next; by how much they differ does not. */
int mbedtls_ct_memcmp(const void *a, const void *b, size_t len)
{
    int differs = real_mbedtls_ct_memcmp(a, b, len) ? 1 : 0;

    public(&differs, sizeof differs);
    return differs;
}

/* Who sends. A public key; and whoever is looked up next is answered, or written out. */
struct peer *peers_find(const struct peers *peers, const uint8_t key[32])
{
    public(key, 32);
    return real_peers_find(peers, key);
}

/* The id in a first message is the time at which it was made. */
int noise_read_1_payload(struct noise *noise, uint8_t *payload, size_t payload_len,
                         const struct noise_peer *peer)
{
    int err = real_noise_read_1_payload(noise, payload, payload_len, peer);

    if (err == 0)
    public(payload, 8);
    return err;
}

/* The two counts in a KILL: the broker has counted as well. */
int noise_decrypt(const uint8_t key[32], uint64_t n, struct bytes associated, uint8_t *text,
                  size_t len)
{
    int err = real_noise_decrypt(key, n, associated, text, len);

    if (err == 0 && associated.len == LINK_HEAD_BYTES && associated.p[1] == STS_KILL)
    public(text, len);
    return err;
}

/* ---- primitives ---- */

static const size_t lengths[] = {0, 1, 15, 16, 17, 63, 64, 65, 255, TEXT_MAX};

static void make_secret(uint8_t *p, size_t len)
{
    MUST(crypto_random(p, len) == 0);
    must_be_secret(p, len);
}

static void x25519(void)
{
    uint8_t private_key[32], other_private[32], public_key[32], other_public[32], shared[32];
    static const uint8_t zero[32];

    MUST(crypto_x25519_keypair(private_key, public_key) == 0);
    MUST(crypto_x25519_keypair(other_private, other_public) == 0);
    must_be_secret(private_key + 1, 30);
    must_be_secret(public_key, 32);
    public(public_key, 32);
    public(other_public, 32);
    MUST(!crypto_x25519_low_order(public_key));
    MUST(crypto_x25519_shared(shared, private_key, other_public) == 0);
    must_be_secret(shared, 32);
    MUST(crypto_x25519_shared(shared, other_private, public_key) == 0);
    MUST(crypto_x25519_shared(shared, private_key, zero) == CRYPTO_ERR_POINT);
}

static void hashes(void)
{
    uint8_t text[TEXT_MAX], key[32], out[32];

    make_secret(text, sizeof text);
    make_secret(key, sizeof key);
    for (size_t i = 0; i < COUNT(lengths); i++) {
        const struct bytes parts[] = {{text, lengths[i]}, {key, sizeof key}};

        crypto_sha256(out, parts, 2);
        must_be_secret(out, sizeof out);
        crypto_hmac_sha256(out, key, parts, 1);
        must_be_secret(out, sizeof out);
    }
    noise_ephemeral(out, key, text, 1, bytes_of("topic"));
    must_be_secret(out, sizeof out);
}

static void aead(void)
{
    static const uint8_t nonce[12] = {1};
    uint8_t text[TEXT_MAX], key[32], tag[16];

    make_secret(key, sizeof key);
    for (size_t i = 0; i < COUNT(lengths); i++) {
        const struct bytes associated = bytes_of("associated");

        make_secret(text, sizeof text);
        crypto_aead_seal(text, lengths[i], tag, key, nonce, associated);
        must_be_secret(text, lengths[i]);
        must_be_secret(tag, sizeof tag);
        public(text, lengths[i]);
        public(tag, sizeof tag);
        MUST(crypto_aead_open(text, lengths[i], tag, key, nonce, associated) == 0);
        must_be_secret(text, lengths[i]);
        tag[3] ^= 1;
        MUST(crypto_aead_open(text, lengths[i], tag, key, nonce, associated) == CRYPTO_ERR_TAG);
    }
}

static void comparison(void)
{
    uint8_t a[48], b[48];

    make_secret(a, sizeof a);
    memcpy(b, a, sizeof b);
    MUST(crypto_equal(a, b, sizeof a));
    b[47] ^= 1;
    MUST(!crypto_equal(a, b, sizeof a));
}

/* A private key or a psk, to its file and from there. */
static void text_of_a_key(void)
{
    uint8_t key[32], again[32];
    char text[KEY_TEXT_CHARS + 1];

    make_secret(key, sizeof key);
    key_text_write(text, key);
    must_be_secret((const uint8_t *)text, 43);
    MUST(key_text_read(again, (struct bytes){(const uint8_t *)text, KEY_TEXT_CHARS}));
    must_be_secret(again, sizeof again);
    MUST(crypto_equal(key, again, sizeof key));
    text[5] = '-';
    MUST(!key_text_read(again, (struct bytes){(const uint8_t *)text, KEY_TEXT_CHARS}));
}

/* ---- two ends ---- */

#define TO_SLAVE "t/in"
#define TO_MASTER "t/out"
#define TIMEOUT_MS 30000
#define KEEPALIVE_MS 60000

struct end {
    struct noise_pair own;
    struct peer peer;
    struct peers peers;
    struct sts sts;
};

static struct end master, slave;
static uint64_t now_ms, id;

static void meet(struct end *e, const struct end *other, const uint8_t psk[32])
{
    memset(&e->peer, 0, sizeof e->peer);
    memcpy(e->peer.key, other->own.public_key, 32);
    if (psk)
        memcpy(e->peer.psk, psk, 32);
    e->peers = (struct peers){&e->peer, 1};
}

static void make_pair(struct noise_pair *own)
{
    MUST(crypto_x25519_keypair(own->private_key, own->public_key) == 0);
    public(own->public_key, 32);
}

static void make_ends(bool with_psk)
{
    uint8_t psk[32];

    make_secret(psk, sizeof psk);
    make_pair(&master.own);
    make_pair(&slave.own);
    meet(&master, &slave, with_psk ? psk : NULL);
    meet(&slave, &master, with_psk ? psk : NULL);
}

static void start(struct end *e, enum sts_mode mode, const char *pubtop)
{
    const struct sts_setup setup = {
        .mode = mode,
        .cipher = STS_CHACHAPOLY,
        .pubtop = bytes_of(pubtop),
        .timeout_ms = TIMEOUT_MS,
        .keepalive_ms = KEEPALIVE_MS,
        .own = &e->own,
        .peers = &e->peers,
    };

    sts_init(&e->sts, &setup);
    MUST(sts_start(&e->sts, now_ms) == 0);
}

static const char *topic_to(const struct end *e)
{
    return e == &slave ? TO_SLAVE : TO_MASTER;
}

/* Over the wire: first spoilt, on which nothing but the verdict may depend, then as it is. */
static struct sts_news carry(struct end *to, uint8_t *message, size_t len)
{
    static uint8_t spoilt[TEXT_MAX + STS_CONTROL_MAX_BYTES];
    struct sts_news news;

    must_be_secret(message + len - 16, 16); /* the tag */
    public(message, len);
    memcpy(spoilt, message, len);
    spoilt[len - 1] ^= 1;
    sts_take(&to->sts, &news, bytes_of(topic_to(to)), spoilt, len, now_ms);
    MUST(news.event == STS_EV_DROPPED);
    sts_take(&to->sts, &news, bytes_of(topic_to(to)), message, len, now_ms);
    MUST(news.event != STS_EV_DROPPED);
    now_ms += 1000;
    return news;
}

/* The next message that `from` has to send reaches `to`. */
static void pass(struct end *from, struct end *to, enum sts_type type)
{
    uint8_t message[STS_CONTROL_MAX_BYTES];
    struct wr out = wr_over(message, sizeof message);
    int len = sts_pull(&from->sts, &out, ++id, now_ms);

    MUST(len > 0 && message[1] == type);
    (void)carry(to, message, (size_t)len);
}

static void say(struct end *from, struct end *to, size_t len)
{
    uint8_t message[TEXT_MAX + STS2_ENC_BYTES], text[TEXT_MAX];
    struct wr out = wr_over(message, sizeof message);
    struct sts_news news;

    make_secret(text, len);
    MUST(sts_seal(&from->sts, &out, (struct bytes){text, len}, now_ms) == 0);
    news = carry(to, message, STS2_ENC_BYTES + len);
    MUST(news.event == STS_EV_TEXT && news.text.len == len);
    must_be_secret(news.text.p, len);
    sts_written(&to->sts, 1);
}

static void handshake(void)
{
    pass(&master, &slave, STS_INITREQ);
    must_be_secret(slave.peer.ss, 32);
    must_be_secret(slave.sts.v2.pending[STS2_PENDING_MAX - 1].noise.ck, 32);
    pass(&slave, &master, STS_INITACK);
    must_be_secret(master.sts.v2.link.send_key, 32);
    must_be_secret(master.sts.v2.link.take_key, 32);
    pass(&master, &slave, STS_RDYACK);
    MUST(sts_established(&master.sts) && sts_established(&slave.sts));
}

static void session(bool with_psk)
{
    make_ends(with_psk);
    start(&slave, STS_SLAVE, TO_MASTER);
    start(&master, STS_MASTER, TO_SLAVE);
    handshake();
    for (size_t i = 0; i < COUNT(lengths); i++) {
        say(&master, &slave, lengths[i]);
        say(&slave, &master, lengths[i]);
    }
    /* A question in silence, and its answer. */
    now_ms = sts_deadline(&master.sts);
    (void)sts_tick(&master.sts, now_ms);
    pass(&master, &slave, STS_RDYACK);
    pass(&slave, &master, STS_RDYACK);
    /* A new handshake takes the place of the session. */
    MUST(sts_start(&master.sts, now_ms) == 0);
    handshake();
    say(&master, &slave, 20);
    sts_stop(&master.sts, now_ms);
    pass(&master, &slave, STS_KILL);
    pass(&slave, &master, STS_KILL);
    MUST(!sts_open(&master.sts) && !sts_open(&slave.sts) && sts_delivered(&master.sts));
}

static void session_without_psk(void)
{
    session(false);
}

static void session_with_psk(void)
{
    session(true);
}

static void push_one(size_t len)
{
    const struct bytes topic = bytes_of("readings");
    uint8_t message[FIRST_BYTES + TEXT_MAX], spoilt[FIRST_BYTES + TEXT_MAX], text[TEXT_MAX];
    uint8_t random[32], ephemeral[32];
    struct wr out = wr_over(message, sizeof message);
    struct push push;

    make_secret(text, len);
    make_secret(random, sizeof random);
    noise_ephemeral(ephemeral, master.own.private_key, random, ++id, topic);
    MUST(push_seal(&out, &master.own, &master.peer, ephemeral, id, topic,
                   (struct bytes){text, len}) == 0);
    must_be_secret(message + 2, FIRST_BYTES - 2 + len);
    public(message, sizeof message);
    memcpy(spoilt, message, sizeof spoilt);
    spoilt[FIRST_BYTES + len - 1] ^= 1;
    MUST(push_open(&push, spoilt, FIRST_BYTES + len, topic, &slave.own, &slave.peers) ==
         STS_DROP_TAG);
    MUST(push_open(&push, message, FIRST_BYTES + len, topic, &slave.own, &slave.peers) ==
         STS_DROP_NONE);
    MUST(push.id == id && push.data.len == len);
    must_be_secret(push.data.p, len);
}

static void pushes(bool with_psk)
{
    make_ends(with_psk);
    for (size_t i = 0; i < COUNT(lengths); i++)
        push_one(lengths[i]);
}

static void pushes_without_psk(void)
{
    pushes(false);
}

static void pushes_with_psk(void)
{
    pushes(true);
}

/* ---- what memcheck has to find ---- */

static volatile unsigned sink;

static void canary_branch(void)
{
    uint8_t key[32];

    make_secret(key, sizeof key);
    if (key[7] & 1)
        sink++;
}

static void canary_index(void)
{
    static const volatile uint8_t table[256] = {1, 2, 3};
    uint8_t key[32];

    make_secret(key, sizeof key);
    sink += table[key[7]];
}

/* As deep as it gets: what an opened message says, under keys that a handshake made. */
static void canary_plaintext(void)
{
    uint8_t message[STS2_ENC_BYTES + 20], text[20];
    struct wr out = wr_over(message, sizeof message);
    struct sts_news news;

    make_ends(true);
    start(&slave, STS_SLAVE, TO_MASTER);
    start(&master, STS_MASTER, TO_SLAVE);
    handshake();
    memset(text, 'x', sizeof text);
    MUST(sts_seal(&master.sts, &out, (struct bytes){text, sizeof text}, now_ms) == 0);
    news = carry(&slave, message, sizeof message);
    if (news.text.p[3] == 'x')
        sink++;
}

static const struct {
    const char *name;
    void (*run)(void);
} scenes[] = {
    {"x25519", x25519},
    {"hashes", hashes},
    {"aead", aead},
    {"comparison", comparison},
    {"text_of_a_key", text_of_a_key},
    {"session_without_psk", session_without_psk},
    {"session_with_psk", session_with_psk},
    {"pushes_without_psk", pushes_without_psk},
    {"pushes_with_psk", pushes_with_psk},
    {"canary_branch", canary_branch},
    {"canary_index", canary_index},
    {"canary_plaintext", canary_plaintext},
};

int main(void)
{
    MUST(RUNNING_ON_VALGRIND != 0);
    for (size_t i = 0; i < COUNT(scenes); i++) {
        const unsigned before = (unsigned)VALGRIND_COUNT_ERRORS;

        lost = 0;
        now_ms = 1000;
        scenes[i].run();
        printf("%s %u %u\n", scenes[i].name, (unsigned)VALGRIND_COUNT_ERRORS - before, lost);
    }
    return 0;
}
