#!/usr/bin/python3
"""Resource attacks: what a hostile client of the broker, or a hostile broker, does by volume.

Each test floods the real program: at its most talkative (-vv), through a real mosquitto where the
enemy is a client, from a broker of our own where it is the broker. A first flood warms up (pages are
touched once), a second one is measured. Then:

  - no memory has come: resident and anonymous pages, and the address space;
  - what was sent meanwhile by who has the key has come out, and its sender ended with 0;
  - the log has LOG_LINES_MAX lines at most, whatever the number of hostile messages;
  - SIGTERM ends it with 0.

The messages are sent as fast as mosquitto takes them; a test waits for the last of them to come in
before it looks. How much gets through per second is `make bench`'s to say, not ours.
"""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "test"), str(ROOT / "test/peers")]
import push_hand  # noqa: E402
import sts1_peer  # noqa: E402

STS = os.path.abspath(os.environ.get("STS") or ROOT / "build/sts")
WAIT_S = 60             # bound of every wait
FLOOD = 6000            # hostile messages of one flood
BIG = 300               # of the large ones
# A dozen kinds of lines, eight of each and then one for each doubling; a test sees few kinds.
LOG_LINES_MAX = 90
GROWTH_KIB = 16         # four pages: the stack may have got that much deeper
SHARED_KIB = 64         # pages of the file that the kernel may have brought back
QUICK_S = 0.004         # between messages of the slow flood: 250 a second
RANDOM = random.Random(3)


def limit(name):
    """The value of a limit of limits.h."""
    text = f'#include "limits.h"\n{name}\n'
    out = subprocess.run(["cpp", "-P", "-iquote", str(ROOT), "-"], input=text, capture_output=True,
                         text=True, check=True).stdout
    return eval(out.strip().splitlines()[-1].replace("u", ""))  # pylint: disable=eval-used


# ---- MQTT, as far as a flood needs it ----

def packet(first, body):
    length, left = b"", len(body)
    while left > 0x7f:
        length += bytes([0x80 | left & 0x7f])
        left >>= 7
    return bytes([first]) + length + bytes([left]) + body


def string(text):
    return struct.pack(">H", len(text)) + text


def publish(topic, payload, retain=False, qos=0, packet_id=1):
    return packet(0x30 | qos << 1 | retain, string(topic.encode()) +
                  (struct.pack(">H", packet_id) if qos else b"") + payload)


def ack(first, packet_id, more=b""):
    return packet(first, struct.pack(">H", packet_id) + more)


class Reader:
    """Packets from a socket; None at its end."""

    def __init__(self, sock):
        self.file = sock.makefile("rb")

    def packet(self):
        first, length, shift = self.file.read(1), 0, 0
        if not first:
            self.file.close()
            return None
        while True:
            digit = self.file.read(1)[0]
            length |= (digit & 0x7f) << shift
            shift += 7
            if digit < 0x80:
                return first[0], self.file.read(length)


class Client:
    """A client of a real broker that does not know any key."""

    def __init__(self, port, name):
        self.sock = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self.sock.sendall(packet(0x10, string(b"MQTT") + b"\4\2\0\0" + string(name.encode())))
        self.reader = Reader(self.sock)
        assert self.reader.packet() == (0x20, b"\0\0")

    def send(self, packets, pause_s=0, until=None):
        """Many packets a write; or one each `pause_s`, until the event is set."""
        if pause_s:
            while not until.is_set():
                self.sock.sendall(packets[RANDOM.randrange(len(packets))])
                time.sleep(pause_s)
            return
        for at in range(0, len(packets), 200):
            self.sock.sendall(b"".join(packets[at:at + 200]))

    def settle(self):
        """The broker has read all that was sent."""
        self.sock.sendall(b"\xc0\0")
        assert self.reader.packet() == (0xd0, b"")

    def record(self, *topics):
        """Takes down what comes on the topics, in the list that it returns."""
        seen = []
        self.sock.sendall(packet(0x82, struct.pack(">H", 1) +
                                 b"".join(string(t.encode()) + b"\0" for t in topics)))
        assert self.reader.packet()[0] == 0x90
        self.sock.settimeout(None)

        def run():
            while (found := self.reader.packet()):
                body, size = found[1], struct.unpack(">H", found[1][:2])[0]
                seen.append((body[2:2 + size].decode(), body[2 + size:]))
        threading.Thread(target=run, daemon=True).start()
        return seen


def garbage(topic, count=FLOOD):
    for _ in range(count):
        yield publish(topic, RANDOM.randbytes(RANDOM.randrange(300)))


def sealed_junk(topic, kinds, sizes, count=FLOOD):
    """Right version, type and size; nobody sealed it."""
    for i in range(count):
        size = RANDOM.choice(sizes)
        yield publish(topic, bytes((2, kinds[i % len(kinds)])) + RANDOM.randbytes(size - 2))


def big(topic, size, count=BIG):
    """PUBLISH packets of `size` bytes in all, and more."""
    whole = publish(topic, bytes((2, 9)) + bytes(size))
    return [whole] * count


# ---- the program ----

class Test(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="sts-flood.")
        self.addCleanup(shutil.rmtree, self.folder)
        self.hostile_sent = 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def wait_for(self, what, condition):
        until = time.monotonic() + WAIT_S
        while not condition():
            self.assertLess(time.monotonic(), until, f"waited in vain for {what}: {self.logs()}")
            time.sleep(0.02)

    def logs(self):
        return "\n".join(self.read(f)[-1500:] for f in os.listdir(self.folder)
                         if f.endswith((".err", ".out")))

    def read(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def start(self, name, argv, **options):
        """A program in the background, ended with the test; NAME.out, NAME.err."""
        with open(self.path(name + ".out"), "wb") as out, \
                open(self.path(name + ".err"), "wb") as err:
            child = subprocess.Popen(argv, stdout=out, stderr=err,
                                     **{"stdin": subprocess.DEVNULL, **options})

        def end():
            if child.poll() is None:
                child.kill()
            child.wait()
            if child.stdin:
                child.stdin.close()
        self.addCleanup(end)
        return child

    def broker(self, *lines):
        tool = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        for _ in range(50):
            self.port = random.randrange(10000, 30000)
            with open(self.path("conf"), "w", encoding="utf-8") as conf:
                conf.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n"
                           "max_queued_messages 0\nsys_interval 0\n" + "\n".join(lines) + "\n")
            broker = self.start("broker", [tool, "-c", self.path("conf")])
            self.wait_for("mosquitto", lambda: " running\n" in self.read("broker.err") or
                          broker.poll() is not None)
            if broker.poll() is None:
                return
        self.fail("no broker")

    def key(self, name):
        done = subprocess.run([STS, "-k", self.path(name + ".key")], capture_output=True, text=True,
                              check=True)
        return done.stdout.strip()

    def sts(self, *flags, **keys):
        keys = {"ip": "127.0.0.1", "port": self.port, **keys}
        return [STS, *flags, *(word for key, value in keys.items()
                               for word in ("-o", f"{key}={value}"))]

    def run_sts(self, *flags, text=None, **keys):
        done = subprocess.run(self.sts(*flags, **keys), input=text, capture_output=True, text=True,
                              timeout=2 * WAIT_S, check=False)
        self.assertEqual(done.returncode, 0, done.stderr + self.logs())
        return done

    def memory(self, child):
        found = dict(re.findall(r"^(VmSize|VmRSS|RssAnon):\s+(\d+) kB",
                                pathlib.Path(f"/proc/{child.pid}/status").read_text(), re.M))
        return {name: int(value) for name, value in found.items()}

    def same_memory(self, child, before):
        now = self.memory(child)
        self.assertEqual(now["VmSize"], before["VmSize"])
        self.assertLessEqual(now["RssAnon"], before["RssAnon"] + GROWTH_KIB, (before, now))
        self.assertLessEqual(now["VmRSS"], before["VmRSS"] + SHARED_KIB, (before, now))

    def short_log(self, name):
        lines = self.read(name + ".err").splitlines()
        self.assertLessEqual(len(lines), LOG_LINES_MAX,
                             f"{name}: {len(lines)} lines\n" + "\n".join(lines[:150]))

    def ends(self, child, name):
        """SIGTERM ends it, and it has not talked too much."""
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(WAIT_S), 0, self.logs())
        self.short_log(name)

    def flood(self, packets, child, between):
        """Twice the packets; `between` sends what is valid, amid the second time."""
        packets = list(packets)
        client = Client(self.port, "hostile")
        client.send(packets)
        client.settle()
        between("warm")
        before = self.memory(child)
        client.send(packets[:len(packets) // 2])
        between("amid")
        client.send(packets[len(packets) // 2:])
        client.settle()
        between("after")
        self.same_memory(child, before)


class Collector(Test):
    def setUp(self):
        super().setUp()
        self.broker()
        self.public = {name: self.key(name) for name in ("collector", "device")}
        pathlib.Path(self.path("peers")).write_text(f"device {self.public['device']}\n")

    def collect(self, **keys):
        child = self.start("collector", self.sts(
            "-r", "-vv", "-j", sts_mode="collect", key=self.path("collector.key"),
            peers=self.path("peers"), state=self.path("state"), **{"subtop": "t/#", **keys}))
        self.wait_for("SUBACK", lambda: "subscribed" in self.read("collector.err"))
        return child

    def push(self, text):
        self.run_sts("-s", text, sts_mode="push", key=self.path("device.key"),
                     peer=self.public["collector"], pubtop="t/device")
        self.wait_for(text, lambda: f'"{text}"' in self.read("collector.out"))

    def came(self, *texts):
        lines = [json.loads(line) for line in self.read("collector.out").splitlines()]
        self.assertEqual([line["payload"] for line in lines], list(texts))

    def against(self, packets, **keys):
        child = self.collect(**keys)
        self.flood(packets, child, self.push)
        self.ends(child, "collector")
        self.came("warm", "amid", "after")

    def test_garbage(self):
        self.against(garbage("t/device"))

    def test_junk_of_the_right_form(self):
        self.against(sealed_junk("t/device", (9,), (106, 107, 130, 1000)))

    def test_replays(self):
        child, hostile = self.collect(), Client(self.port, "spy")
        seen = hostile.record("t/#")
        for i in range(40):
            self.push(f"reading {i}")
        self.wait_for("the recording", lambda: len(seen) >= 40)
        replays = [publish(*seen[i % 40]) for i in range(FLOOD)]
        self.flood(replays, child, self.push)
        self.ends(child, "collector")
        self.came(*(f"reading {i}" for i in range(40)), "warm", "amid", "after")

    def test_other_topics(self):
        self.against(publish(f"t/{i}", b"\2\x09" + bytes(104)) for i in range(FLOOD))

    def test_retained(self):
        """They are there before the collector comes, and come again when it subscribes again."""
        Client(self.port, "left").send([publish(f"t/r/{i}", RANDOM.randbytes(120), True)
                                        for i in range(FLOOD)])
        self.against(publish(f"t/r/{i % 50}", RANDOM.randbytes(120), True) for i in range(FLOOD))

    def test_oversize(self):
        self.against(big("t/device", limit("CLIENT_RX_BYTES") + 1))
        self.assertIn("times of late", self.read("collector.err"))

    def test_far_too_large(self):
        self.against(big("t/device", 4 << 20, 8))

    def test_as_large_as_fits(self):
        self.against(big("t/device", limit("PAYLOAD_MAX_BYTES") - 2))


class Session(Test):
    def setUp(self):
        super().setUp()
        self.broker()
        self.public = {name: self.key(name) for name in ("slave", "master", "insider")}
        pathlib.Path(self.path("peers")).write_text(
            "".join(f"{name} {self.public[name]}\n" for name in ("master", "insider")))

    def ends_of(self, mode):
        here, there = ("s2m", "m2s") if mode == "slave" else ("m2s", "s2m")
        keys = {"sts_mode": mode, "aes": "chachapoly", "key": self.path(mode + ".key"),
                "pubtop": f"t/{here}", "subtop": f"t/{there}"}
        if mode == "slave":
            return {**keys, "peers": self.path("peers")}
        return {**keys, "peer": self.public["slave"]}

    def slave(self):
        child = self.start("slave", self.sts("-r", "-vv", **self.ends_of("slave")))
        self.wait_for("SUBACK", lambda: "waiting for a master" in self.read("slave.err"))
        return child

    def master(self):
        child = self.start("master", self.sts("-l", "-vv", **self.ends_of("master")),
                           stdin=subprocess.PIPE)
        return child

    def says(self, master, text):
        master.stdin.write(text.encode() + b"\n")
        master.stdin.flush()
        self.wait_for(text, lambda: text in self.read("slave.out").splitlines())

    def finish(self, slave, master, *texts):
        """KILL goes through, its receipt is good, and the slave has all of it once."""
        master.stdin.close()
        self.assertEqual(master.wait(WAIT_S), 0, self.logs())
        self.ends(slave, "slave")
        self.short_log("master")
        self.assertEqual(self.read("slave.out").splitlines(), list(texts))
        self.assertEqual(self.read("slave.err").count("session established"), 1)

    def against(self, *topics_packets, seen=0):
        """A session is there; the flood is on the topics of both ends."""
        slave, master = self.slave(), self.master()
        spy = Client(self.port, "spy").record("t/m2s", "t/s2m") if seen else []
        texts = [f"first {i}" for i in range(max(seen, 1))]
        for text in texts:
            self.says(master, text)
        packets = list(topics_packets) if not seen else \
            [publish(topic, spy[i % len(spy)][1])
             for i in range(FLOOD // 2) for topic in ("t/m2s", "t/s2m")]
        before = {}

        def between(when):
            self.says(master, when)
            if when == "warm":
                before.update(self.memory(master))
        self.flood(packets, slave, between)
        self.same_memory(master, before)
        self.finish(slave, master, *texts, "warm", "amid", "after")

    def test_garbage(self):
        self.against(*garbage("t/m2s", FLOOD // 2), *garbage("t/s2m", FLOOD // 2))

    def test_junk_of_every_form(self):
        sizes = {1: (106,), 2: (50,), 6: (26,), 7: (26, 60, 2000), 8: (42,)}
        self.against(*(p for kind, size in sizes.items() for topic in ("t/m2s", "t/s2m")
                       for p in sealed_junk(topic, (kind,), size, FLOOD // 10)))

    def test_replays_and_echoes(self):
        """All that both ends have said, on both topics: each end hears itself, too."""
        self.against(seen=30)

    def test_oversize(self):
        size = limit("CLIENT_RX_BYTES") + 1
        self.against(*big("t/m2s", size), *big("t/s2m", size))

    def test_retained(self):
        self.against(*(publish("t/m2s", RANDOM.randbytes(106), True) for _ in range(FLOOD)))

    def test_a_handshake_amid_junk(self):
        """Of 250 a second that look like handshakes, more than the 8 of a slow machine are read."""
        slave, over = self.slave(), threading.Event()
        starts = list(sealed_junk("t/m2s", (1,), (106,), 500))
        acks = list(sealed_junk("t/s2m", (2,), (50,), 500))
        floods = [threading.Thread(target=Client(self.port, f"hostile{i}").send,
                                   args=(packets, QUICK_S, over))
                  for i, packets in enumerate((starts, acks))]
        for flood in floods:
            flood.start()
        try:
            # The burst is used up.
            self.wait_for("junk", lambda: "(64 so far)" in self.read("slave.err"))
            for i in range(3):
                self.run_sts("-s", f"hello {i}", timeout=WAIT_S, **self.ends_of("master"))
        finally:
            over.set()
            for flood in floods:
                flood.join()
        self.ends(slave, "slave")
        self.assertEqual(self.read("slave.out").splitlines(), [f"hello {i}" for i in range(3)])

    def initreqs(self, count):
        """Of a key that the slave knows, with rising ids."""
        private = push_hand.read_key(self.path("insider.key"))
        public = push_hand.base64.b64decode(self.public["slave"])
        push_hand.NAME, push_hand.HEAD = b"Noise_IKpsk1_25519_ChaChaPoly_SHA256", b"\2\1"
        first = time.time_ns() // 1000
        return [publish("t/m2s", push_hand.seal(private, public, b"t/m2s", bytes(32), first + i, b""))
                for i in range(count)]

    def test_valid_handshake_starts(self):
        """An insider begins and begins, and finishes nothing: the session of another goes on."""
        starts, over = self.initreqs(1200), threading.Event()
        slave, master = self.slave(), self.master()
        self.says(master, "before")
        client, texts = Client(self.port, "insider"), ["before"]
        before = None
        for i in range(0, len(starts), 30):
            client.send(starts[i:i + 30])
            time.sleep(0.15)
            if i % 300 == 0:
                texts.append(f"amid {i}")
                self.says(master, texts[-1])
                before = before or self.memory(slave)
        over.set()
        self.same_memory(slave, before)
        self.assertIn("began a handshake (16 times of late)", self.read("slave.err"))
        self.finish(slave, master, *texts)

    def test_shell(self):
        """The shell as a slave: messages are shown, and it takes its commands."""
        pathlib.Path(self.path("shell.cfg")).write_text("".join(
            f"{key} = {value}\n" for key, value in
            {"ip": "127.0.0.1", "port": self.port, **self.ends_of("slave")}.items()))
        shell = self.start("slave", [STS, "-vv", "-c", self.path("shell.cfg")],
                           stdin=subprocess.PIPE)
        self.wait_for("SUBACK", lambda: "waiting for a master" in self.read("slave.err"))
        master = self.master()
        self.says(master, "before")
        self.flood([*garbage("t/m2s"), *big("t/m2s", limit("CLIENT_RX_BYTES") + 1)], shell,
                   lambda when: self.says(master, when))
        shell.stdin.write(b"stop\nexit\n")
        shell.stdin.close()
        self.assertEqual(shell.wait(WAIT_S), 0, self.logs())
        self.short_log("slave")
        master.wait(WAIT_S)
        self.assertIn("the slave ended the session", self.read("master.err"))


class Sts1(Test):
    """Its handshake proves nothing, so anybody may begin one: what has to hold is memory and log."""

    def test_handshake_starts(self):
        self.broker()
        keys = {"aes": "cbc", "pubtop": "t/s2m", "subtop": "t/m2s", "sts_mode": "slave"}
        slave = self.start("slave", self.sts("-r", "-vv", **keys))
        self.wait_for("SUBACK", lambda: "waiting for a master" in self.read("slave.err"))
        starts = [publish("t/m2s", sts1_peer.obfuscate(b"INITREQ:" + RANDOM.randbytes(31).hex()
                                                       .encode()))
                  for _ in range(FLOOD)]
        client = Client(self.port, "hostile")

        def flood():
            client.send([*starts, *garbage("t/m2s", 1000)])
            client.settle()
            client.send(big("t/m2s", limit("CLIENT_RX_BYTES") + 1, 1))

        def heard(times):
            self.wait_for("the last", lambda: self.read("slave.err").count("skipped") >= times)
        flood()
        heard(1)
        before = self.memory(slave)
        flood()
        heard(2)
        self.same_memory(slave, before)
        self.run_sts("-s", "hello", aes="cbc", pubtop="t/m2s", subtop="t/s2m", sts_mode="master")
        self.wait_for("hello", lambda: "hello" in self.read("slave.out"))
        self.assertIn("began a handshake (16 times of late)", self.read("slave.err"))
        self.ends(slave, "slave")


class HostileBroker(Test):
    """The broker is the enemy, and speaks to `sts -r` without any session."""

    def setUp(self):
        super().setUp()
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        self.port = listener.getsockname()[1]
        self.listener = listener

    def accept(self):
        """A connection on which CONNECT and SUBSCRIBE are answered."""
        self.listener.settimeout(WAIT_S)
        sock, _ = self.listener.accept()
        self.addCleanup(sock.close)
        reader = Reader(sock)
        self.assertEqual(reader.packet()[0], 0x10)
        sock.sendall(packet(0x20, b"\0\0"))
        first, body = reader.packet()
        self.assertEqual(first, 0x82)
        sock.sendall(ack(0x90, struct.unpack(">H", body[:2])[0], b"\2"))
        return sock, reader

    def against(self, packets):
        child = self.start("receiver", self.sts("-r", "-vv", subtop="t/#", qos=2))
        sock, reader = self.accept()

        def drain():
            try:
                while reader.packet():
                    pass
            except OSError:
                pass
        threading.Thread(target=drain, daemon=True).start()

        def flood(text):
            sock.sendall(b"".join(packets))
            sock.sendall(publish("t/x", text.encode()))
            self.wait_for(text, lambda: text in self.read("receiver.out").splitlines())
        flood("warm")
        before = self.memory(child)
        flood("second")
        flood("third")
        self.same_memory(child, before)
        child.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(child.wait(WAIT_S), 0, self.logs())
        self.short_log("receiver")

    def test_acknowledgements_nobody_asked_for(self):
        """All that may be the rest of an earlier connection; any other ends this one with 76."""
        self.against([ack(first, i) for first in (0x50, 0x62, 0x70)
                      for i in range(1, FLOOD)] + [b"\xd0\0"] * FLOOD)

    def test_every_id_of_qos_2(self):
        """The same 65,535 messages again and again, never released: each is shown once."""
        self.against([publish("t/x", b"x", qos=2, packet_id=i) for i in range(1, 65536)])
        self.assertEqual(self.read("receiver.out").count("x\n"), 65535)

    def test_oversize(self):
        self.against(big("t/x", limit("CLIENT_RX_BYTES") + 1, 1000))

    def test_it_closes_again_and_again(self):
        """Each connection brings a message, so each loss is a new one; after some the log counts."""
        child = self.start("receiver", self.sts("-r", "-vv", subtop="t/#"))
        for _ in range(limit("LOG_REPEATS_MAX") + 3):
            sock, reader = self.accept()
            sock.sendall(publish("t/x", b"x", qos=1))
            self.assertEqual(reader.packet()[0], 0x40)
            sock.shutdown(socket.SHUT_WR)
        sock, _ = self.accept()
        self.assertEqual(self.read("receiver.err").count("next attempt in"),
                         limit("LOG_REPEATS_MAX"))
        child.send_signal(signal.SIGTERM)
        sock.shutdown(socket.SHUT_WR)
        self.assertEqual(child.wait(WAIT_S), 0, self.logs())


if __name__ == "__main__":
    unittest.main()
