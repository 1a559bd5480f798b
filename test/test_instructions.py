#!/usr/bin/python3
"""How many instructions things take: a regression that shows without a clock.

The program as it is released (build/sts.debug is the one that build/sts is stripped of) runs under
valgrind's callgrind against a real broker. Where an operation is one of many in a run, two runs are
counted, one with more of them, and the difference is divided: what start and end take is in neither.
The counts stand in test/instructions, and may be off by TOLERANCE, up or down: what became cheaper
is written down as well, or the next regression would hide behind it.

    make instructions       counts, and writes test/instructions anew

They are those of one compiler and machine, which the file names. With another one the test is
skipped; `make instructions` makes a file for it.
"""
import ctypes
import getpass
import os
import pathlib
import platform
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
STS = os.path.abspath(os.environ.get("STS_DEBUG") or ROOT / "build/sts.debug")
COUNTS = ROOT / "test/instructions"
# Runs of one binary differ by 0.1 %, those of ENC by 0.7 %, from how the broker's packets fall into
# segments; a change elsewhere moves the compiler's inlining by about as much.
TOLERANCE = 0.03
WAIT_S = 60
FEW, MANY = 20, 220         # messages
ONE, SOME = 1, 5            # sessions; a slave answers 8 handshakes in a row


class Broken(Exception):
    """Something did not go as it has to; says what."""


def wait_for(condition, what):
    until = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > until:
            raise Broken(f"waited {WAIT_S} s in vain for {what}")
        time.sleep(0.01)


def compiler():
    """What has made the program, as it says itself."""
    says = subprocess.run(["readelf", "-p", ".comment", STS], capture_output=True, text=True,
                          check=True).stdout
    found = re.findall(r"^ *\[ *[0-9a-f]+\] +(.*)$", says, re.M)
    return f"{platform.machine()}, {', '.join(found)}"


# ---- counting ----------------------------------------------------------------------------------

def keep_from_sandbox():
    """In the child: a filter of system calls that sts sets up for itself would hold for valgrind,
    too, which makes others. So seccomp(2) and prctl(PR_SET_SECCOMP) give EINVAL from here on."""
    load_nr, load_first, give = (0x20, 0, 0, 0), (0x20, 0, 0, 16), (0x06, 0, 0)
    allow, einval = (*give, 0x7fff0000), (*give, 0x00050000 | 22)
    program = b"".join(struct.pack("HBBI", *one) for one in (
        load_nr, (0x15, 3, 0, 317), (0x15, 0, 3, 157), load_first, (0x15, 0, 1, 22), einval, allow))
    code = ctypes.create_string_buffer(program)
    head = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)          # PR_SET_NO_NEW_PRIVS
    if libc.prctl(22, 2, head, 0, 0) != 0:
        os._exit(126)


class Counted:
    """A run of sts under callgrind."""

    def __init__(self, folder, name, *arguments, lines=None):
        self.file, self.err = folder / f"{name}.callgrind", folder / f"{name}.err"
        self.arguments = arguments
        with open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={self.file}", STS,
                 *arguments], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=err, preexec_fn=keep_from_sandbox)
        if lines:
            self.process.stdin.write(lines)
        self.process.stdin.close()

    def says(self, words):
        wait_for(lambda: words in self.err.read_text(), f"{words!r} of {self.arguments}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.count()

    def count(self):
        if self.process.wait(WAIT_S) != 0:
            raise Broken(f"sts {' '.join(self.arguments)}: {self.err.read_text()}")
        return int(re.search(r"^totals: (\d+)$", self.file.read_text(), re.M).group(1))


def lines_of(count):
    return b"".join(b"temperature 21.5 C %03d\n" % i for i in range(count))


class World:
    """A broker, and a folder with both ends of everything."""

    def __init__(self, folder):
        self.folder, self.runs = folder, []
        self.broker = self.start_broker()
        keys = {name: self.key(name) for name in ("push", "collect", "master", "slave")}
        (folder / "peers").write_text(f"device {keys['push']}\n")
        self.conf("push", f"sts_mode = push\npeer = {keys['collect']}\npubtop = a/b\n"
                          "state = push.state\nspool = push.spool\n")
        self.conf("collect", "sts_mode = collect\npeers = peers\nsubtop = a/#\n"
                             "state = collect.state\n")
        self.conf("master", f"sts_mode = master\naes = chachapoly\npeer = {keys['slave']}\n"
                            "pubtop = m\nsubtop = s\n")
        self.conf("slave", f"sts_mode = slave\naes = chachapoly\npeer = {keys['master']}\n"
                           "pubtop = s\nsubtop = m\n")

    def start_broker(self):
        log = self.folder / "broker.log"
        for _ in range(50):
            self.port = random.SystemRandom().randrange(10000, 30000)
            (self.folder / "broker.conf").write_text(
                f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser {getpass.getuser()}\n"
                "max_queued_messages 0\nsys_interval 0\nlog_dest stderr\n")
            with open(log, "wb") as err:
                broker = subprocess.Popen(
                    ["mosquitto", "-c", self.folder / "broker.conf"], stderr=err,
                    env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"})
            wait_for(lambda: broker.poll() is not None or b" running\n" in log.read_bytes(),
                     "the broker")
            if broker.poll() is None:
                return broker
        raise Broken("no broker: " + log.read_text())

    def stop(self):
        for process in (*(run.process for run in self.runs), self.broker):
            if process.poll() is None:
                process.kill()
                process.wait()

    def key(self, name):
        return subprocess.run([STS, "-k", self.folder / f"{name}.key"], check=True,
                              capture_output=True, text=True).stdout.strip()

    def conf(self, name, text):
        (self.folder / name).write_text(f"ip = 127.0.0.1\nport = {self.port}\nkey = {name}.key\n"
                                        f"timeout = {WAIT_S}\n{text}")

    def counted(self, name, *arguments, lines=None):
        self.runs.append(Counted(self.folder, name, "-c", name, *arguments, lines=lines))
        return self.runs[-1]

    # ---- the operations: each gives totals of runs ----

    def push(self):
        return self.counted("push", "-s", "temperature 21.5 C").count()

    def pushes(self, number):
        return self.counted("push", "-l", lines=lines_of(number)).count()

    def collect(self, number):
        """What -l has sent is at the broker, and comes as it asks for it."""
        return self.counted("collect", "-r", "-n", str(number)).count()

    def subscribe(self):
        collector = self.counted("collect", "-r")
        collector.says("subscribed")
        collector.stop()

    def slave(self):
        slave = self.counted("slave", "-r")
        slave.says("waiting for a master")
        return slave

    def sessions(self, number):
        slave = self.slave()
        self.runs.append(Counted(self.folder, "shell", lines=b"start master\nstop\n" * number))
        return self.runs[-1].count(), slave.stop()

    def encrypted(self, number):
        slave = self.slave()
        return self.counted("master", "-l", lines=lines_of(number)).count(), slave.stop()


def count_all(world):
    def each(more, fewer, by):
        return round((more - fewer) / by)

    world.push()            # it makes the files
    world.subscribe()
    counts = {"push, the whole run of -s": world.push()}
    few, many = world.pushes(FEW), world.pushes(MANY)
    counts["push, one more of -l"] = each(many, few, MANY - FEW)
    few, many = world.collect(1 + FEW), world.collect(MANY)
    counts["collected PUSH"] = each(many, few, MANY - FEW - 1)
    few, many = world.sessions(ONE), world.sessions(SOME)
    counts["handshake, start and end of a session: master"] = each(many[0], few[0], SOME - ONE)
    counts["handshake, start and end of a session: slave"] = each(many[1], few[1], SOME - ONE)
    few, many = world.encrypted(FEW), world.encrypted(MANY)
    counts["ENC sent"] = each(many[0], few[0], MANY - FEW)
    counts["ENC received"] = each(many[1], few[1], MANY - FEW)
    return counts


def count_in(folder):
    world = World(pathlib.Path(folder))
    try:
        return count_all(world)
    finally:
        world.stop()


# ---- the file ----------------------------------------------------------------------------------

def write_counts(counts):
    lines = [f"# instructions, by test/test_instructions.py; renewed by `make instructions`\n"
             f"# {compiler()}\n", *(f"{count:>9}  {name}\n" for name, count in counts.items())]
    COUNTS.write_text("".join(lines))
    print("".join(lines), end="")


def read_counts():
    text = COUNTS.read_text()
    made_by = re.findall(r"^# (.*)$", text, re.M)[1]
    return made_by, {name: int(count) for count, name in re.findall(r"^ *(\d+)  (.*)$", text, re.M)}


class Instructions(unittest.TestCase):
    def test_counts(self):
        made_by, expected = read_counts()
        if made_by != compiler():
            self.skipTest(f"the counts are those of {made_by}, this is {compiler()}; "
                          "`make instructions` counts for this one")
        with tempfile.TemporaryDirectory(prefix="sts-test-") as folder:
            counts = count_in(folder)
        self.assertEqual(list(counts), list(expected))
        wrong = [f"{name}: {count:,}, not {expected[name]:,} ({count / expected[name] - 1:+.1%})"
                 for name, count in counts.items()
                 if abs(count - expected[name]) > TOLERANCE * expected[name]]
        if wrong:
            self.fail("\n".join(["instructions (if that is meant: make instructions):", *wrong]))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if sys.argv[1:] == ["--renew"]:
        with tempfile.TemporaryDirectory(prefix="sts-test-") as scratch:
            write_counts(count_in(scratch))
    else:
        unittest.main()
