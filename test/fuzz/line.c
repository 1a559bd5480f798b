/* line.c - the shell: the line that is being typed, key by key, and the commands in it.
 *
 * No program is started, no file is read and nothing is sent: what the commands wanted of that is
 * held against the line. */
#include "line.h"

#include <errno.h>
#include <sysexits.h>

#include "common.h"
#include "load.h"
#include "mqtt_min.h"
#include "shell_private.h"

static struct shell shell;
static struct session session;
static struct conf conf;
static struct keyring keyring;
static struct options options;

/* What a command wanted; `from` is where in shell.command. */
static struct {
    unsigned sends, programs, starts;
    int send_result;
} wanted;

int __wrap_load_conf(struct conf *c, const char *file, const struct options *o, struct log *log);
int __wrap_session_send(struct session *s, struct bytes text, uint64_t now_ms);
int __wrap_spawn_start(struct spawn *s, char *const argv[], enum spawn_use use);

static bool is_in_command(const char *p, size_t len)
{
    return p >= shell.command && p + len < shell.command + sizeof shell.command;
}

int __wrap_load_conf(struct conf *c, const char *file, const struct options *o, struct log *log)
{
    (void)log;
    CHECK(c == &conf && o == &options && file == shell.file);
    CHECK(memchr(shell.file, 0, sizeof shell.file));
    wanted.starts++;
    return EX_NOINPUT;
}

/* All that stands behind the blanks behind the word, as it was typed. */
int __wrap_session_send(struct session *s, struct bytes text, uint64_t now_ms)
{
    (void)now_ms;
    CHECK(s == &session && text.len > 0 && is_in_command((const char *)text.p, text.len));
    CHECK(text.p[text.len] == 0 && text.p[0] != ' ' && text.p[0] != '\t' && text.p[0] != '!');
    wanted.sends++;
    return wanted.send_result;
}

int __wrap_spawn_start(struct spawn *s, char *const argv[], enum spawn_use use)
{
    int count = 0;

    CHECK(s == &shell.program && use <= SPAWN_CAPTURE);
    for (; argv[count]; count++) {
        CHECK(count < SHELL_ARGS_MAX);
        CHECK(is_in_command(argv[count], strlen(argv[count])));
        CHECK(count == 0 || argv[count] > argv[count - 1]);
    }
    CHECK(count > 0);
    wanted.programs++;
    return ENOENT;
}

/* ---- the line ---- */

static void check_line(const struct line *l, bool plain)
{
    size_t len = 0;

    CHECK(l->len <= SHELL_LINE_MAX_BYTES && l->cursor <= l->len);
    CHECK(l->text[l->len] == 0 || plain);
    CHECK(l->history_len <= sizeof l->history && l->history_count <= SHELL_HISTORY_LINES);
    CHECK(l->back <= l->history_count && l->partial_len <= sizeof l->partial);
    for (size_t i = 0; i < l->history_count; i++)
        len += strnlen(l->history + len, sizeof l->history - len) + 1;
    CHECK(len == l->history_len);
    if (plain)
        return;
    /* Whole characters, none of them a control character; the cursor between two of them. */
    CHECK(strlen(l->text) == l->len && mqtt_utf8_ok(bytes_of(l->text)));
    CHECK((l->text[l->cursor] & 0xc0) != 0x80);
    for (size_t i = 0; i < l->len; i++)
        CHECK((uint8_t)l->text[i] >= 0x20 && l->text[i] != 0x7f);
}

/* What goes to the terminal: the prompt, whole characters, and no sequence but its own. */
static void draw(struct line *l)
{
    static const char *const own[] = {"\033[H\033[2J", "\033[K"};
    uint8_t *room = malloc(LINE_DRAW_MAX_BYTES);
    struct wr out = wr_over(room, LINE_DRAW_MAX_BYTES);

    line_draw(l, &out);
    CHECK(!out.bad && l->first <= l->cursor && (l->text[l->first] & 0xc0) != 0x80);
    for (const uint8_t *p = room; p < out.p; p++) {
        const struct bytes rest = {p, (size_t)(out.p - p)};
        bool known = *p >= 0x20 || *p == '\r';

        for (size_t i = 0; i < COUNT(own) && !known; i++)
            known = rest.len >= strlen(own[i]) && memcmp(p, own[i], strlen(own[i])) == 0;
        if (!known) { /* ESC [ number C */
            size_t at = 2;
            while (at < rest.len && p[at] >= '0' && p[at] <= '9')
                at++;
            known = rest.len > 3 && p[0] == 033 && p[1] == '[' && at > 2 && p[at] == 'C';
            CHECK(known || (p >= room + 3 && memcmp(p, "\033[2J", 4) == 0));
        }
    }
    free(room);
}

/* ---- commands ---- */

static bool is_word(const char *line, const char *word)
{
    line += strspn(line, " \t");
    return strncmp(line, word, strlen(word)) == 0 &&
           (line[strlen(word)] == 0 || strchr(" \t", line[strlen(word)]));
}

/* What `help` and `status` show are no log lines. */
static void check_table(void)
{
    const struct bytes shown = fuzz_logged();

    for (size_t i = 0; i < shown.len; i++)
        CHECK(shown.p[i] == '\n' || (shown.p[i] >= 0x20 && shown.p[i] != 0x7f));
    fuzz_log_forget();
}

static void execute(const char *text, uint8_t how)
{
    const size_t len = strlen(text);
    const char *behind = text + strspn(text, " \t");

    CHECK(len <= SHELL_LINE_MAX_BYTES);
    fuzz_log_check();
    fuzz_log_forget();
    memset(&shell, 0, offsetof(struct shell, input));
    memset(&wanted, 0, sizeof wanted);
    shell.session = &session;
    shell.conf = &conf;
    shell.keyring = &keyring;
    shell.options = &options;
    shell.log = shell.term.log = &fuzz_log;
    shell.unsent_until_ms = UINT64_MAX;
    shell.program.output = -1;
    session.running = how & 1;
    session.use.conf = &conf;
    session.use.log = &fuzz_log;
    conf.cipher = how & 2 ? STS_CHACHAPOLY : STS_NULL;
    conf.pubtop.set = how & 4;
    conf.name = "f";
    wanted.send_result = how & 8 ? SESSION_ERR_NOT_READY : how & 16 ? SESSION_ERR_LONG : 0;
    memcpy(shell.command, text, len + 1);
    shell_execute(&shell, 1000);
    CHECK(wanted.sends + wanted.programs + wanted.starts <= 1);
    CHECK(wanted.sends == 0 || (how & 5) == 5);
    CHECK(wanted.sends == 0 || is_word(text, "send") || is_word(text, "sendenc"));
    CHECK(wanted.starts == 0 || (!(how & 1) && is_word(text, "start")));
    CHECK(wanted.programs == 0 || behind[0] == '!' || strchr(text, '!'));
    CHECK(len > 0 || fuzz_logged().len == 0);
    if (is_word(text, "help") || is_word(text, "status"))
        check_table();
}

static void take_events(struct line *l, enum line_event event, uint8_t how, bool plain)
{
    static char text[SHELL_LINE_MAX_BYTES + 1];

    check_line(l, plain);
    if (event == LINE_EV_DONE) {
        CHECK(memchr(l->text, 0, sizeof l->text) || l->len == SHELL_LINE_MAX_BYTES);
        line_go_end(l);
        memcpy(text, l->text, l->len);
        text[l->len] = 0;
        if (strlen(text) == l->len && !(how & 0x80))
            execute(text, how);
    }
    if (event == LINE_EV_DONE || event == LINE_EV_LONG || event == LINE_EV_INTERRUPT)
        line_next(l, event == LINE_EV_DONE && !plain);
    check_line(l, plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct line l;
    struct rd in = rd_over(data, size);
    const uint8_t how = rd_u8(&in), columns = rd_u8(&in);
    const bool plain = how & 0x40;

    fuzz_begin();
    memset(&session, 0, sizeof session);
    conf_init(&conf, "f");
    line_init(&l, "> ");
    line_set_columns(&l, columns);
    for (unsigned keys = 0; fuzz_more(&in); keys++) {
        const uint8_t byte = rd_u8(&in);
        const enum line_event event = plain ? line_take_plain(&l, byte) : line_take(&l, byte);
        /* A long line, drawn and looked at for each key, would take nearly all of the time. */
        const bool looks = l.len < 64 || keys % 32 == 0;

        if (looks || event != LINE_EV_NONE)
            take_events(&l, event, how, plain);
        if (looks && !plain && !(how & 0x20))
            draw(&l);
    }
    check_line(&l, plain);
    if (!plain)
        draw(&l);
    take_events(&l, LINE_EV_DONE, how, plain);
    fuzz_log_check();
    return 0;
}
