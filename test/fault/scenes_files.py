"""Scenarios: files that have no room, or cannot be written."""
import os
import subprocess
import time

from scenario import scenario
from world import NOT_NOW, SPOOLED, Sender

NO_ROOM = frozenset((73, 74))           # a file cannot be made, cannot be written
NO_FILE = NO_ROOM | {66, 77}            # ... or not be opened


@scenario(300, 10)
def spool_max(world):
    """A spool that is full by its own limit."""
    world.collect()
    sender = Sender(world, "a")
    while world.more():
        sender.options["spool_max"] = world.rng.choice((1024, 2000, 5000))
        world.broker.stop()
        world.fault("spool full")
        for _ in range(world.rng.randint(5, 25)):
            sender.push(world.broker.port, allowed=SPOOLED | {73})
        sender.lines(world.broker.port, [(world.rng.randint(1, 20), 0.0)],
                     allowed=SPOOLED | {73})
        world.broker.start()
        sender.push(world.broker.port)


def fill(folder, spare):
    """Leaves about that many bytes there."""
    space = os.statvfs(folder)
    with open(f"{folder}/filler", "ab") as filler:
        try:
            filler.write(bytes(max(0, space.f_bavail * space.f_frsize - spare)))
        except OSError:
            pass


def fill_collector(world, sender):
    """Sends until the collector cannot write any more."""
    collector, until = world.collector, time.monotonic() + 20
    collector.stop()        # it may wait for its next attempt to connect
    before = collector.statuses[74]
    collector.start()
    while collector.statuses[74] == before and time.monotonic() < until:
        sender.lines(world.broker.port, [(30, 0.05)])
    if collector.statuses[74] == before:
        world.complain("the collector has written to a full disk")


@scenario(400, 20, alone=True)
def full_disk(world):
    """A small file system that is full, for spool and state of a sender, and of a collector."""
    rng, small = world.rng, f"{world.folder}/small"
    world.mount(small, "-t", "tmpfs", "-o", "size=128k", "none")
    world.collect(folder=small)
    world.collector.allowed |= NO_ROOM
    sender, other = Sender(world, "a", folder=small), Sender(world, "b")
    while world.more():
        fill(small, rng.choice((0, 0, 4096, 8192)))
        world.fault("full disk")
        away = rng.random() < 0.7
        if away:
            world.broker.stop()
        for _ in range(rng.randint(1, 12)):
            sender.push(world.broker.port, size=rng.choice((0, 1000)), allowed=NOT_NOW | NO_ROOM)
        sender.lines(world.broker.port, [(rng.randint(1, 30), 0.0)], allowed=NOT_NOW | NO_ROOM)
        if away:
            world.broker.start()
        else:
            fill_collector(world, other)
        if rng.random() < 0.5:
            sender.push(world.broker.port, allowed=NOT_NOW | NO_ROOM)
        os.unlink(f"{small}/filler")
        sender.push(world.broker.port, allowed=NOT_NOW | NO_ROOM)


@scenario(400, 20)
def file_limit(world):
    """RLIMIT_FSIZE, whose signal kills who does not ignore it."""
    rng = world.rng
    world.collect()
    sender = Sender(world, "a")
    while world.more():
        # Between 512 and 1,024 the limit would tear the record of a state file, as no disk does.
        limit = ("prlimit", f"--fsize={rng.choice((0, 100, 512, 1024, 1500, 4000))}")
        world.fault("file limit")
        away = rng.random() < 0.7
        if away:
            world.broker.stop()
        for _ in range(rng.randint(1, 12)):
            sender.push(world.broker.port, prefix=limit, allowed=NOT_NOW | NO_ROOM)
        sender.lines(world.broker.port, [(rng.randint(1, 30), 0.0)], prefix=limit,
                     allowed=NOT_NOW | NO_ROOM)
        if away:
            world.broker.start()
        sender.push(world.broker.port, allowed=NOT_NOW)
        limit_collector(world, rng)


def limit_collector(world, rng):
    """Once more for a while, with a limit that its files soon reach."""
    collector = world.collector
    collector.stop()
    size = os.path.getsize(collector.out) if collector.out else 2000
    collector.prefix = ["prlimit", f"--fsize={size + rng.choice((0, 1, 200, 1000))}"]
    collector.allowed |= NO_ROOM
    collector.start()
    world.senders[0].lines(world.broker.port, [(10, 0.0)], allowed=NOT_NOW)
    time.sleep(0.2)
    world.fault("file limit")
    collector.stop()
    collector.prefix = []
    collector.start()


@scenario(150, 20, alone=True)
def read_only(world):
    """Folders that cannot be written, for a sender and for a collector."""
    folder = f"{world.folder}/sealed"
    world.mount(folder, "--bind", folder)

    def seal(how):
        subprocess.run(["mount", "-o", f"remount,bind,{how}", folder], check=True)

    world.collect(folder=folder)
    world.collector.allowed |= NO_FILE
    sender = Sender(world, "a", folder=folder)
    while world.more():
        away = world.rng.random() < 0.5
        if away:
            world.broker.stop()
        world.collector.stop()
        seal("ro")
        world.fault("read-only")
        world.collector.start()
        for _ in range(3):
            sender.push(world.broker.port, allowed=NOT_NOW | NO_FILE)
        sender.lines(world.broker.port, [(3, 0.0)], allowed=NOT_NOW | NO_FILE)
        world.collector.stop()
        seal("rw")
        if away:
            sender.push(world.broker.port)
            world.broker.start()
        world.collector.start()
        sender.push(world.broker.port, allowed=NOT_NOW)
