/* sandbox.h - what the process gives up once its config is read and its files are open: gaining
 * privileges (no_new_privs) and, by a seccomp filter, system calls. One that is not left kills the
 * process: SIGSYS, 159 to a shell.
 *
 * The one-shot modes keep a short list, which opens no file, starts no program, asks for no memory
 * and makes no socket but TCP ones. So:
 *   - each file is opened, made and locked before;
 *   - names are looked up by a helper (resolve.h) that is there before, holds no key, and keeps a
 *     list of its own. That is why a name can be resolved again for each reconnect.
 * The shell runs programs, and a filter is inherited: it and its programs keep everything but what
 * reaches into other processes or changes the kernel itself. Programs of another architecture (32
 * bits on a kernel of 64) pass. no_new_privs holds for them, too: sudo does not work there.
 *
 * `sts -k` has none: nothing reaches it that others could have made.
 *
 * A kernel without seccomp, or one in which it is off, takes nothing: the caller says so, and the
 * program goes on. The build option SANDBOX=0 leaves all of it out. */
#ifndef STS_SANDBOX_H
#define STS_SANDBOX_H

#include "log.h"

/* Who goes on with which system calls; bits, so that one table has them all. */
enum sandbox {
    SANDBOX_PLAIN = 0x0800,     /* -s, -l and -r without a file of their own */
    SANDBOX_SENDER = 0x1000,    /* with `state` or `spool`, which other runs may use as well */
    SANDBOX_COLLECTOR = 0x2000, /* with `state`, and maybe `out`, which are locked for good */
    SANDBOX_RESOLVER = 0x4000,  /* the helper that looks names up */
    SANDBOX_SHELL = 0x8000,     /* the shell, and its programs */
};

#define SANDBOX_LEFT_OUT (-1)

/* Gives up what `who` does not need, for good. Returns 0; the errno with which the kernel refused,
 * and then only no_new_privs may be set; or SANDBOX_LEFT_OUT: it is not in this build. */
int sandbox_enter(enum sandbox who) __attribute__((warn_unused_result));

/* Says what sandbox_enter returned: that it is on only when somebody wants to know. */
void sandbox_say(struct log *log, int result, bool on_too);

#endif
