/* prove_fmt - every text of 0 to MAX bytes made harmless to a terminal. */
#include "fmt.h"
#include "prove.h"

#define MAX 6

void main(void)
{
    uint8_t text[MAX + 1];
    size_t len = any_size(MAX);

    //@ split len;
    any_bytes(text, len);
    fmt_tame(text, len);
}
