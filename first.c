/* first.c - see first.h. */
#include "first.h"

#include <assert.h>

static_assert(FIRST_HEAD_BYTES == 2 + NOISE_HEAD_1_BYTES, "e and sealed s");
static_assert(FIRST_BYTES == 2 + NOISE_MESSAGE_1_BYTES + 8, "with id and tag");
static_assert(FIRST_BYTES - 2 + MESSAGE_MAX_BYTES <= NOISE_MESSAGE_MAX_BYTES,
              "the longest one is a Noise message");

static void start(struct noise *noise, enum sts_type type, struct bytes topic,
                  const uint8_t responder[32])
{
    noise_start(noise, type == STS_PUSH ? NOISE_XPSK1 : NOISE_IKPSK1, bytes_of("STS/2:"), topic,
                responder);
}

int first_write(struct wr *out, struct noise *noise, enum sts_type type,
                const struct noise_pair *own, struct peer *peer, const uint8_t ephemeral[32],
                uint64_t id, struct bytes topic, struct bytes data)
{
    const struct noise_peer known = {peer->ss, peer->psk};
    struct wr message = *out;
    uint8_t id_bytes[8];
    struct wr id_out = wr_over(id_bytes, sizeof id_bytes);

    if (id == 0 || id > STS_ID_MAX)
        return STS_ERR_ID;
    if (data.len > MESSAGE_MAX_BYTES)
        return STS_ERR_LONG;
    if (out->bad || wr_room(out) < FIRST_BYTES + data.len)
        return STS_ERR_ROOM;
    if (peer_need_ss(peer, own->private_key))
        return STS_ERR_CRYPTO;
    wr_be64(&id_out, id);
    start(noise, type, topic, peer->key);
    wr_u8(&message, STS2_VERSION);
    wr_u8(&message, (uint8_t)type);
    if (noise_write_1(noise, &message, own, ephemeral, peer->key, &known,
                      (struct bytes){id_bytes, sizeof id_bytes}, data)) {
        crypto_wipe(noise, sizeof *noise);
        return STS_ERR_CRYPTO;
    }
    *out = message;
    return 0;
}

/* Who sent it, as far as its head says. */
static enum sts_drop read_head(struct first *first, const uint8_t head[NOISE_HEAD_1_BYTES],
                               const struct noise_pair *own, const struct peers *peers)
{
    uint8_t key[32];

    if (noise_read_1_key(&first->noise, first->ephemeral, key, head, own))
        return STS_DROP_TAG;
    first->peer = peers_find(peers, key);
    crypto_wipe(key, sizeof key); /* who sends is not for the stack to keep */
    /* Before the next DH, so that a stranger cannot make us compute it. */
    if (!first->peer || peer_need_ss(first->peer, own->private_key))
        return STS_DROP_KEY;
    return STS_DROP_NONE;
}

static enum sts_drop read_payload(struct first *first, uint8_t *text, size_t text_len)
{
    const struct noise_peer known = {first->peer->ss, first->peer->psk};
    struct rd r = rd_over(text, text_len);

    if (noise_read_1_payload(&first->noise, text, text_len, &known))
        return STS_DROP_TAG;
    first->id = rd_be64(&r);
    first->data = (struct bytes){r.p, rd_left(&r)};
    return r.bad || first->id == 0 || first->id > STS_ID_MAX ? STS_DROP_ID : STS_DROP_NONE;
}

enum sts_drop first_read(struct first *first, enum sts_type type, uint8_t *payload,
                         size_t payload_len, struct bytes topic, const struct noise_pair *own,
                         const struct peers *peers)
{
    size_t data_max = type == STS_PUSH ? MESSAGE_MAX_BYTES : 0;
    enum sts_drop why;

    memset(first, 0, sizeof *first);
    if (payload_len < FIRST_BYTES || payload_len - FIRST_BYTES > data_max ||
        payload[0] != STS2_VERSION || payload[1] != type)
        return STS_DROP_FORM;
    start(&first->noise, type, topic, own->public_key);
    why = read_head(first, payload + 2, own, peers);
    if (why == STS_DROP_NONE)
        why = read_payload(first, payload + FIRST_HEAD_BYTES,
                           payload_len - FIRST_HEAD_BYTES - NOISE_TAG_BYTES);
    if (why != STS_DROP_NONE)
        crypto_wipe(first, sizeof *first);
    return why;
}
