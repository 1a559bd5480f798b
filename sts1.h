/* sts1.h - STS/1, the original protocol; for sts.c and the tests only. Normative: doc/protocol.md,
 * section STS/1.
 *
 * sts1.c is the state machine; sts1_outbox.c keeps the messages that wait to leave; sts1_wire.c
 * knows what they hold, sts1_keys.c how both ends come to one key and use it. Nothing here gives
 * integrity, protection against replay, or authentication worth the name. */
#ifndef STS_STS1_H
#define STS_STS1_H

#include "sts.h"

/* ---- sts1.c: what sts.h says of the functions of these names ---- */

int sts1_start(struct sts *s, uint64_t now_ms) __attribute__((warn_unused_result));
void sts1_take(struct sts *s, struct sts_news *news, uint8_t *payload, size_t payload_len,
               uint64_t now_ms);
int sts1_pull(struct sts *s, struct wr *out, uint64_t now_ms) __attribute__((warn_unused_result));
bool sts1_ready(const struct sts *s, uint64_t now_ms);
size_t sts1_text_max(const struct sts *s);
size_t sts1_sealed_size(size_t text_len);
int sts1_seal(struct sts *s, struct wr *out, struct bytes text) __attribute__((warn_unused_result));
void sts1_stop(struct sts *s);
enum sts_stage sts1_stage(const struct sts *s);
uint64_t sts1_deadline(const struct sts *s);
enum sts_event sts1_tick(struct sts *s, uint64_t now_ms);
void sts1_wipe(struct sts *s);

#if STS_SEED

/* ---- sts1_outbox.c ---- */

/* Puts a message behind those that wait to leave; one that waits already keeps its place. */
void sts1_post(struct sts1 *s, enum sts_type type);

bool sts1_posted(const struct sts1 *s, enum sts_type type);

/* The first message of the outbox has left. */
void sts1_unpost(struct sts1 *s);

/* ---- sts1_wire.c ---- */

/* A message in the clear: its header, which is the name of a type, and what stands behind the
 * colon. */
struct sts1_message {
    enum sts_type type;
    struct bytes data;
};

/* Takes a message apart at its first colon; as at the original, the data ends at the first zero
 * byte. `data` is a view into `clear`. False when there is no colon, or no type of this name. */
/*@ requires input: \valid_read(clear + (0 .. len - 1)) && \initialized(clear + (0 .. len - 1));
    requires output: \valid(m);
    assigns \result, *m \from clear, clear[0 .. len - 1], len;
    ensures data: \result ==> m->data.p + m->data.len <= clear + len; */
bool sts1_parse(struct sts1_message *m, const uint8_t *clear, size_t len);

/* Draws one id, each character of the alphabet equally likely. 0 or CRYPTO_ERR_RANDOM. */
/*@ requires output: \valid(id + (0 .. STS1_ID_CHARS - 1)); */
int sts1_id_draw(uint8_t id[STS1_ID_CHARS]) __attribute__((warn_unused_result));

/* Whether every character is one that ids are drawn from. */
/*@ requires view: \valid_read(ids.p + (0 .. ids.len - 1));
    assigns \result \from ids.p[0 .. ids.len - 1], ids.len; */
bool sts1_ids_of_alphabet(struct bytes ids);

/* Writes a point as RDYREQ carries it: 'X', digits, 'Y', digits; upper-case hex, two digits a byte,
 * leading zero bytes left out. */
/*@ requires input: \valid_read(point) && \initialized(point);
    requires output: \valid(out); */
void sts1_point_write(struct wr *out, const struct crypto_point *point);

/* Reads one: any number of leading zeros, odd numbers of digits, lower case too. False when it is
 * not of this form or a coordinate is longer than 32 bytes; whether it is a point of the curve
 * only crypto.c can tell. */
/*@ requires view: data.len == 0 || \valid_read(data.p + (0 .. data.len - 1));
    requires output: \valid(point); */
bool sts1_point_read(struct crypto_point *point, struct bytes data);

/* ---- sts1_keys.c ---- */

/* Whether the original refuses a shared secret: it measures the length up to the first zero byte
 * and takes 32 and, by mistake, 0. */
bool sts1_secret_refused(const uint8_t secret[32]);

/* Makes the secret in s->v1.key of the keys shown and the slave's public key: of the first of them
 * whose secret nobody refuses, since a slave keeps the first key that it does not refuse. When all
 * are refused, the slave refuses none, and so it kept the first. 0 or enum crypto_err. */
int sts1_agree_as_master(struct sts *s, const struct crypto_point *peer)
    __attribute__((warn_unused_result));

/* Makes the secret in s->v1.key of the master's public key and a new key pair, drawn again until
 * the secret is one that nobody refuses: a master of the original has shown its only key. The
 * public half goes to s->v1.public_key, the private half nowhere. 0 or enum crypto_err. */
int sts1_agree_as_slave(struct sts *s, const struct crypto_point *peer)
    __attribute__((warn_unused_result));

/* Enciphers or deciphers `len` bytes, a multiple of STS1_BLOCK_BYTES, in place; the chain of CBC
 * moves on. 0 or enum crypto_err. */
int sts1_cipher(struct sts *s, uint8_t *data, size_t len, bool encrypt)
    __attribute__((warn_unused_result));

#endif
#endif
