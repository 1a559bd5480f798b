/* dns.c - see dns.h. */
#include "dns.h"

/* Section 4.1.1. */
#define FLAG_RESPONSE 0x8000
#define FLAG_CUT 0x0200
#define FLAG_RECURSE 0x0100
#define RCODE_MASK 0x000f
#define RCODE_NO_SUCH_NAME 3
#define HEAD_BYTES 12

#define CLASS_IN 1
#define LABEL_MAX_BYTES 63
#define POINTER_MARK 0xc0 /* section 4.1.4 */

/* ---- the question ---- */

static uint8_t lower_case(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool is_label_length(size_t len)
{
    return len > 0 && len <= LABEL_MAX_BYTES;
}

/* Section 3.1: in the place of each dot, and of one in front, the length of the label behind it. */
static void put_name(struct wr *out, struct bytes name)
{
    uint8_t *to = wr_claim(out, name.len + 1), len = 0;

    if (!to || name.len > DNS_NAME_MAX_CHARS) {
        out->bad = true;
        return;
    }
    for (size_t i = name.len; i > 0; i--) {
        const uint8_t c = lower_case(name.p[i - 1]);

        if (c == '.') {
            out->bad |= !is_label_length(len);
            to[i] = len;
            len = 0;
            continue;
        }
        out->bad |= c <= ' ' || c == 0x7f;
        to[i] = c;
        len++;
    }
    out->bad |= !is_label_length(len);
    to[0] = len;
    wr_u8(out, 0);
}

void dns_write_question(struct wr *out, struct bytes name, enum dns_type type, uint16_t id)
{
    wr_be16(out, id);
    wr_be16(out, FLAG_RECURSE);
    wr_be16(out, 1); /* one question ... */
    wr_be16(out, 0);
    wr_be32(out, 0); /* ... and nothing else */
    put_name(out, name);
    wr_be16(out, (uint16_t)type);
    wr_be16(out, CLASS_IN);
}

/* ---- the answer ---- */

/* Letters of either case are the same (RFC 4343), and some name servers change it on the way. The
 * lengths of labels, and what stands behind the name, are none. */
static bool takes_question(struct rd *in, struct bytes question)
{
    for (size_t i = HEAD_BYTES; i < question.len; i++)
        if (lower_case(rd_u8(in)) != question.p[i])
            return false;
    return !in->bad;
}

/* A name ends with an empty label, or points to the rest of it. Nothing is followed. */
static void skip_name(struct rd *in)
{
    uint8_t len;

    while ((len = rd_u8(in)) > 0 && len <= LABEL_MAX_BYTES)
        (void)rd_take(in, len);
    if (len >= POINTER_MARK)
        (void)rd_u8(in);
    else if (len > 0)
        in->bad = true;
}

/* Section 4.1.3. Records of other names are those that an alias led to. */
static void take_record(struct wr *out, struct rd *in, uint16_t type)
{
    struct bytes data;
    bool wanted;

    skip_name(in);
    wanted = rd_be16(in) == type;
    wanted &= rd_be16(in) == CLASS_IN;
    (void)rd_be32(in); /* for how long it holds */
    data = rd_bytes(in, rd_be16(in));
    if (wanted && data.len == dns_address_bytes((enum dns_type)type) && wr_room(out) >= data.len)
        wr_put(out, data.p, data.len);
}

enum dns_result dns_read_answer(struct wr *out, struct bytes answer, struct bytes question)
{
    const uint8_t *const start = out->p;
    struct rd in = rd_over(answer.p, answer.len);
    const bool same_id = rd_is(&in, question.p, 2);
    const uint16_t flags = rd_be16(&in), rcode = flags & RCODE_MASK;
    const uint16_t questions = rd_be16(&in);
    uint16_t records = rd_be16(&in), type;

    (void)rd_be32(&in); /* what stands behind the answers */
    if (!same_id || !(flags & FLAG_RESPONSE))
        return DNS_UNRELATED;
    if (rcode != 0 && rcode != RCODE_NO_SUCH_NAME)
        return DNS_REFUSED;
    if (questions != 1 || !takes_question(&in, question))
        return DNS_UNRELATED;
    type = (uint16_t)(question.p[question.len - 4] << 8 | question.p[question.len - 3]);
    for (; records > 0 && !in.bad; records--)
        take_record(out, &in, type);
    if (flags & FLAG_CUT)
        return out->p == start ? DNS_REFUSED : DNS_ANSWERED;
    return in.bad ? DNS_REFUSED : DNS_ANSWERED;
}
