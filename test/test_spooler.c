/* test_spooler.c - sending with a spool: what goes directly, what is put into the file, what is
 * removed from it, and when there is something to do.
 *
 * The session and the client are the real ones, without a socket: what the broker acknowledges is
 * told to the ring. Another run is a second `struct spool` on the same file. */
#include "scratch.h"

#include <errno.h>
#include <sysexits.h>

#include "client_private.h"
#include "spooler.h"

#define TIMEOUT_S 30
#define S 1000u

static struct log *const log_to = &test_log;
static struct conf conf;
static struct keyring keyring;
static struct session session;
static struct spooler sp;
static struct spool other;
static uint64_t now;

static struct {
    bool write, sync, read; /* what fails with EIO */
    unsigned reads, writes, syncs;
} disk;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
ssize_t __real_pread(int fd, void *to, size_t len, off_t at);
ssize_t __wrap_pread(int fd, void *to, size_t len, off_t at);
ssize_t __real_pwrite(int fd, const void *from, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *from, size_t len, off_t at);

static int failed(void)
{
    errno = EIO;
    return -1;
}

int __wrap_fdatasync(int fd)
{
    disk.syncs++;
    return disk.sync ? failed() : __real_fdatasync(fd);
}

ssize_t __wrap_pread(int fd, void *to, size_t len, off_t at)
{
    disk.reads++;
    return disk.read && fd != test_log.fd ? failed() : __real_pread(fd, to, len, at);
}

ssize_t __wrap_pwrite(int fd, const void *from, size_t len, off_t at)
{
    disk.writes++;
    return disk.write ? failed() : __real_pwrite(fd, from, len, at);
}

/* ---- runs ---- */

static void begin_run(void)
{
    const struct session_use use = {
        .conf = &conf,
        .keyring = &keyring,
        .log = log_to,
        .early = true,
        .patient = true,
        .give_up_ms = UINT64_MAX,
    };
    const struct client_use client_use = {.conf = &conf, .early = true, .patient = true};

    session_init(&session, &use);
    assert_int_equal(client_init(&session.client, &client_use), 0);
    session.running = true;
    session.client.state = CLIENT_UP;
    spooler_open(&sp, &conf, &session);
}

static void end_run(void)
{
    spool_close(&keyring.spool);
    spool_close(&other);
    memset(&disk, 0, sizeof disk);
}

static int setup(void **state)
{
    (void)state;
    end_run();
    (void)remove("spool");
    (void)remove("gone");
    log_forget();
    now = 1000000;
    conf_init(&conf, "");
    conf.mode = STS_SENDER;
    conf.cipher = STS_CHACHAPOLY;
    conf.timeout_s = TIMEOUT_S;
    strcpy(conf.pubtop.text, "a/b");
    strcpy(conf.spool.text, "spool");
    conf.pubtop.set = conf.spool.set = true;
    conf.spool_max_bytes = SPOOL_DEFAULT_BYTES;
    keyring.store.fd = -1;
    keyring.store.log = log_to;
    for (size_t i = 0; i < 32; i++)
        keyring.own.private_key[i] = keyring.list[0].key[i] = (uint8_t)(i + 1);
    keyring.list[0].key[0] = 9;
    begin_run();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    end_run();
    return 0;
}

static void claimed(void)
{
    assert_true(spooler_claim(&sp, now));
    assert_true(keyring.spool.alone);
    spooler_work(&sp, now);
}

/* ---- messages ---- */

static enum spooler_give give_len(size_t len)
{
    static uint8_t text[MESSAGE_MAX_BYTES + 1];
    int err;

    return spooler_give(&sp, (struct bytes){text, len}, &err, now);
}

/* Gives one that has to be taken; returns its id. */
static uint64_t give(void)
{
    assert_int_equal(give_len(4), SPOOLER_TAKEN);
    return session.last_id;
}

static uint32_t in_flight(void)
{
    return session.client.flight_tail - session.client.flight_head;
}

static uint64_t id_of_flight(uint32_t n)
{
    return sp.ids[(session.client.flight_head + n) % CLIENT_FLIGHTS_MAX];
}

/* All that is in flight is written; the broker acknowledges the one at place n. */
static void ack(uint32_t n)
{
    struct client *c = &session.client;

    for (uint32_t i = c->flight_head; i != c->flight_tail; i++)
        if (client_flight_at(c, i)->state == CLIENT_FLIGHT_QUEUED)
            client_flight_at(c, i)->state = CLIENT_FLIGHT_SENT;
    c->flight_next = c->flight_tail;
    n += c->flight_head;
    assert_true(client_ring_acked(c, MQTT_PUBACK, client_flight_at(c, n)->packet_id, now));
}

static void ack_all(void)
{
    while (in_flight() > 0)
        ack(0);
    spooler_work(&sp, now);
}

static void away(void)
{
    session.client.state = CLIENT_WAITING;
    spooler_work(&sp, now);
}

static void back(void)
{
    session.client.state = CLIENT_UP;
    session.client.progress_ms = now;
    spooler_work(&sp, now);
}

/* ---- the file ---- */

static size_t file_size(void)
{
    struct stat status;

    assert_int_equal(stat("spool", &status), 0);
    return (size_t)status.st_size;
}

/* Ids of what is in it, in its order; returns how many. */
static size_t spooled(uint64_t *ids, size_t most)
{
    static struct spool reader;
    struct spool_record record;
    size_t n = 0;

    assert_int_equal(spool_open(&reader, "spool", conf.spool_max_bytes, log_to), EX_OK);
    assert_int_equal(spool_look(&reader), EX_OK);
    for (; spool_has_next(&reader); n++) {
        assert_true(n < most);
        assert_int_equal(spool_next(&reader, &record), EX_OK);
        ids[n] = record.id;
    }
    spool_close(&reader);
    return n;
}

static void expect_spooled(const uint64_t *wanted, size_t count)
{
    uint64_t ids[2000];

    assert_int_equal(spooled(ids, COUNT(ids)), count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(ids[i], wanted[i]);
}

/* Another run, which does not send, appends one with this id. */
static void others(uint64_t id)
{
    struct wr payload;
    uint64_t position;

    if (other.fd < 0)
        assert_int_equal(spool_open(&other, "spool", conf.spool_max_bytes, log_to), EX_OK);
    assert_int_equal(spool_begin(&other, bytes_of("a/b"), 3, &payload), EX_OK);
    wr_put(&payload, (const uint8_t *)"abc", 3);
    assert_int_equal(spool_commit(&other, id, &position), EX_OK);
}

/* Whoever works when it is due has something to do, and then it is due later. */
static void expect_later_deadline(void)
{
    for (int i = 0; i < 50; i++) {
        const uint64_t due = spooler_deadline(&sp);
        if (due == UINT64_MAX)
            return;
        if (due > now)
            now = due;
        (void)spooler_claim(&sp, now);
        spooler_work(&sp, now);
        assert_true(spooler_deadline(&sp) > now);
    }
}

/* ---- the broker takes what it gets ---- */

static void directly(void **state)
{
    uint64_t ids[3];

    (void)state;
    claimed();
    for (size_t i = 0; i < COUNT(ids); i++)
        ids[i] = give();
    assert_true(ids[0] < ids[1] && ids[1] < ids[2]);
    assert_int_equal(in_flight(), 3);
    assert_false(spooler_settled(&sp));
    ack_all();
    assert_true(spooler_settled(&sp));
    expect_later_deadline();
    assert_int_equal(spooler_finish(&sp, now), EX_OK);
    assert_int_equal(file_size(), 0);
    assert_int_equal(disk.writes + disk.syncs, 0);
}

static void refused_at_once(void **state)
{
    struct wr payload;

    (void)state;
    claimed();
    assert_int_equal(give_len(MESSAGE_MAX_BYTES + 1), SPOOLER_REFUSED);
    session.id_floor = 0;
    keyring.spool.last_id = STS_ID_MAX; /* no id is above that */
    for (int is_away = 0; is_away < 2; is_away++) {
        assert_int_equal(give_len(1), SPOOLER_REFUSED);
        assert_int_equal(in_flight(), 0);
        assert_int_equal(file_size(), 0);
        assert_false(keyring.spool.open);
        sp.away = true;
    }
    assert_int_equal(spool_begin(&keyring.spool, bytes_of("t"), 1, &payload), EX_OK);
    spool_abandon(&keyring.spool);
}

/* ---- it does not ---- */

static void away_and_back(void **state)
{
    uint64_t ids[5];

    (void)state;
    claimed();
    for (size_t i = 0; i < 2; i++)
        ids[i] = give();
    away();
    expect_spooled(ids, 2);
    assert_true(disk.syncs > 0);
    away();
    now += 10 * S;
    away();
    expect_spooled(ids, 2); /* each once */
    ids[2] = give();
    expect_spooled(ids, 3);
    assert_int_equal(in_flight(), 2);
    spooler_work(&sp, now);
    assert_int_equal(in_flight(), 3); /* it goes behind them as soon as it may */
    back();
    ids[3] = give(); /* nothing is unread: directly again */
    assert_int_equal(in_flight(), 4);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(id_of_flight(i), ids[i]);
    expect_spooled(ids, 3);
    ack_all();
    assert_int_equal(file_size(), 0);
    expect_later_deadline();
    assert_int_equal(spooler_finish(&sp, now), EX_OK);
}

/* What each state of the connection means for a message. */
static void states(void **state)
{
    static const struct {
        enum client_state state;
        bool away;
    } table[] = {
        {CLIENT_IDLE, true},      {CLIENT_RESOLVING, false}, {CLIENT_CONNECTING, false},
        {CLIENT_GREETING, false}, {CLIENT_UP, false},        {CLIENT_WAITING, true},
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        (void)setup(state);
        claimed();
        session.client.state = table[i].state;
        spooler_work(&sp, now);
        assert_int_equal(sp.away, table[i].away);
        (void)give();
        assert_int_equal(file_size() > 0, table[i].away);
    }
    (void)setup(state);
    claimed();
    session.running = false;
    spooler_work(&sp, now);
    assert_true(sp.away);
}

static void patience(void **state)
{
    static const struct {
        uint32_t timeout_s;
        uint32_t flights;
        uint64_t ms;
    } table[] = {
        {1, 1, 500},
        {30, 1, 15 * S},
        {30, CLIENT_FLIGHTS_MAX - 1, 15 * S},
        {30, CLIENT_FLIGHTS_MAX, SPOOL_STALL_MS},
        {1, CLIENT_FLIGHTS_MAX, 500},
        {CONF_TIMEOUT_MAX_S, 1, (uint64_t)CONF_TIMEOUT_MAX_S * S / 2},
        {CONF_TIMEOUT_MAX_S, CLIENT_FLIGHTS_MAX, SPOOL_STALL_MS},
    };
    uint64_t ids[CLIENT_FLIGHTS_MAX];

    for (size_t i = 0; i < COUNT(table); i++) {
        (void)setup(state);
        conf.timeout_s = table[i].timeout_s;
        claimed();
        const uint64_t due = now + table[i].ms;
        for (size_t n = 0; n < table[i].flights; n++)
            ids[n] = give();
        sp.look_due_ms = UINT64_MAX;
        assert_int_equal(spooler_deadline(&sp), due);
        spooler_work(&sp, due - 1);
        expect_spooled(ids, 0);
        spooler_work(&sp, due);
        expect_spooled(ids, table[i].flights);
        assert_true(spooler_deadline(&sp) > due);
    }
}

/* ---- out of the spool ---- */

static void removed_up_to_the_oldest(void **state)
{
    uint64_t ids[4];

    (void)state;
    claimed();
    for (size_t i = 0; i < 4; i++)
        ids[i] = give();
    away();
    back();
    ack(1);
    spooler_work(&sp, now);
    expect_spooled(ids, 4);
    ack(3);
    ack(0);
    spooler_work(&sp, now);
    expect_spooled(ids + 2, 2);
    assert_true(spool_in_use(&keyring.spool));
    ack(0);
    spooler_work(&sp, now);
    assert_int_equal(file_size(), 0);
    assert_true(spooler_settled(&sp));
}

static void a_full_flight(uint8_t qos, uint32_t most)
{
    uint64_t ids[CLIENT_FLIGHTS_MAX + 20];

    conf.qos = qos;
    sp.away = true;
    for (size_t i = 0; i < COUNT(ids); i++)
        ids[i] = give();
    assert_int_equal(in_flight(), 0);
    claimed();
    assert_int_equal(in_flight(), most);
    assert_true(spool_has_next(&keyring.spool));
    for (uint32_t i = 0; i < most; i++)
        assert_int_equal(id_of_flight(i), ids[i]);
    if (qos == 2)
        return;
    assert_true(give() > ids[COUNT(ids) - 1]); /* behind them, in the file */
    for (uint32_t i = 0; i < 3; i++)
        ack(0);
    spooler_work(&sp, now);
    assert_int_equal(in_flight(), most);
    for (uint32_t i = 0; i < most; i++)
        assert_int_equal(id_of_flight(i), ids[3 + i]);
    while (in_flight() > 0)
        ack_all();
    assert_true(spooler_settled(&sp));
    assert_int_equal(session.sent, COUNT(ids) + 1);
}

static void full_flights(void **state)
{
    a_full_flight(1, CLIENT_FLIGHTS_MAX);
    (void)setup(state);
    a_full_flight(2, CLIENT_QOS2_FLIGHTS_MAX);
}

/* A record that the ring has no room for is read again when there is. */
static void a_large_one_waits(void **state)
{
    uint64_t ids[3];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(give_len(MESSAGE_MAX_BYTES), SPOOLER_TAKEN);
        ids[i] = session.last_id;
    }
    claimed();
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(in_flight(), 1);
        assert_int_equal(id_of_flight(0), ids[i]);
        expect_spooled(ids + i, 3 - i);
        ack(0);
        spooler_work(&sp, now);
    }
    assert_true(spooler_settled(&sp));
}

/* ---- more than one run ---- */

static void claims(void **state)
{
    uint64_t ids[2];

    (void)state;
    assert_int_equal(spool_open(&other, "spool", conf.spool_max_bytes, log_to), EX_OK);
    assert_int_equal(spool_claim(&other), EX_OK);
    assert_false(spooler_claim(&sp, now));
    assert_int_equal(spooler_deadline(&sp), now + SPOOL_CLAIM_EVERY_MS);
    ids[0] = give();
    assert_int_equal(in_flight(), 0);
    spooler_work(&sp, now);
    assert_int_equal(in_flight(), 0);
    expect_spooled(ids, 1);
    expect_later_deadline();
    spool_close(&other);
    assert_false(spooler_claim(&sp, sp.claim_due_ms - 1));
    now = sp.claim_due_ms;
    assert_true(spooler_claim(&sp, now));
    assert_false(spooler_settled(&sp)); /* what waits is known at once */
    spooler_work(&sp, now);
    assert_int_equal(in_flight(), 1);
    ids[1] = give();
    assert_int_equal(in_flight(), 2);
    expect_spooled(ids, 1);
    assert_true(spooler_claim(&sp, now));
}

static void of_others(void **state)
{
    uint64_t id;

    (void)state;
    claimed();
    id = give();
    others(id + 1);
    spooler_work(&sp, now);
    assert_int_equal(in_flight(), 1);
    now += SPOOL_LOOK_EVERY_MS;
    spooler_work(&sp, now);
    assert_int_equal(in_flight(), 2); /* an idle run looks */
    others(id + UINT64_C(100000000000));
    assert_true(give() > id + UINT64_C(100000000000)); /* so does one that gets a message */
    ack_all();
    ack_all();
    assert_int_equal(session.sent, 4);
    assert_int_equal(file_size(), 0);
}

/* Unread ones stay unread where what is in flight is put behind them. */
static void of_others_while_away(void **state)
{
    uint64_t id;

    (void)state;
    claimed();
    id = give();
    session.client.state = CLIENT_WAITING;
    others(id + 1);
    away();
    back();
    now += SPOOL_LOOK_EVERY_MS;
    spooler_work(&sp, now);
    assert_int_equal(id_of_flight(0), id);
    assert_int_equal(id_of_flight(1), id + 1);
    ack_all();
    assert_int_equal(file_size(), 0);
}

/* What went directly keeps nothing in the file. */
static void acknowledged_out_of_order(void **state)
{
    (void)state;
    claimed();
    others(give() + 1);
    now += SPOOL_LOOK_EVERY_MS;
    spooler_work(&sp, now);
    assert_int_equal(in_flight(), 2);
    ack(1);
    spooler_work(&sp, now);
    assert_int_equal(in_flight(), 2);
    assert_int_equal(file_size(), 0);
}

/* What was put into the spool behind newer ones is sent before them. */
static void late_ones(void **state)
{
    static const struct {
        unsigned before, mine, theirs, mine_again, theirs_again;
    } table[] = {
        {0, 1, 1, 0, 0},      {0, 1, 40, 0, 0}, {0, 40, 40, 0, 0},   {5, 20, 50, 0, 0},
        {10, 30, 50, 20, 40}, {0, 64, 1, 0, 0}, {30, 34, 3, 0, 200},
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        uint64_t id, last = 0;
        (void)setup(state);
        sp.away = true;
        for (unsigned n = 0; n < table[i].before; n++)
            (void)give();
        for (unsigned round = 0; round < 2; round++) {
            claimed();
            session.client.state = CLIENT_UP;
            for (unsigned n = 0; n < (round ? table[i].mine_again : table[i].mine); n++)
                (void)give();
            id = keyring.spool.last_id > session.last_id ? keyring.spool.last_id : session.last_id;
            for (unsigned n = 0; n < (round ? table[i].theirs_again : table[i].theirs); n++)
                others(++id);
            assert_int_equal(spooler_finish(&sp, now), EX_TEMPFAIL);
            end_run();
            begin_run();
            now += SPOOL_LOOK_EVERY_MS;
        }
        claimed();
        for (unsigned sent = 0; in_flight() > 0; sent++) {
            if (id_of_flight(0) > last) {
                uint64_t all[2000];
                const size_t count = spooled(all, COUNT(all));
                for (size_t n = 0; n < count; n++) /* nothing between was passed over */
                    assert_true(all[n] <= last || all[n] >= id_of_flight(0));
                last = id_of_flight(0);
            }
            assert_true(sent < 1000);
            ack(0);
            spooler_work(&sp, now);
        }
        assert_true(last >= id);
        assert_int_equal(file_size(), 0);
        assert_false(keyring.spool.damaged);
    }
}

/* What is more than goes into flight is not read before there is a connection; then a late one, the
 * last of all, is sent first. What is less goes into flight at once, to leave with CONNECT. */
static void read_when_connected(void **state)
{
    static const struct {
        enum client_state state;
        bool connected;
    } table[] = {
        {CLIENT_RESOLVING, false}, {CLIENT_CONNECTING, false}, {CLIENT_WAITING, false},
        {CLIENT_GREETING, true},   {CLIENT_UP, true},
    };

    for (size_t i = 0; i < COUNT(table); i++)
        for (unsigned count = 10; count <= 2000; count += 1990) {
            (void)setup(state);
            for (unsigned n = 0; n < count; n++)
                others(100 + n);
            others(50);
            end_run();
            begin_run();
            session.client.state = table[i].state;
            assert_true(spooler_claim(&sp, now));
            spooler_work(&sp, now);
            if (count < 100 || table[i].connected) {
                assert_int_equal(in_flight(), count < 100 ? count + 2 : CLIENT_FLIGHTS_MAX);
                assert_int_equal(id_of_flight(0), 50);
                assert_int_equal(id_of_flight(1), 100);
                continue;
            }
            assert_int_equal(in_flight(), 0);
            assert_int_equal(give_len(4), SPOOLER_TAKEN); /* behind them */
            assert_int_equal(in_flight(), 0);
            assert_in_range(disk.reads, 1, 1000);
            back();
            assert_int_equal(id_of_flight(0), 50);
            assert_int_equal(id_of_flight(1), 100);
            assert_true(disk.reads > 2 * count);
        }
}

/* In a ring that has wrapped, nothing before its head is looked at. */
static void from_the_head_on(void **state)
{
    uint64_t id = 0;

    (void)state;
    end_run();
    conf.spool_max_bytes = SPOOL_MIN_BYTES;
    begin_run();
    claimed();
    away();
    (void)give();
    for (int i = 0; i < 10; i++) {
        id = give();
        spooler_work(&sp, now);
        ack(0);
        spooler_work(&sp, now);
    }
    assert_int_equal(spooler_finish(&sp, now), EX_TEMPFAIL);
    assert_true(keyring.spool.head > keyring.spool.capacity);
    end_run();
    begin_run();
    claimed();
    assert_int_equal(in_flight(), 1);
    assert_int_equal(id_of_flight(0), id);
    assert_false(keyring.spool.damaged);
}

/* ---- a spool that takes nothing ---- */

static void full(void **state)
{
    (void)state;
    end_run();
    conf.spool_max_bytes = SPOOL_MIN_BYTES;
    begin_run();
    claimed();
    away();
    while (give_len(4) == SPOOLER_TAKEN)
        ;
    assert_int_equal(sp.refused, EX_CANTCREAT);
    assert_int_equal(sp.refused_ms, now);
    assert_int_equal(spooler_deadline(&sp), now + SPOOL_RETRY_MS);
    spooler_work(&sp, now);
    now += SPOOL_RETRY_MS - 1;
    assert_int_equal(give_len(4), SPOOLER_LATER);
    assert_int_equal(sp.refused_ms, now - (SPOOL_RETRY_MS - 1));
    now++;
    assert_int_equal(give_len(4), SPOOLER_LATER);
    assert_int_equal(sp.refused_ms, now); /* tried again */
    assert_int_equal(spooler_hopeless_ms(&sp, false),
                     sp.moved_ms + TIMEOUT_S * S + CLIENT_LINGER_MS);
    now++;
    assert_true(in_flight() > 0);
    ack(0);
    spooler_work(&sp, now);
    assert_true(sp.away);
    assert_int_equal(give_len(4), SPOOLER_TAKEN); /* at once, now that something has moved */
    assert_int_equal(sp.refused, EX_OK);
    assert_int_equal(give_len(4), SPOOLER_LATER);
    back();
    ack_all();
    now += SPOOL_RETRY_MS;
    spooler_work(&sp, now);
    assert_int_equal(sp.refused, EX_OK);
    ack_all();
    expect_later_deadline();
    assert_int_equal(spooler_finish(&sp, now), EX_OK);
}

/* What could not be appended is still in flight, and is tried again, but not all the time. */
static void flights_find_no_room(void **state)
{
    unsigned rounds = 0;

    (void)state;
    end_run();
    conf.spool_max_bytes = SPOOL_MIN_BYTES;
    begin_run();
    claimed();
    for (int i = 0; i < 10; i++)
        (void)give();
    away();
    assert_int_equal(sp.refused, EX_CANTCREAT);
    spooler_work(&sp, now + 1);
    assert_int_equal(sp.refused_ms, now);
    for (const uint64_t until = now + 20 * S; now < until; rounds++) {
        const uint64_t due = spooler_deadline(&sp);
        assert_true(due > now);
        now = due;
        spooler_work(&sp, now);
    }
    assert_in_range(rounds, 20, 25);
    assert_int_equal(in_flight(), 10);
    assert_int_equal(spooler_finish(&sp, now), EX_CANTCREAT);
    assert_logged("spool is full");
    back();
    ack_all();
    expect_later_deadline(); /* a refusal of long ago is forgotten */
    assert_int_equal(sp.refused, EX_OK);
    assert_int_equal(spooler_finish(&sp, now), EX_OK);
}

static void too_large_for_it(void **state)
{
    (void)state;
    end_run();
    conf.spool_max_bytes = SPOOL_MIN_BYTES;
    begin_run();
    claimed();
    assert_int_equal(give_len(5000), SPOOLER_TAKEN);
    assert_int_equal(in_flight(), 1);
    ack_all();
    away();
    assert_int_equal(give_len(5000), SPOOLER_LATER);
    back();
    assert_int_equal(give_len(5000), SPOOLER_TAKEN);
}

/* ---- a spool that cannot be used ---- */

enum how { CANNOT_OPEN, CANNOT_READ, REMOVED, CANNOT_SYNC, NOT_OURS };

/* Whether more may be sent without it depends on what it may hold. */
static void lost_or_not(void **state)
{
    static const struct {
        enum how how;
        unsigned inside; /* what earlier runs have left there */
        bool lost;
    } table[] = {
        {CANNOT_OPEN, 0, false}, {CANNOT_READ, 0, false}, {CANNOT_READ, 1, true},
        {REMOVED, 0, false},     {REMOVED, 1, true},      {CANNOT_SYNC, 0, true},
        {NOT_OURS, 0, false},
    };

    for (size_t i = 0; i < COUNT(table); i++) {
        (void)setup(state);
        for (unsigned n = 0; n < table[i].inside; n++)
            others(n + 1);
        end_run();
        if (table[i].how == CANNOT_OPEN)
            strcpy(conf.spool.text, "no/folder");
        if (table[i].how == NOT_OURS) {
            static const char text[SPOOL_HEADER_BYTES + 1] = "something else";
            put_file("spool", text, sizeof text, 0600);
        }
        begin_run();
        disk.read = table[i].how == CANNOT_READ && table[i].inside > 0;
        assert_true(spooler_claim(&sp, now));
        if (table[i].how == REMOVED) {
            assert_int_equal(rename("spool", "gone"), 0);
            assert_int_equal(remove("gone"), 0);
            now += SPOOL_LOOK_EVERY_MS;
            spooler_work(&sp, now);
        }
        if (table[i].how == CANNOT_SYNC) {
            disk.sync = true;
            (void)give();
            away();
        }
        assert_int_equal(sp.lost, table[i].lost);
        assert_int_equal(spooler_active(&sp), table[i].how == CANNOT_READ && !table[i].inside);
        assert_int_equal(spooler_finish(&sp, now), table[i].lost ? EX_IOERR : EX_OK);
    }
}

/* It has put something there, and does not know where it is now. */
static void used_and_removed(void **state)
{
    (void)state;
    assert_int_equal(spool_open(&other, "spool", conf.spool_max_bytes, log_to), EX_OK);
    assert_int_equal(spool_claim(&other), EX_OK);
    (void)give();
    spool_close(&other);
    assert_int_equal(remove("spool"), 0);
    assert_true(spooler_claim(&sp, now));
    assert_true(sp.lost);
}

static void without_any(void **state)
{
    (void)state;
    end_run();
    conf.spool.set = false;
    begin_run();
    assert_false(spooler_active(&sp));
    assert_true(spooler_claim(&sp, now));
    assert_int_equal(spooler_not_kept(&sp, EX_TEMPFAIL), EX_TEMPFAIL);
    conf.spool.set = true;
    begin_run();
    assert_int_equal(spooler_not_kept(&sp, EX_TEMPFAIL), EX_CANTCREAT);
    assert_int_equal(spooler_not_kept(&sp, EX_OK), EX_OK);
}

/* ---- the end ---- */

static void finishes(void **state)
{
    enum { ACKED, ACKED_NOW, DIRECT, WAITING, NO_SYNC, NO_WRITE, DAMAGED };
    static const int statuses[] = {
        [ACKED] = EX_OK,         [ACKED_NOW] = EX_OK,  [DIRECT] = EX_TEMPFAIL,
        [WAITING] = EX_TEMPFAIL, [NO_SYNC] = EX_IOERR, [NO_WRITE] = EX_IOERR,
        [DAMAGED] = EX_IOERR,
    };

    for (int i = 0; i < (int)COUNT(statuses); i++) {
        (void)setup(state);
        claimed();
        if (i == WAITING || i == ACKED_NOW)
            away();
        (void)give();
        if (i == ACKED_NOW) {
            spooler_work(&sp, now);
            ack(0);
        }
        if (i == ACKED || i == DAMAGED)
            ack_all();
        keyring.spool.damaged = i == DAMAGED;
        disk.sync = i == NO_SYNC;
        disk.write = i == NO_WRITE;
        disk.syncs = 0;
        assert_int_equal(spooler_finish(&sp, now), statuses[i]);
        assert_int_equal(disk.syncs, i == DIRECT || i == WAITING || i == NO_SYNC);
        if (statuses[i] == EX_TEMPFAIL)
            assert_logged("bytes wait in spool for the next run");
    }
}

/* What -l appends is synced once in a while, and the deadline says when. */
static void synced(void **state)
{
    (void)state;
    claimed();
    away();
    (void)give();
    now += 10;
    (void)give();
    assert_int_equal(disk.syncs, 0);
    assert_int_equal(spooler_deadline(&sp), now - 10 + SPOOL_SYNC_EVERY_MS);
    now += SPOOL_SYNC_EVERY_MS - 10;
    spooler_work(&sp, now);
    assert_int_equal(disk.syncs, 1);
    expect_later_deadline();
    assert_int_equal(disk.syncs, 1);
}

static void hopeless(void **state)
{
    struct client *c = &session.client;

    (void)state;
    claimed();
    (void)give();
    now += 5;
    const uint64_t later = sp.moved_ms + TIMEOUT_S * S + CLIENT_LINGER_MS;
    assert_int_equal(spooler_hopeless_ms(&sp, true), later);
    c->state = CLIENT_WAITING;
    assert_int_equal(spooler_hopeless_ms(&sp, true), 0);
    assert_int_equal(spooler_hopeless_ms(&sp, false), later);
    c->was_up = true;
    assert_int_equal(spooler_hopeless_ms(&sp, true), later);
    ack_all();
    assert_int_equal(spooler_hopeless_ms(&sp, true), later + 5);
    others(session.last_id + 1);
    now += SPOOL_LOOK_EVERY_MS;
    spooler_work(&sp, now); /* what was just sent for another run gets its time, too */
    assert_int_equal(in_flight(), 1);
    assert_int_equal(spooler_hopeless_ms(&sp, true), later + 5 + SPOOL_LOOK_EVERY_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(directly, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(away_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(states, setup, teardown),
        cmocka_unit_test_setup_teardown(patience, setup, teardown),
        cmocka_unit_test_setup_teardown(removed_up_to_the_oldest, setup, teardown),
        cmocka_unit_test_setup_teardown(full_flights, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_one_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(claims, setup, teardown),
        cmocka_unit_test_setup_teardown(of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(of_others_while_away, setup, teardown),
        cmocka_unit_test_setup_teardown(acknowledged_out_of_order, setup, teardown),
        cmocka_unit_test_setup_teardown(late_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(read_when_connected, setup, teardown),
        cmocka_unit_test_setup_teardown(from_the_head_on, setup, teardown),
        cmocka_unit_test_setup_teardown(full, setup, teardown),
        cmocka_unit_test_setup_teardown(flights_find_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(too_large_for_it, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_or_not, setup, teardown),
        cmocka_unit_test_setup_teardown(used_and_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(without_any, setup, teardown),
        cmocka_unit_test_setup_teardown(finishes, setup, teardown),
        cmocka_unit_test_setup_teardown(synced, setup, teardown),
        cmocka_unit_test_setup_teardown(hopeless, setup, teardown),
    };

    other.fd = keyring.spool.fd = -1;
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
