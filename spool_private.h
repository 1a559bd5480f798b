/* spool_private.h - what spool.c and spool_scan.c share. */
#ifndef STS_SPOOL_PRIVATE_H
#define STS_SPOOL_PRIVATE_H

#include "spool.h"

enum spool_way { SPOOL_READ, SPOOL_WRITE };

/* Says what cannot be done with the file, and errno's text. Returns EX_IOERR. */
int spool_cannot(const struct spool *s, const char *what);

/* The first SPOOL_SUM_BYTES bytes of the SHA-256. */
void spool_sum(uint8_t sum[SPOOL_SUM_BYTES], const uint8_t *p, size_t len);

/* Reads or writes bytes of the ring. What is behind the end of the file reads as zeros. Returns 0,
 * or -1 and errno. */
int spool_ring(const struct spool *s, enum spool_way way, uint8_t *p, size_t len, uint64_t position)
    __attribute__((warn_unused_result));

/* Begins a record in s->record, and sets s->record_len; `payload` is where the payload goes. */
void spool_put_record(struct spool *s, struct bytes topic, size_t payload_len, struct wr *payload);

/* Writes the id of the record in s->record, and its checksum. */
void spool_finish_record(struct spool *s, uint64_t id);

static inline uint64_t spool_behind(const struct spool_record *record)
{
    return record->position + SPOOL_RECORD_HEAD_BYTES + record->topic.len + record->payload.len +
           SPOOL_SUM_BYTES;
}

/* Reads the record at `position` into s->record. EX_UNAVAILABLE: no whole one is there that ends at
 * `limit` or before; nothing was said. EX_IOERR cannot be read. */
int spool_read_record(struct spool *s, uint64_t position, uint64_t limit,
                      struct spool_record *record) __attribute__((warn_unused_result));

/* The same for the first record at `from` or behind it, in a file of `size` bytes. */
int spool_find_record(struct spool *s, uint64_t from, uint64_t limit, uint64_t size,
                      struct spool_record *record) __attribute__((warn_unused_result));

/* Notes the record that is the last one now. */
static inline void spool_extend(struct spool *s, uint64_t position, uint64_t id, uint64_t end)
{
    s->tail = position;
    s->tail_id = id;
    s->end = end;
    if (id > s->last_id)
        s->last_id = id;
}

/* Notes that what is between two positions was lost, and says so once. Returns whether it had been
 * said before. */
bool spool_lost(struct spool *s, uint64_t from, uint64_t to);

/* Takes back what stands behind s->end, so that no record begins there. Returns 0, or -1 and
 * errno. */
int spool_drop_end(const struct spool *s) __attribute__((warn_unused_result));

/* Walks over the records of a locked file of `size` bytes whose header was read: sets s->end,
 * s->tail and s->last_id, and cuts off an unfinished end. EX_IOERR. */
int spool_walk(struct spool *s, uint64_t size) __attribute__((warn_unused_result));

#endif
