/* resolve.h - a host name -> addresses, without blocking the poll loop.
 *
 * A numeric address is taken as it stands. For a name a child process asks (lookup.h, which
 * blocks) and sends what it found through a pipe: what strangers answer is read by a process that
 * has no key.
 *
 * It ends with its answer. A caller that is going to enter a sandbox, where there is no fork and no
 * open, has one made before that is kept: it looks the name up anew each time it is asked, for the
 * address of a broker may have changed, and ends with the program. Either has a sandbox of its own.
 *
 * The build option RESOLVER=0 leaves the child and the resolver out. */
#ifndef STS_RESOLVE_H
#define STS_RESOLVE_H

#include <sys/socket.h>
#include <sys/types.h>

#include "bytes.h"
#include "limits.h"

struct resolve_address {
    uint8_t family;      /* 4 or 6 */
    uint8_t address[16]; /* network order; IPv4: the first 4 */
};

/* All zero: no child. */
struct resolve {
    int fd; /* where the child's answer comes from */
    int questions_fd;
    pid_t pid;  /* 0: there is no child */
    bool kept;  /* ... and will be none but the one that resolve_keep made */
    bool asked; /* and its answer not read */
    int error;  /* errno of a resolve_keep that failed */
    size_t count;
    struct resolve_address addresses[CLIENT_ADDRESSES_MAX];
};

enum resolve_result {
    RESOLVE_DONE = 0,       /* addresses[0..count-1], in the order to try them; count > 0 */
    RESOLVE_PENDING = 1,    /* poll `fd` for input, then call resolve_finish */
    RESOLVE_NOT_FOUND = -1, /* no such host, or not a numeric address where that is all we take */
    RESOLVE_SYSTEM = -2,    /* no pipe or no process: errno */
};

/* Of an *r that is all zero: makes the child that looks `host` up while the program lives (none
 * for a numeric address). It wipes `secrets`, which `host` may be a part of, in its memory; so call
 * this before there are others. What goes wrong, resolve_start tells. */
void resolve_keep(struct resolve *r, const char *host, void *secrets, size_t secrets_len);

/* Nothing under way, nothing known; a child that is kept stays. */
void resolve_init(struct resolve *r);

/* Begins to look `host` up. */
enum resolve_result resolve_start(struct resolve *r, const char *host)
    __attribute__((warn_unused_result));

/* Takes the child's answer. From a child that has died, the last one that it gave. */
enum resolve_result resolve_finish(struct resolve *r) __attribute__((warn_unused_result));

/* Writes the address as connect(2) takes it; returns its length. */
socklen_t resolve_socket_address(struct sockaddr_storage *to, const struct resolve_address *from,
                                 uint16_t port);

/* Ends a look-up that is under way; the child is gone when this returns, unless it is kept. */
void resolve_cancel(struct resolve *r);

#endif
