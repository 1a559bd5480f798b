/* prove_mqtt_text - UTF-8, topics and filters: every string of 0 to MAX bytes, and the words for
 * every error, type and code. */
#include "prove.h"

#define MAX 32

#include "mqtt_min.c"

void main(void)
{
    uint8_t in[MAX + 1];
    size_t len = any_size(MAX);
    struct bytes text = {in, len};
    int err;

    //@ split len;
    text.len = len;
    any_bytes(in, len);
    err = topic_err(text, any_bool());
    //@ assert result: MQTT_ERR_RETURN_CODE <= err <= 0;
    (void)mqtt_utf8_ok(text);
    (void)mqtt_err_text(Frama_C_interval(INT32_MIN, INT32_MAX));
    (void)mqtt_type_name((enum mqtt_type)any_byte(255));
    (void)mqtt_connack_text((enum mqtt_connack_code)any_byte(255));
}
