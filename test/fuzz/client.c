/* client.c - the whole of a broker connection against a broker that does as it likes.
 *
 * The socket is in memory: what the broker says comes from the script, what it hears is taken apart
 * here. A second, simple reader goes over the same stream of packets and says which messages have
 * to come out, so that a lost, doubled or changed one shows. The clock is the script's. */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client.h"
#include "client_private.h"

#define SOCKET_FD 1000001 /* no descriptor */
#define STREAM_BYTES (1 << 18)
#define ROUNDS_MAX 64 /* of the caller's loop in which nothing moves */

static struct client c;
static struct conf conf;
static uint64_t now;

/* What the broker says on this connection, and how the socket behaves. */
static struct {
    bool open;
    uint8_t said[STREAM_BYTES];
    size_t len, read; /* read: by the client */
    size_t pos;       /* the second reader's */
    bool eof;
    int read_error, write_error, connect_error;
    size_t read_most, write_most; /* bytes a call; 0: no limit */
    size_t write_room;            /* bytes until the socket is full */
    size_t moved;                 /* bytes, by any call */
} net;

/* What it hears: packets of this connection. */
static struct {
    uint8_t packet[CLIENT_PUBLISH_MAX_BYTES];
    size_t len, head, size; /* taken in; where its body begins; of all of it, 0: not known yet */
    bool connected, gone;   /* CONNECT came; DISCONNECT did */
} heard;

/* What the user of the client knows. */
static struct {
    bool delivered[65536];  /* QoS 2 ids, taken and not released by the broker */
    bool unreleased[65536]; /* QoS 2 ids, taken and not released by the user */
    uint16_t held[4096];    /* QoS 1 ids, taken and not released by the user */
    size_t held_count;
    uint16_t may_leave[65536]; /* PUBACKs */
    bool asked[65536];         /* PUBRELs came for it */
    bool pubrec[65536];        /* the broker sent PUBREC */
} user;

/* ---- the system ---- */

int __wrap_socket(int domain, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
ssize_t __wrap_read(int fd, void *to, size_t len);
ssize_t __real_read(int fd, void *to, size_t len);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
int __wrap_close(int fd);
int __real_close(int fd);

int __wrap_socket(int domain, int type, int protocol)
{
    (void)domain;
    (void)type;
    (void)protocol;
    CHECK(!net.open);
    if (net.connect_error == EMFILE) {
        errno = EMFILE;
        return -1;
    }
    net.open = true;
    net.len = net.read = net.pos = 0;
    net.eof = false;
    net.read_error = net.write_error = 0;
    heard.len = heard.size = 0;
    heard.connected = heard.gone = false;
    return SOCKET_FD;
}

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    (void)to;
    (void)len;
    CHECK(fd == SOCKET_FD && net.open);
    errno = net.connect_error == ENETUNREACH ? ENETUNREACH : EINPROGRESS;
    return -1;
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
    (void)level;
    (void)option;
    (void)value;
    (void)len;
    CHECK(fd == SOCKET_FD && net.open);
    return 0;
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
    (void)level;
    (void)option;
    CHECK(fd == SOCKET_FD && net.open && *len == sizeof(int));
    memcpy(value, &net.connect_error, sizeof(int));
    return 0;
}

int __wrap_close(int fd)
{
    if (fd != SOCKET_FD)
        return __real_close(fd);
    CHECK(net.open);
    net.open = false;
    return 0;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

ssize_t __wrap_read(int fd, void *to, size_t len)
{
    if (fd != SOCKET_FD)
        return __real_read(fd, to, len);
    CHECK(net.open && len > 0);
    const size_t n = least(least(len, net.len - net.read), net.read_most ? net.read_most : len);
    if (n == 0 && net.read_error == 0 && net.eof)
        return 0;
    if (n == 0) {
        errno = net.read_error ? net.read_error : EAGAIN;
        return -1;
    }
    memcpy(to, net.said + net.read, n);
    net.read += n;
    net.moved += n;
    return (ssize_t)n;
}

/* ---- what the broker hears ---- */

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* An acknowledgement never leaves before the user let it. */
static void hear_ack(const uint8_t *body)
{
    const uint16_t id = be16(body);

    CHECK(id != 0);
    switch (heard.packet[0]) {
    case 0x40:
        CHECK(user.may_leave[id] > 0);
        user.may_leave[id]--;
        break;
    case 0x50:
        CHECK(user.delivered[id] || user.asked[id]);
        CHECK(!user.unreleased[id]);
        break;
    case 0x62:
        CHECK(user.pubrec[id]);
        break;
    default:
        CHECK(heard.packet[0] == 0x70 && user.asked[id]);
        break;
    }
}

static void hear_publish(const uint8_t *body, size_t len)
{
    const uint8_t qos = heard.packet[0] >> 1 & 3;
    const size_t topic_len = be16(body);
    unsigned found = 0;

    CHECK(qos < 3 && (qos > 0 || !(heard.packet[0] & 8)) && topic_len == strlen(conf.pubtop.text));
    CHECK(memcmp(body + 2, conf.pubtop.text, topic_len) == 0 && len >= 2 + topic_len);
    if (qos == 0)
        return;
    CHECK(len >= 2 + topic_len + 2);
    const uint16_t id = be16(body + 2 + topic_len);
    CHECK(id != 0 && id != c.subscribe_id);
    for (uint32_t i = c.flight_head; i != c.flight_tail; i++)
        found += client_flight_look(&c, i)->packet_id == id;
    CHECK(found == 1);
}

static void hear_packet(const uint8_t *body, size_t len)
{
    CHECK(!heard.gone);
    CHECK((heard.packet[0] == 0x10) == !heard.connected);
    heard.connected = true;
    switch (heard.packet[0] >> 4) {
    case 1:
    case 8:
        CHECK(len > 2);
        break;
    case 3:
        hear_publish(body, len);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        CHECK(len == 2);
        hear_ack(body);
        break;
    case 12:
        CHECK(heard.packet[0] == 0xc0 && len == 0);
        break;
    default:
        CHECK(heard.packet[0] == 0xe0 && len == 0);
        heard.gone = true;
        break;
    }
}

/* Byte by byte, until it says how long the packet is. */
static void hear_head(uint8_t byte)
{
    size_t remaining_length = 0;

    CHECK(heard.len < sizeof heard.packet);
    heard.packet[heard.len++] = byte;
    heard.head = 1;
    do {
        if (heard.head == heard.len)
            return;
        remaining_length |= (size_t)(heard.packet[heard.head] & 0x7f) << 7 * (heard.head - 1);
    } while (heard.packet[heard.head++] & 0x80);
    CHECK(heard.head <= 5);
    heard.size = heard.head + remaining_length;
    CHECK(heard.size <= sizeof heard.packet);
}

/* A packet is looked at when it is whole. */
static void hear(const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        if (heard.size == 0) {
            hear_head(*bytes++);
            len--;
        } else {
            const size_t n = least(len, heard.size - heard.len);
            memcpy(heard.packet + heard.len, bytes, n);
            heard.len += n;
            bytes += n;
            len -= n;
        }
        if (heard.size != 0 && heard.len == heard.size) {
            hear_packet(heard.packet + heard.head, heard.size - heard.head);
            heard.len = heard.size = 0;
        }
    }
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    size_t left = net.write_most ? least(net.write_most, net.write_room) : net.write_room, sent = 0;

    CHECK(fd == SOCKET_FD && net.open && (flags & MSG_NOSIGNAL));
    CHECK(message->msg_iovlen > 0 && message->msg_iovlen <= 64);
    if (net.write_error != 0 || left == 0) {
        errno = net.write_error ? net.write_error : EAGAIN;
        return -1;
    }
    for (size_t i = 0; i < message->msg_iovlen && left > 0; i++) {
        const size_t n = least(message->msg_iov[i].iov_len, left);
        CHECK(message->msg_iov[i].iov_len > 0);
        hear(message->msg_iov[i].iov_base, n);
        left -= n;
        sent += n;
    }
    net.write_room -= sent;
    net.moved += sent;
    return (ssize_t)sent;
}

/* ---- what the broker says ---- */

static void say(const void *bytes, size_t len)
{
    if (!net.open || len > sizeof net.said - net.len)
        return;
    if (len > 0)
        memcpy(net.said + net.len, bytes, len);
    net.len += len;
}

#define SAY(...) say((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void say_publish(uint8_t flags, uint16_t id, const char *topic, size_t len)
{
    static uint8_t packet[2 * CLIENT_RX_BYTES];
    const size_t topic_len = strlen(topic), rest = 2 + topic_len + (flags & 6 ? 2 : 0) + len;
    struct wr w = wr_over(packet, sizeof packet);

    wr_u8(&w, 0x30 | (flags & 15));
    for (size_t left = rest;; left >>= 7) {
        wr_u8(&w, (uint8_t)((left & 0x7f) | (left > 0x7f ? 0x80 : 0)));
        if (left <= 0x7f)
            break;
    }
    wr_be16(&w, (uint16_t)topic_len);
    wr_put(&w, topic, topic_len);
    if (flags & 6)
        wr_be16(&w, id);
    uint8_t *payload = wr_claim(&w, len);
    CHECK(!w.bad);
    for (size_t i = 0; i < len; i++)
        payload[i] = (uint8_t)(id + i);
    say(packet, (size_t)(w.p - packet));
}

/* Larger than the buffer, and its topic leaves no more than `rest` bytes of it. */
static void say_long_topic(uint8_t flags, size_t rest)
{
    static uint8_t packet[CLIENT_RX_BYTES + 32];
    const size_t remaining_length = sizeof packet - 4;
    struct wr w = wr_over(packet, sizeof packet);

    wr_u8(&w, 0x30 | flags);
    wr_u8(&w, 0x80 | (remaining_length & 0x7f));
    wr_u8(&w, (uint8_t)(0x80 | (remaining_length >> 7)));
    wr_u8(&w, (uint8_t)(remaining_length >> 14));
    wr_be16(&w, (uint16_t)(remaining_length - 2 - rest));
    memset(w.p, 't', wr_room(&w));
    say(packet, sizeof packet);
}

/* ---- the second reader ---- */

struct packet {
    uint8_t first;
    const uint8_t *body;
    size_t len, size;
};

static bool next_packet(struct packet *packet)
{
    const uint8_t *at = net.said + net.pos;
    const size_t left = net.len - net.pos;
    size_t head = 1;

    *packet = (struct packet){.first = left > 0 ? at[0] : 0};
    do {
        if (head >= left || head > 4)
            return false;
        packet->len |= (size_t)(at[head] & 0x7f) << 7 * (head - 1);
    } while (at[head++] & 0x80);
    packet->size = head + packet->len;
    if (packet->size > left)
        return false;
    packet->body = at + head;
    return true;
}

/* Goes on to the next PUBLISH that the client has to show; false: it has to show none. */
static bool next_shown(struct packet *packet)
{
    while (next_packet(packet)) {
        net.pos += packet->size;
        if (packet->first >> 4 == 6 && packet->len == 2) {
            user.delivered[be16(packet->body)] = false;
            user.asked[be16(packet->body)] = true;
        }
        if (packet->first >> 4 == 5 && packet->len == 2)
            user.pubrec[be16(packet->body)] = true;
        if (packet->first >> 4 != 3 || !c.use.subscribe)
            continue;
        const size_t topic_len = be16(packet->body);
        const uint8_t qos = packet->first >> 1 & 3;
        if (qos == 2 && user.delivered[be16(packet->body + 2 + topic_len)])
            continue;
        return true;
    }
    return false;
}

/* The client shows `size` bytes as a message, or says that it skipped them. */
static uint16_t expect_shown(struct packet *packet, bool skipped)
{
    CHECK(next_shown(packet));
    CHECK(skipped == (packet->size > sizeof c.rx));
    return packet->first & 6 ? be16(packet->body + 2 + be16(packet->body)) : 0;
}

static void took(uint8_t qos, uint16_t id)
{
    if (qos == 1 && user.held_count < COUNT(user.held))
        user.held[user.held_count++] = id;
    if (qos == 2)
        user.delivered[id] = user.unreleased[id] = true;
}

/* ---- the user ---- */

static bool pause_inside, disconnect_inside;

static short poll_answer(void)
{
    const short events = client_events(&c);
    short found = 0;

    if (client_fd(&c) < 0)
        return 0;
    CHECK(client_fd(&c) == SOCKET_FD && net.open);
    if (c.state == CLIENT_CONNECTING)
        return net.connect_error == ETIMEDOUT ? 0 : POLLOUT;
    if (net.read < net.len || net.eof || net.read_error)
        found |= POLLIN;
    if (net.write_room > 0 || net.write_error)
        found |= POLLOUT;
    found &= events;
    if (net.eof && net.write_error)
        found |= POLLHUP;
    if (net.read_error)
        found |= POLLERR;
    return found;
}

static void check_message(const struct mqtt_publish *message)
{
    struct packet packet;
    const uint16_t id = expect_shown(&packet, false);
    const size_t head = 2 + (size_t)be16(packet.body) + (packet.first & 6 ? 2 : 0);

    CHECK(c.use.subscribe && message->qos == (packet.first >> 1 & 3) && message->packet_id == id);
    CHECK(bytes_equal(message->topic, (struct bytes){packet.body + 2, be16(packet.body)}));
    /* Until it is taken it stays, whatever else is done. */
    if (pause_inside) {
        client_io(&c, poll_answer(), now);
        client_pause(&c, true, now);
        client_io(&c, poll_answer(), now);
        client_pause(&c, false, now);
    }
    CHECK(bytes_equal(message->payload, (struct bytes){packet.body + head, packet.len - head}));
    CHECK(message->payload.len == 0 || client_payload(&c, message) == message->payload.p);
    if (disconnect_inside && c.state == CLIENT_UP) {
        client_disconnect(&c, now);
        return;
    }
    client_taken(&c);
    took(message->qos, id);
}

static void release(void)
{
    client_release(&c);
    for (size_t i = 0; i < user.held_count; i++)
        user.may_leave[user.held[i]]++;
    user.held_count = 0;
    memset(user.unreleased, 0, sizeof user.unreleased);
}

/* The last connection of a single message is left open, for the end of the program to close. */
static void end_of_program(void)
{
    if (c.use.single && (c.state == CLIENT_CLOSING || c.state == CLIENT_IDLE) && c.fd == -1)
        net.open = false;
}

/* Acknowledgements that did not leave are gone with the connection. */
static void connection_gone(void)
{
    end_of_program();
    CHECK(!net.open && c.fd == -1);
    user.held_count = 0;
    memset(user.may_leave, 0, sizeof user.may_leave);
}

static void check_inside(void)
{
    const size_t flights = c.flight_tail - c.flight_head;
    struct mqtt_publish carried;
    size_t used = 0;

    CHECK(c.control.sent <= c.control.len && c.control.len <= sizeof c.control_bytes);
    CHECK(c.acks.sent <= c.acks.len && c.acks.len <= sizeof c.acks_bytes);
    CHECK(c.acks_released <= c.acks.len);
    CHECK(c.tail.sent <= c.tail.len && c.tail.len <= sizeof c.tail_bytes);
    CHECK(c.rx_pos <= c.rx_len && c.rx_len <= sizeof c.rx);
    CHECK(c.rx_pos + c.taken_len <= c.rx_len);
    CHECK(flights <= CLIENT_FLIGHTS_MAX && c.flight_next - c.flight_head <= flights);
    for (uint32_t i = c.flight_head; i != c.flight_tail; i++) {
        const struct client_flight *f = client_flight_look(&c, i);
        CHECK((size_t)f->start + f->len <= sizeof c.ring);
        used += f->len;
        if (client_in_flight(&c, i, &carried))
            CHECK(carried.qos == f->qos && carried.packet_id == f->packet_id);
        if (i + 1 != c.flight_tail && client_flight_look(&c, i + 1)->start != 0)
            CHECK(client_flight_look(&c, i + 1)->start == f->start + f->len);
        if (f->start < client_flight_look(&c, c.flight_head)->start)
            CHECK(f->start + f->len <= client_flight_look(&c, c.flight_head)->start);
    }
    CHECK(used <= sizeof c.ring);
    end_of_program();
    CHECK((c.fd == SOCKET_FD) == net.open);
}

/* One call of client_next; false: there was nothing. */
static bool next_event(void)
{
    struct client_event event;
    struct packet packet;
    uint16_t id;

    client_next(&c, &event, now);
    check_inside();
    switch (event.type) {
    case CLIENT_EV_NONE:
        return false;
    case CLIENT_EV_MESSAGE:
        check_message(&event.u.message);
        return true;
    case CLIENT_EV_SKIPPED:
        id = expect_shown(&packet, true);
        CHECK(event.u.size == packet.size);
        took(packet.first >> 1 & 3, id);
        return true;
    case CLIENT_EV_CONNECTED:
        CHECK(c.state == CLIENT_UP);
        if (!event.u.session_present)
            memset(user.delivered, 0, sizeof user.delivered);
        return true;
    case CLIENT_EV_SUBSCRIBED:
        CHECK(c.use.subscribe);
        return true;
    case CLIENT_EV_LOST:
        CHECK(c.state == CLIENT_WAITING && client_deadline(&c) <= now + CLIENT_BACKOFF_MAX_MS);
        CHECK(client_err_text(event.u.failure.err));
        connection_gone();
        return true;
    case CLIENT_EV_FAILED:
    case CLIENT_EV_CLOSED:
        CHECK(c.state == CLIENT_IDLE && client_fd(&c) == -1 && client_deadline(&c) == UINT64_MAX);
        connection_gone();
        return true;
    }
    fuzz_fail(__FILE__, __LINE__, "a known event");
}

/* The second reader goes on behind the last message too: ids that the broker released count for
 * acknowledgements that are on their way. It never overtakes the client, which took all that it
 * could. */
static void look_behind(void)
{
    struct packet packet;
    size_t before = net.pos;
    const size_t client_at = net.read - (c.rx_len - c.rx_pos);

    if (c.state == CLIENT_CLOSING)
        return; /* nobody reads any more */
    while (net.open && next_packet(&packet) && net.pos + packet.size <= client_at) {
        const size_t id_at = packet.first >> 4 == 3 ? 2 + (size_t)be16(packet.body) : 0;
        const uint16_t id = packet.len >= id_at + 2 ? be16(packet.body + id_at) : 0;

        /* Everything that had to be shown was. */
        if (packet.first >> 4 == 3 && c.use.subscribe && c.state == CLIENT_UP)
            CHECK((packet.first >> 1 & 3) == 2 && user.delivered[id]);
        net.pos += packet.size;
        if (packet.len == 2 && packet.first >> 4 == 6) {
            user.delivered[id] = false;
            user.asked[id] = true;
        }
        if (packet.len == 2 && packet.first >> 4 == 5)
            user.pubrec[id] = true;
        CHECK(net.pos > before);
        before = net.pos;
    }
}

/* The caller's loop, until there is nothing to do at this time. */
static void loop(void)
{
    unsigned rounds = 0;

    for (;;) {
        const size_t moved = net.moved;
        const enum client_state state = c.state;
        bool events = false;

        while (next_event())
            events = true;
        look_behind();
        client_io(&c, 0, now);
        check_inside();
        const short found = poll_answer();
        if (found == 0 && client_deadline(&c) > now)
            break;
        client_io(&c, found, now);
        check_inside();
        rounds = events || net.moved != moved || c.state != state ? 0 : rounds + 1;
        CHECK(rounds < ROUNDS_MAX); /* a loop that waits for nothing */
    }
}

static void publish(uint8_t qos, size_t len, bool retain, bool abandon)
{
    struct wr payload;
    const bool room = client_room(&c, strlen(conf.pubtop.text), len, qos);
    const int err = client_publish(&c, &payload, bytes_of(conf.pubtop.text), len, qos, retain, now);

    CHECK((err == 0) == room);
    if (err != 0)
        return;
    CHECK(wr_room(&payload) == len);
    memset(payload.p, 'p', len);
    if (abandon)
        client_abandon(&c);
    else
        client_commit(&c);
}

/* The largest payload that there is room for. */
static size_t largest(uint8_t qos)
{
    size_t low = 0, high = PAYLOAD_MAX_BYTES;

    while (low < high) {
        const size_t middle = high - (high - low) / 2;
        if (client_room(&c, strlen(conf.pubtop.text), middle, qos))
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* ---- the script ---- */

static void say_something(struct rd *in, uint8_t what)
{
    const uint8_t k = rd_u8(in);
    const struct client_flight *f = client_flight_look(&c, c.flight_head + k);
    const bool some = k < c.flight_tail - c.flight_head;

    switch (what) {
    case 0: {
        const struct bytes raw = fuzz_take(in, k);
        say(raw.p, raw.len);
        break;
    }
    case 1:
        SAY(0x20, 2, k & 1, k >> 1 & 7);
        break;
    case 2:
        SAY(0x90, 3, (uint8_t)(c.subscribe_id >> 8), (uint8_t)c.subscribe_id, k & 0x83);
        break;
    case 3:
        say_publish(k & 15, k >> 4, "t", fuzz_size(in, 300));
        break;
    case 4:
        SAY((uint8_t)(0x40 | (rd_u8(in) & 3) << 4), 2, some ? (uint8_t)(f->packet_id >> 8) : 0,
            some ? (uint8_t)f->packet_id : k);
        break;
    case 5:
        SAY(0x62, 2, 0, k & 15);
        break;
    case 6:
        SAY(0xd0, 0);
        break;
    default:
        if (k & 0x80)
            say_long_topic(k & 15, k >> 4 & 7);
        else
            say_publish(k & 15, k >> 4, "large", CLIENT_RX_BYTES - 16 + (size_t)rd_u8(in) * 8);
        break;
    }
}

static void behave(struct rd *in, uint8_t what)
{
    static const int errors[] = {0, ECONNRESET, EPIPE, ETIMEDOUT};
    static const int connect_errors[] = {0, ECONNREFUSED, ENETUNREACH, ETIMEDOUT, EMFILE};
    const uint8_t k = rd_u8(in);

    switch (what) {
    case 0:
        net.eof = true;
        break;
    case 1:
        net.read_error = errors[k % COUNT(errors)];
        break;
    case 2:
        net.write_error = errors[k % COUNT(errors)];
        break;
    case 3:
        net.connect_error = connect_errors[k % COUNT(connect_errors)];
        break;
    case 4:
        net.read_most = k;
        break;
    case 5:
        net.write_most = k;
        break;
    case 6:
        net.write_room = k;
        break;
    default:
        net.write_room = SIZE_MAX;
        break;
    }
}

static void pass_time(uint8_t what, uint8_t k)
{
    const uint64_t due = client_deadline(&c);

    if (what == 0)
        now += k;
    else if (what == 1)
        now += (uint64_t)k * 1000;
    else if (due != UINT64_MAX && due > now)
        now = due - (what == 2 ? 1 : 0);
}

static void act(struct rd *in, uint8_t what)
{
    const uint8_t k = rd_u8(in);

    switch (what) {
    case 0:
        if (c.state == CLIENT_CLOSING)
            break; /* nothing may follow DISCONNECT, so nobody does that */
        publish(k % 3, k & 16 ? largest(k % 3) : fuzz_size(in, PAYLOAD_MAX_BYTES), k & 4, k & 8);
        break;
    case 1:
        release();
        break;
    case 2:
        client_pause(&c, k & 1, now);
        break;
    case 3:
        client_confirm(&c);
        break;
    case 4:
        if (k == 1)
            client_disconnect(&c, now);
        break;
    case 5:
        if (k == 1) {
            client_abort(&c);
            connection_gone();
        }
        break;
    case 6:
        if (c.state == CLIENT_IDLE)
            client_start(&c, now);
        break;
    default:
        pause_inside = k & 1;
        disconnect_inside = k == 7;
        break;
    }
}

static void step(struct rd *in)
{
    const uint8_t op = rd_u8(in);

    switch (op >> 4 & 3) {
    case 0:
        say_something(in, op & 7);
        break;
    case 1:
        behave(in, op & 7);
        break;
    case 2:
        pass_time(op & 3, rd_u8(in));
        break;
    default:
        act(in, op & 7);
        break;
    }
    /* Several things may happen before the caller's loop gets to run. */
    if (!(op & 0x80))
        loop();
    else
        check_inside();
}

static void begin(struct rd *in)
{
    const uint8_t how = rd_u8(in), more = rd_u8(in);
    const struct client_use use = {
        .conf = &conf,
        .subscribe = how & 1,
        .quick = how & 2,
        .single = how & 4,
        .early = how & 8,
        .give_up_ms = how & 16   ? UINT64_MAX
                      : how & 32 ? 60000
                                 : 0,
        .patient = how & 64,
        .forget = (more & 0x30) == 0x30,
    };

    conf_init(&conf, "");
    strcpy(conf.host.text, how & 128 ? "::1" : "127.0.0.1");
    conf.host.set = true;
    conf.mqtt_version = more & 1 ? MQTT_3_1 : MQTT_3_1_1;
    conf.clean_session = more & 2;
    conf.keepalive_s = more & 4 ? 60 : more & 8 ? 1 : 0;
    conf.qos = (more >> 4) % 3;
    strcpy(conf.subtop[0].text, "a/#");
    conf.subtop[0].set = true;
    conf.subtop_count = 1;
    strcpy(conf.pubtop.text, "p");
    conf.pubtop.set = true;
    if (more & 64) {
        strcpy(conf.will_topic.text, "w");
        conf.will_topic.set = true;
        strcpy(conf.username.text, "u");
        conf.username.set = true;
        strcpy(conf.clientid.text, "c");
        conf.clientid.set = true;
    }
    memset(&c, 0, sizeof c);
    memset(&net, 0, offsetof(__typeof__(net), said));
    net.len = net.read = net.pos = net.moved = 0;
    net.eof = false;
    net.read_error = net.write_error = net.connect_error = 0;
    net.read_most = net.write_most = 0;
    net.write_room = SIZE_MAX;
    memset(&user, 0, sizeof user);
    pause_inside = disconnect_inside = false;
    now = 1000000;
    fuzz_no_random(more == 0xff);
    if (client_init(&c, &use) != 0) {
        fuzz_no_random(false);
        CHECK(client_init(&c, &use) == 0);
    }
    client_start(&c, now);
    if (more & 128) { /* the usual beginning, so that not every script has to find it */
        loop();
        SAY(0x20, 2, 0, 0);
        loop();
        if (use.subscribe)
            say_something(in, 2);
        loop();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd in = rd_over(data, size);

    fuzz_begin();
    begin(&in);
    while (fuzz_more(&in))
        step(&in);
    loop();
    client_disconnect(&c, now);
    while (c.state != CLIENT_IDLE) {
        loop();
        pass_time(3, 0);
    }
    CHECK(!net.open);
    return 0;
}
