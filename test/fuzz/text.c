/* text.c - bytes that become text: JSON, times, what is shown on a terminal, log lines. */
#include "common.h"

#include <stdio.h>

#include "fmt.h"
#include "json.h"
#include "limits.h"

/* ---- JSON ---- */

static int hex(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 8259, section 7: the byte that is meant by what stands in a string, one or six bytes. */
static uint8_t unescape(struct rd *r)
{
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    const uint8_t first = rd_u8(r);

    CHECK(first >= 0x20 && first != '"' && first != 0x7f);
    if (first != '\\')
        return first;
    const uint8_t letter = rd_u8(r);
    const char *at = letter ? strchr(letters, letter) : NULL;
    if (at)
        return (uint8_t)bytes[at - letters];
    CHECK(letter == 'u' && rd_u8(r) == '0' && rd_u8(r) == '0');
    const int high = hex(rd_u8(r)), low = hex(rd_u8(r));
    CHECK(high >= 0 && low >= 0);
    return (uint8_t)(high << 4 | low);
}

static uint8_t value_of(uint8_t c)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(base64, c) : NULL;

    CHECK(at);
    return (uint8_t)(at - base64);
}

static void check_base64(struct bytes text, struct bytes want)
{
    CHECK(text.len == (want.len + 2) / 3 * 4);
    for (size_t i = 0; i < want.len; i++) {
        const uint8_t *group = text.p + i / 3 * 4;
        const uint8_t left = value_of(group[i % 3]), right = value_of(group[i % 3 + 1]);
        CHECK((uint8_t)(left << (2 + 2 * (i % 3)) | right >> (4 - 2 * (i % 3))) == want.p[i]);
    }
    for (size_t i = text.len - (3 - want.len % 3) % 3; i < text.len; i++)
        CHECK(text.p[i] == '=');
}

static void check_json(enum json_form form, struct bytes text, struct bytes want)
{
    struct rd r = rd_over(text.p, text.len);

    switch (form) {
    case JSON_RAW:
        CHECK(bytes_equal(text, want));
        break;
    case JSON_STRING:
        for (size_t i = 0; i < want.len; i++)
            CHECK(unescape(&r) == want.p[i]);
        CHECK(rd_end(&r));
        CHECK(!fuzz_utf8(want) || fuzz_utf8(text));
        break;
    case JSON_BASE64:
        check_base64(text, want);
        break;
    }
}

/* Piece by piece, in whatever room there is. */
static void put_json(struct rd *in)
{
    static uint8_t whole[8 * 4096];
    const enum json_form form = (enum json_form)(rd_u8(in) % 3);
    const struct bytes rooms = fuzz_take(in, rd_u8(in) % 32);
    const struct bytes from = fuzz_take(in, 4096);
    struct wr out = wr_over(whole, sizeof whole);
    size_t offset = 0, stuck = 0;
    bool done = false;

    for (size_t i = 0; !done; i++) {
        const size_t room = i < rooms.len ? rooms.p[i] % 64 : 8 + i % 50, before = offset;
        uint8_t *piece = malloc(room > 0 ? room : 1);
        struct wr w = wr_over(piece, room);

        done = json_put(&w, form, from, &offset);
        CHECK(!w.bad && offset >= before && offset <= from.len && done == (offset == from.len));
        wr_put(&out, piece, (size_t)(w.p - piece));
        free(piece);
        stuck = offset > before || room < 8 ? 0 : stuck + 1;
        CHECK(stuck == 0 || done);
    }
    CHECK(!out.bad);
    check_json(form, (struct bytes){whole, (size_t)(out.p - whole)}, from);
}

/* ---- terminals ---- */

static void tame(struct rd *in)
{
    const struct bytes from = fuzz_take(in, 4096);
    uint8_t *text = fuzz_copy(from), *again;

    fmt_tame(text, from.len);
    for (size_t i = 0; i < from.len; i++)
        CHECK(text[i] == from.p[i] || text[i] == '?');
    /* Well formed now, without control characters, and what was so before is as it was. */
    CHECK(fuzz_utf8((struct bytes){text, from.len}));
    for (size_t i = 0; i < from.len; i++)
        CHECK(text[i] >= 0x20 && text[i] != 0x7f &&
              !(text[i] == 0xc2 && text[i + 1] >= 0x80 && text[i + 1] < 0xa0));
    again = fuzz_copy((struct bytes){text, from.len});
    fmt_tame(again, from.len);
    CHECK(memcmp(text, again, from.len) == 0);
    free(again);
    free(text);
}

static void log_it(struct rd *in)
{
    const uint8_t how = rd_u8(in);
    const struct bytes first = fuzz_take(in, fuzz_size(in, 1000));
    char *text = calloc(first.len + 1, 1);
    const struct bytes rest = fuzz_take(in, 1000);
    char *more = calloc(rest.len + 1, 1);

    if (first.len > 0)
        memcpy(text, first.p, first.len);
    if (rest.len > 0)
        memcpy(more, rest.p, rest.len);
    switch (how & 3) {
    case 0:
        log_error(&fuzz_log, "%s: line %llu: %s", text, (unsigned long long)first.len, more);
        break;
    case 1:
        log_warn(&fuzz_log, "%.*s%s", (int)(how >> 2), text, more);
        break;
    case 2:
        log_info(&fuzz_log, "%-16s|%c|%02x", text, how, how);
        break;
    default:
        log_debug(&fuzz_log, "%s", more);
        break;
    }
    CHECK(fuzz_logged().len > 0);
    fuzz_log_check();
    free(more);
    free(text);
}

/* As printf does. */
static void format(struct rd *in)
{
    const uint64_t value = rd_be64(in);
    const size_t room = rd_u8(in);
    const struct bytes from = fuzz_take(in, 200);
    char text[201] = {0}, want[1024];
    uint8_t *block = malloc(room > 0 ? room : 1);
    struct wr out = wr_over(block, room);

    if (from.len > 0)
        memcpy(text, from.p, from.len);
    const int len = snprintf(want, sizeof want, "%s %.*s %c %d %u %x %llu %5u %02x %-16s|%zu%%",
                             text, 7, text, (char)value, (int)value, (unsigned)value,
                             (unsigned)value, (unsigned long long)value, (unsigned)(value & 0xfff),
                             (unsigned)(value & 0xff), text, (size_t)value);
    fmt(&out, "%s %.*s %c %d %u %x %llu %5u %02x %-16s|%zu%%", text, 7, text, (char)value,
        (int)value, (unsigned)value, (unsigned)value, (unsigned long long)value,
        (unsigned)(value & 0xfff), (unsigned)(value & 0xff), text, (size_t)value);
    CHECK(len >= 0 && out.bad == ((size_t)len > room));
    CHECK((size_t)(out.p - block) == ((size_t)len < room ? (size_t)len : room));
    CHECK(memcmp(block, want, (size_t)(out.p - block)) == 0);
    free(block);
}

static void show_time(struct rd *in)
{
    const int64_t ms = (int64_t)rd_be64(in);
    char text[24] = {0};
    struct wr out = wr_over((uint8_t *)text, sizeof text - 1);
    int year, month, day, hour, minute, second, milli, used = 0;

    fmt_time(&out, ms, 'T');
    CHECK(!out.bad && wr_room(&out) == 0);
    CHECK(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3d%n", &year, &month, &day, &hour, &minute,
                 &second, &milli, &used) == 7 &&
          used == 23);
    CHECK(year >= 1970 && month >= 1 && month <= 12 && day >= 1 && day <= 31 && hour < 24 &&
          minute < 60 && second < 60);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rd in = rd_over(data, size);

    fuzz_begin();
    switch (rd_u8(&in) % 8) {
    case 0:
    case 1:
    case 2:
        put_json(&in);
        break;
    case 3:
        tame(&in);
        break;
    case 4:
        format(&in);
        break;
    case 5:
        show_time(&in);
        break;
    default:
        log_it(&in);
        break;
    }
    return 0;
}
