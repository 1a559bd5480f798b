/* prove_push - pushes and INITREQs, read from every message of 0 to SMALL_MAX bytes and around the
 * longest; and written. */
#include "push.h"
#include "world.h"

static void read_one(struct world *w, size_t len)
{
    uint8_t in[LARGE_MAX];
    struct push push;
    struct first first;

    any_bytes(in, len);
    if (any_bool()) {
        if (push_open(&push, in, len, w->topic, &w->own, &w->peers) == STS_DROP_NONE) {
            //@ assert data: push.data.p + push.data.len == in + len - NOISE_TAG_BYTES;
            //@ assert id: 1 <= push.id <= STS_ID_MAX;
        }
    } else {
        (void)first_read(&first, STS_INITREQ, in, len, w->topic, &w->own, &w->peers);
    }
}

static void write_one(struct world *w, size_t size)
{
    uint8_t room[LARGE_MAX], data[LARGE_MAX], ephemeral[32];
    size_t len = any_bool() ? any_size(8) : MESSAGE_MAX_BYTES - 1 + any_size(2);
    struct wr out = wr_over(room, size);

    //@ split len;
    any_bytes(data, len);
    any_bytes(ephemeral, sizeof ephemeral);
    (void)push_seal(&out, &w->own, &w->list[0], ephemeral, any_u64(), w->topic,
                    (struct bytes){data, len});
}

void main(void)
{
    struct world w;
    bool read = any_bool();
    size_t len = any_message_len();

    //@ split read;
    //@ split len;
    world_init(&w);
    if (read)
        read_one(&w, len);
    else
        write_one(&w, len);
}
