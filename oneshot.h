/* oneshot.h - the modes that run to an end: -s and -l (send.c), -r (recv.c). */
#ifndef STS_ONESHOT_H
#define STS_ONESHOT_H

#include "log.h"
#include "options.h"
#include "session.h"

/* What both have: owned by main.c. */
struct oneshot {
    const struct options *options;
    struct log *log;
    struct conf *conf;
    struct keyring *keyring;
    struct session *session;
    int signals_fd;
    uint64_t give_up_ms; /* -w as a moment; UINT64_MAX: none */
};

/* Room for one message on its way in, or a piece of output; never both at once. */
union oneshot_bytes {
    uint8_t input[MESSAGE_MAX_BYTES + 1]; /* a line and its end */
    uint8_t output[RECV_OUT_BYTES];
};

/* All that the run needs is open: gives up the rest (sandbox.h). */
void oneshot_sandbox(const struct oneshot *run);

/* Polls fds[0], which is the caller's, and behind it the signals and the session, until `due_ms` or
 * a deadline of the session or of -w. False: the system cannot, which is said, and there is nothing
 * left to wait with: EX_OSERR. */
bool oneshot_poll(const struct oneshot *run, struct pollfd fds[3], uint64_t due_ms);

/* Sends, and returns the exit status. */
int send_run(struct oneshot *run, union oneshot_bytes *bytes);

/* Receives, and returns the exit status. */
int recv_run(struct oneshot *run, union oneshot_bytes *bytes);

#endif
