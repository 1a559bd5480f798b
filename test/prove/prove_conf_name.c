/* prove_conf_name - the name of a key looked for: every text of 0 bytes to one more than the
 * longest name has. */
#include "conf_pieces.h"

#define MAX sizeof names[0].text

void main(void)
{
    uint8_t in[MAX + 1];
    size_t len = any_size(MAX);

    //@ split len;
    any_bytes(in, len);
    (void)find_name((struct bytes){in, len});
}
