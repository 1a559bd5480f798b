/* test_push.c - pushes against the vectors, and the window of ids. */
#include "push.h"
#include "sts2_ends.h"

static const struct v_push *push_named(const char *name)
{
    for (size_t i = 0; i < COUNT(push_vectors); i++)
        if (strcmp(push_vectors[i].name, name) == 0)
            return &push_vectors[i];
    fail_msg("no push %s", name);
    return NULL;
}

static void collector_init(struct end *e, const struct v_push *v)
{
    end_keys(e, v->collector);
    end_add_peer(e, v->sender_public, v->psk);
}

/* A collector of one topic: a window beside each peer. */
static enum sts_drop collect(struct end *e, struct push_window *windows, struct push *push,
                             uint8_t *payload, size_t len, struct bytes topic)
{
    enum sts_drop why = push_open(push, payload, len, topic, &e->own, &e->peers);

    if (why == STS_DROP_NONE && !push_window_take(&windows[push->sender - e->list], push->id))
        why = STS_DROP_ID;
    return why;
}

static void assert_dropped(struct end *e, struct push_window *windows, struct bytes bytes,
                           struct bytes topic)
{
    struct push push;
    struct push_window before[2];
    struct end was = *e;
    uint8_t *payload = block(bytes);

    memcpy(before, windows, sizeof before);
    assert_int_not_equal(collect(e, windows, &push, payload, bytes.len, topic), STS_DROP_NONE);
    assert_memory_equal(before, windows, sizeof before);
    assert_memory_equal(&was, e, sizeof was);
    free(payload);
}

static void assert_taken(struct end *e, struct push_window *windows, struct bytes bytes,
                         struct bytes topic, struct bytes data)
{
    struct push push;
    uint8_t *payload = block(bytes);

    assert_int_equal(collect(e, windows, &push, payload, bytes.len, topic), STS_DROP_NONE);
    assert_bytes(push.data, data);
    free(payload);
}

static void test_vectors(void **state)
{
    (void)state;
    assert_int_equal(COUNT(push_vectors), 3);
    for (size_t i = 0; i < COUNT(push_vectors); i++) {
        const struct v_push *v = &push_vectors[i];
        struct end sender, collector;
        struct push push;
        uint8_t *out = malloc(v->bytes.len);
        struct wr w = wr_over(out, v->bytes.len);

        end_keys(&sender, v->sender);
        end_add_peer(&sender, v->collector_public, v->psk);
        assert_memory_equal(sender.list[0].ss, v->ss.p, 32);
        assert_int_equal(
            push_seal(&w, &sender.own, sender.list, v->ephemeral.p, v->id, v->topic, v->data), 0);
        assert_bytes((struct bytes){out, v->bytes.len}, v->bytes);
        collector_init(&collector, v);
        assert_int_equal(
            push_open(&push, out, v->bytes.len, v->topic, &collector.own, &collector.peers),
            STS_DROP_NONE);
        assert_int_equal(push.id, v->id);
        assert_ptr_equal(push.sender, collector.list);
        assert_bytes(push.data, v->data);
        free(out);
    }
}

/* The hash of the handshake, which push_seal keeps to itself. */
static void test_vector_hashes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(push_vectors); i++) {
        const struct v_push *v = &push_vectors[i];
        struct end collector;
        struct first first;
        uint8_t *payload = block(v->bytes);

        collector_init(&collector, v);
        assert_int_equal(first_read(&first, STS_PUSH, payload, v->bytes.len, v->topic,
                                    &collector.own, &collector.peers),
                         STS_DROP_NONE);
        assert_memory_equal(first.noise.h, v->hash.p, 32);
        free(payload);
    }
}

/* The data may stand where it goes. */
static void test_seal_in_place(void **state)
{
    const struct v_push *v = push_named("push-psk");
    struct end sender;
    uint8_t *out = malloc(v->bytes.len);
    struct wr w = wr_over(out, v->bytes.len);

    (void)state;
    end_keys(&sender, v->sender);
    end_add_peer(&sender, v->collector_public, v->psk);
    memcpy(out + FIRST_HEAD_BYTES + 8, v->data.p, v->data.len);
    assert_int_equal(push_seal(&w, &sender.own, sender.list, v->ephemeral.p, v->id, v->topic,
                               (struct bytes){out + FIRST_HEAD_BYTES + 8, v->data.len}),
                     0);
    assert_bytes((struct bytes){out, v->bytes.len}, v->bytes);
    free(out);
}

static void test_seal_refusals(void **state)
{
    static uint8_t room[FIRST_BYTES + MESSAGE_MAX_BYTES + 1], data[MESSAGE_MAX_BYTES + 1];
    const struct v_push *v = push_named("push-psk-zero");
    struct end sender;
    struct wr w = wr_over(room, sizeof room);
    uint8_t *start = w.p;

    (void)state;
    end_keys(&sender, v->sender);
    end_add_peer(&sender, v->collector_public, v->psk);
    assert_int_equal(push_seal(&w, &sender.own, sender.list, v->ephemeral.p, 0, v->topic, v->data),
                     STS_ERR_ID);
    assert_int_equal(push_seal(&w, &sender.own, sender.list, v->ephemeral.p, UINT64_C(1) << 63,
                               v->topic, v->data),
                     STS_ERR_ID);
    assert_int_equal(push_seal(&w, &sender.own, sender.list, v->ephemeral.p, 1, v->topic,
                               (struct bytes){data, MESSAGE_MAX_BYTES + 1}),
                     STS_ERR_LONG);
    assert_ptr_equal(w.p, start);
    for (size_t size = 0; size < v->bytes.len; size++) {
        uint8_t *small = malloc(size + 1);

        memset(small, 0xa5, size + 1);
        w = wr_over(small, size);
        assert_int_equal(
            push_seal(&w, &sender.own, sender.list, v->ephemeral.p, 1, v->topic, v->data),
            STS_ERR_ROOM);
        assert_ptr_equal(w.p, small);
        assert_false(w.bad);
        for (size_t i = 0; i <= size; i++)
            assert_int_equal(small[i], 0xa5);
        free(small);
    }
    /* A peer of low order that nobody refused before. */
    w = wr_over(room, sizeof room);
    memset(&sender.list[0], 0, sizeof sender.list[0]);
    assert_int_equal(push_seal(&w, &sender.own, sender.list, v->ephemeral.p, 1, v->topic, v->data),
                     STS_ERR_CRYPTO);
    assert_ptr_equal(w.p, start);
}

/* The longest message, and the highest id. */
static void test_largest(void **state)
{
    static uint8_t room[FIRST_BYTES + MESSAGE_MAX_BYTES + 1], data[MESSAGE_MAX_BYTES];
    const struct v_push *v = push_named("push-psk-zero");
    struct end sender, collector;
    struct push push;
    struct wr w = wr_over(room, FIRST_BYTES + MESSAGE_MAX_BYTES);

    (void)state;
    end_keys(&sender, v->sender);
    end_add_peer(&sender, v->collector_public, v->psk);
    collector_init(&collector, v);
    memset(data, 0x5a, sizeof data);
    assert_int_equal(push_seal(&w, &sender.own, sender.list, v->ephemeral.p, STS_ID_MAX, v->topic,
                               (struct bytes){data, sizeof data}),
                     0);
    assert_int_equal(
        push_open(&push, room, sizeof room, v->topic, &collector.own, &collector.peers),
        STS_DROP_FORM);
    assert_int_equal(
        push_open(&push, room, sizeof room - 1, v->topic, &collector.own, &collector.peers),
        STS_DROP_NONE);
    assert_int_equal(push.id, STS_ID_MAX);
    assert_bytes(push.data, (struct bytes){data, sizeof data});
}

/* Ids that no sender of ours makes, under a correct seal. */
static void test_id_out_of_range(void **state)
{
    static const uint64_t ids[] = {0, UINT64_C(1) << 63, UINT64_MAX};
    const struct v_push *v = push_named("push-psk-zero");
    struct end sender, collector;

    (void)state;
    end_keys(&sender, v->sender);
    end_add_peer(&sender, v->collector_public, v->psk);
    collector_init(&collector, v);
    for (size_t i = 0; i < COUNT(ids); i++) {
        const struct noise_peer known = {sender.list[0].ss, sender.list[0].psk};
        uint8_t id[8], room[FIRST_BYTES];
        struct wr id_out = wr_over(id, sizeof id), out = wr_over(room, sizeof room);
        struct noise noise;
        struct push push;

        wr_be64(&id_out, ids[i]);
        wr_u8(&out, STS2_VERSION);
        wr_u8(&out, STS_PUSH);
        noise_start(&noise, NOISE_XPSK1, bytes_of("STS/2:"), v->topic, v->collector_public.p);
        assert_int_equal(noise_write_1(&noise, &out, &sender.own, v->ephemeral.p,
                                       v->collector_public.p, &known, (struct bytes){id, sizeof id},
                                       (struct bytes){NULL, 0}),
                         0);
        assert_int_equal(
            push_open(&push, room, sizeof room, v->topic, &collector.own, &collector.peers),
            STS_DROP_ID);
    }
}

static void test_negative(void **state)
{
    size_t done = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(negative_vectors); i++) {
        const struct v_negative *n = &negative_vectors[i];
        struct end e;
        struct push_window windows[2] = {{0}};
        const struct v_push *v;

        if (n->receiver != 'c')
            continue;
        v = push_named(n->of);
        collector_init(&e, v);
        for (size_t a = 0; n->after[a]; a++) {
            const struct v_push *before = push_named(n->after[a]);

            assert_taken(&e, windows, before->bytes, before->topic, before->data);
        }
        assert_dropped(&e, windows, n->bytes, n->topic);
        if (n->then)
            assert_taken(&e, windows, push_named(n->then)->bytes, push_named(n->then)->topic,
                         push_named(n->then)->data);
        done++;
    }
    assert_int_equal(done, 50);
}

/* What some of them are dropped for, so that none of the checks hides behind another. */
static void test_reasons(void **state)
{
    static const struct {
        const char *name;
        enum sts_drop why;
    } table[] = {
        {"push-unknown-key", STS_DROP_KEY},   {"push-other-collector", STS_DROP_TAG},
        {"push-wrong-psk", STS_DROP_TAG},     {"push-wrong-topic", STS_DROP_TAG},
        {"push-e-low-order-0", STS_DROP_TAG}, {"push-ik-pattern", STS_DROP_TAG},
        {"push-payload-7", STS_DROP_FORM},    {"push-id-zero", STS_DROP_ID},
        {"push-type-1", STS_DROP_FORM},       {"push-version-1", STS_DROP_FORM},
    };

    (void)state;
    for (size_t t = 0; t < COUNT(table); t++) {
        size_t i = 0;
        struct end e;
        struct push push;
        uint8_t *payload;

        while (strcmp(negative_vectors[i].name, table[t].name) != 0)
            i++;
        collector_init(&e, push_named(negative_vectors[i].of));
        payload = block(negative_vectors[i].bytes);
        assert_int_equal(push_open(&push, payload, negative_vectors[i].bytes.len,
                                   negative_vectors[i].topic, &e.own, &e.peers),
                         table[t].why);
        free(payload);
    }
}

static void test_scenarios(void **state)
{
    size_t done = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(scenario_vectors); i++) {
        const struct v_scenario *v = &scenario_vectors[i];
        struct end e;
        struct push_window windows[2] = {{0}};

        if (v->receiver != 'c')
            continue;
        end_keys(&e, v->own);
        for (size_t p = 0; p < v->peers_count; p++)
            end_add_peer(&e, v->peers[p], v->psks[p]);
        for (size_t k = 0; k < v->steps_count; k++) {
            const struct v_step *step = &v->steps[k];

            if (step->act == 'd')
                assert_dropped(&e, windows, step->bytes, step->topic);
            else
                assert_taken(&e, windows, step->bytes, step->topic, step->data);
        }
        done++;
    }
    assert_int_equal(done, 2);
}

/* Any flipped bit, any other length: dropped, and nothing has changed. */
static void test_damage(void **state)
{
    const struct v_push *v = push_named("push-psk-zero");
    struct end e;
    struct push_window windows[2] = {{0}};

    (void)state;
    collector_init(&e, v);
    for (size_t bit = 0; bit < 8 * v->bytes.len; bit++) {
        uint8_t *bad = block(v->bytes);

        bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_dropped(&e, windows, (struct bytes){bad, v->bytes.len}, v->topic);
        free(bad);
    }
    for (size_t len = 0; len < v->bytes.len; len++)
        assert_dropped(&e, windows, (struct bytes){v->bytes.p, len}, v->topic);
    assert_taken(&e, windows, v->bytes, v->topic, v->data);
    assert_dropped(&e, windows, v->bytes, v->topic);
}

/* ---- the window ---- */

static void assert_window_kept(const struct push_window *w)
{
    uint8_t bytes[PUSH_WINDOW_BYTES];
    struct wr out = wr_over(bytes, sizeof bytes);
    struct rd in = rd_over(bytes, sizeof bytes);
    struct push_window again;

    push_window_write(w, &out);
    assert_false(out.bad);
    assert_int_equal(wr_room(&out), 0);
    push_window_read(&again, &in);
    assert_true(rd_end(&in));
    assert_memory_equal(&again, w, sizeof again);
}

/* Against the words of the protocol, played with plain lists: random ids, many of them twice. */
static void test_window_model(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 50; seed++) {
        struct push_window w = {0};
        uint64_t kept[33], floor = 0, random = seed;
        size_t count = 0;

        for (int round = 0; round < 300; round++) {
            uint64_t id;
            bool fresh;
            size_t lowest = 0;

            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            id = (uint64_t)round / 4 + (random >> 33) % 60;
            fresh = id > floor;
            for (size_t i = 0; i < count; i++)
                fresh = fresh && kept[i] != id;
            assert_int_equal(push_window_take(&w, id), fresh);
            if (fresh)
                kept[count++] = id;
            if (count == 33) {
                for (size_t i = 1; i < count; i++)
                    if (kept[i] < kept[lowest])
                        lowest = i;
                floor = kept[lowest];
                kept[lowest] = kept[--count];
            }
            assert_int_equal(w.floor, floor);
            assert_window_kept(&w);
        }
    }
}

static void test_window_range(void **state)
{
    struct push_window w = {0}, zero = {0};

    (void)state;
    assert_false(push_window_take(&w, 0));
    assert_false(push_window_take(&w, UINT64_C(1) << 63));
    assert_false(push_window_take(&w, UINT64_MAX));
    assert_memory_equal(&w, &zero, sizeof w);
    assert_true(push_window_take(&w, STS_ID_MAX));
    assert_false(push_window_take(&w, STS_ID_MAX));
    assert_true(push_window_take(&w, 1));
    assert_window_kept(&w);
}

/* Bytes that no window makes: refused, never mended. */
static void test_window_refusals(void **state)
{
    static const struct {
        const char *name;
        uint64_t floor, first, second, third;
    } table[] = {
        {"equal", 0, 9, 9, 0},
        {"rising", 0, 8, 9, 0},
        {"hole", 0, 9, 0, 8},
        {"hole at the start", 0, 0, 9, 0},
        {"at the floor", 8, 9, 8, 0},
        {"below the floor", 8, 9, 7, 0},
        {"floor without ids", 1, 0, 0, 0},
        {"floor and few ids", 1, 9, 8, 0},
        {"no id", 0, UINT64_C(1) << 63, 9, 8},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct push_window w = {table[i].floor, {table[i].first, table[i].second, table[i].third}};
        struct push_window zero = {0};
        uint8_t bytes[PUSH_WINDOW_BYTES];
        struct wr out = wr_over(bytes, sizeof bytes);
        struct rd in = rd_over(bytes, sizeof bytes);

        push_window_write(&w, &out);
        push_window_read(&w, &in);
        if (!in.bad)
            fail_msg("%s was read", table[i].name);
        assert_memory_equal(&w, &zero, sizeof w);
        in = rd_over(bytes, sizeof bytes - 1);
        push_window_read(&w, &in);
        assert_true(in.bad);
    }
}

/* The same of a window that is full: its lowest id is above the floor. */
static void test_window_full(void **state)
{
    struct push_window w = {0}, got;

    (void)state;
    for (uint64_t id = 1; id <= 40; id++)
        assert_true(push_window_take(&w, id));
    assert_int_equal(w.floor, 8);
    for (uint64_t floor = 7; floor <= 11; floor++) {
        uint8_t bytes[PUSH_WINDOW_BYTES];
        struct wr out = wr_over(bytes, sizeof bytes);
        struct rd in = rd_over(bytes, sizeof bytes);

        w.floor = floor;
        push_window_write(&w, &out);
        push_window_read(&got, &in);
        assert_int_equal(in.bad, floor >= 9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),         cmocka_unit_test(test_vector_hashes),
        cmocka_unit_test(test_seal_in_place),   cmocka_unit_test(test_seal_refusals),
        cmocka_unit_test(test_largest),         cmocka_unit_test(test_id_out_of_range),
        cmocka_unit_test(test_negative),        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_scenarios),       cmocka_unit_test(test_damage),
        cmocka_unit_test(test_window_model),    cmocka_unit_test(test_window_range),
        cmocka_unit_test(test_window_refusals), cmocka_unit_test(test_window_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
