/* resolve.h - a host name -> addresses, without blocking the poll loop.
 *
 * A numeric address is taken as it stands. For a name a child process asks musl's resolver (which
 * has no time limit that a caller could set, and blocks) and sends what it found through a pipe.
 * The build option RESOLVER=0 leaves the child and the resolver out. */
#ifndef STS_RESOLVE_H
#define STS_RESOLVE_H

#include <sys/types.h>

#include "bytes.h"
#include "limits.h"

struct resolve_address {
    uint8_t family;         /* 4 or 6 */
    uint8_t address[16];    /* network order; IPv4: the first 4 */
};

struct resolve {
    int fd;                 /* of the pipe, while the child works; -1: none */
    pid_t pid;
    size_t count;
    struct resolve_address addresses[CLIENT_ADDRESSES_MAX];
};

enum resolve_result {
    RESOLVE_DONE = 0,       /* addresses[0..count-1], in the order to try them; count > 0 */
    RESOLVE_PENDING = 1,    /* poll `fd` for input, then call resolve_finish */
    RESOLVE_NOT_FOUND = -1, /* no such host, or not a numeric address where that is all we take */
    RESOLVE_SYSTEM = -2,    /* no pipe or no process: errno */
};

/* Nothing under way, nothing known. */
void resolve_init(struct resolve *r);

/* Begins to look `host` up. */
enum resolve_result resolve_start(struct resolve *r, const char *host)
    __attribute__((warn_unused_result));

/* Takes the child's answer. RESOLVE_PENDING when it is not whole yet. */
enum resolve_result resolve_finish(struct resolve *r) __attribute__((warn_unused_result));

/* Ends a look-up that is under way; the child is gone when this returns. */
void resolve_cancel(struct resolve *r);

#endif
