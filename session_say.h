/* session_say.h - the log lines of a session: what happened to the connection, in words. */
#ifndef STS_SESSION_SAY_H
#define STS_SESSION_SAY_H

#include "session.h"

/* One line for why the connection is gone for good. */
void session_say_failure(struct log *log, const struct conf *conf,
                         const struct client_failure *failure);

/* One line for why it is gone, and when it is tried again. */
void session_say_lost(struct log *log, const struct conf *conf,
                      const struct client_failure *failure);

/* What STS/1 does not promise, at each start of it. */
void session_warn_of_sts1(struct log *log);

#endif
