/* signals.c - see signals.h. */
#include "signals.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A program that was started with standard input, output or error closed gets their numbers for what
 * it opens first. Log lines would go into the state file. */
static void open_standard_files(void)
{
    int fd;

    do
        fd = openat(AT_FDCWD, "/dev/null", O_RDWR); /* see files.c; but not closed on exec */
    while (fd >= 0 && fd <= STDERR_FILENO);
    close(fd);
}

int signals_open(bool children)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    if (children) {
        sigaddset(&set, SIGCHLD);
        sigaddset(&set, SIGWINCH);
    }
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd >= 0 && fd <= STDERR_FILENO) {
        close(fd);
        open_standard_files();
        fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    }
    /* Blocked and not read: these come with an error of the write, which says all. */
    sigaddset(&set, SIGPIPE);
    sigaddset(&set, SIGXFSZ);
    return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -1 : fd;
}

int signals_read(int fd, bool *typed)
{
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info)
        return 0;
    if (typed)
        *typed = info.ssi_code == SI_KERNEL;
    return (int)info.ssi_signo;
}

/* As signal(signal, SIG_DFL), which would bring 800 bytes: to the kernel all zeros mean that, on
 * every machine. */
static void set_default(int signal)
{
    static const unsigned long zeros[8];

    (void)syscall(SYS_rt_sigaction, signal, zeros, NULL, _NSIG / 8);
}

void signals_restore(void)
{
    sigset_t none;

    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    set_default(SIGPIPE);
    set_default(SIGXFSZ);
}
