/* fmt.h - the small formatter that log lines and status are made with.
 *
 * musl's printf costs 16 KiB of a static binary; this knows what sts uses: %s %.*s %c %d %u %x with
 * the lengths l, ll and z, their widths padded with zeros or blanks (%02x, %-16s), and %%. Anything
 * else is our bug and prints as it stands. As in printf, %.*s stops at a zero byte. */
#ifndef STS_FMT_H
#define STS_FMT_H

#include <stdarg.h>

#include "bytes.h"

/* Marks the definition of a variadic function that takes no floating-point numbers: it need not
 * save the registers that those come in, which is most of its code. */
#if defined __x86_64__ || defined __aarch64__
#define FMT_NO_FLOATS __attribute__((target("general-regs-only")))
#else
#define FMT_NO_FLOATS
#endif

/* Writes the formatted text without a terminating zero. Text that does not fit is cut at the end of
 * the room, and `out` becomes bad. */
void fmt(struct wr *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fmt_v(struct wr *out, const char *format, va_list list) __attribute__((format(printf, 2, 0)));

/* Writes `ms` since 1970 as UTC: "2026-11-23", `separator`, "14:30:36.181". For years 1970..9999;
 * a time outside is written as the nearest end. */
void fmt_time(struct wr *out, int64_t ms, char separator);

/* Makes text harmless to a terminal, in place: each byte of a control character (C0, DEL, C1), and
 * each that is not part of well-formed UTF-8, becomes '?'. */
/*@ requires text: \valid(text + (0 .. len - 1)) && \initialized(text + (0 .. len - 1)); */
void fmt_tame(uint8_t *text, size_t len);

#endif
