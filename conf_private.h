/* conf_private.h - what conf.c, conf_rules.c and conf_error.c share. */
#ifndef STS_CONF_PRIVATE_H
#define STS_CONF_PRIVATE_H

#include "conf.h"

/* One `key = value`, and where it stands. */
struct conf_entry {
    struct conf *conf;
    struct conf_error *error;
    struct conf_origin origin; /* alias NULL: the key is not known (yet) */
    enum conf_key key;         /* once the alias is */
    struct bytes value;        /* p NULL: none is at hand */
};

/* What a message is a sentence about. */
enum conf_subject { CONF_THE_KEY, CONF_THE_VALUE };

static inline struct bytes slice(struct bytes whole, size_t from, size_t to)
{
    return (struct bytes){whole.p + from, to - from};
}

/* Each writes e->error and returns -1. */
int conf_fail(const struct conf_entry *e, enum conf_subject subject, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int conf_fail_unknown(const struct conf_entry *e, struct bytes name);
/* `alias`: the name that it has the second time. */
int conf_fail_twice(const struct conf_entry *e, const char *alias, const struct conf_origin *first);

#endif
