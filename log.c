/* log.c - lines on standard error. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "files.h"
#include "fmt.h"
#include "limits.h"
#include "log.h"

#define CUT "..."
#define ERASE_MAX_BYTES 64 /* so that time and level always fit behind it */

static void put_head(struct wr *out, enum log_level level)
{
    static const char heads[][sizeof " - [ERROR] # sts: "] = {
        [LOG_ERROR] = " - [ERROR] # sts: ",
        [LOG_WARN] = " - [WARN]  # sts: ",
        [LOG_INFO] = " - [INFO]  # sts: ",
        [LOG_DEBUG] = " - [DEBUG] # sts: ",
    };
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now); /* this clock is always there */
    fmt_time(out, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, ' ');
    fmt(out, "%s", heads[level]);
}

/* Steps back from the end of the line to make room for "...", but not into a character. */
static void put_cut_mark(struct wr *out)
{
    size_t mark_len = sizeof CUT - 1;
    uint8_t *at = out->end - mark_len;

    for (int i = 0; i < 3 && (*at & 0xc0) == 0x80; i++)
        at--;
    *out = wr_over(at, (size_t)(out->end - at));
    wr_put(out, CUT, mark_len);
}

static void log_line(struct log *log, enum log_level level, const char *format, va_list args)
{
    uint8_t line[LOG_LINE_MAX_BYTES];
    struct wr out = wr_over(line, sizeof line - 1); /* the newline always has its place */
    uint8_t *text;

    const uint64_t times = log->times;

    log->times = 0;
    if (level > log->level)
        return;
    if (log->erase)
        fmt(&out, "%.*s", ERASE_MAX_BYTES, log->erase);
    put_head(&out, level);
    text = out.p;
    fmt_v(&out, format, args);
    if (times > 0)
        fmt(&out, " (%llu times of late)", (unsigned long long)times);
    if (out.bad)
        put_cut_mark(&out);
    fmt_tame(text, (size_t)(out.p - text));
    *out.p++ = '\n';
    /* What cannot be written is lost: there is nobody left to tell. */
    (void)!files_write(log->fd, line, (size_t)(out.p - line));
    log->written = true;
}

#define LOG_FUNCTION(name, level) \
    FMT_NO_FLOATS void name(struct log *log, const char *format, ...) \
    { \
        va_list args; \
\
        va_start(args, format); \
        log_line(log, level, format, args); \
        va_end(args); \
    }

LOG_FUNCTION(log_error, LOG_ERROR)
LOG_FUNCTION(log_warn, LOG_WARN)
LOG_FUNCTION(log_info, LOG_INFO)
LOG_FUNCTION(log_debug, LOG_DEBUG)

void log_cannot(struct log *log, const char *what, const char *file)
{
    log_error(log, "cannot %s %s: %s", what, file, strerror(errno));
}
