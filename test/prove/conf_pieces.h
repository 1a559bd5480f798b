/* conf_pieces.h - conf.c, and contracts of the pieces that it takes a config apart with. Each
 * harness looks at the bodies of some and takes others at their contract (`table` in run); where it
 * looks at a body, the contract is shown. */
#ifndef STS_PROVE_CONF_PIECES_H
#define STS_PROVE_CONF_PIECES_H

#include "conf.c"
#include "prove.h"

/*@ assigns \result \from c;
    ensures result: \result <= 1;
    ensures text: c > ' ' ==> \result == 0; */
static bool is_blank(uint8_t c);

/*@ requires entry: \valid(e) && \valid(e->conf);
    requires view: \valid_read(pair.p + (0 .. pair.len - 1)) &&
                   \initialized(pair.p + (0 .. pair.len - 1));
    assigns \result, *e, *e->conf, *e->error \from indirect:*e, indirect:pair;
    ensures result: \result == 0 || \result == -1; */
static int take_pair(struct conf_entry *e, struct bytes pair);

/* Three keys have a second name. */
/*@ requires view: \valid_read(name.p + (0 .. name.len - 1)) &&
                   \initialized(name.p + (0 .. name.len - 1));
    assigns \result \from &names[0], indirect:name.p[0 .. name.len - 1];
    ensures result: \result == \null || \subset(\result, &names[0 .. CONF_KEYS_COUNT + 2]); */
static const struct name *find_name(struct bytes name);

/*@ requires entry: \valid_read(e);
    requires view: \valid_read(e->value.p + (0 .. e->value.len - 1)) &&
                   \initialized(e->value.p + (0 .. e->value.len - 1));
    assigns \result \from indirect:*e;
    ensures result: \result == 0 || \result == -1;
    ensures length: \result == 0 ==> e->value.len <= CONF_VALUE_MAX_CHARS; */
static int check_text(const struct conf_entry *e);

/*@ requires entry: \valid_read(e) && \valid(e->conf);
    requires length: e->value.len <= CONF_VALUE_MAX_CHARS;
    requires view: \valid_read(e->value.p + (0 .. e->value.len - 1)) &&
                   \initialized(e->value.p + (0 .. e->value.len - 1));
    assigns \result, *e->conf \from indirect:*e;
    ensures result: \result == 0 || \result == -1; */
static int take_value(const struct conf_entry *e);

int conf_fail(const struct conf_entry *e, enum conf_subject subject, const char *format, ...)
{
    return -1;
}

int conf_fail_unknown(const struct conf_entry *e, struct bytes name)
{
    return -1;
}

int conf_fail_twice(const struct conf_entry *e, const char *alias, const struct conf_origin *first)
{
    return -1;
}

#endif
