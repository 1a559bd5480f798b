/* prove_mqtt_write - every encoder, into room for 0 to ROOM_MAX bytes, with strings of 0 to MAX
 * bytes each and, for what is only measured, of any length at all. */
#include "mqtt_min.h"
#include "prove.h"

#define MAX 2
/* The longest CONNECT with these strings. */
#define ROOM_MAX (2 + 8 + 1 + 1 + 2 + 5 * 2 + 3 * MAX)

/* Proved in prove_mqtt_text.c. */
/*@ requires view: topic.len == 0 || (\valid_read(topic.p + (0 .. topic.len - 1)) &&
                   \initialized(topic.p + (0 .. topic.len - 1)));
    assigns \result \from topic.p[0 .. topic.len - 1], topic.len, is_filter;
    ensures MQTT_ERR_RETURN_CODE <= \result <= 0; */
static int topic_err(struct bytes topic, bool is_filter);
/*@ requires view: s.len == 0 || (\valid_read(s.p + (0 .. s.len - 1)) &&
                   \initialized(s.p + (0 .. s.len - 1)));
    assigns \result \from s.p[0 .. s.len - 1], s.len;
    ensures MQTT_ERR_RETURN_CODE <= \result <= 0; */
static int string_err(struct bytes s);

#include "mqtt_min.c"

/* With and without a will, a user name and a password. */
static void connect_one(struct wr *out, struct bytes s, struct bytes t, uint8_t parts)
{
    const struct bytes none = {NULL, 0};
    const struct mqtt_connect connect = {any_bool() ? MQTT_3_1 : MQTT_3_1_1,
                                         any_bool(),
                                         (uint16_t)Frama_C_interval(0, UINT16_MAX),
                                         s,
                                         {parts & 1, t, s, any_byte(3), any_bool()},
                                         parts & 2 ? t : none,
                                         parts & 4 ? s : none};

    (void)mqtt_write_connect(out, &connect);
}

static void write_one(struct wr *out, uint8_t which)
{
    uint8_t text[MAX];
    size_t len = any_size(MAX);
    uint8_t qos = any_byte(255);
    uint16_t id = (uint16_t)Frama_C_interval(0, UINT16_MAX);
    bool flag = any_bool();
    uint8_t parts = any_byte(which == 0 ? 7 : 0);

    //@ split len;
    //@ split parts;
    any_bytes(text, MAX);
    const struct bytes s = {text, len}, t = {text, MAX - len};
    const struct bytes filters[2] = {s, t};
    const struct mqtt_publish publish = {s, {NULL, (size_t)any_u64()}, id, qos, flag, flag};

    switch (which) {
    case 0:
        connect_one(out, s, t, parts);
        break;
    case 1:
        (void)mqtt_write_publish(out, &publish);
        break;
    case 2:
        (void)mqtt_write_ack(out, (enum mqtt_type)any_byte(15), id);
        break;
    case 3:
        (void)mqtt_write_subscribe(out, id, filters, any_size(2), qos);
        break;
    case 4:
        (void)mqtt_write_unsubscribe(out, id, filters, any_size(2));
        break;
    case 5:
        (void)mqtt_write_empty(out, (enum mqtt_type)any_byte(15));
        break;
    default:
        (void)mqtt_publish_size((size_t)any_u64(), qos, (size_t)any_u64());
        break;
    }
}

void main(void)
{
    uint8_t room[ROOM_MAX + 1], which = any_byte(6);
    size_t size = any_size(ROOM_MAX);
    struct wr out;

    //@ split which;
    //@ split size;
    out = wr_over(room, size);
    write_one(&out, which);
}
