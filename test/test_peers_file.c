/* test_peers_file.c - peers files: what is read, what is refused with which line. */
#include "scratch.h"

#include <sysexits.h>

#include "key_text.h"
#include "peers_file.h"

#define A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8="
#define B "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8="
#define C "CAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8="
#define OWN "DAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8="
#define LOW "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define PSK "8PHy8/T19vf4+fr7/P3+/wABAgMEBQYHCAkKCwwNDg8="
#define NAME_31 "0123456789012345678901234567890"
#define LINE_100 \
    "##################################################" \
    "##################################################"

static struct peer list[PEERS_MAX + 1];
static struct peers peers;
static struct noise_pair own;
static const struct peer no_peer;

static int load_file(const char *file, size_t size)
{
    int status;

    log_forget();
    memset(list, 0xee, sizeof list);
    assert_true(key_text_read(own.public_key, (struct bytes){(const uint8_t *)OWN, 44}));
    status = peers_load(&peers, list, size, file, &own, &test_log);
    if (status != 0) {
        assert_one_line();
        assert_int_equal(peers.count, 0);
        for (size_t i = 0; i < size; i++) /* nothing secret stays behind */
            assert_true(list[i].psk[0] == 0 || list[i].psk[0] == 0xee);
    }
    return status;
}

static int load_bytes(const char *text, size_t len)
{
    put_file("peers", text, len, 0600);
    return load_file("peers", PEERS_MAX);
}

static int load(const char *text)
{
    return load_bytes(text, strlen(text));
}

static const struct peer *find(const char *key_text)
{
    uint8_t key[32];

    assert_true(key_text_read(key, (struct bytes){(const uint8_t *)key_text, 44}));
    return peers_find(&peers, key);
}

static void a_file(void **state)
{
    static const uint8_t zero[32];
    uint8_t psk[32];

    (void)state;
    assert_int_equal(load("\xef\xbb\xbf# devices\r\n"
                          "\n"
                          " \t \r\n"
                          "gate#1 " C " # the gateway\r\n"
                          "\t" NAME_31 "\t\t" A "   " PSK "\t\r\n"
                          "  # gone: x\n"
                          "gr\xc3\xbc\xc3\x9f"
                          "e " B "#"),
                     EX_CONFIG);
    assert_logged("peers: line 7: the public key is not 32 bytes in base64");
    assert_int_equal(load("\xef\xbb\xbf# devices\r\n"
                          "\n"
                          " \t \r\n"
                          "gate#1 " C " # the gateway\r\n"
                          "\t" NAME_31 "\t\t" A "   " PSK "\t\r\n"
                          "  # gone: x\n"
                          "gr\xc3\xbc\xc3\x9f"
                          "e " B),
                     0);
    assert_string_equal(log_text(), "");
    assert_int_equal(peers.count, 3);
    assert_ptr_equal(peers.list, list);
    assert_string_equal(find(C)->name, "gate#1");
    assert_string_equal(find(A)->name, NAME_31);
    assert_string_equal(find(B)->name, "gr\xc3\xbc\xc3\x9f"
                                       "e");
    assert_true(key_text_read(psk, (struct bytes){(const uint8_t *)PSK, 44}));
    assert_memory_equal(find(A)->psk, psk, 32);
    assert_memory_equal(find(B)->psk, zero, 32);
    for (size_t i = 0; i < 3; i++)
        assert_true(list[i].session_id == 0 && !list[i].has_ss);
    assert_null(find(OWN));
}

static void refused(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "peers: there is no device in it"},
        {"# none\n\n", "peers: there is no device in it"},
        {"a", "peers: line 1: there is no public key, as in name public-key [psk]"},
        {"\na # " A, "peers: line 2: there is no public key, as in name public-key [psk]"},
        {A, "peers: line 1: the name is longer than 31 bytes"},
        {NAME_31 "1 " A, "peers: line 1: the name is longer than 31 bytes"},
        {"a\x01 " A, "peers: line 1: the name is not UTF-8, or holds a control character"},
        {"a\x7f " A, "peers: line 1: the name is not UTF-8, or holds a control character"},
        {"a\xc2\x9b " A, "peers: line 1: the name is not UTF-8, or holds a control character"},
        {"a\xff " A, "peers: line 1: the name is not UTF-8, or holds a control character"},
        {"\xef\xbb\xbf\xef\xbb " A,
         "peers: line 1: the name is not UTF-8, or holds a control character"},
        {"a " A "\nb x", "peers: line 2: the public key is not 32 bytes in base64"},
        {"a " A A, "peers: line 1: the public key is not 32 bytes in base64"},
        {"a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8",
         "peers: line 1: the public key is not 32 bytes in base64"},
        {"a " LOW, "peers: line 1: this is not a public key: a point of low order"},
        {"a " A "\nb " OWN "\n", "peers: line 2: this public key is our own"},
        {"a " A " x", "peers: line 1: the psk is not 32 bytes in base64"},
        {"a " A " secret" PSK, "peers: line 1: the psk is not 32 bytes in base64"},
        {"a " A " " PSK " b " B, "peers: line 1: there is more than name public-key [psk]"},
        {"b " A "\n\nc " B "\na " A "\n",
         "peers: line 4: the key of a is there twice (first in line 1)"},
        {"a " C "\nb " A "\na " B "\n",
         "peers: line 3: the name of a is there twice (first in line 1)"},
        {"a " A "\na " A "\n", "peers: line 2: the name of a is there twice (first in line 1)"},
        {"c " C "\na " A "\nb " A "\nd " A,
         "peers: line 3: the key of b is there twice (first in line 2)"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(load(cases[i].text), EX_CONFIG);
        assert_string_equal(log_text(), cases[i].message);
    }
    assert_int_equal(load_bytes("a\0b " A, 4 + 44), EX_CONFIG);
    assert_int_equal(load_bytes("a " A " \0", 2 + 44 + 2), EX_CONFIG);
    assert_int_equal(load_file("missing", 1), EX_NOINPUT);
    assert_logged("cannot read missing: No such file");
    assert_int_equal(load_file(".", 1), EX_NOINPUT);
    assert_logged("cannot read .: Is a directory");
}

/* Wherever the pieces that are read end, and at the limit of a line. */
static void long_lines(void **state)
{
    char text[4 * PEERS_LINE_MAX_BYTES];

    (void)state;
    for (int len = 0; len < 2 * PEERS_LINE_MAX_BYTES; len++) {
        int n = snprintf(text, sizeof text, "#%0*d\na " A " " PSK " #\nb " B, len, 0);
        bool good = 1 + (len > 0 ? len : 1) < PEERS_LINE_MAX_BYTES;

        assert_int_equal(load_bytes(text, (size_t)n), good ? 0 : EX_CONFIG);
        assert_string_equal(log_text(),
                            good ? "" : "peers: line 1: the line is longer than 511 bytes");
        assert_int_equal(peers.count, good ? 2 : 0);
    }
    (void)snprintf(text, sizeof text, "a " A "\n\n%0511d", 0);
    assert_int_equal(load(text), EX_CONFIG);
    assert_logged("peers: line 3: the name is longer");
    (void)snprintf(text, sizeof text, "a " A "\n\n%0512d", 0);
    assert_int_equal(load(text), EX_CONFIG);
    assert_logged("peers: line 3: the line is longer than 511 bytes");
}

static void every_prefix(void **state)
{
    static const char text[] = "a " A " " PSK "\r\n# x\nb " B "\n";

    (void)state;
    for (size_t len = 0; len < sizeof text - 1; len++) {
        bool good = load_bytes(text, len) == 0;

        assert_int_equal(good, (len == 2 + 44 || len == 2 + 44 + 1 ||
                                (len >= 2 + 44 + 1 + 44 && len < 2 + 44 + 1 + 44 + 2 + 4 + 1) ||
                                len == sizeof text - 2));
    }
}

static void readers_are_warned_of(void **state)
{
    static const struct {
        mode_t mode;
        const char *text;
        bool warns;
    } cases[] = {
        {0644, "a " A " " PSK, true},  {0640, "a " A " " PSK, true}, {0604, "a " A " " PSK, true},
        {0600, "a " A " " PSK, false}, {0644, "a " A, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        put_file("peers", cases[i].text, strlen(cases[i].text), cases[i].mode);
        assert_int_equal(load_file("peers", PEERS_MAX), 0);
        assert_string_equal(
            log_text(),
            cases[i].warns ? "peers holds a psk and can be read by others: chmod 600 peers" : "");
    }
}

/* ---- many ---- */

/* The key of device `i`: in an order that is not that of `i`, never the same twice. */
static void key_of(uint8_t key[32], uint32_t i)
{
    uint32_t mixed = i * UINT32_C(2654435761);

    memset(key, 0x5a, 32);
    for (int k = 0; k < 4; k++)
        key[k] = (uint8_t)(mixed >> (8 * k));
}

static void write_many(uint32_t count, uint32_t (*key_number)(uint32_t))
{
    FILE *file = fopen("many", "w");

    assert_non_null(file);
    for (uint32_t i = 0; i < count; i++) {
        char text[KEY_TEXT_CHARS + 1];
        uint8_t key[32];

        key_of(key, key_number(i));
        key_text_write(text, key);
        (void)fprintf(file, "device-%u %s %s\n", i, text, PSK);
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod("many", 0600), 0);
}

static uint32_t itself(uint32_t i)
{
    return i;
}

static uint32_t one_twice(uint32_t i)
{
    return i == 4000 ? 17 : i;
}

static void as_many_as_fit(void **state)
{
    static const uint32_t counts[] = {1, 2, 3, 4, 5, 100, 1000, PEERS_MAX - 1, PEERS_MAX};

    (void)state;
    for (size_t c = 0; c < COUNT(counts); c++) {
        write_many(counts[c], itself);
        assert_int_equal(load_file("many", PEERS_MAX), 0);
        assert_int_equal(peers.count, counts[c]);
        for (size_t i = 1; i < peers.count; i++)
            assert_true(memcmp(list[i - 1].key, list[i].key, 32) < 0);
        for (uint32_t i = 0; i < counts[c]; i++) {
            char name[32];
            uint8_t key[32];
            struct peer *peer;

            key_of(key, i);
            peer = peers_find(&peers, key);
            assert_non_null(peer);
            (void)snprintf(name, sizeof name, "device-%u", i);
            assert_string_equal(peer->name, name);
            assert_true(peer->psk[0] == 0xf0 && peer->psk[31] == 0x0f && peer->session_id == 0);
        }
        assert_int_equal(list[counts[c]].key[0], 0xee); /* the next place is untouched */
    }
    write_many(PEERS_MAX, one_twice);
    assert_int_equal(load_file("many", PEERS_MAX), EX_CONFIG);
    assert_string_equal(log_text(), "many: line 4001: the key of device-4000 is there twice "
                                    "(first in line 18)");
    for (size_t i = 0; i < PEERS_MAX; i++)
        assert_memory_equal(&list[i], &no_peer, sizeof no_peer);
    write_many(PEERS_MAX + 1, itself);
    assert_int_equal(load_file("many", PEERS_MAX), EX_CONFIG);
    assert_string_equal(log_text(), "many: line 4097: there are more devices than this build takes "
                                    "(PEERS_MAX)");
    assert_int_equal(list[PEERS_MAX].key[0], 0xee);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file),
        cmocka_unit_test(refused),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(every_prefix),
        cmocka_unit_test(readers_are_warned_of),
        cmocka_unit_test(as_many_as_fit),
    };

    return cmocka_run_group_tests_name("peers_file", tests, scratch_make, scratch_remove);
}
