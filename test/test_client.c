/* test_client.c - a broker connection: what it sends, when it is lost, and when it comes back. */
#include "client_bench.h"

/* ---- order ---- */

static void connect_publish_and_ping_leave_in_one_write(void **state)
{
    (void)state;
    start((struct client_use){.early = true});
    publish(0, 'x', 5);
    client_confirm(&c);
    for (int i = 0; i < 50 && c.state != CLIENT_GREETING; i++) {
        turn(1);
        client_next(&c, &event, now);
    }
    client_io(&c, 0, now);
    assert_int_equal(net.writes, 1);
    (void)expect_packet(0x10);
    (void)expect_publish(0x30);
    (void)expect_packet(0xc0);
    assert_false(client_settled(&c));
    send_connack(false);
    expect_event(CLIENT_EV_CONNECTED);
    SEND(0xd0, 0);
    expect_quiet();
    assert_true(client_settled(&c));
    client_disconnect(&c, now);
    expect_event(CLIENT_EV_CLOSED);
    broker_turn();
    (void)expect_packet(0xe0);
    expect_no_packet();
    assert_false(c.qos0_lost);
}

/* QoS 0 leaves the ring once it is written, and counts all the same. */
static void only_so_many_are_early(void **state)
{
    for (uint8_t qos = 0; qos < 2; qos++) {
        (void)state;
        start((struct client_use){.early = true});
        for (int i = 0; i < CLIENT_EARLY_MAX + 5; i++)
            publish(qos, 'x', 5);
        client_confirm(&c);
        (void)expect_packet(0x10);
        for (int i = 0; i < CLIENT_EARLY_MAX; i++)
            (void)expect_publish((uint8_t)(0x30 | qos << 1));
        publish(qos, 'x', 5);
        expect_no_packet();
        assert_false(client_events(&c) & POLLOUT); /* the caller would not come to rest */
        send_connack(false);
        expect_event(CLIENT_EV_CONNECTED);
        for (int i = 0; i < 5 + 1; i++)
            (void)expect_publish((uint8_t)(0x30 | qos << 1));
        if (qos == 0)
            (void)expect_packet(0xc0);
        client_abort(&c);
        broker_close();
    }
}

/* Nor does DISCONNECT wait for those that may not leave any more. */
static void disconnect_is_behind_those_that_are_early(void **state)
{
    (void)state;
    start((struct client_use){.early = true});
    for (int i = 0; i < CLIENT_EARLY_MAX + 1; i++)
        publish(1, 'x', 5);
    (void)expect_packet(0x10);
    for (int i = 0; i < CLIENT_EARLY_MAX; i++)
        (void)expect_publish(0x32);
    client_disconnect(&c, now);
    (void)expect_packet(0xe0);
    send_connack(false);
    turn(0);
    expect_no_packet();
    assert_false(client_events(&c) & POLLOUT);
}

static void publish_waits_for_connack_unless_early(void **state)
{
    (void)state;
    start((struct client_use){0});
    publish(0, 'x', 5);
    client_confirm(&c);
    (void)expect_packet(0x10);
    expect_no_packet();
    send_connack(false);
    expect_event(CLIENT_EV_CONNECTED);
    (void)expect_publish(0x30);
    (void)expect_packet(0xc0);
}

/* More than one write gathers. */
static void ping_and_disconnect_are_behind_every_flight(void **state)
{
    (void)state;
    start_sender(0);
    for (int i = 0; i < CLIENT_FLIGHTS_MAX; i++)
        publish(0, 'x', 5);
    client_confirm(&c);
    for (int i = 0; i < CLIENT_FLIGHTS_MAX; i++)
        (void)expect_publish(0x30);
    (void)expect_packet(0xc0);
    for (int i = 0; i < CLIENT_FLIGHTS_MAX; i++)
        publish(0, 'x', 5);
    client_disconnect(&c, now);
    expect_event(CLIENT_EV_CLOSED);
    broker_turn();
    for (int i = 0; i < CLIENT_FLIGHTS_MAX; i++)
        (void)expect_publish(0x30);
    (void)expect_packet(0xe0);
    expect_no_packet();
}

/* Nor does DISCONNECT go with the rest of a PINGREQ that was cut off. */
static void disconnect_is_behind_flights_behind_a_cut_ping(void **state)
{
    (void)state;
    start_sender(0);
    c.ping_wanted = true;
    net.write_most = 1;
    client_io(&c, 0, now);
    net.write_most = 0;
    publish(1, 'x', 5);
    client_disconnect(&c, now);
    expect_event(CLIENT_EV_CLOSED);
    broker_turn();
    (void)expect_packet(0xc0);
    (void)expect_publish(0x32);
    (void)expect_packet(0xe0);
    expect_no_packet();
}

static void nothing_is_behind_disconnect(void **state)
{
    struct packet packet;

    (void)state;
    start_sender(0);
    publish(0, 'x', 5);
    (void)expect_publish(0x30);
    client_disconnect(&c, now);
    client_confirm(&c);
    turn(0);
    assert_true(broker_packet(&packet));
    assert_int_equal(packet.first, 0xe0);
    assert_false(broker_packet(&packet));
    assert_false(client_events(&c) & POLLOUT);
}

/* Else the broker would publish the will. */
static void disconnect_is_sent_before_connack_too(void **state)
{
    (void)state;
    start((struct client_use){0});
    (void)expect_packet(0x10);
    client_disconnect(&c, now);
    (void)expect_packet(0xe0);
    assert_int_equal(c.state, CLIENT_CLOSING);
    send_connack(false);
    broker_close();
    expect_event(CLIENT_EV_CLOSED);
    assert_int_equal(client_fd(&c), -1);
}

/* ---- QoS ---- */

static void qos1_and_2_are_settled_by_their_acknowledgements(void **state)
{
    (void)state;
    start_sender(0);
    publish(1, 'a', 5);
    publish(2, 'b', 5);
    const uint16_t a = expect_publish(0x32), b = expect_publish(0x34);
    assert_true(a != 0 && b != 0 && a != b);
    send_ack(0x50, b);
    assert_int_equal(expect_ack(0x62), b);
    send_ack(0x70, b);
    expect_quiet();
    assert_false(client_settled(&c));
    send_ack(0x40, a);
    expect_quiet();
    assert_true(client_settled(&c));
    expect_no_packet();
}

/* A broker of MQTT 3.1 may repeat PUBREC at any time; an older flight keeps B's place. */
static void repeated_pubrec_is_answered_each_time(void **state)
{
    (void)state;
    start_sender(0);
    publish(2, 'a', 5);
    publish(2, 'b', 5);
    const uint16_t a = expect_publish(0x34), b = expect_publish(0x34);
    send_ack(0x50, b);
    send_ack(0x50, b);
    assert_int_equal(expect_ack(0x62), b);
    assert_int_equal(expect_ack(0x62), b);
    send_ack(0x70, b);
    send_ack(0x70, b);
    send_ack(0x50, b);
    assert_int_equal(expect_ack(0x62), b);
    send_ack(0x50, a);
    assert_int_equal(expect_ack(0x62), a);
    send_ack(0x70, a);
    expect_quiet();
    assert_true(client_settled(&c));
}

static void acknowledgements_out_of_order(void **state)
{
    uint16_t ids[CLIENT_FLIGHTS_MAX];

    (void)state;
    start_sender(0);
    for (int i = 0; i < CLIENT_FLIGHTS_MAX; i++)
        publish(1, 'x', 9);
    assert_int_equal(try_publish(1, 'x', 9), CLIENT_ERR_FULL);
    assert_false(client_room(&c, 3, 9, 1));
    for (int i = 0; i < CLIENT_FLIGHTS_MAX; i++) {
        ids[i] = expect_publish(0x32);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(ids[i], ids[k]);
    }
    for (int i = CLIENT_FLIGHTS_MAX - 1; i > 0; i--)
        send_ack(0x40, ids[(i * 37) % CLIENT_FLIGHTS_MAX]);
    expect_quiet();
    assert_false(client_room(&c, 3, 9, 1)); /* the oldest is still there */
    send_ack(0x40, ids[0]);
    expect_quiet();
    assert_true(client_settled(&c));
}

static void packet_ids_are_never_0_nor_in_use(void **state)
{
    (void)state;
    start_sender(0);
    c.next_packet_id = 0xfffe;
    for (int i = 0; i < 4; i++)
        publish(1, 'x', 1);
    assert_int_equal(expect_publish(0x32), 0xfffe);
    assert_int_equal(expect_publish(0x32), 0xffff);
    assert_int_equal(expect_publish(0x32), 1);
    assert_int_equal(expect_publish(0x32), 2);
    send_ack(0x40, 1);
    expect_quiet();
    c.next_packet_id = 0xffff;
    publish(1, 'x', 1); /* 1 keeps its place behind 0xfffe, so it is not free yet */
    assert_int_equal(expect_publish(0x32), 3);
}

static void packet_ids_beside_a_subscribe(void **state)
{
    (void)state;
    start((struct client_use){.subscribe = true});
    come_up(false);
    const uint16_t id = c.subscribe_id;
    c.next_packet_id = id;
    publish(1, 'x', 1);
    c.next_packet_id = 0;
    publish(1, 'x', 1);
    assert_int_equal(be16(expect_packet(0x82).body), id);
    assert_int_not_equal(expect_publish(0x32), id);
    assert_int_not_equal(expect_publish(0x32), 0);
}

/* ---- after a loss ---- */

static void flights_after_a_loss(void **state)
{
    static const struct {
        const char *name;
        uint8_t qos;
        bool pubrec, session;
        uint8_t again; /* first byte of what comes again */
    } cases[] = {
        {"QoS 1, session there", 1, false, true, 0x3a},
        {"QoS 1, session gone", 1, false, false, 0x3a},
        {"QoS 2, session there", 2, false, true, 0x3c},
        {"QoS 2 with PUBREC, session there", 2, true, true, 0x62},
        {"QoS 2 with PUBREC, session gone: anew", 2, true, false, 0x34},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("%s\n", cases[i].name);
        start_sender(60 * S);
        publish(cases[i].qos, 'x', 5);
        const uint16_t id = expect_publish(0x30 | (uint8_t)(cases[i].qos << 1));
        if (cases[i].pubrec) {
            send_ack(0x50, id);
            assert_int_equal(expect_ack(0x62), id);
        }
        lose_and_come_back(cases[i].session);
        if (cases[i].again == 0x62)
            assert_int_equal(expect_ack(0x62), id);
        else
            assert_int_equal(expect_publish(cases[i].again), id);
        expect_no_packet();
        if (cases[i].qos == 2 && cases[i].again != 0x62) {
            send_ack(0x50, id);
            assert_int_equal(expect_ack(0x62), id);
        }
        send_ack(cases[i].qos == 1 ? 0x40 : 0x70, id);
        expect_quiet();
        assert_true(client_settled(&c));
        client_abort(&c);
        broker_close();
    }
}

static void what_begins_anew_has_no_dup_from_before(void **state)
{
    (void)state;
    start_sender(60 * S);
    publish(2, 'x', 5);
    const uint16_t id = expect_publish(0x34);
    lose_and_come_back(true);
    (void)expect_publish(0x3c);
    send_ack(0x50, id);
    (void)expect_ack(0x62);
    lose_and_come_back(false);
    assert_int_equal(expect_publish(0x34), id);
}

/* What was cut off, or never left, is no duplicate. */
static void a_flight_that_never_left_whole_has_no_dup(void **state)
{
    (void)state;
    start_sender(60 * S);
    net.write_most = 4;
    publish(1, 'x', 5);
    client_io(&c, 0, now);
    net.write_most = 0;
    lose_and_come_back(false);
    (void)expect_publish(0x32);
}

static void qos0_that_was_not_confirmed_may_be_lost(void **state)
{
    (void)state;
    start_sender(60 * S);
    publish(0, 'x', 5);
    (void)expect_publish(0x30);
    assert_false(client_settled(&c));
    lose_and_come_back(false);
    assert_true(c.qos0_lost);
    expect_no_packet();
}

/* Between CONNACK and the PUBLISH that comes again. */
static void pubrec_before_the_publish_comes_again(void **state)
{
    (void)state;
    start_sender(60 * S);
    publish(2, 'x', 5);
    const uint16_t id = expect_publish(0x34);
    broker_close();
    expect_event(CLIENT_EV_LOST);
    now += event.u.failure.wait_ms;
    (void)expect_packet(0x10);
    SEND(0x20, 2, 1, 0, 0x50, 2, (uint8_t)(id >> 8), (uint8_t)id);
    expect_event(CLIENT_EV_CONNECTED);
    assert_int_equal(expect_publish(0x3c), id);
    send_ack(0x50, id);
    assert_int_equal(expect_ack(0x62), id);
    send_ack(0x70, id);
    expect_quiet();
    assert_true(client_settled(&c));
}

/* ---- the ring ---- */

static uint32_t draw(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Each PUBLISH comes whole and unharmed, whatever the sizes and the order of their going. */
static void the_ring_keeps_packets_apart(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 120, 121, 16000, 16376, PAYLOAD_MAX_BYTES};
    uint32_t seed = 1, filled = 0, seen = 0;

    (void)state;
    start_sender(0);
    net.write_most = 5000;
    while (seen < 1500) {
        const size_t len = sizes[draw(&seed) % (sizeof sizes / sizeof sizes[0])];
        const uint8_t qos = (uint8_t)(draw(&seed) % 2);
        if (filled < 1500 && try_publish(qos, (char)(filled % 251), len) == 0)
            filled++;
        for (uint32_t i = 0; i < CLIENT_FLIGHTS_MAX; i++)
            assert_true(c.flights[i].start + c.flights[i].len <= CLIENT_RING_BYTES);
        client_next(&c, &event, now);
        assert_int_equal(event.type, CLIENT_EV_NONE);
        turn(0);
        if (filled < 1500 && draw(&seed) % 4 != 0)
            continue;
        for (struct packet packet; broker_packet(&packet); seen++) {
            const size_t head = 2 + 3 + (packet.first & 2 ? 2 : 0);
            assert_int_equal(packet.first & ~2, 0x30);
            for (size_t i = head; i < packet.len; i++)
                assert_int_equal(packet.body[i], (uint8_t)(seen % 251));
            if (packet.first & 2)
                send_ack(0x40, be16(packet.body + 5));
        }
        if (broker.pos == broker.len)
            broker.pos = broker.len = 0;
    }
    expect_quiet();
    assert_int_equal(c.flight_head, c.flight_tail);
}

static void the_largest_fits_beside_small_ones_only(void **state)
{
    struct wr payload;

    (void)state;
    start_sender(0);
    publish(1, 'x', PAYLOAD_MAX_BYTES);
    assert_int_equal(try_publish(1, 'y', PAYLOAD_MAX_BYTES), CLIENT_ERR_FULL);
    publish(1, 's', 1000);
    send_ack(0x40, expect_publish(0x32));
    const uint16_t small = expect_publish(0x32);
    expect_quiet();
    send_ack(0x40, small);
    expect_quiet();
    assert_int_equal(
        client_publish(&c, &payload, bytes_of("top"), PAYLOAD_MAX_BYTES, 1, false, now), 0);
    memset(wr_claim(&payload, 3), 's', 3);
    client_abandon(&c);
    publish(1, 'z', PAYLOAD_MAX_BYTES);
    const struct packet packet = expect_packet(0x32);
    assert_int_equal(packet.body[packet.len - 1], 'z');
}

/* ---- short writes ---- */

/* Everything that a connection sends, in an order that does not depend on how it is cut. */
static void send_everything(size_t write_most)
{
    static const uint8_t firsts[] = {0x10, 0x82, 0x40, 0x30, 0x32, 0x34, 0x30, 0xe0};

    start((struct client_use){.subscribe = true});
    net.write_most = write_most;
    (void)expect_packet(firsts[0]);
    SEND(0x20, 2, 0, 0, 0x32, 6, 0, 1, 't', 0, 9, 'x');
    expect_event(CLIENT_EV_CONNECTED);
    publish(0, 'a', 3);
    publish(1, 'b', 200);
    expect_event(CLIENT_EV_MESSAGE);
    client_taken(&c);
    client_release(&c);
    publish(2, 'c', 0);
    publish(0, 'd', 1);
    for (int i = 0; i < 2; i++)
        turn(0);
    client_disconnect(&c, now);
    for (size_t i = 1; i < sizeof firsts; i++)
        (void)expect_packet(firsts[i]);
    expect_no_packet();
    client_abort(&c);
    broker_close();
}

static void packets_are_never_interleaved(void **state)
{
    (void)state;
    for (size_t most = 1; most < 300; most++)
        send_everything(most);
}

/* What is queued while a packet is cut off goes behind that packet, in each combination. */
static void what_is_queued_meanwhile_waits(void **state)
{
    struct packet packet;

    (void)state;
    for (size_t cut = 1; cut < 40; cut++) {
        unsigned counts[16] = {0};
        start_receiver();
        send_publish(0x02, 1, 'x', 1);
        expect_message('x', 1);
        client_release(&c);
        publish(1, 'a', 3);
        publish(2, 'b', 3);
        c.ping_wanted = true;
        net.write_most = cut;
        client_io(&c, 0, now);
        send_ack(0x50, 999); /* PUBREL comes of it */
        send_publish(0x02, 2, 'y', 1);
        expect_event(CLIENT_EV_MESSAGE);
        client_taken(&c);
        client_release(&c);
        publish(0, 'c', 3);
        expect_quiet();
        net.write_most = 3;
        for (int i = 0; i < 60; i++)
            expect_quiet();
        while (broker_packet(&packet))
            counts[packet.first >> 4]++;
        assert_int_equal(broker.pos, broker.len);
        assert_true(counts[3] == 3 && counts[4] == 2 && counts[6] == 1 && counts[12] == 1);
        net.write_most = 0;
        client_abort(&c);
        broker_close();
    }
}

/* With a reader that stalls, nothing spins and nothing is lost. */
static void a_stalled_reader(void **state)
{
    const int small = 4096;
    unsigned given = 0, seen = 0;

    (void)state;
    start_sender(0);
    assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    broker.stalled = true;
    while (!c.blocked || client_room(&c, 3, 16000, 0)) {
        given += try_publish(0, 'x', 16000) == 0;
        turn(0);
    }
    expect_quiet();
    struct pollfd fd = {.fd = client_fd(&c), .events = client_events(&c)};
    assert_int_equal(poll(&fd, 1, 0), 0);
    broker.stalled = false;
    for (struct packet packet; seen < given; turn(1))
        while (broker_packet(&packet)) {
            assert_int_equal(packet.first, 0x30);
            assert_int_equal(packet.len, 2 + 3 + 16000);
            seen++;
        }
    assert_int_equal(c.flight_head, c.flight_tail);
}

/* ---- keepalive ---- */

static void at(uint64_t due)
{
    assert_true(client_deadline(&c) == due);
    now = due - 1;
    expect_no_packet();
    now = due;
}

static void ping_after_silence_of_either_side(void **state)
{
    (void)state;
    start_receiver();
    at(now + KEEPALIVE_S * S);
    (void)expect_packet(0xc0);
    SEND(0xd0, 0);
    expect_quiet();
    now += 20 * S;
    publish(0, 'x', 1); /* sent, but nothing received */
    (void)expect_publish(0x30);
    at(now + (KEEPALIVE_S - 20) * S);
    (void)expect_packet(0xc0);
    SEND(0xd0, 0);
    expect_quiet();
    now += 20 * S;
    send_publish(0x00, 0, 'x', 1); /* received, but nothing sent */
    expect_message('x', 1);
    at(now + (KEEPALIVE_S - 20) * S);
    (void)expect_packet(0xc0);
}

static void no_keepalive_no_ping(void **state)
{
    (void)state;
    conf.keepalive_s = 0;
    start_receiver();
    assert_true(client_deadline(&c) == UINT64_MAX);
    now += 1000 * 1000 * S;
    expect_no_packet();
}

static void a_broker_that_does_not_answer_is_dead(void **state)
{
    (void)state;
    start_receiver();
    at(now + KEEPALIVE_S * S);
    (void)expect_packet(0xc0);
    at(now + TIMEOUT_S * S);
    expect_event(CLIENT_EV_LOST);
    assert_int_equal(event.u.failure.err, CLIENT_ERR_DEAD);
}

/* [MQTT-3.1.2-23], with a keepalive shorter than the time an answer may take. */
static void pings_go_on_while_one_is_unanswered(void **state)
{
    uint64_t begin;

    (void)state;
    conf.keepalive_s = 10;
    start_receiver();
    begin = now;
    at(begin + 10 * S);
    (void)expect_packet(0xc0);
    at(begin + 20 * S);
    (void)expect_packet(0xc0);
    at(begin + 30 * S);
    (void)expect_packet(0xc0);
    now = begin + 40 * S;
    expect_event(CLIENT_EV_LOST);
    assert_int_equal(event.u.failure.err, CLIENT_ERR_DEAD);
}

/* While paused two PINGREQ go out; the first PINGRESP says nothing of what left in between. */
static void only_the_right_pingresp_confirms(void **state)
{
    (void)state;
    start_sender(0);
    client_pause(&c, true, now);
    at(now + KEEPALIVE_S * S);
    (void)expect_packet(0xc0);
    at(now + KEEPALIVE_S * S);
    (void)expect_packet(0xc0);
    SEND(0xd0, 0);
    client_pause(&c, false, now);
    expect_quiet();
    publish(0, 'x', 1);
    client_confirm(&c);
    (void)expect_publish(0x30);
    SEND(0xd0, 0);
    expect_quiet();
    assert_false(client_settled(&c));
    client_confirm(&c);
    (void)expect_packet(0xc0);
    publish(0, 'y', 1); /* behind it */
    (void)expect_publish(0x30);
    SEND(0xd0, 0);
    expect_quiet();
    assert_false(client_settled(&c));
    client_confirm(&c);
    (void)expect_packet(0xc0);
    SEND(0xd0, 0);
    expect_quiet();
    assert_true(client_settled(&c));
}

/* What else comes in does not make up for a missing confirmation. */
static void a_missing_confirmation_is_noticed(void **state)
{
    (void)state;
    start_sender(0);
    publish(0, 'x', 1);
    client_confirm(&c);
    (void)expect_publish(0x30);
    (void)expect_packet(0xc0);
    for (int i = 0; i < TIMEOUT_S - 1; i++) {
        now += S;
        send_publish(0x00, 0, 'x', 1);
        expect_quiet();
    }
    now += S;
    expect_event(CLIENT_EV_FAILED);
    assert_int_equal(event.u.failure.err, CLIENT_ERR_NO_ACK);
}

/* client_next may not be called while a message is out: client_io alone has to do. */
static void a_paused_connection_lives_on(void **state)
{
    struct packet packet;
    uint64_t last;

    (void)state;
    start_receiver();
    publish(1, 'p', 1);
    const uint16_t id = expect_publish(0x32);
    send_publish(0x02, 1, 'x', 1);
    send_publish(0x02, 2, 'y', 1);
    expect_event(CLIENT_EV_MESSAGE);
    client_pause(&c, true, now);
    last = c.last_tx_ms;
    for (int i = 0; i < 10; i++) {
        assert_true(client_deadline(&c) == last + KEEPALIVE_S * S);
        last = now = client_deadline(&c);
        turn(0);
        turn(0);
        assert_true(client_deadline(&c) > now);
        assert_true(broker_packet(&packet));
        assert_int_equal(packet.first, 0xc0);
        SEND(0xd0, 0);
    }
    assert_int_equal(client_events(&c), 0);
    send_ack(0x40, id);
    now += 59 * S;
    client_pause(&c, false, now);
    client_taken(&c);
    client_next(&c, &event, now); /* before anything is read: nobody is dead */
    assert_int_equal(event.type, CLIENT_EV_MESSAGE);
    client_taken(&c);
    expect_quiet();
    assert_true(client_settled(&c));
    assert_int_equal(c.pings, 0);
}

static void silence_counts_from_the_end_of_a_pause(void **state)
{
    (void)state;
    start_sender(0);
    publish(1, 'p', 1);
    const uint16_t id = expect_publish(0x32);
    client_pause(&c, true, now);
    now += TIMEOUT_S * S + 1;
    client_pause(&c, false, now);
    assert_true(client_deadline(&c) > now);
    client_next(&c, &event, now);
    assert_int_equal(event.type, CLIENT_EV_NONE);
    send_ack(0x40, id);
    expect_quiet();
    assert_true(client_settled(&c));
}

static void a_paused_connection_waits_for_suback(void **state)
{
    (void)state;
    start((struct client_use){.subscribe = true});
    come_up(false);
    const struct packet suback = expect_packet(0x82);
    send_publish(0x02, 1, 'x', 1);
    expect_event(CLIENT_EV_MESSAGE);
    client_pause(&c, true, now);
    assert_true(client_deadline(&c) > now + TIMEOUT_S * S);
    now += TIMEOUT_S * S;
    turn(0);
    SEND(0x90, 3, suback.body[0], suback.body[1], 1);
    client_pause(&c, false, now);
    client_taken(&c);
    expect_event(CLIENT_EV_SUBSCRIBED);
}

/* ---- time limits ---- */

static void each_step_has_its_limit(void **state)
{
    static const struct {
        const char *name;
        bool subscribe, connack;
        uint8_t qos; /* of a PUBLISH; 3: none */
        int err;
    } cases[] = {
        {"CONNACK", true, false, 3, CLIENT_ERR_NO_CONNACK},
        {"SUBACK", true, true, 3, CLIENT_ERR_NO_SUBACK},
        {"PUBACK", false, true, 1, CLIENT_ERR_NO_ACK},
        {"PUBREC", false, true, 2, CLIENT_ERR_NO_ACK},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("%s\n", cases[i].name);
        start((struct client_use){.subscribe = cases[i].subscribe});
        (void)expect_packet(0x10);
        if (cases[i].connack) {
            send_connack(false);
            expect_event(CLIENT_EV_CONNECTED);
        }
        if (cases[i].qos < 3)
            publish(cases[i].qos, 'x', 1);
        expect_quiet();
        assert_true(client_deadline(&c) == now + TIMEOUT_S * S);
        now += TIMEOUT_S * S - 1;
        if (cases[i].qos < 3) /* an answer to nothing brings nothing forward */
            SEND(0x70, 2, 0xf0, 0xf0);
        expect_quiet();
        now++;
        expect_event(CLIENT_EV_FAILED);
        assert_int_equal(event.u.failure.err, cases[i].err);
        broker_close();
    }
}

static void pubrec_again_and_again_is_no_progress(void **state)
{
    (void)state;
    start_sender(0);
    publish(2, 'x', 1);
    const uint16_t id = expect_publish(0x34);
    send_ack(0x50, id);
    assert_int_equal(expect_ack(0x62), id);
    for (int i = 0; i < TIMEOUT_S - 1; i++) {
        now += S;
        send_ack(0x50, id);
        assert_int_equal(expect_ack(0x62), id);
    }
    now += S;
    expect_event(CLIENT_EV_FAILED);
    assert_int_equal(event.u.failure.err, CLIENT_ERR_NO_ACK);
}

/* A receiver's PINGREQ never gets into the socket, so nothing waits for its answer. */
static void a_socket_that_takes_nothing(void **state)
{
    (void)state;
    start_receiver();
    send_publish(0x02, 1, 'x', 1);
    expect_message('x', 1);
    net.write_error = EAGAIN;
    client_release(&c);
    turn(0);
    assert_true(c.blocked);
    now += TIMEOUT_S * S;
    client_next(&c, &event, now);
    assert_int_equal(event.type, CLIENT_EV_LOST);
    assert_int_equal(event.u.failure.err, CLIENT_ERR_NETWORK);
    assert_int_equal(event.u.failure.detail, ETIMEDOUT);
}

static void closing_waits_for_the_broker_and_not_long(void **state)
{
    (void)state;
    start_receiver();
    client_disconnect(&c, now);
    (void)expect_packet(0xe0);
    assert_true(client_deadline(&c) == now + CLIENT_LINGER_MS);
    send_publish(0x00, 0, 'x', 1); /* nobody's */
    now += CLIENT_LINGER_MS - 1;
    expect_quiet();
    now++;
    expect_event(CLIENT_EV_CLOSED);
    assert_true(client_deadline(&c) == UINT64_MAX);
    assert_int_equal(next_in(2), CLIENT_EV_NONE);
}

/* ---- lost, and found again ---- */

static void the_first_connect_is_tried_once(void **state)
{
    (void)state;
    broker_close();
    close(broker.listener);
    start((struct client_use){.subscribe = true, .give_up_ms = UINT64_MAX});
    expect_event(CLIENT_EV_FAILED);
    assert_int_equal(event.u.failure.err, CLIENT_ERR_CONNECT);
    /* qemu-user gives a MIPS program the number that x86 and ARM have for it. */
    assert_true(event.u.failure.detail == ECONNREFUSED || event.u.failure.detail == 111);
    broker_listen();
}

/* There are brokers that close the connection instead of refusing a subscription. */
static void the_first_subscription_is_tried_twice(void **state)
{
    (void)state;
    for (int subscribed = 0; subscribed < 2; subscribed++) {
        start((struct client_use){.subscribe = true, .give_up_ms = UINT64_MAX});
        for (int connection = 1; connection <= 3; connection++) {
            come_up(false);
            const struct packet packet = expect_packet(0x82);
            if (subscribed && connection == 2) {
                SEND(0x90, 3, packet.body[0], packet.body[1], 1);
                expect_event(CLIENT_EV_SUBSCRIBED);
            }
            broker_close();
            if (!subscribed && connection == 2) {
                expect_event(CLIENT_EV_FAILED);
                assert_int_equal(event.u.failure.err, CLIENT_ERR_CLOSED);
                break;
            }
            expect_event(CLIENT_EV_LOST);
            now += event.u.failure.wait_ms;
        }
        client_abort(&c);
    }
}

/* A connection that does not come about is not a refusal, and what was before it counts no more. */
static void subscriptions_in_vain_count_in_a_row(void **state)
{
    (void)state;
    start((struct client_use){.subscribe = true, .give_up_ms = UINT64_MAX});
    for (int turn = 0; turn < 3; turn++) {
        come_up(false);
        (void)expect_packet(0x82);
        broker_close();
        expect_event(CLIENT_EV_LOST);
        now += event.u.failure.wait_ms;
        (void)expect_packet(0x10);
        broker_close();
        expect_event(CLIENT_EV_LOST);
        now += event.u.failure.wait_ms;
    }
    client_abort(&c);
}

static void a_patient_one_tries_the_first_connect_again(void **state)
{
    (void)state;
    broker_close();
    close(broker.listener);
    start((struct client_use){.early = true, .patient = true, .give_up_ms = UINT64_MAX});
    publish(1, 'x', 5);
    for (int i = 0; i < 5; i++) {
        expect_event(CLIENT_EV_LOST);
        assert_int_equal(event.u.failure.err, CLIENT_ERR_CONNECT);
        assert_int_equal(c.state, CLIENT_WAITING);
        now += event.u.failure.wait_ms;
    }
    broker_listen();
    conf.port = broker.port;
    (void)expect_packet(0x10);
    (void)expect_publish(0x32);
    client_abort(&c);
}

/* Section 3.1.2.4: the QoS 2 flows of an earlier run would stay with the broker for ever. */
static void an_earlier_session_is_forgotten_first(void **state)
{
    (void)state;
    conf.clean_session = false;
    strcpy(conf.clientid.text, "me");
    conf.clientid.set = true;
    strcpy(conf.will_topic.text, "w");
    conf.will_topic.set = true;
    start((struct client_use){.early = true, .forget = true, .give_up_ms = UINT64_MAX});
    publish(2, 'x', 5);
    struct packet packet = expect_packet(0x10);
    assert_int_equal(packet.body[7], 0x02); /* clean session, and no will */
    expect_no_packet();                     /* what is to be sent is not for this connection */
    send_connack(false);
    expect_quiet();
    (void)expect_packet(0xe0);
    broker_close();
    packet = expect_packet(0x10);
    assert_int_equal(packet.body[7], 0x04); /* a session that is kept, and the will */
    (void)expect_publish(0x34);
    send_connack(false);
    expect_event(CLIENT_EV_CONNECTED);
    /* Only the first time: what comes now is this run's. */
    broker_close();
    expect_event(CLIENT_EV_LOST);
    now += event.u.failure.wait_ms;
    packet = expect_packet(0x10);
    assert_int_equal(packet.body[7], 0x04);
    send_connack(true);
    expect_event(CLIENT_EV_CONNECTED);
    (void)expect_publish(0x3c);
}

static void a_flight_is_shown_until_it_is_acknowledged(void **state)
{
    struct mqtt_publish shown;

    (void)state;
    start_sender(UINT64_MAX);
    publish(1, 'a', 5);
    publish(2, 'b', 7);
    const uint16_t a = expect_publish(0x32), b = expect_publish(0x34);
    assert_int_equal(c.flight_tail - c.flight_head, 2);
    assert_true(client_in_flight(&c, c.flight_head + 1, &shown));
    assert_int_equal(shown.payload.len, 7);
    assert_int_equal(shown.payload.p[6], 'b');
    assert_int_equal(shown.packet_id, b);
    send_ack(0x50, b);
    (void)expect_ack(0x62);
    assert_true(client_in_flight(&c, c.flight_head + 1, &shown));
    send_ack(0x70, b);
    expect_quiet();
    /* It is done, but behind one that is not. */
    assert_int_equal(c.flight_tail - c.flight_head, 2);
    assert_false(client_in_flight(&c, c.flight_head + 1, &shown));
    assert_true(client_in_flight(&c, c.flight_head, &shown));
    assert_int_equal(shown.packet_id, a);
    send_ack(0x40, a);
    expect_quiet();
    assert_int_equal(c.flight_tail, c.flight_head);
}

static void what_a_loss_leads_to(void **state)
{
    static const struct {
        const char *name;
        uint64_t give_up_ms;
        uint8_t connack; /* of the second connection */
        bool lost_again; /* the second failure is not the end */
    } cases[] = {
        {"no second try", 0, 0, false},
        {"unavailable for now", UINT64_MAX, 3, true},
        {"unavailable for too long", 1, 3, false},
        {"bad password", UINT64_MAX, 4, false},
        {"not authorized", UINT64_MAX, 5, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("%s\n", cases[i].name);
        start_sender(cases[i].give_up_ms);
        broker_close();
        if (cases[i].give_up_ms > 0) {
            expect_event(CLIENT_EV_LOST);
            assert_int_equal(event.u.failure.err, CLIENT_ERR_CLOSED);
            assert_true(event.u.failure.wait_ms <= cases[i].give_up_ms);
            now += event.u.failure.wait_ms;
            (void)expect_packet(0x10);
            SEND(0x20, 2, 0, cases[i].connack);
            assert_int_equal(next_in(3000),
                             cases[i].lost_again ? CLIENT_EV_LOST : CLIENT_EV_FAILED);
            assert_int_equal(event.u.failure.err, CLIENT_ERR_REFUSED);
            assert_int_equal(event.u.failure.detail, cases[i].connack);
        } else {
            expect_event(CLIENT_EV_FAILED);
        }
        client_abort(&c);
        broker_close();
    }
}

static void the_wait_doubles_up_to_a_minute(void **state)
{
    uint64_t bound = CLIENT_BACKOFF_MIN_MS, lowest = UINT64_MAX, highest = 0;

    (void)state;
    start_receiver();
    broker_close();
    close(broker.listener);
    for (int i = 0; i < 200; i++) {
        expect_event(CLIENT_EV_LOST);
        const uint64_t wait = event.u.failure.wait_ms;
        assert_true(wait >= bound / 2 && wait <= bound);
        assert_true(client_deadline(&c) == now + wait);
        assert_int_equal(client_fd(&c), -1);
        now += wait;
        if (bound == CLIENT_BACKOFF_MAX_MS) {
            lowest = wait < lowest ? wait : lowest;
            highest = wait > highest ? wait : highest;
        }
        bound = bound * 2 < CLIENT_BACKOFF_MAX_MS ? bound * 2 : CLIENT_BACKOFF_MAX_MS;
    }
    assert_true(highest - lowest > CLIENT_BACKOFF_MAX_MS / 4); /* jitter there is */
    broker_listen();
}

/* Takes CONNECT each time, and closes at the PUBLISH behind it. */
static void a_broker_that_always_closes_is_given_up(void **state)
{
    uint64_t begin, bound = CLIENT_BACKOFF_MIN_MS;

    (void)state;
    start_sender(TIMEOUT_S * S);
    begin = now;
    publish(1, 'x', 1);
    for (uint8_t first = 0x32;; first = 0x3a) {
        (void)expect_publish(first);
        broker_close();
        assert_true(next_in(3000) == CLIENT_EV_LOST || event.type == CLIENT_EV_FAILED);
        if (event.type == CLIENT_EV_FAILED)
            break;
        assert_true(event.u.failure.wait_ms <= bound);
        bound *= 2;
        now += event.u.failure.wait_ms;
        come_up(true);
    }
    assert_true(now == begin + TIMEOUT_S * S);
}

static void a_broker_that_never_acknowledges_is_given_up(void **state)
{
    (void)state;
    start_sender(TIMEOUT_S * S);
    publish(1, 'x', 1);
    (void)expect_publish(0x32);
    now += TIMEOUT_S * S;
    expect_event(CLIENT_EV_LOST);
    assert_int_equal(event.u.failure.err, CLIENT_ERR_NO_ACK);
    broker_close();
    now += event.u.failure.wait_ms;
    come_up(true);
    (void)expect_publish(0x3a);
    now += TIMEOUT_S * S;
    expect_event(CLIENT_EV_FAILED);
    assert_int_equal(event.u.failure.err, CLIENT_ERR_NO_ACK);
}

static void a_good_connection_ends_the_loss_before_it(void **state)
{
    static const char *const goods[] = {"PUBACK", "PINGRESP", "it held for `timeout`"};

    (void)state;
    for (int good = 0; good < 3; good++) {
        print_message("%s\n", goods[good]);
        start_sender(TIMEOUT_S * S);
        for (int i = 0; i < 50; i++) {
            if (good == 0) {
                publish(1, 'x', 1);
                send_ack(0x40, expect_publish(0x32));
                now += 20 * S;
            } else if (good == 1) {
                publish(0, 'x', 1);
                client_confirm(&c);
                (void)expect_publish(0x30);
                (void)expect_packet(0xc0);
                SEND(0xd0, 0);
                now += 20 * S;
            } else {
                now += TIMEOUT_S * S;
            }
            expect_quiet();
            lose_and_come_back(false);
            assert_true(event.u.failure.wait_ms <= CLIENT_BACKOFF_MIN_MS);
        }
        client_abort(&c);
        broker_close();
    }
}

/* ---- no busy loop ---- */

/* Whatever happens: once client_next has no more to say, its deadline is ahead, or poll says so. */
static void something_is_always_ahead(void **state)
{
    unsigned ups = 0, losses = 0;
    uint32_t seed = 7;

    (void)state;
    broker.careless = true;
    for (int run = 0; run < 100; run++) {
        start((struct client_use){
            .subscribe = run % 2, .early = run % 3 == 0, .give_up_ms = run % 5 ? 60 * S : 0});
        for (int i = 0; i < 600; i++) {
            for (int k = 0; k < 50; k++) {
                client_next(&c, &event, now);
                client_taken(&c);
                if (event.type == CLIENT_EV_NONE)
                    break;
                ups += event.type == CLIENT_EV_CONNECTED;
                losses += event.type == CLIENT_EV_LOST;
                assert_int_not_equal(k, 49);
            }
            while (c.fd < 0 && broker.fd >= 0) {
                broker_close();
                broker_turn();
            }
            client_io(&c, 0, now);
            if (c.fd >= 0 && client_deadline(&c) <= now) {
                struct pollfd fd = {.fd = client_fd(&c), .events = client_events(&c)};
                assert_int_equal(poll(&fd, 1, 0), 1);
            }
            struct packet packet;
            switch (draw(&seed) % 16) {
            case 0:
                now += draw(&seed) % 8 == 0 ? 40 * S : 1 * S;
                break;
            case 1:
                if (draw(&seed) % 4 == 0 && client_deadline(&c) != UINT64_MAX &&
                    client_deadline(&c) > now)
                    now = client_deadline(&c);
                break;
            case 2:
                (void)try_publish((uint8_t)(draw(&seed) % 3), 'x', draw(&seed) % 2000);
                break;
            case 3:
                client_confirm(&c);
                break;
            case 4:
                client_release(&c);
                break;
            case 5:
                client_pause(&c, draw(&seed) % 4 == 0, now);
                break;
            case 6:
                if (draw(&seed) % 8 == 0)
                    broker_close();
                break;
            case 7:
                net.write_most = draw(&seed) % 30;
                break;
            default:
                turn(0);
                while (broker.fd >= 0 && broker_packet(&packet)) {
                    if (packet.first == 0x10)
                        send_connack(draw(&seed) % 2);
                    else if (packet.first == 0x82)
                        SEND(0x90, 3, packet.body[0], packet.body[1], 0);
                    else if (packet.first >> 4 == 3 && (packet.first & 2))
                        send_ack(0x40, be16(packet.body + 5));
                    else if (packet.first >> 4 == 3 && (packet.first & 4))
                        send_ack(0x50, be16(packet.body + 5));
                    else if (packet.first == 0x62)
                        send_ack(0x70, be16(packet.body));
                    else if (packet.first == 0xc0)
                        SEND(0xd0, 0);
                }
                if (c.state == CLIENT_UP && broker.fd >= 0 && draw(&seed) % 3 == 0)
                    send_publish((uint8_t)(draw(&seed) % 3 << 1), (uint16_t)(1 + draw(&seed) % 99),
                                 'm', draw(&seed) % 300);
            }
        }
        net.write_most = 0;
        client_abort(&c);
        broker_close();
        broker_turn();
        broker_close();
    }
    assert_true(ups > 60 && losses > 20);
}

static void every_error_has_words(void **state)
{
    (void)state;
    for (int err = CLIENT_ERR_SYSTEM; err < 0; err++)
        assert_string_not_equal(client_err_text(err), "no error");
    assert_string_equal(client_err_text(0), "no error");
    assert_string_equal(client_err_text(CLIENT_ERR_SYSTEM - 1), "no error");
}

static void client_ids(void **state)
{
    static char first[CONF_VALUE_MAX_CHARS + 1];

    (void)state;
    for (int i = 0; i < 2; i++) {
        start((struct client_use){0});
        const struct packet packet = expect_packet(0x10);
        assert_int_equal(be16(packet.body + 10), 16);
        assert_memory_equal(packet.body + 12, "sts-", 4);
        assert_string_not_equal(c.client_id, first);
        strcpy(first, c.client_id);
        client_abort(&c);
        broker_close();
    }
    strcpy(conf.clientid.text, "me");
    conf.clientid.set = true;
    start((struct client_use){0});
    const struct packet packet = expect_packet(0x10);
    assert_int_equal(packet.len, 12 + 2);
    assert_memory_equal(packet.body + 10, "\0\2me", 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connect_publish_and_ping_leave_in_one_write),
        TEST(publish_waits_for_connack_unless_early),
        TEST(only_so_many_are_early),
        TEST(disconnect_is_behind_those_that_are_early),
        TEST(ping_and_disconnect_are_behind_every_flight),
        TEST(disconnect_is_behind_flights_behind_a_cut_ping),
        TEST(nothing_is_behind_disconnect),
        TEST(disconnect_is_sent_before_connack_too),
        TEST(qos1_and_2_are_settled_by_their_acknowledgements),
        TEST(repeated_pubrec_is_answered_each_time),
        TEST(acknowledgements_out_of_order),
        TEST(packet_ids_are_never_0_nor_in_use),
        TEST(packet_ids_beside_a_subscribe),
        TEST(flights_after_a_loss),
        TEST(what_begins_anew_has_no_dup_from_before),
        TEST(a_flight_that_never_left_whole_has_no_dup),
        TEST(qos0_that_was_not_confirmed_may_be_lost),
        TEST(pubrec_before_the_publish_comes_again),
        TEST(the_ring_keeps_packets_apart),
        TEST(the_largest_fits_beside_small_ones_only),
        TEST(packets_are_never_interleaved),
        TEST(what_is_queued_meanwhile_waits),
        TEST(a_stalled_reader),
        TEST(ping_after_silence_of_either_side),
        TEST(no_keepalive_no_ping),
        TEST(a_broker_that_does_not_answer_is_dead),
        TEST(pings_go_on_while_one_is_unanswered),
        TEST(only_the_right_pingresp_confirms),
        TEST(a_missing_confirmation_is_noticed),
        TEST(a_paused_connection_lives_on),
        TEST(silence_counts_from_the_end_of_a_pause),
        TEST(a_paused_connection_waits_for_suback),
        TEST(each_step_has_its_limit),
        TEST(pubrec_again_and_again_is_no_progress),
        TEST(a_socket_that_takes_nothing),
        TEST(closing_waits_for_the_broker_and_not_long),
        TEST(the_first_connect_is_tried_once),
        TEST(the_first_subscription_is_tried_twice),
        TEST(subscriptions_in_vain_count_in_a_row),
        TEST(a_patient_one_tries_the_first_connect_again),
        TEST(an_earlier_session_is_forgotten_first),
        TEST(a_flight_is_shown_until_it_is_acknowledged),
        TEST(what_a_loss_leads_to),
        TEST(the_wait_doubles_up_to_a_minute),
        TEST(a_broker_that_always_closes_is_given_up),
        TEST(a_broker_that_never_acknowledges_is_given_up),
        TEST(a_good_connection_ends_the_loss_before_it),
        TEST(something_is_always_ahead),
        TEST(every_error_has_words),
        TEST(client_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
