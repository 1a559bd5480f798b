/* client_bench.h - a struct client, a broker's end of a loopback socket, and a clock that only
 * moves when told to; all in one thread. For test_client.c and test_client_rx.c.
 *
 * sendmsg and read are this file's own, so that they can be as short as a test wants. What the
 * broker gets is taken apart here, not by mqtt_min.c. */
#ifndef STS_TEST_CLIENT_BENCH_H
#define STS_TEST_CLIENT_BENCH_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"

#define GOT_BYTES (4 << 20)
#define KEEPALIVE_S 60
#define TIMEOUT_S 30
#define S 1000u

struct packet {
    uint8_t first;
    uint8_t *body;
    size_t len;
};

static struct client c;
static struct conf conf;
static struct client_event event;
static uint64_t now;

static struct {
    int listener, fd;
    bool stalled;  /* reads nothing */
    bool careless; /* does not mind that the client has gone */
    uint16_t port;
    size_t pos, len; /* of got: taken apart up to pos */
    uint8_t got[GOT_BYTES];
} broker;

static struct {
    size_t write_most, read_most; /* bytes that one call moves; 0: all */
    int write_error;              /* what every write fails with; 0: none */
    unsigned writes;
} net;

/* ---- the system ---- */

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct iovec bytes[64];
    struct msghdr cut = *message;
    size_t left = net.write_most > 0 ? net.write_most : SIZE_MAX;

    if (net.write_error != 0) {
        errno = net.write_error;
        return -1;
    }
    net.writes++;
    assert_true(message->msg_iovlen > 0 && message->msg_iovlen <= 64);
    for (cut.msg_iovlen = 0; cut.msg_iovlen < message->msg_iovlen && left > 0; cut.msg_iovlen++) {
        struct iovec *to = &bytes[cut.msg_iovlen];
        *to = message->msg_iov[cut.msg_iovlen];
        if (to->iov_len > left)
            to->iov_len = left;
        left -= to->iov_len;
    }
    cut.msg_iov = bytes;
    return syscall(SYS_sendmsg, fd, &cut, flags);
}

ssize_t read(int fd, void *to, size_t len)
{
    if (fd == c.fd && net.read_most > 0 && len > net.read_most)
        len = net.read_most;
    return syscall(SYS_read, fd, to, len);
}

/* ---- the broker ---- */

static inline void broker_listen(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;

    broker.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(broker.listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(broker.listener, 8), 0);
    assert_int_equal(getsockname(broker.listener, (struct sockaddr *)&address, &len), 0);
    broker.port = ntohs(address.sin_port);
}

static inline void broker_close(void)
{
    if (broker.fd >= 0)
        close(broker.fd);
    broker.fd = -1;
    broker.pos = broker.len = 0;
}

/* Closes with RST. */
static inline void broker_reset(void)
{
    const struct linger at_once = {.l_onoff = 1};

    assert_int_equal(setsockopt(broker.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    broker_close();
}

static inline void broker_turn(void)
{
    const int on = 1;
    ssize_t n;

    if (broker.fd < 0) {
        broker.fd = accept4(broker.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (broker.fd >= 0)
            (void)setsockopt(broker.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    while (broker.fd >= 0 && !broker.stalled &&
           (n = recv(broker.fd, broker.got + broker.len, GOT_BYTES - broker.len, 0)) > 0)
        broker.len += (size_t)n;
}

/* The next packet that is there whole. */
static inline bool broker_packet(struct packet *packet)
{
    const uint8_t *at = broker.got + broker.pos;
    const size_t left = broker.len - broker.pos;
    size_t head = 1, len = 0;

    for (int shift = 0;; shift += 7) {
        if (head >= left)
            return false;
        len |= (size_t)(at[head] & 0x7f) << shift;
        if (at[head++] < 0x80)
            break;
        assert_true(shift < 21);
    }
    if (left - head < len)
        return false;
    *packet = (struct packet){at[0], broker.got + broker.pos + head, len};
    broker.pos += head + len;
    return true;
}

static inline void send_bytes(const void *bytes, size_t len)
{
    const ssize_t n = send(broker.fd, bytes, len, MSG_NOSIGNAL);

    assert_true(n == (ssize_t)len || broker.careless);
}

#define SEND(...) send_bytes((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static inline void send_ack(uint8_t first, uint16_t id)
{
    SEND(first, 2, (uint8_t)(id >> 8), (uint8_t)id);
}

static inline void send_connack(bool session_present)
{
    SEND(0x20, 2, session_present, 0);
}

/* A PUBLISH whose payload is `len` times `fill`; returns its length. */
static inline size_t make_publish(uint8_t *to, uint8_t flags, size_t topic_len, uint16_t id,
                                  char fill, size_t len)
{
    const uint8_t qos = flags >> 1 & 3;
    size_t rest = 2 + topic_len + (qos > 0 ? 2 : 0) + len;
    uint8_t *p = to;

    *p++ = 0x30 | flags;
    for (; rest > 0x7f; rest >>= 7)
        *p++ = (uint8_t)(0x80 | (rest & 0x7f));
    *p++ = (uint8_t)rest;
    *p++ = (uint8_t)(topic_len >> 8);
    *p++ = (uint8_t)topic_len;
    memset(p, 't', topic_len);
    p += topic_len;
    if (qos > 0) {
        *p++ = (uint8_t)(id >> 8);
        *p++ = (uint8_t)id;
    }
    memset(p, fill, len);
    return (size_t)(p - to) + len;
}

static inline void send_publish(uint8_t flags, uint16_t id, char fill, size_t len)
{
    static uint8_t bytes[2 * CLIENT_RX_BYTES];

    send_bytes(bytes, make_publish(bytes, flags, 3, id, fill, len));
}

/* ---- both ends ---- */

/* One round of the caller's loop, without client_next. */
static inline void turn(int wait_ms)
{
    client_io(&c, 0, now);
    struct pollfd fd = {.fd = client_fd(&c), .events = client_events(&c)};
    assert_true(poll(&fd, 1, wait_ms) >= 0);
    client_io(&c, fd.revents, now);
    broker_turn();
}

/* The next event; CLIENT_EV_NONE when there is none in `turns` rounds. */
static inline enum client_event_type next_in(int turns)
{
    for (int i = 0; i < turns; i++) {
        client_next(&c, &event, now);
        if (event.type != CLIENT_EV_NONE)
            return event.type;
        turn(i < 8 ? 0 : 1);
    }
    client_next(&c, &event, now);
    return event.type;
}

#define expect_event(wanted) assert_int_equal(next_in(3000), (wanted))
#define expect_quiet() assert_int_equal(next_in(6), CLIENT_EV_NONE)

/* The next packet that the broker gets, which begins with `first`. */
static inline struct packet expect_packet(uint8_t first)
{
    struct packet packet = {0};

    for (int i = 0; i < 3000 && !broker_packet(&packet); i++) {
        client_next(&c, &event, now);
        assert_int_equal(event.type, CLIENT_EV_NONE);
        turn(i < 8 ? 0 : 1);
    }
    assert_int_equal(packet.first, first);
    return packet;
}

static inline void expect_no_packet(void)
{
    struct packet packet;

    expect_quiet();
    assert_false(broker_packet(&packet));
}

static inline uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* An acknowledgement, or the id of one. */
static inline uint16_t expect_ack(uint8_t first)
{
    const struct packet packet = expect_packet(first);

    assert_int_equal(packet.len, 2);
    return be16(packet.body);
}

/* PUBLISH: returns its packet id. */
static inline uint16_t expect_publish(uint8_t first)
{
    const struct packet packet = expect_packet(first);

    assert_int_equal(packet.first >> 4, 3);
    return first & 6 ? be16(packet.body + 2 + be16(packet.body)) : 0;
}

/* ---- the client ---- */

static inline int fresh(void **state)
{
    (void)state;
    memset(&net, 0, sizeof net);
    now = 1000000;
    broker.fd = -1;
    broker.stalled = broker.careless = false;
    broker.pos = broker.len = 0;
    broker_listen();
    conf_init(&conf, "");
    strcpy(conf.host.text, "127.0.0.1");
    conf.host.set = true;
    conf.port = broker.port;
    conf.keepalive_s = KEEPALIVE_S;
    conf.timeout_s = TIMEOUT_S;
    conf.clean_session = false;
    strcpy(conf.subtop[0].text, "a/#");
    conf.subtop[0].set = true;
    conf.subtop_count = 1;
    return 0;
}

static inline int done(void **state)
{
    (void)state;
    client_abort(&c);
    broker_close();
    close(broker.listener);
    return 0;
}

static inline void start(struct client_use use)
{
    use.conf = &conf;
    assert_int_equal(client_init(&c, &use), 0);
    client_start(&c, now);
}

/* To CONNACK, and SUBACK where there is one to come. */
static inline void come_up(bool session_present)
{
    (void)expect_packet(0x10);
    send_connack(session_present);
    expect_event(CLIENT_EV_CONNECTED);
    assert_int_equal(event.u.session_present, session_present);
}

static inline void subscribed(void)
{
    const struct packet packet = expect_packet(0x82);

    SEND(0x90, 3, packet.body[0], packet.body[1], 1);
    expect_event(CLIENT_EV_SUBSCRIBED);
}

static inline void start_sender(uint64_t give_up_ms)
{
    start((struct client_use){.give_up_ms = give_up_ms});
    come_up(false);
}

static inline void start_receiver(void)
{
    start((struct client_use){.subscribe = true, .give_up_ms = UINT64_MAX});
    come_up(false);
    subscribed();
}

static inline int try_publish(uint8_t qos, char fill, size_t len)
{
    struct wr payload;
    const int err = client_publish(&c, &payload, bytes_of("top"), len, qos, false, now);

    if (err < 0)
        return err;
    assert_int_equal(wr_room(&payload), len);
    memset(wr_claim(&payload, len), fill, len);
    client_commit(&c);
    return 0;
}

static inline void publish(uint8_t qos, char fill, size_t len)
{
    assert_int_equal(try_publish(qos, fill, len), 0);
}

/* Takes the message that comes next: `len` times `fill`. */
static inline void expect_message(char fill, size_t len)
{
    expect_event(CLIENT_EV_MESSAGE);
    assert_int_equal(event.u.message.payload.len, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(event.u.message.payload.p[i], fill);
    client_taken(&c);
}

/* The connection goes; the next one is there up to where CONNECT came. */
static inline void lose_and_come_back(bool session_present)
{
    broker_close();
    expect_event(CLIENT_EV_LOST);
    now += event.u.failure.wait_ms;
    come_up(session_present);
}

#endif
