/* log.h - what the program says, on standard error, in the original's form and in UTC:
 *   2026-11-23 14:30:36.181 - [INFO]  # sts: connected to broker 127.0.0.1
 *
 * Bytes from the network or a config may stand in a line: control characters in it (C0, DEL, C1)
 * are shown as '?', so nobody can drive the reader's terminal. A line is one write(2). */
#ifndef STS_LOG_H
#define STS_LOG_H

#include "bytes.h"

/* In rising order of detail. */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log {
    int fd;
    enum log_level level; /* lines of a higher level are not written */
    const char *erase;    /* written before a line where not NULL: takes the prompt away */
    bool written;         /* set by each line written; the shell draws its prompt again */
    uint64_t times;       /* that the next line stands for; 0: it says nothing of that */
};

void log_error(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_warn(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_info(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_debug(struct log *log, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The error "cannot WHAT FILE: " and the text of errno. */
void log_cannot(struct log *log, const char *what, const char *file);

#endif
