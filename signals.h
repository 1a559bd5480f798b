/* signals.h - signals as input of the poll loop (signalfd(2)): no handler ever runs. */
#ifndef STS_SIGNALS_H
#define STS_SIGNALS_H

#include <stdbool.h>

/* Blocks SIGINT, SIGTERM and SIGHUP (with `children` SIGCHLD and SIGWINCH too), and returns a
 * descriptor to poll for them; -1 and errno when the system has none. Blocks SIGPIPE and SIGXFSZ as
 * well: a reader that went, and a file that would grow over a limit (ulimit -f), are errors of the
 * write, not our end. To be called before anything is opened that stays open: where standard input,
 * output or error are closed, /dev/null takes their places. */
int signals_open(bool children);

/* The next signal that came, or 0 when there is none. `typed`, where not NULL: whether it was a key
 * of the terminal (Ctrl-C) that made it. */
int signals_read(int fd, bool *typed);

/* Gives a child process the signal state that programs expect; before exec. */
void signals_restore(void);

#endif
