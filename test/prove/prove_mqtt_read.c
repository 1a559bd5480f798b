/* prove_mqtt_read - fixed headers and whole packets: all bytes of every input of 0 to MAX bytes,
 * which has remaining lengths of one and of two bytes, complete and not, and all longer forms of
 * them. */
#include "mqtt_min.h"
#include "prove.h"

#define MAX 140

/* Proved in prove_mqtt_fields.c: that it reads nothing but what `r` is over. */
/*@ requires fields: r->p == r->end ||
        (\valid_read(r->p + (0 .. r->end - r->p - 1)) &&
         \initialized(r->p + (0 .. r->end - r->p - 1)));
    assigns *packet, *r \from indirect:version, indirect:*header, *r;
    assigns \result \from indirect:version, indirect:*header, indirect:*r;
    ensures MQTT_ERR_RETURN_CODE <= \result <= 0; */
static int read_fields(enum mqtt_version version, const struct mqtt_header *header,
                       struct mqtt_packet *packet, struct rd *r);

#include "mqtt_min.c"

void main(void)
{
    enum mqtt_version version = any_bool() ? MQTT_3_1 : MQTT_3_1_1;
    struct mqtt_header header;
    struct mqtt_packet packet;
    uint8_t in[MAX + 1];
    size_t len = any_size(MAX);
    int used;

    //@ split len;
    any_bytes(in, len);
    if (any_bool())
        used = mqtt_read_header(version, &header, in, len);
    else
        used = mqtt_read(version, &packet, in, len);
    //@ assert result: MQTT_ERR_RETURN_CODE <= used <= len;
}
