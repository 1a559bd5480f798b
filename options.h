/* options.h - the command line, as main.c took it apart. */
#ifndef STS_OPTIONS_H
#define STS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "limits.h"

enum options_action {
    ACTION_SHELL,
    ACTION_SEND,       /* -s MESSAGE */
    ACTION_SEND_INPUT, /* -s - */
    ACTION_SEND_LINES, /* -l */
    ACTION_RECEIVE,    /* -r */
    ACTION_KEY,        /* -k FILE */
};

struct options {
    enum options_action action;
    const char *config; /* -c; NULL: none */
    int overrides_count;
    const char *message;                          /* of -s */
    const char *key;                              /* of -k */
    uint64_t count;                               /* -n; 0: no limit */
    uint32_t give_up_s;                           /* -w; 0: no limit */
    bool json;                                    /* -j */
    int verbosity;                                /* -v: +1 each, -q: -1 */
    const char *overrides[OPTIONS_OVERRIDES_MAX]; /* -o, in order */
};

#endif
