/* session_say.c - see session_say.h. */
#include "session_say.h"

#include <string.h>

static void say_connect_failure(struct log *log, const struct conf *conf,
                                const struct client_failure *failure)
{
    log_error(log, "cannot connect to %s port %u: %s", conf->host.text, conf->port,
              strerror(failure->detail));
}

static void say_packet_failure(struct log *log, const struct client_failure *failure)
{
    const bool known = failure->packet >= MQTT_CONNECT && failure->packet <= MQTT_DISCONNECT;
    const char *packet = known ? mqtt_type_name((enum mqtt_type)failure->packet) : "packet";

    if (failure->err == CLIENT_ERR_MALFORMED)
        log_error(log, "the broker sent a malformed %s: %s", packet,
                  mqtt_err_text(failure->detail));
    else
        log_error(log, "the broker sent a %s that must not come here", packet);
}

void session_say_failure(struct log *log, const struct conf *conf,
                         const struct client_failure *failure)
{
    switch ((enum client_err)failure->err) {
    case CLIENT_ERR_HOST:
        log_error(log, "host not found: %s", conf->host.text);
        return;
    case CLIENT_ERR_CONNECT:
        say_connect_failure(log, conf, failure);
        return;
    case CLIENT_ERR_NETWORK:
    case CLIENT_ERR_SYSTEM:
        log_error(log, "%s: %s", client_err_text(failure->err), strerror(failure->detail));
        return;
    case CLIENT_ERR_MALFORMED:
    case CLIENT_ERR_UNEXPECTED:
        say_packet_failure(log, failure);
        return;
    case CLIENT_ERR_REFUSED:
        log_error(log, "%s: %s", client_err_text(failure->err),
                  mqtt_connack_text((enum mqtt_connack_code)failure->detail));
        return;
    case CLIENT_ERR_SUBSCRIPTION:
        log_error(log, "the broker refused the subscription to %s",
                  conf->subtop[failure->detail].text);
        return;
    case CLIENT_ERR_CLOSED:
    case CLIENT_ERR_DEAD:
    case CLIENT_ERR_NO_CONNACK:
    case CLIENT_ERR_NO_SUBACK:
    case CLIENT_ERR_NO_ACK:
    case CLIENT_ERR_FULL:
        log_error(log, "%s (broker %s)", client_err_text(failure->err), conf->host.text);
        return;
    }
}

void session_say_lost(struct log *log, const struct conf *conf,
                      const struct client_failure *failure)
{
    const bool has_errno = failure->err == CLIENT_ERR_CONNECT ||
                           failure->err == CLIENT_ERR_NETWORK || failure->err == CLIENT_ERR_SYSTEM;

    log_warn(log, "broker %s: %s%s%s; next attempt in %u.%u s", conf->host.text,
             client_err_text(failure->err), has_errno ? ": " : "",
             has_errno ? strerror(failure->detail) : "", (unsigned)failure->wait_ms / 1000,
             (unsigned)failure->wait_ms % 1000 / 100);
}

void session_warn_of_sts1(struct log *log)
{
    log_warn(log, "STS/1 proves nobody's identity, and a broker can change, replay and drop its "
                  "messages unseen: use it only with devices that speak nothing else");
}
