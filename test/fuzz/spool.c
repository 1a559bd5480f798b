/* spool.c - the spool file: what a hostile or damaged one says, and what two runs do with it.
 *
 * The script makes a file of a header and records, with checksums that are right where it does not
 * say otherwise. Then two runs look, append, send and remove, and the file is damaged between. */
#include "spool.h"

#include <sysexits.h>
#include <unistd.h>

#include "common.h"
#include "spool_private.h"

#define RUNS 2
#define FILE_BYTES 24576 /* more than the largest record */
#define STEPS_MAX 48
#define BOOKMARK_AT 28

/* Apart, for the sanitizer to guard the end of each. */
static struct spool one, other;
static struct spool *const runs[RUNS] = {&one, &other};
static uint8_t bytes[FILE_BYTES];

/* ---- making a file ---- */

static uint64_t ring_capacity, ring_head;

static void put_ring(uint64_t position, const uint8_t *from, size_t len)
{
    for (size_t i = 0; i < len && ring_capacity > 0; i++) {
        const uint64_t at = SPOOL_HEADER_BYTES + (position + i) % ring_capacity;
        if (at < sizeof bytes)
            bytes[at] = from[i];
    }
}

/* Returns what it read of how to seal it. */
static uint8_t make_header(struct rd *in)
{
    const uint8_t how = rd_u8(in);
    struct wr out = wr_over(bytes, SPOOL_HEADER_BYTES);

    ring_capacity = how & 1 ? rd_be64(in)
                            : SPOOL_MIN_BYTES - SPOOL_HEADER_BYTES + rd_be16(in) % 24000;
    ring_head = how & 2 ? rd_be64(in) : how & 4 ? rd_be16(in) : 0;
    wr_put(&out, "sts spool", 10);
    wr_be16(&out, how & 8 ? rd_be16(in) : 1);
    wr_be64(&out, ring_capacity);
    wr_be64(&out, ring_head);
    if (how & 16)
        bytes[rd_u8(in)] ^= rd_u8(in);
    return how;
}

/* With a bookmark at `mark`, or wherever the script says. */
static void seal_header(struct rd *in, uint8_t how, uint64_t mark)
{
    struct wr out = wr_over(bytes + BOOKMARK_AT, 16);

    if (how & 64) {
        const uint8_t where = rd_u8(in);
        wr_be64(&out, where & 1 ? rd_be64(in) : mark);
        wr_be64(&out, where & 2 ? rd_be64(in) : UINT64_MAX / 2);
    }
    spool_sum(bytes + SPOOL_HEADER_BYTES - SPOOL_SUM_BYTES, bytes,
              SPOOL_HEADER_BYTES - SPOOL_SUM_BYTES);
    if (how & 32)
        bytes[SPOOL_HEADER_BYTES - 1] ^= 1;
}

/* Appends a record at `position`; returns the position behind it. */
static uint64_t make_record(struct rd *in, uint64_t position)
{
    static uint8_t record[SPOOL_RECORD_MAX_BYTES + 200];
    const uint8_t how = rd_u8(in);
    const size_t topic_len = how & 1 ? rd_u8(in) : 1 + rd_u8(in) % 8;
    const size_t payload_len = how & 2 ? fuzz_size(in, PAYLOAD_MAX_BYTES) : rd_u8(in);
    struct wr out = wr_over(record, sizeof record);

    wr_put(&out, "push", 4);
    wr_be64(&out, how & 4 ? position + rd_be64(in) : position);
    wr_be64(&out, how & 8 ? rd_be64(in) : position + 1);
    wr_be16(&out, (uint16_t)topic_len);
    wr_be32(&out, how & 16 ? rd_be32(in) : (uint32_t)payload_len);
    const size_t body = topic_len + payload_len;
    memset(wr_claim(&out, body), 'r', body);
    size_t len = (size_t)(out.p - record);
    spool_sum(record + len, record, len);
    len += SPOOL_SUM_BYTES;
    if (how & 32)
        record[rd_u8(in) % len] ^= 1;
    if (how & 64)
        len = rd_u8(in) % len; /* a crash left the rest unwritten */
    put_ring(position, record, len);
    return position + len + (how & 128 ? rd_u8(in) : 0);
}

static void make_file(struct rd *in, struct fuzz_file *file)
{
    const uint8_t count = rd_u8(in);
    uint64_t position, mark;
    uint8_t how;
    size_t len;

    memset(bytes, 0, sizeof bytes);
    how = make_header(in);
    position = mark = ring_head;
    for (unsigned i = 0; i < count % 32; i++) {
        if (i % 4 == 3)
            mark = position;
        position = make_record(in, position);
    }
    seal_header(in, how, mark);
    len = SPOOL_HEADER_BYTES + (ring_capacity < sizeof bytes - SPOOL_HEADER_BYTES
                                    ? (size_t)ring_capacity
                                    : sizeof bytes - SPOOL_HEADER_BYTES);
    if (!(count & 0x20) && position - ring_head < len - SPOOL_HEADER_BYTES && ring_head == 0)
        len = SPOOL_HEADER_BYTES + (size_t)position;
    if (count & 0x40)
        len -= rd_be16(in) % (len + 1);
    fuzz_file_set(file, (struct bytes){bytes, len}, 0600);
}

/* ---- what must hold ---- */

static bool good;               /* nothing damaged the file since `ids` began */
static uint64_t ids[STEPS_MAX]; /* appended by these runs, in order */
static size_t ids_count, ids_next;
static uint64_t drawn;           /* the highest id */
static uint64_t sent[STEPS_MAX]; /* where records end that the one run has sent */
static size_t sent_count;

static void check_run(const struct spool *s)
{
    if (s->fd < 0 || s->capacity == 0)
        return;
    CHECK(s->capacity <= SPOOL_MAX_BYTES - SPOOL_HEADER_BYTES);
    CHECK(s->head <= s->next && s->next <= s->end);
    CHECK(s->end - s->head <= s->capacity);
}

static void check_record(const struct spool *s, const struct spool_record *record)
{
    CHECK(record->topic.len >= 1 && record->topic.len <= CONF_VALUE_MAX_CHARS);
    CHECK(record->payload.len >= 1 && record->payload.len <= PAYLOAD_MAX_BYTES);
    CHECK(record->topic.p >= s->record && record->payload.p == record->topic.p + record->topic.len);
    CHECK(record->payload.p + record->payload.len + SPOOL_SUM_BYTES <=
          s->record + sizeof s->record);
    CHECK(spool_behind(record) == s->next);
    /* From a file that was empty: what was appended comes, in its order. */
    if (good) {
        while (ids_next < ids_count && ids[ids_next] != record->id)
            ids_next++;
        CHECK(ids_next < ids_count);
        for (size_t i = 0; i < record->payload.len; i++)
            CHECK(record->payload.p[i] == (uint8_t)(record->id + i));
    }
}

/* ---- what the runs do ---- */

static void append(struct spool *s, struct rd *in)
{
    const uint8_t how = rd_u8(in);
    const size_t len = 1 + fuzz_size(in, PAYLOAD_MAX_BYTES - 1);
    const uint8_t topic[CONF_VALUE_MAX_CHARS] = {'t'};
    uint64_t position, id;
    struct wr payload;
    int status = spool_begin(s, (struct bytes){topic, 1u + how % CONF_VALUE_MAX_CHARS}, len,
                             &payload);

    if (status != EX_OK)
        return;
    CHECK(wr_room(&payload) == len);
    id = drawn = (s->last_id > drawn ? s->last_id : drawn) + 1;
    for (size_t i = 0; i < len; i++)
        wr_u8(&payload, (uint8_t)(id + i));
    if (how & 128) {
        spool_abandon(s);
        return;
    }
    const uint64_t end = s->end;
    status = spool_commit(s, id, &position);
    CHECK(status == EX_OK && position == end && s->end > end && s->last_id >= id);
    if (ids_count < COUNT(ids))
        ids[ids_count++] = id;
    CHECK(spool_sync(s) == EX_OK);
}

static void send_next(struct spool *s)
{
    struct spool_record record;

    if (!s->alone || !spool_has_next(s))
        return;
    const uint64_t before = s->next;
    const int status = spool_next(s, &record);
    CHECK(status == EX_OK || status == EX_UNAVAILABLE);
    CHECK(s->next > before || status == EX_UNAVAILABLE);
    CHECK(!good || status == EX_OK);
    if (status != EX_OK)
        return;
    check_record(s, &record);
    sent[sent_count++] = spool_behind(&record);
}

static void damage(struct fuzz_file *file, struct rd *in)
{
    const uint16_t at = rd_be16(in);
    const struct bytes over = fuzz_take(in, rd_u8(in) % 32);

    good = false;
    if (at & 0x8000)
        CHECK(ftruncate(file->fd, at & 0x7fff) == 0);
    else
        CHECK(pwrite(file->fd, over.p, over.len, at % FILE_BYTES) == (ssize_t)over.len);
}

static void step(struct fuzz_file *file, struct rd *in)
{
    const uint8_t op = rd_u8(in);
    struct spool *s = runs[op >> 7];

    if (s->fd < 0)
        return;
    switch (op & 7) {
    case 0:
        (void)!spool_look(s);
        break;
    case 1:
    case 2:
        append(s, in);
        break;
    case 3:
        /* What was sent and not removed is sent again. */
        if (spool_claim(s) == EX_OK)
            ids_next = sent_count = 0;
        (void)!spool_look(s);
        break;
    case 4:
    case 5:
        send_next(s);
        break;
    case 6:
        /* As the acknowledgements come: up to some record that was sent. */
        if (s->alone && spool_in_use(s))
            (void)!spool_remove(s, sent_count == 0 || (op & 64) ? s->next
                                                                : sent[rd_u8(in) % sent_count]);
        break;
    default:
        if (op & 64) {
            damage(file, in);
        } else {
            spool_close(s);
            (void)!spool_open(s, file->path, SPOOL_MIN_BYTES + rd_u8(in) * 64u, &fuzz_log);
        }
        break;
    }
    check_run(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd in = rd_over(data, size);
    const uint8_t how = rd_u8(&in);
    struct fuzz_file *file = fuzz_file(0);

    fuzz_begin();
    good = false;
    ids_count = ids_next = sent_count = 0;
    drawn = 0;
    if (how & 1) {
        good = true;
        fuzz_file_set(file, (struct bytes){data, 0}, 0600);
    } else if (how & 2) {
        fuzz_file_set(file, fuzz_take(&in, rd_be16(&in)), 0600);
    } else {
        make_file(&in, file);
    }
    for (int i = 0; i < RUNS; i++)
        CHECK(spool_open(runs[i], file->path, SPOOL_MIN_BYTES + (how >> 2) * 128u, &fuzz_log) ==
              EX_OK);
    for (int i = 0; i < STEPS_MAX && fuzz_more(&in); i++)
        step(file, &in);
    for (int i = 0; i < RUNS; i++)
        spool_close(runs[i]);
    fuzz_log_check();
    return 0;
}
