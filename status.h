/* status.h - what the shell's `status` shows, as log lines like the original's. */
#ifndef STS_STATUS_H
#define STS_STATUS_H

#include "session.h"

/* Shows the session and its configuration; `up_s`: seconds since it was started. Of the password
 * only that there is one. `sandbox`: what sandbox_enter said. Shown at any log level: somebody
 * asked. */
void status_show(struct log *log, const struct session *session, uint64_t up_s, int sandbox);

#endif
