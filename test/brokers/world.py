"""What a check works with: sts, other clients of the broker, a proxy; and what it may expect.

Expectation is the one exception that says that something did not come about: its text names what
was expected and what was seen.
"""
import os
import pathlib
import queue
import re
import secrets
import signal
import socket
import struct
import subprocess
import threading
import time

import paho.mqtt.client as paho

from brokers import PASSWORDS, ROOT

STS = os.path.abspath(os.environ.get("STS") or ROOT / "build/sts")
WAIT_S = 20         # for what comes in milliseconds, on a machine that is busy
RUN_S = 90          # of one sts that ends by itself


class Expectation(Exception):
    pass


def wait_for(condition, what, limit_s=WAIT_S):
    until = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > until:
            text = what() if callable(what) else what
            raise Expectation(f"not within {limit_s} s: {text}")
        time.sleep(0.02)


def expect(seen, expected, what):
    if seen != expected:
        raise Expectation(f"{what}: {brief(seen)}, not {brief(expected)}")


def brief(value):
    text = repr(value)
    return text if len(text) < 300 else f"{text[:140]} ... {text[-140:]} ({len(value)} of them)"


def options(pairs):
    words = []
    for key, values in pairs.items():
        for value in values if isinstance(values, (list, tuple)) else [values]:
            words += ["-o", f"{key}={value}"]
    return words


class Running:
    """An sts in the background; its lines of standard output, and its standard error."""

    def __init__(self, name, command, folder):
        self.out, self.err = folder / f"{name}.out", folder / f"{name}.err"
        with open(self.out, "ab") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=err)

    def says(self, pattern):
        return re.search(pattern, self.complaints()) is not None

    def complaints(self):
        return self.err.read_text(errors="replace")

    def lines(self):
        return self.out.read_bytes().decode().splitlines()

    def wait_subscribed(self):
        wait_for(lambda: self.says(" subscribed to ") or self.process.poll() is not None,
                 lambda: "subscribed: " + self.complaints()[-500:])
        if self.process.poll() is not None:
            raise Expectation("sts -r ended: " + self.complaints()[-500:])

    def expect_lines(self, expected):
        """Exactly these, in this order."""
        wait_for(lambda: len(self.lines()) >= len(expected),
                 lambda: f"{len(expected)} lines; {brief(self.lines())}\n"
                 f"{self.complaints()[-500:]}")
        expect(self.lines(), expected, "what sts -r wrote")

    def end(self, number=signal.SIGTERM, status=0):
        self.process.send_signal(number)
        try:
            got = self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            raise Expectation("sts -r does not end") from None
        if number != signal.SIGKILL:
            expect(got, status, "exit status of sts -r\n" + self.complaints()[-500:])


class Client:
    """Another client of the broker: paho. What came is in `messages`, or waited for with take()."""

    def __init__(self, world, user="operator", client_id=None, clean=True):
        self.messages = queue.Queue()
        self.events = queue.Queue()
        self.client = paho.Client(client_id or "paho-" + secrets.token_hex(4), clean_session=clean)
        self.client.username_pw_set(user, PASSWORDS[user])
        self.client.on_message = lambda client, data, message: self.messages.put(message)
        self.client.on_connect = lambda client, data, flags, code: self.events.put(code)
        self.client.on_subscribe = lambda client, data, mid, granted: self.events.put(granted)
        self.client.connect("127.0.0.1", world.broker.port)
        self.client.loop_start()
        expect(self.event(), 0, "CONNACK")

    def event(self):
        try:
            return self.events.get(timeout=WAIT_S)
        except queue.Empty:
            raise Expectation("the broker does not answer") from None

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        return self.event()[0]

    def take(self):
        try:
            return self.messages.get(timeout=WAIT_S)
        except queue.Empty:
            raise Expectation("nothing came") from None

    def publish(self, topic, payload, qos=1, retain=False):
        info = self.client.publish(topic, payload, qos, retain)
        wait_for(info.is_published, f"{topic} to be acknowledged")

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class Forgetful:
    """A client with a session that takes and never acknowledges: MQTT 3.1.1, by hand."""

    def __init__(self, world, user, client_id):
        self.socket = socket.create_connection(("127.0.0.1", world.broker.port), timeout=WAIT_S)
        words = b"".join(struct.pack("!H", len(word)) + word for word in (
            client_id.encode(), user.encode(), PASSWORDS[user].encode()))
        self.send(0x10, b"\0\4MQTT\4\xc0\0\x3c" + words)    # user, password, session, 60 s
        expect(self.read()[1][1:], b"\0", "CONNACK")

    def send(self, kind, body):
        assert len(body) < 128
        self.socket.sendall(bytes((kind, len(body))) + body)

    def bytes(self, count):
        taken = b""
        while len(taken) < count:
            try:
                part = self.socket.recv(count - len(taken))
            except OSError:
                part = b""
            if not part:
                raise Expectation("the broker closed, or said nothing")
            taken += part
        return taken

    def read(self):
        """(first byte, body) of the next packet."""
        kind, length, shift = self.bytes(1)[0], 0, 0
        while True:
            digit = self.bytes(1)[0]
            length |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                return kind, self.bytes(length)

    def subscribe(self, topic):
        self.send(0x82, b"\0\1" + struct.pack("!H", len(topic)) + topic.encode() + b"\1")
        while self.read()[0] != 0x90:
            pass

    def published(self):
        """(DUP, payload) of the next PUBLISH, with QoS 1."""
        while True:
            kind, body = self.read()
            if kind >> 4 == 3:
                expect((kind >> 1) & 3, 1, "QoS of what is redelivered")
                topic_len = struct.unpack("!H", body[:2])[0]
                return (kind >> 3) & 1, body[4 + topic_len:]

    def close(self):
        self.socket.close()


class LosesAcks:
    """A proxy that cuts the first connection when the broker acknowledges a PUBLISH: the PUBACK is
    lost. Later connections pass."""

    def __init__(self, broker):
        self.broker = broker
        self.cut = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                ours, _ = self.listener.accept()
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self.broker.port))
            threading.Thread(target=self.pump, args=(ours, theirs, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(theirs, ours, True), daemon=True).start()

    def pump(self, source, target, from_broker):
        """A PUBACK is four bytes, 40 02 and an id; what else these ends say has no 40 02 in it."""
        try:
            while data := source.recv(65536):
                if from_broker and not self.cut and b"\x40\x02" in data:
                    self.cut += 1
                    target.sendall(data[:data.index(b"\x40\x02")])
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


class World:
    """One check's: a folder, a topic, keys, and all that it started, which ends with it."""

    def __init__(self, broker, folder, name):
        self.broker = broker
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.topic = "talk/" + name
        self.opened = []
        self.peer = self.key("collector")

    # ---- sts ----

    def key(self, name):
        return subprocess.run([STS, "-k", self.folder / f"{name}.key"], check=True,
                              capture_output=True, text=True).stdout.strip()

    def command(self, pairs, user):
        to = {"ip": "127.0.0.1", "port": self.broker.port, "timeout": 15}
        if user is not None:
            to.update(username=user, password=PASSWORDS[user])
        return [STS, *options({**to, **pairs})]

    def sts(self, *arguments, user="operator", stdin=b"", status=0, **pairs):
        """Runs it; what it wrote to standard error."""
        result = subprocess.run([*self.command(pairs, user), *arguments], input=stdin,
                                capture_output=True, timeout=RUN_S, check=False)
        err = result.stderr.decode(errors="replace")
        expect(result.returncode, status, f"exit status of sts {' '.join(arguments)[:40]}\n{err}")
        return err

    def receive(self, name, user="operator", **pairs):
        running = Running(name, [*self.command(pairs, user), "-v", "-r"], self.folder)
        self.opened.append(running)
        running.wait_subscribed()
        return running

    def push(self, *arguments, device="device1", topic=None, **how):
        self.key(device)
        pairs = {"sts_mode": "push", "key": self.folder / f"{device}.key", "peer": self.peer,
                 "pubtop": topic or "plant/" + device, "state": self.folder / f"{device}.state"}
        return self.sts(*arguments, user=device, **{**pairs, **how})

    def collect(self, name="collector", **pairs):
        peers = self.folder / "peers"
        peers.write_text("".join(f"{device} {self.key(device)}\n"
                                 for device in ("device1", "device2")))
        return self.receive(name, user="collector", **{
            "sts_mode": "collect", "key": self.folder / "collector.key", "peers": peers,
            "state": self.folder / f"{name}.state", "subtop": "plant/+", "clientid": self.id(),
            **pairs})

    def id(self):
        return "collector-" + self.folder.name[:12]

    # ---- others ----

    def add(self, thing):
        self.opened.append(thing)
        return thing

    def client(self, **how):
        return self.add(Client(self, **how))

    def restart(self):
        self.broker.stop()
        self.broker.start()

    def close(self):
        for thing in self.opened:
            if isinstance(thing, Running):
                if thing.process.poll() is None:
                    thing.process.kill()
                thing.process.wait()
            else:
                thing.close()
