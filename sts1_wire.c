/* sts1_wire.c - what the messages of STS/1 hold; see sts1.h. */
#include "sts1.h"

#if STS_SEED

/* What the original draws ids from; it has the apostrophe twice. */
static const char id_alphabet[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJK0123456789!@#$%^&*()-=['/<>]_+";

#define ID_ALPHABET_CHARS (sizeof id_alphabet - 1)

static struct bytes until_zero(struct bytes b)
{
    const uint8_t *zero = b.len > 0 ? memchr(b.p, 0, b.len) : NULL;

    if (zero)
        b.len = (size_t)(zero - b.p);
    return b;
}

static bool type_of(enum sts_type *type, struct bytes name)
{
    static const enum sts_type types[] = {STS_INITREQ, STS_INITACK, STS_AUTHREQ, STS_AUTHACK,
                                          STS_RDYREQ,  STS_RDYACK,  STS_ENC,     STS_KILL};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (bytes_equal(name, bytes_of(sts_type_name(types[i])))) {
            *type = types[i];
            return true;
        }
    }
    return false;
}

bool sts1_parse(struct sts1_message *m, const uint8_t *clear, size_t len)
{
    const uint8_t *colon = memchr(clear, ':', len);
    struct rd in = rd_over(clear, len);
    struct bytes name;

    if (!colon)
        return false;
    name = rd_bytes(&in, (size_t)(colon - clear));
    (void)rd_u8(&in);
    m->data = until_zero(rd_bytes(&in, rd_left(&in)));
    return type_of(&m->type, name);
}

/* A byte that would make the first characters of the alphabet likelier than the rest is drawn
 * again: a round leaves one in five to the next. */
int sts1_id_draw(uint8_t id[STS1_ID_CHARS])
{
    const size_t fair = 256 - 256 % ID_ALPHABET_CHARS;
    uint8_t random[STS1_ID_CHARS];
    size_t count = 0;

    for (int round = 0; round < STS1_REDRAW_MAX && count < STS1_ID_CHARS; round++) {
        int err = crypto_random(random, sizeof random);

        if (err)
            return err;
        for (size_t i = 0; i < sizeof random && count < STS1_ID_CHARS; i++)
            if (random[i] < fair)
                id[count++] = (uint8_t)id_alphabet[random[i] % ID_ALPHABET_CHARS];
    }
    return count == STS1_ID_CHARS ? 0 : CRYPTO_ERR_RANDOM;
}

bool sts1_ids_of_alphabet(struct bytes ids)
{
    for (size_t i = 0; i < ids.len; i++)
        if (!memchr(id_alphabet, ids.p[i], ID_ALPHABET_CHARS))
            return false;
    return true;
}

static void coordinate_write(struct wr *out, char name, const uint8_t coordinate[32])
{
    static const char digits[] = "0123456789ABCDEF";
    size_t i = 0;

    while (i < 31 && coordinate[i] == 0)
        i++;
    wr_u8(out, (uint8_t)name);
    for (; i < 32; i++) {
        wr_u8(out, (uint8_t)digits[coordinate[i] >> 4]);
        wr_u8(out, (uint8_t)digits[coordinate[i] & 15]);
    }
}

void sts1_point_write(struct wr *out, const struct crypto_point *point)
{
    coordinate_write(out, 'X', point->x);
    coordinate_write(out, 'Y', point->y);
}

/* The value of a hex digit, or -1. */
static int digit_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return -1;
}

static bool coordinate_read(uint8_t coordinate[32], struct rd *in, char name)
{
    size_t count = 0;

    memset(coordinate, 0, 32);
    if (rd_u8(in) != (uint8_t)name)
        return false;
    for (; rd_left(in) > 0 && digit_value(*in->p) >= 0; count++) {
        if (coordinate[0] >> 4)
            return false;
        for (size_t i = 0; i < 31; i++)
            coordinate[i] = (uint8_t)(coordinate[i] << 4 | coordinate[i + 1] >> 4);
        coordinate[31] = (uint8_t)(coordinate[31] << 4 | digit_value(rd_u8(in)));
    }
    return count > 0;
}

bool sts1_point_read(struct crypto_point *point, struct bytes data)
{
    struct rd in = rd_over(data.p, data.len);

    return coordinate_read(point->x, &in, 'X') && coordinate_read(point->y, &in, 'Y') &&
           rd_end(&in);
}

#endif
