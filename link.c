/* link.c - see link.h. */
#include "link.h"

#include <assert.h>

#include "first.h"

static_assert(LINK_BYTES == LINK_HEAD_BYTES + NOISE_TAG_BYTES, "an empty text");

void link_hash_topic(uint8_t hash[32], struct bytes topic)
{
    crypto_sha256(hash, &topic, 1);
}

enum sts_drop link_open(struct link *link, uint64_t *lost, const uint8_t topic_hash[32],
                        uint8_t *message, size_t message_len)
{
    struct rd r = rd_over(message, message_len);
    uint64_t counter;

    if (memcmp(link->topic, topic_hash, sizeof link->topic) != 0)
        return STS_DROP_TOPIC;
    (void)rd_be16(&r);
    counter = rd_be64(&r);
    if (counter < link->take_next || counter == UINT64_MAX)
        return STS_DROP_COUNTER;
    if (noise_decrypt(link->take_key, counter, (struct bytes){message, LINK_HEAD_BYTES},
                      message + LINK_HEAD_BYTES, message_len - LINK_BYTES))
        return STS_DROP_TAG;
    *lost = counter - link->take_next;
    link->take_next = counter + 1;
    return STS_DROP_NONE;
}

bool link_can_send(const struct link *link)
{
    return link->send_next < UINT64_MAX;
}

int link_seal(struct link *link, struct wr *out, enum sts_type type, struct bytes text)
{
    size_t size = LINK_BYTES + text.len;
    uint8_t *message;
    struct wr head;

    if (!link_can_send(link))
        return STS_ERR_STATE;
    if (out->bad || wr_room(out) < size)
        return STS_ERR_ROOM;
    message = wr_claim(out, size);
    if (text.len > 0)
        memmove(message + LINK_HEAD_BYTES, text.p, text.len);
    head = wr_over(message, LINK_HEAD_BYTES);
    wr_u8(&head, STS2_VERSION);
    wr_u8(&head, (uint8_t)type);
    wr_be64(&head, link->send_next);
    noise_encrypt(link->send_key, link->send_next, (struct bytes){message, LINK_HEAD_BYTES},
                  message + LINK_HEAD_BYTES, text.len);
    link->send_next++;
    return 0;
}
