/* shell_private.h - between shell.c (the loop: what comes in, what is shown) and shell_commands.c
 * (what the commands do); for nobody else. */
#ifndef STS_SHELL_PRIVATE_H
#define STS_SHELL_PRIVATE_H

#include "shell.h"

/* ---- shell_commands.c ---- */

/* Executes the line in shell->command. */
void shell_execute(struct shell *shell, uint64_t now_ms);

/* Starts a session. */
void shell_start(struct shell *shell, const char *file, uint64_t now_ms);

/* Ends the session and then the shell. */
void shell_leave(struct shell *shell, uint64_t now_ms);

/* A command, or the session, failed: `status` (sysexits.h) becomes a script's exit status. */
void shell_fail(struct shell *shell, int status);

/* Tries again to send what waits, if anything does. */
void shell_retry(struct shell *shell, uint64_t now_ms);

/* The session is over: whoever waited for it need not any more. */
void shell_session_over(struct shell *shell, uint64_t now_ms);

/* Takes what the program printed so far. */
void shell_take_output(struct shell *shell);

/* Deals with the end of the program, if it came. */
void shell_check_program(struct shell *shell, uint64_t now_ms);

#endif
