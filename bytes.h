/* bytes.h - the read and write cursors that all encoding and decoding goes through.
 *
 * No other code moves a pointer over bytes of the network or of a file. A call that does not fit
 * sets `bad` and moves nothing; from then on reads give 0 (rd_take NULL) and writes do nothing. So
 * a codec is a straight list of fields with one check of `bad` at its end, before anything that was
 * read is used. Integers are big endian, as in MQTT (section 1.5.2) and STS/2.
 *
 * Comments that start with an at sign are ACSL contracts, which `make prove` checks at every call:
 * doc/proof.md. */
#ifndef STS_BYTES_H
#define STS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A view: bytes owned by somebody else. `p` may be NULL where `len` is 0. */
struct bytes {
    const uint8_t *p;
    size_t len;
};

struct rd {
    const uint8_t *p, *end;
    bool bad;
};

struct wr {
    uint8_t *p, *end;
    bool bad;
};

static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/*@ requires bytes: len == 0 || \valid_read(p + (0 .. len - 1));
    assigns \result \from p, len; */
static inline struct rd rd_over(const uint8_t *p, size_t len)
{
    return (struct rd){p, len > 0 ? p + len : p, false}; /* NULL + 0 is undefined */
}

static inline size_t rd_left(const struct rd *r)
{
    return (size_t)(r->end - r->p);
}

/* Takes the next `n` bytes and returns where they are; NULL (and bad) if fewer are left. The proof
 * looks at each length on its own: it keeps no relation between `p` and `end`. */
/*@ requires cursor: \valid(r);
    ensures taken: \result == \null || \result == \old(r->p); */
static inline const uint8_t *rd_take(struct rd *r, size_t n)
{
    const uint8_t *taken = r->p;

    //@ split (size_t)(r->end - r->p);
    if (r->bad || n > rd_left(r)) {
        r->bad = true;
        return NULL;
    }
    //@ split n;
    r->p += n;
    return taken;
}

/* The same as a view, which is empty if fewer are left. */
static inline struct bytes rd_bytes(struct rd *r, size_t n)
{
    const uint8_t *p = rd_take(r, n);

    return (struct bytes){p, p ? n : 0};
}

/* Takes `n` bytes and says whether they are there and are these. */
static inline bool rd_is(struct rd *r, const void *these, size_t n)
{
    const uint8_t *p = rd_take(r, n);

    return p && memcmp(p, these, n) == 0;
}

static inline uint8_t rd_u8(struct rd *r)
{
    const uint8_t *b = rd_take(r, 1);

    return b ? b[0] : 0;
}

static inline uint16_t rd_be16(struct rd *r)
{
    const uint8_t *b = rd_take(r, 2);

    if (!b)
        return 0;
    return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t rd_be32(struct rd *r)
{
    uint32_t high = rd_be16(r);

    return high << 16 | rd_be16(r);
}

static inline uint64_t rd_be64(struct rd *r)
{
    uint64_t high = rd_be32(r);

    return high << 32 | rd_be32(r);
}

/* Says whether all was read and nothing is left over; left-over bytes make the cursor bad. */
static inline bool rd_end(struct rd *r)
{
    if (r->p != r->end)
        r->bad = true;
    return !r->bad;
}

/*@ requires room: size == 0 || \valid(p + (0 .. size - 1));
    assigns \result \from p, size; */
static inline struct wr wr_over(uint8_t *p, size_t size)
{
    return (struct wr){p, p + size, false};
}

static inline size_t wr_room(const struct wr *w)
{
    return (size_t)(w->end - w->p);
}

/* Claims the next `n` bytes for the caller to fill; NULL (and bad) if there is less room. */
/*@ requires cursor: \valid(w);
    ensures claimed: \result == \null || \result == \old(w->p); */
static inline uint8_t *wr_claim(struct wr *w, size_t n)
{
    uint8_t *claimed = w->p;

    //@ split (size_t)(w->end - w->p);
    if (w->bad || n > wr_room(w)) {
        w->bad = true;
        return NULL;
    }
    //@ split n;
    w->p += n;
    return claimed;
}

/*@ requires cursor: \valid(w);
    requires bytes: n == 0 || \valid_read((const uint8_t *)from + (0 .. n - 1)); */
static inline void wr_put(struct wr *w, const void *from, size_t n)
{
    uint8_t *to = wr_claim(w, n);

    if (to && n > 0)
        memcpy(to, from, n);
}

static inline void wr_u8(struct wr *w, uint8_t v)
{
    wr_put(w, &v, 1);
}

static inline void wr_be16(struct wr *w, uint16_t v)
{
    const uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

    wr_put(w, b, sizeof b);
}

static inline void wr_be32(struct wr *w, uint32_t v)
{
    const uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    wr_put(w, b, sizeof b);
}

static inline void wr_be64(struct wr *w, uint64_t v)
{
    uint8_t b[8];

    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> (56 - 8 * i));
    wr_put(w, b, sizeof b);
}

#endif
