/* test_peers.c - see peers.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "peers.h"

/* Binary search: each of many keys is found, and none that is not there. */
static void test_peers(void **state)
{
    enum { MANY = 1000 };
    static struct peer list[MANY];
    struct peers peers = {list, 0};
    uint8_t key[32] = {0};

    (void)state;
    assert_null(peers_find(&peers, key));
    for (size_t count = 1; count <= MANY; count += count < 20 ? 1 : 980) {
        peers.count = count;
        for (size_t i = 0; i < count; i++) {
            memset(&list[i], 0, sizeof list[i]);
            list[i].key[1] = (uint8_t)((2 * i + 1) >> 8);
            list[i].key[31] = (uint8_t)(2 * i + 1);
        }
        for (size_t i = 0; i < count; i++)
            assert_ptr_equal(peers_find(&peers, list[i].key), &list[i]);
        for (size_t i = 0; i <= count; i++) {
            memset(key, 0, 32);
            key[1] = (uint8_t)(2 * i >> 8);
            key[31] = (uint8_t)(2 * i);
            assert_null(peers_find(&peers, key));
        }
    }
    memset(list[0].psk, 7, 32);
    peers_wipe(&peers);
    assert_int_equal(peers.count, 0);
    memset(key, 0, 32);
    assert_memory_equal(list[0].psk, key, 32);
}

/* Computed once, and refused each time it is asked for. */
static void test_ss(void **state)
{
    struct peer peer = {.has_ss = false};
    uint8_t own[32] = {8}, public_key[32], want[32], zero[32] = {0};

    (void)state;
    assert_int_equal(peer_need_ss(&peer, own), CRYPTO_ERR_POINT);
    assert_int_equal(peer_need_ss(&peer, own), CRYPTO_ERR_POINT);
    assert_false(peer.has_ss);
    assert_memory_equal(peer.ss, zero, 32);
    crypto_x25519_public(public_key, own);
    memcpy(peer.key, public_key, 32);
    assert_int_equal(crypto_x25519_shared(want, own, public_key), 0);
    assert_int_equal(peer_need_ss(&peer, own), 0);
    assert_memory_equal(peer.ss, want, 32);
    memset(peer.ss, 1, 32);
    assert_int_equal(peer_need_ss(&peer, own), 0);
    assert_int_equal(peer.ss[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_ss),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
