/* test_sts2_kill.c - how sessions end: KILLs, receipts, and sessions that replace each other. */
#include "sts2_world.h"

/* ---- KILL ---- */

/* Says `texts` from one end to the other, and they are written out. */
static void talk(struct world *w, struct end *from, struct end *to, int texts)
{
    for (int i = 0; i < texts; i++) {
        say(w, from, to, "text");
        sts2_written(&to->s, 1);
    }
}

static void assert_over(struct world *w, struct end *m, bool delivered)
{
    assert_int_equal(m->s.step, STS2_IDLE);
    assert_int_equal(w->slave.s.step, STS2_WAIT_INITREQ);
    assert_wiped(m);
    assert_wiped(&w->slave);
    assert_nothing_due(m);
    assert_nothing_due(&w->slave);
    assert_int_equal(sts2_deadline(&m->s), UINT64_MAX);
    assert_int_equal(sts2_deadline(&w->slave.s), UINT64_MAX);
    assert_int_equal(sts2_delivered(&m->s), delivered);
    assert_int_equal(sts2_delivered(&w->slave.s), delivered);
}

static void test_kill(void **state)
{
    for (int by_slave = 0; by_slave < 2; by_slave++) {
        struct world w;
        struct end *a, *b, *m = &w.masters[0];

        (void)state;
        world_init(&w, 1);
        (void)establish(&w, m);
        a = by_slave ? &w.slave : m;
        b = by_slave ? m : &w.slave;
        talk(&w, a, b, 3);
        talk(&w, b, a, 2);
        sts2_stop(&a->s, w.now_ms);
        if (by_slave)
            a->s.stopping = false; /* so that it waits for the next, as assert_over has it */
        assert_false(sts2_ready(&a->s));
        assert_false(sts2_delivered(&a->s));
        assert_int_equal(pass(&w, a, b, STS_KILL).event, STS_EV_KILLED);
        assert_false(sts2_ready(&b->s));
        assert_int_equal(pass(&w, b, a, STS_KILL).event, STS_EV_KILLED);
        assert_over(&w, m, true);
    }
}

/* Both stop at the same time, with a text in flight each way: two KILLs of each at most. */
static void test_kills_cross(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    size_t len[4];
    uint8_t *text[2], *kill[2];

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    talk(&w, m, &w.slave, 1);
    text[0] = seal(m, "to slave", &len[0]);
    text[1] = seal(&w.slave, "to master", &len[1]);
    sts2_stop(&m->s, w.now_ms);
    sts2_stop(&w.slave.s, w.now_ms);
    w.slave.s.stopping = false;
    kill[0] = pull(&w, m, &len[2]);
    kill[1] = pull(&w, &w.slave, &len[3]);
    assert_nothing_due(m);
    /* Each is still taken after our own KILL. */
    assert_int_equal(take(&w, &w.slave, text[0], len[0]).event, STS_EV_TEXT);
    sts2_written(&w.slave.s, 1);
    assert_int_equal(take(&w, m, text[1], len[1]).event, STS_EV_TEXT);
    sts2_written(&m->s, 1);
    assert_nothing_due(m);
    assert_int_equal(take(&w, &w.slave, kill[0], len[2]).event, STS_EV_KILLED);
    assert_int_equal(take(&w, m, kill[1], len[3]).event, STS_EV_KILLED);
    assert_false(sts2_delivered(&m->s));
    assert_false(sts2_delivered(&w.slave.s));
    /* The receipts fell short, so both say it again. */
    free(kill[0]);
    free(kill[1]);
    kill[0] = pull(&w, m, &len[2]);
    kill[1] = pull(&w, &w.slave, &len[3]);
    assert_int_equal(take(&w, &w.slave, kill[0], len[2]).event, STS_EV_KILLED);
    assert_int_equal(take(&w, m, kill[1], len[3]).event, STS_EV_KILLED);
    assert_over(&w, m, true);
    for (int i = 0; i < 2; i++) {
        free(text[i]);
        free(kill[i]);
    }
}

/* Nothing was in flight: crossing KILLs say the same, and none is answered. */
static void test_kills_cross_quietly(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    size_t len[2];
    uint8_t *kill[2];

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    talk(&w, m, &w.slave, 2);
    sts2_stop(&m->s, w.now_ms);
    sts2_stop(&w.slave.s, w.now_ms);
    w.slave.s.stopping = false;
    kill[0] = pull(&w, m, &len[0]);
    kill[1] = pull(&w, &w.slave, &len[1]);
    assert_int_equal(take(&w, &w.slave, kill[0], len[0]).event, STS_EV_KILLED);
    assert_int_equal(take(&w, m, kill[1], len[1]).event, STS_EV_KILLED);
    assert_over(&w, m, true);
    free(kill[0]);
    free(kill[1]);
}

/* The receipt counts what is written out, and the answer waits for that. */
static void test_kill_waits_for_output(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    for (int i = 0; i < 3; i++)
        say(&w, m, &w.slave, "slow");
    sts2_stop(&m->s, w.now_ms);
    assert_int_equal(pass(&w, m, &w.slave, STS_KILL).event, STS_EV_KILLED);
    assert_nothing_due(&w.slave);
    sts2_written(&w.slave.s, 2);
    assert_nothing_due(&w.slave);
    sts2_written(&w.slave.s, 1);
    (void)pass(&w, &w.slave, m, STS_KILL);
    assert_over(&w, m, true);
}

/* Our own KILL does not wait: it says what is written so far, and a second one the rest. */
static void test_kill_before_output(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    say(&w, m, &w.slave, "slow");
    sts2_stop(&w.slave.s, w.now_ms);
    w.slave.s.stopping = false;
    (void)pass(&w, &w.slave, m, STS_KILL);
    assert_false(sts2_delivered(&m->s));
    (void)pass(&w, m, &w.slave, STS_KILL);
    assert_nothing_due(&w.slave);
    sts2_written(&w.slave.s, 1);
    (void)pass(&w, &w.slave, m, STS_KILL);
    assert_over(&w, m, true);
}

/* A message was lost: both ends know, wait for a second KILL, and give up. */
static void test_kill_short(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    size_t len;

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    talk(&w, m, &w.slave, 1);
    free(seal(m, "lost", &len));
    sts2_stop(&m->s, w.now_ms);
    assert_int_equal(pass(&w, m, &w.slave, STS_KILL).lost, 1);
    (void)pass(&w, &w.slave, m, STS_KILL);
    assert_false(sts2_delivered(&m->s));
    assert_int_equal(m->s.step, STS2_CLOSING);
    assert_nothing_due(m);
    assert_int_equal(tick(&w, m), STS_EV_TIMEOUT);
    assert_int_equal(sts2_tick(&w.slave.s, w.now_ms), STS_EV_TIMEOUT);
    assert_int_equal(w.now_ms, 1000 + TIMEOUT_MS);
    assert_int_equal(m->s.step, STS2_IDLE);
    assert_int_equal(w.slave.s.step, STS2_WAIT_INITREQ);
    assert_wiped(m);
    assert_wiped(&w.slave);
    assert_false(sts2_delivered(&m->s));
    assert_true(sts2_delivered(&w.slave.s)); /* it sent nothing */
}

static void test_kill_unanswered(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    sts2_stop(&m->s, w.now_ms);
    lose(&w, m, STS_KILL);
    assert_int_equal(tick(&w, m), STS_EV_TIMEOUT);
    assert_false(sts2_delivered(&m->s));
    assert_int_equal(m->s.step, STS2_IDLE);
}

/* No more than two KILLs, whatever an authenticated but mad other end does. */
static void test_kills_bounded(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    size_t kills = 0;

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    for (int i = 0; i < 5; i++) {
        size_t len;
        uint8_t *answer;

        m->s.tally.kills = 0;
        m->s.step = STS2_ESTABLISHED;
        say(&w, m, &w.slave, "more");
        sts2_written(&w.slave.s, 1);
        m->s.tally.sent = 99;
        sts2_stop(&m->s, w.now_ms);
        (void)pass(&w, m, &w.slave, STS_KILL);
        answer = pull(&w, &w.slave, &len);
        kills += answer != NULL;
        free(answer);
    }
    assert_int_equal(kills, STS2_KILLS_MAX);
}

/* ---- one session after another ---- */

/* Texts of the old session that are written out late count for nobody's receipt. */
static void test_replaced_receipts(void **state)
{
    struct world w;
    struct end *a = &w.masters[0], *b = &w.masters[1];
    struct sts_news news;

    (void)state;
    world_init(&w, 2);
    (void)establish(&w, a);
    say(&w, a, &w.slave, "a1");
    say(&w, a, &w.slave, "a2");
    news = establish(&w, b);
    assert_true(news.began && news.replaced);
    say(&w, b, &w.slave, "b1");
    assert_int_equal(w.slave.s.tally.stale, 2);
    sts2_written(&w.slave.s, 1);
    assert_int_equal(w.slave.s.tally.written, 0);
    sts2_written(&w.slave.s, 2);
    assert_int_equal(w.slave.s.tally.written, 1);
    sts2_written(&w.slave.s, 1); /* more than there were */
    assert_int_equal(w.slave.s.tally.written, 1);
    sts2_stop(&b->s, w.now_ms);
    (void)pass(&w, b, &w.slave, STS_KILL);
    (void)pass(&w, &w.slave, b, STS_KILL);
    assert_over(&w, b, true);
    /* The first master's session is gone for the slave. */
    w.now_ms++;
    {
        size_t len;
        uint8_t *message = seal(a, "still there?", &len);

        assert_int_equal(take(&w, &w.slave, message, len).why, STS_DROP_STATE);
        free(message);
    }
}

/* A new session also takes over from one that is closing. */
static void test_replaced_while_closing(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    struct sts_news news;

    (void)state;
    world_init(&w, 1);
    (void)establish(&w, m);
    talk(&w, m, &w.slave, 1);
    m->s.tally.sent = 5; /* the receipt will fall short */
    sts2_stop(&m->s, w.now_ms);
    (void)pass(&w, m, &w.slave, STS_KILL);
    lose(&w, &w.slave, STS_KILL);
    assert_int_equal(w.slave.s.step, STS2_CLOSING);
    w.now_ms += 1000;
    news = establish(&w, m);
    assert_true(news.began && news.replaced);
    assert_int_equal(w.slave.s.step, STS2_ESTABLISHED);
    assert_int_equal(sts2_deadline(&w.slave.s), w.now_ms + 4 * KEEPALIVE_MS);
    talk(&w, m, &w.slave, 2);
    sts2_stop(&m->s, w.now_ms);
    (void)pass(&w, m, &w.slave, STS_KILL);
    (void)pass(&w, &w.slave, m, STS_KILL);
    assert_over(&w, m, true);
}

/* After sts2_stop a slave begins nothing. */
static void test_stopped_slave(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];

    (void)state;
    world_init(&w, 2);
    (void)establish(&w, m);
    ask(&w, &w.masters[1]);
    sts2_stop(&w.slave.s, w.now_ms);
    assert_int_equal(pass(&w, &w.masters[1], &w.slave, STS_RDYACK).why, STS_DROP_COUNTER);
    sts2_start(&w.masters[1].s, w.now_ms);
    assert_int_equal(pass(&w, &w.masters[1], &w.slave, STS_INITREQ).why, STS_DROP_STATE);
    (void)pass(&w, &w.slave, m, STS_KILL);
    (void)pass(&w, m, &w.slave, STS_KILL);
    assert_int_equal(w.slave.s.step, STS2_IDLE);
    assert_wiped(&w.slave);
}

/* Stopped before there was a session; and wiped in each step. */
static void test_stop_and_wipe(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];

    (void)state;
    world_init(&w, 2);
    sts2_start(&m->s, w.now_ms);
    lose(&w, m, STS_INITREQ);
    sts2_stop(&m->s, w.now_ms);
    assert_int_equal(m->s.step, STS2_IDLE);
    assert_wiped(m);
    ask(&w, m);
    sts2_stop(&w.slave.s, w.now_ms);
    assert_int_equal(w.slave.s.step, STS2_IDLE);
    assert_wiped(&w.slave);
    sts2_wipe(&m->s);
    assert_wiped(m);
    assert_nothing_due(m);
    sts2_start(&w.slave.s, w.now_ms);
    (void)establish(&w, m);
    ask(&w, &w.masters[1]);
    sts2_wipe(&w.slave.s);
    assert_wiped(&w.slave);
    assert_int_equal(sts2_deadline(&w.slave.s), UINT64_MAX);
}

/* A master's KILL may be the first message under the keys: RDYACK never left. */
static void test_stop_at_once(void **state)
{
    struct world w;
    struct end *m = &w.masters[0];
    struct sts_news news;

    (void)state;
    world_init(&w, 1);
    ask(&w, m);
    sts2_stop(&m->s, w.now_ms);
    news = pass(&w, m, &w.slave, STS_KILL);
    assert_true(news.began);
    assert_int_equal(news.event, STS_EV_KILLED);
    assert_int_equal(news.lost, 0);
    (void)pass(&w, &w.slave, m, STS_KILL);
    assert_over(&w, m, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_kills_cross),
        cmocka_unit_test(test_kills_cross_quietly),
        cmocka_unit_test(test_kill_waits_for_output),
        cmocka_unit_test(test_kill_before_output),
        cmocka_unit_test(test_kill_short),
        cmocka_unit_test(test_kill_unanswered),
        cmocka_unit_test(test_kills_bounded),
        cmocka_unit_test(test_replaced_receipts),
        cmocka_unit_test(test_replaced_while_closing),
        cmocka_unit_test(test_stopped_slave),
        cmocka_unit_test(test_stop_and_wipe),
        cmocka_unit_test(test_stop_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
