/* client_connect.c - see client_private.h. */
#include "client_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void client_close_socket(struct client *c)
{
    if (c->fd >= 0 && !(c->use.single && c->state == CLIENT_CLOSING))
        close(c->fd); /* else the end of the program does it, which comes now */
    c->fd = -1;
}

/* Begins to connect to one address. Returns 0 or errno. */
static int connect_to(struct client *c, const struct resolve_address *address)
{
    struct sockaddr_storage to;
    const socklen_t to_len = resolve_socket_address(&to, address, c->use.conf->port);
    const int on = 1;

    c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return errno;
    /* Every write is a batch already, and Nagle's delay would hold the next one back. One that is
     * all there is to send needs no such option. A socket that refuses it still works. */
    if (!c->use.single)
        (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (const struct sockaddr *)&to, to_len) == 0 || errno == EINPROGRESS)
        return 0;
    return errno;
}

/* Tries the addresses from c->address on. Each gets its share of the time that is left, so that one
 * that swallows packets does not keep the others from being tried. */
static void connect_next(struct client *c, int last_errno, uint64_t now_ms)
{
    for (; c->address < c->resolve.count; c->address++) {
        client_close_socket(c);
        last_errno = connect_to(c, &c->resolve.addresses[c->address]);
        if (last_errno == 0) {
            const uint64_t left = c->connect_until_ms > now_ms ? c->connect_until_ms - now_ms : 0;
            c->state = CLIENT_CONNECTING;
            c->poll_said = 0;
            c->step_deadline_ms = now_ms + left / (c->resolve.count - c->address);
            return;
        }
    }
    client_fault(c, CLIENT_ERR_CONNECT, last_errno, 0);
}

static void resolved(struct client *c, enum resolve_result result, uint64_t now_ms)
{
    switch (result) {
    case RESOLVE_DONE:
        c->address = 0;
        connect_next(c, 0, now_ms);
        return;
    case RESOLVE_PENDING:
        c->state = CLIENT_RESOLVING;
        c->poll_said = 0;
        c->step_deadline_ms = c->connect_until_ms;
        return;
    case RESOLVE_NOT_FOUND:
        client_fault(c, CLIENT_ERR_HOST, 0, 0);
        return;
    case RESOLVE_SYSTEM:
        client_fault(c, CLIENT_ERR_SYSTEM, errno, 0);
        return;
    }
}

void client_start(struct client *c, uint64_t now_ms)
{
    c->connect_until_ms = now_ms + client_timeout_ms(c);
    resolved(c, resolve_start(&c->resolve, c->use.conf->host.text), now_ms);
}

void client_next_resolving(struct client *c, uint64_t now_ms)
{
    if (c->poll_said != 0) {
        resolved(c, resolve_finish(&c->resolve), now_ms);
    } else if (now_ms >= c->step_deadline_ms) {
        resolve_cancel(&c->resolve);
        client_fault(c, CLIENT_ERR_HOST, ETIMEDOUT, 0);
    }
}

static void greet(struct client *c, uint64_t now_ms)
{
    c->state = CLIENT_GREETING;
    c->step_deadline_ms = now_ms + client_timeout_ms(c);
    c->last_tx_ms = c->last_rx_ms = now_ms;
    client_tx_connect(c);
}

void client_next_connecting(struct client *c, uint64_t now_ms)
{
    int error = c->poll_said == 0 ? ETIMEDOUT : 0;
    socklen_t error_len = sizeof error;

    if (c->poll_said == 0 && now_ms < c->step_deadline_ms)
        return;
    /* A connection that failed has more to say than that it can be written to. */
    if ((c->poll_said & ~POLLOUT) &&
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &error_len) < 0)
        error = errno;
    if (error == 0) {
        greet(c, now_ms);
        return;
    }
    c->address++;
    connect_next(c, error, now_ms);
}
