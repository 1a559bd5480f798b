/* test_lookup.c - host names, by files of the test's own and name servers of its own.
 *
 * The files are in a folder of the test's, and the servers of resolv.conf are reached at another
 * port than 53: files_open and connect are told so here. The servers are one child process at
 * 127.0.0.1 and 127.0.0.2; at 127.0.0.3 nobody listens. It writes down each question. */
#include "scratch.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "dns.h"
#include "lookup.h"

static uint16_t port;

int __real_connect(int fd, const struct sockaddr *to, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t len)
{
    struct sockaddr_in v4;

    if (to->sa_family != AF_INET)
        return __real_connect(fd, to, len);
    memcpy(&v4, to, sizeof v4);
    assert_int_equal(ntohs(v4.sin_port), 53);
    v4.sin_port = htons(port);
    return __real_connect(fd, (const struct sockaddr *)&v4, sizeof v4);
}

int __real_files_open(const char *file, int flags);
int __wrap_files_open(const char *file, int flags);
int __wrap_files_open(const char *file, int flags)
{
    const char *name = strrchr(file, '/');

    assert_memory_equal(file, "/etc/", 5);
    return __real_files_open(name + 1, flags);
}

/* Over loopback, that nobody listens is known at once: the next send tells, unless it is made to try
 * again, and then recv does. */
static bool send_again;

ssize_t __real_send(int fd, const void *from, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *from, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *from, size_t len, int flags)
{
    const ssize_t n = __real_send(fd, from, len, flags);

    return n < 0 && send_again ? __real_send(fd, from, len, flags) : n;
}

static void put_text(const char *name, const char *text)
{
    put_file(name, text, strlen(text), 0600);
}

/* ---- the servers ---- */

static pid_t server;

struct reply {
    uint8_t bytes[2048];
    size_t len;
};

static void put(struct reply *r, const void *from, size_t len)
{
    memcpy(r->bytes + r->len, from, len);
    r->len += len;
}

/* A record of that name, whose last byte of data is `n`. */
static void put_record(struct reply *r, uint8_t type, uint8_t n)
{
    static const uint8_t v4[] = {192, 0, 2}, v6[15] = {0x20, 1, 0x0d, 0xb8};

    put(r, (const uint8_t[]){0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, type == 1 ? 4 : 16}, 12);
    put(r, type == 1 ? v4 : v6, type == 1 ? sizeof v4 : sizeof v6);
    put(r, &n, 1);
    r->bytes[7]++;
}

/* The first label says what to do; the rest of the name is for the search list. */
struct question {
    char label[64];
    char name[256];
    uint8_t type;
    bool first_server, again; /* this very question was seen before */
};

static bool is(const struct question *q, const char *label)
{
    return strcmp(q->label, label) == 0;
}

static void answer(const struct question *q, struct reply *r)
{
    const uint8_t type = q->type;

    if (is(q, "both") || (is(q, "v4") && type == DNS_A) || (is(q, "v6") && type == DNS_AAAA) ||
        (is(q, "late") && q->again) || (is(q, "other") && !q->first_server) || is(q, "forged"))
        put_record(r, type, 1);
    for (uint8_t n = 1; is(q, "many") && n <= 12; n++)
        put_record(r, type, n);
    if (is(q, "refused") || (is(q, "other") && q->first_server))
        r->bytes[3] |= 5;
    if ((is(q, "shaky") && !q->again) || is(q, "broken"))
        r->bytes[3] |= 2;
    else if (is(q, "shaky"))
        put_record(r, type, 1);
    if (!r->bytes[7] && !(r->bytes[3] & 15))
        r->bytes[3] |= 3;
}

static bool is_silent(const struct question *q)
{
    return is(q, "silent") || (is(q, "late") && !q->again) || (is(q, "half") && q->type == DNS_A);
}

static struct question read_question(const struct reply *r)
{
    static struct question seen[1024];
    static size_t count;
    struct question q = {.type = r->bytes[r->len - 3]};
    size_t at = 12;

    for (uint8_t len = r->bytes[at++]; len > 0; len = r->bytes[at++]) {
        memcpy(q.label[0] ? q.name + strlen(q.name) : q.label, r->bytes + at, len);
        if (q.name[0] == '\0')
            memcpy(q.name, r->bytes + at, len);
        strcat(q.name, ".");
        at += len;
    }
    for (size_t i = 0; i < count; i++)
        q.again |= strcmp(seen[i].name, q.name) == 0 && seen[i].type == q.type;
    if (count < COUNT(seen))
        seen[count++] = q;
    return q;
}

static void say_forged(int fd, const struct reply *r, const struct sockaddr_in *to)
{
    struct reply bad = *r;

    bad.bytes[1]++; /* another id */
    put_record(&bad, bad.bytes[r->len - 3], 66);
    (void)sendto(fd, bad.bytes, bad.len, 0, (const struct sockaddr *)to, sizeof *to);
    bad.bytes[1]--;
    bad.bytes[13] ^= 1; /* another question */
    (void)sendto(fd, bad.bytes, bad.len, 0, (const struct sockaddr *)to, sizeof *to);
}

static void serve_one(int fd, bool first_server, FILE *asked)
{
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    struct reply r;
    const ssize_t n = recvfrom(fd, r.bytes, sizeof r.bytes, 0, (struct sockaddr *)&from, &from_len);

    if (n < 17)
        return;
    r.len = (size_t)n;
    struct question q = read_question(&r);
    q.first_server = first_server;
    (void)fprintf(asked, "%s %s\n", q.type == DNS_A ? "A" : "AAAA", q.name);
    (void)fflush(asked);
    r.bytes[2] = 0x81;
    r.bytes[3] = 0x80;
    if (is_silent(&q))
        return;
    if (is(&q, "forged"))
        say_forged(fd, &r, &from);
    answer(&q, &r);
    (void)sendto(fd, r.bytes, r.len, 0, (struct sockaddr *)&from, from_len);
}

static _Noreturn void serve(const int fds[2])
{
    struct pollfd polled[] = {{.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}};
    FILE *asked = fopen("asked", "a");

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    while (asked && poll(polled, 2, -1) > 0)
        for (int i = 0; i < 2; i++)
            if (polled[i].revents)
                serve_one(fds[i], i == 0, asked);
    _exit(1);
}

static int start(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t len = sizeof at;
    int fds[2];

    if (scratch_make(state) != 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (bind(fds[i], (struct sockaddr *)&at, sizeof at) != 0 ||
            getsockname(fds[i], (struct sockaddr *)&at, &len) != 0)
            return -1;
        at.sin_addr.s_addr = htonl(0x7f000002); /* the same port */
    }
    port = ntohs(at.sin_port);
    put_text("asked", "");
    server = fork();
    if (server == 0)
        serve(fds);
    close(fds[0]);
    close(fds[1]);
    return server < 0;
}

static int end(void **state)
{
    kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    return scratch_remove(state);
}

/* ---- looking ---- */

static struct resolve_address found[CLIENT_ADDRESSES_MAX];
static size_t count;

static int fresh(void **state)
{
    (void)state;
    put_text("hosts", "");
    put_text("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1\n");
    return truncate("asked", 0);
}

static size_t look(const char *host)
{
    memset(found, 0x77, sizeof found);
    count = lookup_name(found, host);
    assert_in_range(count, 0, CLIENT_ADDRESSES_MAX);
    return count;
}

static void expect(size_t i, const char *address)
{
    char text[INET6_ADDRSTRLEN];

    assert_true(i < count);
    assert_non_null(
        inet_ntop(found[i].family == 6 ? AF_INET6 : AF_INET, found[i].address, text, sizeof text));
    assert_string_equal(text, address);
}

static void expect_one(const char *host, const char *address)
{
    assert_int_equal(look(host), 1);
    expect(0, address);
}

/* What the servers were asked since `fresh`, or the last time. */
static void expect_asked(const char *want)
{
    char text[8192];
    FILE *file = fopen("asked", "r");

    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    assert_string_equal(text, want);
    assert_int_equal(truncate("asked", 0), 0);
}

/* ---- /etc/hosts ---- */

static void the_hosts_file_comes_first(void **state)
{
    (void)state;
    put_text("hosts", "127.0.0.9 v4.test# v6.test\n"
                      "# 127.0.0.8 both.test\n"
                      "::1\tlocal\tv4.test  alias.lan\r\n"
                      "not-an-address both.test\n"
                      "127.0.0.300 both.test\n"
                      "\n \t\n127.0.0.7 ALIAS.lan broker.without.end");
    assert_int_equal(look("v4.test"), 2);
    expect(0, "::1"); /* IPv6 goes first */
    expect(1, "127.0.0.9");
    assert_int_equal(look("alias.LAN"), 2);
    expect(0, "::1");
    expect(1, "127.0.0.7");
    expect_one("local", "::1");
    expect_one("broker.without.end", "127.0.0.7");
    expect_asked("");
    assert_int_equal(look("both.test"), 2);
    expect(0, "2001:db8::1");
    expect_one("v6.test", "2001:db8::1");
    assert_int_equal(look("ocal"), 0);
    assert_int_equal(look("127.0.0.9"), 0); /* resolve.c takes numbers before */
}

static void the_hosts_file_may_be_long(void **state)
{
    FILE *file = fopen("hosts", "w");

    (void)state;
    assert_non_null(file);
    for (int i = 0; i < 20000; i++)
        (void)fprintf(file, "0.0.0.0 advertiser%d.example\n", i);
    (void)fprintf(file, "10.0.0.1 ");
    for (int i = 0; i < 3000; i++)
        (void)fputc('x', file);
    (void)fprintf(file, " last.example\n");
    for (int i = 0; i < 30; i++)
        (void)fprintf(file, "10.0.1.%d often.example\nfd00::%d often.example\n", i, i + 1);
    assert_int_equal(fclose(file), 0);
    expect_one("last.example", "10.0.0.1");
    expect_one("advertiser19999.example", "0.0.0.0");
    assert_int_equal(look("often.example"), CLIENT_ADDRESSES_MAX);
    expect(0, "fd00::1");
    expect(3, "fd00::4");
    expect(4, "10.0.1.0");
    expect(7, "10.0.1.3");
}

static void files_may_be_missing(void **state)
{
    (void)state;
    assert_int_equal(unlink("hosts"), 0);
    assert_int_equal(look("both.test"), 2);
    assert_int_equal(unlink("resolv.conf"), 0); /* then 127.0.0.1 is asked */
    assert_int_equal(look("both.test"), 2);
    put_text("resolv.conf", "");
    assert_int_equal(look("both.test"), 2);
    put_text("resolv.conf", "nameserver broker.example\nnameserver\n");
    assert_int_equal(look("both.test"), 2);
}

/* ---- name servers ---- */

static void both_kinds_are_asked_for(void **state)
{
    (void)state;
    assert_int_equal(look("both.test"), 2);
    expect(0, "2001:db8::1");
    expect(1, "192.0.2.1");
    expect_asked("AAAA both.test.\nA both.test.\n");
    expect_one("v4.test", "192.0.2.1");
    expect_one("v6.test", "2001:db8::1");
    expect_one("V4.Test.", "192.0.2.1");
    assert_int_equal(look("none.test"), 0);
}

static void ipv6_leaves_room_for_ipv4(void **state)
{
    (void)state;
    assert_int_equal(look("many.test"), CLIENT_ADDRESSES_MAX);
    for (size_t i = 0; i < CLIENT_ADDRESSES_MAX; i++)
        assert_int_equal(found[i].family, i < CLIENT_ADDRESSES_MAX / 2 ? 6 : 4);
    expect(4, "192.0.2.1");
    expect(7, "192.0.2.4");
}

static void what_is_no_name_is_not_asked_for(void **state)
{
    static const char *const hosts[] = {"", ".", "a..b", "a b", "-.", ".v4.test", "v4.test.."};
    char longest[CONF_VALUE_MAX_CHARS + 1];

    (void)state;
    for (size_t i = 0; i < COUNT(hosts); i++) {
        assert_int_equal(look(hosts[i]), 0);
        if (strcmp(hosts[i], "-.") != 0)
            expect_asked("");
        else
            expect_asked("AAAA -.\nA -.\n");
    }
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(look(longest), 0);
    expect_asked("");
}

static void forged_answers_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(look("forged.test"), 2);
    expect(0, "2001:db8::1");
    expect(1, "192.0.2.1");
}

static void a_lost_question_is_asked_again(void **state)
{
    (void)state;
    assert_int_equal(look("late.test"), 2);
    expect_asked("AAAA late.test.\nA late.test.\nAAAA late.test.\nA late.test.\n");
    /* Nothing is asked again that is answered. */
    expect_one("v4.test", "192.0.2.1");
    expect_asked("AAAA v4.test.\nA v4.test.\n");
    assert_int_equal(look("half.test"), 0);
    expect_asked("AAAA half.test.\nA half.test.\nA half.test.\n");
    put_text("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:3 rotate\n");
    assert_int_equal(look("silent.test"), 0);
    expect_asked("AAAA silent.test.\nA silent.test.\nAAAA silent.test.\nA silent.test.\n"
                 "AAAA silent.test.\nA silent.test.\n");
}

/* With a time limit that the test would not come to the end of. */
static void refusals_are_not_waited_out(void **state)
{
    (void)state;
    put_text("resolv.conf", "nameserver 127.0.0.1\noptions timeout:60\n");
    assert_int_equal(look("refused.test"), 0);
    expect_asked("AAAA refused.test.\nA refused.test.\nAAAA refused.test.\nA refused.test.\n");
    assert_int_equal(look("shaky.test"), 2);
    assert_int_equal(look("broken.test"), 0);
    put_text("resolv.conf", "nameserver 127.0.0.3\noptions timeout:60\n");
    assert_int_equal(look("v4.test"), 0);
    send_again = true;
    assert_int_equal(look("v4.test"), 0);
    send_again = false;
    /* No route, or an address that nobody may send to. */
    put_text("resolv.conf",
             "nameserver 255.255.255.255\nnameserver 127.0.0.3\noptions timeout:60\n");
    assert_int_equal(look("v4.test"), 0);
}

static void any_server_may_answer(void **state)
{
    (void)state;
    put_text("resolv.conf", "nameserver 127.0.0.3\nnameserver 127.0.0.2\noptions timeout:60\n");
    assert_int_equal(look("both.test"), 2);
    expect_asked("AAAA both.test.\nA both.test.\n");
    put_text("resolv.conf", "nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:60\n");
    assert_int_equal(look("other.test"), 2);
    expect(0, "2001:db8::1");
    expect(1, "192.0.2.1");
    /* Three are asked, the fourth is not. */
    put_text("resolv.conf", "nameserver 127.0.0.3\nnameserver 127.0.0.3\nnameserver 127.0.0.3\n"
                            "nameserver 127.0.0.1\noptions timeout:60\n");
    assert_int_equal(truncate("asked", 0), 0);
    assert_int_equal(look("both.test"), 0);
    expect_asked("");
}

/* ---- the search list ---- */

static void short_names_are_searched(void **state)
{
    (void)state;
    put_text("resolv.conf", "nameserver 127.0.0.1\nsearch none.lan\nsearch lan example.org\n");
    expect_one("v4", "192.0.2.1");
    expect_asked("AAAA v4.lan.\nA v4.lan.\n");
    assert_int_equal(look("nobody"), 0);
    expect_asked(
        "AAAA nobody.lan.\nA nobody.lan.\nAAAA nobody.example.org.\nA nobody.example.org.\n"
        "AAAA nobody.\nA nobody.\n");
    expect_one("v4.", "192.0.2.1");
    expect_one("v4.test", "192.0.2.1");
    expect_asked("AAAA v4.\nA v4.\nAAAA v4.test.\nA v4.test.\n");
    put_text("resolv.conf", "domain lan\nnameserver 127.0.0.1\noptions ndots:2\n");
    expect_one("v4.test", "192.0.2.1");
    expect_one("v4.test.org", "192.0.2.1");
    expect_asked("AAAA v4.test.lan.\nA v4.test.lan.\nAAAA v4.test.org.\nA v4.test.org.\n");
    put_text("resolv.conf", "search . a. lan.\nnameserver 127.0.0.1\n");
    assert_int_equal(look("nobody"), 0);
    expect_asked(
        "AAAA nobody.a.\nA nobody.a.\nAAAA nobody.lan.\nA nobody.lan.\nAAAA nobody.\nA nobody.\n");
    put_text("resolv.conf", "search lan\nnameserver 127.0.0.1\noptions ndots:0\n");
    expect_one("v4", "192.0.2.1");
    expect_asked("AAAA v4.\nA v4.\n");
}

/* What has no room, or makes too long a name, is left out. */
static void the_search_list_has_its_limits(void **state)
{
    char text[1024] = "nameserver 127.0.0.1\nsearch ", domain[201];

    (void)state;
    for (size_t i = 0; i < sizeof domain - 1; i++)
        domain[i] = i % 20 == 19 ? '.' : 'd';
    domain[sizeof domain - 2] = '\0';
    strcat(strcat(strcat(text, domain), " "), domain);
    strcat(text, " lan\n");
    put_text("resolv.conf", text);
    expect_one("v4", "192.0.2.1");
    assert_int_equal(truncate("asked", 0), 0);
    memset(domain, 'e', 60);
    domain[60] = '\0';
    assert_int_equal(look(domain), 0);
    (void)snprintf(text, sizeof text, "AAAA %s.lan.\nA %s.lan.\nAAAA %s.\nA %s.\n", domain, domain,
                   domain, domain);
    expect_asked(text);
}

static void options_keep_within_their_limits(void **state)
{
    (void)state;
    put_text("resolv.conf", "nameserver 127.0.0.3\nsearch lan\n"
                            "options ndots: timeout:99999999999999999999 attempts:0 attempts\n");
    assert_int_equal(look("v4.test"), 0); /* ndots 0, one attempt */
    put_text("resolv.conf",
             "nameserver 127.0.0.1\nsearch lan\noptions ndots:999 attempts:4294967297\n");
    expect_one("v4.b.c.d.e.f.g.h.i.j.k.l.m.n.o", "192.0.2.1"); /* 14 dots */
    expect_asked(
        "AAAA v4.b.c.d.e.f.g.h.i.j.k.l.m.n.o.lan.\nA v4.b.c.d.e.f.g.h.i.j.k.l.m.n.o.lan.\n");
    expect_one("v4.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", "192.0.2.1");
    expect_asked("AAAA v4.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.\nA v4.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.\n");
    assert_int_equal(look("refused.test"), 0);
    char want[2048] = "";
    for (int i = 0; i < LOOKUP_ATTEMPTS_MAX; i++)
        strcat(want, "AAAA refused.test.lan.\nA refused.test.lan.\n");
    expect_asked(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_hosts_file_comes_first, fresh),
        cmocka_unit_test_setup(the_hosts_file_may_be_long, fresh),
        cmocka_unit_test_setup(files_may_be_missing, fresh),
        cmocka_unit_test_setup(both_kinds_are_asked_for, fresh),
        cmocka_unit_test_setup(ipv6_leaves_room_for_ipv4, fresh),
        cmocka_unit_test_setup(what_is_no_name_is_not_asked_for, fresh),
        cmocka_unit_test_setup(forged_answers_are_passed_over, fresh),
        cmocka_unit_test_setup(a_lost_question_is_asked_again, fresh),
        cmocka_unit_test_setup(refusals_are_not_waited_out, fresh),
        cmocka_unit_test_setup(any_server_may_answer, fresh),
        cmocka_unit_test_setup(short_names_are_searched, fresh),
        cmocka_unit_test_setup(the_search_list_has_its_limits, fresh),
        cmocka_unit_test_setup(options_keep_within_their_limits, fresh),
    };

    return cmocka_run_group_tests(tests, start, end);
}
