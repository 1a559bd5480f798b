"""What a scenario works with: keys, a broker, a collector, senders; a record of what they did."""
import collections
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from broker import Broker
from oracle import Oracle, Output, Run
from process import BOUND_S, Process
from proxy import Proxy

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STS = os.path.abspath(os.environ.get("STS", os.path.join(ROOT, "build", "sts")))
SENDERS = ("a", "b", "c", "d", "e", "f", "fence")
NOT_NOW = frozenset((0, 69, 75))        # what a fault may end a sender with
SPOOLED = frozenset((0, 75))            # ... that has a spool
AGAIN = frozenset((69, 75))             # a collector that found no broker when it started
SEEN = re.compile(rb'"payload":"(\w+ \d+)[ "]')


class Failed(Exception):
    """The bench itself cannot go on."""


class Sender:
    """A key with its files. Its readings are numbered in the order in which they are handed out."""

    def __init__(self, world, name, qos=1, session=False, spool=True, timeout=1, folder=None):
        self.world, self.name, self.timeout = world, name, timeout
        self.folder = folder or world.folder
        self.spool = spool and f"{self.folder}/{name}.spool"
        self.state = f"{self.folder}/{name}.state"
        self.options = {"sts_mode": "push", "qos": qos, "key": f"{world.folder}/{name}.key",
                        "peer": world.collector_key, "pubtop": f"fault/{name}",
                        "state": self.state}
        if session:
            self.options.update(clientid=f"sender-{name}", clean_session=0)
        if self.spool:
            self.options["spool"] = self.spool
        self.lock, self.number = threading.Lock(), 0
        world.senders.append(self)

    def argv(self, port, more=()):
        argv = [STS, "-o", f"ip={self.world.host}", "-o", f"port={port}", "-o",
                f"timeout={self.timeout}"]
        for key, value in self.options.items():
            argv += ["-o", f"{key}={value}"]
        return argv + list(more)

    def text(self, number, size=0):
        return f"{self.name} {number}" + (" " + "x" * size if size else "")

    def take(self, count):
        with self.lock:
            first, self.number = self.number + 1, self.number + count
        self.world.count(count)
        return list(range(first, first + count))

    def new_run(self, numbers, argv, allowed):
        if allowed is None:
            allowed = SPOOLED if self.spool else NOT_NOW
        return Run(self.name, numbers, time.monotonic(), spool=bool(self.spool),
                   allowed=frozenset(allowed),
                   argv=" ".join(word[:200] for word in argv))

    def push(self, port, kill_s=None, term_s=None, size=0, prefix=(), allowed=None):
        """`-s`, killed after kill_s or asked to stop after term_s when it runs that long."""
        numbers = self.take(1)
        argv = list(prefix) + self.argv(port, ("-s", self.text(numbers[0], size)))
        run = self.new_run(numbers, argv, allowed)
        process = Process(argv)
        self.world.interrupt(run, process, kill_s, term_s)
        return self.world.finish(run, process)

    def lines(self, port, bursts, kill_s=None, term_s=None, size=0, prefix=(), allowed=None,
              during=None):
        """`-l`, fed with `bursts`: pairs of lines and seconds to wait behind them."""
        numbers = self.take(sum(count for count, _ in bursts))
        argv = list(prefix) + self.argv(port, ("-l",))
        run = self.new_run(numbers, argv, allowed)
        process = Process(argv, stdin=subprocess.PIPE)
        feeder = threading.Thread(target=self.feed, args=(process, list(numbers), bursts, size),
                                  daemon=True)
        feeder.start()
        if during:
            during()
        self.world.interrupt(run, process, kill_s, term_s)
        self.world.finish(run, process, BOUND_S + sum(wait for _, wait in bursts))
        feeder.join(BOUND_S)
        return run

    def feed(self, process, numbers, bursts, size):
        pipe = process.popen.stdin
        try:
            for count, wait_s in bursts:
                some, numbers = numbers[:count], numbers[count:]
                pipe.write("".join(self.text(n, size) + "\n" for n in some).encode())
                pipe.flush()
                process.ended(wait_s)
        except OSError:
            pass        # it reads no more; its status tells why
        with contextlib.suppress(OSError):
            pipe.close()


class Collector:
    """`sts -r -j`, started again whenever it ends, until stop()."""

    def __init__(self, world, exact=True, qos=1, port=None, folder=None):
        self.world, self.exact, self.prefix = world, exact, []
        self.port = port or world.broker.port
        self.folder = folder or world.folder
        self.out = f"{self.folder}/collect.out" if exact else None
        self.options = {"sts_mode": "collect", "qos": qos, "key": f"{world.folder}/collect.key",
                        "peers": f"{world.folder}/peers", "subtop": "fault/+", "timeout": 2,
                        "state": f"{self.folder}/collect.state"}
        if exact:
            self.options["out"] = self.out
        self.outputs, self.lines = [], []       # of the runs before, of this one
        self.statuses = collections.Counter()
        self.allowed = set(AGAIN)               # besides what we ask for
        self.process = None
        self.stopping = self.killing = False
        self.lock = threading.Lock()
        self.thread = None

    def argv(self):
        argv = self.prefix + [STS, "-r", "-j", "-o", f"ip={self.world.host}", "-o",
                              f"port={self.port}"]
        for key, value in self.options.items():
            argv += ["-o", f"{key}={value}"]
        return argv

    def start(self):
        self.stopping = False
        self.thread = threading.Thread(target=self.supervise, daemon=True)
        self.thread.start()

    def supervise(self):
        while True:
            with self.lock:
                if self.stopping:
                    return
                self.killing = False
                self.lines = []
                self.process = process = Process(self.argv(), stdout=subprocess.PIPE)
            for line in process.popen.stdout:
                self.lines.append(line)
            status = process.finish()[0]
            self.judge(process, status)
            process.close()
            if not self.stopping:
                time.sleep(0.05)

    def judge(self, process, status):
        killed = status == -9 and self.killing
        self.outputs.append(Output(self.lines, killed=killed))
        self.lines = []
        self.statuses["killed" if killed else status] += 1
        self.world.note(f"the collector ended with {status}\n{process.said(1000)}")
        # SIGTERM may come before the program has learned what to do with it.
        asked = status in (0, -15) and self.stopping
        if not killed and not asked and status not in self.allowed:
            self.world.complain(f"the collector ended with {status}: {' '.join(process.argv)}\n"
                                f"{process.said()}")

    def kill(self):
        with self.lock:
            if self.process and not self.killing:
                self.killing = True
                self.process.send(signal.SIGKILL)
                self.world.fault("kill collector")

    def stop(self):
        """Asks it to end, which it has to do, and well."""
        with self.lock:
            self.stopping, process = True, self.process
        if process:
            process.send(signal.SIGTERM)
            if not process.ended(BOUND_S):
                self.world.complain(f"the collector hung: {process.said()}")
                process.send(signal.SIGKILL)
        if self.thread:
            self.thread.join(BOUND_S)
            self.thread = None

    def written(self):
        """All outputs so far, the one of the file last."""
        if not self.exact:
            return self.outputs + [Output(list(self.lines))]
        try:
            with open(self.out, "rb") as out:
                return self.outputs + [Output(out.read().splitlines(True), exact=True)]
        except FileNotFoundError:
            return self.outputs

    def size(self):
        """Something that grows with what it writes."""
        if not self.exact:
            return len(self.lines)
        return os.path.getsize(self.out) if os.path.exists(self.out) else 0

    def seen(self):
        return {reading for output in self.written() for line in output.lines
                for reading in SEEN.findall(line)}


class World:
    """A folder, keys, a broker, and the record. `host`: where the broker is."""

    def __init__(self, name, seed, want_readings, want_faults, host="127.0.0.1", prefix=()):
        self.name, self.seed, self.host = name, seed, host
        self.rng = random.Random(f"{seed}/{name}")
        self.want_readings, self.want_faults = want_readings, want_faults
        self.until = time.monotonic() + 150
        self.folder = tempfile.mkdtemp(prefix=f"sts-fault-{name}.")
        self.lock = threading.Lock()
        self.runs, self.senders, self.proxies, self.holes = [], [], [], []
        self.readings, self.faults = 0, collections.Counter()
        self.complaints, self.events, self.broker = [], [], None
        self.mounts = []
        self.collector_key = self.make_keys()
        self.broker = Broker(f"{self.folder}/broker", host, prefix)
        self.collector = None

    def make_keys(self):
        def key(name):
            return subprocess.run([STS, "-k", f"{self.folder}/{name}.key"], check=True,
                                  stdout=subprocess.PIPE, text=True).stdout.strip()

        with open(f"{self.folder}/peers", "w", encoding="ascii") as peers:
            peers.writelines(f"{name} {key(name)}\n" for name in SENDERS)
        os.chmod(f"{self.folder}/peers", 0o600)
        return key("collect")

    # ---- what happens ----

    def count(self, readings):
        with self.lock:
            self.readings += readings

    def fault(self, kind):
        with self.lock:
            self.faults[kind] += 1
        self.note(kind)

    def note(self, text):
        with self.lock:
            self.events.append(f"{time.monotonic():.3f} {text}")

    def complain(self, text):
        with self.lock:
            self.complaints.append(text)

    def fault_count(self):
        """Those that break something: a connection that is only slow is none."""
        counts = self.all_faults()
        return sum(counts.values()) - counts["bent"]

    def all_faults(self):
        counts = collections.Counter(self.faults)
        for proxy in self.proxies:
            counts.update(proxy.faults)
        return counts

    def more(self):
        """Whether there are readings to send or faults to do, and time for it."""
        return time.monotonic() < self.until and (
            self.readings < self.want_readings or self.fault_count() < self.want_faults)

    def proxy(self, draw, clean=0.0):
        """`draw(rng)` gives a plan; `clean`: that part of the connections has no fault."""
        name = f"{self.seed}/{self.name}/proxy{len(self.proxies)}"

        def planner(number):
            rng = random.Random(f"{name}/{number}")
            return draw(rng, rng.random() < clean)

        proxy = Proxy((self.host, self.broker.port), planner, self.host)
        self.proxies.append(proxy)
        return proxy

    def collect(self, **options):
        """Starts the collector, at first straight at the broker: from then on it keeps messages."""
        port = options.pop("port", None)
        self.collector = Collector(self, **options)
        self.collector.start()
        if not self.broker.wait_for_log("fault/+"):
            raise Failed("the collector did not subscribe")
        if port:
            self.collector.stop()
            self.collector.port = port
            self.collector.start()

    def restart_collector(self, kill=False):
        """Which also makes it connect at once, where it waits for its next attempt."""
        if kill:
            self.collector.kill()
            return
        self.collector.stop()
        self.fault("stop collector")
        self.collector.start()

    def interrupt(self, run, process, kill_s, term_s):
        if kill_s is not None and not process.ended(kill_s):
            run.killed = True
            process.send(signal.SIGKILL)
            self.fault("kill sender")
        elif term_s is not None and not process.ended(term_s):
            run.stopped = True
            process.send(signal.SIGTERM)
            self.fault("stop sender")

    def finish(self, run, process, bound_s=BOUND_S):
        run.status, run.hung = process.finish(bound_s)
        run.end = time.monotonic()
        run.err = process.said()
        process.close()
        with self.lock:
            self.runs.append(run)
        return run

    def kill_broker(self):
        """What it took since its last save is lost, and nobody but the broker can help that."""
        saved = self.broker.kill()
        self.holes.append((saved, time.monotonic()))
        self.fault("kill broker")

    # ---- the end ----

    def settle(self):
        """No more faults: every spool is sent, and all that is promised comes out."""
        for proxy in self.proxies:
            proxy.be_calm()
        if not self.broker.serves():
            self.broker.start()
        for sender in self.senders:
            sender.timeout = 30
            sender.push(self.broker.port, allowed=(0,))
            if sender.spool and os.path.getsize(sender.spool) > 0:
                self.complain(f"{sender.spool} is not empty after a good run")
        self.collector.stop()
        self.collector.port = self.broker.port
        for number in (1, 2):       # and nothing more comes out of a collector that starts anew
            self.collector.start()
            self.fence(number)
            self.collector.stop()

    def fence(self, number):
        """A reading of its own, behind all others in the broker: when it is there, all are."""
        sender = Sender(self, "fence", spool=False, timeout=30)
        sender.number = number - 1
        self.senders.remove(sender)
        sender.push(self.broker.port, allowed=(0,))
        until = time.monotonic() + BOUND_S
        while f"fence {number}".encode() not in self.collector.seen():
            if time.monotonic() > until:
                self.complain(f"fence {number} did not come out\n" + self.broker.log()[-2000:])
                return
            time.sleep(0.02)

    def judge(self):
        outputs = self.collector.written() if self.collector else []
        verdict = Oracle(self.runs, outputs, self.holes).judge()
        for text in self.complaints:
            verdict.complain("other", text)
        return verdict

    def stop(self):
        """Stops everything."""
        if self.collector and self.collector.thread:
            self.collector.stop()
        for proxy in self.proxies:
            proxy.close()
        if self.broker:
            self.broker.close()

    def keep(self, verdict):
        """Leaves the folder there, with a history, and tells where."""
        with open(f"{self.folder}/history", "w", encoding="utf-8") as history:
            history.write("".join(run.history() + "\n" for run in
                                  sorted(self.runs, key=lambda run: run.start)))
            history.write("\n".join(["", "faults:"] + self.events + ["", ""] + verdict.complaints))
        with open(f"{self.folder}/output", "wb") as out:
            for output in self.collector.written() if self.collector else []:
                out.write(b"".join(output.lines) + b"\n---- killed\n" * output.killed)
        return self.folder

    def mount(self, folder, *how):
        os.mkdir(folder)
        subprocess.run(["mount", *how, folder], check=True)
        self.mounts.append(folder)

    def remove(self):
        for folder in self.mounts:
            subprocess.run(["umount", "-l", folder], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
