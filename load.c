/* load.c - see load.h. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "files.h"

/* Reads all of the file; -1 and errno when that fails, EFBIG when it is larger than `size`. */
static ssize_t read_all(int fd, char *to, size_t size)
{
    const ssize_t len = files_read_all(fd, to, size);

    if (len < (ssize_t)size)
        return len;
    errno = EFBIG;
    return -1;
}

static void warn_of_readers(int fd, const struct conf *conf, const char *file, struct log *log)
{
    const bool psk = conf->origin[CONF_PSK].layer == CONF_LAYER_FILE;
    struct stat status;

    if ((psk || conf->origin[CONF_PASSWORD].layer == CONF_LAYER_FILE) && fstat(fd, &status) == 0 &&
        (status.st_mode & (S_IRGRP | S_IROTH)))
        log_warn(log, "%s holds a %s and can be read by others: chmod 600 %s", file,
                 psk ? "psk" : "password", file);
}

/* Its own function, so that the text of the file is off the stack (and wiped) afterwards. */
static int parse_file(struct conf *conf, struct conf_error *error, const char *file,
                      struct log *log)
{
    char text[CONF_FILE_MAX_BYTES + 1];
    const int fd = files_open(file, O_RDONLY);
    const ssize_t len = fd < 0 ? -1 : read_all(fd, text, sizeof text);
    int status = EX_OK;

    if (len < 0) {
        log_cannot(log, "read", file);
        status = EX_NOINPUT;
    } else if (conf_parse(conf, error, (struct bytes){(const uint8_t *)text, (size_t)len}) < 0) {
        log_error(log, "%s", error->text);
        status = EX_CONFIG;
    } else {
        warn_of_readers(fd, conf, file, log);
    }
    crypto_wipe(text, sizeof text);
    if (fd >= 0)
        close(fd);
    return status;
}

int load_conf(struct conf *conf, const char *file, const struct options *options, struct log *log)
{
    struct conf_error error;
    int err = 0;

    conf_init(conf, file ? file : "");
    if (file) {
        const int status = parse_file(conf, &error, file, log);
        if (status != EX_OK)
            return status;
    }
    for (int i = 0; err == 0 && i < options->overrides_count; i++)
        err = conf_override(conf, &error, options->overrides[i]);
    if (err == 0)
        err = conf_finish(conf, &error);
    if (err == 0)
        return EX_OK;
    log_error(log, "%s", error.text);
    return EX_CONFIG;
}
