/* session_push.c - see session_private.h. */
#include "session_private.h"

#include <sysexits.h>

#include "clock.h"

/* A sender of many draws ids a second ahead, so that its state file is synced once a second. */
#define AHEAD_US 1000000

bool session_draw_id(struct session *s, uint64_t *id)
{
    const uint64_t ahead = s->use.many ? AHEAD_US : 0;
    const uint64_t clock_us = clock_wall_us();

    s->store_status = store_draw_id(&s->use.keyring->store,
                                    clock_us > s->id_floor ? clock_us : s->id_floor + 1, ahead, id);
    return s->store_status == EX_OK;
}

int session_seal(struct session *s, struct wr *payload, struct bytes text)
{
    struct keyring *keyring = s->use.keyring;
    const struct bytes topic = session_pubtop(s);
    uint8_t random[32], ephemeral[32];
    uint64_t id;
    int err;

    if (!session_draw_id(s, &id))
        return SESSION_ERR_ID;
    if (crypto_random(random, sizeof random) < 0)
        return SESSION_ERR_CRYPTO;
    noise_ephemeral(ephemeral, keyring->own.private_key, random, id, topic);
    err = push_seal(payload, &keyring->own, &keyring->list[0], ephemeral, id, topic, text);
    crypto_wipe(random, sizeof random);
    crypto_wipe(ephemeral, sizeof ephemeral);
    s->last_id = id;
    return err == 0 ? 0 : SESSION_ERR_CRYPTO;
}

static enum session_event drop(struct session *s, const char *why)
{
    session_count_drop(s, why);
    client_taken(&s->client);
    return SESSION_EV_NONE;
}

enum session_event session_push_take(struct session *s, const struct mqtt_publish *publish,
                                     struct session_message *message)
{
    struct keyring *keyring = s->use.keyring;
    struct push push;
    const enum sts_drop why = push_open(&push, client_payload(&s->client, publish),
                                        publish->payload.len, publish->topic, &keyring->own,
                                        &keyring->peers);

    if (why != STS_DROP_NONE)
        return drop(s, sts_drop_text(why));
    s->push.sender = (size_t)(push.sender - keyring->list);
    s->push.window = keyring->windows[s->push.sender];
    if (!push_window_take(&s->push.window, push.id)) {
        s->replays++;
        return drop(s, "a push that was taken before");
    }
    s->push.id = push.id;
    s->push.open = true;
    s->received++;
    message->text = push.data;
    message->peer = push.sender->name;
    message->number = push.id;
    message->has_number = true;
    return SESSION_EV_MESSAGE;
}

void session_push_taken(struct session *s)
{
    if (!s->push.open)
        return;
    s->push.open = false;
    s->use.keyring->windows[s->push.sender] = s->push.window;
    store_mark(&s->use.keyring->store, s->push.sender, s->push.id);
}
