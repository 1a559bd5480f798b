/* peers_file.c - see peers_file.h. */
#include "peers_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "files.h"
#include "fmt.h"
#include "key_text.h"

/* One reading of a file. While it goes on, session_id of a peer is the line that it stands in. */
struct load {
    struct peers *peers;
    size_t list_size;
    const char *file;
    const struct noise_pair *own;
    struct log *log;
    uint64_t line;
    bool has_psk;
};

static int refuse(const struct load *load, const char *why)
{
    log_error(load->log, "%s: line %llu: %s", load->file, (unsigned long long)load->line, why);
    return EX_CONFIG;
}

/* ---- a line ---- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r'; /* '\r': lines that end as on Windows */
}

/* The next word of the line; of length 0 at its end, or where a comment begins. */
static struct bytes next_word(struct rd *line)
{
    struct bytes word = {NULL, 0};

    while (rd_left(line) > 0 && is_blank(*line->p))
        (void)rd_u8(line);
    word.p = line->p;
    if (rd_left(line) > 0 && *line->p == '#')
        return word;
    while (rd_left(line) > 0 && !is_blank(*line->p))
        (void)rd_u8(line);
    word.len = (size_t)(line->p - word.p);
    return word;
}

static int take_name(const struct load *load, struct peer *peer, struct bytes name)
{
    uint8_t tame[PEER_NAME_MAX_CHARS];

    if (name.len > PEER_NAME_MAX_CHARS)
        return refuse(load, "the name is longer than 31 bytes");
    memcpy(tame, name.p, name.len);
    fmt_tame(tame, name.len);
    if (memcmp(tame, name.p, name.len) != 0)
        return refuse(load, "the name is not UTF-8, or holds a control character");
    memcpy(peer->name, name.p, name.len);
    return EX_OK;
}

static int take_key(const struct load *load, struct peer *peer, struct bytes key)
{
    if (key.len == 0)
        return refuse(load, "there is no public key, as in name public-key [psk]");
    if (!key_text_read(peer->key, key))
        return refuse(load, "the public key is not 32 bytes in base64");
    if (crypto_x25519_low_order(peer->key))
        return refuse(load, "this is not a public key: a point of low order");
    if (memcmp(peer->key, load->own->public_key, sizeof peer->key) == 0)
        return refuse(load, "this public key is our own");
    return EX_OK;
}

static int take_psk(struct load *load, struct peer *peer, struct bytes psk)
{
    if (psk.len == 0)
        return EX_OK;
    load->has_psk = true;
    if (!key_text_read(peer->psk, psk))
        return refuse(load, "the psk is not 32 bytes in base64");
    return EX_OK;
}

static int take_line(struct load *load, struct bytes text)
{
    struct rd line = rd_over(text.p, text.len);
    struct bytes name = next_word(&line);
    struct peer *peer;
    int status;

    if (name.len == 0)
        return EX_OK;
    if (load->peers->count == load->list_size)
        return refuse(load, "there are more devices than this build takes (PEERS_MAX)");
    peer = &load->peers->list[load->peers->count++];
    memset(peer, 0, sizeof *peer);
    peer->session_id = load->line;
    status = take_name(load, peer, name);
    if (status == EX_OK)
        status = take_key(load, peer, next_word(&line));
    if (status == EX_OK)
        status = take_psk(load, peer, next_word(&line));
    if (status == EX_OK && next_word(&line).len > 0)
        return refuse(load, "there is more than name public-key [psk]");
    return status;
}

/* ---- the file ---- */

static ssize_t read_some(int fd, uint8_t *to, size_t size)
{
    ssize_t n;

    do
        n = read(fd, to, size);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Takes the whole lines of `text`, at the end of the file all of it; returns in *taken how much. */
static int take_lines(struct load *load, struct bytes text, bool end, size_t *taken)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf}; /* some editors start UTF-8 with it */
    size_t at = 0;

    while (at < text.len) {
        const uint8_t *from = text.p + at;
        const uint8_t *newline = memchr(from, '\n', text.len - at);
        struct bytes line = {from, newline ? (size_t)(newline - from) : text.len - at};

        if (!newline && !end)
            break;
        at += line.len + (newline ? 1 : 0);
        if (++load->line == 1 && line.len >= sizeof mark && memcmp(line.p, mark, sizeof mark) == 0)
            line = (struct bytes){line.p + sizeof mark, line.len - sizeof mark};

        const int status = take_line(load, line);
        if (status != EX_OK)
            return status;
    }
    *taken = at;
    return EX_OK;
}

static int read_lines(struct load *load, int fd)
{
    uint8_t text[PEERS_LINE_MAX_BYTES];
    size_t len = 0, taken = 0;
    int status = EX_OK;
    ssize_t n = 1;

    while (n > 0 && status == EX_OK) {
        n = read_some(fd, text + len, sizeof text - len);
        if (n < 0) {
            log_cannot(load->log, "read", load->file);
            status = EX_NOINPUT;
            break;
        }
        len += (size_t)n;
        status = take_lines(load, (struct bytes){text, len}, n == 0, &taken);
        if (status == EX_OK && taken == 0 && len == sizeof text) {
            load->line++;
            status = refuse(load, "the line is longer than 511 bytes");
        }
        if (status == EX_OK) {
            len -= taken;
            memmove(text, text + taken, len);
            taken = 0;
        }
    }
    crypto_wipe(text, sizeof text);
    return status;
}

/* ---- what is there twice ---- */

static int by_line(const struct peer *a, const struct peer *b)
{
    return (a->session_id > b->session_id) - (a->session_id < b->session_id);
}

static int by_name(const struct peer *a, const struct peer *b)
{
    int order = memcmp(a->name, b->name, sizeof a->name);

    return order ? order : by_line(a, b);
}

static int by_key(const struct peer *a, const struct peer *b)
{
    int order = memcmp(a->key, b->key, sizeof a->key);

    return order ? order : by_line(a, b);
}

typedef int order(const struct peer *a, const struct peer *b);

/* Lets the peer at `at` sink to its place in the heap of the first `count`. */
static void sink(struct peer *list, size_t at, size_t count, order *compare)
{
    struct peer sinking = list[at];

    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && compare(&list[child + 1], &list[child]) > 0)
            child++;
        if (compare(&list[child], &sinking) <= 0)
            break;
        list[at] = list[child];
        at = child;
    }
    list[at] = sinking;
    crypto_wipe(&sinking, sizeof sinking);
}

/* Heap sort: in place, without a stack, and never slower than n log n. */
static void sort(struct peers *peers, order *compare)
{
    struct peer *list = peers->list;
    struct peer last;

    for (size_t at = peers->count / 2; at-- > 0;)
        sink(list, at, peers->count, compare);
    for (size_t count = peers->count; count-- > 1;) {
        last = list[count];
        list[count] = list[0];
        list[0] = last;
        sink(list, 0, count, compare);
    }
    crypto_wipe(&last, sizeof last);
}

static int refuse_twice(struct load *load, const struct peer *first, const char *what)
{
    load->line = first[1].session_id;
    log_error(load->log, "%s: line %llu: the %s of %s is there twice (first in line %llu)",
              load->file, (unsigned long long)load->line, what, first[1].name,
              (unsigned long long)first->session_id);
    return EX_CONFIG;
}

static int check_twice(struct load *load)
{
    const struct peer *list = load->peers->list;

    sort(load->peers, by_name);
    for (size_t i = 0; i + 1 < load->peers->count; i++)
        if (memcmp(list[i].name, list[i + 1].name, sizeof list[i].name) == 0)
            return refuse_twice(load, &list[i], "name");
    sort(load->peers, by_key);
    for (size_t i = 0; i + 1 < load->peers->count; i++)
        if (memcmp(list[i].key, list[i + 1].key, sizeof list[i].key) == 0)
            return refuse_twice(load, &list[i], "key");
    for (size_t i = 0; i < load->peers->count; i++)
        load->peers->list[i].session_id = 0;
    return EX_OK;
}

/* ---- all of it ---- */

static void warn_of_readers(const struct load *load, int fd)
{
    struct stat status;

    if (load->has_psk && fstat(fd, &status) == 0 && (status.st_mode & (S_IRGRP | S_IROTH)))
        log_warn(load->log, "%s holds a psk and can be read by others: chmod 600 %s", load->file,
                 load->file);
}

static int load_all(struct load *load, int fd)
{
    int status = read_lines(load, fd);

    if (status != EX_OK)
        return status;
    if (load->peers->count == 0) {
        log_error(load->log, "%s: there is no device in it", load->file);
        return EX_CONFIG;
    }
    warn_of_readers(load, fd);
    return check_twice(load);
}

int peers_load(struct peers *peers, struct peer *list, size_t list_size, const char *file,
               const struct noise_pair *own, struct log *log)
{
    struct load load = {peers, list_size, file, own, log, 0, false};
    int fd = files_open(file, O_RDONLY);
    int status;

    *peers = (struct peers){list, 0};
    if (fd < 0) {
        log_cannot(log, "read", file);
        return EX_NOINPUT;
    }
    status = load_all(&load, fd);
    close(fd);
    if (status != EX_OK)
        peers_wipe(peers);
    return status;
}
