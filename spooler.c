/* spooler.c - see spooler.h.
 *
 * Order. Ids rise in the order in which messages are taken, and the spool is read from its oldest
 * record on, so what is read from it is sent before what comes after it. A message goes directly
 * only when nothing in the spool is unread; that is looked at, and its id drawn, under the lock
 * under which other runs draw theirs and append. */
#include "spooler.h"

#include <sys/stat.h>

#include "deadline.h"
#include "session_private.h"

static uint64_t patience_ms(const struct spooler *sp)
{
    return session_timeout_ms(sp->session) / 2;
}

/* With no room in flight, and nobody to make any, input would have to wait. */
static uint64_t patience_when_full_ms(const struct spooler *sp)
{
    return patience_ms(sp) < SPOOL_STALL_MS ? patience_ms(sp) : SPOOL_STALL_MS;
}

/* ---- opening ---- */

/* What could not be opened or read may hold something, unless it is none of ours. Once it was open
 * its name is of no use any more: in the sandbox no name is. */
static bool may_hold(const struct spooler *sp, int why)
{
    const struct spool *spool = sp->spool;
    struct stat status;

    if (sp->used || spool_in_use(spool))
        return true;
    return why != EX_CONFIG &&
           (spool->fd >= 0 ? fstat(spool->fd, &status)
                           : stat(sp->session->use.conf->spool.text, &status)) == 0 &&
           status.st_nlink > 0 && status.st_size > SPOOL_HEADER_BYTES;
}

/* It has complained. What it holds stays there. Where that may be something, nothing more is sent:
 * it would overtake what waits, and make the collector take that for old. */
static void go_without(struct spooler *sp, int why)
{
    sp->lost = may_hold(sp, why);
    spool_close(sp->spool);
    session_lose_patience(sp->session);
    log_warn(sp->session->use.log,
             sp->lost ? "nothing more is sent: it would overtake what the spool may hold"
                      : "without the spool: what cannot be sent now is not kept");
}

void spooler_open(struct spooler *sp, const struct conf *conf, struct session *session)
{
    int status;

    *sp = (struct spooler){
        .session = session,
        .spool = &session->use.keyring->spool,
        .configured = conf->spool.set,
        .sync_due_ms = UINT64_MAX,
        .late_id = UINT64_MAX,
    };
    if (!conf->spool.set) {
        sp->spool->fd = -1;
        return;
    }
    status = spool_open(sp->spool, conf->spool.text, conf->spool_max_bytes, session->use.log);
    if (status != EX_OK)
        go_without(sp, status);
}

/* ---- out of order ---- */

/* What went directly, and was put into the spool after all, stands behind newer ones that other
 * runs appended meanwhile. It is sent before them all the same: what 32 newer ones have overtaken,
 * a collector takes for old. This finds the next of that kind. (It comes again in its place; a
 * collector drops that.) */
static int find_late(struct spooler *sp)
{
    struct spool *spool = sp->spool;
    const uint64_t next = spool->next;
    struct spool_record record;
    int status = EX_OK;

    spool->next = sp->late;
    sp->late_id = UINT64_MAX;
    while (sp->late_id == UINT64_MAX && status != EX_IOERR && spool_has_next(spool)) {
        status = spool_next(spool, &record);
        if (status != EX_OK)
            continue;
        sp->late = record.position;
        if (record.id < sp->newest_id)
            sp->late_id = record.id;
        else
            sp->newest_id = record.id;
    }
    spool->next = next;
    return status == EX_IOERR ? status : EX_OK;
}

/* Begins to look for late ones, which reads all that waits: for a broker that may not be there only
 * as much as goes into flight at once. */
static int search(struct spooler *sp)
{
    const enum client_state state = sp->session->client.state;

    if (state != CLIENT_GREETING && state != CLIENT_UP &&
        sp->spool->end - sp->spool->next > CLIENT_RING_BYTES)
        return EX_TEMPFAIL;
    sp->unsearched = false;
    sp->late = sp->spool->next;
    return find_late(sp);
}

bool spooler_claim(struct spooler *sp, uint64_t now_ms)
{
    int status;

    if (sp->spool->alone || !spooler_active(sp))
        return true;
    if (now_ms < sp->claim_due_ms)
        return false;
    sp->claim_due_ms = now_ms + SPOOL_CLAIM_EVERY_MS;
    status = spool_claim(sp->spool);
    if (status == EX_TEMPFAIL)
        return false;
    sp->moved_ms = now_ms;
    sp->look_due_ms = now_ms + SPOOL_LOOK_EVERY_MS;
    if (status == EX_OK)
        status = spool_look(sp->spool);
    sp->unsearched = sp->spool->next != sp->spool->end;
    if (status != EX_OK)
        go_without(sp, status);
    return true;
}

/* ---- into the spool ---- */

static void note_refusal(struct spooler *sp, int status, uint64_t now_ms)
{
    sp->refused = status;
    sp->refused_ms = now_ms;
}

/* It took nothing, and nothing has moved since that would have made room. */
static bool still_refuses(const struct spooler *sp, uint64_t now_ms)
{
    return sp->refused != EX_OK && sp->moved_ms <= sp->refused_ms &&
           now_ms < sp->refused_ms + SPOOL_RETRY_MS;
}

static void appended(struct spooler *sp, uint64_t now_ms)
{
    sp->used = true;
    sp->refused = EX_OK;
    sp->moved_ms = now_ms;
    if (sp->sync_due_ms == UINT64_MAX)
        sp->sync_due_ms = now_ms + SPOOL_SYNC_EVERY_MS;
}

static enum spooler_give append(struct spooler *sp, struct wr *payload, struct bytes text, int *err,
                                uint64_t now_ms)
{
    uint64_t position;
    int status;

    *err = session_seal(sp->session, payload, text);
    if (*err < 0) {
        spool_abandon(sp->spool);
        return SPOOLER_REFUSED;
    }
    status = spool_commit(sp->spool, sp->session->last_id, &position);
    if (status != EX_OK) {
        note_refusal(sp, status, now_ms);
        return SPOOLER_LATER;
    }
    appended(sp, now_ms);
    return SPOOLER_TAKEN;
}

/* A packet in flight that the spool does not hold yet. */
static int append_flight(struct spooler *sp, uint32_t flight, const struct mqtt_publish *publish)
{
    struct wr payload;
    uint64_t position;
    int status = spool_begin(sp->spool, publish->topic, publish->payload.len, &payload);

    if (status != EX_OK)
        return status;
    wr_put(&payload, publish->payload.p, publish->payload.len);
    status = spool_commit(sp->spool, sp->ids[flight % CLIENT_FLIGHTS_MAX], &position);
    if (status != EX_OK)
        return status;
    sp->used = true;
    sp->records[flight % CLIENT_FLIGHTS_MAX] = position;
    /* In flight already: not to be read again, unless others wait before it. */
    if (sp->spool->next == position)
        sp->spool->next = sp->spool->end;
    return EX_OK;
}

/* Puts into the spool what the broker has not acknowledged, and syncs that at once: whoever pulls
 * the plug now finds it there. */
static int append_flights(struct spooler *sp)
{
    const struct client *c = &sp->session->client;
    struct mqtt_publish publish;
    bool any = false;

    for (uint32_t i = c->flight_head; i != c->flight_tail; i++) {
        if (sp->records[i % CLIENT_FLIGHTS_MAX] != SPOOLER_DIRECT ||
            !client_in_flight(c, i, &publish))
            continue;
        const int status = append_flight(sp, i, &publish);
        if (status != EX_OK)
            return status;
        any = true;
    }
    return any ? spool_sync(sp->spool) : EX_OK;
}

/* ---- to the broker ---- */

static enum spooler_give send_directly(struct spooler *sp, struct bytes text, int *err,
                                       uint64_t now_ms)
{
    struct client *c = &sp->session->client;
    const size_t flight = c->flight_tail % CLIENT_FLIGHTS_MAX;

    *err = session_send(sp->session, text, now_ms);
    if (*err == SESSION_ERR_FULL || *err == SESSION_ERR_NOT_READY)
        return SPOOLER_LATER;
    if (*err < 0)
        return SPOOLER_REFUSED;
    sp->records[flight] = SPOOLER_DIRECT;
    sp->ids[flight] = sp->session->last_id;
    sp->moved_ms = now_ms;
    return SPOOLER_TAKEN;
}

/* Nothing is before it, and the broker seems to be there. */
static bool may_go_directly(const struct spooler *sp)
{
    return sp->spool->alone && !spool_has_next(sp->spool) && !sp->away;
}

enum spooler_give spooler_give(struct spooler *sp, struct bytes text, int *err, uint64_t now_ms)
{
    struct session *s = sp->session;
    enum spooler_give give;
    struct wr payload;
    int status;

    *err = session_check(s, text);
    if (*err < 0)
        return SPOOLER_REFUSED;
    if (still_refuses(sp, now_ms) && !may_go_directly(sp))
        return SPOOLER_LATER;
    status = spool_begin(sp->spool, session_pubtop(s), FIRST_BYTES + text.len, &payload);
    s->id_floor = sp->spool->last_id;
    if (status == EX_CANTCREAT) {
        if (may_go_directly(sp))
            return send_directly(sp, text, err, now_ms);
        note_refusal(sp, status, now_ms);
        return SPOOLER_LATER;
    }
    if (status != EX_OK) {
        go_without(sp, status);
        return SPOOLER_LATER;
    }
    if (!may_go_directly(sp))
        return append(sp, &payload, text, err, now_ms);
    give = send_directly(sp, text, err, now_ms);
    spool_abandon(sp->spool);
    return give;
}

/* Sends the next record. EX_TEMPFAIL: there is no room in flight. */
static int feed_one(struct spooler *sp, uint64_t now_ms)
{
    struct session *s = sp->session;
    struct spool *spool = sp->spool;
    const size_t flight = s->client.flight_tail % CLIENT_FLIGHTS_MAX;
    const uint64_t next = spool->next;
    struct spool_record record;
    int status = spool_next(spool, &record);
    const bool late = status == EX_OK && record.id >= sp->late_id;

    if (late) {
        spool->next = sp->late;
        status = spool_next(spool, &record);
    }
    if (status == EX_OK && session_send_sealed(s, record.topic, record.payload, now_ms) < 0) {
        spool->next = next;
        return EX_TEMPFAIL;
    }
    if (status == EX_OK) {
        sp->records[flight] = record.position;
        sp->ids[flight] = record.id;
        sp->moved_ms = now_ms;
    }
    if (late) {
        sp->late = spool->next;
        spool->next = next;
        if (status != EX_IOERR)
            status = find_late(sp);
    }
    return status;
}

/* What waits in the spool, as far as there is room in flight. */
static int feed(struct spooler *sp, uint64_t now_ms)
{
    const struct session *s = sp->session;
    int status = EX_OK;

    while ((status == EX_OK || status == EX_UNAVAILABLE) && spool_has_next(sp->spool) &&
           session_ready(s, now_ms) && client_room(&s->client, 0, 0, s->use.conf->qos))
        status = sp->unsearched ? search(sp) : feed_one(sp, now_ms);
    return status == EX_IOERR ? status : EX_OK;
}

/* What is before the oldest record that is in flight or unread is acknowledged. */
static int remove_done(struct spooler *sp, uint64_t now_ms)
{
    const struct client *c = &sp->session->client;
    uint64_t head = sp->spool->next;
    struct mqtt_publish publish;

    if (c->flight_head != sp->flight_head)
        sp->moved_ms = now_ms;
    sp->flight_head = c->flight_head;
    for (uint32_t i = c->flight_head; i != c->flight_tail; i++)
        if (sp->records[i % CLIENT_FLIGHTS_MAX] < head && client_in_flight(c, i, &publish))
            head = sp->records[i % CLIENT_FLIGHTS_MAX];
    if (head <= sp->spool->head)
        return EX_OK;
    return spool_remove(sp->spool, head);
}

/* ---- the loop ---- */

static bool in_flight(const struct spooler *sp)
{
    return sp->session->client.flight_head != sp->session->client.flight_tail;
}

/* When what is in flight has waited long enough for its acknowledgement. */
static uint64_t away_at(const struct spooler *sp)
{
    const struct client *c = &sp->session->client;
    const bool room = client_room(c, 0, 0, sp->session->use.conf->qos);

    if (!in_flight(sp))
        return UINT64_MAX;
    return c->progress_ms + (room ? patience_ms(sp) : patience_when_full_ms(sp));
}

static bool is_away(const struct spooler *sp, uint64_t now_ms)
{
    const enum client_state state = sp->session->client.state;

    return !sp->session->running || state == CLIENT_WAITING || state == CLIENT_IDLE ||
           now_ms >= away_at(sp);
}

/* Of a run that sends: what was acknowledged goes, what is unread comes, what is stuck stays. */
static int move(struct spooler *sp, uint64_t now_ms)
{
    int status = remove_done(sp, now_ms);

    if (status != EX_OK)
        return status;
    sp->away = is_away(sp, now_ms);
    if (sp->away && !still_refuses(sp, now_ms))
        status = append_flights(sp);
    /* What it could not take is as it was, in flight. */
    if (status != EX_OK && !sp->spool->failed && (status == EX_CANTCREAT || status == EX_IOERR)) {
        note_refusal(sp, status, now_ms);
        status = EX_OK;
    }
    return status == EX_OK ? feed(sp, now_ms) : status;
}

void spooler_work(struct spooler *sp, uint64_t now_ms)
{
    int status = EX_OK;

    if (!still_refuses(sp, now_ms))
        sp->refused = EX_OK;
    if (sp->spool->alone && now_ms >= sp->look_due_ms) {
        sp->look_due_ms = now_ms + SPOOL_LOOK_EVERY_MS;
        status = spool_look(sp->spool);
    }
    if (sp->spool->alone && status == EX_OK)
        status = move(sp, now_ms);
    if (status == EX_OK && now_ms >= sp->sync_due_ms) {
        sp->sync_due_ms = UINT64_MAX;
        status = spool_sync(sp->spool);
    }
    if (status != EX_OK)
        go_without(sp, status);
}

uint64_t spooler_deadline(const struct spooler *sp)
{
    uint64_t due = sp->sync_due_ms;

    if (sp->refused != EX_OK)
        due = deadline_earlier(due, sp->refused_ms + SPOOL_RETRY_MS);
    if (!sp->spool->alone)
        return deadline_earlier(due, sp->claim_due_ms);
    due = deadline_earlier(due, sp->look_due_ms);
    return sp->away ? due : deadline_earlier(due, away_at(sp));
}

bool spooler_settled(const struct spooler *sp)
{
    return !in_flight(sp) && !spool_in_use(sp->spool);
}

uint64_t spooler_hopeless_ms(const struct spooler *sp, bool done)
{
    const struct client *c = &sp->session->client;

    if (done && !c->was_up && c->state == CLIENT_WAITING)
        return 0;
    /* A little later than the connection, which can say what is the matter. */
    return sp->moved_ms + session_timeout_ms(sp->session) + CLIENT_LINGER_MS;
}

int spooler_finish(struct spooler *sp, uint64_t now_ms)
{
    struct spool *spool = sp->spool;
    int status = EX_OK;

    if (!spooler_active(sp))
        return sp->lost ? EX_IOERR : EX_OK;
    if (spool->alone)
        status = remove_done(sp, now_ms);
    if (status == EX_OK)
        status = append_flights(sp);
    if (status == EX_OK)
        status = spool_sync(spool);
    if (status == EX_CANTCREAT)
        log_error(sp->session->use.log, "%s is full: what was on its way is not kept", spool->file);
    if (status != EX_OK)
        return status;
    if (!spool_in_use(spool))
        return spool->damaged ? EX_IOERR : EX_OK;
    log_warn(sp->session->use.log, "%llu bytes wait in %s for the next run",
             (unsigned long long)(spool->end - spool->head), spool->file);
    return EX_TEMPFAIL;
}
