/* prove_conf_pair - `key = value`, of a line and of an override, taken apart: every text of 0 to
 * MAX bytes; and a value of a length around the longest that is kept. */
#include "conf_pieces.h"

#define MAX 6
#define LONG (sizeof "k=" - 1 + CONF_VALUE_MAX_CHARS - 1)

void main(void)
{
    struct conf conf;
    struct conf_error error;
    struct conf_entry e = {&conf, &error, {0, CONF_LAYER_FILE, NULL}, CONF_KEYS_COUNT, {0}};
    uint8_t in[LONG + 3];
    bool is_long = any_bool();
    size_t len = is_long ? LONG + any_size(2) : any_size(MAX);

    //@ split is_long;
    //@ split len;
    conf_init(&conf, "");
    if (is_long) {
        memset(in, 'k', len);
        in[1] = '=';
    } else {
        any_bytes(in, len);
    }
    if (any_bool())
        e.origin.layer = CONF_LAYER_OPTION;
    (void)take_pair(&e, (struct bytes){in, len});
}
