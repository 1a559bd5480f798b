/* conf.c - config files and -o overrides. The input is the text of a file; each part behind a zero
 * byte is an override. */
#include "conf.h"

#include "common.h"
#include "mqtt_min.h"

#define OVERRIDES_MAX 8

/* ---- what a config may be ---- */

static bool is_topic(const struct conf_value *v)
{
    return !v->set || mqtt_topic_ok(bytes_of(v->text));
}

static void check_value(const struct conf_value *v, bool may_be_empty)
{
    const size_t len = strnlen(v->text, sizeof v->text);

    CHECK(len <= CONF_VALUE_MAX_CHARS && (v->set || len == 0));
    CHECK(!v->set || may_be_empty || len > 0);
    CHECK(mqtt_utf8_ok(bytes_of(v->text)));
    for (size_t i = 0; i < len; i++)
        CHECK((uint8_t)v->text[i] >= 0x20 && v->text[i] != 0x7f);
}

static void check_values(const struct conf *c)
{
    const struct conf_value *values[] = {
        &c->host, &c->username, &c->password, &c->clientid, &c->pubtop, &c->will_topic, &c->key,
        &c->peer, &c->peers,    &c->psk,      &c->state,    &c->out,    &c->spool,
    };

    for (size_t i = 0; i < COUNT(values); i++)
        check_value(values[i], false);
    check_value(&c->will_msg, true);
    CHECK(c->subtop_count <= CONF_SUBTOPS_MAX);
    for (size_t i = 0; i < c->subtop_count; i++) {
        check_value(&c->subtop[i], false);
        CHECK(c->subtop[i].set && mqtt_filter_ok(bytes_of(c->subtop[i].text)));
    }
    CHECK(is_topic(&c->pubtop) && is_topic(&c->will_topic));
}

static void check_ranges(const struct conf *c)
{
    CHECK(c->mqtt_version == MQTT_3_1 || c->mqtt_version == MQTT_3_1_1);
    CHECK(c->port >= 1 && c->qos <= 2 && c->will_qos <= 2);
    CHECK(c->timeout_s >= 1 && c->timeout_s <= CONF_TIMEOUT_MAX_S);
    CHECK(c->spool_max_bytes >= SPOOL_MIN_BYTES && c->spool_max_bytes <= SPOOL_MAX_BYTES);
    CHECK(c->mode <= STS_COLLECTOR && c->cipher <= STS_CHACHAPOLY);
}

/* The table over conf_finish, mode by mode. */
static void check_mode(const struct conf *c)
{
    const bool v2 = c->cipher == STS_CHACHAPOLY;

    switch (c->mode) {
    case STS_NOSEC:
        CHECK(c->cipher == STS_NULL);
        break;
    case STS_MASTER:
    case STS_SLAVE:
        CHECK(c->cipher != STS_NULL && c->pubtop.set && c->subtop_count == 1 && !c->retain);
        CHECK(mqtt_topic_ok(bytes_of(c->subtop[0].text)));
        CHECK(!c->spool.set && !c->out.set);
        CHECK(!v2 || c->key.set);
        CHECK(!v2 || c->mode == STS_SLAVE || (c->peer.set && !c->peers.set));
        CHECK(!v2 || c->mode == STS_MASTER || (c->peer.set != c->peers.set && !c->state.set));
        break;
    case STS_SENDER:
        CHECK(v2 && c->pubtop.set && c->subtop_count == 0 && !c->retain);
        CHECK(c->key.set && c->peer.set && !c->peers.set && !c->out.set);
        CHECK(!c->spool.set || c->qos > 0);
        break;
    case STS_COLLECTOR:
        CHECK(v2 && !c->pubtop.set && c->subtop_count > 0 && !c->retain);
        CHECK(c->key.set && c->peers.set && !c->peer.set && c->state.set && !c->spool.set);
        break;
    }
    if (!v2)
        CHECK(!c->key.set && !c->peer.set && !c->peers.set && !c->psk.set && !c->state.set);
    CHECK(!c->psk.set || (c->peer.set && c->psk_bytes.set));
    CHECK(!c->peer.set || c->peer_key.set);
}

static void check_accepted(const struct conf *c)
{
    check_mode(c);
    CHECK(c->host.set && (!c->password.set || c->username.set));
    CHECK(c->will_topic.set || (!c->will_msg.set && c->will_qos == 0 && !c->will_retain));
    CHECK(c->clean_session || c->clientid.set || c->mode == STS_COLLECTOR);
    CHECK(STS_SEED || (c->cipher != STS_ECB && c->cipher != STS_CBC));
}

/* ---- what an error may say ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Whether the line says, or seems to be meant to say, a secret: its first word does. */
static char *secret_of(char *line)
{
    static const char *const names[] = {"password", "psk"};

    while (is_blank(*line))
        line++;
    for (size_t i = 0; i < COUNT(names); i++) {
        const size_t len = strlen(names[i]);
        if (strncmp(line, names[i], len) != 0 || (!is_blank(line[len]) && line[len] != '='))
            continue;
        line += len;
        while (is_blank(*line) || *line == '=')
            line++;
        return line;
    }
    return NULL;
}

/* Another secret of the same form: each character of base64 becomes another one, which leaves a
 * good psk good. */
static void change_secret(char *secret)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (; *secret && *secret != '\n'; secret++) {
        const char *at = strchr(base64, *secret);
        if (at)
            *secret = base64[(at - base64) ^ 4];
    }
}

/* In each line of the file, and in each override. */
static void change_secrets(char *input, size_t file_len, size_t size)
{
    char *end = input + size;

    for (char *line = input; line < end;) {
        char *secret = secret_of(line);
        if (secret)
            change_secret(secret);
        char *newline = line < input + file_len ? strchr(line, '\n') : NULL;
        line = newline ? newline + 1 : line + strlen(line) + 1;
    }
}

static void check_text(const struct conf_error *error)
{
    const char *text = error->text;

    CHECK(memchr(text, 0, sizeof error->text) && text[0] != 0);
    for (; *text; text++)
        CHECK((uint8_t)*text >= 0x20 && *text != 0x7f);
}

/* ---- a run ---- */

static int take_all(struct conf *conf, struct conf_error *error, const char *input, size_t size)
{
    const size_t file_len = strlen(input);
    const char *override = input + file_len + 1;
    int result;

    memset(error, 'x', sizeof *error);
    conf_init(conf, "fuzz.conf");
    result = conf_parse(conf, error, (struct bytes){(const uint8_t *)input, file_len});
    for (int i = 0; result == 0 && i < OVERRIDES_MAX && override <= input + size; i++) {
        result = conf_override(conf, error, override);
        override += strlen(override) + 1;
    }
    check_ranges(conf);
    check_values(conf);
    return result == 0 ? conf_finish(conf, error) : result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *input = malloc(size + 1);
    struct conf conf;
    struct conf_error error, other;
    int result;

    fuzz_begin();
    memcpy(input, data, size);
    input[size] = 0;
    result = take_all(&conf, &error, input, size);
    CHECK(result == 0 || result == -1);
    if (result == 0) {
        check_ranges(&conf);
        check_accepted(&conf);
        CHECK(error.text[0] == 'x');
    } else {
        check_text(&error);
    }
    /* No secret has any part in what is said. */
    change_secrets(input, strlen(input), size);
    CHECK(take_all(&conf, &other, input, size) == result);
    CHECK(result == 0 || strcmp(error.text, other.text) == 0);
    for (int key = 0; key < CONF_KEYS_COUNT; key++)
        CHECK(conf_key_name((enum conf_key)key)[0] != '?');
    free(input);
    return 0;
}
