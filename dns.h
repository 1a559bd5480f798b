/* dns.h - a question to a name server, and its answer (RFC 1035, section 4; RFC 3596 for AAAA).
 *
 * What comes back is of strangers: it counts only where it has the id and the question that were
 * asked, and addresses are taken only of the kind that was asked for. */
#ifndef STS_DNS_H
#define STS_DNS_H

#include "bytes.h"
#include "limits.h"

enum dns_type { DNS_A = 1, DNS_AAAA = 28 }; /* sections 3.2.2 of RFC 1035, 2.1 of RFC 3596 */

/* Bytes of an address of that type. */
static inline size_t dns_address_bytes(enum dns_type type)
{
    return type == DNS_A ? 4 : 16;
}

enum dns_result {
    DNS_ANSWERED = 0,   /* the name has these addresses, or none */
    DNS_REFUSED = 1,    /* this server cannot, or will not, say; another one may */
    DNS_UNRELATED = -1, /* no answer to this question */
};

/* Writes the question for the addresses of `name`, without a dot at its end: labels of 1 to 63
 * bytes, all of it 253 at most; letters in lower case. `out` becomes bad where it is no such name,
 * or holds a blank or a control character. DNS_QUESTION_MAX_BYTES are room enough. */
void dns_write_question(struct wr *out, struct bytes name, enum dns_type type, uint16_t id);

/* Takes the addresses out of the answer to such a question, and puts their bytes one behind the
 * other into `out`, as many as there is room for. After anything but DNS_ANSWERED they are not to
 * be used. An answer that was cut (TC) is one as far as it goes, if it has an address. */
enum dns_result dns_read_answer(struct wr *out, struct bytes answer, struct bytes question)
    __attribute__((warn_unused_result));

#endif
