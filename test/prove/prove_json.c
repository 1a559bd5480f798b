/* prove_json - bytes as JSON text: every 0 to MAX bytes, from every offset, in every form, into
 * room for 0 to ROOM_MAX bytes. */
#include "json.h"
#include "prove.h"

#define MAX 6
#define ROOM_MAX 20 /* three escapes at full length, and four groups of base64 */

static void put_one(size_t len, size_t size, size_t offset)
{
    uint8_t in[MAX + 1], room[ROOM_MAX + 1];
    struct wr out = wr_over(room, size);

    any_bytes(in, len);
    (void)json_put(&out, (enum json_form)any_byte(JSON_BASE64), (struct bytes){in, len}, &offset);
    //@ assert moved: offset <= len;
}

void main(void)
{
    size_t len = any_size(MAX), size = any_size(ROOM_MAX), offset = any_size(MAX);

    //@ split len;
    //@ split size;
    //@ split offset;
    if (offset <= len)
        put_one(len, size, offset);
}
