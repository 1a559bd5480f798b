/* scratch.h - for tests of what keeps files: a folder of its own, and what was logged. */
#ifndef TEST_SCRATCH_H
#define TEST_SCRATCH_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static char scratch[] = "/tmp/sts-test-XXXXXX";
static struct log test_log = {-1, LOG_DEBUG, NULL, false, 0};
static char logged[8192];

static inline int scratch_make(void **state)
{
    (void)state;
    if (!mkdtemp(scratch) || chdir(scratch) != 0)
        return -1;
    test_log.fd = open("log", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    return test_log.fd < 0;
}

static inline int scratch_remove(void **state)
{
    DIR *folder = opendir(scratch);
    struct dirent *entry;

    (void)state;
    close(test_log.fd);
    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.')
            (void)remove(entry->d_name);
    if (folder)
        closedir(folder);
    return chdir("/") != 0 || rmdir(scratch) != 0;
}

static inline void log_forget(void)
{
    assert_int_equal(ftruncate(test_log.fd, 0), 0);
}

/* All that was logged since log_forget, without the head of a single line. */
static inline const char *log_text(void)
{
    ssize_t len = pread(test_log.fd, logged, sizeof logged - 1, 0);
    char *text = logged;

    assert_true(len >= 0);
    logged[len] = 0;
    if (len > 0 && logged[len - 1] == '\n')
        logged[len - 1] = 0;
    text = strstr(logged, "# sts: ");
    return text ? text + 7 : logged;
}

static inline void assert_logged(const char *part)
{
    if (!strstr(log_text(), part))
        fail_msg("logged: \"%s\", not: \"%s\"", log_text(), part);
}

/* "WHAT: " and the words of this C library for an errno. */
static inline const char *with_errno(const char *what, int error)
{
    static char text[128];

    (void)snprintf(text, sizeof text, "%s: %s", what, strerror(error));
    return text;
}

/* One line, and not a second one. */
static inline void assert_one_line(void)
{
    (void)log_text();
    assert_true(logged[0] != 0);
    assert_null(strchr(logged, '\n'));
}

static inline void put_file(const char *file, const void *bytes, size_t len, mode_t mode)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

static inline size_t get_file(const char *file, void *to, size_t size)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t len;

    assert_true(fd >= 0);
    len = read(fd, to, size);
    close(fd);
    assert_true(len >= 0);
    return (size_t)len;
}

static inline mode_t mode_of(const char *file)
{
    struct stat status;

    assert_int_equal(stat(file, &status), 0);
    return status.st_mode & 07777;
}

#endif
