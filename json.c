/* json.c - see json.h. */
#include "json.h"

#include "crypto.h"

/* The longest that one byte becomes: "\u001f". */
#define ESCAPE_MAX 6

/* The letter behind the backslash for a byte that has one; 0: it has none. */
static char short_escape(uint8_t byte)
{
    switch (byte) {
    case '"':
    case '\\':
        return (char)byte;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static void put_byte(struct wr *out, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    const char letter = short_escape(byte);

    if (letter) {
        wr_u8(out, '\\');
        wr_u8(out, (uint8_t)letter);
    } else if (byte < 0x20 || byte == 0x7f) {
        wr_put(out, "\\u00", 4);
        wr_u8(out, (uint8_t)digits[byte >> 4]);
        wr_u8(out, (uint8_t)digits[byte & 15]);
    } else {
        wr_u8(out, byte);
    }
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Whole groups of three bytes only, but at the end. */
static size_t put_base64(struct wr *out, struct bytes from)
{
    const size_t groups = smaller(wr_room(out) / 4, (from.len + 2) / 3);
    const size_t taken = smaller(groups * 3, from.len);
    uint8_t *to = wr_claim(out, groups * 4);

    if (to)
        crypto_base64((char *)to, from.p, taken);
    return taken;
}

static size_t put_raw(struct wr *out, struct bytes from)
{
    const size_t taken = smaller(wr_room(out), from.len);

    wr_put(out, from.p, taken);
    return taken;
}

static size_t put_string(struct wr *out, struct bytes from)
{
    size_t taken = 0;

    while (taken < from.len && wr_room(out) >= ESCAPE_MAX)
        put_byte(out, from.p[taken++]);
    return taken;
}

bool json_put(struct wr *out, enum json_form form, struct bytes from, size_t *offset)
{
    if (*offset == from.len)
        return true;
    const struct bytes rest = {from.p + *offset, from.len - *offset};

    switch (form) {
    case JSON_RAW:
        *offset += put_raw(out, rest);
        break;
    case JSON_STRING:
        *offset += put_string(out, rest);
        break;
    case JSON_BASE64:
        *offset += put_base64(out, rest);
        break;
    }
    return *offset == from.len;
}
