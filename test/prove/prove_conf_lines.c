/* prove_conf_lines - config text taken apart into lines: every text of 0 to MAX bytes. */
#include "conf_private.h"
#include "prove.h"

#define MAX 5

/* Not proved (doc/proof.md). It fills *e->conf and *e->error too, which nothing here reads. */
/*@ requires \valid(e) && \valid(e->conf);
    requires \valid_read(pair.p + (0 .. pair.len - 1)) &&
             \initialized(pair.p + (0 .. pair.len - 1));
    assigns \result \from indirect:*e, indirect:pair;
    ensures -1 <= \result <= 0; */
static int take_pair(struct conf_entry *e, struct bytes pair);

#include "conf.c"

int conf_fail(const struct conf_entry *e, enum conf_subject subject, const char *format, ...)
{
    return -1;
}

void main(void)
{
    struct conf conf;
    struct conf_error error;
    uint8_t in[MAX + 1];
    size_t len = any_size(MAX);

    //@ split len;
    conf_init(&conf, "");
    any_bytes(in, len);
    (void)conf_parse(&conf, &error, (struct bytes){in, len});
}
