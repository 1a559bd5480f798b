/* push.c - see push.h. */
#include "push.h"

int push_seal(struct wr *out, const struct noise_pair *own, struct peer *collector,
              const uint8_t ephemeral[32], uint64_t id, struct bytes topic, struct bytes data)
{
    struct noise noise;
    int err = first_write(out, &noise, STS_PUSH, own, collector, ephemeral, id, topic, data);

    crypto_wipe(&noise, sizeof noise); /* no message follows */
    return err;
}

enum sts_drop push_open(struct push *push, uint8_t *payload, size_t payload_len, struct bytes topic,
                        const struct noise_pair *own, const struct peers *peers)
{
    struct first first;
    enum sts_drop why = first_read(&first, STS_PUSH, payload, payload_len, topic, own, peers);

    if (why == STS_DROP_NONE)
        *push = (struct push){first.peer, first.id, first.data};
    crypto_wipe(&first, sizeof first);
    return why;
}

/* Unused places hold 0, lower than any id, so there is no other case than the full window: what
 * falls out at its low end becomes the floor, the newcomer itself too. */
bool push_window_take(struct push_window *window, uint64_t id)
{
    if (id <= window->floor || id > STS_ID_MAX)
        return false;
    for (size_t i = 0; i < PUSH_WINDOW_IDS; i++)
        if (window->ids[i] == id)
            return false;
    for (size_t i = 0; i < PUSH_WINDOW_IDS; i++) {
        uint64_t here = window->ids[i];

        if (id > here) {
            window->ids[i] = id;
            id = here;
        }
    }
    if (id > window->floor)
        window->floor = id;
    return true;
}

void push_window_write(const struct push_window *window, struct wr *out)
{
    wr_be64(out, window->floor);
    for (size_t i = 0; i < PUSH_WINDOW_IDS; i++)
        wr_be64(out, window->ids[i]);
}

void push_window_read(struct push_window *window, struct rd *in)
{
    uint64_t above = UINT64_C(1) + STS_ID_MAX;

    window->floor = rd_be64(in);
    for (size_t i = 0; i < PUSH_WINDOW_IDS; i++) {
        uint64_t id = rd_be64(in);

        /* Falling, and above the floor. The floor rises only when every place is in use. */
        if (id != 0 ? id >= above || id <= window->floor : window->floor != 0)
            in->bad = true;
        window->ids[i] = id;
        above = id;
    }
    if (in->bad)
        memset(window, 0, sizeof *window);
}
