/* sts1_keys.c - the secret of an STS/1 session and the cipher it is the key of; see sts1.h. */
#include "sts1.h"

#if STS_SEED

bool sts1_secret_refused(const uint8_t secret[32])
{
    return secret[0] != 0 && memchr(secret, 0, 32) != NULL;
}

int sts1_agree_as_master(struct sts *s, const struct crypto_point *peer)
{
    for (size_t i = 0; i < s->v1.shown_count; i++) {
        int err = crypto_secp256k1_shared(s->v1.key, s->v1.shown[i], peer);

        if (err || !sts1_secret_refused(s->v1.key))
            return err;
    }
    return crypto_secp256k1_shared(s->v1.key, s->v1.shown[0], peer);
}

int sts1_agree_as_slave(struct sts *s, const struct crypto_point *peer)
{
    uint8_t private_key[32];
    int err, draws = 0;

    do {
        err = draws++ < STS1_REDRAW_MAX ? 0 : CRYPTO_ERR_RANDOM;
        if (err == 0)
            err = crypto_secp256k1_keypair(private_key, &s->v1.public_key);
        if (err == 0)
            err = crypto_secp256k1_shared(s->v1.key, private_key, peer);
    } while (err == 0 && sts1_secret_refused(s->v1.key));
    crypto_wipe(private_key, sizeof private_key);
    return err;
}

int sts1_cipher(struct sts *s, uint8_t *data, size_t len, bool encrypt)
{
    switch (s->setup.cipher) {
    case STS_NULL:
    case STS_CHACHAPOLY:
        break;
    case STS_ECB:
        return crypto_aes256_ecb(data, len, s->v1.key, encrypt);
    case STS_CBC:
        return crypto_aes256_cbc(data, len, s->v1.key, s->v1.iv, encrypt);
    }
    return CRYPTO_ERR_LIBRARY;
}

#endif
