/* test_sts2.c - sessions against the vectors: made and taken byte by byte, every message that must
 * be dropped, the scenarios; then every damage to a recorded session. */
#include "sts2_ends.h"

#define MASTER_TOPIC "sts/demo/out" /* what a master of the vectors is subscribed to */

static const struct v_session *session_named(const char *name)
{
    for (size_t i = 0; i < COUNT(session_vectors); i++)
        if (strcmp(session_vectors[i].name, name) == 0)
            return &session_vectors[i];
    fail_msg("no session %s", name);
    return NULL;
}

static const struct v_message *message_named(const struct v_session *v, const char *name)
{
    for (size_t i = 0; i < v->messages_count; i++)
        if (strcmp(v->messages[i].name, name) == 0)
            return &v->messages[i];
    fail_msg("no message %s", name);
    return NULL;
}

static void master_init(struct end *e, const struct v_session *v)
{
    end_init(e, STS_MASTER, v->master, v->slave_public, v->psk, v->topic);
}

static void slave_init(struct end *e, const struct v_session *v)
{
    end_init(e, STS_SLAVE, v->slave, v->master_public, v->psk, bytes_of(MASTER_TOPIC));
}

static struct bytes topic_to(const struct v_session *v, bool slave)
{
    return slave ? v->topic : bytes_of(MASTER_TOPIC);
}

static struct sts2_fresh fresh_of(struct bytes ephemeral, uint64_t id)
{
    struct sts2_fresh fresh = {{0}, id};

    memcpy(fresh.ephemeral, ephemeral.p, 32);
    return fresh;
}

/* Everything about an end but the rate of handshakes, which every attempt uses up. */
static struct sts2 state_of(const struct end *e)
{
    struct sts2 s = e->s;

    s.handshakes_us = 0;
    s.junk_charged = false;
    return s;
}

/* Delivers a payload; the caller frees it, because a text is a view into it. */
static uint8_t *deliver(struct end *e, struct sts_news *news, struct bytes topic,
                        struct bytes bytes, uint64_t now_ms)
{
    uint8_t *payload = block(bytes);

    sts2_take(&e->s, news, topic, payload, bytes.len, now_ms);
    return payload;
}

/* Dropped, nothing has changed, and nothing is to be sent that was not before. */
static enum sts_drop assert_dropped(struct end *e, const char *what, struct bytes topic,
                                    struct bytes bytes, uint64_t now_ms)
{
    struct sts_news news;
    struct sts2 before = state_of(e), after;
    struct peer list[COUNT(e->list)];
    uint8_t *payload;

    memcpy(list, e->list, sizeof list);
    payload = deliver(e, &news, topic, bytes, now_ms);
    after = state_of(e);
    if (news.event != STS_EV_DROPPED || news.why == STS_DROP_NONE)
        fail_msg("%s: taken", what);
    if (memcmp(&before, &after, sizeof before) != 0 || memcmp(list, e->list, sizeof list) != 0)
        fail_msg("%s: changed something", what);
    assert_false(news.began || news.replaced || news.lost || news.text.p);
    free(payload);
    return news.why;
}

/* A message of the vectors is taken, with what it holds. */
static struct sts_news assert_taken(struct end *e, const struct v_session *v,
                                    const struct v_message *m, uint64_t now_ms)
{
    struct sts_news news;
    uint8_t *payload = deliver(e, &news, topic_to(v, m->from_master), m->bytes, now_ms);
    struct rd r = rd_over(m->plaintext.p, m->plaintext.len);

    if (news.event == STS_EV_DROPPED)
        fail_msg("%s: dropped", m->name);
    if (m->type == STS_ENC) {
        assert_int_equal(news.event, STS_EV_TEXT);
        assert_bytes(news.text, m->plaintext);
        sts2_written(&e->s, 1);
    } else if (m->type == STS_KILL) {
        assert_int_equal(news.event, STS_EV_KILLED);
        assert_int_equal(e->s.tally.peer_sent, rd_be64(&r));
        assert_int_equal(e->s.tally.peer_received, rd_be64(&r));
    }
    free(payload);
    news.text.p = NULL;
    return news;
}

/* An end makes a message of the vectors. Counters may jump there, so the sender's is put right. */
static void make(struct end *e, const struct v_session *v, const struct v_message *m,
                 uint64_t now_ms)
{
    struct sts2_fresh fresh = fresh_of(m->from_master ? v->master_ephemeral : v->slave_ephemeral,
                                       v->id);

    if (m->type >= STS_RDYACK) {
        struct rd r = rd_over(m->bytes.p + 2, 8);

        e->s.link.send_next = rd_be64(&r);
    }
    if (m->type == STS_ENC) {
        uint8_t *out = malloc(m->bytes.len);
        struct wr w = wr_over(out, m->bytes.len);

        assert_int_equal(sts2_seal(&e->s, &w, m->plaintext), 0);
        assert_bytes((struct bytes){out, m->bytes.len}, m->bytes);
        free(out);
        return;
    }
    if (m->type == STS_KILL && e->s.step == STS2_ESTABLISHED)
        sts2_stop(&e->s, now_ms);
    end_pull(e, &fresh, m->bytes, now_ms);
}

/* ---- whole sessions ---- */

static void test_sessions(void **state)
{
    (void)state;
    assert_int_equal(COUNT(session_vectors), 2);
    for (size_t i = 0; i < COUNT(session_vectors); i++) {
        const struct v_session *v = &session_vectors[i];
        struct end master, slave;
        enum sts_type type;

        master_init(&master, v);
        slave_init(&slave, v);
        assert_memory_equal(master.own.public_key, v->master_public.p, 32);
        assert_memory_equal(master.list[0].ss, v->ss.p, 32);
        assert_memory_equal(slave.list[0].ss, v->ss.p, 32);
        sts2_start(&slave.s, 0);
        sts2_start(&master.s, 0);
        for (size_t k = 0; k < v->messages_count; k++) {
            const struct v_message *m = &v->messages[k];
            struct sts_news news;

            make(m->from_master ? &master : &slave, v, m, k);
            news = assert_taken(m->from_master ? &slave : &master, v, m, k);
            assert_int_equal(news.began,
                             m->type == STS_INITACK || (m->type == STS_RDYACK && m->from_master));
            if (m->type == STS_RDYACK) {
                assert_memory_equal(master.s.link.send_key, v->key_master.p, 32);
                assert_memory_equal(slave.s.link.take_key, v->key_master.p, 32);
                assert_memory_equal(master.s.link.take_key, v->key_slave.p, 32);
                assert_memory_equal(slave.s.link.send_key, v->key_slave.p, 32);
                assert_ptr_equal(slave.s.link.peer, &slave.list[0]);
            }
        }
        assert_true(sts2_delivered(&master.s));
        assert_true(sts2_delivered(&slave.s));
        assert_false(sts2_due(&master.s, &type) || sts2_due(&slave.s, &type));
        /* The vectors' last KILL agrees with the one before: both ends are through. */
        assert_int_equal(master.s.step, STS2_IDLE);
        assert_int_equal(slave.s.step, i == 0 ? STS2_WAIT_INITREQ : STS2_IDLE);
    }
}

/* ---- messages that must be dropped ---- */

/* What an end has to have sent or taken before: its own messages it makes by itself. */
static void go_on_to(struct end *e, const struct v_session *v, const char *name)
{
    const struct v_message *m = message_named(v, name);
    bool slave = e->s.use.mode == STS_SLAVE;

    if (m->type == STS_KILL) {
        make(e, v, message_named(v, "ENC-slave-0"), 0);
        make(e, v, message_named(v, "ENC-slave-1"), 0);
    }
    if (m->from_master != slave) {
        make(e, v, m, 0);
        return;
    }
    (void)assert_taken(e, v, m, 0);
    if (m->type == STS_INITREQ)
        make(e, v, message_named(v, "INITACK"), 0);
    if (m->type == STS_INITACK)
        make(e, v, message_named(v, "RDYACK"), 0);
    if (m->type == STS_KILL) {
        make(e, v, message_named(v, "KILL-slave-2"), 0);
        assert_int_equal(e->s.step, STS2_WAIT_INITREQ);
    }
}

/* Brings an end to where the message of a vector comes in. */
static void go_to(struct end *e, const struct v_negative *n)
{
    const struct v_session *v = session_named(n->of);

    if (n->receiver == 's')
        slave_init(e, v);
    else
        master_init(e, v);
    sts2_start(&e->s, 0);
    for (size_t a = 0; n->after[a]; a++)
        go_on_to(e, v, n->after[a]);
}

static void test_negative(void **state)
{
    size_t done = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(negative_vectors); i++) {
        const struct v_negative *n = &negative_vectors[i];
        struct end e;

        if (n->receiver == 'c')
            continue;
        go_to(&e, n);
        (void)assert_dropped(&e, n->name, n->topic, n->bytes, 0);
        if (n->then)
            go_on_to(&e, session_named(n->of), n->then);
        done++;
    }
    assert_int_equal(COUNT(negative_vectors), 156);
    assert_int_equal(done, 156 - 50);
}

/* What some of them are dropped for, so that none of the checks hides behind another. */
static void test_reasons(void **state)
{
    static const struct {
        const char *name;
        enum sts_drop why;
    } table[] = {
        {"initreq-wrong-topic", STS_DROP_TAG},
        {"initreq-wrong-psk", STS_DROP_TAG},
        {"initreq-flip-type", STS_DROP_FORM},
        {"initreq-e-zero", STS_DROP_TAG},
        {"initreq-e-low-order-4", STS_DROP_TAG},
        {"initreq-unknown-key", STS_DROP_KEY},
        {"initreq-s-zero", STS_DROP_KEY},
        {"initreq-x-pattern", STS_DROP_TAG},
        {"initreq-payload-0", STS_DROP_FORM},
        {"initreq-version-3", STS_DROP_FORM},
        {"initreq-replayed", STS_DROP_ID},
        {"initreq-id-lower", STS_DROP_ID},
        {"initreq-replayed-in-session", STS_DROP_ID},
        {"initreq-at-master", STS_DROP_FORM},
        {"initack-e-zero", STS_DROP_TAG},
        {"initack-before-initreq", STS_DROP_STATE},
        {"initack-replayed", STS_DROP_STATE},
        {"initack-at-slave", STS_DROP_FORM},
        {"rdyack-before-initreq", STS_DROP_STATE},
        {"rdyack-flip-tag", STS_DROP_TAG},
        {"rdyack-replayed", STS_DROP_COUNTER},
        {"rdyack-with-data", STS_DROP_FORM},
        {"enc-late", STS_DROP_COUNTER},
        {"enc-at-master-reflected", STS_DROP_TAG},
        {"enc-as-rdyack", STS_DROP_TAG},
        {"enc-counter-wire-2-64-1", STS_DROP_COUNTER},
        {"enc-nonce-big-endian", STS_DROP_TAG},
        {"enc-no-associated-data", STS_DROP_TAG},
        {"kill-8-bytes", STS_DROP_FORM},
        {"kill-replayed", STS_DROP_STATE},
        {"push-at-slave", STS_DROP_FORM},
    };

    (void)state;
    for (size_t t = 0; t < COUNT(table); t++) {
        size_t i = 0;
        enum sts_drop why;
        struct end e;

        while (strcmp(negative_vectors[i].name, table[t].name) != 0)
            i++;
        go_to(&e, &negative_vectors[i]);
        why = assert_dropped(&e, table[t].name, negative_vectors[i].topic,
                             negative_vectors[i].bytes, 0);
        if (why != table[t].why)
            fail_msg("%s: dropped for reason %d", table[t].name, why);
    }
}

/* A low-order key in the peers file that nobody refused: the zero DH result stops it all the
 * same. */
static void test_low_order_peer(void **state)
{
    size_t i = 0;
    struct end e;

    (void)state;
    while (strcmp(negative_vectors[i].name, "initreq-s-zero") != 0)
        i++;
    go_to(&e, &negative_vectors[i]);
    memset(&e.list[0], 0, sizeof e.list[0]);
    assert_int_equal(
        assert_dropped(&e, "s-zero", negative_vectors[i].topic, negative_vectors[i].bytes, 0),
        STS_DROP_KEY);
}

/* ---- scenarios ---- */

static void scenario_init(struct end *e, const struct v_scenario *v)
{
    bool master = v->receiver == 'm';

    end_keys(e, v->own);
    assert_memory_equal(e->own.public_key, v->own_public.p, 32);
    for (size_t i = 0; i < v->peers_count; i++)
        end_add_peer(e, v->peers[i], v->psks[i]);
    sts2_init(&e->s, &(struct sts_setup){master ? STS_MASTER : STS_SLAVE, STS_CHACHAPOLY,
                                         master ? v->topic : bytes_of(MASTER_TOPIC), TIMEOUT_MS,
                                         KEEPALIVE_MS, &e->own, &e->peers});
    sts2_start(&e->s, 0);
}

static void scenario_step(struct end *e, const struct v_step *step, const struct sts2_fresh *fresh,
                          uint64_t now_ms)
{
    struct sts_news news;
    enum sts_type type;
    uint8_t *payload;

    if (step->act == 'd') {
        (void)assert_dropped(e, step->comment, step->topic, step->bytes, now_ms);
        assert_false(sts2_due(&e->s, &type));
        return;
    }
    payload = deliver(e, &news, step->topic, step->bytes, now_ms);
    assert_int_not_equal(news.event, STS_EV_DROPPED);
    assert_int_equal(news.event == STS_EV_STARTED, step->act == 'a');
    assert_int_equal(news.began, step->established);
    assert_int_equal(news.lost, step->lost);
    assert_int_equal(news.event == STS_EV_TEXT, step->has_data);
    assert_int_equal(news.event == STS_EV_KILLED, step->killed);
    if (step->has_data) {
        assert_bytes(news.text, step->data);
        sts2_written(&e->s, 1);
    }
    free(payload);
    if (step->reply.len > 0)
        end_pull(e, fresh, step->reply, now_ms);
    assert_false(sts2_due(&e->s, &type));
    if (step->killed) {
        assert_int_equal(e->s.tally.sent, step->sent);
        assert_int_equal(e->s.tally.written, step->received);
        assert_int_equal(e->s.tally.peer_sent, step->peer_sent);
        assert_int_equal(e->s.tally.peer_received, step->peer_received);
    }
}

static void test_scenarios(void **state)
{
    size_t done = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(scenario_vectors); i++) {
        const struct v_scenario *v = &scenario_vectors[i];
        size_t used = 0;
        uint64_t now_ms = 0;
        struct end e;

        if (v->receiver == 'c')
            continue;
        scenario_init(&e, v);
        for (size_t k = 0; k < v->steps_count; k++) {
            const struct v_step *step = &v->steps[k];
            struct sts2_fresh fresh = {{0}, 0};
            bool handshake = step->act == 'e' || step->act == 'a';

            if (handshake)
                fresh = fresh_of(v->ephemerals[used], v->ids[used]);
            used += handshake;
            if (step->act == 'e') {
                enum sts_type type;

                if (!sts2_due(&e.s, &type)) {
                    now_ms = sts2_deadline(&e.s);
                    assert_int_equal(sts2_tick(&e.s, now_ms), STS_EV_NONE);
                }
                end_pull(&e, &fresh, step->bytes, now_ms);
            } else {
                scenario_step(&e, step, &fresh, now_ms += STS2_HANDSHAKE_EVERY_MS);
            }
        }
        assert_true(used > 0 && used <= v->ephemerals_count);
        done++;
    }
    assert_int_equal(done, 2);
}

/* ---- every damage to a recorded session ---- */

/* Plays a session of the vectors, and before each message is taken shows the receiver everything
 * else that `damage` can make of it. */
typedef void damage_fn(struct end *receiver, const struct v_session *v, size_t index,
                       uint64_t *now_ms);

static void play(damage_fn *damage, const struct v_session *v)
{
    struct end master, slave;
    uint64_t now_ms = 0;

    master_init(&master, v);
    slave_init(&slave, v);
    slave.s.use.timeout_ms = master.s.use.timeout_ms = UINT32_MAX;
    slave.s.use.keepalive_ms = master.s.use.keepalive_ms = 0;
    sts2_start(&slave.s, 0);
    sts2_start(&master.s, 0);
    for (size_t k = 0; k < v->messages_count; k++) {
        const struct v_message *m = &v->messages[k];
        struct end *receiver = m->from_master ? &slave : &master;

        make(m->from_master ? &master : &slave, v, m, now_ms);
        damage(receiver, v, k, &now_ms);
        now_ms += 1000;
        (void)assert_taken(receiver, v, m, now_ms);
        damage(receiver, v, k, &now_ms);
    }
}

static void flip_bits(struct end *receiver, const struct v_session *v, size_t index,
                      uint64_t *now_ms)
{
    const struct v_message *m = &v->messages[index];
    uint8_t *bad = block(m->bytes);

    for (size_t bit = 0; bit < 8 * m->bytes.len; bit++) {
        *now_ms += STS2_HANDSHAKE_EVERY_MS;
        bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
        (void)assert_dropped(receiver, m->name, topic_to(v, m->from_master),
                             (struct bytes){bad, m->bytes.len}, *now_ms);
        bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(bad);
}

static void cut_and_extend(struct end *receiver, const struct v_session *v, size_t index,
                           uint64_t *now_ms)
{
    const struct v_message *m = &v->messages[index];
    uint8_t *longer = calloc(1, m->bytes.len + 1);

    memcpy(longer, m->bytes.p, m->bytes.len);
    for (size_t len = 0; len <= m->bytes.len + 1; len++) {
        *now_ms += STS2_HANDSHAKE_EVERY_MS;
        if (len != m->bytes.len)
            (void)assert_dropped(receiver, m->name, topic_to(v, m->from_master),
                                 (struct bytes){longer, len}, *now_ms);
    }
    free(longer);
}

/* Another topic, be it longer, shorter or empty. */
static void move_elsewhere(struct end *receiver, const struct v_session *v, size_t index,
                           uint64_t *now_ms)
{
    const struct v_message *m = &v->messages[index];
    struct bytes topic = topic_to(v, m->from_master);
    const struct bytes others[] = {
        {topic.p, topic.len - 1}, {topic.p + 1, topic.len - 1}, {NULL, 0}, bytes_of("sts/other")};

    /* INITACK binds the topic that it comes in on. */
    if (m->type == STS_INITACK)
        return;
    for (size_t i = 0; i < COUNT(others); i++) {
        *now_ms += STS2_HANDSHAKE_EVERY_MS;
        (void)assert_dropped(receiver, m->name, others[i], m->bytes, *now_ms);
    }
}

/* All that was sent before, in either direction, and once this one is taken, this one too. */
static void repeat_all(struct end *receiver, const struct v_session *v, size_t index,
                       uint64_t *now_ms)
{
    const struct v_message *last = &v->messages[index];
    bool slave = last->from_master;
    bool taken = last->type == STS_INITREQ ? receiver->s.pending[0].state != PENDING_NONE ||
                                                 receiver->list[0].session_id != 0
                 : last->type == STS_INITACK ? receiver->s.step == STS2_ESTABLISHED
                                             : false;

    if (last->type >= STS_RDYACK) {
        struct rd r = rd_over(last->bytes.p + 2, 8);

        taken = receiver->s.step < STS2_ESTABLISHED ? index + 2 >= v->messages_count
                                                    : receiver->s.link.take_next > rd_be64(&r);
    }
    for (size_t i = 0; i < index + taken; i++) {
        *now_ms += STS2_HANDSHAKE_EVERY_MS;
        (void)assert_dropped(receiver, v->messages[i].name, topic_to(v, slave),
                             v->messages[i].bytes, *now_ms);
    }
}

/* What comes before its time. (A transport message can come early: the gap is a loss. But not
 * before the handshake.) */
static void too_early(struct end *receiver, const struct v_session *v, size_t index,
                      uint64_t *now_ms)
{
    if (receiver->s.step == STS2_ESTABLISHED || receiver->s.step == STS2_CLOSING ||
        v->messages[index].type >= STS_RDYACK)
        return;
    for (size_t i = index + 1; i < v->messages_count; i++) {
        bool slave = v->messages[index].from_master;

        if (receiver->s.pending[0].state != PENDING_NONE && v->messages[i].from_master)
            continue; /* confirms: taken whatever it is */
        *now_ms += STS2_HANDSHAKE_EVERY_MS;
        (void)assert_dropped(receiver, v->messages[i].name, topic_to(v, slave),
                             v->messages[i].bytes, *now_ms);
    }
}

static void test_damage(void **state)
{
    static damage_fn *const damages[] = {flip_bits, cut_and_extend, move_elsewhere, repeat_all,
                                         too_early};

    (void)state;
    for (size_t d = 0; d < COUNT(damages); d++)
        for (size_t i = 0; i < COUNT(session_vectors); i++)
            play(damages[d], &session_vectors[i]);
}

/* ---- any order ---- */

enum { SENT = 12, SHOWN = 40 };

struct stream {
    struct end master, slave;
    uint8_t sealed[SENT][LINK_BYTES + 1]; /* each text is its own number */
    uint64_t random;
    uint64_t next, lost; /* what the slave should know */
};

static size_t draw(struct stream *t, size_t below)
{
    t->random = t->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (t->random >> 33) % below;
}

static void stream_init(struct stream *t, const struct v_session *v)
{
    master_init(&t->master, v);
    slave_init(&t->slave, v);
    sts2_start(&t->slave.s, 0);
    sts2_start(&t->master.s, 0);
    for (size_t k = 0; k < 3; k++) {
        const struct v_message *m = &v->messages[k];

        make(m->from_master ? &t->master : &t->slave, v, m, 0);
        (void)assert_taken(m->from_master ? &t->slave : &t->master, v, m, 0);
    }
    for (uint8_t k = 0; k < SENT; k++) {
        struct wr w = wr_over(t->sealed[k], sizeof t->sealed[k]);

        assert_int_equal(sts2_seal(&t->master.s, &w, (struct bytes){&k, 1}), 0);
    }
    t->next = t->lost = 0;
}

/* Shows the slave message `k`, with one bit flipped or not. */
static void stream_show(struct stream *t, struct bytes topic, size_t k, bool flip)
{
    uint8_t bytes[LINK_BYTES + 1], *payload;
    struct sts_news news;

    memcpy(bytes, t->sealed[k], sizeof bytes);
    if (flip)
        bytes[draw(t, sizeof bytes)] ^= (uint8_t)(1 << draw(t, 8));
    payload = deliver(&t->slave, &news, topic, (struct bytes){bytes, sizeof bytes}, 0);
    assert_int_equal(news.event, !flip && k >= t->next ? STS_EV_TEXT : STS_EV_DROPPED);
    if (news.event == STS_EV_TEXT) {
        assert_bytes(news.text, (struct bytes){&(uint8_t){(uint8_t)k}, 1});
        assert_int_equal(news.lost, k - t->next);
        t->lost += news.lost;
        t->next = k + 1;
    }
    free(payload);
}

/* Any order, with losses, repeats and flips: what is taken is a part of what was sent, in order,
 * each once, and what is missing is counted. */
static void test_shuffles(void **state)
{
    const struct v_session *v = session_named("session-psk-zero");
    struct stream t = {.random = 1};

    (void)state;
    for (int round = 0; round < 500; round++) {
        stream_init(&t, v);
        for (size_t shown = 0; shown < SHOWN; shown++) {
            /* Mostly near to where the stream is, now and then anywhere. */
            size_t k = draw(&t, 4) ? shown * SENT / SHOWN + draw(&t, 4) : draw(&t, SENT);

            stream_show(&t, v->topic, k < SENT ? k : SENT - 1, draw(&t, 4) == 0);
        }
        assert_int_equal(t.slave.s.tally.lost, t.lost);
        assert_int_equal(t.slave.s.tally.taken, t.next - t.lost);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions),  cmocka_unit_test(test_negative),
        cmocka_unit_test(test_reasons),   cmocka_unit_test(test_low_order_peer),
        cmocka_unit_test(test_scenarios), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_shuffles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
