/* exit_status.h - what the program's exit status says (sysexits.h), from what ended a session. */
#ifndef STS_EXIT_STATUS_H
#define STS_EXIT_STATUS_H

#include "session.h"

/* The status for a session that is over. */
int exit_status_of_session(const struct session *s);

/* The status for a message that session_send refused (not for SESSION_ERR_FULL and
 * SESSION_ERR_NOT_READY, which are no end). */
int exit_status_of_send(const struct session *s, enum session_err err);

#endif
