/* words.h - the words for the members of an enum, one behind the other in one text: a table of
 * pointers would cost a relocation for each, a switch a piece of code. */
#ifndef STS_WORDS_H
#define STS_WORDS_H

#include <string.h>

/* For the lists of errors, which go from -1 downwards without a gap. */
#define WORDS_ENTRY(name, value, text) text "\0"

/* Of `words`, each of which ends with a zero byte, the one at `index`. Behind the last of them
 * stands an empty one, and behind that the word for every other index. */
static inline const char *words_at(const char *words, unsigned index)
{
    for (; index > 0 && *words; index--)
        words += strlen(words) + 1;
    return *words ? words : words + 1;
}

/* The same for an error. */
static inline const char *words_of_err(const char *words, int err)
{
    return words_at(words, (unsigned)(-1 - err));
}

#endif
