/* resolve.c - see resolve.h. */
#include "resolve.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void resolve_init(struct resolve *r)
{
    r->fd = -1;
    r->pid = -1;
    r->count = 0;
}

static bool is_numeric(struct resolve_address *address, const char *host)
{
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, host, address->address) == 1)
        address->family = 4;
    else if (inet_pton(AF_INET6, host, address->address) == 1)
        address->family = 6;
    return address->family != 0;
}

#if STS_RESOLVER

/* One host's records of one kind take 64 bytes and less each; musl also puts the name there. */
#define LOOKUP_BYTES 2048

/* The reader takes an answer that came whole, in one piece. */
static_assert(sizeof((struct resolve *)0)->addresses <= 4096, "a write of PIPE_BUF is atomic");

static void look_up(struct resolve *r, const char *host, int family, size_t address_len)
{
    struct hostent entry, *found = NULL;
    char buffer[LOOKUP_BYTES];
    int error;

    if (gethostbyname2_r(host, family, &entry, buffer, sizeof buffer, &found, &error) != 0 ||
        !found)
        return;
    for (char **p = found->h_addr_list; *p && r->count < CLIENT_ADDRESSES_MAX; p++) {
        struct resolve_address *to = &r->addresses[r->count++];
        to->family = family == AF_INET ? 4 : 6;
        memcpy(to->address, *p, address_len);
    }
}

/* The child: never returns. IPv6 goes first (RFC 6724), but leaves room for IPv4. */
static _Noreturn void answer(struct resolve *r, const char *host, int fd)
{
    /* Should the parent be killed meanwhile, nobody waits for our copies to be closed. */
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    memset(r->addresses, 0, sizeof r->addresses);
    r->count = 0;
    look_up(r, host, AF_INET6, 16);
    if (r->count > CLIENT_ADDRESSES_MAX / 2)
        r->count = CLIENT_ADDRESSES_MAX / 2;
    look_up(r, host, AF_INET, 4);
    const size_t len = r->count * sizeof r->addresses[0];
    _exit(write(fd, r->addresses, len) == (ssize_t)len ? 0 : 1);
}

static enum resolve_result ask(struct resolve *r, const char *host)
{
    int pipe_fds[2];

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return RESOLVE_SYSTEM;
    r->pid = _Fork(); /* see spawn.c */
    if (r->pid == 0)
        answer(r, host, pipe_fds[1]);
    const int error = errno;
    close(pipe_fds[1]);
    if (r->pid < 0) {
        close(pipe_fds[0]);
        errno = error;
        return RESOLVE_SYSTEM;
    }
    r->fd = pipe_fds[0];
    return RESOLVE_PENDING;
}

void resolve_cancel(struct resolve *r)
{
    if (r->pid > 0) {
        kill(r->pid, SIGKILL);
        while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
            ;
        close(r->fd);
    }
    r->pid = -1;
    r->fd = -1;
}

enum resolve_result resolve_finish(struct resolve *r)
{
    ssize_t n;

    do {
        n = read(r->fd, r->addresses, sizeof r->addresses);
    } while (n < 0 && errno == EINTR);
    const int error = errno;
    resolve_cancel(r);
    errno = error;
    if (n < 0)
        return RESOLVE_SYSTEM;
    r->count = (size_t)n / sizeof r->addresses[0];
    return r->count > 0 ? RESOLVE_DONE : RESOLVE_NOT_FOUND;
}

#else

static enum resolve_result ask(struct resolve *r, const char *host)
{
    (void)r;
    (void)host;
    return RESOLVE_NOT_FOUND;
}

void resolve_cancel(struct resolve *r)
{
    (void)r;
}

enum resolve_result resolve_finish(struct resolve *r)
{
    (void)r;
    return RESOLVE_NOT_FOUND;
}

#endif

enum resolve_result resolve_start(struct resolve *r, const char *host)
{
    r->count = 0;
    if (!is_numeric(&r->addresses[0], host))
        return ask(r, host);
    r->count = 1;
    return RESOLVE_DONE;
}
