/* push.c - pushes: a collector with many devices. The script seals with any device's key (or a
 * stranger's), any id, psk, topic and data, changes the bytes or does not, and the windows are held
 * against a list of all ids that were taken. */
#include "push.h"

#include "common.h"

#define DEVICES 24
#define TAKEN_MAX 256
#define TOPIC bytes_of("t/push")

static struct noise_pair collector, devices[DEVICES + 1]; /* the last one is a stranger */
static struct peer list[DEVICES], to_collector[DEVICES + 1];
static struct peers peers = {list, DEVICES};

static struct {
    struct push_window window;
    uint64_t taken[TAKEN_MAX]; /* falling */
    size_t count;
} state[DEVICES];

/* ---- windows ---- */

/* What doc/protocol.md says: the 32 highest ids taken, and a floor that is the highest of the
 * others. */
static bool is_new(size_t device, uint64_t id)
{
    const size_t count = state[device].count;
    const uint64_t floor = count > PUSH_WINDOW_IDS ? state[device].taken[PUSH_WINDOW_IDS] : 0;

    for (size_t i = 0; i < count; i++)
        if (state[device].taken[i] == id)
            return false;
    return id > floor && id <= STS_ID_MAX;
}

static void add_taken(size_t device, uint64_t id)
{
    size_t at = 0;

    while (at < state[device].count && state[device].taken[at] > id)
        at++;
    memmove(&state[device].taken[at + 1], &state[device].taken[at],
            (state[device].count - at) * sizeof id);
    state[device].taken[at] = id;
    state[device].count++;
}

/* To bytes of a state file and back: the same. */
static void check_window(const struct push_window *window)
{
    uint8_t bytes[PUSH_WINDOW_BYTES];
    struct wr out = wr_over(bytes, sizeof bytes);
    struct rd in = rd_over(bytes, sizeof bytes);
    struct push_window again;

    push_window_write(window, &out);
    CHECK(!out.bad && wr_room(&out) == 0);
    push_window_read(&again, &in);
    CHECK(rd_end(&in) && memcmp(&again, window, sizeof again) == 0);
}

static void take_id(size_t device, uint64_t id)
{
    const struct push_window before = state[device].window;
    const bool expected = is_new(device, id);

    if (state[device].count == TAKEN_MAX)
        return;
    CHECK(push_window_take(&state[device].window, id) == expected);
    if (expected)
        add_taken(device, id);
    else
        CHECK(memcmp(&before, &state[device].window, sizeof before) == 0);
    check_window(&state[device].window);
}

/* Any bytes: a window as it could have come about, or none. */
static void read_window(struct rd *in)
{
    const struct bytes raw = fuzz_take(in, PUSH_WINDOW_BYTES);
    struct rd r = rd_over(raw.p, raw.len);
    struct push_window window;

    push_window_read(&window, &r);
    check_window(&window);
}

/* ---- pushes ---- */

/* A payload that nobody sealed, or that was changed, is dropped and stays as it is. */
static enum sts_drop open_push(struct push *push, uint8_t *payload, size_t len, struct bytes topic,
                               bool forged)
{
    uint8_t *before = fuzz_copy((struct bytes){payload, len});
    const enum sts_drop why = push_open(push, payload, len, topic, &collector, &peers);

    CHECK(!forged || why != STS_DROP_NONE);
    CHECK(why == STS_DROP_NONE || why == STS_DROP_ID || len == 0 ||
          memcmp(before, payload, len) == 0);
    free(before);
    return why;
}

static void check_opened(const struct push *push, size_t device, uint64_t id, struct bytes data)
{
    CHECK(push->id == id && bytes_equal(push->data, data));
    CHECK(memcmp(push->sender->key, devices[device].public_key, 32) == 0);
    take_id((size_t)(push->sender - list), id);
}

static void send_push(struct rd *in)
{
    const uint8_t how = rd_u8(in);
    const size_t device = rd_u8(in) % (DEVICES + 1);
    const uint64_t id = how & 1 ? rd_be64(in) : rd_be16(in);
    const struct bytes data = fuzz_take(in, fuzz_size(in, MESSAGE_MAX_BYTES));
    const size_t room = how & 2 ? rd_u8(in) : FIRST_BYTES + data.len;
    const uint8_t ephemeral[32] = {rd_u8(in), 5};
    struct peer to = to_collector[device];
    uint8_t *bytes = malloc(room > 0 ? room : 1);
    struct wr out = wr_over(bytes, room);
    size_t len = FIRST_BYTES + data.len;
    bool forged = device == DEVICES;
    struct push push;

    if (how & 4) {
        to.psk[31] ^= 1;
        forged = true;
    }
    const int err = push_seal(&out, &devices[device], &to, ephemeral, id, TOPIC, data);
    CHECK((err == 0) == (id > 0 && id <= STS_ID_MAX && room >= FIRST_BYTES + data.len));
    CHECK(err == 0 ? wr_room(&out) == room - len : wr_room(&out) == room);
    if (err == 0) {
        if (how & 8) {
            const size_t at = rd_be16(in) % len;
            const uint8_t change = rd_u8(in);
            bytes[at] ^= change;
            forged = forged || change != 0;
        }
        if (how & 16) {
            len -= rd_u8(in) % len;
            forged = forged || len != FIRST_BYTES + data.len;
        }
        const enum sts_drop why = open_push(&push, bytes, len, how & 32 ? bytes_of("t") : TOPIC,
                                            forged || (how & 32));
        CHECK(forged || (how & 32) || why == STS_DROP_NONE);
        if (why == STS_DROP_NONE)
            check_opened(&push, device, id, data);
    }
    free(bytes);
}

/* Sealed by a device that does not keep to the rules: an id of 0 or too high, a text that is too
 * short to hold one, an INITREQ's type or pattern. */
static void send_odd(struct rd *in)
{
    const uint8_t how = rd_u8(in);
    const size_t device = rd_u8(in) % DEVICES;
    const struct bytes text = fuzz_take(in, rd_u8(in));
    const struct noise_peer known = {to_collector[device].ss, to_collector[device].psk};
    const uint8_t ephemeral[32] = {9};
    uint8_t bytes[2 + NOISE_MESSAGE_1_BYTES + 256];
    struct wr out = wr_over(bytes, sizeof bytes);
    struct noise noise;
    struct push push;
    uint64_t id;

    wr_u8(&out, how & 1 ? rd_u8(in) : STS2_VERSION);
    wr_u8(&out, how & 2 ? rd_u8(in) : STS_PUSH);
    noise_start(&noise, how & 4 ? NOISE_IKPSK1 : NOISE_XPSK1,
                bytes_of(how & 8 ? "STS/3:" : "STS/2:"), TOPIC, collector.public_key);
    CHECK(noise_write_1(&noise, &out, &devices[device], ephemeral, collector.public_key, &known,
                        text, (struct bytes){NULL, 0}) == 0);
    struct rd r = rd_over(text.p, text.len);
    id = rd_be64(&r);
    const bool forged = bytes[0] != STS2_VERSION || bytes[1] != STS_PUSH || (how & 12);
    const enum sts_drop why = open_push(&push, bytes, (size_t)(out.p - bytes), TOPIC, forged);
    CHECK((why == STS_DROP_NONE) == (!forged && !r.bad && id > 0 && id <= STS_ID_MAX));
    if (why == STS_DROP_NONE)
        check_opened(&push, device, id, (struct bytes){text.p + 8, text.len - 8});
}

static void send_raw(struct rd *in)
{
    const struct bytes raw = fuzz_take(in, rd_u8(in));
    uint8_t *copy = fuzz_copy(raw);
    struct push push;

    (void)open_push(&push, copy, raw.len, TOPIC, true);
    free(copy);
}

/* ---- begin ---- */

static int by_key(const void *a, const void *b)
{
    return memcmp(((const struct peer *)a)->key, ((const struct peer *)b)->key, 32);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    memset(collector.private_key, 99, 32);
    crypto_x25519_public(collector.public_key, collector.private_key);
    for (size_t i = 0; i <= DEVICES; i++) {
        memset(devices[i].private_key, (int)(8 * i + 1), 32);
        crypto_x25519_public(devices[i].public_key, devices[i].private_key);
        memcpy(to_collector[i].key, collector.public_key, 32);
        to_collector[i].psk[0] = (uint8_t)(i % 3);
        CHECK(peer_need_ss(&to_collector[i], devices[i].private_key) == 0);
        if (i == DEVICES)
            break;
        memcpy(list[i].key, devices[i].public_key, 32);
        list[i].psk[0] = (uint8_t)(i % 3);
        CHECK(peer_need_ss(&list[i], collector.private_key) == 0);
    }
    qsort(list, DEVICES, sizeof list[0], by_key);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd in = rd_over(data, size);

    fuzz_begin();
    memset(state, 0, sizeof state);
    for (int i = 0; i < 200 && fuzz_more(&in); i++) {
        const uint8_t op = rd_u8(&in);

        if (op < 8)
            send_push(&in);
        else if (op < 12)
            send_odd(&in);
        else if (op < 14)
            send_raw(&in);
        else if (op < 16)
            read_window(&in);
        else /* most ids need no cryptography */
            take_id(op % 2, op < 128 ? rd_u8(&in) : op < 224 ? rd_be16(&in) : rd_be64(&in));
    }
    return 0;
}
