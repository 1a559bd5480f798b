/* prove_sts1_wire - STS/1 in the clear: every message of 0 to MAX bytes, every point of 0 to
 * POINT_MAX, ids drawn of any bytes; every point written, into room for 0 to ROOM_MAX bytes. */
#include "prove.h"
#include "sts1.h"

#define MAX 24 /* three times the longest name of a type */
#define POINT_MAX 12
#define ROOM_MAX 8

static void parse_one(size_t len)
{
    uint8_t in[MAX + 1];
    struct sts1_message m;

    any_bytes(in, len);
    if (sts1_parse(&m, in, len)) {
        //@ assert inside: m.data.len == 0 || \subset(m.data.p, in + (0 .. len - 1));
        (void)sts1_ids_of_alphabet(m.data);
    }
}

static void point_one(size_t len)
{
    uint8_t in[POINT_MAX + 1];
    struct crypto_point point;

    any_bytes(in, len);
    (void)sts1_point_read(&point, (struct bytes){in, len});
}

static void write_one(size_t size)
{
    uint8_t room[ROOM_MAX + 1];
    struct wr out = wr_over(room, size);
    struct crypto_point point;

    any_bytes(&point, sizeof point);
    sts1_point_write(&out, &point);
}

void main(void)
{
    uint8_t id[STS1_ID_CHARS], which = any_byte(3);
    size_t len = any_size(which == 0 ? MAX : which == 1 ? POINT_MAX : ROOM_MAX);

    //@ split which;
    //@ split len;
    if (which == 0)
        parse_one(len);
    else if (which == 1)
        point_one(len);
    else if (which == 2)
        write_one(len);
    else
        (void)sts1_id_draw(id);
}
