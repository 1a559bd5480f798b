/* prove_dns - name servers: every answer of 0 to MAX bytes to a question for either kind of address,
 * with room for 0 to ROOM_MAX bytes of them, in steps of 5; every name of 0 to NAME_MAX bytes asked for, into room
 * for 0 to QUESTION_MAX. */
#include "dns.h"
#include "prove.h"

#define MAX \
    48 /* head and question; a name of two labels; a record that fits, and one that does not */
#define ROOM_MAX 20
#define NAME_MAX 4
#define QUESTION_MAX 24

static void write_one(size_t name_len, size_t size)
{
    uint8_t name[NAME_MAX + 1], room[QUESTION_MAX + 1];
    struct wr out = wr_over(room, size);

    any_bytes(name, name_len);
    dns_write_question(&out, (struct bytes){name, name_len}, any_bool() ? DNS_A : DNS_AAAA,
                       (uint16_t)any_size(UINT16_MAX));
}

static void read_one(size_t len, size_t size, enum dns_type type)
{
    static uint8_t question[] = {1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'a', 0, 0, 1, 0, 1};
    uint8_t in[MAX + 1], room[ROOM_MAX + 1];
    struct wr out = wr_over(room, size);

    question[sizeof question - 3] = (uint8_t)type;
    any_bytes(in, len);
    if (dns_read_answer(&out, (struct bytes){in, len}, (struct bytes){question, sizeof question}) ==
        DNS_ANSWERED) {
        //@ assert inside: out.p == room || \initialized(room + (0 .. out.p - room - 1));
    }
}

void main(void)
{
    bool write = any_bool(), v6 = any_bool();
    size_t len = any_size(write ? NAME_MAX : MAX);
    size_t size = write ? any_size(QUESTION_MAX) : 5 * any_size(ROOM_MAX / 5);

    //@ split write;
    //@ split v6;
    //@ split len;
    //@ split size;
    if (write)
        write_one(len, size);
    else
        read_one(len, size, v6 ? DNS_AAAA : DNS_A);
}
