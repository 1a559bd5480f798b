/* status.c - see status.h. */
#include "status.h"

#define FRAME "+==========================================+"

static void title(struct log *log, const char *text)
{
    log_info(log, FRAME);
    log_info(log, "| %-41s|", text);
    log_info(log, FRAME);
}

static void line(struct log *log, const char *name, const char *value)
{
    log_info(log, "| %-16s %s", name, value);
}

static void number(struct log *log, const char *name, uint64_t value)
{
    log_info(log, "| %-16s %llu", name, (unsigned long long)value);
}

static void optional(struct log *log, const char *name, const struct conf_value *value)
{
    if (value->set)
        line(log, name, value->text);
}

static void show_mqtt(struct log *log, const struct session *session)
{
    const struct conf *conf = session->use.conf;

    title(log, "MQTT");
    line(log, "mqtt version:", conf->mqtt_version == 3 ? "3 (3.1)" : "4 (3.1.1)");
    line(log, "broker_ip:", conf->host.text);
    number(log, "broker_port:", conf->port);
    optional(log, "username:", &conf->username);
    if (conf->password.set)
        line(log, "password:", "********");
    for (size_t i = 0; i < conf->subtop_count; i++)
        line(log, "sub_topic:", conf->subtop[i].text);
    optional(log, "pub_topic:", &conf->pubtop);
    number(log, "qos:", conf->qos);
    number(log, "clean_session:", conf->clean_session);
    line(log, "client_id:", session->client.client_id);
}

/* Who talks: the ids of STS/1, the peer of STS/2. */
static void show_ends(struct log *log, const struct session *session)
{
    const struct sts *sts = &session->sts;
    const enum sts_mode mode = session->use.conf->mode;

    if ((mode != STS_MASTER && mode != STS_SLAVE) || !sts_established(sts))
        return;
    if (session->use.conf->cipher == STS_CHACHAPOLY) {
        const struct peer *peer = sts_peer(sts);
        line(log, "peer:", peer ? peer->name : "-");
        return;
    }
#if STS_SEED
    log_info(log, "| %-16s %.*s", "id_master:", STS1_ID_CHARS, (const char *)sts->v1.id_master);
    log_info(log, "| %-16s %.*s", "id_slave:", STS1_ID_CHARS, (const char *)sts->v1.id_slave);
#endif
}

static void show_sts(struct log *log, const struct session *session)
{
    const enum sts_mode mode = session->use.conf->mode;

    title(log, "STS");
    line(log, "sts_mode:", sts_mode_name(mode));
    show_ends(log, session);
    number(log, "msg sent:", session->sent);
    number(log, "msg recv:", session->received);
    number(log, "dropped:", session->skipped + session->dropped);
}

static void show_encryption(struct log *log, const struct conf *conf)
{
    title(log, "ENCRYPTION");
    if (conf->cipher == STS_CHACHAPOLY) {
        log_info(log, "| %-24s Noise %s", "key agreement protocol:",
                 conf->mode == STS_SENDER || conf->mode == STS_COLLECTOR ? "Xpsk1" : "IKpsk1");
        log_info(log, "| %-24s %s", "elliptic curve:", "X25519");
        log_info(log, "| %-24s %s", "encryption:", "ChaCha20-Poly1305");
        return;
    }
    log_info(log, "| %-24s %s", "key agreement protocol:", "ECDH");
    log_info(log, "| %-24s %s", "elliptic curve:", "SECP256K1");
    log_info(log, "| %-24s AES-%s-256", "encryption:", sts_cipher_name(conf->cipher));
}

void status_show(struct log *log, const struct session *session, uint64_t up_s, int sandbox)
{
    const enum log_level level = log->level;

    if (log->level < LOG_INFO)
        log->level = LOG_INFO;
    if (session->running) {
        log_info(log, "status:            ONLINE");
        log_info(log, "state:             %s, %llu s", session_state_text(session),
                 (unsigned long long)up_s);
        show_mqtt(log, session);
        show_sts(log, session);
        if (session->use.conf->cipher != STS_NULL)
            show_encryption(log, session->use.conf);
        log_info(log, FRAME);
    } else {
        log_info(log, "status:            OFFLINE");
    }
    log_info(log, "sandbox:           %s", sandbox == 0 ? "on" : "off");
    log->level = level;
}
