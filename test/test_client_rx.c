/* test_client_rx.c - what a broker sends: QoS 0, 1 and 2, pieces, oversize packets, held
 * acknowledgements, the end of a stream. */
#include "client_bench.h"

#define ACKS_MAX (CLIENT_ACKS_BYTES / 4)

static uint8_t stream[8 * CLIENT_RX_BYTES];

/* ---- QoS ---- */

static void each_qos_is_acknowledged_as_it_has_to_be(void **state)
{
    (void)state;
    start_receiver();
    send_publish(0x00, 0, '0', 5);
    send_publish(0x02, 7, '1', 5);
    send_publish(0x04, 0xffff, '2', 5);
    expect_message('0', 5);
    expect_message('1', 5);
    expect_message('2', 5);
    client_release(&c);
    assert_int_equal(expect_ack(0x40), 7);
    assert_int_equal(expect_ack(0x50), 0xffff);
    send_ack(0x62, 0xffff);
    expect_quiet();
    client_release(&c);
    assert_int_equal(expect_ack(0x70), 0xffff);
    expect_no_packet();
}

static void flags_and_views(void **state)
{
    (void)state;
    start_receiver();
    SEND(0x3b, 9, 0, 3, 'a', '/', 'b', 1, 2, 'h', 'i');
    expect_event(CLIENT_EV_MESSAGE);
    assert_memory_equal(event.u.message.topic.p, "a/b", 3);
    assert_int_equal(event.u.message.topic.len, 3);
    assert_memory_equal(event.u.message.payload.p, "hi", 2);
    assert_ptr_equal(client_payload(&c, &event.u.message), event.u.message.payload.p);
    assert_true(event.u.message.retain && event.u.message.dup);
    assert_int_equal(event.u.message.packet_id, 0x0102);
}

static void qos2_is_delivered_once(void **state)
{
    static const struct {
        const char *name;
        bool lose, session, release; /* between the first PUBLISH and the one with DUP */
        bool again;                  /* the second is a message of its own */
    } cases[] = {
        {"again on the same connection", false, false, false, false},
        {"again after a loss", true, true, false, false},
        {"after a loss of the session", true, false, false, true},
        {"after PUBREL", false, false, true, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("%s\n", cases[i].name);
        start_receiver();
        send_publish(0x04, 9, 'x', 20);
        expect_message('x', 20);
        if (cases[i].lose) {
            lose_and_come_back(cases[i].session);
            subscribed();
        } else {
            client_release(&c);
            assert_int_equal(expect_ack(0x50), 9);
        }
        if (cases[i].release) {
            send_ack(0x62, 9);
            expect_quiet();
            client_release(&c);
            assert_int_equal(expect_ack(0x70), 9);
        }
        send_publish(0x0c, 9, 'x', 20);
        if (cases[i].again)
            expect_message('x', 20);
        else
            expect_quiet();
        client_release(&c);
        assert_int_equal(expect_ack(0x50), 9);
        client_abort(&c);
        broker_close();
    }
}

static void a_sender_takes_no_messages(void **state)
{
    (void)state;
    start_sender(0);
    send_publish(0x00, 0, 'x', 5);
    send_publish(0x02, 1, 'x', 5);
    send_publish(0x04, 2, 'x', 5);
    send_publish(0x02, 3, 'x', CLIENT_RX_BYTES);
    expect_quiet();
    client_release(&c);
    expect_no_packet();
    SEND(0xd0, 0);
    expect_quiet();
    assert_int_equal(c.state, CLIENT_UP);
}

/* ---- held acknowledgements ---- */

static void acknowledgements_wait_for_release(void **state)
{
    (void)state;
    start_receiver();
    send_publish(0x02, 1, 'a', 1);
    send_publish(0x02, 2, 'b', 1);
    expect_message('a', 1);
    client_release(&c);
    expect_event(CLIENT_EV_MESSAGE);
    client_taken(&c);
    assert_int_equal(expect_ack(0x40), 1);
    expect_no_packet();
    client_release(&c);
    assert_int_equal(expect_ack(0x40), 2);
}

static void acknowledgements_that_were_not_released_are_dropped(void **state)
{
    (void)state;
    start_receiver();
    send_publish(0x02, 1, 'a', 1);
    send_publish(0x02, 2, 'b', 1);
    expect_message('a', 1);
    client_release(&c);
    expect_message('b', 1);
    client_disconnect(&c, now);
    client_release(&c);
    assert_int_equal(expect_ack(0x40), 1);
    assert_int_equal(expect_packet(0xe0).len, 0);
    expect_no_packet();
}

/* [MQTT-3.14.4-2] */
static void nothing_follows_disconnect(void **state)
{
    (void)state;
    start_receiver();
    send_publish(0x02, 1, 'a', 1);
    expect_event(CLIENT_EV_MESSAGE);
    client_disconnect(&c, now);
    client_taken(&c);
    client_release(&c);
    (void)expect_packet(0xe0);
    expect_no_packet();
    broker_close();
    expect_event(CLIENT_EV_CLOSED);
}

/* Fills the room for acknowledgements, holds them, and leaves more in the socket. */
static void hold_acknowledgements(void)
{
    start_receiver();
    for (uint16_t id = 1; id <= ACKS_MAX + 10; id++)
        send_publish(0x02, id, 'm', 1);
    for (int i = 0; i < ACKS_MAX; i++)
        expect_message('m', 1);
    expect_quiet();
}

static void full_acknowledgements_stop_reading(void **state)
{
    (void)state;
    hold_acknowledgements();
    assert_int_equal(client_events(&c), 0);
    client_release(&c);
    for (uint16_t id = 1; id <= ACKS_MAX; id++) {
        if (next_in(1) == CLIENT_EV_MESSAGE)
            client_taken(&c);
        turn(0);
    }
    for (int i = 0; i < 20; i++)
        if (next_in(2) == CLIENT_EV_MESSAGE)
            client_taken(&c);
    client_release(&c);
    expect_quiet();
    for (uint16_t id = 1; id <= ACKS_MAX + 10; id++)
        assert_int_equal(expect_ack(0x40), id);
}

/* They lie in the buffer: no poll will tell of them. */
static void packets_that_waited_for_room_are_taken_up_again(void **state)
{
    (void)state;
    hold_acknowledgements();
    assert_true(client_deadline(&c) > now);
    client_release(&c);
    client_io(&c, 0, now);
    assert_true(client_deadline(&c) <= now);
    for (int i = 0; i < 10; i++)
        expect_message('m', 1);
    expect_quiet();
    assert_true(client_deadline(&c) > now);
}

/* It is the caller who keeps PINGRESP from being read. */
static void a_caller_that_holds_acknowledgements_makes_no_broker_dead(void **state)
{
    (void)state;
    hold_acknowledgements();
    for (int i = 0; i < 5; i++) {
        assert_true(client_deadline(&c) > now);
        assert_true(client_deadline(&c) <= now + KEEPALIVE_S * S);
        now = client_deadline(&c);
        (void)expect_packet(0xc0);
    }
    now += TIMEOUT_S * S + 1;
    client_release(&c);
    client_next(&c, &event, now);
    assert_int_equal(event.type, CLIENT_EV_NONE);
    for (int i = 0; i < 5; i++)
        SEND(0xd0, 0);
    for (int i = 0; i < 10; i++)
        expect_message('m', 1);
    expect_quiet();
    assert_int_equal(c.pings, 0);
}

static void a_broker_that_hangs_up_meanwhile_makes_no_busy_loop(void **state)
{
    (void)state;
    hold_acknowledgements();
    broker_reset();
    for (int i = 0; i < 3; i++)
        expect_quiet();
    struct pollfd fd = {.fd = client_fd(&c), .events = client_events(&c)};
    assert_int_equal(poll(&fd, 1, 0), 0);
    client_release(&c);
    for (int i = 0; i < 10; i++)
        expect_message('m', 1);
    expect_event(CLIENT_EV_LOST);
}

/* What came before the end of the stream counts, whether or not it can be acknowledged. */
static void messages_before_the_end_are_delivered(void **state)
{
    (void)state;
    start_receiver();
    for (uint16_t id = 1; id <= ACKS_MAX; id++)
        send_publish(0x02, id, 'm', 1);
    send_publish(0x00, 0, 'z', 3);
    broker_close();
    for (int i = 0; i < 100; i++)
        turn(0);
    for (int i = 0; i < ACKS_MAX; i++)
        expect_message('m', 1);
    expect_message('z', 3);
    expect_event(CLIENT_EV_LOST);
    assert_int_equal(event.u.failure.err, CLIENT_ERR_CLOSED);
}

/* ---- pieces ---- */

/* CONNACK, SUBACK, three messages and an oversize one. */
static size_t make_stream(void)
{
    uint8_t *p = stream;

    memcpy(p, "\x20\x02\x00\x00", 4);
    p += 4;
    p += make_publish(p, 0x04, 3, 5, 'a', 130);
    p += make_publish(p, 0x00, 3, 0, 'b', 0);
    p += make_publish(p, 0x02, 300, 6, 'c', CLIENT_RX_BYTES);
    p += make_publish(p, 0x02, 3, 7, 'd', 2);
    memcpy(p, "\xd0\x00\x62\x02\x00\x05", 6);
    return (size_t)(p + 6 - stream);
}

static void expect_stream(void)
{
    expect_event(CLIENT_EV_CONNECTED);
    expect_message('a', 130);
    expect_message('b', 0);
    expect_event(CLIENT_EV_SKIPPED);
    assert_int_equal(event.u.size, 1 + 3 + 2 + 300 + 2 + CLIENT_RX_BYTES);
    expect_message('d', 2);
    (void)expect_packet(0x82);
    expect_quiet();
    client_release(&c);
    assert_int_equal(expect_ack(0x50), 5);
    assert_int_equal(expect_ack(0x40), 6);
    assert_int_equal(expect_ack(0x40), 7);
    assert_int_equal(expect_ack(0x70), 5);
    expect_no_packet();
    client_abort(&c);
    broker_close();
}

static void begin_stream(size_t read_most)
{
    net.read_most = 0;
    start((struct client_use){.subscribe = true});
    (void)expect_packet(0x10);
    net.read_most = read_most;
}

static void packets_come_in_one_read_or_many(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 3, 5, 7, 64, 1021, 4096, CLIENT_RX_BYTES - 1};
    const size_t len = make_stream();

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        begin_stream(sizes[i]);
        send_bytes(stream, len);
        if (sizes[i] > 0 && sizes[i] < 8) /* more rounds than next_in has */
            for (size_t n = 0; n < len / sizes[i] + 8 && c.rx_len < sizeof c.rx; n++)
                turn(0);
        expect_stream();
    }
}

/* Cut at each byte of the packets, and at some of the long payload. */
static void packets_are_cut_anywhere(void **state)
{
    const size_t len = make_stream();

    (void)state;
    for (size_t cut = 1; cut<len; cut += cut> 500 && cut < len - 60 ? 1009 : 1) {
        begin_stream(0);
        send_bytes(stream, cut);
        for (int i = 0; i < 3; i++)
            turn(0);
        send_bytes(stream + cut, len - cut);
        expect_stream();
    }
}

/* ---- packets larger than the buffer ---- */

static void oversize_packets_pass(void **state)
{
    static const struct {
        const char *name;
        uint8_t flags;
        size_t topic_len, len;
        uint8_t ack;
    } cases[] = {
        {"QoS 0", 0x00, 3, CLIENT_RX_BYTES, 0},
        {"QoS 1", 0x02, 3, CLIENT_RX_BYTES, 0x40},
        {"QoS 2", 0x04, 3, CLIENT_RX_BYTES, 0x50},
        {"a topic longer than the buffer, QoS 0", 0x00, 0xffff, 0, 0},
        {"a topic longer than the buffer, QoS 1", 0x02, 0xffff, 0, 0x40},
        {"a topic longer than the buffer, QoS 2", 0x04, 0xffff, 3, 0x50},
        {"one byte too long", 0x02, 3, CLIENT_RX_BYTES - 4 - 2 - 3 - 2 + 1, 0x40},
        {"100,000 bytes", 0x02, 3, 100000, 0x40},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t len = make_publish(stream, cases[i].flags, cases[i].topic_len, 77, 'x',
                                        cases[i].len);
        print_message("%s\n", cases[i].name);
        start_receiver();
        send_bytes(stream, len);
        send_publish(0x00, 0, 'y', 4);
        expect_event(CLIENT_EV_SKIPPED);
        assert_int_equal(event.u.size, len);
        expect_message('y', 4);
        client_release(&c);
        if (cases[i].ack)
            assert_int_equal(expect_ack(cases[i].ack), 77);
        if (cases[i].ack == 0x50) { /* again, with DUP: skipped, but not reported again */
            stream[0] |= 0x08;
            send_bytes(stream, len);
            expect_quiet();
            client_release(&c);
            assert_int_equal(expect_ack(0x50), 77);
        }
        expect_no_packet();
        client_abort(&c);
        broker_close();
    }
}

static void the_largest_packet_is_taken_whole(void **state)
{
    const size_t len = CLIENT_RX_BYTES - 4 - 2 - 3 - 2;

    (void)state;
    start_receiver();
    send_publish(0x02, 1, 'x', len);
    send_publish(0x02, 2, 'y', len);
    expect_message('x', len);
    expect_message('y', len);
}

static void oversize_packets_that_are_wrong(void **state)
{
    static const struct {
        const char *name;
        uint8_t bytes[12];
    } cases[] = {
        {"the topic ends behind the packet", {0x30, 0x80, 0x80, 0x03, 0xff, 0xff}},
        {"packet id 0", {0x32, 0x80, 0x80, 0x02, 0, 1, 't', 0, 0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("%s\n", cases[i].name);
        start_receiver();
        send_bytes(cases[i].bytes, sizeof cases[i].bytes);
        expect_event(CLIENT_EV_FAILED);
        assert_int_equal(event.u.failure.err, CLIENT_ERR_MALFORMED);
        assert_int_equal(event.u.failure.packet, MQTT_PUBLISH);
        broker_close();
    }
}

/* ---- packets that must not come ---- */

static void wrong_packets_end_it(void **state)
{
    static const struct {
        const char *name;
        uint8_t bytes[8];
        size_t len;
        bool before_connack;
        int err, packet;
    } cases[] = {
        {"SUBACK of another id", {0x90, 3, 0, 0, 1}, 5, false, CLIENT_ERR_MALFORMED, MQTT_SUBACK},
        {"PUBACK of nothing", {0x40, 2, 0, 1}, 4, false, CLIENT_ERR_UNEXPECTED, MQTT_PUBACK},
        {"UNSUBACK", {0xb0, 2, 0, 1}, 4, false, CLIENT_ERR_UNEXPECTED, MQTT_UNSUBACK},
        {"a second CONNACK", {0x20, 2, 0, 0}, 4, false, CLIENT_ERR_UNEXPECTED, MQTT_CONNACK},
        {"a reserved type", {0xf0, 0}, 2, false, CLIENT_ERR_MALFORMED, 15},
        {"PINGREQ", {0xc0, 0}, 2, false, CLIENT_ERR_MALFORMED, MQTT_PINGREQ},
        {"PUBLISH first", {0x30, 3, 0, 1, 't'}, 5, true, CLIENT_ERR_UNEXPECTED, MQTT_PUBLISH},
        {"PINGRESP first", {0xd0, 0}, 2, true, CLIENT_ERR_UNEXPECTED, MQTT_PINGRESP},
        {"refused", {0x20, 2, 0, 5}, 4, true, CLIENT_ERR_REFUSED, MQTT_CONNACK},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print_message("%s\n", cases[i].name);
        start((struct client_use){.subscribe = true, .give_up_ms = UINT64_MAX});
        if (cases[i].before_connack)
            (void)expect_packet(0x10);
        else
            come_up(false);
        send_bytes(cases[i].bytes, cases[i].len);
        expect_event(CLIENT_EV_FAILED);
        assert_int_equal(event.u.failure.err, cases[i].err);
        assert_int_equal(event.u.failure.packet, cases[i].packet);
        assert_int_equal(client_fd(&c), -1);
        assert_true(client_deadline(&c) == UINT64_MAX);
        broker_close();
    }
}

static void a_clean_session_cannot_be_there_already(void **state)
{
    (void)state;
    conf.clean_session = true;
    start((struct client_use){.give_up_ms = UINT64_MAX});
    (void)expect_packet(0x10);
    send_connack(true);
    expect_event(CLIENT_EV_FAILED);
    assert_int_equal(event.u.failure.err, CLIENT_ERR_UNEXPECTED);
    assert_int_equal(event.u.failure.packet, MQTT_CONNACK);
}

static void a_refused_filter_is_named(void **state)
{
    static const uint8_t codes[] = {0x80, 0x87, 0xff};

    (void)state;
    strcpy(conf.subtop[1].text, "b");
    conf.subtop_count = 2;
    for (size_t i = 0; i < sizeof codes; i++) {
        start((struct client_use){.subscribe = true, .give_up_ms = UINT64_MAX});
        come_up(false);
        const struct packet packet = expect_packet(0x82);
        assert_int_equal(packet.len, 2 + 2 + 3 + 1 + 2 + 1 + 1);
        SEND(0x90, 4, packet.body[0], packet.body[1], 0, codes[i]);
        expect_event(CLIENT_EV_FAILED);
        assert_int_equal(event.u.failure.err, CLIENT_ERR_SUBSCRIPTION);
        assert_int_equal(event.u.failure.detail, 1);
        broker_close();
    }
}

/* The reason came before the RST that our write ran into. */
static void a_failed_write_hides_no_refusal(void **state)
{
    (void)state;
    start((struct client_use){.early = true});
    (void)expect_packet(0x10);
    SEND(0x20, 2, 0, 5);
    net.write_error = EPIPE;
    publish(1, 'x', 5);
    client_io(&c, 0, now);
    client_next(&c, &event, now);
    assert_int_equal(event.type, CLIENT_EV_FAILED);
    assert_int_equal(event.u.failure.err, CLIENT_ERR_REFUSED);
    assert_int_equal(event.u.failure.detail, MQTT_CONNACK_NOT_AUTHORIZED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_qos_is_acknowledged_as_it_has_to_be),
        TEST(flags_and_views),
        TEST(qos2_is_delivered_once),
        TEST(a_sender_takes_no_messages),
        TEST(acknowledgements_wait_for_release),
        TEST(acknowledgements_that_were_not_released_are_dropped),
        TEST(nothing_follows_disconnect),
        TEST(full_acknowledgements_stop_reading),
        TEST(packets_that_waited_for_room_are_taken_up_again),
        TEST(a_caller_that_holds_acknowledgements_makes_no_broker_dead),
        TEST(a_broker_that_hangs_up_meanwhile_makes_no_busy_loop),
        TEST(messages_before_the_end_are_delivered),
        TEST(packets_come_in_one_read_or_many),
        TEST(packets_are_cut_anywhere),
        TEST(oversize_packets_pass),
        TEST(the_largest_packet_is_taken_whole),
        TEST(oversize_packets_that_are_wrong),
        TEST(wrong_packets_end_it),
        TEST(a_clean_session_cannot_be_there_already),
        TEST(a_refused_filter_is_named),
        TEST(a_failed_write_hides_no_refusal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
