/* files.h - what the modules that keep files have in common.
 *
 * Each function returns 0, or -1 and errno. Signals do not cut anything short. */
#ifndef STS_FILES_H
#define STS_FILES_H

#include <sys/types.h>

#include "bytes.h"

#define FILES_PATH_MAX_BYTES 4096 /* what Linux takes as a path */

/* open(2) with these flags and O_CLOEXEC; what O_CREAT makes has mode 0600. Returns the
 * descriptor. */
int files_open(const char *file, int flags) __attribute__((warn_unused_result));

/* The exit status (sysexits.h) for a file that is there and was not opened, with this errno. */
int files_not_opened(int err);

/* Makes a file that is not there yet, for reading and writing, with mode 0600 whatever the umask
 * is; returns its descriptor. EEXIST: it is there. */
int files_make(const char *file) __attribute__((warn_unused_result));

/* Syncs the folder that `file` stands in, so that a file made in it outlives a power cut. */
int files_sync_folder(const char *file) __attribute__((warn_unused_result));

/* Reads up to `size` bytes from `offset`, fewer only at the end of the file; returns how many. */
ssize_t files_read_at(int fd, void *to, size_t size, off_t offset)
    __attribute__((warn_unused_result));

/* Reads a whole file from its beginning, a pipe too. Returns how many bytes; `size` of them: there
 * may be more. */
ssize_t files_read_all(int fd, void *to, size_t size) __attribute__((warn_unused_result));

/* Writes all bytes, to whatever `fd` is. */
int files_write(int fd, const void *from, size_t len) __attribute__((warn_unused_result));

/* Writes all bytes to `offset`. */
int files_write_at(int fd, const void *from, size_t len, off_t offset)
    __attribute__((warn_unused_result));

/* Cuts the file to `size` bytes. */
int files_cut(int fd, off_t size) __attribute__((warn_unused_result));

/* Syncs the bytes of the file, and its size. */
int files_sync(int fd) __attribute__((warn_unused_result));

#endif
