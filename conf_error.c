/* conf_error.c - the messages of conf.c and conf_rules.c. */
#include "conf_private.h"
#include "fmt.h"

/* Of what a message quotes, so that the reason behind it always fits. */
#define FILE_SHOWN_BYTES 112
#define VALUE_SHOWN_BYTES 48
#define NAME_SHOWN_BYTES (sizeof "clean_session") /* the longest there is, and one more */

/* Whose value no message may show. */
static bool is_secret(enum conf_key key)
{
    return key == CONF_PASSWORD || key == CONF_PSK;
}

static void put_bytes(struct wr *out, struct bytes text)
{
    wr_put(out, text.p, text.len);
}

static void put_start(struct wr *out, struct bytes text, size_t max)
{
    bool cut = text.len > max;

    put_bytes(out, cut ? slice(text, 0, max) : text);
    fmt(out, "%s", cut ? "..." : "");
}

static void put_value(struct wr *out, struct bytes value)
{
    put_start(out, value, VALUE_SHOWN_BYTES);
}

/* Of a long path the end says more. */
static void put_file(struct wr *out, struct bytes name)
{
    bool cut = name.len > FILE_SHOWN_BYTES;

    fmt(out, "%s", cut ? "..." : "");
    put_bytes(out, cut ? slice(name, name.len - FILE_SHOWN_BYTES, name.len) : name);
    fmt(out, "%s", name.len > 0 ? ": " : "");
}

static void put_place(struct wr *out, const struct conf_entry *e)
{
    const char *alias = e->origin.alias ? e->origin.alias : "";

    switch (e->origin.layer) {
    case CONF_LAYER_DEFAULT:
        put_file(out, bytes_of(e->conf->name));
        return;
    case CONF_LAYER_FILE:
        put_file(out, bytes_of(e->conf->name));
        fmt(out, "line %u: %s%s", (unsigned)e->origin.line, alias, *alias ? ": " : "");
        return;
    case CONF_LAYER_OPTION:
        fmt(out, "-o%s%s", *alias ? " " : "", alias);
        if (*alias && !is_secret(e->key) && e->value.p) {
            fmt(out, "=");
            put_value(out, e->value);
        }
        fmt(out, ": ");
        return;
    }
}

static struct wr begin_error(const struct conf_entry *e)
{
    struct wr out = wr_over((uint8_t *)e->error->text, sizeof e->error->text - 1);

    put_place(&out, e);
    return out;
}

static int end_error(const struct conf_entry *e, struct wr *out)
{
    fmt_tame((uint8_t *)e->error->text, (size_t)(out->p - (uint8_t *)e->error->text));
    *out->p = 0;
    return -1;
}

/* An option's value stands before the colon already, and a secret is never shown. */
static void put_subject(struct wr *out, const struct conf_entry *e)
{
    if (e->origin.layer == CONF_LAYER_OPTION || is_secret(e->key)) {
        fmt(out, "the value ");
        return;
    }
    fmt(out, "\"");
    put_value(out, e->value);
    fmt(out, "\" ");
}

FMT_NO_FLOATS int conf_fail(const struct conf_entry *e, enum conf_subject subject,
                            const char *format, ...)
{
    struct wr out = begin_error(e);
    va_list args;

    if (subject == CONF_THE_VALUE)
        put_subject(&out, e);
    va_start(args, format);
    fmt_v(&out, format, args);
    va_end(args);
    return end_error(e, &out);
}

/* What stands before a '=' may be a secret too: base64 ends in one, and the other may have been
 * forgotten. So the first word alone is shown, and no more of it than a key can have. */
int conf_fail_unknown(const struct conf_entry *e, struct bytes name)
{
    static const char blanks[] = {' ', '\t', '\r'};
    struct wr out = begin_error(e);
    size_t len = 0;

    while (len < name.len && !memchr(blanks, name.p[len], sizeof blanks))
        len++;
    fmt(&out, "unknown key \"");
    put_start(&out, slice(name, 0, len), NAME_SHOWN_BYTES);
    fmt(&out, "\"");
    return end_error(e, &out);
}

int conf_fail_twice(const struct conf_entry *e, const char *alias, const struct conf_origin *first)
{
    bool other = first->alias != alias;
    const char *as = other ? " as " : "";
    const char *name = other ? first->alias : "";

    if (first->layer == CONF_LAYER_OPTION)
        return conf_fail(e, CONF_THE_KEY, "%s is given twice%s%s%s", alias, other ? ", first" : "",
                         as, name);
    return conf_fail(e, CONF_THE_KEY, "%s is given twice (first in line %u%s%s)", alias,
                     (unsigned)first->line, as, name);
}
