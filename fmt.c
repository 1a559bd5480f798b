/* fmt.c - the small formatter. */
#include "fmt.h"

#include <assert.h>

#define MS_PER_DAY 86400000
#define MS_LAST 253402300799999 /* 9999-12-31 23:59:59.999 */
#define DIGITS_MAX 24           /* the 20 of the largest uint64_t, a sign, some zeros */

/* A conversion: what stands between '%' and its letter. */
struct spec {
    bool left;  /* '-' */
    bool zeros; /* '0' */
    size_t width;
    size_t precision;
    bool wide; /* the number has 64 bits */
};

/* A va_list may be an array, which decays when it is handed on; in a struct it does not. */
struct args {
    va_list list;
};

/* One reader for all numbers: with the sizes asserted below, types of one width are handed over
 * alike on every machine. Not inlined, as va_arg is the longest code in this file. */
__attribute__((noinline)) static int64_t take(struct args *args, bool wide)
{
    return wide ? va_arg(args->list, long long) : va_arg(args->list, int);
}

static_assert(sizeof(int) == 4 && sizeof(long long) == 8, "what `wide` tells apart");
static_assert(sizeof(size_t) == sizeof(long), "%z is read as %l is");

static void put(struct wr *out, const void *text, size_t len)
{
    size_t room = wr_room(out);

    wr_put(out, text, len < room ? len : room);
    if (len > room)
        out->bad = true;
}

static void put_padded(struct wr *out, const struct spec *spec, const char *text, size_t len)
{
    size_t fill = spec->width > len ? spec->width - len : 0;

    for (; fill > 0 && !spec->left; fill--)
        put(out, " ", 1);
    put(out, text, len);
    for (; fill > 0; fill--)
        put(out, " ", 1);
}

static void put_number(struct wr *out, const struct spec *spec, bool minus, uint64_t value,
                       unsigned base)
{
    char digits[DIGITS_MAX];
    size_t len = 0;
    size_t least = spec->zeros && spec->width < sizeof digits ? spec->width : 0;

    do {
        digits[sizeof digits - ++len] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0 || len + minus < least);
    if (minus)
        digits[sizeof digits - ++len] = '-';
    put_padded(out, spec, digits + sizeof digits - len, len);
}

static void put_string(struct wr *out, const struct spec *spec, const char *text)
{
    size_t len = 0;

    if (text == NULL)
        text = "(null)";
    while (len < spec->precision && text[len])
        len++;
    put_padded(out, spec, text, len);
}

static void put_integer(struct wr *out, const struct spec *spec, char letter, int64_t value)
{
    bool minus = letter == 'd' && value < 0;
    uint64_t magnitude = minus ? 0 - (uint64_t)value : (uint64_t)value;

    if (!spec->wide)
        magnitude = (uint32_t)magnitude; /* %u and %x: the sign was not one */
    put_number(out, spec, minus, magnitude, letter == 'x' ? 16 : 10);
}

/* Reads a conversion up to its letter, and returns where that is. */
static const char *read_spec(struct spec *spec, const char *at, struct args *args)
{
    *spec = (struct spec){.precision = SIZE_MAX};
    if (*at == '-') {
        spec->left = true;
        at++;
    }
    spec->zeros = *at == '0';
    for (; *at >= '0' && *at <= '9'; at++)
        spec->width = spec->width * 10 + (size_t)(*at - '0');
    if (at[0] == '.' && at[1] == '*') {
        spec->precision = (size_t)take(args, false);
        at += 2;
    }
    if (at[0] == 'l' && at[1] == 'l') {
        spec->wide = true;
        at += 2;
    } else if (*at == 'l' || *at == 'z') {
        spec->wide = sizeof(long) == 8;
        at++;
    }
    return at;
}

/* Writes the conversion whose letter is `letter`; false: there is no such. */
static bool put_conversion(struct wr *out, const struct spec *spec, char letter, struct args *args)
{
    char c;

    switch (letter) {
    case 's':
        put_string(out, spec, va_arg(args->list, const char *));
        return true;
    case 'd':
    case 'u':
    case 'x':
        put_integer(out, spec, letter, take(args, spec->wide));
        return true;
    case 'c':
        c = (char)take(args, false);
        put_padded(out, spec, &c, 1);
        return true;
    case '%':
        put(out, "%", 1);
        return true;
    default:
        return false;
    }
}

void fmt_v(struct wr *out, const char *format, va_list list)
{
    struct args args;
    struct spec spec;

    va_copy(args.list, list);
    while (*format) {
        const char *letter = *format == '%' ? read_spec(&spec, format + 1, &args) : format;

        if (*format == '%' && put_conversion(out, &spec, *letter, &args))
            format = letter + 1;
        else
            put(out, format++, 1);
    }
    va_end(args.list);
}

FMT_NO_FLOATS void fmt(struct wr *out, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fmt_v(out, format, args);
    va_end(args);
}

void fmt_time(struct wr *out, int64_t ms, char separator)
{
    int64_t clamped = ms < 0 ? 0 : ms > MS_LAST ? MS_LAST : ms;
    uint32_t in_day = (uint32_t)(clamped % MS_PER_DAY);
    /* Days since 0000-03-01: a year that starts in March has its leap day at the end. */
    uint32_t days = (uint32_t)(clamped / MS_PER_DAY) + 719468;
    uint32_t century, year, month;

    century = (4 * days + 3) / 146097; /* days in four centuries */
    days -= 146097 * century / 4;
    year = (4 * days + 3) / 1461; /* days in four years */
    days -= 1461 * year / 4;
    month = (5 * days + 2) / 153; /* days in five months, from March on */
    days -= (153 * month + 2) / 5;
    year += 100 * century + (month >= 10);
    month = month < 10 ? month + 3 : month - 9;

    fmt(out, "%04u-%02u-%02u%c%02u:%02u:%02u.%03u", (unsigned)year, (unsigned)month,
        (unsigned)days + 1, separator, (unsigned)(in_day / 3600000),
        (unsigned)(in_day / 60000 % 60), (unsigned)(in_day / 1000 % 60), (unsigned)(in_day % 1000));
}

/* The code point at `text` and how many bytes it takes; a byte that is not part of well-formed
 * UTF-8 is taken alone, as a control character. */
static uint32_t code_point(const uint8_t *text, size_t left, size_t *len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = text[0];
    size_t n = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t code = n < 2 ? lead : lead & (0x7fu >> n);

    *len = 1;
    if (n == 0 || n > left || lead >= 0xf8)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3fu);
    }
    if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *len = n;
    return code;
}

void fmt_tame(uint8_t *text, size_t len)
{
    size_t n;

    for (size_t at = 0; at < len; at += n) {
        uint32_t code = code_point(text + at, len - at, &n);

        if (code < 0x20 || (code >= 0x7f && code <= 0x9f))
            memset(text + at, '?', n);
    }
}
