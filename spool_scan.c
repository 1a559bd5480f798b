/* spool_scan.c - see spool.h: records in the ring, and finding out which are there. */
#include "spool_private.h"

#include <sys/types.h>
#include <sysexits.h>

#include "crypto.h"
#include "files.h"

#define MARK_BYTES 4
#define RECORD_MIN_BYTES (SPOOL_RECORD_HEAD_BYTES + 1 + 1 + SPOOL_SUM_BYTES)

static const uint8_t mark[MARK_BYTES] = {'p', 'u', 's', 'h'};

void spool_sum(uint8_t sum[SPOOL_SUM_BYTES], const uint8_t *p, size_t len)
{
    const struct bytes whole = {p, len};
    uint8_t digest[32];

    crypto_sha256(digest, &whole, 1);
    memcpy(sum, digest, SPOOL_SUM_BYTES);
}

static int piece(const struct spool *s, enum spool_way way, uint8_t *p, size_t len, off_t offset)
{
    ssize_t n;

    if (way == SPOOL_WRITE)
        return files_write_at(s->fd, p, len, offset);
    n = files_read_at(s->fd, p, len, offset);
    if (n < 0)
        return -1;
    memset(p + n, 0, len - (size_t)n);
    return 0;
}

int spool_ring(const struct spool *s, enum spool_way way, uint8_t *p, size_t len, uint64_t position)
{
    while (len > 0) {
        const uint64_t at = position % s->capacity, left = s->capacity - at;
        const size_t n = len < left ? len : (size_t)left;

        if (piece(s, way, p, n, (off_t)(SPOOL_HEADER_BYTES + at)) != 0)
            return -1;
        p += n;
        len -= n;
        position += n;
    }
    return 0;
}

/* ---- one record ---- */

void spool_put_record(struct spool *s, struct bytes topic, size_t payload_len, struct wr *payload)
{
    struct wr out = wr_over(s->record, sizeof s->record);

    wr_put(&out, mark, sizeof mark);
    wr_be64(&out, s->end);
    wr_be64(&out, 0);
    wr_be16(&out, (uint16_t)topic.len);
    wr_be32(&out, (uint32_t)payload_len);
    wr_put(&out, topic.p, topic.len);
    *payload = wr_over(out.p, payload_len);
    s->record_len = SPOOL_RECORD_HEAD_BYTES + topic.len + payload_len + SPOOL_SUM_BYTES;
}

void spool_finish_record(struct spool *s, uint64_t id)
{
    const size_t body_len = s->record_len - SPOOL_SUM_BYTES;
    struct wr out = wr_over(s->record, s->record_len);

    (void)wr_claim(&out, MARK_BYTES + 8);
    wr_be64(&out, id);
    spool_sum(s->record + body_len, s->record, body_len);
}

static bool begins_here(struct rd *head, uint64_t position)
{
    return rd_is(head, mark, MARK_BYTES) && rd_be64(head) == position;
}

/* What the head of a record says; its bytes need not be there, but have their places in
 * s->record. */
static bool read_head(const struct spool *s, struct rd *in, struct spool_record *record)
{
    if (!begins_here(in, record->position))
        return false;
    record->id = rd_be64(in);
    record->topic.len = rd_be16(in);
    record->payload.len = rd_be32(in);
    record->topic.p = s->record + SPOOL_RECORD_HEAD_BYTES;
    record->payload.p = record->topic.p + record->topic.len;
    return record->topic.len >= 1 && record->topic.len <= CONF_VALUE_MAX_CHARS &&
           record->payload.len >= 1 && record->payload.len <= PAYLOAD_MAX_BYTES;
}

int spool_read_record(struct spool *s, uint64_t position, uint64_t limit,
                      struct spool_record *record)
{
    struct rd in = rd_over(s->record, SPOOL_RECORD_HEAD_BYTES);
    uint8_t sum[SPOOL_SUM_BYTES];
    size_t rest;

    if (limit < position + RECORD_MIN_BYTES)
        return EX_UNAVAILABLE;
    if (spool_ring(s, SPOOL_READ, s->record, SPOOL_RECORD_HEAD_BYTES, position) != 0)
        return spool_cannot(s, "read");
    record->position = position;
    if (!read_head(s, &in, record) || spool_behind(record) > limit)
        return EX_UNAVAILABLE;
    rest = record->topic.len + record->payload.len;
    if (spool_ring(s, SPOOL_READ, s->record + SPOOL_RECORD_HEAD_BYTES, rest + SPOOL_SUM_BYTES,
                   position + SPOOL_RECORD_HEAD_BYTES) != 0)
        return spool_cannot(s, "read");
    spool_sum(sum, s->record, SPOOL_RECORD_HEAD_BYTES + rest);
    return memcmp(sum, record->payload.p + record->payload.len, sizeof sum) == 0 ? EX_OK
                                                                                 : EX_UNAVAILABLE;
}

/* ---- finding records behind damage ---- */

/* How far from position `from`, whose `len` bytes are in s->record, a record may begin: before that
 * none does. */
static size_t skip(const struct spool *s, size_t len, uint64_t from)
{
    const uint8_t *const last = s->record + len - (MARK_BYTES + 8 - 1);
    const uint8_t *p = s->record;

    while ((p = memchr(p, mark[0], (size_t)(last - p)))) {
        const size_t at = (size_t)(p - s->record);
        struct rd in = rd_over(p++, MARK_BYTES + 8);

        if (begins_here(&in, from + at))
            return at;
    }
    return (size_t)(last - s->record);
}

int spool_find_record(struct spool *s, uint64_t from, uint64_t limit, uint64_t size,
                      struct spool_record *record)
{
    int status = EX_UNAVAILABLE;

    while (status == EX_UNAVAILABLE && from + RECORD_MIN_BYTES <= limit) {
        const uint64_t at = from % s->capacity;
        const size_t len = limit - from < sizeof s->record ? (size_t)(limit - from)
                                                           : sizeof s->record;

        if (SPOOL_HEADER_BYTES + at >= size) { /* the file has not been that long yet */
            from += s->capacity - at;
            continue;
        }
        if (spool_ring(s, SPOOL_READ, s->record, len, from) != 0)
            return spool_cannot(s, "read");
        from += skip(s, len, from);
        status = spool_read_record(s, from++, limit, record);
    }
    return status;
}

bool spool_lost(struct spool *s, uint64_t from, uint64_t to)
{
    s->damaged = true;
    if (to <= s->said)
        return true;
    log_error(s->log, "%s is damaged at byte %llu: %llu bytes of it are lost", s->file,
              (unsigned long long)(SPOOL_HEADER_BYTES + from % s->capacity),
              (unsigned long long)(to - from));
    s->said = to;
    return false;
}

/* ---- the end ---- */

/* How many bytes are behind the last record that are no record. In a ring that has wrapped there
 * are always bytes: those of an older lap, unless their head says that they are not. */
static int count_unfinished(const struct spool *s, uint64_t size, uint64_t limit, uint64_t *count)
{
    const uint64_t end_size = SPOOL_HEADER_BYTES + s->end;
    struct spool_record record = {.position = s->end};
    uint8_t bytes[SPOOL_RECORD_HEAD_BYTES];
    struct rd in = rd_over(bytes, sizeof bytes), again = in;

    *count = s->end < s->capacity && size > end_size ? size - end_size : 0;
    if (s->end < s->capacity || limit - s->end < sizeof bytes)
        return EX_OK;
    if (spool_ring(s, SPOOL_READ, bytes, sizeof bytes, s->end) != 0)
        return spool_cannot(s, "read");
    if (read_head(s, &in, &record) && spool_behind(&record) <= limit)
        *count = spool_behind(&record) - s->end;
    else if (begins_here(&again, s->end))
        *count = sizeof bytes;
    return EX_OK;
}

int spool_drop_end(const struct spool *s)
{
    uint8_t zeros[MARK_BYTES] = {0};

    if (s->end < s->capacity)
        return files_cut(s->fd, (off_t)(SPOOL_HEADER_BYTES + s->end));
    return spool_ring(s, SPOOL_WRITE, zeros, sizeof zeros, s->end);
}

static int cut_off(struct spool *s, uint64_t count)
{
    if (count == 0)
        return EX_OK;
    log_warn(s->log,
             "%s: %llu bytes at its end were not written whole and are cut off: "
             "nobody was told that they are kept",
             s->file, (unsigned long long)count);
    return spool_drop_end(s) == 0 ? EX_OK : spool_cannot(s, "cut");
}

/* ---- the walk ---- */

/* What this run knew counts as long as the last record of it is still there. Else another run has
 * emptied the spool, or cut it, and may have begun another record at the same place. */
static int is_known(struct spool *s, bool *known)
{
    struct spool_record record = {0};
    int status = EX_UNAVAILABLE;

    *known = s->end == s->head;
    if (*known)
        return EX_OK;
    if (s->tail >= s->head && s->tail < s->end)
        status = spool_read_record(s, s->tail, s->end, &record);
    *known = status == EX_OK && record.id == s->tail_id && spool_behind(&record) == s->end;
    return status == EX_UNAVAILABLE ? EX_OK : status;
}

static int next_in_walk(struct spool *s, uint64_t size, bool known, struct spool_record *record)
{
    const uint64_t limit = s->head + s->capacity;
    uint64_t unfinished;
    int status = spool_read_record(s, s->end, limit, record);

    if (status != EX_UNAVAILABLE)
        return status;
    status = count_unfinished(s, size, limit, &unfinished);
    if (status != EX_OK)
        return status;
    /* What was whole a moment ago and is followed by nothing new needs no search: in a ring that
     * has wrapped that would be most of the file, with each look. */
    status = EX_UNAVAILABLE;
    if (!known || unfinished > 0)
        status = spool_find_record(s, s->end + 1, limit, size, record);
    if (status == EX_UNAVAILABLE && cut_off(s, unfinished) != EX_OK)
        return EX_IOERR;
    return status;
}

static int walk(struct spool *s, uint64_t size, bool known)
{
    struct spool_record record = {0};
    int status;

    while ((status = next_in_walk(s, size, known, &record)) == EX_OK) {
        if (record.position != s->end)
            (void)spool_lost(s, s->end, record.position);
        spool_extend(s, record.position, record.id, spool_behind(&record));
    }
    return status == EX_UNAVAILABLE ? EX_OK : status;
}

/* Where nothing is known: at the bookmark, if a record there proves it, or else at the head. */
static int begin_walk(struct spool *s)
{
    struct spool_record record = {0};
    int status = EX_UNAVAILABLE;

    s->tail = s->end = s->head;
    if (s->mark - s->head < s->capacity)
        status = spool_read_record(s, s->mark, s->head + s->capacity, &record);
    if (status == EX_OK && record.id <= s->last_id)
        s->end = s->mark;
    else
        s->mark = s->head;
    return status == EX_UNAVAILABLE ? EX_OK : status;
}

int spool_walk(struct spool *s, uint64_t size)
{
    const uint64_t end = s->end;
    bool known;
    int status = is_known(s, &known);

    if (status == EX_OK && (!known || end == s->head))
        status = begin_walk(s);
    if (status == EX_OK)
        status = walk(s, size, known && end != s->head);
    if (status != EX_OK)
        s->end = end;
    else if (s->next > s->end) /* the last records, sent already, were damaged and cut off */
        s->next = s->end;
    return status;
}
