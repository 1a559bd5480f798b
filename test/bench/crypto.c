/* crypto.c - how fast the cryptography of sts is; script/bench holds it beside `openssl speed`.
 *
 *   crypto SECONDS
 *
 * The program's own objects, linked as the program is. Prints "x25519 N", operations a second, then
 * for each size of a message "chachapoly SIZE N", bytes a second. */
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crypto.h"
#include "fmt.h"

static const size_t sizes[] = {64, 1024, 16384}; /* openssl speed has these, too */

static uint8_t message[16384];

/* CPU time of this process: what else the machine does is not in it. */
static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void x25519(size_t size)
{
    static uint8_t scalar[32] = {8}, point[32] = {9};

    (void)size;
    /* The next point is this result, so that nothing can be left out. */
    if (crypto_x25519_shared(point, scalar, point) != 0)
        _exit(1);
}

static void seal(size_t size)
{
    static const uint8_t key[32] = {1}, nonce[12] = {2};
    uint8_t tag[16];

    crypto_aead_seal(message, size, tag, key, nonce, (struct bytes){NULL, 0});
}

/* Calls a second. */
static double rate(void (*call)(size_t), size_t size, double seconds)
{
    const double start = now_s();
    uint64_t count = 0;
    double spent;

    do {
        for (int i = 0; i < 16; i++)
            call(size);
        count += 16;
        spent = now_s() - start;
    } while (spent < seconds);
    return (double)count / spent;
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? (double)(argv[1][0] - '0') : 1;
    uint8_t text[256];
    struct wr out = wr_over(text, sizeof text);

    fmt(&out, "x25519 %llu\n", (unsigned long long)rate(x25519, 0, seconds));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        fmt(&out, "chachapoly %zu %llu\n", sizes[i],
            (unsigned long long)(rate(seal, sizes[i], seconds) * (double)sizes[i]));
    return write(STDOUT_FILENO, text, (size_t)(out.p - text)) < 0;
}
