/* resolve.c - see resolve.h. */
#include "resolve.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto.h"
#include "lookup.h"
#include "sandbox.h"

#if STS_RESOLVER

/* What the child says: all of it in one write. */
struct answer {
    size_t count;
    struct resolve_address addresses[CLIENT_ADDRESSES_MAX];
};

static_assert(sizeof(struct answer) <= 4096, "a write of PIPE_BUF is atomic");
static_assert(sizeof((struct answer *)0)->addresses == sizeof((struct resolve *)0)->addresses,
              "the one is copied to the other");

static bool say(int fd, const char *host)
{
    struct answer answer = {0};

    answer.count = lookup_name(answer.addresses, host);
    return write(fd, &answer, sizeof answer) == (ssize_t)sizeof answer;
}

static void close_fds(struct resolve *r)
{
    close(r->fd);
    close(r->questions_fd);
    r->pid = 0;
    r->asked = false;
}

/* The child: never returns. Standard error is closed, too: whoever waits for its end waits for the
 * program, not for us. Nor does a signal that is meant for the program end us, or Ctrl-C: it may
 * still need us to stop in order. */
static _Noreturn void serve(const char *name, int questions, int answers, void *secrets,
                            size_t secrets_len)
{
    char host[CONF_VALUE_MAX_CHARS + 1] = {0}, question;
    const struct bytes asked = bytes_of(name);
    sigset_t all;

    sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    memcpy(host, asked.p, asked.len < sizeof host ? asked.len : sizeof host - 1);
    crypto_wipe(secrets, secrets_len);
    (void)!sandbox_enter(SANDBOX_RESOLVER);
    while (read(questions, &question, sizeof question) == (ssize_t)sizeof question &&
           say(answers, host))
        ;
    _exit(0);
}

static void close_both(const int pipe[2])
{
    close(pipe[0]);
    close(pipe[1]);
}

/* Makes the child. Returns 0 or errno. */
static int begin(struct resolve *r, const char *host, void *secrets, size_t secrets_len)
{
    int answers[2], questions[2], error;

    if (pipe2(answers, O_CLOEXEC) < 0)
        return errno;
    if (pipe2(questions, O_CLOEXEC) < 0) {
        error = errno;
        close_both(answers);
        return error;
    }
    r->pid = _Fork(); /* see spawn.c */
    if (r->pid == 0) {
        close(answers[0]);
        close(questions[1]);
        serve(host, questions[0], answers[1], secrets, secrets_len);
    }
    error = errno;
    close(answers[1]);
    close(questions[0]);
    r->fd = answers[0];
    r->questions_fd = questions[1];
    if (r->pid > 0)
        return 0;
    close_fds(r);
    return error;
}

void resolve_keep(struct resolve *r, const char *host, void *secrets, size_t secrets_len)
{
    if (lookup_numeric(&r->addresses[0], host))
        return;
    r->kept = true;
    r->error = begin(r, host, secrets, secrets_len);
}

void resolve_cancel(struct resolve *r)
{
    if (r->pid == 0 || r->kept)
        return;
    kill(r->pid, SIGKILL);
    while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close_fds(r);
}

static void take_answer(struct resolve *r)
{
    struct answer answer;
    ssize_t n;

    do {
        n = read(r->fd, &answer, sizeof answer);
    } while (n < 0 && errno == EINTR);
    r->asked = false;
    /* The child has read what strangers sent: it is not trusted with a number. */
    if (n != (ssize_t)sizeof answer || answer.count > CLIENT_ADDRESSES_MAX)
        return;
    r->count = answer.count;
    memcpy(r->addresses, answer.addresses, sizeof r->addresses);
}

/* A question that was given up, and not answered until now, will do as well: two would be answered
 * one after the other. An answer that came meanwhile may be of long ago. */
static enum resolve_result ask(struct resolve *r, const char *host)
{
    struct pollfd fd = {.fd = r->fd, .events = POLLIN};

    if (r->pid == 0) {
        if (!r->kept)
            r->error = begin(r, host, NULL, 0);
        errno = r->error;
        if (r->error != 0)
            return RESOLVE_SYSTEM;
    } else if (r->asked && poll(&fd, 1, 0) > 0) {
        take_answer(r);
    }
    if (!r->asked)
        (void)!write(r->questions_fd, "?", 1); /* that the child is gone shows in its answer */
    r->asked = true;
    return RESOLVE_PENDING;
}

enum resolve_result resolve_finish(struct resolve *r)
{
    take_answer(r);
    resolve_cancel(r);
    return r->count > 0 ? RESOLVE_DONE : RESOLVE_NOT_FOUND;
}

#else

static enum resolve_result ask(struct resolve *r, const char *host)
{
    (void)r;
    (void)host;
    return RESOLVE_NOT_FOUND;
}

void resolve_keep(struct resolve *r, const char *host, void *secrets, size_t secrets_len)
{
    (void)r;
    (void)host;
    (void)secrets;
    (void)secrets_len;
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

void resolve_init(struct resolve *r)
{
    resolve_cancel(r);
    r->count = 0;
}

enum resolve_result resolve_start(struct resolve *r, const char *host)
{
    struct resolve_address address;

    if (!lookup_numeric(&address, host))
        return ask(r, host);
    r->addresses[0] = address;
    r->count = 1;
    return RESOLVE_DONE;
}

socklen_t resolve_socket_address(struct sockaddr_storage *to, const struct resolve_address *from,
                                 uint16_t port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)to;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;

    memset(to, 0, sizeof *to);
    if (from->family == 4) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, from->address, 4);
        return sizeof *in;
    }
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    memcpy(&in6->sin6_addr, from->address, 16);
    return sizeof *in6;
}
