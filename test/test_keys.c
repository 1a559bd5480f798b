/* test_keys.c - key files: made, read, refused; `wg pubkey` has the same opinion. */
#include "scratch.h"

#include <errno.h>
#include <sysexits.h>

#include "key_text.h"
#include "keys.h"

#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8="

static const uint8_t zero[sizeof(struct noise_pair)];

/* ---- calls that can be made to fail, or to be watched ---- */

static enum call { NOTHING, PWRITE, FDATASYNC, FSYNC, GETRANDOM } failing;
static unsigned folder_syncs, file_syncs;

ssize_t __real_pwrite(int fd, const void *from, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *from, size_t len, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
ssize_t __real_getrandom(void *to, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags);

ssize_t __wrap_pwrite(int fd, const void *from, size_t len, off_t offset)
{
    if (failing == PWRITE) {
        if (offset == 0)
            return __real_pwrite(fd, from, len / 2, offset);
        errno = ENOSPC;
        return -1;
    }
    return __real_pwrite(fd, from, len, offset);
}

int __wrap_fdatasync(int fd)
{
    file_syncs++;
    errno = EIO;
    return failing == FDATASYNC ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
    struct stat status;

    assert_int_equal(fstat(fd, &status), 0);
    folder_syncs += S_ISDIR(status.st_mode);
    errno = EIO;
    return failing == FSYNC ? -1 : __real_fsync(fd);
}

ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags)
{
    errno = ENOSYS;
    return failing == GETRANDOM ? -1 : __real_getrandom(to, len, flags);
}

/* ---- helpers ---- */

static int load(struct noise_pair *own, const char *file)
{
    int status;

    log_forget();
    memset(own, 0xee, sizeof *own);
    status = keys_load(own, file, &test_log);
    if (status == 0)
        assert_string_equal(log_text(), "");
    else
        assert_one_line();
    if (status != 0)
        assert_memory_equal(own, zero, sizeof *own);
    return status;
}

/* Standard output goes to the file "out" meanwhile; `printed` is what was written there. */
static int make(const char *file, char *printed, size_t size)
{
    int out = dup(STDOUT_FILENO);
    int fd = open("out", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int status;

    log_forget();
    assert_true(out >= 0 && fd >= 0);
    assert_int_equal(fflush(stdout), 0);
    assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
    status = keys_make(file, &test_log);
    assert_int_equal(dup2(out, STDOUT_FILENO), STDOUT_FILENO);
    close(out);
    close(fd);
    printed[get_file("out", printed, size - 1)] = 0;
    return status;
}

/* What `command` prints, without the newline. */
static const char *run(const char *command)
{
    static char text[256];
    FILE *pipe = popen(command, "r");
    size_t len;

    assert_non_null(pipe);
    len = fread(text, 1, sizeof text - 1, pipe);
    assert_int_equal(pclose(pipe), 0);
    if (len > 0 && text[len - 1] == '\n')
        len--;
    text[len] = 0;
    return text;
}

/* ---- reading ---- */

static void a_key_is_read(void **state)
{
    /* RFC 7748, 6.1, Alice. */
    static const uint8_t private_key[32] = {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d,
                                            0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
                                            0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a,
                                            0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a};
    static const uint8_t public_key[32] = {0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54,
                                           0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e, 0xf7, 0x5a,
                                           0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4,
                                           0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a};
    char text[KEY_TEXT_CHARS + 1];
    struct noise_pair own;

    (void)state;
    key_text_write(text, private_key);
    put_file("alice", text, KEY_TEXT_CHARS, 0600);
    assert_int_equal(load(&own, "alice"), 0);
    assert_memory_equal(own.private_key, private_key, 32);
    assert_memory_equal(own.public_key, public_key, 32);
    text[KEY_TEXT_CHARS] = '\n';
    put_file("alice", text, sizeof text, 0400);
    assert_int_equal(load(&own, "alice"), 0);
    assert_memory_equal(own.public_key, public_key, 32);
}

static void bad_content(void **state)
{
    static const struct {
        const char *text;
        int line;
    } cases[] = {
        {"", 1},
        {"\n", 1},
        {"\n" KEY, 1},
        {" " KEY, 1},
        {KEY " ", 1},
        {KEY "\r\n", 1},
        {KEY KEY, 1},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8", 1},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl9=\n", 1},
        {"# a key\n" KEY "\n", 1},
        {"[Interface]\nPrivateKey = " KEY "\n", 1},
        {KEY "\n\n", 2},
        {KEY "\n ", 2},
        {KEY "\n" KEY "\n", 2},
    };
    struct noise_pair own;
    char expected[64];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        put_file("bad", cases[i].text, strlen(cases[i].text), 0600);
        assert_int_equal(load(&own, "bad"), EX_CONFIG);
        (void)snprintf(expected, sizeof expected, "bad: line %d: ", cases[i].line);
        assert_ptr_equal(strstr(log_text(), expected), log_text());
        assert_null(strstr(log_text(), "AAEC"));
    }
    put_file("bad", KEY "\n\0", KEY_TEXT_CHARS + 2, 0600);
    assert_int_equal(load(&own, "bad"), EX_CONFIG);
    put_file("bad", KEY "\0", KEY_TEXT_CHARS + 1, 0600);
    assert_int_equal(load(&own, "bad"), EX_CONFIG);
}

static void open_to_others(void **state)
{
    struct noise_pair own;

    (void)state;
    for (mode_t bit = 1; bit <= 0070; bit = (mode_t)(bit << 1)) {
        put_file("open", KEY "\n", KEY_TEXT_CHARS + 1, 0600 | bit);
        assert_int_equal(load(&own, "open"), EX_NOPERM);
        assert_logged("open holds a private key and is open to others: chmod 600 open");
    }
    put_file("open", KEY "\n", KEY_TEXT_CHARS + 1, 0600);
    assert_int_equal(load(&own, "open"), 0);
}

static void unreadable(void **state)
{
    struct noise_pair own;

    (void)state;
    assert_int_equal(load(&own, "missing"), EX_NOINPUT);
    assert_logged("cannot read missing: No such file");
    assert_int_equal(load(&own, "."), EX_NOINPUT);
    assert_logged("cannot read .: Is a directory");
    assert_int_equal(load(&own, "log/x"), EX_NOINPUT);
}

static void through_a_pipe(void **state)
{
    static const char text[] = KEY "\n";
    struct noise_pair own;
    char name[32];
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, 20), 20);
    assert_int_equal(write(ends[1], &text[20], sizeof text - 1 - 20), sizeof text - 1 - 20);
    close(ends[1]);
    (void)snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    assert_int_equal(load(&own, name), 0);
    close(ends[0]);
}

/* ---- making ---- */

static void a_key_is_made(void **state)
{
    static const mode_t masks[] = {0, 022, 077, 0277, 0777};
    char printed[128], text[128], before[128];
    struct noise_pair own;

    (void)state;
    for (size_t i = 0; i < COUNT(masks); i++) {
        mode_t mask = umask(masks[i]);
        int status;

        unlink("new");
        unlink("out");
        put_file("out", "", 0, 0600);
        folder_syncs = file_syncs = 0;
        status = make("new", printed, sizeof printed);
        umask(mask);
        assert_int_equal(status, 0);
        assert_string_equal(log_text(), "");
        assert_true(folder_syncs == 1 && file_syncs == 1);
        assert_int_equal(mode_of("new"), 0600);
        assert_int_equal(get_file("new", text, sizeof text), KEY_TEXT_CHARS + 1);
        assert_int_equal(text[KEY_TEXT_CHARS], '\n');
        assert_true(i == 0 || memcmp(text, before, KEY_TEXT_CHARS) != 0);
        memcpy(before, text, KEY_TEXT_CHARS);
        assert_int_equal(load(&own, "new"), 0);
        assert_int_equal(own.private_key[0] & 7, 0);
        assert_int_equal(own.private_key[31] & 0xc0, 0x40);
        key_text_write(text, own.public_key);
        assert_int_equal(strlen(printed), KEY_TEXT_CHARS + 1);
        assert_memory_equal(printed, text, KEY_TEXT_CHARS);
        assert_int_equal(printed[KEY_TEXT_CHARS], '\n');
    }
}

static void a_key_is_never_overwritten(void **state)
{
    static const char *const contents[] = {KEY "\n", KEY, "", "something else\n"};
    char printed[128], text[128];

    (void)state;
    for (size_t i = 0; i < COUNT(contents); i++) {
        size_t len = strlen(contents[i]);

        put_file("old", contents[i], len, 0600);
        assert_int_equal(make("old", printed, sizeof printed), i < 2 ? 0 : EX_CONFIG);
        assert_int_equal(strlen(printed), i < 2 ? KEY_TEXT_CHARS + 1 : 0);
        assert_int_equal(get_file("old", text, sizeof text), len);
        assert_memory_equal(text, contents[i], len);
    }
    put_file("old", KEY, KEY_TEXT_CHARS, 0644);
    assert_int_equal(make("old", printed, sizeof printed), EX_NOPERM);
    assert_string_equal(printed, "");
    assert_int_equal(mode_of("old"), 0644);
    /* A link that leads nowhere is not followed to make the file there. */
    assert_int_equal(symlink("nowhere", "link"), 0);
    assert_int_equal(make("link", printed, sizeof printed), EX_NOINPUT);
    assert_int_not_equal(access("nowhere", F_OK), 0);
}

static void a_key_that_cannot_be_finished(void **state)
{
    static const struct {
        enum call failing;
        int status;
    } cases[] = {
        {PWRITE, EX_IOERR}, {FDATASYNC, EX_IOERR}, {FSYNC, EX_IOERR}, {GETRANDOM, EX_OSERR}};
    char printed[128];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int status;

        failing = cases[i].failing;
        status = make("half", printed, sizeof printed);
        failing = NOTHING;
        assert_int_equal(status, cases[i].status);
        assert_one_line();
        assert_string_equal(printed, "");
        assert_int_not_equal(access("half", F_OK), 0);
    }
    assert_int_equal(make("no/such/folder", printed, sizeof printed), EX_CANTCREAT);
    assert_logged("cannot make no/such/folder: No such file");
}

static void standard_output_is_full(void **state)
{
    int out = dup(STDOUT_FILENO), fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    int status;

    (void)state;
    assert_true(out >= 0 && fd >= 0);
    log_forget();
    unlink("printed");
    assert_int_equal(fflush(stdout), 0);
    assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
    status = keys_make("printed", &test_log);
    assert_int_equal(dup2(out, STDOUT_FILENO), STDOUT_FILENO);
    close(out);
    close(fd);
    assert_int_equal(status, EX_IOERR);
    assert_logged("cannot write to standard output: No space left");
    assert_int_equal(access("printed", F_OK), 0); /* the key is good, and prints another time */
}

/* ---- WireGuard ---- */

static void wireguard_agrees(void **state)
{
    char printed[128];

    (void)state;
    for (int i = 0; i < 8; i++) {
        unlink("wg");
        assert_int_equal(make("wg", printed, sizeof printed), 0);
        printed[KEY_TEXT_CHARS] = 0;
        assert_string_equal(run("wg pubkey <wg"), printed);
        unlink("wg");
        (void)run("umask 077; wg genkey >wg");
        assert_int_equal(make("wg", printed, sizeof printed), 0);
        printed[KEY_TEXT_CHARS] = 0;
        assert_string_equal(run("wg pubkey <wg"), printed);
    }
    /* A private key that nobody clamped. */
    put_file("wg", KEY, KEY_TEXT_CHARS, 0600);
    assert_int_equal(make("wg", printed, sizeof printed), 0);
    printed[KEY_TEXT_CHARS] = 0;
    assert_string_equal(run("wg pubkey <wg"), printed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_read),
        cmocka_unit_test(bad_content),
        cmocka_unit_test(open_to_others),
        cmocka_unit_test(unreadable),
        cmocka_unit_test(through_a_pipe),
        cmocka_unit_test(a_key_is_made),
        cmocka_unit_test(a_key_is_never_overwritten),
        cmocka_unit_test(a_key_that_cannot_be_finished),
        cmocka_unit_test(standard_output_is_full),
        cmocka_unit_test(wireguard_agrees),
    };

    return cmocka_run_group_tests_name("keys", tests, scratch_make, scratch_remove);
}
