/* main.c - the command line; owns all state of the program. */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "deadline.h"
#include "fmt.h"
#include "keyring.h"
#include "keys.h"
#include "load.h"
#include "oneshot.h"
#include "relro.h"
#include "sandbox.h"
#include "shell.h"
#include "signals.h"
#include "version.h"

static struct {
    struct options options;
    struct log log;
    struct conf conf;
    struct session session;
    union { /* only one of the modes runs */
        union oneshot_bytes oneshot;
        struct shell shell;
    } room;
} app;

/* Apart from the rest: it grows with the peers that a collector may have. */
static struct keyring keyring;

/* ---- help ---- */

static const char usage[] =
    "usage: sts [-c FILE] [-o KEY=VALUE]... [MODE] [-w SECONDS] [-v] [-q]\n"
    "\n"
    "without MODE   the shell; with -c, session FILE is started\n"
    "  -s MESSAGE   send one message; -s - sends all of standard input as one\n"
    "  -l           send every line of standard input as a message\n"
    "  -r           receive: one payload a line on standard output\n"
    "    -n COUNT   with -r: end after COUNT messages\n"
    "    -j         with -r: one JSON object a line\n"
    "\n"
    "  -k FILE      make a private key in FILE, and print its public key\n"
    "  -c FILE      config file: key = value lines\n"
    "  -o KEY=VALUE set or override a key of the config (repeatable)\n"
    "  -w SECONDS   give up after that long in all (exit status 75)\n"
    "  -v  -q       say more (twice: still more), or only errors, on standard error\n"
    "  -V           print the version     -h  print this\n"
    "\n"
    "exit status: 0 done, 64 bad flags, 65 bad data, 66 unreadable file, 68 host not\n"
    "found, 69 broker gone, 70 71 system failed, 73 cannot create, 74 cannot write,\n"
    "75 not now, 76 protocol error, 77 refused, 78 bad config\n";

/* Help that nobody can read is no failure of the program. */
static int print(const char *text)
{
    return write(STDOUT_FILENO, text, strlen(text)) < 0 ? EX_IOERR : EX_OK;
}

/* ---- flags ---- */

/* Walks over the arguments: flags may be joined (-vj), a value stands behind its flag or next. */
struct flags {
    char **next;      /* the argument after the current one */
    const char *rest; /* of the current argument */
};

/* The next flag; 0: no more; -1: an argument that is no flag. */
static int next_flag(struct flags *flags)
{
    if (*flags->rest != '\0')
        return *flags->rest++;
    if (!*flags->next)
        return 0;
    if ((*flags->next)[0] != '-' || (*flags->next)[1] == '\0')
        return -1;
    flags->rest = *flags->next++ + 1;
    return *flags->rest++;
}

/* The value of a flag; NULL: there is none. */
static const char *flag_value(struct flags *flags)
{
    const char *value = flags->rest;

    flags->rest = "";
    if (*value != '\0')
        return value;
    return *flags->next ? *flags->next++ : NULL;
}

/* A decimal number from 1 to `max`; 0: it is none. */
static uint64_t parse_number(const char *text, uint64_t max)
{
    uint64_t number = 0;

    if (!text || *text == '\0')
        return 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        const uint64_t digit = (uint64_t)(*text - '0');
        if (number > (max - digit) / 10)
            return 0;
        number = number * 10 + digit;
    }
    return number;
}

static int bad_flag(int flag, const char *what)
{
    log_error(&app.log, "-%c %s (sts -h tells more)", flag, what);
    return EX_USAGE;
}

static int set_action(struct options *options, enum options_action action, int flag)
{
    if (options->action != ACTION_SHELL)
        return bad_flag(flag, "does not go with another of -k, -s, -l and -r");
    options->action = action;
    return EX_OK;
}

static int take_override(struct options *options, const char *value)
{
    if (!value || !strchr(value, '='))
        return bad_flag('o', "needs KEY=VALUE");
    if (options->overrides_count == OPTIONS_OVERRIDES_MAX)
        return bad_flag('o', "is given too often");
    options->overrides[options->overrides_count++] = value;
    return EX_OK;
}

static int take_send(struct options *options, const char *value)
{
    if (!value)
        return bad_flag('s', "needs a message");
    options->message = value;
    return set_action(options, strcmp(value, "-") == 0 ? ACTION_SEND_INPUT : ACTION_SEND, 's');
}

static int take_flag(struct options *options, struct flags *flags, int flag)
{
    switch (flag) {
    case 'c':
        if (options->config)
            return bad_flag(flag, "is given twice");
        options->config = flag_value(flags);
        return options->config ? EX_OK : bad_flag(flag, "needs a file");
    case 'k':
        options->key = flag_value(flags);
        if (!options->key)
            return bad_flag(flag, "needs a file");
        return set_action(options, ACTION_KEY, flag);
    case 'o':
        return take_override(options, flag_value(flags));
    case 's':
        return take_send(options, flag_value(flags));
    case 'l':
        return set_action(options, ACTION_SEND_LINES, flag);
    case 'r':
        return set_action(options, ACTION_RECEIVE, flag);
    case 'n':
        options->count = parse_number(flag_value(flags), INT64_MAX);
        return options->count ? EX_OK : bad_flag(flag, "needs a number of messages");
    case 'w':
        options->give_up_s = (uint32_t)parse_number(flag_value(flags), CONF_TIMEOUT_MAX_S);
        return options->give_up_s ? EX_OK : bad_flag(flag, "needs 1 to 86400 seconds");
    case 'j':
        options->json = true;
        return EX_OK;
    case 'v':
        options->verbosity++;
        return EX_OK;
    case 'q':
        options->verbosity = -1;
        return EX_OK;
    default:
        return bad_flag(flag, "is no flag of sts");
    }
}

static int check_flags(const struct options *options)
{
    const bool receive = options->action == ACTION_RECEIVE;

    if (options->count && !receive)
        return bad_flag('n', "goes with -r only");
    if (options->json && !receive)
        return bad_flag('j', "goes with -r only");
    if (options->give_up_s && (options->action == ACTION_SHELL || options->action == ACTION_KEY))
        return bad_flag('w', "goes with -s, -l or -r only");
    if (options->action == ACTION_KEY && (options->config || options->overrides_count > 0))
        return bad_flag('k', "needs no config");
    return EX_OK;
}

/* Returns -1 when the program goes on, or the exit status. */
static int parse_flags(struct options *options, char **argv)
{
    struct flags flags = {.next = argv + 1, .rest = ""};
    int flag, status;

    while ((flag = next_flag(&flags)) > 0) {
        if (flag == 'h')
            return print(usage);
        if (flag == 'V')
            return print(version_text);
        status = take_flag(options, &flags, flag);
        if (status != EX_OK)
            return status;
    }
    if (flag < 0) {
        log_error(&app.log, "%s is no flag (sts -h tells more)", *flags.next);
        return EX_USAGE;
    }
    status = check_flags(options);
    return status == EX_OK ? -1 : status;
}

/* ---- one-shot modes ---- */

static int needs(const char *flag, const char *key)
{
    log_error(&app.log, "%s: %s needs the key %s", app.options.config ? app.options.config : "-o",
              flag, key);
    return EX_CONFIG;
}

/* What conf_finish cannot know: which end of the connection this run uses. */
static int check_topics(const struct options *options, const struct conf *conf)
{
    const bool receive = options->action == ACTION_RECEIVE;

    if (conf->mode == (receive ? STS_SENDER : STS_COLLECTOR)) {
        log_error(&app.log, "%s: sts_mode: %s goes with %s only", conf->name,
                  sts_mode_name(conf->mode), receive ? "-s and -l" : "-r");
        return EX_CONFIG;
    }
    if (receive)
        return conf->subtop_count > 0 ? EX_OK : needs("-r", "subtop");
    if (!conf->pubtop.set)
        return needs(options->action == ACTION_SEND_LINES ? "-l" : "-s", "pubtop");
    return EX_OK;
}

void oneshot_sandbox(const struct oneshot *run)
{
    const struct keyring *k = run->keyring;
    enum sandbox who = SANDBOX_PLAIN;

    if (run->conf->mode == STS_COLLECTOR)
        who = SANDBOX_COLLECTOR;
    else if (k->store.fd >= 0 || (run->conf->spool.set && k->spool.fd >= 0))
        who = SANDBOX_SENDER;
    sandbox_say(run->log, sandbox_enter(who), run->options->verbosity > 0);
}

bool oneshot_poll(const struct oneshot *run, struct pollfd fds[3], uint64_t due_ms)
{
    due_ms = deadline_earlier(due_ms, session_deadline(run->session));
    due_ms = deadline_earlier(due_ms, run->give_up_ms);
    fds[1] = (struct pollfd){.fd = run->signals_fd, .events = POLLIN};
    session_poll(run->session, &fds[2]);
    if (poll(fds, 3, clock_poll_timeout(due_ms, clock_monotonic_ms())) >= 0 || errno == EINTR)
        return true;
    log_error(run->log, "the system cannot poll: %s", strerror(errno));
    return false;
}

static int run_oneshot(void)
{
    struct oneshot run = {
        .options = &app.options,
        .log = &app.log,
        .conf = &app.conf,
        .keyring = &keyring,
        .session = &app.session,
        .give_up_ms = UINT64_MAX,
    };
    int status;

    run.signals_fd = signals_open(false);
    if (run.signals_fd < 0) {
        log_error(&app.log, "the system gives no signalfd");
        return EX_OSERR;
    }
    status = load_conf(&app.conf, app.options.config, &app.options, &app.log);
    if (status == EX_OK)
        status = check_topics(&app.options, &app.conf);
    if (status == EX_OK) {
        resolve_keep(&app.session.client.resolve, app.conf.host.text, &app.conf, sizeof app.conf);
        status = keyring_load(&keyring, &app.conf, &app.log);
    }
    conf_wipe(&app.conf);
    if (status != EX_OK)
        return status;
    status = keyring_open_state(&keyring, &app.conf,
                                app.options.action == ACTION_SEND_LINES && !app.conf.spool.set,
                                &app.log);
    if (status == EX_TEMPFAIL && app.conf.spool.set)
        status = EX_CANTCREAT; /* 75 would say that the message is in the spool */
    if (status != EX_OK)
        return status;
    if (app.options.give_up_s)
        run.give_up_ms = clock_monotonic_ms() + (uint64_t)app.options.give_up_s * 1000;
    status = app.options.action == ACTION_RECEIVE ? recv_run(&run, &app.room.oneshot)
                                                  : send_run(&run, &app.room.oneshot);
    sts_wipe(&app.session.sts); /* of a run that was not let end its session */
    keyring_wipe(&keyring);
    return status;
}

/* A sender is quiet when all is well, for cron mails what a program says; the others tell what
 * happens. */
static enum log_level level_of(const struct options *options)
{
    const bool sends = options->action != ACTION_SHELL && options->action != ACTION_RECEIVE;
    const int level = (sends ? LOG_WARN : LOG_INFO) + options->verbosity;

    if (options->verbosity < 0)
        return LOG_ERROR;
    return level > LOG_DEBUG ? LOG_DEBUG : (enum log_level)level;
}

int main(int argc, char **argv)
{
    (void)argc;
    relro_protect();
    app.log = (struct log){.fd = STDERR_FILENO, .level = LOG_INFO};
    const int status = parse_flags(&app.options, argv);
    if (status >= 0)
        return status;
    app.log.level = level_of(&app.options);
    /* No core dump, and no other process of this user that looks: there are keys in this memory. */
    (void)prctl(PR_SET_DUMPABLE, 0);
    if (app.options.action == ACTION_KEY)
        return keys_make(app.options.key, &app.log);
    if (app.options.action == ACTION_SHELL)
        return shell_run(&app.room.shell, &app.session, &keyring, &app.conf, &app.options,
                         &app.log);
    return run_oneshot();
}
