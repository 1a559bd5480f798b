/* term.h - the terminal that the shell is used at: raw mode, the prompt and the line being typed,
 * and getting both out of the way of everything else that is shown.
 *
 * Where standard input is no terminal (a script), or no terminal would show what is typed, all
 * calls do nothing and `in_use` is false. */
#ifndef STS_TERM_H
#define STS_TERM_H

#include <termios.h>

#include "line.h"
#include "log.h"

struct term {
    bool in_use;
    int out;               /* where the line is shown: standard output, or standard error */
    bool raw;              /* the line is ours to edit: between term_raw and term_cooked */
    bool shown;            /* the prompt stands on the terminal */
    bool log_shown;        /* so do log lines */
    struct termios cooked; /* as it was found */
    struct log *log;       /* its `erase` and `written` are kept up to date */
    struct line line;      /* of a script too */
};

/* Looks at standard input, output and error; changes nothing yet. `log` is kept by reference. */
void term_open(struct term *t, struct log *log);

/* Raw mode, and back to what was found; back, the prompt is erased too. */
void term_raw(struct term *t);
void term_cooked(struct term *t);

/* Draws prompt and line: after a key, and where the prompt is not (or no longer) there. */
void term_draw(struct term *t);

/* Erases them where they are shown, so that something else can be written; term_settle draws them
 * again, as it does after log lines. */
void term_hide(struct term *t);
void term_settle(struct term *t);

/* A line is complete: leaves it on the screen and goes to the next. */
void term_enter(struct term *t);

/* Goes to a line of its own when a program left the cursor behind some output. */
void term_fresh_line(struct term *t);

/* Takes the terminal's width again. */
void term_resize(struct term *t);

/* Writes a box with text in it: of `lines` each ends with a newline and has up to 60 characters; an
 * empty one is a rule across the box. */
void term_write_box(int fd, const char *lines);

#endif
