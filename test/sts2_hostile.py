#!/usr/bin/python3
"""Whoever sits on the broker of an STS/2 session and holds no key; for test/sts2.bats.

    sts2_hostile.py replay --port PORT --m2s TOPIC --s2m TOPIC
        Takes down every message of both directions and sends it again at once: as it is, on the other
        topic, with flipped bits, shortened, lengthened, with another counter; older messages between.
        "again" on standard input: everything taken down, in order, backwards and shuffled.
    sts2_hostile.py garbage --port PORT --m2s TOPIC --s2m TOPIC
        "again": payloads that nobody sealed, of every version, type and size that matters.
    sts2_hostile.py middle --port PORT --far-port PORT --m2s TOPIC --s2m TOPIC [--swap N]
        The only way between a master at one broker and a slave at the other. Each message goes on
        behind forgeries of itself and is repeated. --swap: the Nth ENC of the master leaves after the
        next.
    sts2_hostile.py copy --port PORT --m2s TOPIC --to TOPIC
        Publishes what comes on one topic on another one as well.
    sts2_hostile.py proxy --port PORT --m2s TOPIC --moved TOPIC
        A way to the broker on which each ENC that comes on a topic seems to come on another one.
        Prints "port PORT" of its own first.

Prints "ready", and "done COUNT INITREQS" when a command is carried out: messages published, and honest
INITREQs taken down, so far. Ends with standard input.
"""
import argparse
import random
import re
import socket
import sys
import threading

import paho.mqtt.client as mqtt

INITREQ, INITACK, RDYACK, ENC, KILL = 1, 2, 6, 7, 8
HEAD = 10       # version, type, counter
ACK_S = 30


def flipped(payload, bit):
    changed = bytearray(payload)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


class Broker:
    """One connection; publishing waits for nothing, settle() for all."""

    def __init__(self, port, topics, on_message):
        self.on_message, self.topics = on_message, topics
        self.granted, self.sent, self.count = threading.Event(), [], 0
        self.client = mqtt.Client()
        self.client.max_inflight_messages_set(1000)
        self.client.on_connect = lambda *_: self.client.subscribe([(t, 1) for t in self.topics])
        self.client.on_subscribe = lambda *_: self.granted.set()
        self.client.on_message = lambda _c, _u, m: self.on_message(m.topic, m.payload)
        self.client.connect("127.0.0.1", port)

    def start(self):
        self.client.loop_start()
        if not self.granted.wait(ACK_S):
            sys.exit("no SUBACK")

    def publish(self, topic, payload):
        self.sent.append(self.client.publish(topic, payload, qos=1))
        self.count += 1

    def settle(self):
        while self.sent:
            self.sent.pop().wait_for_publish(ACK_S)


class Hostile:
    def __init__(self, args):
        self.args, self.random = args, random.Random(2)
        self.brokers = []

    def connect(self, port, topics, on_message):
        broker = Broker(port, topics, on_message)
        self.brokers.append(broker)
        return broker

    def again(self):
        pass

    def initreqs(self):
        return 0


class Replay(Hostile):
    def __init__(self, args):
        super().__init__(args)
        self.lock, self.known, self.record = threading.Lock(), set(), []
        self.broker = self.connect(args.port, (args.m2s, args.s2m), self.take)

    def send(self, topic, payload):
        self.known.add((topic, payload))
        self.broker.publish(topic, payload)

    def take(self, topic, payload):
        with self.lock:
            if (topic, payload) in self.known:
                return
            self.known.add((topic, payload))
            self.record.append((topic, payload))
            other = self.args.s2m if topic == self.args.m2s else self.args.m2s
            self.send(topic, payload)
            self.send(other, payload)
            for old in self.random.sample(self.record, min(3, len(self.record))):
                # What costs an X25519 is limited in rate for honest masters as well.
                if old[1][1] not in (INITREQ, INITACK):
                    self.send(*old)
            self.forge(topic, payload)

    def forge(self, topic, payload):
        bits = [self.random.randrange(16, 8 * len(payload))]
        if payload[1] in (RDYACK, ENC, KILL):
            # In version, type, the counter, the text, the tag.
            bits += [0, 9, 8 * HEAD - 1, 8 * HEAD - 3, 8 * HEAD, 8 * len(payload) - 1]
            counter = int.from_bytes(payload[2:HEAD], "big")
            for other in (counter + 1, counter + 7, (1 << 64) - 1):
                self.send(topic, payload[:2] + other.to_bytes(8, "big") + payload[HEAD:])
        for bit in bits:
            self.send(topic, flipped(payload, bit))
        self.send(topic, payload[:-1])
        self.send(topic, payload + b"\0")

    def again(self):
        with self.lock:
            shuffled = self.random.sample(self.record, len(self.record))
            for topic, payload in self.record + self.record[::-1] + shuffled:
                self.broker.publish(topic, payload)

    def initreqs(self):
        with self.lock:
            return sum(payload[1] == INITREQ for _, payload in self.record)


class Garbage(Hostile):
    def __init__(self, args):
        super().__init__(args)
        self.broker = self.connect(args.port, (args.m2s,), lambda *_: None)

    def payloads(self):
        yield from (b"", b"\0", b"\2", b"INITREQ:", b"KILL:", b"hello", bytes(range(256)))
        for kind in range(12):
            for size in (2, 25, 26, 27, 42, 50, 100, 16384 + 26, 16384 + 27):
                yield bytes((2, kind)) + bytes(size - 2)
            yield bytes((1, kind)) + self.random.randbytes(24)
        for size in (26, 30, 42):
            for kind in (RDYACK, ENC, KILL):
                for counter in (0, 1, 2, 1 << 63, (1 << 64) - 2, (1 << 64) - 1):
                    yield (bytes((2, kind)) + counter.to_bytes(8, "big") +
                           self.random.randbytes(size - HEAD))
        # Ephemeral keys: zero, one, random.
        for key in (bytes(32), b"\1" + bytes(31), self.random.randbytes(32)):
            yield bytes((2, INITREQ)) + key + self.random.randbytes(72)
            yield bytes((2, INITACK)) + key + self.random.randbytes(16)

    def again(self):
        for payload in self.payloads():
            self.broker.publish(self.args.m2s, payload)
            self.broker.publish(self.args.s2m, payload)


class Middle(Hostile):
    def __init__(self, args):
        super().__init__(args)
        self.near = self.connect(args.port, (args.m2s,), self.from_master)
        self.far = self.connect(args.far_port, (args.s2m,), self.from_slave)
        self.encs, self.held = 0, None

    def carry(self, broker, topic, payload):
        if payload[1] in (RDYACK, ENC, KILL):
            broker.publish(topic, flipped(payload, 8 * len(payload) - 1))
            broker.publish(topic, flipped(payload, 8 * HEAD - 1))
            broker.publish(topic, payload[:-1])
        broker.publish(topic, payload)
        broker.publish(topic, payload)

    def from_master(self, topic, payload):
        enc = payload[1] == ENC
        self.encs += enc
        if enc and self.encs == self.args.swap:
            self.held = payload
            return
        self.carry(self.far, topic, payload)
        if self.held:
            held, self.held = self.held, None
            self.carry(self.far, topic, held)

    def from_slave(self, topic, payload):
        self.carry(self.near, topic, payload)


class Copy(Hostile):
    def __init__(self, args):
        super().__init__(args)
        self.broker = self.connect(args.port, (args.m2s,),
                                   lambda _, payload: self.broker.publish(args.to, payload))


class Proxy(Hostile):
    def __init__(self, args):
        super().__init__(args)
        topic = args.moved.encode()
        # Topic, packet identifier, version and type; the other topic is as long.
        self.enc = re.compile(re.escape(topic) + rb"(..\x02\x07)", re.DOTALL)
        self.moved = topic[:-1] + rb"?\1"
        self.listener = socket.create_server(("127.0.0.1", 0))
        print("port", self.listener.getsockname()[1], flush=True)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client = self.listener.accept()[0]
        broker = socket.create_connection(("127.0.0.1", self.args.port))
        threading.Thread(target=self.relay, args=(client, broker, bytes), daemon=True).start()
        self.relay(broker, client, lambda data: self.enc.sub(self.moved, data))

    @staticmethod
    def relay(source, target, change):
        # Packets this small come whole through a loopback.
        for data in iter(lambda: source.recv(65536), b""):
            target.sendall(change(data))
        target.shutdown(socket.SHUT_WR)


def main():
    scenes = {"replay": Replay, "garbage": Garbage, "middle": Middle, "copy": Copy, "proxy": Proxy}
    parser = argparse.ArgumentParser()
    parser.add_argument("scene", choices=scenes)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--far-port", type=int)
    parser.add_argument("--m2s", required=True)
    parser.add_argument("--s2m")
    parser.add_argument("--to")
    parser.add_argument("--moved")
    parser.add_argument("--swap", type=int, default=0)
    args = parser.parse_args()
    hostile = scenes[args.scene](args)
    for broker in hostile.brokers:
        broker.start()
    print("ready", flush=True)
    for _ in sys.stdin:
        hostile.again()
        for broker in hostile.brokers:
            broker.settle()
        print("done", sum(b.count for b in hostile.brokers), hostile.initreqs(), flush=True)
    for broker in hostile.brokers:
        broker.client.disconnect()
        broker.client.loop_stop()


if __name__ == "__main__":
    main()
