/* prove_window - what a collector remembers of one key: any id, and the window read from any
 * PUSH_WINDOW_BYTES of a file, and from up to CUT fewer. */
#include "prove.h"
#include "push.h"

#define CUT 8

static void window_one(size_t size)
{
    uint8_t bytes[PUSH_WINDOW_BYTES], room[PUSH_WINDOW_BYTES];
    struct rd in = rd_over(bytes, size);
    struct wr out = wr_over(room, size);
    struct push_window window;

    any_bytes(bytes, size);
    push_window_read(&window, &in);
    (void)push_window_take(&window, any_u64());
    push_window_write(&window, &out);
}

void main(void)
{
    size_t size = PUSH_WINDOW_BYTES - any_size(CUT);

    //@ split size;
    window_one(size);
}
