/* prove_conf_lines - config text taken apart into lines: every text of 0 to MAX bytes. */
#include "conf_pieces.h"

#define MAX 5

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
