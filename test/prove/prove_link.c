/* prove_link - transport messages: opened, of every length from LINK_BYTES to SMALL_MAX and around
 * the longest; sealed, texts of such lengths into too little, just enough and more room. The
 * counters have any value. */
#include "world.h"

static void link_init(struct link *link, struct peer *peer)
{
    any_bytes(link, sizeof *link);
    link->peer = peer;
}

static void open_one(struct world *w, size_t len)
{
    uint8_t in[LARGE_MAX];
    uint8_t topic_hash[32];
    struct link link;
    uint64_t lost;

    if (len < LINK_BYTES)
        return;
    link_init(&link, &w->list[0]);
    any_bytes(in, len);
    link_hash_topic(topic_hash, w->topic);
    if (link_open(&link, &lost, topic_hash, in, len) == STS_DROP_NONE) {
        //@ assert opened: \initialized(&lost);
    }
}

static void seal_one(struct world *w, size_t len)
{
    uint8_t room[LARGE_MAX], text[LARGE_MAX];
    size_t size = any_bool() ? any_size(2) : LINK_BYTES + len - 1 + any_size(2);
    struct wr out;
    struct link link;
    bool last = any_bool();

    //@ split size;
    //@ split last;
    if (len > MESSAGE_MAX_BYTES || size > sizeof room)
        return;
    out = wr_over(room, size);
    link_init(&link, &w->list[0]);
    any_bytes(text, len);
    /* So that what link_can_send says of it is seen: nothing relates its result to the field. */
    link.send_next = last ? UINT64_MAX : Frama_C_unsigned_long_long_interval(0, UINT64_MAX - 1);
    (void)link_seal(&link, &out, STS_ENC, (struct bytes){text, len});
}

void main(void)
{
    struct world w;
    size_t len = any_message_len();
    bool open = any_bool();

    //@ split len;
    //@ split open;
    world_init(&w);
    if (open)
        open_one(&w, len);
    else
        seal_one(&w, len);
}
