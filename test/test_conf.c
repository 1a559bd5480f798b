/* test_conf.c - config text and overrides -> values, or the exact message.
 *
 * Every text stands in a heap block of exactly its size, so AddressSanitizer sees any read outside
 * of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf.h"
#include "mqtt_min.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define FILE_NAME "config/x"
#define FULL_FILE_MAX_BYTES 8192

/* The bytes 0, 1, 2 .. 31; a point of low order. */
#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define LOW_ORDER "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

#if STS_SEED
#define CIPHERS "null, ecb, cbc or chachapoly"
#define SESSION_CIPHERS "chachapoly, ecb or cbc"
#else
#define CIPHERS "null or chachapoly"
#define SESSION_CIPHERS "chachapoly"
#endif

static struct conf conf;
static struct conf_error error;

static int parse_bytes(const char *text, size_t len)
{
    char *block = malloc(len + 1); /* the text at its end */
    int result;

    assert_non_null(block);
    memcpy(block + 1, text, len);
    memset(&error, 0, sizeof error);
    conf_init(&conf, FILE_NAME);
    result = conf_parse(&conf, &error, (struct bytes){(uint8_t *)block + 1, len});
    free(block);
    assert_true(result == 0 || result == -1);
    assert_int_equal(result == 0, error.text[0] == 0);
    assert_non_null(memchr(error.text, 0, sizeof error.text));
    return result;
}

static int parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

/* The message for `text`, "" if there is none. */
static const char *message(const char *text)
{
    (void)parse(text);
    return error.text;
}

static const char *option_message(const char *option)
{
    int result;

    memset(&error, 0, sizeof error);
    result = conf_override(&conf, &error, option);
    assert_int_equal(result, error.text[0] == 0 ? 0 : -1);
    return error.text;
}

static void finish(void)
{
    int result = conf_finish(&conf, &error);

    assert_int_equal(result, error.text[0] == 0 ? 0 : -1);
}

/* The message of conf_finish for `text`, "" if there is none. */
static const char *finish_message(const char *text)
{
    assert_string_equal(message(text), "");
    finish();
    return error.text;
}

static void defaults(void **state)
{
    (void)state;
    memset(&conf, 0xee, sizeof conf);
    conf_init(&conf, FILE_NAME);
    assert_string_equal(conf.name, FILE_NAME);
    assert_int_equal(conf.mqtt_version, MQTT_3_1_1);
    assert_int_equal(conf.port, 1883);
    assert_int_equal(conf.mode, STS_NOSEC);
    assert_int_equal(conf.cipher, STS_NULL);
    assert_int_equal(conf.qos, 1);
    assert_int_equal(conf.retain, 0);
    assert_int_equal(conf.keepalive_s, 60);
    assert_int_equal(conf.clean_session, 1);
    assert_int_equal(conf.timeout_s, 30);
    assert_int_equal(conf.will_qos, 0);
    assert_int_equal(conf.will_retain, 0);
    assert_int_equal(conf.subtop_count, 0);
    assert_false(conf.host.set || conf.username.set || conf.password.set || conf.clientid.set);
    assert_false(conf.pubtop.set || conf.will_topic.set || conf.will_msg.set);
    assert_false(conf.key.set || conf.peer.set || conf.peers.set || conf.psk.set || conf.state.set);
    assert_false(conf.out.set || conf.spool.set);
    assert_int_equal(conf.spool_max_bytes, 1048576);
    assert_false(conf.peer_key.set || conf.psk_bytes.set);
    for (size_t i = 0; i < CONF_KEYS_COUNT; i++)
        assert_int_equal(conf.origin[i].layer, CONF_LAYER_DEFAULT);
}

static void key_names(void **state)
{
    (void)state;
#define CHECK_NAME(id, name) assert_string_equal(conf_key_name(id), name);
    CONF_KEYS(CHECK_NAME)
#undef CHECK_NAME
    assert_non_null(conf_key_name(CONF_KEYS_COUNT));
    assert_non_null(conf_key_name((enum conf_key) - 1));
}

/* ---- each kind of value ---- */

#define NUMBER(low, high) " is not a number from " low " to " high

static void values(void **state)
{
    static const struct {
        const char *line, *reason; /* behind `config/x: line 1: KEY: "VALUE"`; NULL: is taken */
    } cases[] = {
        {"mqtt_version=3", NULL},
        {"mqtt_version=4", NULL},
        {"mqtt_version=2", NUMBER("3", "4")},
        {"mqtt_version=5", NUMBER("3", "4")},
        {"port=1", NULL},
        {"port=65535", NULL},
        {"port=0", NUMBER("1", "65535")},
        {"port=65536", NUMBER("1", "65535")},
        {"port=01883", NULL},
        {"port=-1", NUMBER("1", "65535")},
        {"port=+1", NUMBER("1", "65535")},
        {"port=1883x", NUMBER("1", "65535")},
        {"port=0x75b", NUMBER("1", "65535")},
        {"port=1 883", NUMBER("1", "65535")},
        {"port=18.83", NUMBER("1", "65535")},
        {"port=4294967297", NUMBER("1", "65535")},
        {"port=4294969179", NUMBER("1", "65535")},
        {"port=18446744073709551617", NUMBER("1", "65535")},
        {"port=:", NUMBER("1", "65535")},
        {"port=/", NUMBER("1", "65535")},
        {"qos=0", NULL},
        {"qos=2", NULL},
        {"qos=3", NUMBER("0", "2")},
        {"qos=-1", NUMBER("0", "2")},
        {"qos=258", NUMBER("0", "2")},
        {"retain=0", NULL},
        {"retain=1", NULL},
        {"retain=2", NUMBER("0", "1")},
        {"retain=true", NUMBER("0", "1")},
        {"keepalive=0", NULL},
        {"keepalive=65535", NULL},
        {"keepalive=65536", NUMBER("0", "65535")},
        {"clean_session=0", NULL},
        {"clean_session=1", NULL},
        {"clean_session=2", NUMBER("0", "1")},
        {"will_qos=0", NULL},
        {"will_qos=2", NULL},
        {"will_qos=3", NUMBER("0", "2")},
        {"will_retain=0", NULL},
        {"will_retain=1", NULL},
        {"will_retain=2", NUMBER("0", "1")},
        {"timeout=1", NULL},
        {"timeout=86400", NULL},
        {"timeout=0", NUMBER("1", "86400")},
        {"timeout=86401", NUMBER("1", "86400")},
        {"ip=10.0.0.1", NULL},
        {"ip=fe80::1%eth0", NULL},
        {"ip=broker-1.a_b.example.", NULL},
        {"ip=azAZ09", NULL},
        {"ip=tcp://broker", " is not an address or a host name alone"},
        {"ip=a b", " is not an address or a host name alone"},
        {"ip=[::1]", " is not an address or a host name alone"},
        {"ip=a@b", " is not an address or a host name alone"},
        {"ip=b\xc3\xbc", " is not an address or a host name alone"},
        {"username=me", NULL},
        {"username=#me", NULL},
        {"username=\xe2\x82\xac", NULL},
        {"username=a\tb", " holds a control character"},
        {"username=a\x7f", " holds a control character"},
        {"username=a\xc2\x80z", " holds a control character"},
        {"username=a\xc2\x9fz", " holds a control character"},
        {"username=a\xc2\xa0z", NULL},
        {"username=a\xc2", " is not UTF-8"},
        {"username=a\xc2z", " is not UTF-8"},
        {"username=\x80", " is not UTF-8"},
        {"username=\xed\xa0\x80", " is not UTF-8"},
        {"clientid=x", NULL},
        {"pubtop=a/b", NULL},
        {"pubtop=/", NULL},
        {"pubtop=a/+", " is not a topic to publish to: it holds '+' or '#'"},
        {"pubtop=#", " is not a topic to publish to: it holds '+' or '#'"},
        {"subtop=#", NULL},
        {"subtop=a/#", NULL},
        {"subtop=+/b/+", NULL},
        {"subtop=a#", " is not a topic filter: '#' is the whole last level, '+' a whole level"},
        {"subtop=#/a", " is not a topic filter: '#' is the whole last level, '+' a whole level"},
        {"subtop=a+/b", " is not a topic filter: '#' is the whole last level, '+' a whole level"},
        {"will_topic=a/b", NULL},
        {"will_topic=a/#", " is not a topic to publish to: it holds '+' or '#'"},
        {"will_msg=gone", NULL},
        {"will_msg=\x01", " holds a control character"},
        {"sts_mode=nosec", NULL},
        {"aes=null", NULL},
        {"sts_mode=master", NULL},
        {"sts_mode=slave", NULL},
        {"sts_mode=push", NULL},
        {"sts_mode=collect", NULL},
        {"sts_mode=", NULL},
        {"sts_mode=Master", " is not nosec, master, slave, push or collect"},
        {"sts_mode=nosec2", " is not nosec, master, slave, push or collect"},
        {"aes=chachapoly", NULL},
        {"aes=aes", " is not " CIPHERS},
#if STS_SEED
        {"aes=ecb", NULL},
        {"aes=cbc", NULL},
#else
        {"aes=ecb", " cannot be used: this build has no STS/1"},
        {"aes=cbc", " cannot be used: this build has no STS/1"},
#endif
        {"key=a/b.key", NULL},
        {"peers=peers", NULL},
        {"state=x # no", NULL},
        {"out=a/b #.json", NULL},
        {"out=", NULL},
        {"spool=/var/spool/sts # no", NULL},
        {"spool_max=1024", NULL},
        {"spool_max=268435456", NULL},
        {"spool_max=1023", NUMBER("1024", "268435456")},
        {"spool_max=268435457", NUMBER("1024", "268435456")},
        {"spool_max=4294968320", NUMBER("1024", "268435456")},
        {"spool_max=1M", NUMBER("1024", "268435456")},
        {"spool_max=-1024", NUMBER("1024", "268435456")},
        {"spool_max=", NULL},
        {"peer=" KEY, NULL},
        {"peer=" LOW_ORDER, " is not a public key: a point of low order"},
        {"peer=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
         " is not a public key: a point of low order"},
        {"peer=x", " is not 32 bytes in base64"},
        {"peer=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", " is not 32 bytes in base64"},
        {"peer=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", " is not 32 bytes in base64"},
        {"peer=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh==", " is not 32 bytes in base64"},
        {"peer=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", " is not 32 bytes in base64"},
        {"peer=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxw Hh8=", " is not 32 bytes in base64"},
        {"peer=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxw_Hh8=", " is not 32 bytes in base64"},
        {"psk=" KEY, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *line = cases[i].line;
        const char *value = strchr(line, '=') + 1;
        int key_len = (int)(value - 1 - line);
        char expected[CONF_ERROR_MAX_CHARS] = "";
        char option[CONF_ERROR_MAX_CHARS] = "";

        if (*value == 0) {
            (void)snprintf(expected, sizeof expected, FILE_NAME ": line 1: %.*s: there is no value",
                           key_len, line);
            (void)snprintf(option, sizeof option, "-o %s: there is no value", line);
        } else if (cases[i].reason) {
            char shown[64];

            (void)snprintf(shown, sizeof shown, "%s", value);
            for (char *c = shown; *c; c++)
                if (((uint8_t)*c < 0x20 || (uint8_t)*c >= 0x7f) && strcmp(value, "b\xc3\xbc") != 0)
                    *c = '?';
            (void)snprintf(expected, sizeof expected, FILE_NAME ": line 1: %.*s: \"%s\"%s", key_len,
                           line, shown, cases[i].reason);
            (void)snprintf(option, sizeof option, "-o %.*s=%s: the value%s", key_len, line, shown,
                           cases[i].reason);
        }
        assert_string_equal(message(line), expected);
        conf_init(&conf, "");
        assert_string_equal(option_message(line), option);
    }
}

/* Every key: no value, too long a value, twice. */
static void every_key(void **state)
{
    static const char *const keys[] = {
#define KEY_NAME(id, name) name,
        CONF_KEYS(KEY_NAME)
#undef KEY_NAME
            "url",
        "host",
        "cipher",
    };
    char text[512], expected[512];

    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        const char *shown = strcmp(keys[i], "password") == 0 || strcmp(keys[i], "psk") == 0
                                ? "the value"
                                : "\"000000000000000000000000000000000000000000000000...\"";

        (void)snprintf(text, sizeof text, "\n%s = \n", keys[i]);
        (void)snprintf(expected, sizeof expected, FILE_NAME ": line 2: %s: there is no value",
                       keys[i]);
        assert_string_equal(message(text), strcmp(keys[i], "will_msg") == 0 ? "" : expected);

        (void)snprintf(text, sizeof text, "# x\n\n%s=%0129d", keys[i], 1);
        (void)snprintf(expected, sizeof expected,
                       FILE_NAME ": line 3: %s: %s is longer than 128 bytes", keys[i], shown);
        assert_string_equal(message(text), expected);
    }
}

static void longest_values(void **state)
{
    static const char *const keys[] = {"ip",     "username",   "password", "clientid", "subtop",
                                       "pubtop", "will_topic", "will_msg", "key",      "peers",
                                       "state",  "out",        "spool"};
    const struct conf_value *const values_of[] = {
        &conf.host,   &conf.username,   &conf.password, &conf.clientid, &conf.subtop[0],
        &conf.pubtop, &conf.will_topic, &conf.will_msg, &conf.key,      &conf.peers,
        &conf.state,  &conf.out,        &conf.spool};
    char value[CONF_VALUE_MAX_CHARS + 1], text[512];

    (void)state;
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    for (size_t i = 0; i < COUNT(keys); i++) {
        (void)snprintf(text, sizeof text, "%s=%s", keys[i], value);
        assert_string_equal(message(text), "");
        assert_true(values_of[i]->set);
        assert_string_equal(values_of[i]->text, value);
    }
    (void)snprintf(text, sizeof text, "port=%0128d", 7);
    assert_string_equal(message(text), "");
    assert_int_equal(conf.port, 7);
}

static void given_twice(void **state)
{
    static const struct {
        const char *key, *value;
    } cases[] = {
        {"mqtt_version", "3"},  {"ip", "a"},         {"port", "1"},     {"username", "a"},
        {"password", "a"},      {"clientid", "a"},   {"pubtop", "a"},   {"sts_mode", "nosec"},
        {"aes", "null"},        {"qos", "1"},        {"retain", "0"},   {"keepalive", "1"},
        {"clean_session", "1"}, {"will_topic", "a"}, {"will_msg", "a"}, {"will_qos", "1"},
        {"will_retain", "1"},   {"timeout", "9"},    {"url", "a"},      {"host", "a"},
        {"cipher", "null"},     {"key", "a"},        {"peer", KEY},     {"peers", "a"},
        {"psk", KEY},           {"state", "a"},      {"out", "a"},      {"spool", "a"},
        {"spool_max", "1024"},
    };
    char text[256], expected[256];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        (void)snprintf(text, sizeof text, "#\n#\n%s=%s\n#\n%s=%s", cases[i].key, cases[i].value,
                       cases[i].key, cases[i].value);
        (void)snprintf(expected, sizeof expected,
                       FILE_NAME ": line 5: %s is given twice (first in line 3)", cases[i].key);
        assert_string_equal(message(text), expected);
    }
    assert_string_equal(message("ip=a\nhost=b"),
                        FILE_NAME ": line 2: host is given twice (first in line 1 as ip)");
    assert_string_equal(message("cipher=null\naes=null"),
                        FILE_NAME ": line 2: aes is given twice (first in line 1 as cipher)");
    /* The second value is not looked at, and a bad first one does not count. */
    assert_string_equal(message("qos=1\nqos=9"),
                        FILE_NAME ": line 2: qos is given twice (first in line 1)");
    assert_string_equal(message("qos=9\nqos=1"),
                        FILE_NAME ": line 1: qos: \"9\" is not a number from 0 to 2");
}

static void several_subtops(void **state)
{
    (void)state;
    assert_string_equal(message("subtop=a\nsubtop=b/#\nsubtop=+\nsubtop=d\nsubtop=e\nsubtop=f\n"
                                "subtop=g\nsubtop=h"),
                        "");
    assert_int_equal(conf.subtop_count, CONF_SUBTOPS_MAX);
    assert_string_equal(conf.subtop[0].text, "a");
    assert_string_equal(conf.subtop[1].text, "b/#");
    assert_string_equal(conf.subtop[7].text, "h");
    assert_int_equal(conf.origin[CONF_SUBTOP].line, 8);
    assert_string_equal(message("subtop=a\nsubtop=b\nsubtop=c\nsubtop=d\nsubtop=e\nsubtop=f\n"
                                "subtop=g\nsubtop=h\nsubtop=i"),
                        FILE_NAME ": line 9: subtop: there are more than 8 of them");
}

static void aliases(void **state)
{
    static const char *const names[] = {"ip", "url", "host"};
    char text[64];

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        (void)snprintf(text, sizeof text, "%s=broker", names[i]);
        assert_string_equal(message(text), "");
        assert_string_equal(conf.host.text, "broker");
        assert_string_equal(conf.origin[CONF_IP].alias, names[i]);
    }
    assert_string_equal(message("host=a/b"),
                        FILE_NAME ": line 1: host: \"a/b\" is not an address or a host name alone");
    assert_string_equal(message("cipher=null"), "");
    assert_string_equal(conf.origin[CONF_AES].alias, "cipher");
}

/* ---- lines ---- */

static void unknown_keys(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"\nprot = 1", FILE_NAME ": line 2: unknown key \"prot\""},
        {"Port = 1", FILE_NAME ": line 1: unknown key \"Port\""},
        {"port2 = 1", FILE_NAME ": line 1: unknown key \"port2\""},
        {"por = 1", FILE_NAME ": line 1: unknown key \"por\""},
        {" = 1", FILE_NAME ": line 1: unknown key \"\""},
        /* The '=' behind psk is forgotten, and the one that is found belongs to its value. */
        {"psk ZK6lllVSDJzj4BZsHtAFdSqP5UZ6KVLdnNZu7TRRq1w=",
         FILE_NAME ": line 1: unknown key \"psk\""},
        {"psk\r\rZK6lllVSDJzj4BZsHtAFdSqP5UZ6KVLdnNZu7TRRq1w=",
         FILE_NAME ": line 1: unknown key \"psk\""},
        {"ZK6lllVSDJzj4BZsHtAFdSqP5UZ6KVLdnNZu7TRRq1w=",
         FILE_NAME ": line 1: unknown key \"ZK6lllVSDJzj4B...\""},
        {"a b = 1", FILE_NAME ": line 1: unknown key \"a\""},
        {"\x1b[2J = 1", FILE_NAME ": line 1: unknown key \"?[2J\""},
        {"spool_min = x", FILE_NAME ": line 1: unknown key \"spool_min\""},
        {"0123456789012345678901234567890123456789012345678 = 1",
         FILE_NAME ": line 1: unknown key \"01234567890123...\""},
        {"port 1883", FILE_NAME ": line 1: there is no '=', as in key = value"},
        {"port=1\nhunter2 # a = b? no\n", FILE_NAME ": line 2: unknown key \"hunter2\""},
        {"port=1\npassword hunter2", FILE_NAME ": line 2: there is no '=', as in key = value"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(message(cases[i].text), cases[i].expected);
}

static void blanks_and_comments(void **state)
{
    static const struct {
        const char *text, *username; /* NULL: not set */
    } cases[] = {
        {"", NULL},
        {"\n\n\r\n", NULL},
        {" \t \n\t", NULL},
        {"# only\n  # comments\n\t#", NULL},
        {"#username=a", NULL},
        {"  # username=a", NULL},
        {"username=a", "a"},
        {"username=a\n", "a"},
        {"username = a\r\n", "a"},
        {"\t username \t = \t a \t \n", "a"},
        {"username   =   a b   c  ", "a b   c"},
        {"username = a # comment", "a"},
        {"username = a\t#comment # more", "a"},
        {"username = a#b", "a#b"},
        {"username = a# b", "a# b"},
        {"username = a#b #c", "a#b"},
        {"username = #", "#"},
        {"username = # a", "# a"},
        {"username = # # a", "#"},
        {"username=#a #b", "#a"},
        {"username = a=b=c", "a=b=c"},
        {"username = =", "="},
        {"username = \"a\"", "\"a\""},
        {"\xef\xbb\xbfusername = a", "a"},
        {"\xef\xbb\xbf# x\nusername = a", "a"},
        {"\xef\xbb\xbf", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(message(cases[i].text), "");
        assert_int_equal(conf.username.set, cases[i].username != NULL);
        assert_string_equal(conf.username.text, cases[i].username ? cases[i].username : "");
    }
    assert_string_equal(message("subtop = sensors/# # all\nsubtop = #\n"), "");
    assert_string_equal(conf.subtop[0].text, "sensors/#");
    assert_string_equal(conf.subtop[1].text, "#");
    assert_string_equal(message("will_msg ="), "");
    assert_true(conf.will_msg.set);
    assert_string_equal(conf.will_msg.text, "");
    assert_string_equal(message("\xef\xbb\xbf\xef\xbb\xbfqos=1"),
                        FILE_NAME ": line 1: unknown key \"\xef\xbb\xbfqos\"");
    assert_string_equal(message("qos=1\rport=2"),
                        FILE_NAME ": line 1: qos: \"1?port=2\" holds a control character");
}

static void no_text_at_all(void **state)
{
    (void)state;
    conf_init(&conf, FILE_NAME);
    assert_int_equal(conf_parse(&conf, &error, (struct bytes){NULL, 0}), 0);
}

static void zero_bytes(void **state)
{
    static const char in_value[] = "username=a\0b";
    static const char at_the_end[] = "username=ab\0";
    static const char in_key[] = "user\0name=ab";
    static const char in_comment[] = "# a\0b\nqos=2 # \0";
    static const char utf16[] = "\xff\xfeq\0o\0s\0=\0"
                                "2\0";

    (void)state;
    assert_int_equal(parse_bytes(in_value, sizeof in_value - 1), -1);
    assert_string_equal(error.text,
                        FILE_NAME ": line 1: username: \"a?b\" holds a control character");
    assert_int_equal(parse_bytes(at_the_end, sizeof at_the_end - 1), -1);
    assert_string_equal(error.text,
                        FILE_NAME ": line 1: username: \"ab?\" holds a control character");
    assert_int_equal(parse_bytes(in_key, sizeof in_key - 1), -1);
    assert_string_equal(error.text, FILE_NAME ": line 1: unknown key \"user?name\"");
    assert_int_equal(parse_bytes(in_comment, sizeof in_comment - 1), 0);
    assert_int_equal(conf.qos, 2);
    assert_int_equal(parse_bytes(utf16, sizeof utf16 - 1), -1);
    assert_string_equal(error.text, FILE_NAME ": line 1: unknown key \"??q?o?s?\"");
}

static void passwords_are_not_shown(void **state)
{
    static const char *const bad[] = {"sec\x01ret", "sec\x80ret"};
    char text[512];

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        (void)snprintf(text, sizeof text, "password = %s", bad[i]);
        assert_null(strstr(message(text), "sec"));
        assert_ptr_equal(strstr(error.text, FILE_NAME ": line 1: password: the value "),
                         error.text);
        (void)snprintf(text, sizeof text, "password=%s", bad[i]);
        conf_init(&conf, "");
        assert_null(strstr(option_message(text), "sec"));
        assert_ptr_equal(strstr(error.text, "-o password: the value "), error.text);
    }
    (void)snprintf(text, sizeof text, "password=%0129d", 8);
    assert_string_equal(message(text),
                        FILE_NAME ": line 1: password: the value is longer than 128 bytes");
    assert_string_equal(option_message(text), "-o password: the value is longer than 128 bytes");
    assert_string_equal(message("password=secret\npassword=secret"),
                        FILE_NAME ": line 2: password is given twice (first in line 1)");
    conf_init(&conf, "");
    assert_string_equal(option_message("password=secret"), "");
    assert_string_equal(option_message("password=secret"), "-o: password is given twice");
    assert_string_equal(option_message("passwort=secret"), "-o: unknown key \"passwort\"");
    assert_string_equal(option_message("secret"), "-o: there is no '=', as in key = value");
    assert_string_equal(finish_message("ip=a\npassword=secret"),
                        FILE_NAME ": line 2: password: needs a username");
}

static void psks_are_not_shown(void **state)
{
    static const char *const bad[] = {"sec\x01ret", "sec\x80ret", "secret", "secret=", KEY "sec"};
    char text[512];

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        (void)snprintf(text, sizeof text, "psk = %s", bad[i]);
        assert_null(strstr(message(text), "sec"));
        assert_null(strstr(error.text, "AAEC"));
        assert_ptr_equal(strstr(error.text, FILE_NAME ": line 1: psk: the value "), error.text);
        assert_false(conf.psk.set || conf.psk_bytes.set);
        (void)snprintf(text, sizeof text, "psk=%s", bad[i]);
        conf_init(&conf, "");
        assert_null(strstr(option_message(text), "sec"));
        assert_null(strstr(error.text, "AAEC"));
        assert_ptr_equal(strstr(error.text, "-o psk: the value "), error.text);
    }
    assert_string_equal(message("psk=x"),
                        FILE_NAME ": line 1: psk: the value is not 32 bytes in base64");
    assert_string_equal(message("psk=" KEY "\npsk=" KEY),
                        FILE_NAME ": line 2: psk is given twice (first in line 1)");
    assert_string_equal(finish_message("ip=a\npsk=" KEY),
                        FILE_NAME ": line 2: psk: needs aes = chachapoly");
}

static void keys_are_decoded(void **state)
{
    uint8_t expected[32];

    (void)state;
    for (uint8_t i = 0; i < 32; i++)
        expected[i] = i;
    assert_string_equal(message("psk=" KEY "\npeer = " KEY " # of the gateway"), "");
    assert_memory_equal(conf.psk_bytes.bytes, expected, 32);
    assert_memory_equal(conf.peer_key.bytes, expected, 32);
    assert_true(conf.psk_bytes.set && conf.peer_key.set);
    assert_string_equal(conf.psk.text, KEY);
    assert_string_equal(conf.peer.text, KEY);
    assert_string_equal(option_message("peer=/////////////////////////////////////////38="), "");
    assert_int_equal(conf.peer_key.bytes[0], 0xff);
    assert_int_equal(conf.peer_key.bytes[31], 0x7f);
}

/* A long name, key and value: the reason is still there, in full. */
static void messages_fit(void **state)
{
    static const char *const lines[] = {
        "port=%0200d", "subtop=%0110d#",     "sts_mode=%0120d",          "mqtt_version=%0100d",
        "%0200d=1",    "will_topic=%0110d#", "clean_session=\x01%0120d",
    };
    char name[1000], text[512];

    (void)state;
    memset(name, 'n', sizeof name - 1);
    (void)snprintf(name + sizeof name - 9, 9, "\x1b[2J/end");
    for (size_t i = 0; i < COUNT(lines); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(text, sizeof text, lines[i], 0);
#pragma GCC diagnostic pop
        conf_init(&conf, name);
        assert_int_equal(conf_parse(&conf, &error, bytes_of(text)), -1);
        assert_true(strlen(error.text) < CONF_ERROR_MAX_CHARS - 1);
        assert_memory_equal(error.text, "...nnn", 6);
        assert_non_null(strstr(error.text, "n?[2J/end: line 1: "));
        conf_init(&conf, name);
        assert_int_equal(conf_override(&conf, &error, text), -1);
        assert_true(strlen(error.text) < CONF_ERROR_MAX_CHARS - 1);
        assert_memory_equal(error.text, "-o", 2);
    }
    conf_init(&conf, name);
    assert_int_equal(conf_finish(&conf, &error), -1);
    assert_non_null(strstr(error.text, "end: ip (or url, host) is missing"));
}

/* ---- overrides ---- */

static void override_and_file(void **state)
{
    static const struct {
        const char *file, *options[3];
        uint16_t port;
        const char *error; /* of the last option */
    } cases[] = {
        {"", {NULL}, 1883, ""},
        {"port=1", {NULL}, 1, ""},
        {"", {"port=2"}, 2, ""},
        {"port=1", {"port=2"}, 2, ""},
        {"port=1", {" port = 2 "}, 2, ""},
        {"port=1", {"qos=0", "port=2"}, 2, ""},
        {"port=1", {"port=2", "port=3"}, 2, "-o: port is given twice"},
        {"", {"port=2", "port=2"}, 2, "-o: port is given twice"},
        {"port=1", {"port=0"}, 1, "-o port=0: the value is not a number from 1 to 65535"},
        {"port=1", {"port=70000"}, 1, "-o port=70000: the value is not a number from 1 to 65535"},
        {"port=1", {"port=2 # x"}, 1, "-o port=2 # x: the value is not a number from 1 to 65535"},
        {"port=1", {"port="}, 1, "-o port=: there is no value"},
        {"port=1", {"port"}, 1, "-o: there is no '=', as in key = value"},
        {"port=1", {""}, 1, "-o: there is no '=', as in key = value"},
        {"port=1", {"=1"}, 1, "-o: unknown key \"\""},
        {"port=1", {"prot=1"}, 1, "-o: unknown key \"prot\""},
        {"", {"#port=1"}, 1883, "-o: unknown key \"#port\""},
        {"", {"ip=a", "url=b"}, 1883, "-o: url is given twice, first as ip"},
        {"ip=a", {"url=b", "host=c"}, 1883, "-o: host is given twice, first as url"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(message(cases[i].file), "");
        for (size_t o = 0; o < COUNT(cases[i].options) && cases[i].options[o]; o++) {
            bool last = o + 1 == COUNT(cases[i].options) || !cases[i].options[o + 1];

            assert_string_equal(option_message(cases[i].options[o]), last ? cases[i].error : "");
        }
        assert_int_equal(conf.port, cases[i].port);
    }
}

static void override_text(void **state)
{
    (void)state;
    assert_string_equal(message("url=long.example.org\nwill_msg=x"), "");
    assert_string_equal(option_message("ip=b"), "");
    assert_string_equal(conf.host.text, "b");
    assert_int_equal(conf.origin[CONF_IP].layer, CONF_LAYER_OPTION);
    assert_string_equal(conf.origin[CONF_IP].alias, "ip");
    assert_string_equal(option_message("will_msg="), "");
    assert_string_equal(conf.will_msg.text, "");
    assert_string_equal(option_message("username=a # b"), "");
    assert_string_equal(conf.username.text, "a # b");
}

static void override_subtops(void **state)
{
    char option[16];

    (void)state;
    assert_string_equal(message("subtop=a\nsubtop=b\nsubtop=c"), "");
    assert_string_equal(option_message("subtop=x"), "");
    assert_int_equal(conf.subtop_count, 1);
    assert_string_equal(conf.subtop[0].text, "x");
    assert_string_equal(option_message("subtop=y"), "");
    assert_int_equal(conf.subtop_count, 2);
    assert_string_equal(conf.subtop[1].text, "y");
    for (unsigned i = 2; i < CONF_SUBTOPS_MAX; i++) {
        (void)snprintf(option, sizeof option, "subtop=%u", i);
        assert_string_equal(option_message(option), "");
    }
    assert_string_equal(option_message("subtop=z"), "-o subtop=z: there are more than 8 of them");
    assert_int_equal(conf.subtop_count, CONF_SUBTOPS_MAX);
}

/* ---- what belongs together ---- */

#define SESSION(mode, aes) "ip=a\nsts_mode=" mode "\naes=" aes "\npubtop=p\n"
#define MASTER SESSION("master", "chachapoly") "subtop=s\nkey=f\n"
#define SLAVE SESSION("slave", "chachapoly") "subtop=s\nkey=f\n"
#define PUSH "ip=a\nsts_mode=push\npubtop=p\nkey=f\npeer=" KEY "\n"
#define COLLECT "ip=a\nsts_mode=collect\nsubtop=s/#\nkey=f\npeers=f\nstate=f\n"

static void finish_rules(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", FILE_NAME ": ip (or url, host) is missing: the broker"},
        {"ip=a", ""},
        {"url=a", ""},
        {"ip=a\nusername=u", ""},
        {"ip=a\nusername=u\npassword=p", ""},
        {"ip=a\npassword=p", FILE_NAME ": line 2: password: needs a username"},
        {"ip=a\nwill_msg=x", FILE_NAME ": line 2: will_msg: needs a will_topic"},
        {"ip=a\nwill_msg=", FILE_NAME ": line 2: will_msg: needs a will_topic"},
        {"ip=a\nwill_qos=0", FILE_NAME ": line 2: will_qos: needs a will_topic"},
        {"ip=a\nwill_retain=0", FILE_NAME ": line 2: will_retain: needs a will_topic"},
        {"ip=a\nwill_topic=t", ""},
        {"ip=a\nwill_topic=t\nwill_msg=x\nwill_qos=2\nwill_retain=1", ""},
        {"ip=a\nclean_session=0", FILE_NAME ": line 2: clean_session: 0 needs a clientid"},
        {"ip=a\nclean_session=0\nclientid=c", ""},
        {"ip=a\nclean_session=1", ""},
        {"ip=a\nmqtt_version=3", ""},
        {"ip=a\nmqtt_version=3\nclientid=12345678901234567890123", ""},
        {"ip=a\nmqtt_version=3\nclientid=1234567890123456789012\xc3\xbc", ""},
        {"ip=a\nmqtt_version=3\nclientid=123456789012345678901234",
         FILE_NAME ": line 3: clientid: MQTT 3.1 takes no more than 23 characters"},
        {"ip=a\nmqtt_version=4\nclientid=123456789012345678901234", ""},
        {"ip=a\nretain=1", ""},
        {"ip=a\nsts_mode=nosec\naes=null", ""},
        {"ip=a\nsts_mode=master",
         FILE_NAME ": line 2: sts_mode: master and slave need aes = " SESSION_CIPHERS},
        {SESSION("slave", "null") "subtop=s",
         FILE_NAME ": line 2: sts_mode: master and slave need aes = " SESSION_CIPHERS},
        {"ip=a\naes=chachapoly",
         FILE_NAME ": line 2: aes: chachapoly needs sts_mode = master, slave, push or collect"},
#if STS_SEED
        {"ip=a\ncipher=cbc",
         FILE_NAME ": line 2: cipher: ecb and cbc need sts_mode = master or slave"},
        {"ip=a\naes=ecb\nsts_mode=nosec",
         FILE_NAME ": line 2: aes: ecb and cbc need sts_mode = master or slave"},
        {SESSION("master", "cbc") "subtop=s", ""},
        {SESSION("master", "ecb") "subtop=s", ""},
        {SESSION("slave", "cbc") "subtop=s", ""},
        {SESSION("slave", "ecb") "subtop=s", ""},
        {SESSION("slave", "ecb") "subtop=s\nclean_session=0",
         FILE_NAME ": line 6: clean_session: 0 needs a clientid"},
        {PUSH "aes=cbc", FILE_NAME ": line 6: aes: push and collect take only chachapoly"},
        {COLLECT "cipher=ecb", FILE_NAME ": line 7: cipher: push and collect take only chachapoly"},
#endif
        {PUSH "aes=null", FILE_NAME ": line 6: aes: push and collect take only chachapoly"},
        {"ip=a\nsts_mode=slave\naes=chachapoly\nsubtop=s",
         FILE_NAME ": line 2: sts_mode: master and slave need a pubtop"},
        {SESSION("slave", "chachapoly"),
         FILE_NAME ": line 2: sts_mode: master and slave need a subtop"},
        {SESSION("slave", "chachapoly") "subtop=s\nsubtop=t",
         FILE_NAME ": line 6: subtop: master and slave take only one"},
        {SESSION("slave", "chachapoly") "subtop=s/#",
         FILE_NAME ": line 5: subtop: master and slave take no wildcards"},
        {SESSION("master", "chachapoly") "subtop=+/s",
         FILE_NAME ": line 5: subtop: master and slave take no wildcards"},
        {SESSION("master", "chachapoly") "subtop=s\nretain=1",
         FILE_NAME ": line 6: retain: master and slave never retain"},
        {MASTER "peer=" KEY, ""},
        {MASTER "peer=" KEY "\nretain=0", ""},
        {MASTER "peer=" KEY "\npsk=" KEY "\nstate=f\nclean_session=0\nclientid=c", ""},
        {MASTER "peer=" KEY "\nclean_session=0",
         FILE_NAME ": line 8: clean_session: 0 needs a clientid"},
        {MASTER, FILE_NAME ": line 2: sts_mode: master and push need a peer: the public key of the "
                           "other end"},
        {MASTER "peers=f", FILE_NAME ": line 7: peers: master and push have one other end: peer"},
        {SLAVE "peer=" KEY, ""},
        {SLAVE "peer=" KEY "\npsk=" KEY, ""},
        {SLAVE "peers=f", ""},
        {SLAVE, FILE_NAME ": line 2: sts_mode: slave needs a peer (the public key of the master) "
                          "or peers"},
        {SLAVE "peers=f\npeer=" KEY,
         FILE_NAME ": line 7: peers: a slave takes peer or peers, not both"},
        {SLAVE "peers=f\npsk=" KEY,
         FILE_NAME ": line 8: psk: goes with peer; a peers file has one a line"},
        {SLAVE "peers=f\nstate=f", FILE_NAME ": line 8: state: a slave has nothing to keep"},
        {SLAVE "peers=f\nout=f", FILE_NAME ": line 8: out: goes with collect only"},
        {SLAVE "peers=f\nspool=f", FILE_NAME ": line 8: spool: goes with push only"},
        {MASTER "peer=" KEY "\nout=f", FILE_NAME ": line 8: out: goes with collect only"},
        {MASTER "peer=" KEY "\nspool=f", FILE_NAME ": line 8: spool: goes with push only"},
        {MASTER "peer=" KEY "\nspool_max=1024", FILE_NAME ": line 8: spool_max: needs a spool"},
        {SESSION("slave", "chachapoly") "subtop=s\npeer=" KEY,
         FILE_NAME ": line 2: sts_mode: chachapoly needs a key: a file that sts -k makes"},
        {PUSH, ""},
        {PUSH "aes=chachapoly\npsk=" KEY "\nstate=f\nwill_topic=t\nqos=2", ""},
        {PUSH "spool=f", ""},
        {PUSH "spool=f\nqos=2\nspool_max=1024\nstate=f", ""},
        {PUSH "spool_max=4096\nspool=f", ""},
        {PUSH "spool_max=4096", FILE_NAME ": line 6: spool_max: needs a spool"},
        {PUSH "qos=0\nspool=f",
         FILE_NAME ": line 7: spool: needs qos 1 or 2: QoS 0 is never acknowledged"},
        {PUSH "out=f", FILE_NAME ": line 6: out: goes with collect only"},
        {PUSH "retain=1", FILE_NAME ": line 6: retain: push never retains"},
        {PUSH "subtop=s", FILE_NAME ": line 6: subtop: push receives nothing"},
        {PUSH "peers=f", FILE_NAME ": line 6: peers: master and push have one other end: peer"},
        {PUSH "clean_session=0", FILE_NAME ": line 6: clean_session: 0 needs a clientid"},
        {"ip=a\nsts_mode=push\nkey=f\npeer=" KEY,
         FILE_NAME ": line 2: sts_mode: push needs a pubtop"},
        {"ip=a\nsts_mode=push\npubtop=p\npeer=" KEY,
         FILE_NAME ": line 2: sts_mode: chachapoly needs a key: a file that sts -k makes"},
        {"ip=a\nsts_mode=push\npubtop=p\nkey=f",
         FILE_NAME ": line 2: sts_mode: master and push need a peer: the public key of the other "
                   "end"},
        {COLLECT, ""},
        {COLLECT "subtop=$share/g/a/#\nsubtop=+/x\naes=chachapoly\nclean_session=1", ""},
        {COLLECT "clean_session=0", ""},
        {COLLECT "out=f", ""},
        {COLLECT "out=f\nqos=0", ""},
        {COLLECT "spool=f", FILE_NAME ": line 7: spool: goes with push only"},
        {COLLECT "spool_max=1024", FILE_NAME ": line 7: spool_max: needs a spool"},
        {COLLECT "mqtt_version=3", ""},
        {COLLECT "pubtop=p", FILE_NAME ": line 7: pubtop: collect sends nothing"},
        {COLLECT "retain=1", FILE_NAME ": line 7: retain: collect sends nothing to be retained"},
        {COLLECT "peer=" KEY, FILE_NAME ": line 7: peer: collect takes peers: a file of all "
                                        "devices"},
        {COLLECT "psk=" KEY, FILE_NAME ": line 7: psk: goes with peer; a peers file has one a "
                                       "line"},
        {"ip=a\nsts_mode=collect", FILE_NAME ": line 2: sts_mode: collect needs a subtop"},
        {"ip=a\nsts_mode=collect\nsubtop=s\npeers=f\nstate=f",
         FILE_NAME ": line 2: sts_mode: chachapoly needs a key: a file that sts -k makes"},
        {"ip=a\nsts_mode=collect\nsubtop=s\nkey=f\nstate=f",
         FILE_NAME ": line 2: sts_mode: collect needs peers: a file of all devices"},
        {"ip=a\nsts_mode=collect\nsubtop=s\nkey=f\npeers=f",
         FILE_NAME ": line 2: sts_mode: collect needs a state: the file that tells new pushes from "
                   "old ones"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_string_equal(finish_message(cases[i].text), cases[i].expected);
}

/* key and what follows it belong to STS/2 alone. */
static void keys_without_chachapoly(void **state)
{
    static const struct {
        const char *name, *value;
    } keys[] = {{"key", "f"},   {"peer", KEY}, {"peers", "f"}, {"psk", KEY},
                {"state", "f"}, {"out", "f"},  {"spool", "f"}, {"spool_max", "2000"}};
    static const char *const texts[] = {
        "ip=a\n",
#if STS_SEED
        SESSION("master", "cbc") "subtop=s\n",
        SESSION("slave", "ecb") "subtop=s\n",
#endif
    };
    char text[256], expected[256];

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        for (size_t k = 0; k < COUNT(keys); k++) {
            (void)snprintf(text, sizeof text, "%s%s=%s", texts[i], keys[k].name, keys[k].value);
            (void)snprintf(expected, sizeof expected,
                           FILE_NAME ": line %d: %s: needs aes = chachapoly", i == 0 ? 2 : 6,
                           keys[k].name);
            assert_string_equal(finish_message(text), expected);
        }
}

static void defaults_of_the_mode(void **state)
{
    (void)state;
    assert_string_equal(finish_message(PUSH), "");
    assert_int_equal(conf.mode, STS_SENDER);
    assert_int_equal(conf.cipher, STS_CHACHAPOLY);
    assert_true(conf.clean_session);
    assert_string_equal(finish_message(COLLECT), "");
    assert_int_equal(conf.mode, STS_COLLECTOR);
    assert_int_equal(conf.cipher, STS_CHACHAPOLY);
    assert_false(conf.clean_session);
    assert_false(conf.clientid.set);
    assert_string_equal(finish_message(COLLECT "clean_session=1"), "");
    assert_true(conf.clean_session);
    assert_string_equal(finish_message(MASTER "peer=" KEY), "");
    assert_true(conf.clean_session);
    assert_string_equal(finish_message("ip=a"), "");
    assert_int_equal(conf.cipher, STS_NULL);
}

static void finish_after_options(void **state)
{
    (void)state;
    conf_init(&conf, "");
    assert_int_equal(conf_finish(&conf, &error), -1);
    assert_string_equal(error.text, "ip (or url, host) is missing: the broker");
    assert_string_equal(option_message("ip=a"), "");
    assert_int_equal(conf_finish(&conf, &error), 0);
    assert_string_equal(option_message("clean_session=0"), "");
    assert_int_equal(conf_finish(&conf, &error), -1);
    assert_string_equal(error.text, "-o clean_session: 0 needs a clientid");
    assert_string_equal(option_message("password=p"), "");
    assert_int_equal(conf_finish(&conf, &error), -1);
    assert_string_equal(error.text, "-o password: needs a username");
}

/* ---- whole files ---- */

static const char full[] = "\xef\xbb\xbf# everything there is\r\n"
                           "mqtt_version = 3\n"
                           "host\t=\tbroker.example.org   # comment\n"
                           "port=1884\n"
                           "username = me\n"
                           "password = se # cret\n"
                           "clientid = gateway-1\n"
                           "subtop = sensors/#\n"
                           "subtop = +/x\n"
                           "pubtop = out\n"
                           "sts_mode = nosec\n"
                           "cipher = null\n"
                           "qos = 2\n"
                           "retain = 1\n"
                           "keepalive = 0\n"
                           "clean_session = 0\n"
                           "will_topic = gone\n"
                           "will_msg = gr\xc3\xbc\xc3\x9f\xe2\x82\xac\n"
                           "will_qos = 1\n"
                           "will_retain = 1\n"
                           "timeout = 86400";

/* The rest, which makes no sense there. */
static const char full_sts2[] = "ip = broker.example.org\n"
                                "sts_mode = master  # begins\n"
                                "cipher = chachapoly\n"
                                "pubtop = m2s\n"
                                "subtop = s2m\n"
                                "key = /etc/sts/master.key\n"
                                "peer = " KEY "\n"
                                "psk = 8PHy8/T19vf4+fr7/P3+/wABAgMEBQYHCAkKCwwNDg8= # ours\r\n"
                                "state = /var/lib/sts/state";

/* What a master does not have. */
static const char full_push[] = PUSH "spool = /var/lib/sts/spool # bounded\n"
                                     "spool_max = 65536";
static const char full_collect[] = COLLECT "out\t= /srv/readings.json";

static void a_full_file(void **state)
{
    (void)state;
    assert_string_equal(finish_message(full), "");
    assert_int_equal(conf.mqtt_version, MQTT_3_1);
    assert_string_equal(conf.host.text, "broker.example.org");
    assert_int_equal(conf.port, 1884);
    assert_string_equal(conf.username.text, "me");
    assert_string_equal(conf.password.text, "se");
    assert_string_equal(conf.clientid.text, "gateway-1");
    assert_int_equal(conf.subtop_count, 2);
    assert_string_equal(conf.subtop[0].text, "sensors/#");
    assert_string_equal(conf.subtop[1].text, "+/x");
    assert_string_equal(conf.pubtop.text, "out");
    assert_int_equal(conf.mode, STS_NOSEC);
    assert_int_equal(conf.cipher, STS_NULL);
    assert_int_equal(conf.qos, 2);
    assert_true(conf.retain);
    assert_int_equal(conf.keepalive_s, 0);
    assert_false(conf.clean_session);
    assert_string_equal(conf.will_topic.text, "gone");
    assert_string_equal(conf.will_msg.text, "gr\xc3\xbc\xc3\x9f\xe2\x82\xac");
    assert_int_equal(conf.will_qos, 1);
    assert_true(conf.will_retain);
    assert_int_equal(conf.timeout_s, 86400);
    for (size_t i = 0; i <= CONF_TIMEOUT; i++) {
        assert_int_equal(conf.origin[i].layer, CONF_LAYER_FILE);
        assert_int_not_equal(conf.origin[i].line, 0);
    }
    assert_int_equal(conf.origin[CONF_MQTT_VERSION].line, 2);
    assert_int_equal(conf.origin[CONF_TIMEOUT].line, 21);
}

static void a_full_file_of_sts2(void **state)
{
    (void)state;
    assert_string_equal(finish_message(full_sts2), "");
    assert_int_equal(conf.mode, STS_MASTER);
    assert_int_equal(conf.cipher, STS_CHACHAPOLY);
    assert_string_equal(conf.key.text, "/etc/sts/master.key");
    assert_string_equal(conf.peer.text, KEY);
    assert_string_equal(conf.state.text, "/var/lib/sts/state");
    assert_false(conf.peers.set);
    assert_int_equal(conf.psk_bytes.bytes[0], 0xf0);
    assert_int_equal(conf.psk_bytes.bytes[31], 0x0f);
    assert_int_equal(conf.origin[CONF_STATE].line, 9);
    assert_string_equal(finish_message(full_push), "");
    assert_string_equal(conf.spool.text, "/var/lib/sts/spool");
    assert_int_equal(conf.spool_max_bytes, 65536);
    assert_false(conf.out.set);
    assert_string_equal(finish_message(full_collect), "");
    assert_string_equal(conf.out.text, "/srv/readings.json");
    assert_false(conf.spool.set);
    assert_int_equal(conf.origin[CONF_OUT].line, 7);
}

static void every_prefix(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof full; len++)
        if (parse_bytes(full, len) == 0)
            finish();
    for (size_t len = 0; len < sizeof full_sts2; len++)
        if (parse_bytes(full_sts2, len) == 0)
            finish();
}

/* Files of the original, as they are (addresses and names aside). */
static void files_of_the_original(void **state)
{
    static const struct {
        const char *text;
        enum sts_mode mode;
        enum sts_cipher cipher;
    } cases[] = {
        {"mqtt_version  = 4\nip   = 192.0.2.1\nport = 1883\nusername = nosec\npassword = nosec\n"
         "subtop   = telemetry       \npubtop   = telemetry\nclientid = test_nosec\n"
         "sts_mode = nosec\naes      = null\n",
         STS_NOSEC, STS_NULL},
#if STS_SEED
        {"mqtt_version  = 4\nip   = 192.0.2.1\nport = 1883\nusername = master\npassword = master\n"
         "subtop   = s2m\npubtop   = m2s\nclientid = test_master\nsts_mode = master\n"
         "aes      = cbc\n",
         STS_MASTER, STS_CBC},
        {"url  = broker.example.org\nport = 1883\nusername = slave\npassword = slave\n"
         "subtop   = m2s\npubtop   = s2m\nclientid = test_slave\nsts_mode = slave\n"
         "aes      = ecb\n",
         STS_SLAVE, STS_ECB},
#endif
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(finish_message(cases[i].text), "");
        assert_int_equal(conf.mode, cases[i].mode);
        assert_int_equal(conf.cipher, cases[i].cipher);
    }
    assert_string_equal(finish_message(cases[0].text), "");
    assert_string_equal(conf.subtop[0].text, "telemetry");
}

/* The samples that come with the program. */
static void samples(void **state)
{
    static const struct {
        const char *path;
        enum sts_mode mode;
        enum sts_cipher cipher;
        const char *pubtop, *subtop;
        const char *option; /* that the comments in the file tell to give */
    } cases[] = {
        {"config/nosec", STS_NOSEC, STS_NULL, "sts/demo", "sts/demo", NULL},
#if STS_SEED
        {"config/secmaster", STS_MASTER, STS_CBC, "m2s", "s2m", NULL},
        {"config/secslave", STS_SLAVE, STS_CBC, "s2m", "m2s", NULL},
#endif
        {"config/master", STS_MASTER, STS_CHACHAPOLY, "sts/m2s", "sts/s2m", "peer=" KEY},
        {"config/slave", STS_SLAVE, STS_CHACHAPOLY, "sts/s2m", "sts/m2s", "peer=" KEY},
        {"config/push", STS_SENDER, STS_CHACHAPOLY, "sts/push/device1", "", "peer=" KEY},
        {"config/collect", STS_COLLECTOR, STS_CHACHAPOLY, "", "sts/push/+", NULL},
    };
    static char text[CONF_FILE_MAX_BYTES];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        FILE *file = fopen(cases[i].path, "rb");

        assert_non_null(file); /* the tests run in the top folder */
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        (void)fclose(file);
        assert_string_equal(message(text), "");
        if (cases[i].option)
            assert_string_equal(option_message(cases[i].option), "");
        finish();
        assert_string_equal(error.text, "");
        assert_string_equal(conf.host.text, "127.0.0.1");
        assert_int_equal(conf.port, 1883);
        assert_int_equal(conf.mode, cases[i].mode);
        assert_int_equal(conf.cipher, cases[i].cipher);
        assert_string_equal(conf.pubtop.text, cases[i].pubtop);
        assert_int_equal(conf.subtop_count, cases[i].subtop[0] != 0);
        assert_string_equal(conf.subtop[0].text, cases[i].subtop);
        assert_false(conf.username.set || conf.password.set);
    }
}

/* ---- a little fuzzing ---- */

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static size_t mutate(char *text, size_t len, size_t size, uint32_t *seed)
{
    static const char telling[] = "\n\r\t =#\0\x7f\x80\xc2\xff\x30\x39+/:";
    size_t at = next_random(seed) % len;
    size_t n = 1 + next_random(seed) % 32;

    switch (next_random(seed) % 4) {
    case 0: /* another byte */
        text[at] = telling[next_random(seed) % (sizeof telling - 1)];
        return len;
    case 1: /* some bytes less */
        n = n < len - at ? n : len - at;
        memmove(text + at, text + at + n, len - at - n);
        return len - n > 0 ? len - n : 1;
    case 2: /* some bytes twice */
        n = n < len - at ? n : len - at;
        if (len + n > size)
            return len;
        memmove(text + at + n, text + at, len - at);
        return len + n;
    default:
        text[at] = (char)next_random(seed);
        return len;
    }
}

/* What can be said of any result: values end with a zero byte and are what the checks let in; a
 * message is harmless text. */
static void check_sane(int result)
{
    const struct conf_value *const texts[] = {
        &conf.host,       &conf.username, &conf.password, &conf.clientid, &conf.pubtop,
        &conf.will_topic, &conf.will_msg, &conf.key,      &conf.peer,     &conf.peers,
        &conf.psk,        &conf.state,    &conf.out,      &conf.spool};

    assert_true(conf.peer.set <= conf.peer_key.set && conf.psk.set == conf.psk_bytes.set);
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_non_null(memchr(texts[i]->text, 0, sizeof texts[i]->text));
        assert_true(mqtt_utf8_ok(bytes_of(texts[i]->text)));
        for (const char *c = texts[i]->text; *c; c++)
            assert_true((uint8_t)*c >= 0x20 && *c != 0x7f);
    }
    assert_true(conf.subtop_count <= CONF_SUBTOPS_MAX);
    for (size_t i = 0; i < conf.subtop_count; i++)
        assert_true(mqtt_filter_ok(bytes_of(conf.subtop[i].text)));
    assert_true(conf.port >= 1 && conf.qos <= 2 && conf.will_qos <= 2);
    assert_true(conf.timeout_s >= 1 && conf.timeout_s <= CONF_TIMEOUT_MAX_S);
    assert_true(conf.mqtt_version == 3 || conf.mqtt_version == 4);
    for (const char *c = error.text; *c; c++)
        assert_true((uint8_t)*c >= 0x20 && *c != 0x7f);
    assert_true(mqtt_utf8_ok(bytes_of(error.text)));
    assert_true(result == 0 || strncmp(error.text, FILE_NAME ": line ", 15) == 0);
}

static void mutations(void **state)
{
    static char text[FULL_FILE_MAX_BYTES];
    uint32_t seed = 20260101;
    unsigned good = 0;

    (void)state;
    for (unsigned round = 0; round < 30000; round++) {
        const bool sts2 = round % 2;
        size_t len = sts2 ? sizeof full_sts2 - 1 : sizeof full - 1;
        int result;

        memcpy(text, sts2 ? full_sts2 : full, len);
        for (uint32_t n = next_random(&seed) % 8; n > 0; n--)
            len = mutate(text, len, sizeof text, &seed);
        result = parse_bytes(text, len);
        check_sane(result);
        good += result == 0;
        if (result == 0)
            finish();
    }
    assert_in_range(good, 3000, 27000); /* both ways are walked */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(key_names),
        cmocka_unit_test(values),
        cmocka_unit_test(every_key),
        cmocka_unit_test(longest_values),
        cmocka_unit_test(given_twice),
        cmocka_unit_test(several_subtops),
        cmocka_unit_test(aliases),
        cmocka_unit_test(unknown_keys),
        cmocka_unit_test(blanks_and_comments),
        cmocka_unit_test(no_text_at_all),
        cmocka_unit_test(zero_bytes),
        cmocka_unit_test(passwords_are_not_shown),
        cmocka_unit_test(psks_are_not_shown),
        cmocka_unit_test(keys_are_decoded),
        cmocka_unit_test(messages_fit),
        cmocka_unit_test(override_and_file),
        cmocka_unit_test(override_text),
        cmocka_unit_test(override_subtops),
        cmocka_unit_test(finish_rules),
        cmocka_unit_test(keys_without_chachapoly),
        cmocka_unit_test(defaults_of_the_mode),
        cmocka_unit_test(finish_after_options),
        cmocka_unit_test(a_full_file),
        cmocka_unit_test(a_full_file_of_sts2),
        cmocka_unit_test(every_prefix),
        cmocka_unit_test(files_of_the_original),
        cmocka_unit_test(samples),
        cmocka_unit_test(mutations),
    };

    return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
