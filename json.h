/* json.h - bytes as JSON text, piece by piece: for whatever room the caller has at the moment. */
#ifndef STS_JSON_H
#define STS_JSON_H

#include "bytes.h"

/* How the bytes of a piece become text. */
enum json_form {
    JSON_RAW,    /* as they are */
    JSON_STRING, /* the inside of a JSON string (RFC 8259, section 7); they are UTF-8 */
    JSON_BASE64, /* RFC 4648, section 4 */
};

/* Writes as much of `from`, from `*offset` on, as `out` takes, and moves `*offset` by that. True
 * when all of it is written; false: again with more room (8 bytes are always enough to get on). */
/*@ requires state: \valid(out) && \valid(offset);
    requires input: \valid_read(from.p + (0 .. from.len - 1)) && *offset <= from.len;
    ensures moved: \old(*offset) <= *offset <= from.len; */
bool json_put(struct wr *out, enum json_form form, struct bytes from, size_t *offset);

#endif
