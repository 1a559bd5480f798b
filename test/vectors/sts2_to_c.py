#!/usr/bin/python3
"""Turns sts2.json into tables of C: sts2_to_c.py sts2.json > vectors_sts2.h"""
import json
import sys

TYPES = """/* Made by sts2_to_c.py from sts2.json. */
#include "bytes.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct v_text {
    struct bytes payload, ciphertext;
};
struct v_noise {
    const char *protocol;
    struct bytes psk, prologue, initiator, initiator_ephemeral, responder_public, responder,
        responder_ephemeral, hash;
    size_t messages_count;
    struct v_text messages[8];
};
struct v_message {
    const char *name;
    bool from_master;
    unsigned type;
    struct bytes bytes, plaintext;
};
struct v_session {
    const char *name;
    uint64_t id;
    struct bytes topic, psk, master, master_public, slave, slave_public, master_ephemeral,
        slave_ephemeral, es, ss, ee, se, hash, key_master, key_slave;
    size_t messages_count;
    struct v_message messages[16];
};
struct v_push {
    const char *name;
    uint64_t id;
    struct bytes topic, psk, sender, sender_public, collector, collector_public, ephemeral, es, ss,
        hash, data, bytes;
};
struct v_negative {
    const char *name;
    const char *of;         /* session or push */
    char receiver;          /* 'm'aster, 's'lave, 'c'ollector */
    const char *after[8];   /* ends with NULL */
    struct bytes topic, bytes;
    const char *then;       /* or NULL */
};
struct v_step {
    const char *comment;
    char act;               /* 'e'mit; deliver and be 'd'ropped, 't'aken, 'a'nswered */
    struct bytes topic, bytes, reply, data;
    bool has_data, established, killed;
    uint64_t lost, sent, received, peer_sent, peer_received;
};
struct v_scenario {
    const char *name;
    char receiver;
    struct bytes own, own_public, topic;
    size_t peers_count, ephemerals_count, steps_count;
    struct bytes peers[4], psks[4], ephemerals[8];
    uint64_t ids[8];
    struct v_step steps[64];
};
"""


def raw(data):
    if not data:
        return '{NULL, 0}'
    text = ''.join('\\x%02x' % b for b in data)
    return '{(const uint8_t *)"%s", %d}' % (text, len(data))


def hexed(text):
    return raw(bytes.fromhex(text))


def quoted(text):
    return 'NULL' if text is None else json.dumps(text)


def number(text):
    return 'UINT64_C(0x%s)' % text


def group(values):
    return '{' + ', '.join(values) + '}'


def table(kind, name, rows):
    print('static const struct %s %s[] = {' % (kind, name))
    for row in rows:
        print('    ' + row + ',')
    print('};')


def noise(n):
    return group([
        quoted(n['protocol_name']), hexed(n['init_psks'][0]), hexed(n['init_prologue']),
        hexed(n['init_static']), hexed(n['init_ephemeral']), hexed(n['init_remote_static']),
        hexed(n['resp_static']), hexed(n.get('resp_ephemeral', '')), hexed(n['handshake_hash']),
        str(len(n['messages'])),
        group(group([hexed(m['payload']), hexed(m['ciphertext'])]) for m in n['messages'])])


def message(m):
    return group([quoted(m['name']), str(int(m['from'] == 'master')),
                  str(int(m['fields']['type'], 16)), hexed(m['bytes']), hexed(m['plaintext'])])


def session(s):
    h = s['handshake']
    fields = [s['topic_hex'], s['psk'], s['master_static_private'], s['master_static_public'],
              s['slave_static_private'], s['slave_static_public'], s['master_ephemeral_private'],
              s['slave_ephemeral_private'], h['dh_es'], h['dh_ss'], h['dh_ee'], h['dh_se'],
              s['handshake_hash'], s['key_master_to_slave'], s['key_slave_to_master']]
    return group([quoted(s['name']), number(s['id'])] + [hexed(f) for f in fields] +
                 [str(len(s['messages'])), group(message(m) for m in s['messages'])])


def push(p):
    h = p['handshake']
    fields = [p['topic_hex'], p['psk'], p['sender_static_private'], p['sender_static_public'],
              p['collector_static_private'], p['collector_static_public'],
              p['sender_ephemeral_private'], h['dh_es'], h['dh_ss'], p['handshake_hash'],
              p['data'], p['bytes']]
    return group([quoted(p['name']), number(p['id'])] + [hexed(f) for f in fields])


def negative(n):
    assert n['expect'] == 'dropped'
    return group([quoted(n['name']), quoted(n.get('session') or n.get('push')),
                  "'%s'" % n['receiver'][0], group([quoted(a) for a in n['after']] + ['NULL']),
                  raw(n['topic'].encode()), hexed(n['bytes']), quoted(n.get('then'))])


def step(s):
    act = 'e' if s['do'] == 'emit' else s['expect'][0]
    killed = s.get('killed', {})
    return group([quoted(s['comment']), "'%s'" % act, raw(s.get('topic', '').encode()),
                  hexed(s['bytes']), hexed(s.get('reply', '')), hexed(s.get('data', '')),
                  str(int('data' in s)), str(int(s.get('established', False))),
                  str(int('killed' in s)), str(s.get('lost', 0))] +
                 [str(killed.get(k, 0))
                  for k in ('sent', 'received', 'peer_sent', 'peer_received')])


def scenario(s):
    psks = s.get('psks') or [s['psk']] * len(s['peers'])
    return group([quoted(s['name']), "'%s'" % s['receiver'][0], hexed(s['static_private']),
                  hexed(s['static_public']), raw(s['topic'].encode()), str(len(s['peers'])),
                  str(len(s['ephemerals'])), str(len(s['steps'])),
                  group(map(hexed, s['peers'])), group(map(hexed, psks)),
                  group(map(hexed, s['ephemerals'])) if s['ephemerals'] else '{{NULL, 0}}',
                  group(map(number, s['ids'])) if s['ids'] else '{0}',
                  group(step(t) for t in s['steps'])])


def main():
    with open(sys.argv[1], encoding='utf-8') as source:
        vectors = json.load(source)
    print(TYPES)
    table('v_noise', 'noise_vectors', map(noise, vectors['noise']))
    table('v_session', 'session_vectors', map(session, vectors['sessions']))
    table('v_push', 'push_vectors', map(push, vectors['pushes']))
    table('v_negative', 'negative_vectors', map(negative, vectors['negative']))
    table('v_scenario', 'scenario_vectors', map(scenario, vectors['scenarios']))


main()
