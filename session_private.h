/* session_private.h - what the files of a session share; nobody else includes it.
 *   session.c       start, polling, events of the connection, messages, the end
 *   session_sts.c   the STS conversation through it: master and slave
 *   session_push.c  pushes: sealing them, and a collector's taking them once
 *   session_say.c   log lines */
#ifndef STS_SESSION_PRIVATE_H
#define STS_SESSION_PRIVATE_H

#include "session.h"

/* Master or slave: there is a conversation. */
bool session_has_sts(const struct session *s);
uint64_t session_timeout_ms(const struct session *s);
struct bytes session_pubtop(const struct session *s);

/* client_publish as the config has it: with its QoS, and its retain, which is for nosec alone. */
int session_publish(struct session *s, struct wr *payload, struct bytes topic, size_t payload_len,
                    uint64_t now_ms) __attribute__((warn_unused_result));

/* Begins to close, for good. What comes of it is SESSION_EV_OVER. */
void session_finish(struct session *s, enum session_end end, uint64_t now_ms);

/* Draws an id for what is sent next; false: there is none, and s->store_status says why. */
bool session_draw_id(struct session *s, uint64_t *id);

/* Counts a payload that changed nothing; says so at -v, ever less often. */
void session_count_drop(struct session *s, const char *why);

/* Counts what happens, and whether it is to be told: LOG_REPEATS_MAX. If so, the next log line says
 * how often it was. */
bool session_tells(struct session *s, enum session_topic topic, uint64_t now_ms);

/* ---- session_sts.c ---- */

void session_sts_init(struct session *s);
/* The subscription is acknowledged: the handshake begins, unless it did before a reconnect. */
void session_sts_begin(struct session *s, uint64_t now_ms);
enum session_event session_sts_take(struct session *s, const struct mqtt_publish *publish,
                                    struct session_message *message, uint64_t now_ms);
/* Does what is due, and moves what STS has to send into the connection. */
enum session_event session_sts_work(struct session *s, uint64_t now_ms);
void session_sts_pump(struct session *s, uint64_t now_ms);
/* How a session that was stopped ended, once it is closed. */
enum session_end session_sts_result(const struct session *s);

/* ---- session_push.c ---- */

enum session_event session_push_take(struct session *s, const struct mqtt_publish *publish,
                                     struct session_message *message);
/* The push that was shown is taken: from now on it is a replay. */
void session_push_taken(struct session *s);

#endif
