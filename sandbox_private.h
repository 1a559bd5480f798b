/* sandbox_private.h - the filter itself, for sandbox.c and its test; for nobody else. */
#ifndef STS_SANDBOX_PRIVATE_H
#define STS_SANDBOX_PRIVATE_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

#include "sandbox.h"

#define SANDBOX_CODE_MAX 192 /* instructions: room for all calls in one list */

/* Writes the filter of `who`, and returns how many instructions it has. `socketcall`: of a kernel
 * before 4.3, which has no other way to a socket on i386 and s390x. */
size_t sandbox_make(struct sock_filter code[SANDBOX_CODE_MAX], enum sandbox who, bool socketcall);

#endif
