/* sts2.c - STS/2 sessions: a slave and its masters, from every step, each of which honest ends have
 * reached before the fuzzing begins. The script delivers honest messages, changed or not, raw
 * bytes, and messages of its own that are sealed with the right keys: with any counter, type and
 * text. */
#include "sts2.h"

#include <assert.h>

#include "common.h"

#define TO_SLAVE bytes_of("t/in")
#define TO_MASTER bytes_of("t/out")
#define MASTERS 3
#define KEPT 8 /* messages under way */
#define TIMEOUT_MS 30000
#define KEEPALIVE_MS 60000

struct end {
    struct sts2 s;
    struct noise_pair own;
    struct peer list[MASTERS];
    struct peers peers;
};

struct message {
    bool to_slave;
    uint8_t master; /* from or to */
    size_t len;
    uint8_t bytes[256];
};

/* All that changes. It is copied to and from one place, so that pointers into it stay right. */
struct world {
    struct end slave, masters[MASTERS];
    struct message kept[KEPT]; /* all that was sent lately, for replays */
    size_t kept_count;
    uint64_t now, id;
    uint8_t drawn;
};

static struct world w;

enum { FRESH, ASKED, ANSWERED, HALF, ESTABLISHED, TWO, CLOSING, STARTS };
static struct world starts[STARTS];

/* ---- honest ends ---- */

static void end_init(struct end *e, enum sts_mode mode, uint8_t secret, struct bytes pubtop)
{
    memset(e, 0, sizeof *e);
    memset(e->own.private_key, secret, 32);
    crypto_x25519_public(e->own.public_key, e->own.private_key);
    e->peers.list = e->list;
    sts2_init(&e->s, &(struct sts_setup){mode, STS_CHACHAPOLY, pubtop, TIMEOUT_MS, KEEPALIVE_MS,
                                         &e->own, &e->peers});
}

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct peer *)a)->key, ((const struct peer *)b)->key, 32);
}

static void add_peer(struct end *e, const struct end *other, uint8_t psk)
{
    struct peer *p = &e->list[e->peers.count++];

    memcpy(p->key, other->own.public_key, 32);
    memset(p->psk, psk, 32);
    CHECK(peer_need_ss(p, e->own.private_key) == 0);
    qsort(e->list, e->peers.count, sizeof e->list[0], by_key);
}

static void world_init(void)
{
    memset(&w, 0, sizeof w);
    w.now = 1000;
    end_init(&w.slave, STS_SLAVE, 100, TO_MASTER);
    for (uint8_t i = 0; i < MASTERS; i++) {
        end_init(&w.masters[i], STS_MASTER, (uint8_t)(8 * (i + 1)), TO_SLAVE);
        add_peer(&w.slave, &w.masters[i], i);
        add_peer(&w.masters[i], &w.slave, i);
    }
    sts2_start(&w.slave.s, w.now);
    for (int i = 0; i < MASTERS; i++)
        sts2_start(&w.masters[i].s, w.now);
}

static void keep(bool to_slave, uint8_t master, const uint8_t *bytes, size_t len)
{
    struct message *m = &w.kept[w.kept_count++ % KEPT];

    m->to_slave = to_slave;
    m->master = master;
    m->len = len < sizeof m->bytes ? len : sizeof m->bytes;
    memcpy(m->bytes, bytes, m->len);
}

/* Pulls what an end has to send, into room of some size. */
static int pull(struct end *e, uint8_t master, size_t room)
{
    uint8_t *bytes = malloc(room > 0 ? room : 1), random[32] = {++w.drawn};
    struct wr out = wr_over(bytes, room);
    struct sts2_fresh fresh = {{0}, w.id + 1};
    enum sts_type type = STS_PUSH;
    const bool due = sts2_due(&e->s, &type);
    int len;

    sts2_ephemeral(&e->s, fresh.ephemeral, random, fresh.id);
    len = sts2_pull(&e->s, &out, &fresh, w.now);
    CHECK((len == 0) == !due && (len >= 0 || len == STS_ERR_ROOM));
    if (len > 0) {
        CHECK((size_t)len == room - wr_room(&out) && bytes[0] == STS2_VERSION && bytes[1] == type);
        w.id += type == STS_INITREQ;
        keep(e != &w.slave, master, bytes, (size_t)len);
    }
    free(bytes);
    return len;
}

/* ---- what must hold ---- */

static bool is_zero(const void *p, size_t len)
{
    uint8_t all = 0;

    for (size_t i = 0; i < len; i++)
        all |= ((const uint8_t *)p)[i];
    return all == 0;
}

static void check_end(const struct end *e)
{
    const struct sts2 *s = &e->s;
    const bool session = s->step == STS2_ESTABLISHED || s->step == STS2_CLOSING;

    CHECK(session == (s->link.peer != NULL));
    CHECK(session || is_zero(&s->link, sizeof s->link));
    CHECK(s->step == STS2_WAIT_INITACK || is_zero(&s->attempt, sizeof s->attempt));
    CHECK(s->step != STS2_IDLE || is_zero(s->pending, sizeof s->pending));
    CHECK(s->tally.kills <= STS2_KILLS_MAX && s->tally.written <= s->tally.taken);
    for (size_t i = 0; i < STS2_PENDING_MAX; i++)
        for (size_t k = 0; k < i; k++)
            CHECK(s->pending[i].state == PENDING_NONE ||
                  s->pending[i].link.peer != s->pending[k].link.peer);
}

/* What is dropped changes nothing but the rate of handshakes and what had expired. */
static void check_dropped(const struct sts2 *before, const struct sts2 *after)
{
    struct sts2 same = *before;

    same.handshakes_us = after->handshakes_us;
    same.junk_charged = after->junk_charged;
    for (size_t i = 0; i < STS2_PENDING_MAX; i++)
        if (same.pending[i].expires_ms <= w.now && same.pending[i].state != PENDING_NONE)
            memset(&same.pending[i], 0, sizeof same.pending[i]);
    CHECK(memcmp(&same, after, sizeof same) == 0);
}

/* `forged`: nobody who has a key made this; it must be dropped. */
static struct sts_news take(struct end *e, struct bytes topic, struct bytes message, bool forged)
{
    static struct sts2 before;
    uint8_t *copy = fuzz_copy(message);
    struct sts_news news;

    before = e->s;
    sts2_take(&e->s, &news, topic, copy, message.len, w.now);
    check_end(e);
    CHECK(!forged || news.event == STS_EV_DROPPED);
    CHECK((news.event == STS_EV_DROPPED) == (news.why != STS_DROP_NONE));
    if (news.event == STS_EV_DROPPED) {
        check_dropped(&before, &e->s);
        CHECK(news.why == STS_DROP_ID || message.len == 0 ||
              memcmp(copy, message.p, message.len) == 0);
        CHECK(!news.began && !news.replaced && news.text.len == 0);
    }
    if (news.event == STS_EV_TEXT)
        CHECK(news.text.p >= copy && news.text.p + news.text.len <= copy + message.len);
    free(copy);
    return news;
}

/* ---- starts ---- */

static void hand_over(void)
{
    const struct message *m = &w.kept[(w.kept_count - 1) % KEPT];
    struct end *to = m->to_slave ? &w.slave : &w.masters[m->master];

    CHECK(take(to, m->to_slave ? TO_SLAVE : TO_MASTER, (struct bytes){m->bytes, m->len}, false)
              .event != STS_EV_DROPPED);
}

static void hand_over_next(struct end *from, uint8_t master)
{
    CHECK(pull(from, master, 300) > 0);
    hand_over();
}

static void make_starts(void)
{
    world_init();
    starts[FRESH] = w;
    hand_over_next(&w.masters[0], 0);
    starts[ASKED] = w;
    CHECK(pull(&w.slave, 0, 300) > 0);
    starts[ANSWERED] = w;
    hand_over();
    starts[HALF] = w;
    hand_over_next(&w.masters[0], 0);
    starts[ESTABLISHED] = w;
    hand_over_next(&w.masters[1], 1);
    hand_over_next(&w.slave, 1);
    starts[TWO] = w;
    sts2_stop(&w.masters[0].s, w.now);
    hand_over_next(&w.masters[0], 0);
    starts[CLOSING] = w;
}

/* ---- the script ---- */

static struct end *end_of(uint8_t number)
{
    return number % (MASTERS + 1) == 0 ? &w.slave : &w.masters[number % (MASTERS + 1) - 1];
}

/* Which master a message of this end is from or for. */
static uint8_t master_of(uint8_t number)
{
    return number % (MASTERS + 1) == 0 ? number / (MASTERS + 1) % MASTERS
                                       : (uint8_t)(number % (MASTERS + 1) - 1);
}

static struct bytes topic_of(const struct end *e, uint8_t how)
{
    return how & 0x80 ? bytes_of("t/other") : e == &w.slave ? TO_SLAVE : TO_MASTER;
}

/* One of the messages sent lately: as it was, changed somewhere, cut or longer. */
static void deliver(struct rd *in)
{
    const uint8_t which = rd_u8(in), how = rd_u8(in);
    const size_t count = w.kept_count < KEPT ? w.kept_count : KEPT;
    uint8_t bytes[sizeof w.kept[0].bytes + 32];

    if (count == 0)
        return;
    const struct message m = w.kept[(w.kept_count - 1 - which % count) % KEPT];
    struct end *to = how & 0x40 ? end_of(which) : m.to_slave ? &w.slave : &w.masters[m.master];
    size_t len = m.len;
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, m.bytes, len);
    if (how & 1)
        bytes[rd_u8(in) % len] ^= rd_u8(in);
    if (how & 2)
        len = len + 16 - rd_u8(in) % 32;
    (void)take(to, topic_of(to, how), (struct bytes){bytes, len},
               len != m.len || memcmp(bytes, m.bytes, len) != 0 ||
                   (m.bytes[1] == STS_INITREQ && (how & 0x80)));
}

/* The link whose messages the end would take: its session's, or a pending handshake's. The last
 * places are used first, and each master has one. */
static struct link *link_of(struct end *to, uint8_t which)
{
    static_assert(STS2_PENDING_MAX >= MASTERS, "a place for each");
    if (which % 4 == MASTERS)
        return &to->s.link;
    return &to->s.pending[STS2_PENDING_MAX - 1 - which % 4].link;
}

/* A handshake that is asked for has no keys yet: the zeros there must open nothing. */
static bool has_keys(const struct end *to, const struct link *link)
{
    for (size_t i = 0; i < STS2_PENDING_MAX; i++)
        if (link == &to->s.pending[i].link)
            return to->s.pending[i].state == PENDING_ANSWERED;
    return true;
}

/* A transport message of the other end, which has the key: any type, counter and text. */
static void seal_transport(struct rd *in)
{
    struct end *to = end_of(rd_u8(in));
    const uint8_t how = rd_u8(in), type = how & 8 ? rd_u8(in) : STS_RDYACK + how % 3;
    const struct link *link = link_of(to, how >> 4);
    const uint64_t next = link->take_next;
    const uint64_t counter = how & 64 ? rd_be64(in) : next + rd_u8(in) % 4 - (next > 0);
    const struct bytes text = fuzz_take(in, type == STS_KILL && !(how & 8) ? 16 : rd_u8(in));
    uint8_t message[LINK_BYTES + 256], topic[32];
    struct wr out = wr_over(message, LINK_HEAD_BYTES);

    link_hash_topic(topic, topic_of(to, how));
    if (!link->peer || counter == UINT64_MAX)
        return;
    wr_u8(&out, STS2_VERSION);
    wr_u8(&out, type);
    wr_be64(&out, counter);
    memcpy(message + LINK_HEAD_BYTES, text.p, text.len);
    noise_encrypt(link->take_key, counter, (struct bytes){message, LINK_HEAD_BYTES},
                  message + LINK_HEAD_BYTES, text.len);
    const struct sts_news news = take(
        to, topic_of(to, how), (struct bytes){message, LINK_BYTES + text.len},
        counter < next || memcmp(topic, link->topic, 32) != 0 || type < STS_RDYACK ||
            type > STS_KILL || !has_keys(to, link));
    if (news.event == STS_EV_DROPPED)
        return;
    CHECK(to->s.tally.lost >= news.lost && news.lost == counter - next);
    if (news.event == STS_EV_TEXT) {
        CHECK(type == STS_ENC && news.text.len == text.len);
    } else {
        CHECK(type != STS_ENC);
    }
    CHECK(type != STS_KILL || text.len == 16);
}

/* INITREQ of a master that is known, or of the slave itself, or of a stranger. */
static void seal_initreq(struct rd *in)
{
    const uint8_t how = rd_u8(in), who = how % (MASTERS + 1);
    struct noise_pair stranger = {.private_key = {1, 2, 3}};
    const struct noise_pair *own = who < MASTERS ? &w.masters[who].own : &stranger;
    struct peer slave = w.masters[who % MASTERS].list[0];
    const uint64_t id = how & 16 ? rd_be64(in) : w.id + rd_u8(in) % 4;
    uint8_t message[FIRST_BYTES + 8], ephemeral[32] = {++w.drawn, 7};
    struct wr out = wr_over(message, sizeof message);
    const struct bytes data = {message, how & 32 ? 1 : 0};
    struct noise noise;
    const struct peer *peer;

    if (who == MASTERS) {
        crypto_x25519_public(stranger.public_key, stranger.private_key);
        slave.has_ss = false;
    }
    if (how & 64)
        slave.psk[0] ^= 1;
    if (first_write(&out, &noise, STS_INITREQ, own, &slave, ephemeral, id, TO_SLAVE, data) != 0)
        return;
    peer = peers_find(&w.slave.peers, own->public_key);
    const uint64_t last = peer ? peer->session_id : 0;
    const struct sts_news news = take(&w.slave, topic_of(&w.slave, how),
                                      (struct bytes){message, (size_t)(out.p - message)},
                                      who == MASTERS || (how & 0xe0) || id <= last);
    CHECK(news.event == STS_EV_DROPPED || news.event == STS_EV_STARTED);
}

static void seal_honest(struct rd *in)
{
    const uint8_t number = rd_u8(in);
    struct end *e = end_of(number);
    const struct bytes text = fuzz_take(in, rd_u8(in));
    const uint64_t sent = e->s.tally.sent;
    uint8_t room[STS2_ENC_BYTES + 256];
    struct wr out = wr_over(room, STS2_ENC_BYTES + text.len);
    const bool ready = sts2_ready(&e->s);
    const int err = sts2_seal(&e->s, &out, text);

    CHECK((err == 0) == ready && e->s.tally.sent == sent + (err == 0));
    if (err == 0)
        keep(e != &w.slave, master_of(number), room, STS2_ENC_BYTES + text.len);
}

static void tick(struct end *e)
{
    const uint64_t due = sts2_deadline(&e->s);

    if (due == UINT64_MAX)
        return;
    if (due > w.now)
        w.now = due;
    for (int i = 0; sts2_deadline(&e->s) <= w.now; i++) {
        (void)sts2_tick(&e->s, w.now);
        check_end(e);
        CHECK(i < 4);
    }
}

static void step(struct rd *in)
{
    const uint8_t op = rd_u8(in), number = op >> 4;
    struct end *e = end_of(number);
    struct bytes raw;

    switch (op & 15) {
    case 0:
        raw = fuzz_take(in, rd_u8(in));
        (void)take(e, topic_of(e, 0), raw, true);
        break;
    case 1:
    case 2:
    case 3:
        deliver(in);
        break;
    case 4:
    case 5:
    case 6:
        seal_transport(in);
        break;
    case 7:
        seal_initreq(in);
        break;
    case 8:
    case 9:
        (void)pull(e, master_of(number), op & 1 ? rd_u8(in) : 300);
        break;
    case 10:
        seal_honest(in);
        break;
    case 11:
        tick(e);
        break;
    case 12:
        w.now += rd_be16(in);
        break;
    case 13:
        sts2_written(&e->s, rd_u8(in) % 4);
        break;
    case 14:
        sts2_stop(&e->s, w.now);
        break;
    default:
        sts2_start(&e->s, w.now);
        break;
    }
    check_end(e);
    (void)sts2_delivered(&e->s);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_begin();
    make_starts();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd in = rd_over(data, size);

    fuzz_begin();
    w = starts[rd_u8(&in) % STARTS];
    for (int i = 0; i < 64 && fuzz_more(&in); i++)
        step(&in);
    for (uint8_t i = 0; i <= MASTERS; i++) {
        sts2_wipe(&end_of(i)->s);
        check_end(end_of(i));
        CHECK(end_of(i)->s.step == STS2_IDLE);
    }
    return 0;
}
