/* send.c - one-shot sending: -s MESSAGE, -s - and -l. */
#include "oneshot.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "exit_status.h"
#include "signals.h"

struct send {
    struct oneshot *run;
    uint8_t *input;         /* of sizeof((union oneshot_bytes *)0)->input bytes */
    size_t start, len;      /* input[start..len-1] is not sent yet */
    bool end_of_input;
    bool lines;             /* -l: a message a line; else all of the input is one */
    bool given;             /* every message is in the hands of the session */
    uint64_t count;         /* messages given to the session */
    int status;             /* what went wrong first; EX_OK: nothing */
};

#define INPUT_BYTES sizeof((union oneshot_bytes *)0)->input

static void give_up(struct send *send, int status, uint64_t now_ms)
{
    if (send->status == EX_OK)
        send->status = status;
    send->given = true;
    session_stop(send->run->session, now_ms);
}

/* ---- input ---- */

/* The next message, if it is there whole. A line is shown without its end. */
static bool next_message(const struct send *send, struct bytes *message, size_t *used)
{
    const uint8_t *at = send->input + send->start;
    const size_t left = send->len - send->start;
    const uint8_t *end = send->lines && left > 0 ? memchr(at, '\n', left) : NULL;

    *message = (struct bytes){at, end ? (size_t)(end - at) : left};
    *used = message->len + (end ? 1 : 0);
    if (end)
        return true;
    return send->end_of_input && (left > 0 || !send->lines);
}

/* Without a whole message in it, a full buffer holds the start of one that is too long. */
static bool input_full(const struct send *send)
{
    return send->start == 0 && send->len == INPUT_BYTES;
}

static bool wants_input(const struct send *send)
{
    struct bytes message;
    size_t used;

    return !send->end_of_input && !send->given && !input_full(send) &&
           !next_message(send, &message, &used);
}

static void read_input(struct send *send, uint64_t now_ms)
{
    if (send->start > 0) {
        memmove(send->input, send->input + send->start, send->len - send->start);
        send->len -= send->start;
        send->start = 0;
    }
    const ssize_t n = read(STDIN_FILENO, send->input + send->len, INPUT_BYTES - send->len);
    if (n > 0) {
        send->len += (size_t)n;
    } else if (n == 0) {
        send->end_of_input = true;
    } else if (errno != EINTR && errno != EAGAIN) {
        log_error(send->run->log, "cannot read standard input: %s", strerror(errno));
        give_up(send, EX_NOINPUT, now_ms);
    }
}

/* ---- messages ---- */

static void say_refused(struct send *send, int err, size_t len)
{
    struct log *log = send->run->log;
    const char *at_least = len == INPUT_BYTES ? "at least " : "";

    if (send->lines)
        log_error(log, "line %llu is refused, those before it are sent:",
                  (unsigned long long)send->count + 1);
    if (err == SESSION_ERR_ID)
        return; /* the state file, or the clock, has been complained of already */
    if (err == SESSION_ERR_LONG)
        log_error(log, "%s: %s%zu bytes, the limit is %zu", session_err_text(err), at_least, len,
                  session_text_max(send->run->session));
    else
        log_error(log, "%s", session_err_text(err));
}

/* True when the message is gone from the input; false: not now, or the run is over. What left with
 * QoS 0 makes room by being written, and nothing would wake us afterwards: it is written here. */
static bool send_one(struct send *send, struct bytes message, uint64_t now_ms)
{
    int err = session_send(send->run->session, message, now_ms);

    if (err == SESSION_ERR_FULL) {
        session_io(send->run->session, 0, now_ms);
        err = session_send(send->run->session, message, now_ms);
    }
    if (err == 0) {
        send->count++;
        return true;
    }
    if (err == SESSION_ERR_FULL || err == SESSION_ERR_NOT_READY)
        return false;
    say_refused(send, err, message.len);
    send->given = true;
    send->status = exit_status_of_send(send->run->session, (enum session_err)err);
    return false;
}

static void send_messages(struct send *send, uint64_t now_ms)
{
    struct session *session = send->run->session;
    struct bytes message;
    size_t used;

    while (!send->given && session_ready(session, now_ms) &&
           next_message(send, &message, &used)) {
        if (!send_one(send, message, now_ms))
            return;
        send->start += used;
        if (!send->lines)
            send->given = true;
    }
    if (!send->given && session_ready(session, now_ms) && input_full(send))
        (void)send_one(send, (struct bytes){send->input, INPUT_BYTES}, now_ms);
    if (send->end_of_input && send->start == send->len)
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
        send->run->session->stop_until_ms = now_ms;
    give_up(send, EX_TEMPFAIL, now_ms);
}

static void on_give_up(struct send *send, uint64_t now_ms)
{
    if (now_ms < send->run->give_up_ms)
        return;
    log_error(send->run->log, "gave up after %u s", send->run->options->give_up_s);
    send->run->give_up_ms = UINT64_MAX;
    give_up(send, EX_TEMPFAIL, now_ms);
    /* All the time that was given is over: nothing is waited for any more. */
    send->run->session->stop_until_ms = now_ms;
}

static uint64_t deadline(const struct send *send)
{
    const uint64_t due = session_deadline(send->run->session);

    return due < send->run->give_up_ms ? due : send->run->give_up_ms;
}

static void wait_and_move(struct send *send)
{
    struct pollfd fds[3] = {
        {.fd = wants_input(send) ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = send->run->signals_fd, .events = POLLIN},
    };
    uint64_t now_ms = clock_monotonic_ms();

    session_poll(send->run->session, &fds[2]);
    if (poll(fds, 3, clock_poll_timeout(deadline(send), now_ms)) < 0)
        return;
    now_ms = clock_monotonic_ms();
    if (fds[0].revents != 0)
        read_input(send, now_ms);
    if (fds[1].revents != 0)
        on_signal(send, now_ms);
    session_io(send->run->session, fds[2].revents, now_ms);
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
            if (!send->given)
                give_up(send, EX_UNAVAILABLE, now_ms);
            break;
        case SESSION_EV_OVER:
            return false;
        }
    }
}

static void run_session(struct send *send)
{
    struct session *session = send->run->session;
    uint64_t now_ms = clock_monotonic_ms();

    while (take_events(send, now_ms)) {
        on_give_up(send, now_ms);
        send_messages(send, now_ms);
        if (send->given && !session->stopping && session_settled(session)) {
            session_stop(session, now_ms);
            continue;   /* there may be nothing left to wait for */
        }
        session_io(session, 0, now_ms);
        wait_and_move(send);
        now_ms = clock_monotonic_ms();
    }
}

static int result(struct send *send)
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

/* All of standard input is one message: read it before connecting, which then takes one segment. */
static int read_whole(struct send *send)
{
    struct pollfd fds[2] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = send->run->signals_fd, .events = POLLIN},
    };

    while (!send->end_of_input && send->len < INPUT_BYTES && send->status == EX_OK) {
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
    return send->status;
}

static int take_argument(struct send *send, const char *message)
{
    const size_t len = strlen(message);

    send->len = len < INPUT_BYTES ? len : INPUT_BYTES;
    memcpy(send->input, message, send->len);
    send->end_of_input = true;
    return EX_OK;
}

static int take_input(struct send *send)
{
    switch (send->run->options->action) {
    case ACTION_SEND:
        return take_argument(send, send->run->options->message);
    case ACTION_SEND_INPUT:
        return read_whole(send);
    case ACTION_SEND_LINES:
        send->lines = true;
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
    const struct bytes message = {send->input, send->len};
    const int err = send->lines ? 0 : session_check(send->run->session, message);

    if (err == 0)
        return EX_OK;
    say_refused(send, err, message.len);
    return exit_status_of_send(send->run->session, (enum session_err)err);
}

int send_run(struct oneshot *run, union oneshot_bytes *bytes)
{
    struct send send = {.run = run, .input = bytes->input};
    int status = take_input(&send);
    const struct session_use use = {
        .conf = run->conf,
        .keyring = run->keyring,
        .log = run->log,
        .early = true,
        .many = send.lines,
        .give_up_ms = send.lines ? (uint64_t)run->conf->timeout_s * 1000 : 0,
    };

    if (status != EX_OK)
        return status;
    session_init(run->session, &use);
    status = check_one(&send);
    if (status != EX_OK)
        return status;
    if (session_start(run->session, clock_monotonic_ms()) < 0)
        return EX_OSERR;
    run_session(&send);
    return result(&send);
}
