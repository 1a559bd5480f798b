/* sts2_world.h - a slave and the masters it knows, for the tests of sessions in time. */
#ifndef STS_TEST_STS2_WORLD_H
#define STS_TEST_STS2_WORLD_H

#include "sts2_ends.h"

#define TO_SLAVE bytes_of("t/in")
#define TO_MASTER bytes_of("t/out")
#define MASTERS_MAX 12

static const struct bytes no_psk = {(const uint8_t[32]){0}, 32};

/* One slave, and masters that it knows; a clock; ids and randomness that are counted up. */
struct world {
    struct end slave, masters[MASTERS_MAX];
    uint64_t now_ms, id;
    uint8_t drawn;
};

static inline struct bytes key_of(const struct noise_pair *pair)
{
    return (struct bytes){pair->public_key, 32};
}

static inline void world_init(struct world *w, size_t masters)
{
    uint8_t own[32] = {100};
    struct end *s = &w->slave;

    memset(w, 0, sizeof *w);
    w->now_ms = 1000;
    end_keys(s, (struct bytes){own, 32});
    sts2_init(&s->s, &(struct sts_setup){STS_SLAVE, STS_CHACHAPOLY, TO_MASTER, TIMEOUT_MS,
                                         KEEPALIVE_MS, &s->own, &s->peers});
    for (size_t i = 0; i < masters; i++) {
        own[0] = (uint8_t)(8 * i);
        end_init(&w->masters[i], STS_MASTER, (struct bytes){own, 32}, key_of(&s->own), no_psk,
                 TO_SLAVE);
        end_add_peer(s, key_of(&w->masters[i].own), no_psk);
    }
    sts2_start(&s->s, w->now_ms);
}

/* What an end has to send now, as a block of its size; NULL: nothing. */
static inline uint8_t *pull(struct world *w, struct end *e, size_t *len)
{
    uint8_t room[128], random[32] = {++w->drawn};
    struct wr out = wr_over(room, sizeof room);
    struct sts2_fresh fresh = {{0}, ++w->id};
    int n;

    sts2_ephemeral(&e->s, fresh.ephemeral, random, fresh.id);
    n = sts2_pull(&e->s, &out, &fresh, w->now_ms);
    assert_true(n >= 0);
    *len = (size_t)n;
    return n > 0 ? block((struct bytes){room, (size_t)n}) : NULL;
}

static inline struct sts_news take(struct world *w, struct end *e, uint8_t *message, size_t len)
{
    struct sts_news news;

    sts2_take(&e->s, &news, e == &w->slave ? TO_SLAVE : TO_MASTER, message, len, w->now_ms);
    return news;
}

/* The next message of `from` is of `type`, and reaches `to`. */
static inline struct sts_news pass(struct world *w, struct end *from, struct end *to,
                                   enum sts_type type)
{
    size_t len;
    uint8_t *message = pull(w, from, &len);
    struct sts_news news;

    assert_non_null(message);
    assert_int_equal(message[1], type);
    news = take(w, to, message, len);
    free(message);
    return news;
}

/* ... is lost on the way. */
static inline void lose(struct world *w, struct end *from, enum sts_type type)
{
    size_t len;
    uint8_t *message = pull(w, from, &len);

    assert_non_null(message);
    assert_int_equal(message[1], type);
    free(message);
}

static inline void assert_nothing_due(struct end *e)
{
    enum sts_type type;

    assert_false(sts2_due(&e->s, &type));
}

static inline uint8_t *seal(struct end *e, const char *text, size_t *len)
{
    uint8_t room[128];
    struct wr out = wr_over(room, sizeof room);

    assert_int_equal(sts2_seal(&e->s, &out, bytes_of(text)), 0);
    *len = sizeof room - wr_room(&out);
    return block((struct bytes){room, *len});
}

static inline struct sts_news say(struct world *w, struct end *from, struct end *to,
                                  const char *text)
{
    size_t len;
    uint8_t *message = seal(from, text, &len);
    struct sts_news news = take(w, to, message, len);

    assert_int_equal(news.event, STS_EV_TEXT);
    assert_true(bytes_equal(news.text, bytes_of(text)));
    free(message);
    return news;
}

static inline void ask(struct world *w, struct end *master)
{
    sts2_start(&master->s, w->now_ms);
    assert_int_equal(pass(w, master, &w->slave, STS_INITREQ).event, STS_EV_STARTED);
    assert_int_equal(pass(w, &w->slave, master, STS_INITACK).event, STS_EV_ESTABLISHED);
}

static inline struct sts_news establish(struct world *w, struct end *master)
{
    ask(w, master);
    return pass(w, master, &w->slave, STS_RDYACK);
}

static inline enum sts_event tick(struct world *w, struct end *e)
{
    uint64_t due = sts2_deadline(&e->s);

    assert_true(due != UINT64_MAX);
    assert_true(due >= w->now_ms);
    if (due > w->now_ms) {
        struct sts2 before = e->s;

        assert_int_equal(sts2_tick(&e->s, due - 1), STS_EV_NONE);
        assert_memory_equal(&before, &e->s, sizeof before);
    }
    w->now_ms = due;
    return sts2_tick(&e->s, due);
}

static inline void assert_wiped(const struct end *e)
{
    static const struct link no_link;
    static const struct sts2_attempt no_attempt;
    static const struct sts2_pending no_pending[STS2_PENDING_MAX];

    assert_memory_equal(&e->s.link, &no_link, sizeof no_link);
    assert_memory_equal(&e->s.attempt, &no_attempt, sizeof no_attempt);
    assert_memory_equal(e->s.pending, no_pending, sizeof no_pending);
}

#endif
