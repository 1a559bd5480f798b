/* conf.c - `key = value` files and -o overrides. */
#include "conf.h"

#include "conf_private.h"
#include "crypto.h"
#include "key_text.h"
#include "mqtt_min.h"

/* Arrays, not pointers: a static-pie would have to relocate those at each start. */
struct name {
    char text[sizeof "clean_session"];
    uint8_t key; /* enum conf_key */
};

/* Each key first by the name that the README gives it, at the place of its number. */
static const struct name names[] = {
#define CONF_KEY_ENTRY(id, name) {name, id},
    CONF_KEYS(CONF_KEY_ENTRY)
#undef CONF_KEY_ENTRY
        {"url", CONF_IP},
    {"host", CONF_IP},
    {"cipher", CONF_AES},
};

/* A word that a value may be. */
struct word {
    char text[sizeof "chachapoly"];
    uint8_t value;
    bool sts1; /* only in a build that has STS/1 */
};

static const struct word mode_words[] = {
    {"nosec", STS_NOSEC, false}, {"master", STS_MASTER, false},     {"slave", STS_SLAVE, false},
    {"push", STS_SENDER, false}, {"collect", STS_COLLECTOR, false},
};

static const struct word cipher_words[] = {
    {"null", STS_NULL, false},
    {"ecb", STS_ECB, true},
    {"cbc", STS_CBC, true},
    {"chachapoly", STS_CHACHAPOLY, false},
};

#define MODES "nosec, master, slave, push or collect"
#if STS_SEED
#define CIPHERS "null, ecb, cbc or chachapoly"
#else
#define CIPHERS "null or chachapoly"
#endif

const char *conf_key_name(enum conf_key key)
{
    return (unsigned)key < CONF_KEYS_COUNT ? names[key].text : "?";
}

/* ---- values ---- */

static int take_text(const struct conf_entry *e, struct conf_value *to)
{
    memcpy(to->text, e->value.p, e->value.len); /* check_text was here before */
    to->text[e->value.len] = 0;
    to->set = true;
    return 0;
}

/* What no name or address has is most often the rest of a URL. */
static int take_host(const struct conf_entry *e, struct conf_value *to)
{
    for (size_t i = 0; i < e->value.len; i++) {
        uint8_t c = e->value.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!letter && !(c >= '0' && c <= '9') && !strchr("-._:%", c))
            return conf_fail(e, CONF_THE_VALUE, "is not an address or a host name alone");
    }
    return take_text(e, to);
}

static int take_topic(const struct conf_entry *e, struct conf_value *to)
{
    if (!mqtt_topic_ok(e->value))
        return conf_fail(e, CONF_THE_VALUE, "is not a topic to publish to: it holds '+' or '#'");
    return take_text(e, to);
}

static int take_filter(const struct conf_entry *e)
{
    struct conf *conf = e->conf;

    if (conf->origin[CONF_SUBTOP].layer != e->origin.layer)
        conf->subtop_count = 0;
    if (conf->subtop_count == CONF_SUBTOPS_MAX)
        return conf_fail(e, CONF_THE_KEY, "there are more than %u of them", CONF_SUBTOPS_MAX);
    if (!mqtt_filter_ok(e->value))
        return conf_fail(e, CONF_THE_VALUE,
                         "is not a topic filter: '#' is the whole last level, "
                         "'+' a whole level");
    return take_text(e, &conf->subtop[conf->subtop_count++]);
}

static int take_number(const struct conf_entry *e, uint32_t *to, uint32_t min, uint32_t max)
{
    uint32_t number = 0;
    bool good = true;

    for (size_t i = 0; i < e->value.len && good; i++) {
        uint8_t c = e->value.p[i];

        good = c >= '0' && c <= '9';
        number = number * 10 + (c & 0x0fu); /* `max` is small: cannot overflow */
        good = good && number <= max;
    }
    if (!good || number < min)
        return conf_fail(e, CONF_THE_VALUE, "is not a number from %u to %u", (unsigned)min,
                         (unsigned)max);
    *to = number;
    return 0;
}

static int take_u16(const struct conf_entry *e, uint16_t *to, uint16_t min, uint16_t max)
{
    uint32_t number = *to;
    int err = take_number(e, &number, min, max);

    *to = (uint16_t)number;
    return err;
}

static int take_u8(const struct conf_entry *e, uint8_t *to, uint8_t min, uint8_t max)
{
    uint32_t number = *to;
    int err = take_number(e, &number, min, max);

    *to = (uint8_t)number;
    return err;
}

static int take_flag(const struct conf_entry *e, bool *to)
{
    uint32_t number = *to;
    int err = take_number(e, &number, 0, 1);

    *to = number == 1;
    return err;
}

/* Returns what the word says, or -1. `all`: the words, for people. */
static int take_word(const struct conf_entry *e, const struct word *words, size_t count,
                     const char *all)
{
    for (size_t i = 0; i < count; i++) {
        if (!bytes_equal(e->value, bytes_of(words[i].text)))
            continue;
        if (words[i].sts1 && !STS_SEED)
            return conf_fail(e, CONF_THE_VALUE, "cannot be used: this build has no STS/1");
        return words[i].value;
    }
    return conf_fail(e, CONF_THE_VALUE, "is not %s", all);
}

static int take_mode(const struct conf_entry *e, enum sts_mode *to)
{
    int value = take_word(e, mode_words, sizeof mode_words / sizeof mode_words[0], MODES);

    if (value < 0)
        return -1;
    *to = (enum sts_mode)value;
    return 0;
}

static int take_cipher(const struct conf_entry *e, enum sts_cipher *to)
{
    int value = take_word(e, cipher_words, sizeof cipher_words / sizeof cipher_words[0], CIPHERS);

    if (value < 0)
        return -1;
    *to = (enum sts_cipher)value;
    return 0;
}

static int take_key32(const struct conf_entry *e, struct conf_key32 *to, struct conf_value *text)
{
    if (!key_text_read(to->bytes, e->value))
        return conf_fail(e, CONF_THE_VALUE, "is not 32 bytes in base64");
    to->set = true;
    return take_text(e, text);
}

static int take_peer(const struct conf_entry *e)
{
    struct conf *conf = e->conf;

    if (take_key32(e, &conf->peer_key, &conf->peer) != 0)
        return -1;
    if (crypto_x25519_low_order(conf->peer_key.bytes))
        return conf_fail(e, CONF_THE_VALUE, "is not a public key: a point of low order");
    return 0;
}

/* The kind and the range of each key. NOLINTNEXTLINE(readability-function-size): a table */
static int take_value(const struct conf_entry *e)
{
    struct conf *conf = e->conf;

    switch (e->key) {
    case CONF_MQTT_VERSION:
        return take_u8(e, &conf->mqtt_version, MQTT_3_1, MQTT_3_1_1);
    case CONF_IP:
        return take_host(e, &conf->host);
    case CONF_PORT:
        return take_u16(e, &conf->port, 1, UINT16_MAX);
    case CONF_USERNAME:
        return take_text(e, &conf->username);
    case CONF_PASSWORD:
        return take_text(e, &conf->password);
    case CONF_CLIENTID:
        return take_text(e, &conf->clientid);
    case CONF_SUBTOP:
        return take_filter(e);
    case CONF_PUBTOP:
        return take_topic(e, &conf->pubtop);
    case CONF_STS_MODE:
        return take_mode(e, &conf->mode);
    case CONF_AES:
        return take_cipher(e, &conf->cipher);
    case CONF_QOS:
        return take_u8(e, &conf->qos, 0, 2);
    case CONF_RETAIN:
        return take_flag(e, &conf->retain);
    case CONF_KEEPALIVE:
        return take_u16(e, &conf->keepalive_s, 0, UINT16_MAX);
    case CONF_CLEAN_SESSION:
        return take_flag(e, &conf->clean_session);
    case CONF_WILL_TOPIC:
        return take_topic(e, &conf->will_topic);
    case CONF_WILL_MSG:
        return take_text(e, &conf->will_msg);
    case CONF_WILL_QOS:
        return take_u8(e, &conf->will_qos, 0, 2);
    case CONF_WILL_RETAIN:
        return take_flag(e, &conf->will_retain);
    case CONF_TIMEOUT:
        return take_number(e, &conf->timeout_s, 1, CONF_TIMEOUT_MAX_S);
    case CONF_KEY:
        return take_text(e, &conf->key);
    case CONF_PEER:
        return take_peer(e);
    case CONF_PEERS:
        return take_text(e, &conf->peers);
    case CONF_PSK:
        return take_key32(e, &conf->psk_bytes, &conf->psk);
    case CONF_STATE:
        return take_text(e, &conf->state);
    case CONF_OUT:
        return take_text(e, &conf->out);
    case CONF_SPOOL:
        return take_text(e, &conf->spool);
    case CONF_SPOOL_MAX:
        return take_number(e, &conf->spool_max_bytes, SPOOL_MIN_BYTES, SPOOL_MAX_BYTES);
    case CONF_KEYS_COUNT:
        break;
    }
    return -1;
}

/* C0, DEL, and C1 as UTF-8 has it. */
static bool has_control(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.p[i];

        if (c < 0x20 || c == 0x7f)
            return true;
        if (c == 0xc2 && i + 1 < text.len && text.p[i + 1] >= 0x80 && text.p[i + 1] < 0xa0)
            return true;
    }
    return false;
}

/* What holds for the value of any key. */
static int check_text(const struct conf_entry *e)
{
    if (e->value.len == 0 && e->key != CONF_WILL_MSG)
        return conf_fail(e, CONF_THE_KEY, "there is no value");
    if (e->value.len > CONF_VALUE_MAX_CHARS)
        return conf_fail(e, CONF_THE_VALUE, "is longer than %u bytes", CONF_VALUE_MAX_CHARS);
    if (has_control(e->value))
        return conf_fail(e, CONF_THE_VALUE, "holds a control character");
    if (!mqtt_utf8_ok(e->value))
        return conf_fail(e, CONF_THE_VALUE, "is not UTF-8");
    return 0;
}

/* ---- lines ---- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r'; /* '\r': lines that end as on Windows */
}

static struct bytes trim(struct bytes text)
{
    size_t from = 0;
    size_t to = text.len;

    while (from < to && is_blank(text.p[from]))
        from++;
    while (to > from && is_blank(text.p[to - 1]))
        to--;
    return slice(text, from, to);
}

static struct bytes without_comment(struct bytes value)
{
    for (size_t i = 1; i < value.len; i++)
        if (value.p[i] == '#' && is_blank(value.p[i - 1]))
            return trim(slice(value, 0, i));
    return value;
}

static const struct name *find_name(struct bytes name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (bytes_equal(name, bytes_of(names[i].text)))
            return &names[i];
    return NULL;
}

static int take_pair(struct conf_entry *e, struct bytes pair)
{
    const uint8_t *equals = memchr(pair.p, '=', pair.len);
    const struct name *name;
    struct conf_origin *origin;
    struct bytes key;
    size_t at;

    /* Not quoted: it might be a secret. */
    if (!equals)
        return conf_fail(e, CONF_THE_KEY, "there is no '=', as in key = value");
    at = (size_t)(equals - pair.p);
    //@ split at;
    key = trim(slice(pair, 0, at));
    e->value = trim(slice(pair, at + 1, pair.len));
    if (e->origin.layer == CONF_LAYER_FILE)
        e->value = without_comment(e->value);
    name = find_name(key);
    if (!name)
        return conf_fail_unknown(e, key);
    origin = &e->conf->origin[name->key];
    if (origin->layer == e->origin.layer && name->key != CONF_SUBTOP)
        return conf_fail_twice(e, name->text, origin);
    e->origin.alias = name->text;
    e->key = (enum conf_key)name->key;
    if (check_text(e) != 0 || take_value(e) != 0)
        return -1;
    *origin = e->origin;
    return 0;
}

static struct bytes next_line(struct rd *in)
{
    const uint8_t *newline = memchr(in->p, '\n', rd_left(in));
    size_t len = newline ? (size_t)(newline - in->p) : rd_left(in);
    struct bytes line = rd_bytes(in, len);

    if (newline)
        (void)rd_u8(in);
    return line;
}

void conf_init(struct conf *conf, const char *name)
{
    memset(conf, 0, sizeof *conf);
    conf->name = name;
    conf->mqtt_version = MQTT_3_1_1;
    conf->port = 1883;
    conf->mode = STS_NOSEC;
    conf->cipher = STS_NULL;
    conf->qos = 1;
    conf->keepalive_s = 60;
    conf->clean_session = true;
    conf->timeout_s = 30;
    conf->spool_max_bytes = SPOOL_DEFAULT_BYTES;
}

int conf_parse(struct conf *conf, struct conf_error *error, struct bytes text)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf}; /* some editors start UTF-8 with it */
    struct rd in;

    if (text.len == 0)
        return 0;
    in = rd_over(text.p, text.len);
    if (text.len >= sizeof mark && memcmp(text.p, mark, sizeof mark) == 0)
        (void)rd_take(&in, sizeof mark);
    for (uint32_t line = 1; rd_left(&in) > 0; line++) {
        struct bytes pair = trim(next_line(&in));
        struct conf_entry e = {conf, error, {line, CONF_LAYER_FILE, NULL}, CONF_KEYS_COUNT, {0}};

        if (pair.len > 0 && pair.p[0] != '#' && take_pair(&e, pair) != 0)
            return -1;
    }
    return 0;
}

int conf_override(struct conf *conf, struct conf_error *error, const char *key_value)
{
    struct conf_entry e = {conf, error, {0, CONF_LAYER_OPTION, NULL}, CONF_KEYS_COUNT, {0}};

    return take_pair(&e, bytes_of(key_value));
}

void conf_wipe(struct conf *conf)
{
    crypto_wipe(&conf->psk, sizeof conf->psk);
    crypto_wipe(&conf->psk_bytes, sizeof conf->psk_bytes);
}
