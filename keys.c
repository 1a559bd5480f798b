/* keys.c - see keys.h. */
#include "keys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "files.h"
#include "key_text.h"

#define OTHERS (S_IRWXG | S_IRWXO)

/* ---- reading ---- */

static int refuse(const char *file, int line, const char *why, struct log *log)
{
    log_error(log, "%s: line %d: %s", file, line, why);
    return EX_CONFIG;
}

static int take_text(uint8_t private_key[32], struct bytes text, const char *file, struct log *log)
{
    const uint8_t *newline = text.len > 0 ? memchr(text.p, '\n', text.len) : NULL;
    struct bytes line = {text.p, newline ? (size_t)(newline - text.p) : text.len};

    if (!key_text_read(private_key, line))
        return refuse(file, 1, "not a private key: 32 bytes in base64 and nothing else", log);
    if (newline && line.len + 1 < text.len)
        return refuse(file, 2, "nothing may stand behind the key", log);
    return EX_OK;
}

static int read_key(uint8_t private_key[32], int fd, const char *file, struct log *log)
{
    uint8_t text[KEY_TEXT_CHARS + 2]; /* the newline, and one byte that is too much */
    const ssize_t len = files_read_all(fd, text, sizeof text);
    int status;

    if (len < 0) {
        log_cannot(log, "read", file);
        status = EX_NOINPUT;
    } else {
        status = take_text(private_key, (struct bytes){text, (size_t)len}, file, log);
    }
    crypto_wipe(text, sizeof text);
    return status;
}

/* A folder says so itself when it is read. */
static int check_mode(int fd, const char *file, struct log *log)
{
    struct stat status;

    if (fstat(fd, &status) != 0) {
        log_cannot(log, "read", file);
        return EX_NOINPUT;
    }
    if (!S_ISDIR(status.st_mode) && (status.st_mode & OTHERS)) {
        log_error(log, "%s holds a private key and is open to others: chmod 600 %s", file, file);
        return EX_NOPERM;
    }
    return EX_OK;
}

int keys_load(struct noise_pair *own, const char *file, struct log *log)
{
    int fd = files_open(file, O_RDONLY);
    int status;

    memset(own, 0, sizeof *own);
    if (fd < 0) {
        log_cannot(log, "read", file);
        return EX_NOINPUT;
    }
    status = check_mode(fd, file, log);
    if (status == EX_OK)
        status = read_key(own->private_key, fd, file, log);
    close(fd);
    if (status == EX_OK)
        crypto_x25519_public(own->public_key, own->private_key);
    else
        crypto_wipe(own, sizeof *own);
    return status;
}

/* ---- making ---- */

static int write_key(const uint8_t private_key[32], int fd)
{
    char text[KEY_TEXT_CHARS + 1];
    int err;

    key_text_write(text, private_key);
    text[KEY_TEXT_CHARS] = '\n';
    err = files_write_at(fd, text, sizeof text, 0);
    crypto_wipe(text, sizeof text);
    return err;
}

static int fill(struct noise_pair *own, int fd, const char *file, struct log *log)
{
    int err = crypto_x25519_keypair(own->private_key, own->public_key);

    if (err) {
        log_error(log, "cannot make a key: %s", crypto_err_text(err));
        return EX_OSERR;
    }
    if (write_key(own->private_key, fd) != 0 || files_sync(fd) != 0 ||
        files_sync_folder(file) != 0) {
        log_cannot(log, "write", file);
        return EX_IOERR;
    }
    return EX_OK;
}

/* close(2) may tell of a write that failed, too; not once the file is synced. */
static int make(struct noise_pair *own, const char *file, struct log *log)
{
    int fd = files_make(file);
    int status;

    if (fd < 0 && errno == EEXIST)
        return keys_load(own, file, log);
    if (fd < 0) {
        log_cannot(log, "make", file);
        return EX_CANTCREAT;
    }
    status = fill(own, fd, file, log);
    close(fd);
    if (status != EX_OK)
        unlink(file);
    return status;
}

static int print_public(const uint8_t public_key[32], struct log *log)
{
    char line[KEY_TEXT_CHARS + 1];

    key_text_write(line, public_key);
    line[KEY_TEXT_CHARS] = '\n';
    if (files_write(STDOUT_FILENO, line, sizeof line) != 0) {
        log_cannot(log, "write to", "standard output");
        return EX_IOERR;
    }
    return EX_OK;
}

int keys_make(const char *file, struct log *log)
{
    struct noise_pair own = {0};
    int status = make(&own, file, log);

    if (status == EX_OK)
        status = print_public(own.public_key, log);
    crypto_wipe(&own, sizeof own);
    return status;
}
