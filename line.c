/* line.c - the line that is being typed. */
#include "line.h"

#include <assert.h>

#include "fmt.h"

#define CTRL(letter) ((letter)&0x1f)
#define ESC 0x1b
#define DEL 0x7f
#define COLUMNS_WHERE_UNKNOWN 80

/* ---- characters ---- */

static bool is_continuation(char c)
{
    return ((uint8_t)c & 0xc0) == 0x80;
}

/* Where the character before `at` begins; `text` is well-formed UTF-8. */
static size_t before(const char *text, size_t at)
{
    while (at > 0 && is_continuation(text[--at]))
        ;
    return at;
}

/* Where the character behind the one at `at` begins. */
static size_t behind(const struct line *line, size_t at)
{
    if (at < line->len)
        at++;
    while (at < line->len && is_continuation(line->text[at]))
        at++;
    return at;
}

static uint32_t code_point(const char *text)
{
    uint8_t lead = (uint8_t)text[0];
    uint32_t code = lead < 0x80   ? lead
                    : lead < 0xe0 ? lead & 0x1f
                    : lead < 0xf0 ? lead & 0xf
                                  : lead & 7;

    for (size_t i = 1; is_continuation(text[i]); i++)
        code = code << 6 | ((uint8_t)text[i] & 0x3f);
    return code;
}

/* Columns that a character takes: 0 for the usual combining marks, 2 for the wide ones of East Asia
 * and for emoji. A mistake here costs a crooked line on the screen and nothing else. */
static size_t columns_of(const char *text)
{
    static const struct {
        uint32_t from;
        uint32_t to : 24, columns : 8;
    } ranges[] = {
        {0x300, 0x36f, 0},   {0x1100, 0x115f, 2}, {0x200b, 0x200f, 0},   {0x2e80, 0xa4cf, 2},
        {0xac00, 0xd7a3, 2}, {0xf900, 0xfaff, 2}, {0xfe00, 0xfe0f, 0},   {0xfe30, 0xfe6f, 2},
        {0xff00, 0xff60, 2}, {0xffe0, 0xffe6, 2}, {0x1f300, 0x1faff, 2}, {0x20000, 0x3fffd, 2},
    };
    uint32_t code = code_point(text);

    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (code >= ranges[i].from && code <= ranges[i].to)
            return ranges[i].columns;
    }
    return 1;
}

static size_t columns_between(const struct line *line, size_t from, size_t to)
{
    size_t columns = 0;

    for (; from < to; from = behind(line, from))
        columns += columns_of(line->text + from);
    return columns;
}

/* ---- changes ---- */

static void erase(struct line *line, size_t from, size_t to)
{
    memmove(line->text + from, line->text + to, line->len - to);
    line->len -= to - from;
    line->text[line->len] = '\0';
    line->cursor = from;
}

/* What does not fit is not taken: the user sees that nothing appears. */
static void insert(struct line *line, const uint8_t *bytes, size_t len)
{
    if (len > SHELL_LINE_MAX_BYTES - line->len)
        return;
    memmove(line->text + line->cursor + len, line->text + line->cursor, line->len - line->cursor);
    memcpy(line->text + line->cursor, bytes, len);
    line->len += len;
    line->cursor += len;
    line->text[line->len] = '\0';
}

static size_t word_begin(const struct line *line)
{
    size_t at = line->cursor;

    while (at > 0 && line->text[at - 1] == ' ')
        at--;
    while (at > 0 && line->text[at - 1] != ' ')
        at--;
    return at;
}

static void set_text(struct line *line, const char *text)
{
    line->len = strlen(text);
    memcpy(line->text, text, line->len + 1);
    line->cursor = line->len;
    line->first = 0;
}

void line_go_end(struct line *line)
{
    line->cursor = line->len;
}

/* ---- history ---- */

static void forget_oldest(struct line *line)
{
    size_t size = strlen(line->history) + 1;

    memmove(line->history, line->history + size, line->history_len - size);
    line->history_len -= size;
    line->history_count--;
}

static const char *history_at(const struct line *line, size_t back)
{
    const char *at = line->history;

    for (size_t i = line->history_count; i > back; i--)
        at += strlen(at) + 1;
    return at;
}

static_assert(SHELL_HISTORY_BYTES > SHELL_LINE_MAX_BYTES, "the longest line fits");

static void remember_text(struct line *line)
{
    if (line->history_count > 0 && strcmp(history_at(line, 1), line->text) == 0)
        return;
    while (line->history_count == SHELL_HISTORY_LINES ||
           line->len + 1 > SHELL_HISTORY_BYTES - line->history_len)
        forget_oldest(line);
    memcpy(line->history + line->history_len, line->text, line->len + 1);
    line->history_len += line->len + 1;
    line->history_count++;
}

static void go_back(struct line *line)
{
    if (line->back == line->history_count)
        return;
    if (line->back == 0)
        memcpy(line->stash, line->text, line->len + 1);
    set_text(line, history_at(line, ++line->back));
}

static void go_forth(struct line *line)
{
    if (line->back == 0)
        return;
    set_text(line, --line->back == 0 ? line->stash : history_at(line, line->back));
}

/* ---- keys ---- */

static enum line_event take_control(struct line *line, uint8_t byte)
{
    switch (byte) {
    case CTRL('A'):
        line->cursor = 0;
        break;
    case CTRL('C'):
        return LINE_EV_INTERRUPT;
    case CTRL('D'):
        return line->len == 0 ? LINE_EV_END : LINE_EV_NONE;
    case CTRL('E'):
        line_go_end(line);
        break;
    case CTRL('H'):
    case DEL:
        erase(line, before(line->text, line->cursor), line->cursor);
        break;
    case '\r':
    case '\n':
        return LINE_EV_DONE;
    case CTRL('K'):
        erase(line, line->cursor, line->len);
        break;
    case CTRL('L'):
        line->clear = true;
        break;
    case CTRL('U'):
        erase(line, 0, line->cursor);
        break;
    case CTRL('W'):
        erase(line, word_begin(line), line->cursor);
        break;
    case ESC:
        line->escape = LINE_ESC;
        break;
    default:
        break;
    }
    return LINE_EV_NONE;
}

/* The keys whose sequence ends with a letter: ESC [ A and ESC O A are both "up". */
static void take_key(struct line *line, uint8_t letter)
{
    switch (letter) {
    case 'A':
        go_back(line);
        break;
    case 'B':
        go_forth(line);
        break;
    case 'C':
        line->cursor = behind(line, line->cursor);
        break;
    case 'D':
        line->cursor = before(line->text, line->cursor);
        break;
    case 'F':
        line_go_end(line);
        break;
    case 'H':
        line->cursor = 0;
        break;
    default:
        break;
    }
}

/* The keys whose sequence is ESC [ number ~. */
static void take_numbered_key(struct line *line)
{
    switch (line->parameter) {
    case 1:
    case 7:
        line->cursor = 0;
        break;
    case 3:
        erase(line, line->cursor, behind(line, line->cursor));
        break;
    case 4:
    case 8:
        line_go_end(line);
        break;
    default:
        break;
    }
}

/* ECMA-48: ESC [, bytes 0x20..0x3f, and one of 0x40..0x7e, which ends it. */
static void take_csi(struct line *line, uint8_t byte)
{
    if (byte >= 0x20 && byte < 0x40) {
        if (byte < '0' || byte > '9')
            line->parameter_over = true;
        else if (!line->parameter_over && line->parameter < 100)
            line->parameter = line->parameter * 10 + (unsigned)(byte - '0');
        return;
    }
    line->escape = byte == '[' ? LINE_FUNCTION_KEY : LINE_GROUND;
    if (byte == '~')
        take_numbered_key(line);
    else
        take_key(line, byte);
}

static void take_escape(struct line *line, uint8_t byte)
{
    switch (line->escape) {
    case LINE_GROUND:
        break;
    case LINE_ESC:
        line->parameter = 0;
        line->parameter_over = false;
        line->escape = byte == '[' ? LINE_CSI : byte == 'O' ? LINE_SS3 : LINE_GROUND;
        break;
    case LINE_CSI:
        take_csi(line, byte);
        break;
    case LINE_SS3:
        line->escape = LINE_GROUND;
        take_key(line, byte);
        break;
    case LINE_FUNCTION_KEY:
        line->escape = LINE_GROUND;
        break;
    }
}

/* Collects a character and inserts it whole. What fmt_tame would change is none that may stand in a
 * line: a C1 control, or not well-formed. */
static void take_text(struct line *line, uint8_t byte)
{
    uint8_t tamed[sizeof line->partial];

    if ((byte & 0xc0) != 0x80) {
        line->partial_len = 0;
        line->partial_need = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    } else if (line->partial_len == 0) {
        return;
    }
    line->partial[line->partial_len++] = byte;
    if (line->partial_len < line->partial_need)
        return;
    memcpy(tamed, line->partial, line->partial_len);
    fmt_tame(tamed, line->partial_len);
    if (memcmp(tamed, line->partial, line->partial_len) == 0)
        insert(line, line->partial, line->partial_len);
    line->partial_len = 0;
}

enum line_event line_take(struct line *line, uint8_t byte)
{
    if (byte < 0x20 || byte == DEL) {
        /* A control character cuts short whatever had begun. */
        line->escape = LINE_GROUND;
        line->partial_len = 0;
        return take_control(line, byte);
    }
    if (line->escape != LINE_GROUND)
        take_escape(line, byte);
    else
        take_text(line, byte);
    return LINE_EV_NONE;
}

enum line_event line_take_plain(struct line *line, uint8_t byte)
{
    if (byte == '\n') {
        line->cursor = line->len;
        return line->skip ? LINE_EV_LONG : LINE_EV_DONE;
    }
    if (line->len == SHELL_LINE_MAX_BYTES)
        line->skip = true;
    else
        insert(line, &byte, 1);
    return LINE_EV_NONE;
}

/* ---- what the caller does ---- */

void line_init(struct line *line, const char *prompt)
{
    memset(line, 0, sizeof *line);
    line->prompt = prompt;
    line->columns = COLUMNS_WHERE_UNKNOWN;
}

void line_set_columns(struct line *line, size_t columns)
{
    line->columns = columns > 0 ? columns : COLUMNS_WHERE_UNKNOWN;
}

void line_next(struct line *line, bool remember)
{
    if (remember && line->len > 0)
        remember_text(line);
    set_text(line, "");
    line->back = 0;
    line->skip = false;
}

/* Moves `first` so that the cursor is among the `room` columns that are shown. When it left them at
 * the left, half of them go to what is before it: one sees what one erases. */
static void scroll(struct line *line, size_t room)
{
    if (line->cursor < line->first || (line->cursor == line->first && line->cursor > 0)) {
        line->first = line->cursor;
        while (line->first > 0 && columns_between(line, line->first, line->cursor) < room / 2)
            line->first = before(line->text, line->first);
    }
    /* Keys that came at once, as of a paste, may have put another character there. */
    while (is_continuation(line->text[line->first]))
        line->first--;
    while (columns_between(line, line->first, line->cursor) > room)
        line->first = behind(line, line->first);
}

void line_draw(struct line *line, struct wr *out)
{
    size_t prompt_len = strlen(line->prompt);
    /* The last column stays free: writing there makes some terminals go to the next line. */
    size_t room = line->columns > prompt_len + 2 ? line->columns - prompt_len - 1 : 1;
    size_t end, shown = 0;

    scroll(line, room);
    for (end = line->first; end < line->len; end = behind(line, end)) {
        shown += columns_of(line->text + end);
        if (shown > room)
            break;
    }
    fmt(out, "%s\r%s", line->clear ? "\033[H\033[2J" : "", line->prompt);
    wr_put(out, line->text + line->first, end - line->first);
    fmt(out, "\033[K");
    if (line->cursor < end)
        fmt(out, "\r\033[%zuC", prompt_len + columns_between(line, line->first, line->cursor));
    line->clear = false;
}
