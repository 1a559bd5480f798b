/* lookup.h - the addresses of a host, out of /etc/hosts or from the name servers of
 * /etc/resolv.conf.
 *
 * Of the latter `nameserver` (three of them; none: 127.0.0.1), `domain`, `search` and the options
 * ndots, timeout and attempts hold (resolv.conf(5)). The time is that of all attempts for one name;
 * where nobody answers no other domain is tried. Each server is asked for both kinds of addresses at
 * once, by UDP, and the first answer counts, as with musl. A scope (%eth0) is not understood.
 *
 * Why it is not musl's: that one brings standard streams, sorting and wide characters, 18 KB of them,
 * makes its ids of the clock, and does not look whether the question that is answered is its own.
 *
 * It blocks, reads files and makes sockets: for the child of resolve.c alone. */
#ifndef STS_LOOKUP_H
#define STS_LOOKUP_H

#include "resolve.h"

/* Whether `host` is a numeric address, and which. */
bool lookup_numeric(struct resolve_address *address, const char *host);

/* Puts the addresses of `host` into `addresses`, IPv6 first (RFC 6724), and returns how many; 0:
 * there is no such host, it is no name, or no server has answered in time. */
size_t lookup_name(struct resolve_address addresses[CLIENT_ADDRESSES_MAX], const char *host);

#endif
