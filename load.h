/* load.h - reads a config file and the overrides of the command line into a struct conf. */
#ifndef STS_LOAD_H
#define STS_LOAD_H

#include "conf.h"
#include "log.h"
#include "options.h"

/* Reads `file` (NULL: none), then options->overrides, and checks the whole. Says in one log line
 * what is wrong; warns when a file with a password can be read by others.
 * Returns 0 (EX_OK), EX_NOINPUT (66) when the file cannot be read, EX_CONFIG (78). */
int load_conf(struct conf *conf, const char *file, const struct options *options, struct log *log)
    __attribute__((warn_unused_result));

#endif
