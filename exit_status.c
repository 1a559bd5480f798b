/* exit_status.c - see exit_status.h. */
#include "exit_status.h"

#include <sysexits.h>

static int of_failure(const struct client_failure *failure)
{
    switch ((enum client_err)failure->err) {
    case CLIENT_ERR_HOST:
        return EX_NOHOST;
    case CLIENT_ERR_CONNECT:
    case CLIENT_ERR_CLOSED:
    case CLIENT_ERR_NETWORK:
    case CLIENT_ERR_DEAD:
        return EX_UNAVAILABLE;
    case CLIENT_ERR_NO_CONNACK:
    case CLIENT_ERR_NO_SUBACK:
    case CLIENT_ERR_NO_ACK:
    case CLIENT_ERR_FULL:
        return EX_TEMPFAIL;
    case CLIENT_ERR_MALFORMED:
    case CLIENT_ERR_UNEXPECTED:
        return EX_PROTOCOL;
    case CLIENT_ERR_REFUSED:
    case CLIENT_ERR_SUBSCRIPTION:
        return EX_NOPERM;
    case CLIENT_ERR_SYSTEM:
        return EX_OSERR;
    }
    return EX_SOFTWARE;
}

int exit_status_of_session(const struct session *s)
{
    switch (s->end) {
    case SESSION_END_NONE:
    case SESSION_END_STOPPED:
        return EX_OK;
    case SESSION_END_CLIENT:
        return of_failure(&s->failure);
    case SESSION_END_HANDSHAKE:
    case SESSION_END_UNSETTLED:
    case SESSION_END_UNRECEIPTED:
        return EX_TEMPFAIL;
    case SESSION_END_STORE:
        return s->store_status;
    case SESSION_END_CRYPTO:
        return EX_SOFTWARE;
    }
    return EX_SOFTWARE;
}

int exit_status_of_send(const struct session *s, enum session_err err)
{
    switch (err) {
    case SESSION_ERR_ID:
        return s->store_status;
    case SESSION_ERR_LONG:
    case SESSION_ERR_NUL:
        return EX_DATAERR;
    case SESSION_ERR_NOT_READY:
    case SESSION_ERR_FULL:
        return EX_TEMPFAIL;
    case SESSION_ERR_CRYPTO:
        return EX_SOFTWARE;
    }
    return EX_SOFTWARE;
}
