/* recv.c - one-shot receiving: -r. One payload a line on standard output, or with -j one JSON
 * object a line.
 *
 * A message is put into the output buffer as room allows; it is taken from the session when all of
 * it is there, and acknowledged to the broker when all of the buffer is written. Standard output is
 * written only after poll said that it takes a piece, so a slow reader never keeps us from
 * answering the keepalive. A collector's output file keeps nobody waiting, and is appended to at
 * once; its messages are acknowledged in groups, as store.h has it. */
#include "oneshot.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "exit_status.h"
#include "fmt.h"
#include "json.h"
#include "signals.h"

#define PIECES_MAX 8
#define JSON_HEAD_BYTES 64

struct piece {
    enum json_form form;
    struct bytes bytes;
};

struct recv {
    struct oneshot *run;
    bool enough;          /* no further message is wanted */
    bool signalled;       /* a signal came: the next one drops what is not written */
    bool gone;            /* the output takes no more */
    int status;           /* what went wrong first; EX_OK: nothing */
    struct store *file;   /* the output goes to its file; NULL: to standard output */
    uint8_t *output;      /* of RECV_OUT_BYTES */
    size_t start, len;    /* output[start..len-1] is not written yet */
    size_t piece, offset; /* how far `pieces` got */
    size_t pieces_count;  /* piece == pieces_count: no message */
    uint64_t count;       /* messages put into output whole */
    uint64_t late;        /* messages of a session that came after the last one asked for */
    struct piece pieces[PIECES_MAX]; /* the message that is being put into output */
    uint8_t head[JSON_HEAD_BYTES], number[JSON_HEAD_BYTES];
};

static struct wr room_of(struct recv *recv)
{
    return wr_over(recv->output + recv->len, RECV_OUT_BYTES - recv->len);
}

/* ---- one message ---- */

static void add_piece(struct recv *recv, enum json_form form, struct bytes bytes)
{
    recv->pieces[recv->pieces_count++] = (struct piece){form, bytes};
}

static void add_text(struct recv *recv, const char *text)
{
    add_piece(recv, JSON_RAW, bytes_of(text));
}

static struct bytes make_head(struct recv *recv)
{
    struct wr w = wr_over(recv->head, sizeof recv->head);

    fmt(&w, "{\"time\":\"");
    fmt_time(&w, clock_wall_ms(), 'T');
    fmt(&w, "Z\",\"topic\":\"");
    return (struct bytes){recv->head, (size_t)(w.p - recv->head)};
}

/* The end of the string before it, then the id of a push, or the counter within a session. */
static struct bytes make_number(struct recv *recv, const struct session_message *message)
{
    const bool push = recv->run->conf->mode == STS_COLLECTOR;
    struct wr w = wr_over(recv->number, sizeof recv->number);

    fmt(&w, "\",\"%s\":%llu,\"", push ? "id" : "counter", (unsigned long long)message->number);
    return (struct bytes){recv->number, (size_t)(w.p - recv->number)};
}

/* UTF-8, which a zero byte is a part of here: MQTT's own strings alone cannot hold one. */
static bool is_text(struct bytes text)
{
    const uint8_t *end;

    do {
        end = text.len > 0 ? memchr(text.p, 0, text.len) : NULL;
        const size_t len = end ? (size_t)(end - text.p) : text.len;
        if (!mqtt_utf8_ok((struct bytes){text.p, len}))
            return false;
        if (end)
            text = (struct bytes){end + 1, text.len - len - 1};
    } while (end);
    return true;
}

static void begin_message(struct recv *recv, const struct session_message *message)
{
    const bool text = is_text(message->text);

    recv->pieces_count = recv->piece = recv->offset = 0;
    if (!recv->run->options->json) {
        add_piece(recv, JSON_RAW, message->text);
        add_text(recv, "\n");
        return;
    }
    add_piece(recv, JSON_RAW, make_head(recv));
    add_piece(recv, JSON_STRING, message->topic);
    if (message->peer) {
        add_text(recv, "\",\"peer\":\"");
        add_piece(recv, JSON_STRING, bytes_of(message->peer));
    }
    if (message->has_number)
        add_piece(recv, JSON_RAW, make_number(recv, message));
    else
        add_text(recv, "\",\"");
    add_text(recv, text ? "payload\":\"" : "payload_base64\":\"");
    add_piece(recv, text ? JSON_STRING : JSON_BASE64, message->text);
    add_text(recv, "\"}\n");
}

static bool in_message(const struct recv *recv)
{
    return recv->piece < recv->pieces_count;
}

/* Puts as much of the message into the output as there is room for. */
static void put_message(struct recv *recv)
{
    struct wr w = room_of(recv);

    while (in_message(recv)) {
        const struct piece *piece = &recv->pieces[recv->piece];
        if (!json_put(&w, piece->form, piece->bytes, &recv->offset))
            break;
        recv->piece++;
        recv->offset = 0;
    }
    recv->len = (size_t)(w.p - recv->output);
    if (in_message(recv))
        return;
    session_taken(recv->run->session);
    recv->count++;
    if (recv->count == recv->run->options->count)
        recv->enough = true;
}

/* ---- output ---- */

static void stop(struct recv *recv, int status)
{
    if (recv->status == EX_OK)
        recv->status = status;
    recv->enough = true;
}

/* Nothing more is written, and the message that was half put into the output is not taken. */
static void forget_output(struct recv *recv)
{
    if (in_message(recv))
        session_refuse(recv->run->session);
    recv->start = recv->len = 0;
    recv->piece = recv->pieces_count;
    recv->gone = true;
}

/* Whoever read our output has gone: with -n that is a failure, otherwise the end that was meant.
 * What was not written is dropped here and never acknowledged, as nothing is released any more. */
static void on_write_error(struct recv *recv, int error)
{
    const bool meant = error == EPIPE && recv->run->options->count == 0;

    if (!meant)
        log_error(recv->run->log, "cannot write %s: %s",
                  recv->file ? recv->file->out : "standard output", strerror(error));
    forget_output(recv);
    stop(recv, meant ? EX_OK : EX_IOERR);
}

static void write_output(struct recv *recv)
{
    const ssize_t n = write(STDOUT_FILENO, recv->output + recv->start, recv->len - recv->start);

    if (n >= 0)
        recv->start += (size_t)n;
    else if (errno != EINTR && errno != EAGAIN)
        on_write_error(recv, errno);
    if (recv->start == recv->len)
        recv->start = recv->len = 0;
}

static void write_file(struct recv *recv)
{
    if (recv->len > 0 && store_append(recv->file, recv->output, recv->len) != 0)
        on_write_error(recv, errno);
    recv->len = 0;
}

static void on_output(struct recv *recv, short revents)
{
    if (recv->len > 0 && revents != 0)
        write_output(recv);
    else if (revents & POLLNVAL)
        on_write_error(recv, EBADF);
    else if (revents & (POLLERR | POLLHUP))
        on_write_error(recv, EPIPE);
}

/* ---- the loop ---- */

/* What is full, the output or the group, is written to the file, and there is room again. */
static void make_room(struct recv *recv, uint64_t now_ms)
{
    const bool full = store_group_full(recv->file);

    if (in_message(recv) || full)
        write_file(recv);
    if (full && !recv->gone)
        session_release(recv->run->session, now_ms);
}

/* Takes events until there are none, or the output is full. False: the session is over. */
static bool take_events(struct recv *recv, uint64_t now_ms)
{
    struct session *session = recv->run->session;
    struct session_message message;

    for (;;) {
        while (in_message(recv)) {
            put_message(recv);
            if (!recv->file)
                break;
            make_room(recv, now_ms);
        }
        if (in_message(recv) || (recv->enough && session->running && !session->stopping))
            return true;
        switch (session_next(session, &message, now_ms)) {
        case SESSION_EV_NONE:
            return true;
        case SESSION_EV_READY:
        case SESSION_EV_KILLED:
            break;
        case SESSION_EV_MESSAGE:
            if (!recv->enough) {
                begin_message(recv, &message);
                break;
            }
            recv->late++;
            session_refuse(session);
            break;
        case SESSION_EV_OVER:
            return false;
        }
    }
}

/* What is not written is given up: it stays unacknowledged. */
static void drop_output(struct recv *recv)
{
    if (recv->len > 0)
        stop(recv, EX_TEMPFAIL);
    forget_output(recv);
}

static void stop_at_once(struct recv *recv)
{
    drop_output(recv);
    session_stop_at_once(recv->run->session, clock_monotonic_ms());
}

static void on_signal(struct recv *recv)
{
    const int number = signals_read(recv->run->signals_fd, NULL);

    if (number == 0)
        return;
    log_info(recv->run->log, "stopped by signal %d", number);
    /* A second one does not wait for answers any more. */
    if (recv->signalled)
        stop_at_once(recv);
    recv->signalled = true;
    stop(recv, recv->run->options->count > 0 ? EX_TEMPFAIL : EX_OK);
}

static void on_give_up(struct recv *recv, uint64_t now_ms)
{
    if (now_ms < recv->run->give_up_ms)
        return;
    log_error(recv->run->log, "gave up after %u s, with %llu messages",
              recv->run->options->give_up_s, (unsigned long long)recv->count);
    recv->run->give_up_ms = UINT64_MAX;
    stop(recv, EX_TEMPFAIL);
    /* All the time that was given is over: nothing is waited for any more. */
    forget_output(recv);
    session_stop_at_once(recv->run->session, now_ms);
}

static void wait_and_move(struct recv *recv)
{
    struct pollfd fds[3] = {{
        .fd = recv->gone || recv->file ? -1 : STDOUT_FILENO,
        .events = recv->len > 0 ? POLLOUT : 0,
    }};

    if (!oneshot_poll(recv->run, fds, UINT64_MAX)) {
        stop(recv, EX_OSERR);
        stop_at_once(recv); /* an end is better than a loop that never sleeps */
        return;
    }
    on_output(recv, fds[0].revents);
    if (fds[1].revents != 0)
        on_signal(recv);
    session_io(recv->run->session, fds[2].revents, clock_monotonic_ms());
}

static void run_session(struct recv *recv)
{
    struct session *session = recv->run->session;
    uint64_t now_ms = clock_monotonic_ms();

    while (take_events(recv, now_ms)) {
        if (recv->file)
            write_file(recv);
        if (recv->len == 0 && !recv->gone)
            session_release(session, now_ms);
        if (recv->enough && recv->len == 0)
            session_stop(session, now_ms);
        on_give_up(recv, now_ms);
        session_pause(session, in_message(recv) || (recv->enough && recv->len > 0), now_ms);
        session_io(session, 0, now_ms);
        wait_and_move(recv);
        now_ms = clock_monotonic_ms();
    }
}

/* The session is over, but standard output may still have to take what came before. */
static void drain_output(struct recv *recv)
{
    struct pollfd fds[2] = {{.fd = STDOUT_FILENO, .events = POLLOUT},
                            {.fd = recv->run->signals_fd, .events = POLLIN}};

    while (recv->len > 0 && !recv->gone) {
        const uint64_t now_ms = clock_monotonic_ms();
        if (now_ms >= recv->run->give_up_ms) {
            on_give_up(recv, now_ms);
        } else if (poll(fds, 2, clock_poll_timeout(recv->run->give_up_ms, now_ms)) > 0) {
            on_output(recv, fds[0].revents);
            if (fds[1].revents != 0 && signals_read(recv->run->signals_fd, NULL) != 0)
                drop_output(recv);
        }
    }
}

static int result(const struct recv *recv)
{
    const struct options *options = recv->run->options;
    const int status = exit_status_of_session(recv->run->session);

    if (recv->late > 0)
        log_warn(recv->run->log, "%llu messages came after the last one asked for, and are lost",
                 (unsigned long long)recv->late);
    if (recv->status != EX_OK)
        return recv->status;
    if (recv->run->session->store_status != EX_OK)
        return recv->run->session->store_status;
    if (options->count > 0 && recv->count == options->count)
        return EX_OK;
    return status == EX_OK && options->count > 0 ? EX_TEMPFAIL : status;
}

int recv_run(struct oneshot *run, union oneshot_bytes *bytes)
{
    struct recv recv = {.run = run, .output = bytes->output};
    const struct session_use use = {
        .conf = run->conf,
        .keyring = run->keyring,
        .log = run->log,
        .receive = true,
        .patient_slave = true,
        .give_up_ms = UINT64_MAX,
    };

    if (run->conf->out.set)
        recv.file = &run->keyring->store;
    session_init(run->session, &use);
    oneshot_sandbox(run);
    if (session_start(run->session, clock_monotonic_ms()) < 0)
        return EX_OSERR;
    run_session(&recv);
    if (recv.file)
        write_file(&recv);
    drain_output(&recv);
    /* The connection is gone, but what was written has to be remembered all the same: else a broker
     * that breaks off behind a push could show it to the next run again. */
    if (recv.len == 0 && !recv.gone)
        session_release(run->session, clock_monotonic_ms());
    return result(&recv);
}
