/* spawn.c - see spawn.h. */
#define _GNU_SOURCE /* pipe2, _Fork */

#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"
#include "signals.h"
#include "words.h"

const char *spawn_err_text(int err)
{
    return words_of_err(SPAWN_ERRORS(WORDS_ENTRY) "\0unknown error", err);
}

/* Takes the quotes out of one argument and puts a zero byte behind it. Returns where the next one
 * may begin; NULL when a quote is not closed. */
static char *cut_argument(char *from)
{
    char *to = from;
    char quote = '\0';

    for (; *from != '\0' && (quote != '\0' || !spawn_is_blank(*from)); from++) {
        if (quote != '\0' && *from == quote)
            quote = '\0';
        else if (quote == '\0' && (*from == '\'' || *from == '"'))
            quote = *from;
        else
            *to++ = *from;
    }
    if (quote != '\0')
        return NULL;
    if (*from != '\0')
        from++;
    *to = '\0';
    return from;
}

int spawn_split(char *argv[SHELL_ARGS_MAX + 1], char *text)
{
    int count = 0;

    for (;;) {
        while (spawn_is_blank(*text))
            text++;
        argv[count] = NULL;
        if (*text == '\0')
            return count;
        if (count == SHELL_ARGS_MAX)
            return SPAWN_ERR_ARGS;
        argv[count++] = text;
        text = cut_argument(text);
        if (text == NULL)
            return SPAWN_ERR_QUOTE;
    }
}

/* In the child: never returns. `report` closes by itself when the program runs; until then what
 * went wrong goes there. */
static _Noreturn void become(char *const argv[], enum spawn_use use, int output, int report)
{
    int null = use == SPAWN_TERMINAL ? -1 : files_open("/dev/null", O_RDONLY);
    int err;

    signals_restore();
    if ((use == SPAWN_TERMINAL || (null >= 0 && dup2(null, STDIN_FILENO) >= 0)) &&
        (use != SPAWN_CAPTURE || dup2(output, STDOUT_FILENO) >= 0))
        (void)execvp(argv[0], argv);
    err = errno;
    (void)!write(report, &err, sizeof err); /* with no reader left, nobody waits for it */
    _exit(127);
}

/* Waits until the program runs (0) or cannot: its errno. */
static int take_report(int report)
{
    int err = 0;
    ssize_t n;

    do
        n = read(report, &err, sizeof err);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof err ? err : 0;
}

static void close_both(const int pipe[2])
{
    (void)close(pipe[0]);
    (void)close(pipe[1]);
}

/* Both ends of `report` are closed here, and of `output` the child's. */
static int start(struct spawn *s, char *const argv[], enum spawn_use use, const int output[2],
                 const int report[2])
{
    int err;

    s->pid = _Fork(); /* there is one thread: no lock to look after, as fork would */
    if (s->pid == 0)
        become(argv, use, output[1], report[1]);
    err = s->pid < 0 ? errno : 0;
    (void)close(report[1]);
    if (err == 0)
        err = take_report(report[0]);
    (void)close(report[0]);
    if (err != 0 && s->pid > 0)
        (void)waitpid(s->pid, &s->status, 0);
    if (use == SPAWN_CAPTURE)
        (void)close(output[1]);
    return err;
}

int spawn_start(struct spawn *s, char *const argv[], enum spawn_use use)
{
    int output[2] = {-1, -1}, report[2], err;

    *s = (struct spawn){.output = -1};
    if (pipe2(report, O_CLOEXEC) < 0)
        return errno;
    if (use == SPAWN_CAPTURE && pipe2(output, O_CLOEXEC) < 0) {
        err = errno;
        close_both(report);
        return err;
    }
    err = start(s, argv, use, output, report);
    s->output = output[0];
    if (err != 0) {
        spawn_close(s);
        s->pid = 0;
    } else if (s->output >= 0) {
        (void)fcntl(s->output, F_SETFL, O_NONBLOCK);
    }
    return err;
}

bool spawn_ended(struct spawn *s)
{
    if (s->pid > 0 && waitpid(s->pid, &s->status, WNOHANG) == s->pid)
        s->pid = 0;
    return s->pid == 0;
}

void spawn_close(struct spawn *s)
{
    if (s->output >= 0)
        (void)close(s->output);
    s->output = -1;
}

void spawn_stop(const struct spawn *s)
{
    if (s->pid > 0)
        (void)kill(s->pid, SIGTERM);
}
