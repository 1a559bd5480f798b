/* shell.h - the interactive shell: `start FILE`, `send`, `status` and so on, see `help`. */
#ifndef STS_SHELL_H
#define STS_SHELL_H

#include "conf.h"
#include "log.h"
#include "options.h"
#include "session.h"
#include "spawn.h"
#include "term.h"

#define SHELL_INPUT_BYTES 256 /* of standard input, read at once */

/* The shell's memory, zeroed by the caller; its fields are for shell.c and shell_commands.c. */
struct shell {
    struct session *session;
    struct conf *conf;
    struct keyring *keyring;
    const struct options *options;
    struct log *log;
    int signals;
    int sandbox;    /* what sandbox_enter said */
    int status;     /* the exit status */
    bool leaving;   /* as soon as the session is over */
    bool abandoned; /* or even before */

    uint64_t started_ms;
    bool starting;   /* script: the session has been started, and was not ready yet */
    bool must_start; /* script: with options->config, and ends if that fails */

    struct bytes unsent;      /* script: a message that waits until the session takes it */
    uint64_t unsent_until_ms; /* so long; UINT64_MAX: there is none */

    struct spawn program;
    bool running; /* `program`; no command is taken meanwhile */
    bool sends;   /* what it prints is a message */
    const char *program_name;

    struct bytes out; /* what is left to write of the message that came in */
    bool out_open;    /* there is one, which session_taken has to be called for */
    bool out_failed;  /* a message was dropped: nothing is acknowledged any more */
    bool out_is_terminal;

    bool input_over;
    size_t input_pos, input_len;
    /* What a program printed: one message and its newline; one byte more is too much. */
    size_t output_len;

    struct term term; /* not in use: standard input is a script */
    uint8_t input[SHELL_INPUT_BYTES];
    char command[SHELL_LINE_MAX_BYTES + 1]; /* that is, or was last, executed */
    char file[SHELL_LINE_MAX_BYTES + 1];    /* that `conf` has the name of */
    uint8_t output[MESSAGE_MAX_BYTES + 2];
};

/* Runs the shell until `exit`, end of input or a signal; starts a session with options->config
 * where there is one. `session` (not running) and `conf` are the caller's memory for it.
 *
 * Commands come from standard input, with a prompt and line editing when that is a terminal; there
 * nothing waits, a session starts and stops behind the prompt, and the exit status is 0. Otherwise
 * standard input is a script: each command waits until the one before is done, so that `start` and
 * `send` can follow each other, and the exit status is that of the first command that failed (the
 * later ones are done all the same). A script whose options->config cannot be started ends at once
 * with the status that says why. */
int shell_run(struct shell *shell, struct session *session, struct keyring *keyring,
              struct conf *conf, const struct options *options, struct log *log);

#endif
