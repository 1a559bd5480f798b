/* shell_commands.c - what the commands of the shell do. */
#include "shell_private.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "exit_status.h"
#include "load.h"
#include "status.h"

/* See term_write_box. */
static const char help_text[] = "\n"
                                "Commands        | Description\n"
                                "\n"
                                "start FILE      start a session with this config file\n"
                                "stop            end the session; the other end gets KILL\n"
                                "status          show the session\n"
                                "send MSG        send a message\n"
                                "sendenc MSG     send an encrypted message\n"
                                "send !PROGRAM   send what a program prints; sendenc likewise\n"
                                "!PROGRAM        run a program\n"
                                "help            show this\n"
                                "exit            end the session and leave\n"
                                "\n"
                                "Quotes, '...' or \"...\", hold an argument with blanks\n"
                                "together (FILE, PROGRAM); MSG is sent as it stands.\n"
                                "What a program prints is one message, without its last\n"
                                "newline; nothing is sent when the program fails.\n"
                                "Commands that come from a file or a pipe wait for each\n"
                                "other; the exit status is that of the first that failed.\n"
                                "\n";

/* A terminal is left with 0: its user saw what went wrong. */
void shell_fail(struct shell *shell, int status)
{
    if (!shell->term.in_use && shell->status == EX_OK)
        shell->status = status;
}

/* ---- the session ---- */

/* What only a run with an end can keep its word about. */
static int check_conf(const struct shell *shell)
{
    const struct conf *conf = shell->conf;

    if (!conf->spool.set && !conf->out.set)
        return EX_OK;
    log_error(shell->log, "%s: %s: goes with %s, not with the shell", conf->name,
              conf_key_name(conf->spool.set ? CONF_SPOOL : CONF_OUT),
              conf->spool.set ? "-s and -l" : "-r");
    return EX_CONFIG;
}

void shell_start(struct shell *shell, const char *file, uint64_t now_ms)
{
    struct conf *conf = shell->conf;
    const bool script = !shell->term.in_use;
    int status = load_conf(conf, file, shell->options, shell->log);
    const struct session_use use = {
        .conf = conf,
        .keyring = shell->keyring,
        .many = true,
        .log = shell->log,
        .receive = conf->subtop_count > 0,
        .patient_slave = !script,
        .give_up_ms = script ? (uint64_t)conf->timeout_s * 1000 : UINT64_MAX,
    };

    if (status == EX_OK)
        status = check_conf(shell);
    if (status == EX_OK)
        status = keyring_load(shell->keyring, conf, shell->log);
    conf_wipe(conf);
    if (status == EX_OK)
        status = keyring_open_state(shell->keyring, conf, false, shell->log);
    if (status == EX_OK) {
        session_init(shell->session, &use);
        if (session_start(shell->session, now_ms) < 0)
            status = EX_OSERR;
    }
    if (status != EX_OK) {
        shell_fail(shell, status);
        return;
    }
    shell->started_ms = now_ms;
    shell->starting = script;
}

static void forget_unsent(struct shell *shell)
{
    shell->unsent = (struct bytes){0};
    shell->unsent_until_ms = UINT64_MAX;
}

void shell_session_over(struct shell *shell, uint64_t now_ms)
{
    const int status = exit_status_of_session(shell->session);

    if (shell->session->end == SESSION_END_STOPPED)
        log_info(shell->log, "session stopped");
    else if (shell->session->end == SESSION_END_UNSETTLED)
        log_error(shell->log, "session stopped, but the broker did not confirm every message");
    else if (shell->session->end == SESSION_END_UNRECEIPTED)
        log_error(shell->log, "session stopped, but the other end did not say that it has "
                              "every message");
    keyring_wipe(shell->keyring);
    if (status != EX_OK)
        shell_fail(shell, status);
    shell->starting = false;
    shell_retry(shell, now_ms);
    if (shell->must_start)
        shell->leaving = true;
}

void shell_leave(struct shell *shell, uint64_t now_ms)
{
    shell->leaving = true;
    term_cooked(&shell->term);
    if (shell->unsent_until_ms != UINT64_MAX) {
        log_error(shell->log, "a message was not sent");
        shell_fail(shell, EX_TEMPFAIL);
        forget_unsent(shell);
    }
    spawn_stop(&shell->program);
    session_stop(shell->session, now_ms);
}

/* ---- messages ---- */

static void not_sent(struct shell *shell, int err, size_t len)
{
    const size_t max = session_text_max(shell->session);

    if (err == SESSION_ERR_LONG)
        log_error(shell->log, "nothing was sent: the message has %zu bytes, this session takes %zu",
                  len, max);
    else if (!shell->session->running)
        log_error(shell->log, "nothing was sent: the session is over");
    else
        log_error(shell->log, "nothing was sent: %s", session_err_text(err));
    if (err == SESSION_ERR_NOT_READY || err == SESSION_ERR_FULL)
        shell_fail(shell, EX_TEMPFAIL);
    else
        shell_fail(shell, exit_status_of_send(shell->session, (enum session_err)err));
}

/* Whether a script should wait and try again. */
static bool may_wait(const struct shell *shell, int err, uint64_t now_ms)
{
    return !shell->term.in_use && shell->session->running &&
           (err == SESSION_ERR_NOT_READY || err == SESSION_ERR_FULL) &&
           (shell->unsent_until_ms == UINT64_MAX || now_ms < shell->unsent_until_ms);
}

/* `text` stays where it is until the next command. */
static void send_text(struct shell *shell, struct bytes text, uint64_t now_ms)
{
    const int err = session_send(shell->session, text, now_ms);

    if (err != 0 && may_wait(shell, err, now_ms)) {
        if (shell->unsent_until_ms == UINT64_MAX)
            shell->unsent_until_ms = now_ms + (uint64_t)shell->conf->timeout_s * 1000;
        shell->unsent = text;
        return;
    }
    forget_unsent(shell);
    if (err != 0)
        not_sent(shell, err, text.len);
}

void shell_retry(struct shell *shell, uint64_t now_ms)
{
    if (shell->unsent_until_ms != UINT64_MAX)
        send_text(shell, shell->unsent, now_ms);
}

/* ---- programs ---- */

static void run_program(struct shell *shell, char *text, enum spawn_use use)
{
    char *argv[SHELL_ARGS_MAX + 1];
    const int count = spawn_split(argv, text);
    int err;

    if (count <= 0) {
        log_error(shell->log, "!PROGRAM: %s",
                  count == 0 ? "the program is missing" : spawn_err_text(count));
        shell_fail(shell, EX_USAGE);
        return;
    }
    term_cooked(&shell->term);
    shell->output_len = 0;
    shell->sends = use == SPAWN_CAPTURE;
    shell->program_name = argv[0];
    err = spawn_start(&shell->program, argv, use);
    shell->running = err == 0;
    if (err != 0) {
        log_error(shell->log, "cannot run %s: %s", argv[0], strerror(err));
        shell_fail(shell, EX_NOINPUT);
        term_raw(&shell->term);
    }
}

/* Once there is too much the pipe is closed, which ends most programs; the others are told. */
void shell_take_output(struct shell *shell)
{
    ssize_t n;

    while (shell->program.output >= 0) {
        n = read(shell->program.output, shell->output + shell->output_len,
                 sizeof shell->output - shell->output_len);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n > 0)
            shell->output_len += (size_t)n;
        if (n <= 0 || shell->output_len == sizeof shell->output)
            spawn_close(&shell->program);
        if (shell->output_len == sizeof shell->output)
            spawn_stop(&shell->program);
    }
}

static bool succeeded(const struct shell *shell)
{
    const int status = shell->program.status;
    const char *name = shell->program_name;
    const char *so = shell->sends ? "nothing was sent: " : "";

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFSIGNALED(status))
        log_error(shell->log, "%s%s was ended by signal %d", so, name, WTERMSIG(status));
    else
        log_error(shell->log, "%s%s ended with status %d", so, name, WEXITSTATUS(status));
    return false;
}

/* All that it printed is one message, but for the newline that ends its last line. */
static void send_output(struct shell *shell, uint64_t now_ms)
{
    const size_t len = shell->output_len;

    if (len == sizeof shell->output) {
        log_error(shell->log, "nothing was sent: %s printed more than %d bytes",
                  shell->program_name, MESSAGE_MAX_BYTES);
    } else if (succeeded(shell) && len == 0) {
        log_error(shell->log, "nothing was sent: %s printed nothing", shell->program_name);
    } else if (shell->program.status == 0) {
        send_text(shell, (struct bytes){shell->output, len - (shell->output[len - 1] == '\n')},
                  now_ms);
        return;
    }
    shell_fail(shell, EX_DATAERR);
}

void shell_check_program(struct shell *shell, uint64_t now_ms)
{
    if (!shell->running || !spawn_ended(&shell->program))
        return;
    /* What it left in the pipe is all there is, even if a child of its own holds the pipe open. */
    shell_take_output(shell);
    spawn_close(&shell->program);
    shell->running = false;
    term_fresh_line(&shell->term);
    if (!shell->leaving && shell->sends)
        send_output(shell, now_ms);
    else if (!shell->leaving && !succeeded(shell))
        shell_fail(shell, EX_DATAERR);
    if (!shell->leaving)
        term_raw(&shell->term);
}

/* ---- the commands ---- */

/* A command that cannot be done; a script goes on with the next. */
static void refuse(struct shell *shell, const char *word, const char *why)
{
    log_error(shell->log, "%s: %s", word, why);
    shell_fail(shell, EX_USAGE);
}

static void do_start(struct shell *shell, const char *word, char *argument, uint64_t now_ms)
{
    char *argv[SHELL_ARGS_MAX + 1];

    if (shell->session->running) {
        refuse(shell, word,
               shell->session->stopping ? "the last session is still stopping"
                                        : "a session is running; 'stop' ends it");
    } else if (spawn_split(argv, argument) != 1) {
        refuse(shell, word, "give it one config file: start FILE");
    } else {
        memcpy(shell->file, argv[0], strlen(argv[0]) + 1);
        shell_start(shell, shell->file, now_ms);
    }
}

static void do_stop(struct shell *shell, const char *word, uint64_t now_ms)
{
    if (!shell->session->running)
        refuse(shell, word, "no session is running");
    else
        session_stop(shell->session, now_ms);
}

static void send_argument(struct shell *shell, char *argument, uint64_t now_ms)
{
    if (!shell->conf->pubtop.set) {
        log_error(shell->log, "%s: no pubtop to send to", shell->conf->name);
        shell_fail(shell, EX_CONFIG);
    } else if (argument[0] == '!') {
        run_program(shell, argument + 1, SPAWN_CAPTURE);
    } else {
        send_text(shell, bytes_of(argument), now_ms);
    }
}

static void do_send(struct shell *shell, const char *word, bool seal, char *argument,
                    uint64_t now_ms)
{
    if (!shell->session->running)
        refuse(shell, word, "no session is running");
    else if (seal != (shell->conf->cipher != STS_NULL))
        refuse(shell, word,
               seal ? "encryption is off: use 'send'" : "encryption is on: use 'sendenc'");
    else if (argument[0] == '\0')
        refuse(shell, word,
               seal ? "the message is missing: sendenc MSG" : "the message is missing: send MSG");
    else
        send_argument(shell, argument, now_ms);
}

/* strspn and strcspn would bring 400 bytes. */
static char *skip_blanks(char *text)
{
    while (spawn_is_blank(*text))
        text++;
    return text;
}

/* Takes the first word off the line, in place, and returns what is behind the blanks after it. */
static char *cut_word(char *word)
{
    char *rest = word;

    while (*rest != '\0' && !spawn_is_blank(*rest))
        rest++;
    if (*rest != '\0')
        *rest++ = '\0';
    return skip_blanks(rest);
}

enum command { START, STOP, STATUS, SEND, SENDENC, HELP, EXIT };

static void do_command(struct shell *shell, enum command command, const char *word, char *argument,
                       uint64_t now_ms)
{
    switch (command) {
    case START:
        do_start(shell, word, argument, now_ms);
        break;
    case STOP:
        do_stop(shell, word, now_ms);
        break;
    case STATUS:
        status_show(shell->log, shell->session, (now_ms - shell->started_ms) / 1000,
                    shell->sandbox);
        break;
    case SEND:
    case SENDENC:
        do_send(shell, word, command == SENDENC, argument, now_ms);
        break;
    case HELP:
        term_write_box(shell->log->fd, help_text);
        break;
    case EXIT:
        shell_leave(shell, now_ms);
        break;
    }
}

/* A table without pointers, which a static PIE would have to relocate. */
static void execute_word(struct shell *shell, char *word, uint64_t now_ms)
{
    static const struct {
        char name[sizeof "sendenc"];
        bool takes_argument;
        uint8_t command;
    } commands[] = {
        {"start", true, START}, {"stop", false, STOP},      {"status", false, STATUS},
        {"send", true, SEND},   {"sendenc", true, SENDENC}, {"help", false, HELP},
        {"exit", false, EXIT},
    };
    char *argument = cut_word(word);

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(word, commands[i].name) != 0)
            continue;
        if (!commands[i].takes_argument && argument[0] != '\0')
            refuse(shell, word, "takes no argument");
        else
            do_command(shell, (enum command)commands[i].command, word, argument, now_ms);
        return;
    }
    log_error(shell->log, "unknown command: %s ('help' shows what there is; !%s runs a program)",
              word, word);
    shell_fail(shell, EX_USAGE);
}

void shell_execute(struct shell *shell, uint64_t now_ms)
{
    char *word = skip_blanks(shell->command);

    if (word[0] == '!')
        run_program(shell, word + 1, shell->term.in_use ? SPAWN_TERMINAL : SPAWN_QUIET);
    else if (word[0] != '\0')
        execute_word(shell, word, now_ms);
}
