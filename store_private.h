/* store_private.h - what store.c, store_sender.c, store_collector.c and store_out.c share. */
#ifndef STS_STORE_PRIVATE_H
#define STS_STORE_PRIVATE_H

#include <sys/types.h>

#include "store.h"

#define STORE_SUM_BYTES 16
#define STORE_BODY_BYTES (STORE_BLOCK_BYTES - STORE_SUM_BYTES)
#define STORE_HEADER_BYTES (10 + 2 + 2 + 4 + 32)
#define STORE_MARK_BYTES 8

enum store_kind { STORE_SENDER = 1, STORE_COLLECTOR = 2 };

/* Each says in a log line what is wrong, with errno's text where there is one, and returns the
 * status. Once something could not be written the file is not trusted any more. */
int store_damaged(const struct store *store, const char *what);
int store_cannot_read(const struct store *store);
int store_cannot_open(const struct store *store, const char *file);
int store_cannot_write(struct store *store, const char *file);

static inline off_t store_offset(uint32_t number)
{
    return (off_t)number * STORE_BLOCK_BYTES;
}

bool store_block_good(const struct store *store, uint32_t number, const uint8_t *block);

/* Puts the checksum behind the body, and writes the block. Returns 0, or -1 and errno. */
int store_write_block(const struct store *store, uint32_t number, uint8_t block[STORE_BLOCK_BYTES])
    __attribute__((warn_unused_result));

/* The same for the header, with store->records. */
int store_write_header(const struct store *store, enum store_kind kind)
    __attribute__((warn_unused_result));

/* Keeps other collectors from a file for as long as `fd` is open. */
int store_lock(const struct store *store, int fd, const char *file)
    __attribute__((warn_unused_result));

/* Whether only zeros are left. */
bool store_rest_zero(const struct rd *in);

/* A sender's record: what stands in it but for the checksum; reading it from the file. */
void store_put_sender(uint8_t block[STORE_BLOCK_BYTES], uint64_t id);
int store_read_last(const struct store *store, uint64_t *last) __attribute__((warn_unused_result));

/* Whether all of the file is whole and this sender's, with store->records; it need not be locked.
 * False may be another run that writes it just now. */
bool store_is_senders(const struct store *store) __attribute__((warn_unused_result));

/* Whether the file says that it is a collector's; it need not be locked. */
bool store_is_collectors(const struct store *store);

/* Sets *store, and opens the file, made where it is not there; NULL: nothing is opened. */
int store_open_file(struct store *store, const char *file, const uint8_t own_public[32],
                    struct log *log) __attribute__((warn_unused_result));

/* Of a locked file: reads the header, or begins the file where it is empty. */
int store_read_or_begin(struct store *store, enum store_kind kind)
    __attribute__((warn_unused_result));

/* ---- store_collector.c ---- */

/* Takes an id into the window that record `number` holds. */
int store_take_again(struct store *store, uint32_t number, uint64_t id)
    __attribute__((warn_unused_result));

/* ---- store_out.c ---- */

/* Opens store->out, which nobody else may have open so. */
int store_out_open(struct store *store) __attribute__((warn_unused_result));

/* Of a state whose header is read: brings records and output file to where the last commit was, and
 * drops the commit blocks, so that more records can stand in their place. */
int store_out_recover(struct store *store) __attribute__((warn_unused_result));

/* Commits what was appended and marked. */
int store_out_commit(struct store *store) __attribute__((warn_unused_result));

void store_out_mark(struct store *store, uint16_t number, uint64_t id);
void store_out_close(struct store *store);

#endif
