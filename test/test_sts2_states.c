/* test_sts2_states.c - handshakes in time: retries, timeouts, rates, silence. Both ends are ours;
 * test_sts2.c is about the bytes. */
#include "sts2_world.h"

/* ---- handshake ---- */

/* 1, 2, 4, 8 ... s after one another, from when each left; then it is over. */
static void test_retries(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    uint64_t start_ms, waits[] = {1000, 2000, 4000, 8000};

    (void)state;
    world_init(&w, 1);
    sts2_start(&m->s, start_ms = w.now_ms);
    for (size_t i = 0; i < COUNT(waits); i++) {
        lose(&w, m, STS_INITREQ);
        assert_nothing_due(m);
        assert_int_equal(sts2_deadline(&m->s), w.now_ms + waits[i]);
        assert_int_equal(tick(&w, m), STS_EV_NONE);
        /* It cannot leave yet: no deadline in the past, or the caller would spin. */
        assert_int_equal(sts2_deadline(&m->s), start_ms + TIMEOUT_MS);
    }
    lose(&w, m, STS_INITREQ);
    assert_int_equal(tick(&w, m), STS_EV_TIMEOUT);
    assert_int_equal(w.now_ms, start_ms + TIMEOUT_MS);
    assert_int_equal(m->s.step, STS2_IDLE);
    assert_nothing_due(m);
    assert_wiped(m);
    assert_int_equal(sts2_deadline(&m->s), UINT64_MAX);
}

static void test_established(void **state)
{
    static const struct sts2_attempt no_attempt;
    static const struct noise no_noise;
    struct world w;
    struct end *m = &w.masters[0];
    struct sts_news news;

    (void)state;
    world_init(&w, 1);
    sts2_start(&m->s, w.now_ms);
    assert_false(sts2_ready(&m->s));
    news = pass(&w, m, &w.slave, STS_INITREQ);
    assert_int_equal(news.event, STS_EV_STARTED);
    assert_false(news.began);
    news = pass(&w, &w.slave, m, STS_INITACK);
    assert_true(news.began && !news.replaced);
    assert_int_equal(m->s.step, STS2_ESTABLISHED);
    assert_memory_equal(&m->s.attempt, &no_attempt, sizeof no_attempt);
    assert_memory_equal(&w.slave.s.pending[STS2_PENDING_MAX - 1].noise, &no_noise, sizeof no_noise);
    assert_false(sts2_ready(&m->s));      /* RDYACK comes first */
    assert_false(sts2_ready(&w.slave.s)); /* nothing is sent under pending keys */
    assert_int_equal(w.slave.s.step, STS2_WAIT_INITREQ);
    news = pass(&w, m, &w.slave, STS_RDYACK);
    assert_int_equal(news.event, STS_EV_ESTABLISHED);
    assert_true(news.began && !news.replaced);
    assert_true(sts2_ready(&m->s) && sts2_ready(&w.slave.s));
    assert_nothing_due(m);
    assert_nothing_due(&w.slave);
    assert_ptr_equal(w.slave.s.link.peer, peers_find(&w.slave.peers, m->own.public_key));
    say(&w, m, &w.slave, "one");
    say(&w, &w.slave, m, "two");
    assert_int_equal(w.slave.s.pending[0].state, PENDING_NONE);
}

/* A pending handshake is wiped `timeout` after its INITACK left, and its id no longer guards. */
static void test_pending_expires(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    size_t len;
    uint8_t *request, *again;

    (void)state;
    world_init(&w, 1);
    sts2_start(&m->s, w.now_ms);
    request = pull(&w, m, &len);
    again = block((struct bytes){request, len});
    assert_int_equal(take(&w, &w.slave, again, len).event, STS_EV_STARTED);
    w.now_ms += 500;
    lose(&w, &w.slave, STS_INITACK);
    memcpy(again, request, len);
    assert_int_equal(take(&w, &w.slave, again, len).why, STS_DROP_ID);
    assert_int_equal(tick(&w, &w.slave), STS_EV_NONE);
    assert_int_equal(w.now_ms, 1500 + TIMEOUT_MS);
    assert_wiped(&w.slave);
    memcpy(again, request, len);
    assert_int_equal(take(&w, &w.slave, again, len).event, STS_EV_STARTED);
    free(request);
    free(again);
}

/* One that was never answered goes the same way; and without a tick, too. */
static void test_unanswered_expires(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    uint8_t junk[1] = {0};

    (void)state;
    world_init(&w, 1);
    sts2_start(&m->s, w.now_ms);
    assert_int_equal(pass(&w, m, &w.slave, STS_INITREQ).event, STS_EV_STARTED);
    w.now_ms += TIMEOUT_MS - 1;
    (void)take(&w, &w.slave, junk, 1);
    assert_int_equal(w.slave.s.pending[STS2_PENDING_MAX - 1].state, PENDING_ASKED);
    w.now_ms++;
    (void)take(&w, &w.slave, junk, 1);
    assert_wiped(&w.slave);
}

/* Eight of eight keys; the ninth is dropped; a newer one of the same key takes its place. */
static void test_pending_full(void **state)
{
    struct world w;
    struct sts_news news;

    (void)state;
    world_init(&w, 9);
    for (size_t i = 0; i < 9; i++) {
        w.now_ms += 1000;
        sts2_start(&w.masters[i].s, w.now_ms);
        news = pass(&w, &w.masters[i], &w.slave, STS_INITREQ);
        assert_int_equal(news.why, i < 8 ? STS_DROP_NONE : STS_DROP_FULL);
        if (i < 8)
            assert_int_equal(pass(&w, &w.slave, &w.masters[i], STS_INITACK).event,
                             STS_EV_ESTABLISHED);
    }
    /* A newer one of a key: the keys of the older one are gone at once, not with its INITACK. */
    w.now_ms += 1000;
    sts2_start(&w.masters[3].s, w.now_ms);
    (void)pass(&w, &w.masters[3], &w.slave, STS_INITREQ);
    for (size_t i = 0; i < STS2_PENDING_MAX; i++)
        if (w.slave.s.pending[i].state == PENDING_ASKED)
            assert_memory_equal(w.slave.s.pending[i].link.take_key, no_psk.p, 32);
    assert_int_equal(pass(&w, &w.slave, &w.masters[3], STS_INITACK).event, STS_EV_ESTABLISHED);
    /* Any of them takes over, one after the other. */
    for (size_t i = 0; i < 8; i++) {
        news = pass(&w, &w.masters[i], &w.slave, STS_RDYACK);
        assert_true(news.began);
        assert_int_equal(news.replaced, i > 0);
        assert_ptr_equal(w.slave.s.link.peer,
                         peers_find(&w.slave.peers, w.masters[i].own.public_key));
        say(&w, &w.masters[i], &w.slave, "mine");
        say(&w, &w.slave, &w.masters[i], "yours");
    }
    ask(&w, &w.masters[8]);
}

/* Before its INITACK has left, a pending handshake has no keys yet; zeros are none. */
static void test_unanswered_keys(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    struct link zero = {.send_next = 0};
    uint8_t room[LINK_BYTES];
    struct wr out = wr_over(room, sizeof room);

    (void)state;
    world_init(&w, 1);
    sts2_start(&m->s, w.now_ms);
    (void)pass(&w, m, &w.slave, STS_INITREQ);
    assert_int_equal(link_seal(&zero, &out, STS_RDYACK, (struct bytes){NULL, 0}), 0);
    assert_int_equal(take(&w, &w.slave, room, sizeof room).why, STS_DROP_STATE);
    assert_int_equal(w.slave.s.step, STS2_WAIT_INITREQ);
}

/* Several are asked before the first answer can leave: each gets its own. */
static void test_answers_wait(void **state)
{
    struct world w;
    size_t len[3];
    uint8_t *acks[3];

    (void)state;
    world_init(&w, 3);
    for (size_t i = 0; i < 3; i++) {
        sts2_start(&w.masters[i].s, w.now_ms);
        assert_int_equal(pass(&w, &w.masters[i], &w.slave, STS_INITREQ).event, STS_EV_STARTED);
    }
    for (size_t i = 0; i < 3; i++)
        assert_non_null(acks[i] = pull(&w, &w.slave, &len[i]));
    assert_nothing_due(&w.slave);
    for (size_t i = 0; i < 3; i++) {
        size_t taken = 0;

        for (size_t a = 0; a < 3; a++) {
            uint8_t *copy = block((struct bytes){acks[a], len[a]});

            taken += take(&w, &w.masters[i], copy, len[a]).event == STS_EV_ESTABLISHED;
            free(copy);
        }
        assert_int_equal(taken, 1);
    }
    for (size_t i = 0; i < 3; i++)
        free(acks[i]);
}

/* A burst of handshakes is read, then one every so often; junk of another size costs nothing. */
static void test_rate(void **state)
{
    struct world w;
    uint8_t junk[STS2_INITREQ_BYTES];
    struct bytes bytes = {junk, sizeof junk};
    struct end *m = &w.masters[0];

    (void)state;
    world_init(&w, 1);
    memset(junk, 0x55, sizeof junk);
    junk[0] = STS2_VERSION;
    junk[1] = STS_INITREQ;
    for (int i = 0; i < STS2_HANDSHAKES_BURST + 3; i++) {
        uint8_t *copy = block(bytes);

        assert_int_equal(take(&w, &w.slave, copy, sizeof junk - 1).why, STS_DROP_FORM);
        assert_int_equal(take(&w, &w.slave, copy, sizeof junk).why,
                         i < STS2_HANDSHAKES_BURST ? STS_DROP_TAG : STS_DROP_RATE);
        free(copy);
    }
    sts2_start(&m->s, w.now_ms);
    assert_int_equal(pass(&w, m, &w.slave, STS_INITREQ).why, STS_DROP_RATE);
    w.now_ms += STS2_HANDSHAKE_EVERY_MS;
    sts2_start(&m->s, w.now_ms);
    assert_int_equal(pass(&w, m, &w.slave, STS_INITREQ).event, STS_EV_STARTED);
    /* The same for INITACK. */
    junk[1] = STS_INITACK;
    for (int i = 0; i < STS2_HANDSHAKES_BURST + 1; i++) {
        uint8_t *copy = block(bytes);

        assert_int_equal(take(&w, m, copy, STS2_INITACK_BYTES).why,
                         i < STS2_HANDSHAKES_BURST ? STS_DROP_TAG : STS_DROP_RATE);
        free(copy);
    }
    w.now_ms += STS2_HANDSHAKE_EVERY_MS;
    assert_int_equal(pass(&w, &w.slave, m, STS_INITACK).event, STS_EV_ESTABLISHED);
}

/* Junk is charged what it took and as much again, and no more than any handshake; one that began
 * is charged in full, and what the rate did not let through, or needs no handshake, nothing. */
static void test_rate_of_junk(void **state)
{
    enum { SPENT_US = 200 };
    const unsigned fit = (STS2_HANDSHAKES_BURST - 1) * (unsigned)STS2_HANDSHAKE_EVERY_MS * 1000 /
                         (SPENT_US * STS2_JUNK_SHARE);
    struct world w;
    uint8_t junk[STS2_INITREQ_BYTES];
    struct end *m = &w.masters[0];
    unsigned read = 0;

    (void)state;
    world_init(&w, 1);
    memset(junk, 0x55, sizeof junk);
    junk[0] = STS2_VERSION;
    junk[1] = STS_INITREQ;
    for (unsigned i = 0; i < fit + 100; i++) {
        read += take(&w, &w.slave, junk, sizeof junk).why == STS_DROP_TAG;
        sts2_spent(&w.slave.s, SPENT_US);
        (void)take(&w, &w.slave, junk, sizeof junk - 1);
        sts2_spent(&w.slave.s, SPENT_US);
    }
    assert_int_equal(read, fit + 1);
    w.now_ms++;
    sts2_start(&m->s, w.now_ms);
    assert_int_equal(pass(&w, m, &w.slave, STS_INITREQ).event, STS_EV_STARTED);
    sts2_spent(&w.slave.s, SPENT_US);
    w.now_ms += STS2_HANDSHAKE_EVERY_MS - 2;
    assert_int_equal(take(&w, &w.slave, junk, sizeof junk).why, STS_DROP_RATE);
    w.now_ms += 2;
    assert_int_equal(take(&w, &w.slave, junk, sizeof junk).why, STS_DROP_TAG);
    sts2_spent(&w.slave.s, 1000 * STS2_HANDSHAKE_EVERY_MS);
    w.now_ms += STS2_HANDSHAKE_EVERY_MS;
    assert_int_equal(take(&w, &w.slave, junk, sizeof junk).why, STS_DROP_TAG);
}

/* An id that was confirmed stays the last one of its key, also when the session is over. */
static void test_id_final(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    assert_int_equal(w.slave.list[0].session_id, w.slave.s.link.id);
    w.id = w.slave.list[0].session_id - 1;
    w.now_ms += 10000;
    sts2_start(&m->s, w.now_ms);
    assert_int_equal(pass(&w, m, &w.slave, STS_INITREQ).why, STS_DROP_ID);
    sts2_start(&w.slave.s, w.now_ms);
    w.id = w.slave.list[0].session_id - 1;
    sts2_start(&m->s, w.now_ms);
    assert_int_equal(pass(&w, m, &w.slave, STS_INITREQ).why, STS_DROP_ID);
    sts2_start(&m->s, w.now_ms);
    assert_int_equal(pass(&w, m, &w.slave, STS_INITREQ).event, STS_EV_STARTED);
}

/* Nothing that leaves may carry an id that is none; it stays due. */
static void test_bad_id(void **state)
{
    static const uint64_t ids[] = {0, UINT64_C(1) << 63, UINT64_MAX};
    struct world w;
    struct end *m = &w.masters[0];
    uint8_t room[128];

    (void)state;
    world_init(&w, 1);
    sts2_start(&m->s, w.now_ms);
    for (size_t i = 0; i < COUNT(ids); i++) {
        struct sts2_fresh fresh = {{1}, ids[i]};
        struct wr out = wr_over(room, sizeof room);

        assert_int_equal(sts2_pull(&m->s, &out, &fresh, w.now_ms), STS_ERR_ID);
        assert_ptr_equal(out.p, room);
    }
    ask(&w, m);
}

/* Every room that is too small: nothing is written, all stays due. */
static void test_room(void **state)
{
    struct world w;
    struct end *m = &w.masters[0], *ends[] = {m, &w.slave, m, m};
    const size_t sizes[] = {STS2_INITREQ_BYTES, STS2_INITACK_BYTES, STS2_RDYACK_BYTES,
                            STS2_KILL_BYTES};
    const enum sts_type types[] = {STS_INITREQ, STS_INITACK, STS_RDYACK, STS_KILL};

    (void)state;
    world_init(&w, 1);
    sts2_start(&m->s, w.now_ms);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        if (types[i] == STS_KILL)
            sts2_stop(&m->s, w.now_ms);
        for (size_t size = 0; size < sizes[i]; size++) {
            struct sts2 before = ends[i]->s;
            struct sts2_fresh fresh = {{1}, 1};
            uint8_t *room = malloc(size + 1);
            struct wr out = wr_over(room, size);

            memset(room, 0xa5, size + 1);
            assert_int_equal(sts2_pull(&ends[i]->s, &out, &fresh, w.now_ms), STS_ERR_ROOM);
            for (size_t k = 0; k <= size; k++)
                assert_int_equal(room[k], 0xa5);
            assert_ptr_equal(out.p, room);
            assert_memory_equal(&before, &ends[i]->s, sizeof before);
            free(room);
        }
        (void)pass(&w, ends[i], ends[i] == m ? &w.slave : m, types[i]);
    }
}

static void test_seal(void **state)
{
    static uint8_t room[STS2_ENC_BYTES + MESSAGE_MAX_BYTES + 1], text[MESSAGE_MAX_BYTES + 1];
    struct world w;
    struct end *m = &w.masters[0];
    struct wr out = wr_over(room, sizeof room);
    struct sts_news news;

    (void)state;
    world_init(&w, 1);
    assert_int_equal(sts2_seal(&m->s, &out, bytes_of("x")), STS_ERR_STATE);
    (void)establish(&w, m);
    assert_int_equal(sts2_seal(&m->s, &out, (struct bytes){text, sizeof text}), STS_ERR_LONG);
    assert_ptr_equal(out.p, room);
    for (size_t size = 0; size < STS2_ENC_BYTES + 3; size++) {
        uint8_t *small = malloc(size + 1);
        struct wr little = wr_over(small, size);

        assert_int_equal(sts2_seal(&m->s, &little, bytes_of("abc")), STS_ERR_ROOM);
        free(small);
    }
    assert_int_equal(m->s.tally.sent, 0);
    /* The longest text, made where it goes. */
    memset(room + LINK_HEAD_BYTES, 0x77, MESSAGE_MAX_BYTES);
    memset(text, 0x77, sizeof text);
    assert_int_equal(
        sts2_seal(&m->s, &out, (struct bytes){room + LINK_HEAD_BYTES, MESSAGE_MAX_BYTES}), 0);
    assert_int_equal(wr_room(&out), 1);
    assert_int_equal(take(&w, &w.slave, room, sizeof room).why, STS_DROP_FORM);
    news = take(&w, &w.slave, room, sizeof room - 1);
    assert_bytes(news.text, (struct bytes){text, MESSAGE_MAX_BYTES});
    /* The last counter is never used. */
    m->s.link.send_next = UINT64_MAX - 1;
    say(&w, m, &w.slave, "last");
    assert_false(sts2_ready(&m->s));
    out = wr_over(room, sizeof room);
    assert_int_equal(sts2_seal(&m->s, &out, bytes_of("x")), STS_ERR_STATE);
    sts2_stop(&m->s, w.now_ms);
    assert_int_equal(sts2_pull(&m->s, &out, NULL, w.now_ms), STS_ERR_STATE);
    assert_int_equal(m->s.link.send_next, UINT64_MAX);
}

/* ---- silence ---- */

static void test_question_and_answer(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    for (int i = 0; i < 10; i++) {
        uint64_t before_ms = w.now_ms;

        assert_int_equal(tick(&w, m), STS_EV_NONE);
        assert_int_equal(w.now_ms, before_ms + KEEPALIVE_MS);
        assert_int_equal(pass(&w, m, &w.slave, STS_RDYACK).event, STS_EV_NONE);
        assert_nothing_due(m);
        assert_int_equal(pass(&w, &w.slave, m, STS_RDYACK).event, STS_EV_NONE);
        assert_nothing_due(m); /* a master answers none, so nothing echoes */
        assert_nothing_due(&w.slave);
        assert_int_equal(m->s.questions, 0);
    }
    /* A message is as good as an answer. */
    w.now_ms += KEEPALIVE_MS - 1;
    say(&w, &w.slave, m, "here");
    assert_int_equal(sts2_deadline(&m->s), w.now_ms + KEEPALIVE_MS);
}

static void test_silence_master(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    uint64_t start_ms;

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    start_ms = w.now_ms;
    for (int i = 0; i < STS2_QUESTIONS_MAX; i++) {
        assert_int_equal(tick(&w, m), STS_EV_NONE);
        lose(&w, m, STS_RDYACK);
    }
    assert_int_equal(tick(&w, m), STS_EV_SILENT);
    assert_int_equal(w.now_ms, start_ms + 4 * KEEPALIVE_MS);
    assert_int_equal(m->s.step, STS2_WAIT_INITACK);
    assert_false(sts2_delivered(&m->s));
    /* A new handshake, which the slave takes as it would any. */
    assert_int_equal(pass(&w, m, &w.slave, STS_INITREQ).event, STS_EV_STARTED);
    assert_int_equal(pass(&w, &w.slave, m, STS_INITACK).event, STS_EV_ESTABLISHED);
    assert_true(pass(&w, m, &w.slave, STS_RDYACK).replaced);
}

/* The answer to the third question still counts. And after a long sleep of the machine no question
 * is counted as unanswered that nobody could answer. */
static void test_silence_late(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    (void)tick(&w, m);
    lose(&w, m, STS_RDYACK);
    (void)tick(&w, m);
    lose(&w, m, STS_RDYACK);
    (void)tick(&w, m);
    w.now_ms += KEEPALIVE_MS - 1;
    (void)pass(&w, m, &w.slave, STS_RDYACK);
    (void)pass(&w, &w.slave, m, STS_RDYACK);
    assert_int_equal(m->s.step, STS2_ESTABLISHED);
    w.now_ms += 10 * KEEPALIVE_MS;
    assert_int_equal(sts2_tick(&m->s, w.now_ms), STS_EV_NONE);
    assert_int_equal(sts2_deadline(&m->s), w.now_ms + KEEPALIVE_MS);
}

static void test_silence_slave(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    uint64_t start_ms;

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    start_ms = w.now_ms;
    assert_int_equal(tick(&w, &w.slave), STS_EV_SILENT);
    assert_int_equal(w.now_ms, start_ms + 4 * KEEPALIVE_MS);
    assert_int_equal(w.slave.s.step, STS2_WAIT_INITREQ);
    assert_wiped(&w.slave);
    (void)establish(&w, m);
    assert_int_equal(w.slave.s.step, STS2_ESTABLISHED);
}

static void test_no_keepalive(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];

    (void)state;
    world_init(&w, 1);
    m->s.use.keepalive_ms = w.slave.s.use.keepalive_ms = 0;
    (void)establish(&w, m);
    assert_int_equal(sts2_deadline(&m->s), UINT64_MAX);
    assert_int_equal(sts2_deadline(&w.slave.s), UINT64_MAX);
    assert_int_equal(sts2_tick(&m->s, UINT64_MAX - 1), STS_EV_NONE);
}

/* The RDYACK with counter 0 was lost, and the first that comes asks: it confirms, and is
 * answered. */
static void test_question_confirms(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    struct sts_news news;

    (void)state;
    world_init(&w, 1);
    ask(&w, m);
    lose(&w, m, STS_RDYACK);
    w.slave.s.use.timeout_ms = 2 * KEEPALIVE_MS;
    w.slave.s.pending[STS2_PENDING_MAX - 1].expires_ms += 2 * KEEPALIVE_MS;
    (void)tick(&w, m);
    news = pass(&w, m, &w.slave, STS_RDYACK);
    assert_true(news.began);
    assert_int_equal(news.lost, 1);
    (void)pass(&w, &w.slave, m, STS_RDYACK);
}

/* The ephemeral key of an answer is made with the id that it answers. */
static void test_ephemeral_of_answer(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    uint8_t random[32] = {1}, got[32], want[32];

    (void)state;
    world_init(&w, 1);
    sts2_start(&m->s, w.now_ms);
    sts2_ephemeral(&m->s, got, random, 77);
    noise_ephemeral(want, m->own.private_key, random, 77, TO_SLAVE);
    assert_memory_equal(got, want, 32);
    w.id = 500;
    (void)pass(&w, m, &w.slave, STS_INITREQ);
    sts2_ephemeral(&w.slave.s, got, random, 77);
    noise_ephemeral(want, w.slave.own.private_key, random, 501, TO_MASTER);
    assert_memory_equal(got, want, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_established),
        cmocka_unit_test(test_pending_expires),
        cmocka_unit_test(test_unanswered_expires),
        cmocka_unit_test(test_pending_full),
        cmocka_unit_test(test_unanswered_keys),
        cmocka_unit_test(test_answers_wait),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_rate_of_junk),
        cmocka_unit_test(test_id_final),
        cmocka_unit_test(test_bad_id),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_seal),
        cmocka_unit_test(test_question_and_answer),
        cmocka_unit_test(test_silence_master),
        cmocka_unit_test(test_silence_late),
        cmocka_unit_test(test_silence_slave),
        cmocka_unit_test(test_no_keepalive),
        cmocka_unit_test(test_question_confirms),
        cmocka_unit_test(test_ephemeral_of_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
