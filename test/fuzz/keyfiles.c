/* keyfiles.c - the files of keys: the text of one key, a private key's file, a file of peers. */
#include "common.h"

#include <stdio.h>
#include <sysexits.h>

#include "crypto.h"
#include "key_text.h"
#include "keys.h"
#include "limits.h"
#include "peers_file.h"

#define LIST_SIZE 24

static struct noise_pair own;

/* ---- base64 ---- */

/* What is taken is what would have been written: there is one text for each key. */
static void read_text(struct bytes text)
{
    uint8_t *copy = fuzz_copy(text), key[32];
    char again[KEY_TEXT_CHARS + 1];

    if (key_text_read(key, (struct bytes){copy, text.len})) {
        key_text_write(again, key);
        CHECK(text.len == KEY_TEXT_CHARS && memcmp(again, text.p, text.len) == 0);
    }
    free(copy);
}

/* ---- a private key ---- */

static void load_key(struct bytes text, unsigned mode)
{
    struct fuzz_file *file = fuzz_file(0);
    struct noise_pair pair;
    uint8_t key[32], public_key[32];
    int status;

    fuzz_file_set(file, text, mode);
    status = keys_load(&pair, file->path, &fuzz_log);
    if (status != EX_OK) {
        static const struct noise_pair none;
        CHECK(status == EX_CONFIG || status == EX_NOPERM || status == EX_NOINPUT);
        CHECK(memcmp(&pair, &none, sizeof none) == 0 && fuzz_logged().len > 0);
        return;
    }
    CHECK((mode & 077) == 0 && (text.len == KEY_TEXT_CHARS || text.len == KEY_TEXT_CHARS + 1));
    CHECK(key_text_read(key, (struct bytes){text.p, KEY_TEXT_CHARS}));
    CHECK(text.len == KEY_TEXT_CHARS || text.p[KEY_TEXT_CHARS] == '\n');
    CHECK(memcmp(key, pair.private_key, 32) == 0);
    crypto_x25519_public(public_key, key);
    CHECK(memcmp(public_key, pair.public_key, 32) == 0);
}

/* ---- peers ---- */

/* Of a table that was taken: sorted, each key and name once, nothing that the file does not say. */
static void check_peers(const struct peers *peers, struct bytes text)
{
    CHECK(peers->count > 0 && peers->count <= LIST_SIZE);
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *p = &peers->list[i];
        char key[KEY_TEXT_CHARS + 1];

        key_text_write(key, p->key);
        CHECK(memchr(p->name, 0, sizeof p->name) && p->name[0] != 0);
        CHECK(fuzz_contains(text, bytes_of(p->name)) && fuzz_contains(text, bytes_of(key)));
        CHECK(!crypto_x25519_low_order(p->key) && memcmp(p->key, own.public_key, 32) != 0);
        CHECK(!p->has_ss && p->session_id == 0);
        CHECK(peers_find(peers, p->key) == p);
        CHECK(i == 0 || memcmp(p[-1].key, p->key, 32) < 0);
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(peers->list[k].name, p->name) != 0);
    }
}

/* A psk, as the file has it, is in no log line. */
static void check_no_psk(struct bytes text)
{
    const struct bytes logged = fuzz_logged();

    for (size_t i = 0; i + KEY_TEXT_CHARS <= text.len; i++) {
        uint8_t key[32];
        const struct bytes part = {text.p + i, KEY_TEXT_CHARS};
        if (key_text_read(key, part))
            CHECK(!fuzz_contains(logged, part));
    }
}

static void load_peers(struct bytes text, unsigned mode, size_t size)
{
    struct fuzz_file *file = fuzz_file(0);
    struct peer *list = calloc(size > 0 ? size : 1, sizeof *list);
    struct peers peers;
    int status;

    fuzz_file_set(file, text, mode);
    status = peers_load(&peers, list, size, file->path, &own, &fuzz_log);
    if (status == EX_OK) {
        check_peers(&peers, text);
    } else {
        CHECK(status == EX_CONFIG && peers.count == 0 && fuzz_logged().len > 0);
        for (size_t i = 0; i < size * sizeof *list; i++)
            CHECK(((const uint8_t *)list)[i] == 0);
    }
    check_no_psk(text);
    free(list);
}

/* Lines of a peers file with good keys, which no mutation makes: a name, the number of a key, the
 * number of a psk. */
static void make_peers(struct rd *in, unsigned mode)
{
    static char text[4096];
    char key[KEY_TEXT_CHARS + 1];
    struct wr w = wr_over((uint8_t *)text, sizeof text);

    while (fuzz_more(in)) {
        const struct bytes name = fuzz_take(in, rd_u8(in) % 36);
        uint8_t number[32] = {rd_u8(in), 1};
        const uint8_t how = rd_u8(in);

        wr_put(&w, name.p, name.len);
        wr_u8(&w, how & 1 ? ' ' : '\t');
        if (how & 2)
            memcpy(number, own.public_key, 32);
        if (how & 4)
            number[1] = 0; /* 0 and 1: points of low order */
        key_text_write(key, number);
        wr_put(&w, key, KEY_TEXT_CHARS);
        if (how & 8) {
            number[2] = 1;
            key_text_write(key, number);
            wr_put(&w, " ", 1);
            wr_put(&w, key, KEY_TEXT_CHARS);
        }
        if (how & 16)
            wr_put(&w, " # c", 4);
        if (how & 32)
            wr_u8(&w, rd_u8(in));
        wr_u8(&w, '\n');
    }
    load_peers((struct bytes){(const uint8_t *)text, (size_t)(w.p - (uint8_t *)text)}, mode,
               LIST_SIZE);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    memset(own.private_key, 7, 32);
    crypto_x25519_public(own.public_key, own.private_key);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned modes[] = {0600, 0400, 0640, 0604, 0620, 0777, 0700, 0000};
    struct rd in = rd_over(data, size);
    const uint8_t how = rd_u8(&in);
    const unsigned mode = modes[how >> 5];

    fuzz_begin();
    switch (how & 7) {
    case 0:
        read_text(fuzz_take(&in, size));
        break;
    case 1:
        load_key(fuzz_take(&in, size), mode);
        break;
    case 2:
        make_peers(&in, mode);
        break;
    default:
        load_peers(fuzz_take(&in, size), mode, how & 8 ? 2 : LIST_SIZE);
        break;
    }
    fuzz_log_check();
    return 0;
}
