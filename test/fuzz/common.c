/* common.c - see common.h. */
#include "common.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "limits.h"

#define LOG_FD 1000002 /* no descriptor */
#define LOG_HEAD_CHARS (sizeof "2026-11-23 14:30:36.181 - [ERROR] # sts: " - 1)

struct log fuzz_log = {.fd = LOG_FD, .level = LOG_DEBUG};

static struct {
    uint64_t random;
    bool no_random;
    uint8_t log[1 << 16];
    size_t log_len;
} state;

void fuzz_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: CHECK(%s) does not hold\n", file, line, condition);
    abort();
}

void fuzz_begin(void)
{
    state.random = 0;
    state.no_random = false;
    fuzz_log = (struct log){.fd = LOG_FD, .level = LOG_DEBUG};
    fuzz_log_forget();
}

void fuzz_no_random(bool none)
{
    state.no_random = none;
}

/* ---- scripts ---- */

struct bytes fuzz_take(struct rd *in, size_t n)
{
    const size_t left = in->bad ? 0 : rd_left(in);
    const size_t len = n < left ? n : left;
    const uint8_t *taken = rd_take(in, len);

    return (struct bytes){taken ? taken : (const uint8_t *)"", len};
}

size_t fuzz_size(struct rd *in, size_t max)
{
    const uint8_t first = rd_u8(in);
    const size_t size = first < 0xf0 ? first : (size_t)(first & 7) << 16 | rd_be16(in);

    return size < max ? size : max;
}

uint8_t *fuzz_copy(struct bytes from)
{
    uint8_t *copy = malloc(from.len > 0 ? from.len : 1);

    CHECK(copy);
    if (from.len > 0)
        memcpy(copy, from.p, from.len);
    return copy;
}

bool fuzz_contains(struct bytes whole, struct bytes part)
{
    return part.len > 0 && whole.len >= part.len && memmem(whole.p, whole.len, part.p, part.len);
}

/* ---- the log ---- */

struct bytes fuzz_logged(void)
{
    return (struct bytes){state.log, state.log_len};
}

void fuzz_log_forget(void)
{
    state.log_len = 0;
}

/* The code point at the front, its bytes taken off; -1: not well formed. */
static int32_t take_character(struct rd *r)
{
    const uint8_t lead = rd_u8(r);
    const int more = lead < 0x80   ? 0
                     : lead < 0xc2 ? -1
                     : lead < 0xe0 ? 1
                     : lead < 0xf0 ? 2
                     : lead < 0xf5 ? 3
                                   : -1;
    int32_t code = more > 0 ? lead & (0x3f >> more) : lead;

    for (int i = 0; i < more; i++) {
        const uint8_t next = rd_u8(r);
        if (r->bad || (next & 0xc0) != 0x80)
            return -1;
        code = code << 6 | (next & 0x3f);
    }
    if (more < 0 || (more == 2 && code < 0x800) || (more == 3 && code < 0x10000) ||
        code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return -1;
    return code;
}

bool fuzz_utf8(struct bytes text)
{
    struct rd r = rd_over(text.p, text.len);

    while (rd_left(&r) > 0)
        if (take_character(&r) < 0)
            return false;
    return true;
}

static void check_line(struct bytes line)
{
    struct rd r = rd_over(line.p, line.len);

    CHECK(line.len >= LOG_HEAD_CHARS && line.len < LOG_LINE_MAX_BYTES);
    CHECK(memcmp(line.p + 23, " - [", 4) == 0 && memcmp(line.p + 34, "# sts: ", 7) == 0);
    while (rd_left(&r) > 0) {
        const int32_t code = take_character(&r);
        CHECK(code >= 0x20 && code != 0x7f && (code < 0x80 || code > 0x9f));
    }
}

void fuzz_log_check(void)
{
    struct rd r = rd_over(state.log, state.log_len);

    while (rd_left(&r) > 0) {
        const uint8_t *newline = memchr(r.p, '\n', rd_left(&r));
        CHECK(newline);
        const size_t len = (size_t)(newline - r.p);
        check_line((struct bytes){rd_take(&r, len), len});
        (void)rd_u8(&r);
    }
}

/* ---- the system ---- */

ssize_t __real_write(int fd, const void *from, size_t len);
ssize_t __wrap_write(int fd, const void *from, size_t len);
ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __real_fstat(int fd, struct stat *status);
int __wrap_fstat(int fd, struct stat *status);

ssize_t __wrap_write(int fd, const void *from, size_t len)
{
    if (fd != LOG_FD)
        return __real_write(fd, from, len);
    if (state.log_len + len > sizeof state.log) {
        fuzz_log_check();
        fuzz_log_forget();
    }
    CHECK(len <= sizeof state.log);
    memcpy(state.log + state.log_len, from, len);
    state.log_len += len;
    return (ssize_t)len;
}

/* splitmix64 */
ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags)
{
    uint8_t *p = to;

    (void)flags;
    if (state.no_random) {
        errno = ENOSYS;
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        uint64_t z = state.random += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        p[i] = (uint8_t)(z >> 32);
    }
    return (ssize_t)len;
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    return 0;
}

/* A file in memory has no name, which the spool would take for a removed one. */
int __wrap_fstat(int fd, struct stat *status)
{
    const int result = __real_fstat(fd, status);

    if (result == 0 && status->st_nlink == 0)
        status->st_nlink = 1;
    return result;
}

/* ---- files ---- */

struct fuzz_file *fuzz_file(unsigned index)
{
    static struct fuzz_file files[3];
    struct fuzz_file *file = &files[index];

    if (file->path[0] == 0) {
        file->fd = memfd_create("fuzz", MFD_CLOEXEC);
        CHECK(file->fd >= 0);
        (void)snprintf(file->path, sizeof file->path, "/proc/self/fd/%d", file->fd);
    }
    return file;
}

void fuzz_file_set(struct fuzz_file *file, struct bytes content, unsigned mode)
{
    CHECK(ftruncate(file->fd, 0) == 0 && fchmod(file->fd, (mode_t)mode) == 0);
    CHECK(pwrite(file->fd, content.p, content.len, 0) == (ssize_t)content.len);
}

size_t fuzz_file_get(struct fuzz_file *file, uint8_t *to, size_t size)
{
    const ssize_t len = pread(file->fd, to, size, 0);

    CHECK(len >= 0);
    return (size_t)len;
}

/* Nothing may stay open behind a harness's back. */
size_t fuzz_open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t count = 0;

    CHECK(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}
