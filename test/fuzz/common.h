/* common.h - what the fuzz harnesses share; see README.md beside it.
 *
 * A harness reads its input as a script, through a cursor of bytes.h: what is behind the end reads
 * as zeros, so every input is a script. It is to be the same run each time for the same bytes: the
 * random numbers of the program come from here, files are in memory, and so is the log. */
#ifndef STS_FUZZ_COMMON_H
#define STS_FUZZ_COMMON_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "log.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What must hold. libFuzzer keeps the input that ends here. */
#define CHECK(condition) \
    do { \
        if (!(condition)) \
            fuzz_fail(__FILE__, __LINE__, #condition); \
    } while (0)

_Noreturn void fuzz_fail(const char *file, int line, const char *condition);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Every run starts here: random numbers from the beginning, an empty log. */
void fuzz_begin(void);

/* The kernel gives no random bytes (true), or again (false). */
void fuzz_no_random(bool none);

/* Whether the script goes on. */
static inline bool fuzz_more(const struct rd *in)
{
    return !in->bad && rd_left(in) > 0;
}

/* Up to `n` bytes: what is left of the script. `p` is never NULL. */
struct bytes fuzz_take(struct rd *in, size_t n);

/* A number of bytes up to `max`, mostly a small one. */
size_t fuzz_size(struct rd *in, size_t max);

/* A copy in a block of its exact size, for the sanitizer to guard; free it. */
uint8_t *fuzz_copy(struct bytes from);

/* The log: lines are kept in memory, and checked by fuzz_log_check. */
extern struct log fuzz_log;
struct bytes fuzz_logged(void);
void fuzz_log_forget(void);

/* Of each line since: it is whole, not too long, UTF-8, and without control characters. */
void fuzz_log_check(void);

/* Whether all of it is well-formed UTF-8, controls and zeros too: a second opinion. */
bool fuzz_utf8(struct bytes text);

/* Whether `part` stands in `whole`. */
bool fuzz_contains(struct bytes whole, struct bytes part);

/* A file in memory; `path` opens it. Syncs do nothing. One for each `index` below 3. */
struct fuzz_file {
    int fd;
    char path[32];
};

struct fuzz_file *fuzz_file(unsigned index);
void fuzz_file_set(struct fuzz_file *file, struct bytes content, unsigned mode);
size_t fuzz_file_get(struct fuzz_file *file, uint8_t *to, size_t size);
size_t fuzz_open_files(void);

#endif
