/* line.h - the line that is being typed: bytes from a terminal in; what to show, and events, out.
 *
 * Pure: touches no terminal. The caller gives it one byte at a time with line_take, and after a
 * batch of them has line_draw make the bytes that bring the terminal's line up to date.
 *
 * Keys: left, right, home, end, delete, backspace; ^A ^E begin and end, ^U ^K erase to the begin
 * and to the end, ^W the word before the cursor, ^L clears the screen, up and down the history, ^D
 * on an empty line ends the input, ^C interrupts. Text is UTF-8: a character is never split, and
 * bytes that are none, control characters and unknown escape sequences are swallowed. A line wider
 * than the terminal is scrolled sideways. */
#ifndef STS_LINE_H
#define STS_LINE_H

#include "bytes.h"
#include "limits.h"

/* Room that line_draw never exceeds: the line, the prompt and four escape sequences. */
#define LINE_DRAW_MAX_BYTES (SHELL_LINE_MAX_BYTES + 64)

enum line_event {
    LINE_EV_NONE,      /* go on; line_draw shows what changed */
    LINE_EV_DONE,      /* a line is complete: `text`, `len`; line_next begins the next one */
    LINE_EV_LONG,      /* line_take_plain: a line longer than `text` is over, and was skipped */
    LINE_EV_INTERRUPT, /* ^C */
    LINE_EV_END,       /* ^D on an empty line */
};

/* Where in an escape sequence the input stands. */
enum line_escape {
    LINE_GROUND,       /* in none */
    LINE_ESC,          /* behind ESC */
    LINE_CSI,          /* behind ESC [ */
    LINE_SS3,          /* behind ESC O: one byte ends it */
    LINE_FUNCTION_KEY, /* behind ESC [ [, of the Linux console: one byte ends it */
};

/* What is large stands last: code reaches what is near the begin with shorter instructions. */
struct line {
    const char *prompt; /* printable ASCII */
    size_t len, cursor; /* of `text`, in bytes */
    size_t first;       /* of the byte that is shown first */
    size_t columns;     /* of the terminal */
    bool clear;         /* the next line_draw clears the screen first */
    bool skip;          /* line_take_plain: the rest of a line that is too long */

    enum line_escape escape;
    unsigned parameter; /* the first number of the sequence */
    bool parameter_over;
    uint8_t partial[4]; /* a character of several bytes that has begun */
    size_t partial_len, partial_need;

    /* Lines, each with a zero byte behind it, oldest first. `stash` is the line that was being
     * typed when the user went up; `back` is how many lines up. */
    size_t history_len, history_count, back;
    char text[SHELL_LINE_MAX_BYTES + 1]; /* line_take keeps a zero byte behind it */
    char stash[SHELL_LINE_MAX_BYTES + 1];
    char history[SHELL_HISTORY_BYTES];
};

/* An empty line, an empty history. `prompt` is kept by reference. */
void line_init(struct line *line, const char *prompt);

/* The width of the terminal; 0: not known. */
void line_set_columns(struct line *line, size_t columns);

/* Takes one byte that was typed. */
enum line_event line_take(struct line *line, uint8_t byte);

/* The same for input that is no terminal: every byte counts as text, up to the newline. */
enum line_event line_take_plain(struct line *line, uint8_t byte);

/* Puts the line that is complete into the history (where `remember`), and begins an empty one. */
void line_next(struct line *line, bool remember);

/* Writes what draws the terminal's line anew, the cursor where it belongs. Room of
 * LINE_DRAW_MAX_BYTES suffices. */
void line_draw(struct line *line, struct wr *out);

/* Moves the cursor to the end: so is the line shown when it is complete. */
void line_go_end(struct line *line);

#endif
