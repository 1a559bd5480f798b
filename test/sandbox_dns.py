#!/usr/bin/python3
"""A name server at 127.0.0.1, port 53, for test/sandbox.bats: `sandbox_dns.py READY_FILE`.

Every name has two IPv6 addresses, at which nobody is, and 127.0.0.1. Queries for what is not asked
with QTYPE A or AAAA get an empty answer.
"""
import pathlib
import socket
import struct
import sys

A, AAAA = 1, 28
ADDRESSES = {A: ["127.0.0.1"], AAAA: ["::1", "fd00::1"]}
FAMILIES = {A: socket.AF_INET, AAAA: socket.AF_INET6}


def answer(query):
    end = query.index(b"\0", 12) + 5        # the one question: name, type, class
    kind = struct.unpack(">H", query[end - 4:end - 2])[0]
    records = [socket.inet_pton(FAMILIES[kind], one) for one in ADDRESSES.get(kind, [])]
    head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, len(records), 0, 0)
    return head + query[12:end] + b"".join(
        struct.pack(">HHHIH", 0xc00c, kind, 1, 1, len(data)) + data for data in records)


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
pathlib.Path(sys.argv[1]).touch()
while True:
    packet, client = server.recvfrom(2048)
    server.sendto(answer(packet), client)
