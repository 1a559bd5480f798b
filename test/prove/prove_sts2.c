/* prove_sts2 - a session in any step, master or slave, with up to two pending handshakes in any
 * state, takes any message of each size that there is, and of one byte more and one less. The
 * counts, the counters and the times have any value. */
#include "world.h"

static void link_init(struct link *link, struct peer *peer)
{
    any_bytes(link, sizeof *link);
    link->peer = peer;
}

/* The first place for a handshake and the last one. */
static void pending_init(struct sts2_pending *p, struct peer *peer, uint8_t state)
{
    if (state == PENDING_NONE)
        return;
    any_bytes(p, sizeof *p);
    p->state = state;
    link_init(&p->link, peer);
}

static void session_init(struct sts2 *s, struct world *w, enum sts_mode mode)
{
    uint8_t first = any_byte(PENDING_ANSWERED), last = any_byte(PENDING_ANSWERED);

    //@ split first;
    //@ split last;
    any_bytes(s, sizeof *s);
    s->use = (struct sts_setup){mode,      STS_CHACHAPOLY, w->topic, any_u64(),
                                any_u64(), &w->own,        &w->peers};
    s->step = Frama_C_interval(STS2_IDLE, STS2_CLOSING);
    s->stopping = any_bool();
    s->rdyack_due = any_bool();
    s->tally.peer_killed = any_bool();
    s->attempt.due = any_bool();
    s->attempt.made = any_bool();
    link_init(&s->link, &w->list[0]);
    memset(s->pending, 0, sizeof s->pending);
    pending_init(&s->pending[0], &w->list[0], first);
    pending_init(&s->pending[STS2_PENDING_MAX - 1], &w->list[1], last);
}

static void take_one(struct world *w, enum sts_mode mode, uint8_t type, size_t len)
{
    uint8_t in[LARGE_MAX];
    struct sts2 s;
    struct sts_news news;

    session_init(&s, w, mode);
    any_bytes(in, len);
    if (len >= 2)
        in[1] = type;
    sts2_take(&s, &news, w->topic, in, len, any_u64());
    //@ assert text: news.text.p == \null || news.text.p == in + LINK_HEAD_BYTES;
    //@ assert inside: news.text.len == 0 || news.text.len == len - LINK_BYTES;
}

void main(void)
{
    static const size_t sizes[] = {1,
                                   STS2_RDYACK_BYTES,
                                   STS2_KILL_BYTES,
                                   STS2_INITACK_BYTES,
                                   STS2_INITREQ_BYTES,
                                   STS2_ENC_BYTES + MESSAGE_MAX_BYTES};
    struct world w;
    enum sts_mode mode = any_bool() ? STS_MASTER : STS_SLAVE;
    size_t which = any_size(sizeof sizes / sizeof sizes[0] - 1), len;
    uint8_t type = any_byte(255);

    //@ split which;
    len = sizes[which] - 1 + any_size(2);
    //@ split mode;
    //@ split len;
    if (type <= STS_PUSH) {
        //@ split type;
        type = type;
    }
    world_init(&w);
    take_one(&w, mode, type, len);
}
