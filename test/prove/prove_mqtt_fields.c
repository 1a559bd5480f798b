/* prove_mqtt_fields - the fields behind a fixed header, for every packet type, all flags, and every
 * remaining length up to MAX with every length of the topic in it. */
#include "mqtt_min.h"
#include "prove.h"

#define MAX 48

/* Proved in prove_mqtt_text.c. */
/*@ requires view: topic.len == 0 || (\valid_read(topic.p + (0 .. topic.len - 1)) &&
                   \initialized(topic.p + (0 .. topic.len - 1)));
    assigns \result \from topic.p[0 .. topic.len - 1], topic.len, is_filter;
    ensures MQTT_ERR_RETURN_CODE <= \result <= 0; */
static int topic_err(struct bytes topic, bool is_filter);

#include "mqtt_min.c"

static void read_one(enum mqtt_type type, size_t len)
{
    const struct mqtt_header header = {type, any_byte(15), 2, len};
    struct mqtt_packet packet;
    uint8_t in[MAX + 1];
    struct rd r = rd_over(in, len);
    int err;

    any_bytes(in, len);
    err = read_fields(any_bool() ? MQTT_3_1 : MQTT_3_1_1, &header, &packet, &r);
    //@ assert result: MQTT_ERR_RETURN_CODE <= err <= 0;
    if (err == 0 && type == MQTT_PUBLISH) {
        //@ assert topic: packet.u.publish.topic.p == in + 2;
        //@ assert payload: packet.u.publish.payload.p + packet.u.publish.payload.len == in + len;
    }
    if (err == 0 && type == MQTT_SUBACK) {
        //@ assert codes: packet.u.suback.codes.p + packet.u.suback.codes.len == in + len;
    }
}

void main(void)
{
    enum mqtt_type type = (enum mqtt_type)any_byte(15);
    size_t len = any_size(MAX);

    //@ split type;
    //@ split len;
    read_one(type, len);
}
