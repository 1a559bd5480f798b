/* spawn.h - programs that the shell runs, one at a time: no other shell takes part in it. */
#ifndef STS_SPAWN_H
#define STS_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "limits.h"

#define SPAWN_ERRORS(X) \
    X(SPAWN_ERR_QUOTE, -1, "a quote is not closed") \
    X(SPAWN_ERR_ARGS, -2, "too many arguments")

enum spawn_err {
#define SPAWN_ERR_ENTRY(name, value, text) name = (value),
    SPAWN_ERRORS(SPAWN_ERR_ENTRY)
#undef SPAWN_ERR_ENTRY
};

/* A program that runs, or did. */
struct spawn {
    pid_t pid;  /* 0: none is running */
    int output; /* what it writes to standard output, not blocking; -1: not kept from others */
    int status; /* of waitpid(2), once spawn_ended */
};

/* What the program gets for standard input and output; its standard error is always ours. */
enum spawn_use {
    SPAWN_TERMINAL, /* ours, both */
    SPAWN_QUIET,    /* no input; our output */
    SPAWN_CAPTURE,  /* no input; its output comes out of `output` */
};

const char *spawn_err_text(int err);

/* What stands between the words of a command. */
static inline bool spawn_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Splits a command line in place at blanks and tabs. Between '...' or "..." they are part of an
 * argument; there is no other quoting. Returns how many arguments it has, a NULL behind them in
 * `argv`; or enum spawn_err. */
int spawn_split(char *argv[SHELL_ARGS_MAX + 1], char *text) __attribute__((warn_unused_result));

/* Starts the program argv[0], looked for in PATH as execvp(3) does. Returns 0, or the errno that
 * kept it from running. */
int spawn_start(struct spawn *s, char *const argv[], enum spawn_use use)
    __attribute__((warn_unused_result));

/* Whether it has ended; `output` stays open for what it left there. */
bool spawn_ended(struct spawn *s);

/* Nobody wants any more of its output. */
void spawn_close(struct spawn *s);

/* Asks it to end (SIGTERM). */
void spawn_stop(const struct spawn *s);

#endif
