#!/usr/bin/python3
"""No key outlives its use: the memory of a run of `sts` is searched for every secret it had.

Each scene is a run, or two ends, against a real broker. A process is searched before it ends (at
the stop that ptrace has for that: nothing is unmapped yet) and, where it goes on after a session,
then. A search is of everything writable: data, bss, all of the stack, also what lies below the
stack pointer. 16 bytes in a row of a secret are a finding, in any of its FORMS.

Every scene is run twice, with

  - the program as released: keys and psks of the files, which the test knows;
  - build/wipe/sts, the same with test/wipe/record.c in it, which writes down what else is secret:
    ephemeral keys, DH results, chaining and session keys, psk, round keys, keyed hashes, one-time
    keys, random bytes that keys come of.

Not searched: registers, what the kernel has (pipes, files, swap), children, psks that the command
line gives. Not searched for: payloads, which stay where they were read and sent until something
else overwrites them, and the password for the broker, which any network on the way has seen.

A process that SIGKILL ends in the middle of a session shows that the search finds what is there.
"""
import base64
import ctypes
import os
import pathlib
import signal
import struct
import subprocess
import tempfile
import time
import unittest

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import test_instructions

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = {"released": os.path.abspath(os.environ.get("STS_DEBUG") or ROOT / "build/sts.debug"),
            "recorded": str(ROOT / "build/wipe/sts")}
RECORD_FD = 200
RUN_BYTES = 16              # of a secret in a row: a finding
PAGE_BYTES = 4096
WAIT_S = 60

PTRACE_TRACEME, PTRACE_CONT, PTRACE_SETOPTIONS = 0, 7, 0x4200
PTRACE_O_TRACEEXIT, PTRACE_O_EXITKILL = 0x40, 0x100000
PTRACE_EVENT_EXIT = 6

SECP256K1_N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
libc.ptrace.restype = ctypes.c_long


# ---- a traced run ------------------------------------------------------------------------------

def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, 0, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def used_parts(memory):
    """Without the pages that are all zero, most of them."""
    zeros, begin = bytes(PAGE_BYTES), None
    for at in range(0, len(memory) + PAGE_BYTES, PAGE_BYTES):
        used = memory[at:at + PAGE_BYTES] not in (zeros, b"")
        if used and begin is None:
            begin = at
        elif not used and begin is not None:
            yield begin, memory[begin:at]
            begin = None


class Run:
    """One process of sts, and at its end what its memory was."""
    count = 0

    def __init__(self, folder, program, arguments, reads=None):
        Run.count += 1
        self.name = " ".join(("sts", *arguments))
        self.out, self.err, self.record = (folder / f"run{Run.count}.{kind}"
                                           for kind in ("out", "err", "record"))
        self.status, self.at_exit = None, None
        fd = os.open(self.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

        def child():
            libc.ptrace(PTRACE_TRACEME, 0, 0, 0)
            os.dup2(fd, RECORD_FD)

        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [program, *arguments], cwd=folder, stdout=out, stderr=err, close_fds=False,
                stdin=subprocess.PIPE, preexec_fn=child)
        os.close(fd)
        self.pid = self.process.pid
        self.process.returncode = 0     # waited for here, and by nobody else
        os.waitpid(self.pid, 0)         # execve
        # Opened before the program keeps others out, which only root may overrule.
        self.memory = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY)
        self.maps = open(f"/proc/{self.pid}/maps", "rb", buffering=0)
        ptrace(PTRACE_SETOPTIONS, self.pid, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL)
        ptrace(PTRACE_CONT, self.pid)
        if reads is not None:
            self.write(reads)
            self.process.stdin.close()

    def write(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def step(self):
        """Looks after the process; whether it is gone."""
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return False
            if not os.WIFSTOPPED(status):
                self.status = os.waitstatus_to_exitcode(status)
            elif status >> 16 == PTRACE_EVENT_EXIT:
                self.at_exit = self.read()
                ptrace(PTRACE_CONT, self.pid)
            else:
                ptrace(PTRACE_CONT, self.pid, os.WSTOPSIG(status))
        return True

    def sleeps(self):
        """What it said last may have been said in the middle of something."""
        return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S"

    def read(self):
        """(address, bytes, what it is a part of) of all that is writable and not zero."""
        self.maps.seek(0)
        found = []
        for line in self.maps.read().decode().splitlines():
            where, may, _, _, _, *name = line.split()
            start, end = (int(number, 16) for number in where.split("-"))
            if "w" in may:
                memory = os.pread(self.memory, end - start, start)
                found += ((start + at, used, name[0] if name else "bss")
                          for at, used in used_parts(memory))
        return found

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            while not self.step():
                time.sleep(0.01)
        self.process.stdin.close()
        self.maps.close()
        os.close(self.memory)

    def recorded(self):
        """The secrets of the record, in order."""
        secrets, data, at = {}, self.record.read_bytes(), 0
        self.macs = []
        tainted = keyed = False
        while at < len(data):
            kind, length = struct.unpack_from("<cH", data, at)
            value = data[at + 3:at + 3 + length]
            at += 3 + length
            if kind == b"K":
                tainted = keyed = value in secrets
            elif kind == b"P":
                tainted = tainted or value in secrets
            if kind == b"S" or (kind == b"T" and keyed) or (kind == b"M" and tainted):
                secrets.setdefault(value, f"secret {len(secrets)}, {kind.decode()}")
            if kind == b"M":
                self.macs.append(value)
        return secrets

    def session_keys(self):
        """Split() is the last HKDF of a handshake: a key, then three outputs, of which two count."""
        self.recorded()
        return set(self.macs[-3:-1])


# ---- the search --------------------------------------------------------------------------------

def limbs(value):
    """As Everest has a number: five limbs of 51 bits."""
    number = int.from_bytes(value, "little")
    return struct.pack("<5Q", *(number >> 51 * i & (1 << 51) - 1 for i in range(5)))


def negative(value):
    """Mbed TLS multiplies by n - k where k is even."""
    return (-int.from_bytes(value, "big") % SECP256K1_N).to_bytes(32, "big")


FORMS = {
    "": lambda value: value,
    " in base64": base64.b64encode,
    " backwards (an mpi)": lambda value: value[::-1],
    " padded for HMAC (inner)": lambda value: bytes(byte ^ 0x36 for byte in value),
    " padded for HMAC (outer)": lambda value: bytes(byte ^ 0x5c for byte in value),
    " in limbs": limbs,
    " negative": lambda value: negative(value)[::-1],
}


def forms(value):
    if len(value) != 32:
        return {"": value}
    return {name: make(value) for name, make in FORMS.items()}


def longest(memory, at, value, offset, length):
    """The run of equal bytes around memory[at:at + length] == value[offset:offset + length]."""
    start, end = 0, length
    while at + start > 0 and offset + start > 0 and \
            memory[at + start - 1] == value[offset + start - 1]:
        start -= 1
    while at + end < len(memory) and offset + end < len(value) and \
            memory[at + end] == value[offset + end]:
        end += 1
    return start, end - start


def find(memory, value):
    """Where 16 bytes of the value stand. Each such run has one of its words of 8 in it."""
    for offset in range(0, len(value) - 7, 8):
        word = value[offset:offset + 8]
        if len(set(word)) < 4:          # zeros and the like are everywhere
            continue
        at = memory.find(word)
        while at >= 0:
            start, length = longest(memory, at, value, offset, 8)
            if length >= RUN_BYTES:
                yield at + start, length
            at = memory.find(word, at + 1)


def search(image, secrets):
    findings = {}
    for start, memory, name in image:
        for value, what in secrets.items():
            for form, text in forms(value).items():
                for at, length in find(memory, text):
                    findings[start + at] = f"{what}{form}: {length} bytes at {start + at:#x}, " \
                        f"{name.rsplit('/', 1)[-1]}"
    return [findings[at] for at in sorted(findings)]


# ---- the world ---------------------------------------------------------------------------------

class World(test_instructions.World):
    """A broker, keys, and a config of each kind, with and without psk."""

    def __init__(self, folder):
        super().__init__(folder)
        self.running, self.program = [], None
        self.psk = base64.b64encode(os.urandom(32)).decode()
        public = {name: self.public(name) for name in ("push", "collect", "master", "slave")}
        (folder / "psk.peers").write_text(f"device {public['push']} {self.psk}\n")
        for name, (mode, own, other) in {
                "psk.push": ("push", "push", "peer = " + public["collect"]),
                "psk.collect": ("collect", "collect", "peers = psk.peers"),
                "psk.master": ("master\naes = chachapoly", "master", "peer = " + public["slave"]),
                "psk.slave": ("slave\naes = chachapoly", "slave", "peer = " + public["master"]),
        }.items():
            psk = "" if "peers =" in other else f"psk = {self.psk}\n"
            ways = {"push": "pubtop = p/b\n", "collect": "subtop = p/#\n",
                    "master": "pubtop = pm\nsubtop = ps\n", "slave": "pubtop = ps\nsubtop = pm\n"}
            self.conf(name, f"key = {own}.key\nsts_mode = {mode}\n{other}\n{psk}{ways[own]}"
                            + (f"state = {name}.state\n" if own in ("push", "collect") else ""))
        for cipher in ("ecb", "cbc"):
            for mode, ways in (("master", "pubtop = 1m\nsubtop = 1s\n"),
                               ("slave", "pubtop = 1s\nsubtop = 1m\n")):
                self.conf(f"{cipher}.{mode}", f"sts_mode = {mode}\naes = {cipher}\n{ways}")

    def conf(self, name, text):
        own = "" if "key = " in text or "ecb" in text or "cbc" in text else f"key = {name}.key\n"
        (self.folder / name).write_text(f"ip = 127.0.0.1\nport = {self.port}\ntimeout = {WAIT_S}\n"
                                        f"{own}{text}")
        (self.folder / name).chmod(0o600)

    def private(self, name):
        return base64.b64decode((self.folder / f"{name}.key").read_text())

    def public(self, name):
        key = X25519PrivateKey.from_private_bytes(self.private(name)).public_key()
        return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()

    def known(self):
        """The secrets of the files."""
        known = {self.private(path.stem): f"the key of {path.name}"
                 for path in self.folder.glob("*.key")}
        return {**known, base64.b64decode(self.psk): "the psk"}

    def kept(self, own, other):
        """What an end that waits for the next session still needs."""
        shared = X25519PrivateKey.from_private_bytes(self.private(own)).exchange(
            X25519PublicKey.from_public_bytes(base64.b64decode(self.public(other))))
        return {self.private(own), shared, base64.b64decode(self.psk)}

    def start(self, *arguments, reads=None):
        self.running.append(Run(self.folder, self.program, arguments, reads))
        return self.running[-1]

    def wait(self, condition, what):
        def look():
            for run in self.running:
                run.step()
            return condition()

        test_instructions.wait_for(look, what)

    def says(self, run, words, times=1):
        self.wait(lambda: run.err.read_text().count(words) >= times or run.status is not None,
                  f"{words!r}")
        if run.err.read_text().count(words) < times:
            raise test_instructions.Broken(f"no {words!r} in {run.err.read_text()}")

    def ended(self, run, status):
        self.wait(lambda: run.status is not None, "the end")
        if run.status != status:
            raise test_instructions.Broken(f"status {run.status}: {run.err.read_text()}")



# ---- scenes ------------------------------------------------------------------------------------
#
# Generators of (run, secrets that it may still have), where a run is searched before its end.

def push(world, name="push"):
    world.ended(world.start("-c", name, "-s", "21.5"), 0)
    yield from ()


def push_with_psk(world):
    yield from push(world, "psk.push")


def push_lines(world):
    world.ended(world.start("-c", "psk.push", "-l", reads=b"one\ntwo\nthree\n"), 0)
    yield from ()


def collect(world):
    collector = world.start("-c", "psk.collect", "-r", "-j", "-n", "2")
    world.says(collector, "subscribed")
    world.ended(world.start("-c", "psk.push", "-l", reads=b"one\ntwo\n"), 0)
    world.ended(collector, 0)
    yield from ()


def sessions(world, slave, master, kept):
    """A slave goes on after KILL, and serves a second master."""
    end = world.start("-c", slave, "-r")
    for times in (1, 2):
        world.says(end, "waiting for a master", times)
        world.ended(world.start("-c", master, "-l", reads=b"one\ntwo\n"), 0)
        world.says(end, "waiting for a master", times + 1)
        yield end, kept
    os.kill(end.pid, signal.SIGTERM)
    world.ended(end, 0)


def sessions_sts2(world):
    yield from sessions(world, "psk.slave", "psk.master", world.kept("slave", "master"))


def sessions_ecb(world):
    yield from sessions(world, "ecb.slave", "ecb.master", set())


def sessions_cbc(world):
    yield from sessions(world, "cbc.slave", "cbc.master", set())


def shells(world, slave, master):
    """Once STS/2 is established, only the session's own keys are left of the handshake. After `stop`
    a shell has nothing; then it begins anew."""
    ends = [world.start(), world.start()]
    for times in (1, 2):
        for end, name in zip(ends, (slave, master)):
            end.write(f"start {name}\n".encode())
            world.says(end, "connected to broker", times)
        for end in ends:
            world.says(end, "session established", times)
            if slave == "psk.slave":
                yield end, world.kept("slave", "master") | end.session_keys() | \
                    {world.private("master")}
        ends[1].write(b"sendenc one\n")
        for end in reversed(ends):
            end.write(b"stop\n")
            world.says(end, "session stopped", times)
            yield end, set()
    for end in ends:
        end.write(b"exit\n")
        world.ended(end, 0)


def shells_sts2(world):
    yield from shells(world, "psk.slave", "psk.master")


def shells_cbc(world):
    yield from shells(world, "cbc.slave", "cbc.master")


def key_made(world):
    for _ in range(2):      # made, then read
        world.ended(world.start("-k", "fresh.key"), 0)
    yield from ()


def fails(status, *arguments, reads=None):
    def scene(world):
        world.ended(world.start(*arguments, reads=reads), status)
        yield from ()
    return scene


def bad_file(name, text, status, *arguments):
    def scene(world):
        path = world.folder / name
        path.write_text(text(world))
        path.chmod(0o600)
        world.ended(world.start(*arguments), status)
        yield from ()
    return scene


def key_with_more(world):
    return base64.b64encode(world.private("push")).decode() + "\nmore\n"


def peers_with_nonsense(world):
    return (world.folder / "psk.peers").read_text() + "nonsense\n"


def conf_with_nonsense(world):
    return (world.folder / "psk.push").read_text() + "nonsense\n"


def stopped(number, times, status, said, *arguments, reads=None):
    """Ended by a signal, or two, while it waits."""
    def scene(world):
        run = world.start(*arguments, reads=reads)
        world.says(run, said)
        for _ in range(times):
            os.kill(run.pid, number)
            time.sleep(0.1)     # or the two are one
        world.ended(run, status)
        yield from ()
    return scene


def no_answer_to_kill(world):
    """The other end is gone; a second signal ends the waiting."""
    slave = world.start("-c", "psk.slave", "-r")
    world.says(slave, "waiting for a master")
    shell = world.start()
    shell.write(b"start psk.master\n")
    world.says(shell, "session established")
    os.kill(slave.pid, signal.SIGKILL)
    for _ in range(2):
        os.kill(shell.pid, signal.SIGTERM)
        time.sleep(0.1)
    world.ended(shell, 0)
    world.ended(slave, -signal.SIGKILL)
    yield from ()


def given_up(world):
    """-w, while a session is established."""
    slave = world.start("-c", "psk.slave", "-r", "-w", "2")
    world.says(slave, "waiting for a master")
    shell = world.start()
    shell.write(b"start psk.master\n")
    world.says(slave, "session established")
    world.ended(slave, 75)
    shell.process.stdin.close()
    world.ended(shell, 0)
    yield from ()


NOBODY = ("-o", "port=1", "-o", "timeout=1")
SCENES = {
    "push": push, "push_with_psk": push_with_psk, "push_lines": push_lines, "collect": collect,
    "sessions_sts2": sessions_sts2, "sessions_ecb": sessions_ecb, "sessions_cbc": sessions_cbc,
    "shells_sts2": shells_sts2, "shells_cbc": shells_cbc, "key_made": key_made,
    "no_broker": fails(69, "-c", "psk.push", *NOBODY, "-s", "x"),
    "no_broker_for_lines": fails(69, "-c", "psk.master", *NOBODY, "-l", reads=b"x\n"),
    "no_answer_to_kill": no_answer_to_kill, "given_up": given_up,
    "no_slave": fails(75, "-c", "psk.master", "-o", "timeout=1", "-o", "pubtop=nobody", "-s", "x"),
    "no_slave_cbc": fails(75, "-c", "cbc.master", "-o", "timeout=1", "-o", "pubtop=nobody", "-s",
                          "x"),
    "no_state": fails(73, "-c", "psk.push", "-o", "state=none/state", "-s", "x"),
    "no_pubtop": fails(78, "-c", "psk.collect", "-s", "x"),
    "long": fails(65, "-c", "psk.push", "-s", "x" * 70000),
    "bad_flag": fails(64, "-c", "psk.push", "-s", "x", "-z"),
    "bad_key": bad_file("more", key_with_more, 78, "-c", "psk.push", "-o", "key=more", "-s", "x"),
    "bad_peers": bad_file("bad.peers", peers_with_nonsense, 78, "-c", "psk.collect", "-o",
                          "peers=bad.peers", "-r"),
    "bad_conf": bad_file("bad.conf", conf_with_nonsense, 78, "-c", "bad.conf", "-s", "x"),
    "own_key": fails(78, "-c", "psk.push", "-o", "key=collect.key", "-s", "x"),
    "term": stopped(signal.SIGTERM, 1, 0, "subscribed", "-c", "psk.collect", "-r"),
    "interrupted_twice": stopped(signal.SIGINT, 2, 75, "subscribed", "-c", "psk.master", "-v", "-v",
                                 "-o", "pubtop=nobody", "-s", "x"),
    "hangup_of_a_shell": stopped(signal.SIGHUP, 2, 0, "subscribed", "-c", "psk.master", "-o",
                                 "pubtop=nobody"),
}


class Wipe(unittest.TestCase):
    """One test for each scene and program."""

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="sts-test-")
        cls.addClassCleanup(scratch.cleanup)
        cls.world = World(pathlib.Path(scratch.name))
        cls.addClassCleanup(cls.world.stop)

    def tearDown(self):
        for run in self.world.running:
            run.close()
        self.world.running = []

    def findings(self, run, image, kept):
        secrets = {**run.recorded(), **self.world.known()}
        return search(image, {value: name for value, name in secrets.items() if value not in kept})

    def check(self, run, when, image, kept):
        self.assertGreater(len(image), 2)
        findings = self.findings(run, image, kept)
        if findings:
            self.fail("\n".join([f"{run.name}, {when}:", *findings]))

    def play(self, program, scene):
        self.world.program = PROGRAMS[program]
        for run, kept in scene(self.world):
            self.world.wait(run.sleeps, "a process that waits for something")
            self.check(run, "as it goes on", run.read(), kept)
        for run in self.world.running:
            if run.status != -signal.SIGKILL:
                self.check(run, "at its end", run.at_exit, set())
            else:       # in the middle of a session: what the search has to find
                found = " ".join(self.findings(run, run.at_exit, set()))
                for what in ("the key of slave.key", "the psk") + \
                        (("secret",) if program == "recorded" else ()):
                    self.assertIn(what, found)


def add_tests():
    def add(name, program, scene):
        setattr(Wipe, f"test_{name}_{program}", lambda self: self.play(program, scene))

    for name, scene in SCENES.items():
        for program in PROGRAMS:
            add(name, program, scene)


add_tests()

if __name__ == "__main__":
    unittest.main(verbosity=0)
