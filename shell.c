/* shell.c - the loop of the shell: what comes in, and what is shown. */
#define _POSIX_C_SOURCE 200809L /* isatty; clock_gettime in clock.h */

#include "shell_private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "files.h"
#include "fmt.h"
#include "sandbox.h"
#include "signals.h"

/* Payloads are written in pieces of this size: no more than PIPE_BUF, so that a pipe which polls
 * writable takes a whole one without blocking (pipe(7)). */
#define PIECE_BYTES 1024

/* See term_write_box. */
static const char welcome_text[] = "\n"
                                   "                   Secure Telemetry Shell\n"
                                   "\n"
                                   "'help' shows the commands\n"
                                   "\n";

enum { FD_INPUT, FD_SIGNALS, FD_SESSION, FD_PROGRAM, FD_OUT, FD_COUNT };

/* ---- messages that come in ---- */

static bool out_ready(void)
{
    struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};

    return poll(&fd, 1, 0) > 0;
}

/* Makes the next piece, its newline included where it is the last; never ends one inside a
 * character, which fmt_tame would not know. Returns how many bytes of the message are in it. */
static size_t make_piece(const struct shell *shell, struct wr *piece)
{
    size_t len = shell->out.len;

    if (len >= wr_room(piece)) {
        len = wr_room(piece) - 1;
        for (int i = 0; i < 3 && (shell->out.p[len] & 0xc0) == 0x80; i++)
            len--;
    }
    wr_put(piece, shell->out.p, len);
    return len;
}

/* Gives the message up. No acknowledgement leaves from now on. */
static void drop_out(struct shell *shell, const char *why)
{
    log_error(shell->log, "a message was not written to standard output: %s", why);
    shell->out_open = false;
    shell->out_failed = true;
    shell->status = EX_IOERR;
}

/* Writes as much as goes without blocking. To a terminal control characters go as '?': whoever
 * sends them must not drive it. */
static void write_out(struct shell *shell, uint64_t now_ms)
{
    while (shell->out_open && out_ready()) {
        uint8_t bytes[PIECE_BYTES];
        struct wr piece = wr_over(bytes, sizeof bytes);
        const size_t len = make_piece(shell, &piece);
        const bool last = len == shell->out.len;

        if (shell->out_is_terminal)
            fmt_tame(bytes, len);
        if (last)
            wr_u8(&piece, '\n');
        if (files_write(STDOUT_FILENO, bytes, (size_t)(piece.p - bytes)) != 0) {
            drop_out(shell, strerror(errno));
            shell_leave(shell, now_ms);
            return;
        }
        shell->out.p += len;
        shell->out.len -= len;
        shell->out_open = !last;
    }
}

/* A message that is not acknowledged comes again where its QoS and the session allow it: so the
 * acknowledgement leaves only behind what was written. */
static void finish_out(struct shell *shell, uint64_t now_ms)
{
    write_out(shell, now_ms);
    if (shell->out_open && shell->leaving)
        drop_out(shell, "it would block");
    if (shell->out_open)
        return;
    session_taken(shell->session);
    if (!shell->out_failed)
        session_release(shell->session, now_ms);
}

static void begin_out(struct shell *shell, struct bytes text, uint64_t now_ms)
{
    if (shell->out_is_terminal)
        term_hide(&shell->term);
    shell->out = text;
    shell->out_open = true;
    finish_out(shell, now_ms);
}

/* ---- the session ---- */

/* Returns whether anything happened that commands may have waited for. */
static bool serve_session(struct shell *shell, uint64_t now_ms)
{
    struct session_message message;
    bool happened = false;

    for (; !shell->out_open; happened = true) {
        switch (session_next(shell->session, &message, now_ms)) {
        case SESSION_EV_NONE:
            if (!shell->out_failed && shell->session->running)
                session_release(shell->session, now_ms);
            return happened;
        case SESSION_EV_READY:
            shell->starting = shell->must_start = false;
            break;
        case SESSION_EV_MESSAGE:
            begin_out(shell, message.text, now_ms);
            break;
        case SESSION_EV_KILLED:
            break;
        case SESSION_EV_OVER:
            shell_session_over(shell, now_ms);
            break;
        }
    }
    return happened;
}

/* ---- commands ---- */

static bool idle(const struct shell *shell)
{
    const bool session_busy = shell->session->running && shell->session->stopping;

    return !shell->leaving && !shell->running && !shell->out_open &&
           shell->unsent_until_ms == UINT64_MAX && !shell->starting &&
           (shell->term.in_use || !session_busy);
}

static void take_line(struct shell *shell, enum line_event event, uint64_t now_ms)
{
    struct line *line = &shell->term.line;
    const bool whole = event == LINE_EV_DONE && memchr(line->text, '\0', line->len) == NULL;

    term_enter(&shell->term);
    memcpy(shell->command, line->text, line->len);
    shell->command[line->len] = '\0';
    line_next(line, shell->term.in_use);
    if (whole) {
        shell_execute(shell, now_ms);
        return;
    }
    log_error(shell->log,
              event == LINE_EV_LONG ? "a command is longer than %d bytes: not done"
                                    : "a command with a zero byte: not done",
              SHELL_LINE_MAX_BYTES);
    shell_fail(shell, EX_DATAERR);
}

static void take_byte(struct shell *shell, uint8_t byte, uint64_t now_ms)
{
    struct line *line = &shell->term.line;
    enum line_event event = shell->term.raw ? line_take(line, byte) : line_take_plain(line, byte);

    switch (event) {
    case LINE_EV_NONE:
        break;
    case LINE_EV_DONE:
    case LINE_EV_LONG:
        take_line(shell, event, now_ms);
        break;
    case LINE_EV_INTERRUPT:
    case LINE_EV_END:
        shell_leave(shell, now_ms);
        break;
    }
}

/* The last line of a script may lack its newline. */
static void take_end(struct shell *shell, uint64_t now_ms)
{
    if (!shell->term.in_use && shell->term.line.len > 0)
        take_byte(shell, '\n', now_ms);
    else
        shell_leave(shell, now_ms);
}

static void take_input(struct shell *shell, uint64_t now_ms)
{
    const bool typed = shell->input_pos < shell->input_len;

    while (idle(shell) && shell->input_pos < shell->input_len)
        take_byte(shell, shell->input[shell->input_pos++], now_ms);
    while (idle(shell) && shell->input_pos == shell->input_len && shell->input_over)
        take_end(shell, now_ms);
    if (typed && idle(shell))
        term_draw(&shell->term);
}

static void read_input(struct shell *shell)
{
    ssize_t n = read(STDIN_FILENO, shell->input, sizeof shell->input);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    shell->input_pos = 0;
    shell->input_len = n > 0 ? (size_t)n : 0;
    shell->input_over = n <= 0;
}

/* ---- signals ---- */

static void take_signal(struct shell *shell, int number, bool typed, uint64_t now_ms)
{
    if (number == SIGWINCH)
        term_resize(&shell->term);
    if (number != SIGINT && number != SIGTERM && number != SIGHUP)
        return;
    /* Ctrl-C is for the program that has the terminal, which may have ended of it before we hear of
     * it ourselves. At the prompt Ctrl-C is a byte and no signal. */
    if (number == SIGINT && shell->term.in_use && (shell->running || (typed && !shell->leaving)))
        return;
    if (shell->leaving)
        shell->abandoned = true;
    shell_leave(shell, now_ms);
}

static void take_signals(struct shell *shell, uint64_t now_ms)
{
    bool typed = false;
    int number;

    while ((number = signals_read(shell->signals, &typed)) != 0)
        take_signal(shell, number, typed, now_ms);
}

/* ---- the loop ---- */

static int wait_ms(const struct shell *shell, uint64_t now_ms)
{
    uint64_t due = session_deadline(shell->session);

    if (shell->unsent_until_ms < due)
        due = shell->unsent_until_ms;
    return shell->out_open ? -1 : clock_poll_timeout(due, now_ms);
}

/* While a message waits for its reader only that, and the signals, are looked at: the message
 * stands in the session's buffer, so the session stands still too. */
static void wait_for_something(struct shell *shell, struct pollfd fds[FD_COUNT])
{
    const bool blocked = shell->out_open;

    for (int i = 0; i < FD_COUNT; i++)
        fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    fds[FD_SIGNALS].fd = shell->signals;
    if (blocked) {
        fds[FD_OUT] = (struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT};
    } else {
        session_poll(shell->session, &fds[FD_SESSION]);
        fds[FD_PROGRAM].fd = shell->program.output;
        if (idle(shell) && !shell->input_over)
            fds[FD_INPUT].fd = STDIN_FILENO;
    }
    if (poll(fds, FD_COUNT, wait_ms(shell, clock_monotonic_ms())) < 0) {
        for (int i = 0; i < FD_COUNT; i++)
            fds[i].revents = 0;
    }
}

static void handle(struct shell *shell, const struct pollfd fds[FD_COUNT])
{
    const uint64_t now_ms = clock_monotonic_ms();

    if (fds[FD_SIGNALS].revents)
        take_signals(shell, now_ms);
    if (shell->out_open) {
        finish_out(shell, now_ms);
        return;
    }
    if (fds[FD_SESSION].revents)
        session_io(shell->session, fds[FD_SESSION].revents, now_ms);
    if (fds[FD_PROGRAM].revents)
        shell_take_output(shell);
    if (fds[FD_INPUT].revents)
        read_input(shell);
}

static bool over(const struct shell *shell)
{
    return shell->abandoned || (shell->leaving && !shell->session->running);
}

static void loop(struct shell *shell)
{
    struct pollfd fds[FD_COUNT];

    for (;;) {
        const uint64_t now_ms = clock_monotonic_ms();

        (void)serve_session(shell, now_ms);
        do {
            shell_check_program(shell, now_ms);
            shell_retry(shell, now_ms);
            take_input(shell, now_ms);
        } while (serve_session(shell, now_ms));
        if (over(shell))
            return;
        if (idle(shell))
            term_settle(&shell->term);
        wait_for_something(shell, fds);
        handle(shell, fds);
    }
}

static void begin(struct shell *shell)
{
    const char *file = shell->options->config;

    if (shell->term.in_use)
        term_write_box(shell->term.out, welcome_text);
    if (file == NULL)
        return;
    shell_start(shell, file, clock_monotonic_ms());
    if (shell->term.in_use)
        return;
    shell->must_start = true;
    shell->leaving = !shell->session->running;
}

int shell_run(struct shell *shell, struct session *session, struct keyring *keyring,
              struct conf *conf, const struct options *options, struct log *log)
{
    /* Hides that it is always the same one. Known, its fields would be addressed one by one, which
     * takes ARM 2 KB more than offsets from a register. */
    __asm__("" : "+r"(shell));
    shell->session = session;
    shell->keyring = keyring;
    shell->conf = conf;
    shell->options = options;
    shell->log = log;
    shell->unsent_until_ms = UINT64_MAX;
    shell->program.output = -1;
    shell->out_is_terminal = isatty(STDOUT_FILENO);
    shell->signals = signals_open(true);
    if (shell->signals < 0) {
        log_error(log, "no signals to poll for: %s", strerror(errno));
        return EX_OSERR;
    }
    shell->sandbox = sandbox_enter(SANDBOX_SHELL);
    sandbox_say(log, shell->sandbox, options->verbosity > 0);
    term_open(&shell->term, log);
    begin(shell);
    term_raw(&shell->term);
    loop(shell);
    if (session->running) { /* abandoned */
        sts_wipe(&session->sts);
        keyring_wipe(keyring);
    }
    term_cooked(&shell->term);
    spawn_close(&shell->program);
    (void)close(shell->signals);
    return shell->status;
}
