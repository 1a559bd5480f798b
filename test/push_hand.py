#!/usr/bin/python3
"""Makes, opens, spoils and replays STS/2 pushes by hand; for test/push.bats.

    push_hand.py keys DIR COUNT             DIR/0001.key ...; prints their lines of a peers file
    push_hand.py public KEYFILE             prints the public key
    push_hand.py seal KEYFILE COLLECTOR TOPIC [PSK]     a packet for each line "ID TEXT"
    push_hand.py open KEYFILE PEERSFILE     packets -> readings
    push_hand.py json FILE...               lines of sts -r -j, all checked -> readings
    push_hand.py texts FILE...              the same -> "PEER TEXT"
    push_hand.py flips | cuts | move TOPIC  packets -> spoiled packets
    push_hand.py window                     ids -> those of them that a collector takes
    push_hand.py publish PORT               packets -> the broker, QoS 1, acknowledged
    push_hand.py mirror PORT FILTER         gives all it sees to the broker again, spoiled too
    push_hand.py state KEYFILE LAST         the state file of a sender, to standard output

A packet is a line "TOPIC HEX", a reading a line "PEER ID TOPIC HEX". What comes in comes from
standard input. An implementation of its own: it shares nothing with the program but the protocol.
"""
import base64
import hashlib
import hmac
import json
import os
import re
import signal
import sys

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import (Encoding, NoEncryption, PrivateFormat,
                                                          PublicFormat)

NAME = b"Noise_Xpsk1_25519_ChaChaPoly_SHA256"
HEAD = b"\x02\x09"              # version, PUSH
NO_PSK = bytes(32)
WINDOW_IDS = 32
LIFETIME_S = 120                # a mirror that nobody stops
TIME = re.compile(r"20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d\.\d{3}Z")


# ---- keys ----

def public_of(private):
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def read_key(file):
    with open(file, encoding="ascii") as f:
        raw = base64.b64decode(f.read().strip(), validate=True)
    return X25519PrivateKey.from_private_bytes(raw)


def dh(private, public):
    return private.exchange(X25519PublicKey.from_public_bytes(public))


def make_keys(folder, count):
    for i in range(1, int(count) + 1):
        private = X25519PrivateKey.generate()
        raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        file = os.open(f"{folder}/{i:04}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(file, base64.b64encode(raw) + b"\n")
        os.close(file)
        print(f"{i:04}", base64.b64encode(public_of(private)).decode())


def read_peers(file):
    """public key -> (name, psk)"""
    with open(file, encoding="utf-8") as f:
        words = [line.split() for line in f if line.split()]
    return {base64.b64decode(w[1]): (w[0], base64.b64decode(w[2]) if len(w) > 2 else NO_PSK)
            for w in words}


# ---- Noise, as far as a push goes ----

class Noise:
    def __init__(self, topic, collector):
        self.h = self.ck = hashlib.sha256(NAME).digest()
        self.mix_hash(b"STS/2:" + topic)
        self.mix_hash(collector)

    def mix_hash(self, data):
        self.h = hashlib.sha256(self.h + data).digest()

    def hkdf(self, material, count):
        secret = hmac.digest(self.ck, material, "sha256")
        outputs = [b""]
        for i in range(1, count + 1):
            outputs.append(hmac.digest(secret, outputs[-1] + bytes([i]), "sha256"))
        return outputs[1:]

    def mix_key(self, material):
        self.ck, key = self.hkdf(material, 2)
        self.key = ChaCha20Poly1305(key)

    def mix_psk(self, psk):
        self.ck, middle, key = self.hkdf(psk, 3)
        self.mix_hash(middle)
        self.key = ChaCha20Poly1305(key)

    def seal(self, text):
        # Every key here seals one text alone.
        sealed = self.key.encrypt(bytes(12), text, self.h)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed):
        text = self.key.decrypt(bytes(12), sealed, self.h)
        self.mix_hash(sealed)
        return text


def seal(private, collector, topic, psk, number, text):
    noise, ephemeral = Noise(topic, collector), X25519PrivateKey.generate()
    e = public_of(ephemeral)
    noise.mix_hash(e)
    noise.mix_key(e)
    noise.mix_key(dh(ephemeral, collector))
    s = noise.seal(public_of(private))
    noise.mix_key(dh(private, collector))
    noise.mix_psk(psk)
    return HEAD + e + s + noise.seal(number.to_bytes(8, "big") + text)


def open_push(private, topic, payload, peers):
    """name, id, text"""
    assert payload[:2] == HEAD, payload[:2]
    noise, e = Noise(topic, public_of(private)), payload[2:34]
    noise.mix_hash(e)
    noise.mix_key(e)
    noise.mix_key(dh(private, e))
    s = noise.open(payload[34:82])
    name, psk = peers[s]
    noise.mix_key(dh(private, s))
    noise.mix_psk(psk)
    text = noise.open(payload[82:])
    return name, int.from_bytes(text[:8], "big"), text[8:]


# ---- packets and readings ----

def packets():
    for line in sys.stdin:
        topic, _, payload = line.rstrip("\n").partition(" ")
        yield topic, bytes.fromhex(payload)


def put(topic, payload):
    print(topic, payload.hex())


def put_reading(peer, number, topic, text):
    print(peer, number, topic, text.hex())


def seal_lines(key, collector, topic, psk=""):
    private, collector = read_key(key), base64.b64decode(collector)
    for line in sys.stdin:
        number, _, text = line.rstrip("\n").partition(" ")
        put(topic, seal(private, collector, topic.encode(), base64.b64decode(psk) or NO_PSK,
                        int(number), text.encode()))


def open_packets(key, peers):
    private, peers = read_key(key), read_peers(peers)
    for topic, payload in packets():
        name, number, text = open_push(private, topic.encode(), payload, peers)
        put_reading(name, number, topic, text)


def flips():
    for topic, payload in packets():
        for i in range(len(payload)):
            put(topic, payload[:i] + bytes([payload[i] ^ 1 << i % 8]) + payload[i + 1:])


def cuts():
    for topic, payload in packets():
        for i in range(len(payload)):
            put(topic, payload[:i])


def move(topic):
    for _, payload in packets():
        put(topic, payload)


def window():
    """What protocol.md says of the replay window, word by word."""
    floor, taken = 0, set()
    for line in sys.stdin:
        number = int(line)
        if number <= floor or number in taken:
            continue
        print(number)
        taken.add(number)
        if len(taken) > WINDOW_IDS:
            floor = min(taken)
            taken.remove(floor)


# ---- JSON ----

def no_pair_twice(pairs):
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), names
    return dict(pairs)


def reading_of(line):
    """peer, id, topic, text of a line of sts -r -j, which is all that it may be."""
    text = line.decode("utf-8")     # and nothing else
    got = json.loads(text, object_pairs_hook=no_pair_twice)
    kind = "payload" if "payload" in got else "payload_base64"
    assert list(got) == ["time", "topic", "peer", "id", kind], list(got)
    assert TIME.fullmatch(got["time"]), got["time"]
    assert type(got["id"]) is int and 0 < got["id"] < 1 << 63, got["id"]
    if kind == "payload":
        payload = got["payload"].encode("utf-8")
    else:
        payload = base64.b64decode(got["payload_base64"], validate=True)
        try:
            payload.decode("utf-8")
            raise AssertionError(f"text in base64: {line}")
        except UnicodeDecodeError:
            pass
    return got["peer"], got["id"], got["topic"], payload


def lines_of(files):
    """All whole lines: a run that was killed may have left a part of one at the end."""
    for file in files:
        with open(file, "rb") as f:
            yield from f.read().split(b"\n")[:-1]


def read_json(*files):
    for line in lines_of(files):
        put_reading(*reading_of(line))


def read_texts(*files):
    for line in lines_of(files):
        peer, _, _, text = reading_of(line)
        print(peer, text.decode("utf-8"))


# ---- the broker ----

def connect(port, client_id=""):
    import paho.mqtt.client as mqtt

    client = mqtt.Client(client_id, protocol=mqtt.MQTTv311)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", int(port))
    return client


def publish(port):
    client = connect(port)
    client.loop_start()
    for info in [client.publish(topic, payload, qos=1) for topic, payload in packets()]:
        info.wait_for_publish(30)
        assert info.is_published()
    client.disconnect()


def mirror(port, topics):
    """The client id is "mirror", and it is ready when it has its SUBACK."""
    seen = set()

    def on_message(client, _, message):
        digest = hashlib.sha256(message.payload).digest()
        if digest in seen or message.topic.endswith("/moved"):
            return
        seen.add(digest)
        at = len(seen) % len(message.payload)
        spoiled = bytearray(message.payload)
        spoiled[at] ^= 1
        seen.add(hashlib.sha256(spoiled).digest())
        client.publish(message.topic, bytes(spoiled), qos=1)
        client.publish(message.topic, message.payload, qos=1)
        client.publish(message.topic + "/moved", message.payload, qos=1)
        client.publish(message.topic, message.payload, qos=1)

    signal.alarm(LIFETIME_S)
    client = connect(port, "mirror")
    client.on_message = on_message
    client.subscribe(topics, qos=1)
    client.loop_forever()


# ---- a state file ----

def state(key, last):
    own = public_of(read_key(key))

    def block(number, body):
        body += bytes(496 - len(body))
        return body + hashlib.sha256(own + number.to_bytes(4, "big") + body).digest()[:16]

    header = b"sts state\0" + bytes([0, 1, 0, 1, 0, 0, 0, 1]) + own
    sys.stdout.buffer.write(block(0, header) +
                            block(1, b"last id\n" + int(last).to_bytes(8, "big")))


COMMANDS = {"keys": make_keys, "seal": seal_lines, "open": open_packets, "json": read_json,
            "texts": read_texts, "flips": flips, "cuts": cuts, "move": move, "window": window,
            "publish": publish, "mirror": mirror, "state": state,
            "public": lambda key: print(base64.b64encode(public_of(read_key(key))).decode())}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
