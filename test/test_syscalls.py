#!/usr/bin/python3
"""Each system call of a run of `sts` fails in turn, by strace's fault injection.

A plain trace of a run says which calls it makes, and on what. Then the run is made again for each
call and each error in FAULTS that fits it; the call does nothing but fail. So a new call is covered
by itself, and one that FAULTS does not know is a failed test. After each run:

  - no signal ended it, it took less than LIMIT_S, and its status is of the README's table;
  - the status is the one that FAULTS has for the error, and a file that failed is named;
  - after a good run, each reading whose sender ended with 0, or with 75 and a spool, has come out
    exactly once and in order, and no other twice. A collector that did not end with 0 may write to
    standard output again what it had written, with the same ids.

As many runs as fit SHORT_S are made, chosen by a seed that is printed; FULL=1: all of them.
SYSCALLS_SEED=N chooses those of an earlier time again, ONLY=REGEX those that are named so.
"""
import collections
import concurrent.futures
import getpass
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
STS = os.path.abspath(os.environ.get("STS") or ROOT / "build/sts")
AT_ONCE = 3
LIMIT_S = 20            # what takes longer hangs: `timeout` is 2 s in each config
WAIT_S = 30             # for a good run
SHORT_S = 60            # of all runs together, unless FULL is set
LINES = 3               # readings of a run of many

# What fails, with which errors, and the exit statuses that are right then:
#   =        the one that the run has when nothing fails
#   away     that of a broker that is lost: 69, and with a spool, which keeps the reading, 75
#   0        only where the run can end with it at all
#   kept:X   X, and only where there is a spool
# An error with a "+" stays: each later call of that name fails, too. One without may be met by
# trying again; one that a signal, a full socket or somebody else's lock brought has to be.
FAULTS = """
# call          on what             errors                                  statuses
open            conf,key,peers      EACCES,ENOENT,EMFILE,EIO                66
open            state               EACCES                                  77
open            state               ENOENT,EMFILE,ENOSPC                    66
open            new-state           EACCES,EMFILE,ENOSPC,EROFS              73
open            folder              EACCES,EMFILE                           74,kept:69,kept:=
fstat           key,state           EIO                                     66
pread64         conf,key            EINTR                                   =
pread64         conf,key            EIO                                     66
read            peers               EINTR                                   =
read            peers               EIO                                     66
read            stdin               EINTR,EAGAIN                            =
read            stdin               EIO                                     66
read            socket              EINTR,EAGAIN                            =
read            socket              ECONNRESET,ETIMEDOUT,EIO                =,away
read            socket              EAGAIN+                                 =,away,75
read            socket              ECONNRESET+                             =,away,75
read            signals             EINTR,EAGAIN                            =
pread64         state               EINTR                                   =
pread64         collectors-state    EIO                                     66
# The first look at it is taken without the lock, and what fails there is done again with it.
pread64         senders-state       EIO                                     =,66
pwrite64        state               EINTR                                   =
pwrite64        state               EIO,ENOSPC,EDQUOT,ENOSPC+               74
fdatasync       state               EINTR                                   =
fdatasync       state               EIO,ENOSPC,EDQUOT                       74
fsync           folder              EINTR,EINVAL                            =
fsync           folder              EIO                                     74,kept:69,kept:=
flock           state               EINTR                                   =
flock           state               ENOLCK                                  74
flock           senders-state       EAGAIN                                  =
flock           senders-state       EAGAIN+                                 75,kept:73
flock           collectors-state    EAGAIN                                  75
flock           unlock              EINTR,ENOLCK                            =
close           any                 EINTR,EIO,ENOSPC                        =
mprotect        -                   EINVAL,ENOMEM,EACCES                    =
prctl           -                   EINVAL                                  =
rt_sigprocmask  -                   EINVAL                                  71
signalfd4       -                   EMFILE,ENOMEM                           71
getrandom       -                   EINTR                                   =
getrandom       -                   ENOSYS                                  70,71,kept:=
socket          -                   EMFILE,ENOBUFS,EAFNOSUPPORT             away
setsockopt      socket              ENOBUFS,ENOPROTOOPT                     =
# It does not wait, so no signal interrupts it.
connect         socket              EINTR,ECONNREFUSED,ENETUNREACH          away
connect         socket              ETIMEDOUT,EADDRNOTAVAIL,ECONNREFUSED+   away
getsockopt      socket              ENOBUFS                                 away
poll            -                   EINTR                                   =
poll            -                   ENOMEM,ENOMEM+                          =,away,71,75
sendmsg         socket              EINTR,EAGAIN                            =
sendmsg         socket              EPIPE,ECONNRESET,ENETUNREACH,ENOBUFS    =,away
sendmsg         socket              EAGAIN+,EPIPE+                          =,away,75
# A spool that cannot be used is done without; what it took nevertheless is not lost.
open            spool,new-spool     EACCES,EMFILE,ENOSPC,EIO                =,away,69,74
fstat           spool               EIO                                     =,away,69,74
fchmod          spool               EIO                                     =,away,69
pread64         spool               EINTR                                   =
pread64         spool               EIO                                     =,away,69,74
pwrite64        spool               EINTR                                   =
pwrite64        spool               EIO,ENOSPC                              =,away,69,73,74
pwrite64        spool               ENOSPC+                                 =,69,73,74
fdatasync       spool               EINTR                                   =
fdatasync       spool               EIO,ENOSPC                              0,69,74
ftruncate       spool               EINTR                                   =
ftruncate       spool               EIO                                     =,69,74
flock           spool               EINTR                                   =
flock           spool               EAGAIN                                  =,75
flock           spool               EAGAIN+                                 =,73,75
flock           spool               ENOLCK                                  =,69,74
fcntl           lock                EAGAIN,EACCES,EINTR                     =
fcntl           lock                ENOLCK                                  =,69,74
fcntl           unlock              EINTR,ENOLCK                            =
open            new-out             EACCES,EMFILE,ENOSPC                    73
open            out                 EACCES                                  77
open            out                 EMFILE,ENOSPC                           66
fstat           out                 EIO                                     =,74,78
pread64         out                 EINTR                                   =
pread64         out                 EIO                                     74
write           out                 EINTR                                   =
write           out                 EIO,ENOSPC,EDQUOT,ENOSPC+               74
fdatasync       out                 EINTR                                   =
fdatasync       out                 EIO,ENOSPC                              74
ftruncate       out,state           EINTR                                   =
ftruncate       out,state           EIO                                     74
flock           out                 EINTR                                   =
flock           out                 EAGAIN                                  75
flock           out                 ENOLCK                                  74
write           stdout              EINTR,EAGAIN                            =
write           stdout              EIO,ENOSPC,EPIPE,ENOSPC+                74
write           stderr              EINTR,EIO,ENOSPC,EPIPE,EAGAIN           =
"""

# The C library's, before main and behind it.
NOT_OURS = {"execve", "arch_prctl", "set_tid_address", "set_thread_area", "set_tls", "exit_group"}
SAME = {"openat": "open", "ppoll": "poll", "ppoll_time64": "poll", "fstat64": "fstat",
        "fcntl64": "fcntl", "rt_sigprocmask_time64": "rt_sigprocmask"}
NAMED = {"conf", "key", "peers", "state", "new-state", "senders-state", "collectors-state",
         "folder", "spool", "out"}


class Broken(Exception):
    """Something did not go as it has to; says what."""


# ---- FAULTS ------------------------------------------------------------------------------------

def read_faults():
    """(call, what) -> {error: set of statuses}."""
    faults = {}
    for line in FAULTS.splitlines():
        if not line or line.startswith("#"):
            continue
        call, whats, errors, statuses = line.split()
        for what in whats.split(","):
            for error in errors.split(","):
                faults.setdefault((call, what), {})[error] = set(statuses.split(","))
    return faults


def errors_of(faults, call, whats):
    """The errors for a call on something that has these names; None: there are none."""
    known = [faults[call, what] for what in whats if (call, what) in faults]
    if not known:
        return None
    return {error: statuses for table in known for error, statuses in table.items()}


def documented_statuses():
    """Those of the README's table."""
    text = (ROOT / "README.md").read_text()
    table = text[text.index("| status | what it says |"):].split("\n\n")[0]
    return {int(number) for row in re.findall(r"^\| (\d+(?:, \d+)*) +\|", table, re.M)
            for number in row.split(", ")}


# ---- traces ------------------------------------------------------------------------------------

class Call:
    """A line of a trace: which call, the how many-th of its name, and on what."""

    def __init__(self, name, arguments, number, files_before):
        self.name, self.number = name, number
        self.whats = whats_of(SAME.get(name, name), arguments, files_before)
        self.injected = arguments.endswith("(INJECTED)")

    def __str__(self):
        return f"{self.name} {self.number} ({self.whats[0]})"


def whats_of(call, arguments, files_before):
    """Names for what a call is about, as FAULTS has them."""
    if call == "open":
        path = re.match(r'(?:AT_FDCWD[^,]*, )?"([^"]*)"', arguments).group(1)
        return ["folder"] if path in (".", "./") else whats_of_file(path, path in files_before)
    if call == "close":
        return ["any"]
    if call in ("fcntl", "flock") and re.search("F_UNLCK|LOCK_UN", arguments):
        return ["unlock"]
    if call == "fcntl":
        return ["lock"]
    descriptor = re.match(r"(\d+)<([^>]*)>", arguments)
    if not descriptor:
        return ["-"]
    number, path = descriptor.groups()
    if number in "012":
        return [("stdin", "stdout", "stderr")[int(number)]]
    return whats_of_descriptor(path)


def whats_of_file(name, is_there=True):
    kind = "peers" if name == "peers" else name.rpartition(".")[2]
    if kind != "state":
        return [kind if is_there else "new-" + kind]
    return [name.replace(".", "s-"), kind] if is_there else ["new-state"]


def whats_of_descriptor(path):
    if path.startswith(("socket:", "TCP:")):
        return ["socket"]
    if "signalfd" in path:
        return ["signals"]
    return ["folder"] if os.path.isdir(path) else whats_of_file(os.path.basename(path))


def read_trace(path, files_before):
    counts, calls = {}, []
    for line in path.read_text(errors="replace").splitlines():
        found = re.match(r"(?:\d+ +)?([a-z0-9_]+)\((.*)$", line)
        if found and found.group(1) not in NOT_OURS:
            name, arguments = found.groups()
            counts[name] = counts.get(name, 0) + 1
            calls.append(Call(name, arguments, counts[name], files_before))
    return calls


# ---- programs ----------------------------------------------------------------------------------

def wait_for(condition, what):
    until = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > until:
            raise Broken(f"waited {WAIT_S} s in vain for {what}")
        time.sleep(0.005)


def stop(process, number=signal.SIGTERM):
    process.send_signal(number)
    try:
        return process.wait(WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Broken("a program does not end when it is told to") from None


class Broker:
    """A mosquitto of our own, and a port where nobody is."""

    def __init__(self, folder):
        self.folder = folder
        for _ in range(50):
            self.port = random.SystemRandom().randrange(10000, 30000)
            (folder / "broker.conf").write_text(
                f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser {getpass.getuser()}\n"
                "max_queued_messages 0\nsys_interval 0\nconnection_messages false\n"
                "log_dest stderr\nlog_type error\nlog_type information\n")
            with open(folder / "broker.log", "wb") as log:
                self.process = subprocess.Popen(
                    ["mosquitto", "-c", folder / "broker.conf"], stderr=log,
                    env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"})
            wait_for(lambda: self.process.poll() is not None or self.runs(), "the broker")
            if self.process.poll() is None:
                break
        else:
            raise Broken("no broker: " + (folder / "broker.log").read_text())
        # Bound, so that nobody else gets it, and not listening.
        self.nobody = socket.socket()
        self.nobody.bind(("127.0.0.1", 0))
        self.closed_port = self.nobody.getsockname()[1]

    def runs(self):
        return b" running\n" in (self.folder / "broker.log").read_bytes()

    def stop(self):
        self.nobody.close()
        stop(self.process)


class World:
    """A folder with both ends of pushes on a topic of their own; one run at a time uses it."""

    def __init__(self, folder, broker):
        self.folder, self.broker = folder, broker
        folder.mkdir()
        self.collector_key = self.key("collector")
        (folder / "peers").write_text(f"device {self.key('sender')}\n")
        self.collector = None

    def key(self, name):
        return subprocess.run([STS, "-k", self.folder / f"{name}.key"], check=True,
                              capture_output=True, text=True).stdout.strip()

    def conf(self, name, mode, *lines, port=None):
        ends = {"push": ["key = sender.key", f"peer = {self.collector_key}",
                         "state = sender.state", f"pubtop = {self.folder.name}/a"],
                "collect": ["key = collector.key", "peers = peers", "state = collector.state",
                            f"subtop = {self.folder.name}/#"]}
        (self.folder / name).write_text("\n".join(
            ["ip = 127.0.0.1", f"port = {port or self.broker.port}", f"sts_mode = {mode}",
             "timeout = 2", *ends[mode], *lines, ""]))

    def good(self, *arguments, lines=None, status=0):
        """A run in which nothing is made to fail."""
        done = subprocess.run([STS, *arguments], cwd=self.folder, timeout=WAIT_S,
                              input=lines or b"", capture_output=True)
        if done.returncode != status:
            raise Broken(f"sts {' '.join(arguments)}: status {done.returncode}, not {status}: "
                         + done.stderr.decode(errors="replace"))

    def collect_start(self, name, *arguments):
        """A collector in the background, subscribed; its output goes to the file `name`.json."""
        self.says = self.folder / f"{name}.err"
        with open(self.folder / f"{name}.json", "ab") as out, open(self.says, "wb") as err:
            self.collector = subprocess.Popen([STS, *arguments], cwd=self.folder, stdout=out,
                                              stderr=err, stdin=subprocess.DEVNULL)
        wait_for(lambda: b" subscribed to " in self.says.read_bytes()
                 or self.collector.poll() is not None, "a subscription")

    def collect_stop(self):
        if self.collector:
            process, self.collector = self.collector, None
            if stop(process) != 0:
                raise Broken(f"a collector that was stopped: status {process.returncode}: "
                             + self.says.read_text())

    def readings(self, name):
        """(text, id) of the whole lines of a file that a collector wrote."""
        lines = (self.folder / name).read_bytes().split(b"\n")[:-1]
        return [(reading["payload"], reading["id"]) for reading in map(json.loads, lines)]

    def wait_for_reading(self, name, text):
        wait_for(lambda: f'"{text}"'.encode() in (self.folder / name).read_bytes(),
                 f"the reading {text}")


def run_traced(world, run, trace_options, number):
    """One run under strace: (status, what it said, its calls)."""
    files_before = set(os.listdir(world.folder))
    trace = world.folder / "trace"
    command = ["strace", "-f", "-y", "-s", "64", "-o", trace, *trace_options, STS,
               *run.arguments(number)]
    with open(world.folder / "run.json", "wb") as out:
        process = subprocess.Popen(command, cwd=world.folder, stdin=subprocess.PIPE, stdout=out,
                                   stderr=subprocess.PIPE, start_new_session=True)
        try:
            _, said = process.communicate(run.input(number), timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Broken(f"it hangs: more than {LIMIT_S} s") from None
    return process.returncode, said.decode(errors="replace"), read_trace(trace, files_before)


# ---- runs --------------------------------------------------------------------------------------

def lines_of(number):
    return [f"{number}.{i}" for i in range(1, LINES + 1)]


def joined(texts):
    return "".join(text + "\n" for text in texts).encode()


class Run:
    """What runs have in common."""

    status = 0          # without faults
    away = 69           # where the broker is lost
    keeps = False       # there is a spool

    def status_of(self, word):
        """The status that a word of FAULTS means; None: it is not one of this run."""
        if word.startswith("kept:") and not self.keeps:
            return None
        word = word.replace("kept:", "")
        if word in ("=", "away"):
            return self.status if word == "=" else self.away
        return None if word == "0" and self.status != 0 else int(word)

    def input(self, number):
        return b""


class Push(Run):
    """-s with a state file. A collector runs beside it and tells what arrived."""

    def setup(self, world):
        world.conf("push.conf", "push", *self.lines())
        world.conf("collector.conf", "collect")
        world.collect_start("all", "-c", "collector.conf", "-r", "-j")
        world.good("-c", "push.conf", "-s", "first")    # the state file is made
        world.wait_for_reading("all.json", "first")

    def lines(self):
        return []

    def prepare(self, world, number):
        self.seen = len(world.readings("all.json"))

    def arguments(self, number):
        return ["-c", "push.conf", "-s", self.texts(number)[0]]

    def texts(self, number):
        return [f"{number}.1"]

    def kept_before(self, number):
        return []

    def check(self, world, number, status):
        world.good("-c", "push.conf", "-s", f"{number}.end")
        world.wait_for_reading("all.json", f"{number}.end")
        sent, kept = self.texts(number), self.kept_before(number)
        got = [text for text, _ in world.readings("all.json")[self.seen:]]
        promised = sent if status == 0 or (status == 75 and self.keeps) else []
        # What goes past a spool that cannot be used overtakes what waits there.
        orders = [kept + [f"{number}.end"], promised]
        if len(set(got)) != len(got) or not set(got) <= {*sent, *orders[0]} or \
                [[text for text in got if text in order] for order in orders] != orders:
            raise Broken(f"promised: {kept + promised}, sent: {sent}, came out: {got}")


class PushFirst(Push):
    """The same, and the state file has to be made."""

    def prepare(self, world, number):
        super().prepare(world, number)
        (world.folder / "sender.state").unlink(missing_ok=True)


class PushLines(Push):
    """-l, QoS 2."""

    def lines(self):
        return ["qos = 2"]

    def arguments(self, number):
        return ["-c", "push.conf", "-l"]

    def texts(self, number):
        return lines_of(number)

    def input(self, number):
        return joined(self.texts(number))


class PushKept(Push):
    """The broker is away, and the spool, which has to be made, keeps the reading."""

    status, away, keeps = 75, 75, True

    def setup(self, world):
        super().setup(world)
        world.conf("away.conf", "push", *self.lines(), port=world.broker.closed_port)

    def lines(self):
        return ["spool = sender.spool"]

    def prepare(self, world, number):
        super().prepare(world, number)
        (world.folder / "sender.spool").unlink(missing_ok=True)

    def arguments(self, number):
        return ["-c", "away.conf", "-s", self.texts(number)[0]]


class PushLinesKept(PushKept):
    """The same for -l."""

    def arguments(self, number):
        return ["-c", "away.conf", "-l"]

    def texts(self, number):
        return lines_of(number)

    def input(self, number):
        return joined(self.texts(number))


class PushDrained(PushKept):
    """The broker is back, and readings wait in the spool."""

    status = 0

    def prepare(self, world, number):
        Push.prepare(self, world, number)
        world.good("-c", "away.conf", "-l", status=75, lines=joined(self.kept_before(number)))

    def arguments(self, number):
        return ["-c", "push.conf", "-s", self.texts(number)[0]]

    def kept_before(self, number):
        return [f"{number}.kept{i}" for i in range(1, LINES + 1)]


class Collect(Run):
    """-r -n on standard output. What it leaves, a good run collects."""

    def setup(self, world):
        world.conf("push.conf", "push")
        world.conf("collector.conf", "collect")
        world.collect_start("rest", *self.collect())
        world.collect_stop()

    def collect(self):
        return ["-c", "collector.conf", "-r", "-j"]

    def prepare(self, world, number):
        (world.folder / "rest.json").unlink(missing_ok=True)
        world.good("-c", "push.conf", "-l", lines=joined(lines_of(number)))

    def arguments(self, number):
        return [*self.collect(), "-n", str(LINES), "-w", "6"]

    def check(self, world, number, status):
        world.collect_start("rest", *self.collect())
        world.good("-c", "push.conf", "-s", f"{number}.end")
        world.wait_for_reading("rest.json", f"{number}.end")
        world.collect_stop()
        run, rest = world.readings("run.json"), world.readings("rest.json")
        expected = [*lines_of(number), f"{number}.end"]
        again = set(run) & set(rest)
        whole = list(dict.fromkeys(run + rest))
        if [text for text, _ in whole] != expected or len(set(run)) != len(run) or \
                len(set(rest)) != len(rest) or (again and status == 0):
            raise Broken(f"promised: {expected}, came out: {run}, then {rest}")


class CollectFirst(Collect):
    """The same, and the state file has to be made."""

    def prepare(self, world, number):
        super().prepare(world, number)
        (world.folder / "collector.state").unlink(missing_ok=True)


class CollectOut(Collect):
    """With a file as output, the end of which was not finished by the run before. It has each
    reading once, whatever failed."""

    def collect(self):
        return ["-c", "collector.conf", "-r", "-j", "-o", "out=collector.out"]

    def prepare(self, world, number):
        super().prepare(world, number)
        self.seen = len(world.readings("collector.out"))
        with open(world.folder / "collector.out", "a") as out:
            out.write('{"time":"20')

    def check(self, world, number, status):
        world.collect_start("rest", *self.collect())
        world.good("-c", "push.conf", "-s", f"{number}.end")
        world.wait_for_reading("collector.out", f"{number}.end")
        world.collect_stop()
        got = [text for text, _ in world.readings("collector.out")[self.seen:]]
        if got != [*lines_of(number), f"{number}.end"]:
            raise Broken(f"came out: {got}")


class CollectOutFirst(CollectOut):
    """The same, and both files have to be made."""

    def prepare(self, world, number):
        Collect.prepare(self, world, number)
        for name in ("collector.state", "collector.out"):
            (world.folder / name).unlink(missing_ok=True)
        self.seen = 0


# ---- the tests ---------------------------------------------------------------------------------

class EachCall(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, cls.stopped)
        cls.broker = Broker(cls.folder)
        cls.addClassCleanup(cls.broker.stop)
        cls.faults, cls.statuses = read_faults(), documented_statuses()
        cls.seed = int(os.environ.get("SYSCALLS_SEED") or random.SystemRandom().randrange(10**9))
        cls.numbers = itertools.count()

    @classmethod
    def stopped(cls, number, _):
        """All that was started and is not bounded is of our process group, and stopped with us."""
        shutil.rmtree(cls.folder, ignore_errors=True)
        os._exit(128 + number)

    @classmethod
    def share_s(cls):
        """How long each of the tests may take."""
        names = unittest.defaultTestLoader.getTestCaseNames(cls)
        return float("inf") if os.environ.get("FULL") else SHORT_S / len(names)

    def world(self, run):
        world = World(self.folder / f"w{next(self.numbers)}", self.broker)
        self.addCleanup(lambda: world.collector and stop(world.collector, signal.SIGKILL))
        run.setup(world)
        return world

    def plan(self, run, world):
        """What can fail in the calls of a run without faults: a list of (call, error)."""
        run.prepare(world, "plain")
        status, said, calls = run_traced(world, run, [], "plain")
        self.assertEqual(status, run.status, said)
        run.check(world, "plain", status)
        cases, unknown = [], []
        for call in calls:
            errors = errors_of(self.faults, SAME.get(call.name, call.name), call.whats)
            if errors is None:
                unknown.append(f"{call.name} on {call.whats[0]}")
            else:
                cases += [(call, error) for error in errors]
        if unknown:
            self.fail(f"FAULTS does not know {', '.join(unknown)}: say there with what they may "
                      "fail, and which status is right then")
        return cases

    def fails(self, run, world, case, number):
        """One run with one fault. What is wrong, or None."""
        call, error = case
        when = f"{call.number}+" if error.endswith("+") else call.number
        options = ["-e", f"trace={call.name}",
                   "-e", f"inject={call.name}:error={error.rstrip('+')}:when={when}"]
        status, said = None, ""
        try:
            run.prepare(world, number)
            status, said, calls = run_traced(world, run, options, number)
            self.check_status(run, [one for one in calls if one.injected], error, status, said)
            run.check(world, number, status)
        except (Broken, OSError, subprocess.SubprocessError, ValueError) as wrong:
            return f"{call} {error}: {wrong} [status {status}: {said.strip()}]"
        return None

    def check_status(self, run, injected, error, status, said):
        right = {"="}
        if injected:
            call = injected[0]
            name = SAME.get(call.name, call.name)
            errors = errors_of(self.faults, name, call.whats) or {}
            right = errors.get(error, {str(one) for one in self.statuses})
        allowed = sorted({run.status_of(one) for one in right} - {None})
        if status not in self.statuses:
            raise Broken(f"status {status} is not of the README's table")
        if status not in allowed:
            raise Broken(f"status {status}, not {' or '.join(map(str, allowed))}")
        if status == run.status or (error.endswith("+") and injected[0].name == "write"):
            return          # nothing is wrong, or nothing can be said
        if not said:
            raise Broken("it says nothing")
        # What fails behind the first may be another file.
        if NAMED & set(injected[0].whats) and not error.endswith("+"):
            self.check_named(injected[0], said)

    def check_named(self, call, said):
        kind = call.whats[-1].replace("new-", "").replace("folder", "(state|spool|out)")
        if not re.search(rf"\b{kind}\b", said):
            raise Broken("it does not name the file that failed")

    def in_order(self, cases):
        """Shuffled, but each call on each thing has its first turn before any has another one."""
        turns, ranks = collections.Counter(), {}
        random.Random(self.seed).shuffle(cases)
        for case in cases:
            kind = case[0].name, case[0].whats[0]
            ranks[case] = turns[kind]
            turns[kind] += 1
        return sorted(cases, key=ranks.get)

    def each_call(self, run_class):
        worlds = [(run, self.world(run)) for run in (run_class() for _ in range(AT_ONCE))]
        only = re.compile(os.environ.get("ONLY", ""))
        cases = self.in_order([case for case in self.plan(*worlds[0])
                               if only.search(f"{case[0]} {case[1]}")])
        until = time.monotonic() + self.share_s()
        numbered = iter(enumerate(cases))
        done, wrong = [], []

        def work(run, world):
            while time.monotonic() < until:
                number, case = next(numbered, (None, None))
                if case is None:
                    return
                done.append(number)
                problem = self.fails(run, world, case, str(number))
                if problem:
                    wrong.append(problem)
                    world = self.world(run)     # nothing of it is left for the next ones

        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for future in [pool.submit(work, *pair) for pair in worlds]:
                future.result()
        print(f"{run_class.__name__}: {len(done)} of {len(cases)} faults, "
              f"SYSCALLS_SEED={self.seed}", file=sys.stderr)
        if wrong:
            self.fail("\n" + "\n".join(wrong))

    def test_push(self):
        self.each_call(Push)

    def test_push_first(self):
        self.each_call(PushFirst)

    def test_push_lines(self):
        self.each_call(PushLines)

    def test_push_kept(self):
        self.each_call(PushKept)

    def test_push_lines_kept(self):
        self.each_call(PushLinesKept)

    def test_push_drained(self):
        self.each_call(PushDrained)

    def test_collect(self):
        self.each_call(Collect)

    def test_collect_first(self):
        self.each_call(CollectFirst)

    def test_collect_out(self):
        self.each_call(CollectOut)

    def test_collect_out_first(self):
        self.each_call(CollectOutFirst)


if __name__ == "__main__":
    unittest.main()
