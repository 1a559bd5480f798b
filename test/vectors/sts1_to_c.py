#!/usr/bin/python3
"""Turns sts1.json into a C header on standard output: everything in it, as constants."""
import json
import sys

TYPES = """\
/* Made from sts1.json by sts1_to_c.py. */
#ifndef STS_TEST_VECTORS_STS1_H
#define STS_TEST_VECTORS_STS1_H

#include "bytes.h"

struct vector_obfuscation {
    const char *comment;
    struct bytes clear, wire;
};

struct vector_point {
    const char *comment;
    uint8_t private_key[32], x[32], y[32];
    const char *wire;           /* as RDYREQ carries it */
};

struct vector_ecdh {
    const char *comment;
    struct vector_point master, slave;
    uint8_t secret[32];
    struct bytes zero_bytes;    /* the places in `secret` that are zero */
    bool refused_by_original;
};

struct vector_message {
    const char *comment;
    bool from_master;
    struct bytes plaintext;     /* before it is padded */
    struct bytes iv;            /* CBC: of this message */
    struct bytes ciphertext;
    bool received;              /* false: lost on the way */
    struct bytes receiver_sees; /* deciphered and padded, where it differs from `plaintext` */
};

struct vector_session {
    const char *comment;
    const char *aes;            /* ecb, cbc */
    uint8_t secret[32];
    const struct vector_message *messages;
    size_t message_count;
};
"""


def text(value):
    return json.dumps(value)


def view(raw):
    """A struct bytes."""
    escaped = "".join(f"\\x{byte:02x}" for byte in raw)
    return f'{{(const uint8_t *)"{escaped}", {len(raw)}}}'


def view_hex(digits):
    return view(bytes.fromhex(digits))


def array(digits):
    """32 bytes."""
    raw = bytes.fromhex(digits)
    assert len(raw) == 32, digits
    return "{" + ", ".join(f"0x{byte:02x}" for byte in raw) + "}"


def obfuscation(v):
    clear = bytes.fromhex(v["clear_hex"]) if "clear_hex" in v else v["clear"].encode()
    return f'{{{text(v["comment"])}, {view(clear)}, {view_hex(v["wire"])}}}'


def point(v):
    return (f'{{{text(v["comment"])}, {array(v["private"])}, {array(v["x"])}, {array(v["y"])}, '
            f'{text(v["wire"])}}}')


def ecdh(v):
    refused = "true" if v["refused_by_original"] else "false"
    return (f'{{{text(v["comment"])}, {point(v["master"])}, {point(v["slave"])}, '
            f'{array(v["secret"])}, {view(bytes(v["zero_bytes"]))}, {refused}}}')


def message(v):
    plaintext = v["plaintext"].encode()
    assert len(plaintext) == v["length"], v
    from_master = "true" if v["direction"] == "m2s" else "false"
    sees = v.get("receiver_sees", "")
    received = "false" if sees is None else "true"
    return (f'{{{text(v["comment"])}, {from_master}, {view(plaintext)}, '
            f'{view_hex(v.get("iv", ""))}, {view_hex(v["ciphertext"])}, '
            f'{received}, {view_hex(sees or "")}}}')


def session(v, number):
    return (f'{{{text(v["comment"])}, {text(v["aes"])}, {array(v["secret"])}, '
            f'vector_messages_{number}, {len(v["messages"])}}}')


def table(kind, name, rows):
    print(f"\nstatic const struct {kind} {name}[] = {{")
    for row in rows:
        print(f"    {row},")
    print("};")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        vectors = json.load(file)
    print(TYPES, end="")
    table("vector_obfuscation", "vector_obfuscations", map(obfuscation, vectors["obfuscation"]))
    table("vector_point", "vector_points", map(point, vectors["public_points"]))
    table("vector_ecdh", "vector_ecdhs", map(ecdh, vectors["ecdh"]))
    for number, v in enumerate(vectors["aes"]):
        table("vector_message", f"vector_messages_{number}", map(message, v["messages"]))
    table("vector_session", "vector_sessions",
          (session(v, number) for number, v in enumerate(vectors["aes"])))
    print("\n#endif")


main()
