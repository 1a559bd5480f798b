/* send.c - one-shot sending: -s MESSAGE, -s - and -l.
 *
 * With a spool (spooler.h) a message that is taken from the input is either with the broker when
 * the run ends, or in the spool, or refused by name. Only the run that has claimed the spool
 * connects; another one waits, for as long as a step may take, then leaves its messages there. */
#include "oneshot.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "deadline.h"
#include "exit_status.h"
#include "input.h"
#include "signals.h"
#include "spooler.h"

struct send {
    struct oneshot *run;
    bool started; /* the session is, or was, running */
    bool given;   /* no further message will be given to the session */
    bool refused; /* a message cannot be sent, now or ever; said */
    int status;   /* what went wrong first; EX_OK: nothing */
    struct input input;
    struct spooler spooler;
    uint64_t count;       /* messages given to the session */
    uint64_t patience_ms; /* so long another run may keep the spool from us */
};

static void give_up(struct send *send, int status, uint64_t now_ms)
{
    if (send->status == EX_OK)
        send->status = status;
    send->given = true;
    session_stop(send->run->session, now_ms);
}

static void read_input(struct send *send, uint64_t now_ms)
{
    const int error = input_read(&send->input);

    if (error == 0)
        return;
    log_error(send->run->log, "cannot read standard input: %s", strerror(error));
    give_up(send, EX_NOINPUT, now_ms);
}

/* ---- messages ---- */

static void name_line(const struct send *send)
{
    if (send->input.lines)
        log_error(send->run->log, "line %llu is refused, those before it are sent%s:",
                  (unsigned long long)send->count + 1,
                  send->spooler.configured ? " or in the spool" : "");
}

static void say_refused(struct send *send, int err, size_t len)
{
    struct log *log = send->run->log;
    const char *at_least = len == INPUT_ROOM_BYTES ? "at least " : "";

    name_line(send);
    if (err == SESSION_ERR_ID)
        return; /* the state file, or the clock, has been complained of already */
    if (err == SESSION_ERR_LONG)
        log_error(log, "%s: %s%zu bytes, the limit is %zu", session_err_text(err), at_least, len,
                  session_text_max(send->run->session));
    else
        log_error(log, "%s", session_err_text(err));
}

static void refuse(struct send *send, int err, size_t len)
{
    say_refused(send, err, len);
    send->refused = send->given = true;
    if (send->status == EX_OK)
        send->status = exit_status_of_send(send->run->session, (enum session_err)err);
}

/* What left with QoS 0 makes room by being written, and nothing would wake us afterwards: it is
 * written here. */
static enum spooler_give send_plainly(struct send *send, struct bytes message, int *err,
                                      uint64_t now_ms)
{
    *err = session_send(send->run->session, message, now_ms);
    if (*err == SESSION_ERR_FULL) {
        session_io(send->run->session, 0, now_ms);
        *err = session_send(send->run->session, message, now_ms);
    }
    if (*err == SESSION_ERR_FULL || *err == SESSION_ERR_NOT_READY)
        return SPOOLER_LATER;
    return *err == 0 ? SPOOLER_TAKEN : SPOOLER_REFUSED;
}

/* True when the message is gone from the input; false: not now, or the run is over. */
static bool send_one(struct send *send, struct bytes message, uint64_t now_ms)
{
    enum spooler_give give = SPOOLER_LATER;
    int err = 0;

    if (spooler_active(&send->spooler))
        give = spooler_give(&send->spooler, message, &err, now_ms);
    if (!spooler_active(&send->spooler) && !send->spooler.lost)
        give = send_plainly(send, message, &err, now_ms);
    switch (give) {
    case SPOOLER_TAKEN:
        input_take(&send->input, message);
        send->count++;
        return true;
    case SPOOLER_LATER:
        return false;
    case SPOOLER_REFUSED:
        break;
    }
    refuse(send, err, message.len);
    return false;
}

static bool may_send(const struct send *send, uint64_t now_ms)
{
    if (send->given || send->spooler.lost)
        return false;
    if (spooler_active(&send->spooler))
        return send->started || now_ms >= send->patience_ms;
    return session_ready(send->run->session, now_ms);
}

static void send_messages(struct send *send, uint64_t now_ms)
{
    struct bytes message;

    while (may_send(send, now_ms) && input_next(&send->input, &message))
        if (!send_one(send, message, now_ms))
            break;
    if (may_send(send, now_ms) && input_too_long(&send->input, &message))
        (void)send_one(send, message, now_ms);
    if (input_done(&send->input))
        send->given = true;
}

/* ---- the loop ---- */

static void on_signal(struct send *send, uint64_t now_ms)
{
    const int number = signals_read(send->run->signals_fd, NULL);

    if (number == 0)
        return;
    log_warn(send->run->log, "stopped by signal %d", number);
    /* A second one does not wait for answers any more. */
    if (send->run->session->stopping)
        session_stop_at_once(send->run->session, now_ms);
    give_up(send, EX_TEMPFAIL, now_ms);
}

static void stop_now(struct send *send, int status, uint64_t now_ms)
{
    give_up(send, status, now_ms);
    session_stop_at_once(send->run->session, now_ms);
}

static void on_give_up(struct send *send, uint64_t now_ms)
{
    if (now_ms < send->run->give_up_ms)
        return;
    log_error(send->run->log, "gave up after %u s", send->run->options->give_up_s);
    send->run->give_up_ms = UINT64_MAX;
    /* All the time that was given is over: nothing is waited for any more. */
    stop_now(send, EX_TEMPFAIL, now_ms);
}

/* With -l and a spool a lost connection ends nothing; what does is that nothing moves, when all is
 * given or the spool takes no more. Nor does anything else end a run that does not connect. */
static uint64_t hopeless_ms(const struct send *send)
{
    const struct spooler *sp = &send->spooler;

    if (!spooler_active(sp) || (send->started && !send->input.lines) ||
        send->run->session->stopping)
        return UINT64_MAX;
    if (send->given)
        return spooler_hopeless_ms(sp, true);
    return sp->refused != EX_OK ? spooler_hopeless_ms(sp, false) : UINT64_MAX;
}

static uint64_t deadline(const struct send *send)
{
    uint64_t due = hopeless_ms(send);

    if (spooler_active(&send->spooler))
        due = deadline_earlier(due, spooler_deadline(&send->spooler));
    if (!send->started)
        due = deadline_earlier(due, send->spooler.claim_due_ms);
    return due;
}

static void wait_and_move(struct send *send)
{
    const bool read = !send->given && input_wants(&send->input);
    struct pollfd fds[3] = {{.fd = read ? STDIN_FILENO : -1, .events = POLLIN}};
    const bool polled = oneshot_poll(send->run, fds, deadline(send));
    const uint64_t now_ms = clock_monotonic_ms();

    if (!polled) {
        stop_now(send, EX_OSERR, now_ms);
        return;
    }
    if (fds[0].revents != 0)
        read_input(send, now_ms);
    if (fds[1].revents != 0)
        on_signal(send, now_ms);
    session_io(send->run->session, fds[2].revents, now_ms);
}

/* Whether all of the input is given, looked at once more: its end may be there unread. */
static bool at_end(struct send *send, uint64_t now_ms)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    if (input_wants(&send->input) && poll(&input, 1, 0) > 0)
        read_input(send, now_ms);
    return input_done(&send->input);
}

/* What comes in while sending is not asked for: it is shown at -v, and to the other end of an STS/2
 * session it counts as not received. */
static bool take_events(struct send *send, uint64_t now_ms)
{
    struct session *session = send->run->session;
    struct session_message message;

    for (;;) {
        switch (session_next(session, &message, now_ms)) {
        case SESSION_EV_NONE:
            session_release(session, now_ms);
            return true;
        case SESSION_EV_READY:
            break;
        case SESSION_EV_MESSAGE:
            log_info(send->run->log, "received: %.*s", (int)message.text.len,
                     (const char *)message.text.p);
            session_refuse(session);
            break;
        case SESSION_EV_KILLED:
            /* What was given may still be on its way to the broker; what was not never will be. */
            if (!send->given && !at_end(send, now_ms))
                give_up(send, EX_UNAVAILABLE, now_ms);
            break;
        case SESSION_EV_OVER:
            return false;
        }
    }
}

/* Only the run that may send connects. False: the system gives nothing to connect with. */
static bool start(struct send *send, uint64_t now_ms)
{
    if (send->started || !spooler_claim(&send->spooler, now_ms))
        return true;
    send->started = true;
    if (session_start(send->run->session, now_ms) == 0)
        return true;
    send->status = EX_OSERR;
    return false;
}

static void work(struct send *send, uint64_t now_ms)
{
    if (spooler_active(&send->spooler))
        spooler_work(&send->spooler, now_ms);
}

static bool settled(struct send *send)
{
    return session_settled(send->run->session) &&
           (!spooler_active(&send->spooler) || spooler_settled(&send->spooler));
}

static void run_session(struct send *send)
{
    struct session *session = send->run->session;
    uint64_t now_ms = clock_monotonic_ms();

    while (start(send, now_ms) && take_events(send, now_ms)) {
        on_give_up(send, now_ms);
        if (now_ms >= hopeless_ms(send))
            stop_now(send, EX_OK, now_ms);
        work(send, now_ms);
        if (send->spooler.lost)
            give_up(send, EX_IOERR, now_ms);
        send_messages(send, now_ms);
        work(send, now_ms);
        if (send->given && !send->started)
            return; /* another run sends it, or nobody can */
        if (send->given && !session->stopping && settled(send)) {
            session_stop(session, now_ms);
            continue; /* there may be nothing left to wait for */
        }
        session_io(session, 0, now_ms);
        wait_and_move(send);
        now_ms = clock_monotonic_ms();
    }
}

/* ---- the end ---- */

/* Messages that are in our hands and not in the session's. */
static void keep_rest(struct send *send)
{
    const uint64_t now_ms = clock_monotonic_ms();
    const size_t unfinished = input_unfinished(&send->input);
    struct bytes message;

    send->spooler.away = true;
    while (!send->refused && spooler_active(&send->spooler) && input_next(&send->input, &message))
        if (!send_one(send, message, now_ms))
            break;
    if (unfinished > 0)
        log_warn(send->run->log, "a line was not finished: its %zu bytes are not kept", unfinished);
}

/* What became of a run with a spool: 75 says that all of it is kept, so what was not kept never
 * ends with that. */
static int result_with_spool(struct send *send)
{
    struct spooler *sp = &send->spooler;
    struct bytes message;
    int kept;

    keep_rest(send);
    kept = spooler_finish(sp, clock_monotonic_ms());
    if (send->status != EX_OK && send->status != EX_TEMPFAIL)
        return send->status;
    if (send->refused)
        return EX_CANTCREAT;
    if (input_next(&send->input, &message)) {
        name_line(send);
        log_error(send->run->log, "%s %s: the message is not kept", send->run->conf->spool.text,
                  sp->refused == EX_CANTCREAT ? "is full" : "does not take it");
        return sp->refused != EX_OK ? sp->refused : EX_CANTCREAT;
    }
    if (kept != EX_OK)
        return kept;
    return send->status;
}

static int result_without_spool(struct send *send)
{
    const struct session *session = send->run->session;
    int status = exit_status_of_session(session);

    /* Receipts say more than the broker could. */
    if (status == EX_OK && session->client.qos0_lost && !session_has_receipts(session)) {
        log_error(send->run->log, "the connection broke before the broker confirmed what was sent "
                                  "with QoS 0: some of it may be lost");
        status = EX_UNAVAILABLE;
    }
    if (session->end == SESSION_END_UNSETTLED && send->status == EX_OK)
        log_error(send->run->log, "not everything was confirmed within %u s",
                  send->run->conf->timeout_s);
    if (session->end == SESSION_END_UNRECEIPTED)
        log_error(send->run->log, "the other end did not say that it has every message");
    return send->status != EX_OK ? send->status : status;
}

static int result(struct send *send)
{
    if (spooler_active(&send->spooler))
        return result_with_spool(send);
    if (send->spooler.lost)
        return EX_IOERR;
    return spooler_not_kept(&send->spooler, result_without_spool(send));
}

/* ---- the start ---- */

/* All of standard input is one message: read it before connecting, which then takes one segment. */
static int read_whole(struct send *send)
{
    struct pollfd fds[2] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = send->run->signals_fd, .events = POLLIN},
    };

    while (input_wants(&send->input) && send->status == EX_OK) {
        uint64_t now_ms = clock_monotonic_ms();
        on_give_up(send, now_ms);
        if (send->status != EX_OK)
            break;
        if (poll(fds, 2, clock_poll_timeout(send->run->give_up_ms, now_ms)) <= 0)
            continue;
        now_ms = clock_monotonic_ms();
        if (fds[0].revents != 0)
            read_input(send, now_ms);
        if (fds[1].revents != 0)
            on_signal(send, now_ms);
    }
    return spooler_not_kept(&send->spooler, send->status);
}

static int take_input(struct send *send)
{
    switch (send->run->options->action) {
    case ACTION_SEND:
        input_argument(&send->input, send->run->options->message);
        return EX_OK;
    case ACTION_SEND_INPUT:
        return read_whole(send);
    case ACTION_SEND_LINES:
        send->input.lines = true;
        return EX_OK;
    case ACTION_SHELL:
    case ACTION_RECEIVE:
    case ACTION_KEY:
        break;
    }
    return EX_SOFTWARE;
}

/* One message can be refused before anything is sent. */
static int check_one(struct send *send)
{
    const struct bytes message = {send->input.room, send->input.len};
    const int err = send->input.lines ? 0 : session_check(send->run->session, message);

    if (err == 0)
        return EX_OK;
    say_refused(send, err, message.len);
    return exit_status_of_send(send->run->session, (enum session_err)err);
}

int send_run(struct oneshot *run, union oneshot_bytes *bytes)
{
    const uint64_t timeout_ms = (uint64_t)run->conf->timeout_s * 1000;
    const bool lines = run->options->action == ACTION_SEND_LINES;
    const bool go_on = lines && run->conf->spool.set;
    struct send send = {
        .run = run,
        .input = {.room = bytes->input},
        .spooler = {.spool = &run->keyring->spool, .configured = run->conf->spool.set},
    };
    const struct session_use use = {
        .conf = run->conf,
        .keyring = run->keyring,
        .log = run->log,
        .early = true,
        .many = lines,
        .patient = go_on,
        .give_up_ms = go_on   ? UINT64_MAX
                      : lines ? timeout_ms
                              : 0,
    };
    int status = take_input(&send);

    if (status != EX_OK)
        return status;
    session_init(run->session, &use);
    status = check_one(&send);
    if (status != EX_OK)
        return status;
    spooler_open(&send.spooler, run->conf, run->session);
    oneshot_sandbox(run);
    send.patience_ms = clock_monotonic_ms() + timeout_ms;
    run_session(&send);
    return result(&send); /* the spool is closed by the end of the program, which comes now */
}
