/* prove_conf_values - every key of a config with every value of 0 to SMALL bytes (numbers are
 * refused after ten digits, keys after 44 characters unread); and the longest value that is kept,
 * and one that is a byte longer. */
#include "conf_pieces.h"

#define SMALL 12

void main(void)
{
    struct conf conf;
    struct conf_error error;
    struct conf_entry e = {&conf, &error, {0, CONF_LAYER_FILE, NULL}, CONF_KEYS_COUNT, {0}};
    uint8_t in[CONF_VALUE_MAX_CHARS + 1];
    size_t len = any_bool() ? any_size(SMALL) : CONF_VALUE_MAX_CHARS + any_size(1);
    uint8_t key = any_byte(CONF_KEYS_COUNT);

    //@ split len;
    //@ split key;
    conf_init(&conf, "");
    conf.subtop_count = any_size(CONF_SUBTOPS_MAX);
    any_bytes(in, len);
    e.key = (enum conf_key)key;
    e.value = (struct bytes){in, len};
    if (key == CONF_KEYS_COUNT)
        (void)check_text(&e);
    else if (len <= SMALL)
        (void)take_value(&e);
    else if (len == CONF_VALUE_MAX_CHARS)
        (void)take_text(&e, &conf.pubtop);
}
