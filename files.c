/* files.c - see files.h. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define PAGE_MIN_BYTES 4096

/* Not by open: musl's asks the kernel a second time for O_CLOEXEC, for the sake of kernels that
 * ignored it. */
int files_open(const char *file, int flags)
{
    return openat(AT_FDCWD, file, flags | O_CLOEXEC, 0600);
}

int files_not_opened(int err)
{
    return err == EACCES || err == EPERM || err == EROFS ? EX_NOPERM : EX_NOINPUT;
}

int files_make(const char *file)
{
    int fd = files_open(file, O_RDWR | O_CREAT | O_EXCL);

    /* The umask can only have taken away what the owner needs. */
    if (fd >= 0 && fchmod(fd, 0600) != 0) {
        int err = errno;

        close(fd);
        unlink(file);
        errno = err;
        return -1;
    }
    return fd;
}

static int folder_of(char folder[FILES_PATH_MAX_BYTES], const char *file)
{
    const char *slash = strrchr(file, '/');
    size_t len = slash ? (size_t)(slash - file) + 1 : 0;

    if (len + 2 > FILES_PATH_MAX_BYTES) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(folder, file, len);
    memcpy(folder + len, ".", 2);
    return 0;
}

int files_sync_folder(const char *file)
{
    char folder[FILES_PATH_MAX_BYTES];
    int fd, err = 0;

    if (folder_of(folder, file) != 0)
        return -1;
    fd = files_open(folder, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return -1;
    /* EINVAL: a file system that has nothing to sync there. */
    while (fsync(fd) != 0 && errno != EINVAL)
        if (errno != EINTR) {
            err = errno;
            break;
        }
    close(fd);
    errno = err;
    return err ? -1 : 0;
}

ssize_t files_read_at(int fd, void *to, size_t size, off_t offset)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = pread(fd, (uint8_t *)to + len, size - len, offset + (off_t)len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

/* pread(2), for what it works on is no pipe: there less than was asked for is the end, and need not
 * be asked for again. Unless it ends with a page, where a bad disk may have cut it. */
ssize_t files_read_all(int fd, void *to, size_t size)
{
    size_t len = 0;
    bool pipe = false;

    while (len < size) {
        uint8_t *at = (uint8_t *)to + len;
        const ssize_t n = pipe ? read(fd, at, size - len) : pread(fd, at, size - len, (off_t)len);

        if (n < 0 && errno == ESPIPE && !pipe)
            pipe = true;
        else if (n < 0 && errno != EINTR)
            return -1;
        if (n < 0)
            continue;
        len += (size_t)n;
        if (n == 0 || (!pipe && len < size && len % PAGE_MIN_BYTES != 0))
            break;
    }
    return (ssize_t)len;
}

int files_write(int fd, const void *from, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(fd, from, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : ENOSPC;
            return -1;
        }
        from = (const uint8_t *)from + n;
        len -= (size_t)n;
    }
    return 0;
}

int files_write_at(int fd, const void *from, size_t len, off_t offset)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pwrite(fd, (const uint8_t *)from + done, len - done, offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : ENOSPC;
            return -1;
        }
        done += (size_t)n;
    }
    return 0;
}

int files_cut(int fd, off_t size)
{
    while (ftruncate(fd, size) != 0)
        if (errno != EINTR)
            return -1;
    return 0;
}

int files_sync(int fd)
{
    while (fdatasync(fd) != 0)
        if (errno != EINTR)
            return -1;
    return 0;
}
