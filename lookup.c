/* lookup.c - see lookup.h. */
#include "lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "crypto.h"
#include "dns.h"
#include "files.h"

#define DNS_PORT 53

/* Of one kind of addresses: the question, and what is known of them. */
struct kind {
    enum dns_type type;
    bool answered;
    unsigned refused; /* a bit for each server that does not say, in this attempt */
    size_t len;       /* of the addresses, bytes */
    uint8_t addresses[CLIENT_ADDRESSES_MAX * 16];
    size_t question_len;
    uint8_t question[DNS_QUESTION_MAX_BYTES];
};

enum { IPV6, IPV4, KINDS };

struct lookup {
    struct kind kinds[KINDS];
    size_t servers_count;
    unsigned ndots, timeout_s, attempts;
    size_t search_len;
    struct resolve_address servers[LOOKUP_SERVERS_MAX];
    struct pollfd sockets[LOOKUP_SERVERS_MAX];
    char search[LOOKUP_SEARCH_BYTES]; /* domains, each with its zero */
};

/* ---- addresses ---- */

bool lookup_numeric(struct resolve_address *address, const char *host)
{
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, host, address->address) == 1)
        address->family = 4;
    else if (inet_pton(AF_INET6, host, address->address) == 1)
        address->family = 6;
    return address->family != 0;
}

static void add_address(struct lookup *l, const struct resolve_address *address)
{
    struct kind *kind = &l->kinds[address->family == 6 ? IPV6 : IPV4];
    const size_t len = dns_address_bytes(kind->type);

    if (sizeof kind->addresses - kind->len < len)
        return;
    memcpy(kind->addresses + kind->len, address->address, len);
    kind->len += len;
}

static bool has_addresses(const struct lookup *l)
{
    return l->kinds[IPV6].len + l->kinds[IPV4].len > 0;
}

static size_t copy_addresses(struct resolve_address *to, size_t max, const struct kind *kind)
{
    const size_t len = dns_address_bytes(kind->type);
    size_t count = 0;

    for (; count < max && count < kind->len / len; count++) {
        to[count].family = kind->type == DNS_AAAA ? 6 : 4;
        memcpy(to[count].address, kind->addresses + count * len, len);
    }
    return count;
}

/* ---- files of words ---- */

struct words {
    int fd;
    size_t at, len;
    char word[DNS_NAME_MAX_CHARS + 1]; /* of a longer one, its beginning */
    uint8_t buffer[512];
};

/* The next character; -1 at the end of the file. */
static int look_ahead(struct words *w)
{
    if (w->at == w->len) {
        const ssize_t n = read(w->fd, w->buffer, sizeof w->buffer);

        w->at = 0;
        w->len = n > 0 ? (size_t)n : 0;
    }
    return w->at < w->len ? w->buffer[w->at] : -1;
}

/* The next word of the line; false at its end, or where a comment begins: with '#' anywhere, or with
 * ';' in the place of a word. */
static bool next_word(struct words *w)
{
    size_t len = 0;
    int c;

    while (c = look_ahead(w), c == ' ' || c == '\t')
        w->at++;
    for (; c = look_ahead(w), c > ' ' && c != '#' && (len > 0 || c != ';'); w->at++)
        if (len < sizeof w->word - 1)
            w->word[len++] = (char)c;
    w->word[len] = '\0';
    return len > 0;
}

/* False at the end of the file. */
static bool next_line(struct words *w)
{
    int c;

    do {
        c = look_ahead(w);
        w->at += c >= 0;
    } while (c >= 0 && c != '\n');
    return c >= 0;
}

static void read_file(struct lookup *l, const char *file, const char *host,
                      void (*take_line)(struct lookup *, struct words *, const char *host))
{
    struct words w = {.fd = files_open(file, O_RDONLY)};

    do
        take_line(l, &w, host);
    while (next_line(&w));
    close(w.fd);
}

/* hosts(5): an address, and its names. */
static void take_hosts_line(struct lookup *l, struct words *w, const char *host)
{
    struct resolve_address address;
    const bool numeric = next_word(w) && lookup_numeric(&address, w->word);

    while (next_word(w))
        if (numeric && strcasecmp(w->word, host) == 0)
            add_address(l, &address);
}

/* ---- resolv.conf ---- */

static void add_server(struct lookup *l, const char *server)
{
    if (l->servers_count < LOOKUP_SERVERS_MAX &&
        lookup_numeric(&l->servers[l->servers_count], server))
        l->servers_count++;
}

/* With or without a dot at its end. */
static void add_domain(struct lookup *l, const char *domain)
{
    size_t len = strlen(domain);

    len -= len > 0 && domain[len - 1] == '.';
    if (sizeof l->search - l->search_len <= len)
        return;
    memcpy(l->search + l->search_len, domain, len);
    l->search[l->search_len + len] = '\0';
    l->search_len += len + 1;
}

static void take_option(unsigned *value, unsigned min, unsigned max, const char *word,
                        const char *name)
{
    const size_t len = strlen(name);
    unsigned number = 0;

    if (strncmp(word, name, len) != 0)
        return;
    for (word += len; *word >= '0' && *word <= '9' && number <= max; word++)
        number = 10 * number + (unsigned)(*word - '0');
    *value = number < min ? min : number > max ? max : number;
}

static void take_resolv_line(struct lookup *l, struct words *w, const char *host)
{
    (void)host;
    (void)next_word(w);
    if (strcmp(w->word, "nameserver") == 0) {
        (void)next_word(w);
        add_server(l, w->word);
    } else if (strcmp(w->word, "search") == 0 || strcmp(w->word, "domain") == 0) {
        l->search_len = 0; /* the last line counts */
        while (next_word(w))
            add_domain(l, w->word);
    } else if (strcmp(w->word, "options") == 0) {
        while (next_word(w)) {
            take_option(&l->ndots, 0, LOOKUP_NDOTS_MAX, w->word, "ndots:");
            take_option(&l->timeout_s, 1, LOOKUP_TIMEOUT_MAX_S, w->word, "timeout:");
            take_option(&l->attempts, 1, LOOKUP_ATTEMPTS_MAX, w->word, "attempts:");
        }
    }
}

/* ---- asking ---- */

/* Connected, so that the kernel takes answers of this server alone, and tells when nobody is
 * there: one that cannot be connected has a port, too, and would take anybody's. A port of its own
 * for each name makes answers harder to forge. -1: this server cannot be asked. */
static int connect_to(const struct resolve_address *server)
{
    struct sockaddr_storage to;
    const socklen_t to_len = resolve_socket_address(&to, server, DNS_PORT);
    const int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, to_len) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool settled(const struct lookup *l)
{
    for (const struct kind *kind = l->kinds; kind < l->kinds + KINDS; kind++)
        if (!kind->answered && kind->refused + 1 < 1u << l->servers_count)
            return false;
    return true;
}

/* An error is of either question, for whichever the kernel brings it. */
static void give_up(struct lookup *l, size_t server)
{
    for (struct kind *kind = l->kinds; kind < l->kinds + KINDS; kind++)
        kind->refused |= 1u << server;
}

static void take_answer(struct lookup *l, size_t server)
{
    uint8_t packet[DNS_ANSWER_MAX_BYTES];
    const ssize_t n = recv(l->sockets[server].fd, packet, sizeof packet, 0);

    if (n < 0 && errno != EAGAIN)
        give_up(l, server);
    for (struct kind *kind = l->kinds; kind < l->kinds + KINDS && n >= 0; kind++) {
        struct wr out = wr_over(kind->addresses, sizeof kind->addresses);
        enum dns_result result;

        if (kind->answered)
            continue;
        result = dns_read_answer(&out, (struct bytes){packet, (size_t)n},
                                 (struct bytes){kind->question, kind->question_len});
        if (result == DNS_REFUSED)
            kind->refused |= 1u << server;
        kind->answered = result == DNS_ANSWERED;
        if (kind->answered)
            kind->len = (size_t)(out.p - kind->addresses);
    }
}

static void send_questions(struct lookup *l)
{
    l->kinds[IPV6].refused = l->kinds[IPV4].refused = 0;
    for (size_t i = 0; i < l->servers_count; i++)
        for (struct kind *kind = l->kinds; kind < l->kinds + KINDS; kind++)
            if (!kind->answered &&
                send(l->sockets[i].fd, kind->question, kind->question_len, 0) < 0)
                give_up(l, i);
}

static void attempt(struct lookup *l)
{
    uint64_t now_ms = clock_monotonic_ms();
    const uint64_t deadline_ms = now_ms + l->timeout_s * 1000 / l->attempts;

    send_questions(l);
    while (!settled(l) && now_ms < deadline_ms &&
           poll(l->sockets, l->servers_count, clock_poll_timeout(deadline_ms, now_ms)) > 0) {
        for (size_t i = 0; i < l->servers_count; i++)
            if (l->sockets[i].revents)
                take_answer(l, i);
        now_ms = clock_monotonic_ms();
    }
}

static bool make_questions(struct lookup *l, struct bytes name)
{
    for (struct kind *kind = l->kinds; kind < l->kinds + KINDS; kind++) {
        struct wr out = wr_over(kind->question, sizeof kind->question);
        uint8_t id[2];

        if (crypto_random(id, sizeof id) != 0)
            return false;
        dns_write_question(&out, name, kind->type, (uint16_t)(id[0] << 8 | id[1]));
        if (out.bad)
            return false;
        kind->question_len = (size_t)(out.p - kind->question);
        kind->answered = false;
    }
    return true;
}

/* Returns false when no server said anything, not even that there is no such name: what another name
 * has is not what was meant then. */
static bool ask(struct lookup *l, struct bytes name)
{
    if (!make_questions(l, name))
        return true;
    for (size_t i = 0; i < l->servers_count; i++)
        l->sockets[i] = (struct pollfd){.fd = connect_to(&l->servers[i]), .events = POLLIN};
    for (unsigned i = 0; i < l->attempts; i++)
        attempt(l);
    for (size_t i = 0; i < l->servers_count; i++)
        close(l->sockets[i].fd);
    return l->kinds[IPV6].answered || l->kinds[IPV4].answered;
}

/* ---- names ---- */

static bool is_short(const struct lookup *l, struct bytes name)
{
    unsigned dots = 0;

    for (size_t i = 0; i < name.len; i++)
        dots += name.p[i] == '.';
    return dots < l->ndots;
}

/* In each domain of the search list; returns as ask. */
static bool ask_in_domains(struct lookup *l, struct bytes name)
{
    bool said = true;

    for (size_t at = 0; at < l->search_len && said && !has_addresses(l);
         at += strlen(l->search + at) + 1) {
        uint8_t whole[DNS_NAME_MAX_CHARS];
        struct wr out = wr_over(whole, sizeof whole);
        const struct bytes domain = bytes_of(l->search + at);

        wr_put(&out, name.p, name.len);
        wr_u8(&out, '.');
        wr_put(&out, domain.p, domain.len);
        if (!out.bad)
            said = ask(l, (struct bytes){whole, (size_t)(out.p - whole)});
    }
    return said;
}

static void ask_servers(struct lookup *l, const char *host)
{
    struct bytes name = bytes_of(host);
    const bool whole = name.len > 0 && name.p[name.len - 1] == '.';

    read_file(l, "/etc/resolv.conf", NULL, take_resolv_line);
    if (l->servers_count == 0)
        add_server(l, "127.0.0.1");
    name.len -= whole;
    if (!whole && is_short(l, name) && !ask_in_domains(l, name))
        return;
    if (!has_addresses(l))
        (void)ask(l, name);
}

/* IPv6 leaves room for IPv4. */
size_t lookup_name(struct resolve_address addresses[CLIENT_ADDRESSES_MAX], const char *host)
{
    struct lookup l = {.kinds = {[IPV6] = {.type = DNS_AAAA}, [IPV4] = {.type = DNS_A}},
                       .ndots = 1,
                       .timeout_s = LOOKUP_TIMEOUT_S,
                       .attempts = LOOKUP_ATTEMPTS};
    size_t count;

    read_file(&l, "/etc/hosts", host, take_hosts_line);
    if (!has_addresses(&l))
        ask_servers(&l, host);
    count = copy_addresses(addresses, CLIENT_ADDRESSES_MAX / 2, &l.kinds[IPV6]);
    return count + copy_addresses(addresses + count, CLIENT_ADDRESSES_MAX - count, &l.kinds[IPV4]);
}
