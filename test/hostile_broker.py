#!/usr/bin/python3
"""An MQTT broker that misbehaves on purpose, and writes down what it was told.

    hostile_broker.py DIR INSTANCE...

INSTANCE is SCENARIO[:ARGUMENT...][@TAG]; each gets a loopback port of its own, so one process
serves many at a time. DIR/ports, there as soon as all listen, has a line "INSTANCE PORT" for each.
DIR/INSTANCE.jsonl gets one JSON object for each thing that happens, in order:

    {"conn": 1, "event": "accept"}              the first connection of this instance
    {"conn": 1, "in": "CONNECT", "recv": 1, "segments": 1, ...}
        a packet came: which call to recv completed it, how many TCP segments with data had come by
        then, and its fields
    {"conn": 1, "event": "eof" | "reset" | "close" | "bad"}
        the client closed, the connection broke, we closed it, the client sent nonsense

A scenario starts from a broker that answers everything correctly, and replaces some of its answers.
It ends itself after LIFETIME_S seconds.
"""
import json
import os
import random
import signal
import socket
import struct
import sys
import threading
import time

LIFETIME_S = 300
READ_BYTES = 1 << 20
SMALL_BUFFER_BYTES = 4096       # so that a broker that does not read is felt soon
SPLIT_GAP_S = 0.001             # keeps two bytes out of one recv of the client
TOPIC = "t/in"
PACKET_ID = 7                   # of what we publish

NAMES = {1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL",
         7: "PUBCOMP", 8: "SUBSCRIBE", 9: "SUBACK", 10: "UNSUBSCRIBE", 11: "UNSUBACK",
         12: "PINGREQ", 13: "PINGRESP", 14: "DISCONNECT"}
PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK = 0x40, 0x50, 0x62, 0x70, 0x90, 0xb0
PINGRESP = b"\xd0\x00"


# ---- packets we send ---------------------------------------------------------------------------

def packet(first, body):
    left, length = len(body), b""
    while left > 0x7f:
        length += bytes([0x80 | left & 0x7f])
        left >>= 7
    return bytes([first]) + length + bytes([left]) + body


def string(text):
    return struct.pack(">H", len(text)) + text


def be16(number):
    return struct.pack(">H", number)


def ack(first, packet_id, more=b""):
    return packet(first, be16(packet_id) + more)


def connack(code=0, flags=0):
    return packet(0x20, bytes([flags, code]))


def publish(payload, qos=0, packet_id=PACKET_ID, dup=False, topic=TOPIC.encode()):
    first = 0x30 | (8 if dup else 0) | qos << 1
    return packet(first, string(topic) + (be16(packet_id) if qos else b"") + payload)


def fixed(data):
    return lambda told: data


def own_id(first, more=b""):
    return lambda told: ack(first, told["id"], more)


def other_id(first, more=b""):
    return lambda told: ack(first, told["id"] % 0xffff + 1, more)


def suback(change):
    return lambda told: ack(SUBACK, told["id"], bytes(change([qos for _, qos in told["filters"]])))


def oversize_publish(qos, size, packet_id=PACKET_ID):
    """A PUBLISH of `size` bytes in all."""
    body = string(TOPIC.encode()) + (be16(packet_id) if qos else b"")
    payload = size - len(body) - 2
    while len(whole := packet(0x30 | qos << 1, body + b"x" * payload)) > size:
        payload -= 1
    assert len(whole) == size
    return whole


# What can be sent, by name: functions of the packet that it answers. Scenarios join several of them
# with '+', to leave in one segment.
REPLIES = {
    "nothing": fixed(b""),
    # CONNACK
    **{f"connack-{code}": fixed(connack(code)) for code in range(256)},
    "connack-flags-02": fixed(connack(0, 0x02)),
    "connack-flags-80": fixed(connack(0, 0x80)),
    "connack-flags-ff": fixed(connack(0, 0xff)),
    "connack-present": fixed(connack(0, 1)),
    "connack-present-5": fixed(connack(5, 1)),
    "connack-low-bits": fixed(b"\x21\x02\x00\x00"),
    "connack-short": fixed(b"\x20\x01\x00"),
    "connack-long": fixed(b"\x20\x03\x00\x00\x00"),
    "connack-huge": fixed(packet(0x20, bytes(100000))),
    # acknowledgements
    "puback": own_id(PUBACK), "pubrec": own_id(PUBREC), "pubrel": own_id(PUBREL),
    "pubcomp": own_id(PUBCOMP), "unsuback": own_id(UNSUBACK),
    "puback-other": other_id(PUBACK), "pubrec-other": other_id(PUBREC),
    "pubrel-other": other_id(PUBREL), "pubcomp-other": other_id(PUBCOMP),
    "puback-99": fixed(ack(PUBACK, 99)), "pubrec-99": fixed(ack(PUBREC, 99)),
    "pubrel-99": fixed(ack(PUBREL, 99)), "pubcomp-99": fixed(ack(PUBCOMP, 99)),
    "suback-99": fixed(ack(SUBACK, 99, b"\0")), "unsuback-99": fixed(ack(UNSUBACK, 99)),
    "puback-0": fixed(ack(PUBACK, 0)), "pubrec-0": fixed(ack(PUBREC, 0)),
    "pubrel-0": fixed(ack(PUBREL, 0)), "pubcomp-0": fixed(ack(PUBCOMP, 0)),
    "puback-flags": own_id(0x41), "pubrel-flags": own_id(0x60),
    "puback-short": fixed(b"\x40\x01\x00"), "puback-long": own_id(PUBACK, b"\0"),
    "puback-huge": fixed(packet(PUBACK, bytes(100000))),
    "puback-padded": lambda told: b"\x40\x82\x00" + be16(told["id"]),
    # SUBACK
    "suback": suback(lambda codes: codes),
    "suback-other": other_id(SUBACK, b"\0"),
    "suback-0": fixed(ack(SUBACK, 0, b"\0")),
    "suback-few": suback(lambda codes: codes[:-1]),
    "suback-many": suback(lambda codes: codes + [0]),
    "suback-80": suback(lambda codes: codes[:-1] + [0x80]),
    "suback-87": suback(lambda codes: codes[:-1] + [0x87]),
    "suback-03": suback(lambda codes: codes[:-1] + [0x03]),
    "suback-7f": suback(lambda codes: codes[:-1] + [0x7f]),
    "suback-lower": suback(lambda codes: [0 for _ in codes]),
    "suback-short": fixed(b"\x90\x01\x00"),
    "suback-huge": fixed(packet(SUBACK, bytes(100000))),
    # PUBLISH
    **{f"hello-{qos}": fixed(publish(b"hello", qos)) for qos in range(3)},
    "one": fixed(publish(b"one", 0)), "two": fixed(publish(b"two", 1, 11)),
    "three": fixed(publish(b"three", 2, 12)), "after": fixed(publish(b"after", 0)),
    "back": fixed(publish(b"back", 0)),
    "publish-qos3": fixed(packet(0x36, string(b"t") + be16(1) + b"x")),
    "publish-id0": fixed(publish(b"x", 1, 0)),
    "publish2-id0": fixed(publish(b"x", 2, 0)),
    "publish-dup0": fixed(publish(b"x", 0, dup=True)),
    "publish-plus": fixed(publish(b"x", topic=b"a/+")),
    "publish-hash": fixed(publish(b"x", topic=b"a/#")),
    "publish-nul": fixed(publish(b"x", topic=b"a\0b")),
    "publish-utf8": fixed(publish(b"x", topic=b"a\xff")),
    "publish-surrogate": fixed(publish(b"x", topic=b"a\xed\xa0\x80")),
    "publish-overlong": fixed(publish(b"x", topic=b"a\xc0\xaf")),
    "publish-empty-topic": fixed(publish(b"x", topic=b"")),
    "publish-overrun": fixed(packet(0x30, be16(9) + b"t/in")),
    "publish-no-id": fixed(packet(0x32, string(b"t"))),
    "publish-short": fixed(b"\x30\x01\x00"),
    "publish-huge-overrun": fixed(packet(0x32, be16(0xffff) + b"t" * 0xfffe)),
    "publish-huge-id0": fixed(oversize_publish(1, 100000, 0)),
    # what a broker never sends, and what it may send any time
    "type-0": fixed(b"\x00\x00"), "type-15": fixed(b"\xf0\x00"),
    "connect": fixed(packet(0x10, string(b"MQTT") + b"\x04\x02\0\0" + string(b"x"))),
    "subscribe": fixed(packet(0x82, be16(1) + string(b"#") + b"\0")),
    "unsubscribe": fixed(packet(0xa2, be16(1) + string(b"#"))),
    "pingreq": fixed(b"\xc0\x00"), "disconnect": fixed(b"\xe0\x00"),
    "pingresp": fixed(PINGRESP), "pingresp-long": fixed(b"\xd0\x01\x00"),
    "pingresp-flags": fixed(b"\xd1\x00"),
    "length-five": fixed(b"\x30\xff\xff\xff\xff\x01"),
    # too many or too much
    **{f"big-{qos}": fixed(oversize_publish(qos, 100000)) for qos in range(3)},
    "pubrec-flood": fixed(ack(PUBREC, 99) * 5000), "pubrel-flood": fixed(ack(PUBREL, 99) * 5000),
    "pubcomp-flood": fixed(ack(PUBCOMP, 99) * 5000), "pingresp-flood": fixed(PINGRESP * 5000),
}


# ---- packets we are told -----------------------------------------------------------------------

class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, count):
        if count > len(self.data):
            raise ValueError("a field overruns the packet")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def string(self):
        return self.take(self.number(2)).decode()


def read_connect(told, reader, flags):
    told["protocol"], told["level"] = reader.string(), reader.number(1)
    bits, told["keepalive"] = reader.number(1), reader.number(2)
    told["clean"], told["clientid"] = bool(bits & 2), reader.string()
    if bits & 1:
        raise ValueError("the reserved bit of CONNECT")
    if bits & 4:
        told["will"] = {"topic": reader.string(), "message": reader.string(),
                        "qos": bits >> 3 & 3, "retain": bool(bits & 0x20)}
    elif bits & 0x38:
        raise ValueError("will flags without a will")
    told["username"] = reader.string() if bits & 0x80 else None
    told["password"] = reader.string() if bits & 0x40 else None


def read_publish(told, reader, flags):
    told["qos"], told["dup"], told["retain"] = flags >> 1 & 3, bool(flags & 8), bool(flags & 1)
    told["topic"] = reader.string()
    if told["qos"] > 0:
        told["id"] = reader.number(2)
    payload = reader.take(len(reader.data))
    told["len"], told["payload"] = len(payload), payload[:64].decode("utf-8", "backslashreplace")


def read_filters(told, reader, flags):
    told["id"], told["filters"] = reader.number(2), []
    while reader.data:
        told["filters"].append((reader.string(), reader.number(1)))


def read_id(told, reader, flags):
    told["id"] = reader.number(2)


def read_nothing(told, reader, flags):
    pass


READERS = {1: (0, read_connect), 3: (None, read_publish), 4: (0, read_id), 5: (0, read_id),
           6: (2, read_id), 7: (0, read_id), 8: (2, read_filters), 12: (0, read_nothing),
           14: (0, read_nothing)}


def split_packet(data):
    """The first byte, the body and what follows; None when it is not all there."""
    length = 0
    for index, digit in enumerate(data[1:5]):
        length |= (digit & 0x7f) << 7 * index
        if digit < 0x80:
            start = 2 + index
            if len(data) < start + length:
                return None
            return data[0], data[start:start + length], data[start + length:]
    if len(data) >= 5:
        raise ValueError("a remaining length of more than four bytes")
    return None


def parse(first, body):
    flags, read = READERS.get(first >> 4, (None, None))
    if read is None or (flags is not None and first & 0x0f != flags):
        raise ValueError(f"first byte {first:#04x}")
    told, reader = {"in": NAMES[first >> 4]}, Reader(body)
    read(told, reader, first & 0x0f)
    if reader.data or told.get("id") == 0 or told.get("qos") == 3:
        raise ValueError(f"a bad {told['in']}")
    return told


# ---- one connection ----------------------------------------------------------------------------

class Over(Exception):
    """The scenario has closed the connection."""


class Connection:
    """Answers as a broker should; a scenario changes `on`."""

    def __init__(self, instance, sock, number):
        self.instance, self.sock, self.number = instance, sock, number
        self.recvs, self.gap, self.held = 0, False, b""
        self.counts = {}
        self.on = {"CONNECT": self.accept, "PUBLISH": self.take,
                   "PUBREC": lambda told: self.send(ack(PUBREL, told["id"])),
                   "PUBREL": lambda told: self.send(ack(PUBCOMP, told["id"])),
                   "SUBSCRIBE": self.answer("suback"), "PINGREQ": self.answer("pingresp"),
                   "DISCONNECT": lambda told: self.close()}
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def accept(self, told):
        present = self.instance.has_session and not told["clean"]
        self.instance.has_session = not told["clean"]
        self.send(connack(0, 1 if present else 0))

    def take(self, told):
        if told["qos"] > 0:
            self.send(ack(PUBACK if told["qos"] == 1 else PUBREC, told["id"]))

    def answer(self, names):
        return lambda told: self.send(b"".join(REPLIES[name](told) for name in names.split("+")))

    def send(self, data):
        data, self.held = self.held + data, b""
        if not self.gap:
            self.sock.sendall(data)
            return
        for byte in data:
            self.sock.sendall(bytes([byte]))
            time.sleep(SPLIT_GAP_S)

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        self.note(event="close")
        raise Over

    def note(self, **fields):
        self.instance.note({"conn": self.number, **fields})

    def segments(self):
        """tcpi_data_segs_in of struct tcp_info."""
        return struct.unpack_from("I", self.sock.getsockopt(socket.IPPROTO_TCP, 11, 256), 152)[0]

    def read(self):
        """Reads until the other side closes, and hands out the packets."""
        data = b""
        while chunk := self.sock.recv(READ_BYTES):
            self.recvs += 1
            segments, data = self.segments(), data + chunk
            while (found := split_packet(data) if data else None) is not None:
                first, body, data = found
                told = parse(first, body)
                self.note(recv=self.recvs, segments=segments, **told)
                name = told["in"]
                self.counts[name] = self.counts.get(name, 0) + 1
                if name in self.on:
                    self.on[name](told)
        self.note(event="eof")

    def run(self):
        self.note(event="accept")
        try:
            self.instance.scenario(self, *self.instance.arguments)
            self.read()
        except Over:
            pass
        except OSError as error:
            self.note(event="reset", error=str(error))
        except ValueError as error:
            self.note(event="bad", error=str(error))
        finally:
            self.sock.close()


# ---- scenarios ---------------------------------------------------------------------------------

SCENARIOS = {}


def scenario(function):
    SCENARIOS[function.__name__.replace("_", "-")] = function
    return function


def only_first(connection, limit):
    """Whether this connection is one of the first `limit` ones; no limit: all are. A later one that
    subscribes gets the message "back"."""
    if limit is None or connection.number <= int(limit):
        return True
    also(connection, "SUBSCRIBE", "back")
    return False


@scenario
def good(c):
    """A broker as it should be."""


@scenario
def instead(c, name, replies, limit=None):
    """Other bytes in place of the right answer to a packet."""
    if only_first(c, limit):
        c.on[name] = c.answer(replies)


@scenario
def also(c, name, replies, limit=None):
    """The right answer, and more bytes in the segment behind it."""
    right = c.on.get(name, lambda told: None)

    def respond(told):
        extra = b"".join(REPLIES[reply](told) for reply in replies.split("+"))
        send, c.send = c.send, lambda data: send(data + extra)
        right(told)
        c.send = send
    if only_first(c, limit):
        c.on[name] = respond


@scenario
def before(c, name, replies):
    """More bytes first, the right answer behind them."""
    right = c.on[name]

    def respond(told):
        c.answer(replies)(told)
        right(told)
    c.on[name] = respond


@scenario
def split(c):
    """Every byte a segment of its own; three messages, one of each QoS."""
    c.gap = True
    also(c, "SUBSCRIBE", "one+two+three")


@scenario
def hold(c):
    """CONNACK only together with the answer to the next packet that has one."""
    def keep(told):
        c.held = connack()
    c.on["CONNECT"] = keep


@scenario
def late(c, name, seconds):
    """The right answer, but later."""
    right = c.on[name]

    def respond(told):
        time.sleep(float(seconds))
        right(told)
    c.on[name] = respond


@scenario
def close(c, name, limit=None, reset=False):
    """Closes where an answer was due."""
    if not only_first(c, limit):
        return
    if name == "ACCEPT":
        c.close(reset)
    c.on[name] = lambda told: c.close(reset)


@scenario
def close_after(c, name, limit=None, reset=False):
    """Closes behind the right answer."""
    right = c.on[name]

    def respond(told):
        right(told)
        c.close(reset)
    if only_first(c, limit):
        c.on[name] = respond


@scenario
def reset(c, name, limit=None):
    """As close, with RST."""
    close(c, name, limit, True)


@scenario
def reset_after(c, name, limit=None):
    close_after(c, name, limit, True)


@scenario
def half(c, name, replies, limit=None):
    """Closes in the middle of the answer; a last byte is missing."""
    def respond(told):
        data = b"".join(REPLIES[reply](told) for reply in replies.split("+"))
        c.send(data[:-1])
        c.close()
    if only_first(c, limit):
        c.on[name] = respond


@scenario
def drip(c, name, replies, gap_s):
    """In place of an answer the same wrong thing again and again: a sign of life, not an answer."""
    def respond(told):
        while True:
            c.answer(replies)(told)
            time.sleep(float(gap_s))
    c.on[name] = respond


@scenario
def creep(c, name, replies, gap_s):
    """The right answer, but a byte at a time and slowly."""
    def respond(told):
        for byte in b"".join(REPLIES[reply](told) for reply in replies.split("+")):
            c.send(bytes([byte]))
            time.sleep(float(gap_s))
    c.on[name] = respond


@scenario
def silent(c):
    """Reads everything and says nothing."""
    c.on.clear()


@scenario
def mute(c):
    """Neither reads nor says anything."""
    threading.Event().wait()


@scenario
def stall(c):
    """Says CONNACK, then stops reading."""
    right = c.on["CONNECT"]

    def respond(told):
        right(told)
        threading.Event().wait()
    c.on["CONNECT"] = respond


@scenario
def full(c):
    """Never gets here: the queue of the listening socket is full, see Instance.listen."""


@scenario
def garbage(c, name, seed):
    """Random bytes in place of an answer."""
    source = random.Random(int(seed))
    c.on[name] = lambda told: c.send(source.randbytes(source.randint(1, 300)))


@scenario
def mutate(c, seed):
    """Right answers and messages, with some bits of them turned over."""
    source = random.Random(int(seed))
    send = c.send

    def turned(data):
        data = bytearray(data)
        for _ in range(source.randint(0, 2)):
            data[source.randrange(len(data))] ^= 1 << source.randrange(8)
        send(bytes(data))
    c.send = turned
    also(c, "SUBSCRIBE", "one+two+three+pingresp+after")


@scenario
def oversize(c, qos, size, way="whole"):
    """A PUBLISH of that many bytes, then small messages. `dribble`: its head byte by byte.
    `twice`: it comes again with DUP before PUBREL."""
    right, data = c.on["SUBSCRIBE"], oversize_publish(int(qos), int(size))
    head = 40 if way == "dribble" else 0

    def respond(told):
        right(told)
        for byte in data[:head]:
            c.sock.sendall(bytes([byte]))
            time.sleep(SPLIT_GAP_S)
        c.send(data[head:] + (bytes([data[0] | 8]) + data[1:] if way == "twice" else b""))
        c.answer("one+two+three")(told)
    c.on["SUBSCRIBE"] = respond


@scenario
def long_topic(c, qos, topic_len):
    """A PUBLISH with a topic of that many bytes, then a small message."""
    data = publish(b"x", int(qos), topic=b"t" * int(topic_len))
    right = c.on["SUBSCRIBE"]

    def respond(told):
        right(told)
        c.send(data + publish(b"after"))
    c.on["SUBSCRIBE"] = respond


@scenario
def twice(c):
    """A QoS 2 message comes twice before its PUBREL, and another one of its id behind PUBCOMP."""
    also(c, "SUBSCRIBE", "hello-2")
    right = c.on["SUBSCRIBE"]

    def subscribe(told):
        right(told)
        c.send(publish(b"hello", 2, dup=True))

    def received(told):
        if c.counts["PUBREC"] != 1:
            c.send(ack(PUBREL, told["id"]))

    def complete(told):
        if c.counts["PUBCOMP"] == 1:
            c.send(publish(b"hello again", 2) + publish(b"after"))
    c.on.update(SUBSCRIBE=subscribe, PUBREC=received, PUBCOMP=complete)


@scenario
def redeliver(c, what, present):
    """A QoS 2 message, and the connection goes before PUBREL. The next one has the session
    (`present` 1) or not (0), and starts with the message again (`what` publish) or PUBREL."""
    again = publish(b"hello", 2, dup=True) if what == "publish" else ack(PUBREL, PACKET_ID)
    if c.number == 1:
        also(c, "SUBSCRIBE", "hello-2")
        c.on["PUBREC"] = lambda told: c.close()
        return
    c.on["CONNECT"] = lambda told: c.send(connack(0, int(present)))
    right = c.on["SUBSCRIBE"]

    def respond(told):
        right(told)
        c.send(again)
    c.on["SUBSCRIBE"] = respond
    c.on["PUBCOMP"] = lambda told: c.send(publish(b"after"))


# ---- instances ---------------------------------------------------------------------------------

class Instance:
    def __init__(self, folder, name):
        scene, *self.arguments = name.partition("@")[0].split(":")
        self.name, self.scenario = name, SCENARIOS[scene]
        self.has_session, self.lock = False, threading.Lock()
        self.record = open(os.path.join(folder, name + ".jsonl"), "w", buffering=1)
        self.listen()

    def listen(self):
        self.socket = socket.socket()
        if self.scenario in (mute, stall):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        if self.scenario is not full:
            self.socket.listen(16)
            return
        self.socket.listen(0)
        self.fillers = [socket.socket() for _ in range(4)]
        for filler in self.fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))

    def note(self, fields):
        with self.lock:
            self.record.write(json.dumps(fields) + "\n")

    def serve(self):
        number = 0
        while self.scenario is not full:
            sock, _ = self.socket.accept()
            number += 1
            connection = Connection(self, sock, number)
            threading.Thread(target=connection.run, daemon=True).start()


def main():
    folder, names = sys.argv[1], sys.argv[2:]
    instances = [Instance(folder, name) for name in names]
    for instance in instances:
        threading.Thread(target=instance.serve, daemon=True).start()
    with open(os.path.join(folder, "ports.new"), "w") as ports:
        ports.writelines(f"{instance.name} {instance.port}\n" for instance in instances)
    os.rename(os.path.join(folder, "ports.new"), os.path.join(folder, "ports"))
    signal.alarm(LIFETIME_S)
    signal.pause()


if __name__ == "__main__":
    main()
