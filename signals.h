/* signals.h - signals as input of the poll loop (signalfd(2)): no handler ever runs. */
#ifndef STS_SIGNALS_H
#define STS_SIGNALS_H

#include <stdbool.h>

/* Blocks SIGINT, SIGTERM and SIGHUP (with `children` SIGCHLD and SIGWINCH too), ignores SIGPIPE,
 * and returns a descriptor to poll for input; -1 and errno when the system has none. */
int signals_open(bool children);

/* A file that would grow over a limit (ulimit -f) is an error of the write, not our end. */
void signals_ignore_file_limit(void);

/* The next signal that came, or 0 when there is none. `typed`, where not NULL: whether it was a key
 * of the terminal (Ctrl-C) that made it. */
int signals_read(int fd, bool *typed);

/* Gives a child process the signal state that programs expect; before exec. */
void signals_restore(void);

#endif
