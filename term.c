/* term.c - see term.h. */
#define _DEFAULT_SOURCE /* struct winsize */

#include "term.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "files.h"
#include "fmt.h"

#define PROMPT "> "
#define ERASE_LINE "\r\033[K"
#define BOX_MAX_BYTES (20 * 65) /* the lines of `help`, and what each takes */

/* The frame is made here, for it is longer than what it is around. */
void term_write_box(int fd, const char *lines)
{
    uint8_t bytes[BOX_MAX_BYTES];
    struct wr out = wr_over(bytes, sizeof bytes);

    while (*lines) {
        const int len = (int)(strchr(lines, '\n') - lines);

        if (len == 0)
            fmt(&out, "+--------------------------------------------------------------+\n");
        else
            fmt(&out, "| %-60.*s |\n", len, lines);
        lines += len + 1;
    }
    (void)!files_write(fd, bytes, (size_t)(out.p - bytes));
}

/* A terminal that is gone shows up as the end of its input; writing to it may fail until then. */
static void show(const struct term *t, const void *bytes, size_t len)
{
    (void)!files_write(t->out, bytes, len);
}

void term_open(struct term *t, struct log *log)
{
    t->log = log;
    t->log_shown = isatty(log->fd);
    t->raw = t->shown = false;
    t->out = -1;
    line_init(&t->line, PROMPT);
    if (isatty(STDOUT_FILENO))
        t->out = STDOUT_FILENO;
    else if (isatty(STDERR_FILENO))
        t->out = STDERR_FILENO;
    t->in_use = t->out >= 0 && tcgetattr(STDIN_FILENO, &t->cooked) == 0;
    term_resize(t);
}

void term_resize(struct term *t)
{
    struct winsize size;

    if (t->in_use && ioctl(t->out, TIOCGWINSZ, &size) == 0)
        line_set_columns(&t->line, size.ws_col);
    if (t->shown)
        term_draw(t);
}

/* Only the input is raw: with output left as it is, everybody may go on writing plain newlines. */
void term_raw(struct term *t)
{
    struct termios raw = t->cooked;

    if (!t->in_use || t->raw)
        return;
    raw.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON);
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    t->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void term_cooked(struct term *t)
{
    term_hide(t);
    if (t->raw)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &t->cooked);
    t->raw = false;
}

void term_draw(struct term *t)
{
    uint8_t bytes[LINE_DRAW_MAX_BYTES];
    struct wr out = wr_over(bytes, sizeof bytes);

    if (!t->raw)
        return;
    line_draw(&t->line, &out);
    show(t, bytes, (size_t)(out.p - bytes));
    t->shown = true;
    t->log->written = false;
    t->log->erase = t->log_shown ? ERASE_LINE : NULL;
}

void term_hide(struct term *t)
{
    if (t->shown)
        show(t, ERASE_LINE, sizeof ERASE_LINE - 1);
    t->shown = false;
    t->log->erase = NULL;
}

void term_settle(struct term *t)
{
    if (!t->shown || t->log->written)
        term_draw(t);
}

void term_enter(struct term *t)
{
    line_go_end(&t->line);
    if (!t->raw)
        return;
    term_draw(t);
    show(t, "\n", 1);
    t->shown = false;
    t->log->erase = NULL;
}

/* Nobody tells where the cursor is. But as many blanks as the terminal has columns bring it to the
 * next line, unless it stands at the begin of one: then it only waits at the end of that. */
void term_fresh_line(struct term *t)
{
    static const char blanks[] = "                                ";
    size_t left = t->line.columns;

    if (!t->in_use)
        return;
    for (; left >= sizeof blanks - 1; left -= sizeof blanks - 1)
        show(t, blanks, sizeof blanks - 1);
    show(t, blanks, left);
    show(t, ERASE_LINE, sizeof ERASE_LINE - 1);
}
