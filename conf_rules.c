/* conf_rules.c - what of a config belongs together. */
#include "conf_private.h"
#include "mqtt_min.h"

static int fail_key(struct conf *conf, struct conf_error *error, enum conf_key key,
                    const char *text)
{
    struct conf_entry e = {conf, error, conf->origin[key], key, {0}};

    return conf_fail(&e, CONF_THE_KEY, "%s", text);
}

static bool is_given(const struct conf *conf, enum conf_key key)
{
    return conf->origin[key].layer != CONF_LAYER_DEFAULT;
}

/* ---- mode and cipher ---- */

#if STS_SEED
#define SESSION_CIPHERS "chachapoly, ecb or cbc"
#else
#define SESSION_CIPHERS "chachapoly"
#endif

static void set_defaults(struct conf *conf)
{
    if ((conf->mode == STS_SENDER || conf->mode == STS_COLLECTOR) && !is_given(conf, CONF_AES))
        conf->cipher = STS_CHACHAPOLY;
    if (conf->mode == STS_COLLECTOR && !is_given(conf, CONF_CLEAN_SESSION))
        conf->clean_session = false;
    /* The ids make a push exactly once already; and with QoS 2 mosquitto lets new messages overtake
     * a queue, which a collector would have to take for replays of old ones. */
    if (conf->mode == STS_COLLECTOR && conf->qos == 2)
        conf->qos = 1;
}

static int check_cipher(struct conf *conf, struct conf_error *error)
{
    switch (conf->mode) {
    case STS_NOSEC:
        if (conf->cipher == STS_CHACHAPOLY)
            return fail_key(conf, error, CONF_AES,
                            "chachapoly needs sts_mode = master, slave, push or collect");
        if (conf->cipher != STS_NULL)
            return fail_key(conf, error, CONF_AES, "ecb and cbc need sts_mode = master or slave");
        return 0;
    case STS_MASTER:
    case STS_SLAVE:
        if (conf->cipher == STS_NULL)
            return fail_key(conf, error, CONF_STS_MODE,
                            "master and slave need aes = " SESSION_CIPHERS);
        return 0;
    case STS_SENDER:
    case STS_COLLECTOR:
        if (conf->cipher != STS_CHACHAPOLY)
            return fail_key(conf, error, CONF_AES, "push and collect take only chachapoly");
        return 0;
    }
    return -1;
}

/* ---- topics ---- */

/* A session: a topic each way. */
static int check_session_topics(struct conf *conf, struct conf_error *error)
{
    const char *filter = conf->subtop[0].text;

    if (!conf->pubtop.set)
        return fail_key(conf, error, CONF_STS_MODE, "master and slave need a pubtop");
    if (conf->subtop_count == 0)
        return fail_key(conf, error, CONF_STS_MODE, "master and slave need a subtop");
    if (conf->subtop_count > 1)
        return fail_key(conf, error, CONF_SUBTOP, "master and slave take only one");
    if (strchr(filter, '+') || strchr(filter, '#'))
        return fail_key(conf, error, CONF_SUBTOP, "master and slave take no wildcards");
    if (conf->retain)
        return fail_key(conf, error, CONF_RETAIN, "master and slave never retain");
    return 0;
}

static int check_push_topics(struct conf *conf, struct conf_error *error)
{
    if (!conf->pubtop.set)
        return fail_key(conf, error, CONF_STS_MODE, "push needs a pubtop");
    if (conf->subtop_count > 0)
        return fail_key(conf, error, CONF_SUBTOP, "push receives nothing");
    if (conf->retain)
        return fail_key(conf, error, CONF_RETAIN, "push never retains");
    return 0;
}

static int check_collect_topics(struct conf *conf, struct conf_error *error)
{
    if (conf->subtop_count == 0)
        return fail_key(conf, error, CONF_STS_MODE, "collect needs a subtop");
    if (conf->pubtop.set)
        return fail_key(conf, error, CONF_PUBTOP, "collect sends nothing");
    if (conf->retain)
        return fail_key(conf, error, CONF_RETAIN, "collect sends nothing to be retained");
    return 0;
}

static int check_topics(struct conf *conf, struct conf_error *error)
{
    switch (conf->mode) {
    case STS_NOSEC:
        return 0;
    case STS_MASTER:
    case STS_SLAVE:
        return check_session_topics(conf, error);
    case STS_SENDER:
        return check_push_topics(conf, error);
    case STS_COLLECTOR:
        return check_collect_topics(conf, error);
    }
    return -1;
}

/* ---- keys ---- */

static int check_no_keys(struct conf *conf, struct conf_error *error)
{
    static const uint8_t keys[] = {CONF_KEY,   CONF_PEER, CONF_PEERS, CONF_PSK,
                                   CONF_STATE, CONF_OUT,  CONF_SPOOL, CONF_SPOOL_MAX};

    for (size_t i = 0; i < sizeof keys; i++)
        if (is_given(conf, (enum conf_key)keys[i]))
            return fail_key(conf, error, (enum conf_key)keys[i], "needs aes = chachapoly");
    return 0;
}

static int check_one_peer(struct conf *conf, struct conf_error *error)
{
    if (is_given(conf, CONF_PEERS))
        return fail_key(conf, error, CONF_PEERS, "master and push have one other end: peer");
    if (!is_given(conf, CONF_PEER))
        return fail_key(conf, error, CONF_STS_MODE,
                        "master and push need a peer: the public key of the other end");
    return 0;
}

static int check_slave_peers(struct conf *conf, struct conf_error *error)
{
    if (is_given(conf, CONF_PEERS) && is_given(conf, CONF_PEER))
        return fail_key(conf, error, CONF_PEERS, "a slave takes peer or peers, not both");
    if (!is_given(conf, CONF_PEERS) && !is_given(conf, CONF_PEER))
        return fail_key(conf, error, CONF_STS_MODE,
                        "slave needs a peer (the public key of the master) or peers");
    if (is_given(conf, CONF_STATE))
        return fail_key(conf, error, CONF_STATE, "a slave has nothing to keep");
    return 0;
}

static int check_collect_peers(struct conf *conf, struct conf_error *error)
{
    if (is_given(conf, CONF_PEER))
        return fail_key(conf, error, CONF_PEER, "collect takes peers: a file of all devices");
    if (!is_given(conf, CONF_PEERS))
        return fail_key(conf, error, CONF_STS_MODE, "collect needs peers: a file of all devices");
    if (!is_given(conf, CONF_STATE))
        return fail_key(conf, error, CONF_STS_MODE,
                        "collect needs a state: the file that tells new pushes from old ones");
    return 0;
}

static int check_peers(struct conf *conf, struct conf_error *error)
{
    switch (conf->mode) {
    case STS_NOSEC:
        return 0;
    case STS_MASTER:
    case STS_SENDER:
        return check_one_peer(conf, error);
    case STS_SLAVE:
        return check_slave_peers(conf, error);
    case STS_COLLECTOR:
        return check_collect_peers(conf, error);
    }
    return -1;
}

static int check_spool(struct conf *conf, struct conf_error *error)
{
    if (is_given(conf, CONF_SPOOL_MAX) && !conf->spool.set)
        return fail_key(conf, error, CONF_SPOOL_MAX, "needs a spool");
    if (!conf->spool.set)
        return 0;
    if (conf->mode != STS_SENDER)
        return fail_key(conf, error, CONF_SPOOL, "goes with push only");
    if (conf->qos == 0)
        return fail_key(conf, error, CONF_SPOOL, "needs qos 1 or 2: QoS 0 is never acknowledged");
    return 0;
}

static int check_files(struct conf *conf, struct conf_error *error)
{
    if (conf->out.set && conf->mode != STS_COLLECTOR)
        return fail_key(conf, error, CONF_OUT, "goes with collect only");
    return check_spool(conf, error);
}

static int check_keys(struct conf *conf, struct conf_error *error)
{
    if (conf->cipher != STS_CHACHAPOLY)
        return check_no_keys(conf, error);
    if (!is_given(conf, CONF_KEY))
        return fail_key(conf, error, CONF_STS_MODE,
                        "chachapoly needs a key: a file that sts -k makes");
    if (check_peers(conf, error) != 0)
        return -1;
    if (is_given(conf, CONF_PSK) && is_given(conf, CONF_PEERS))
        return fail_key(conf, error, CONF_PSK, "goes with peer; a peers file has one a line");
    return check_files(conf, error);
}

/* ---- what any mode has ---- */

static int check_will(struct conf *conf, struct conf_error *error)
{
    static const uint8_t keys[] = {CONF_WILL_MSG, CONF_WILL_QOS, CONF_WILL_RETAIN};

    for (size_t i = 0; i < sizeof keys && !conf->will_topic.set; i++)
        if (is_given(conf, (enum conf_key)keys[i]))
            return fail_key(conf, error, (enum conf_key)keys[i], "needs a will_topic");
    return 0;
}

/* In characters, as MQTT 3.1 counts. An empty one cannot be configured. */
static bool is_client_id_long(const char *client_id)
{
    size_t count = 0;

    for (; *client_id; client_id++)
        count += ((uint8_t)*client_id & 0xc0) != 0x80;
    return count > MQTT31_CLIENT_ID_MAX_CHARS;
}

static int check_connection(struct conf *conf, struct conf_error *error)
{
    bool derived = conf->mode == STS_COLLECTOR; /* the client id, where none is given */

    if (!conf->host.set)
        return fail_key(conf, error, CONF_IP, "ip (or url, host) is missing: the broker");
    if (conf->password.set && !conf->username.set)
        return fail_key(conf, error, CONF_PASSWORD, "needs a username");
    if (conf->mqtt_version == MQTT_3_1 && is_client_id_long(conf->clientid.text))
        return fail_key(conf, error, CONF_CLIENTID, "MQTT 3.1 takes no more than 23 characters");
    if (!conf->clean_session && !conf->clientid.set && !derived)
        return fail_key(conf, error, CONF_CLEAN_SESSION, "0 needs a clientid");
    return check_will(conf, error);
}

int conf_finish(struct conf *conf, struct conf_error *error)
{
    set_defaults(conf);
    if (check_connection(conf, error) != 0 || check_cipher(conf, error) != 0 ||
        check_topics(conf, error) != 0)
        return -1;
    return check_keys(conf, error);
}
