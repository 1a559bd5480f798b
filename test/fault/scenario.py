"""What scenarios are made of: their registry, and what they share."""
import contextlib
import dataclasses
import random
import threading
import time
import typing

from proxy import SPOTS, SPOTS_QOS2, Plan, bend, draw_plan
from world import Sender


@contextlib.contextmanager
def loopback():
    yield "127.0.0.1", ()


@dataclasses.dataclass
class Scenario:
    run: typing.Callable
    readings: int           # of a full run
    faults: int
    alone: bool = False     # in mount and network namespaces of its own
    place: typing.Callable = loopback


SCENARIOS = {}


def scenario(readings, faults, name=None, **more):
    def add(function):
        SCENARIOS[name or function.__name__] = Scenario(function, readings, faults, **more)
        return function
    return add


def together(*functions):
    """Runs them at the same time; what one raises is raised."""
    errors = []

    def guarded(function):
        try:
            function()
        except Exception as error:      # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,), daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def rng_of(world, name):
    return random.Random(f"{world.seed}/{world.name}/{name}")


def four_senders(world, **more):
    return [Sender(world, "a", qos=1, **more), Sender(world, "b", qos=2, **more),
            Sender(world, "c", qos=1, session=True, **more),
            Sender(world, "d", qos=2, session=True, **more)]


def faulty(world, sender, clean, **more):
    """A proxy for one sender, whose connections so meet the same faults each time."""
    spots = SPOTS_QOS2 if sender.options["qos"] == 2 else SPOTS

    def draw(rng, is_clean):
        return bend(rng, Plan()) if is_clean else draw_plan(rng, spots, **more)
    return world.proxy(draw, clean)


def bursts(rng, total):
    """That many lines, some at a time, with waits that are mostly short."""
    out = []
    while total > 0:
        count = min(total, rng.choice((1, 3, 20, 70, 200)))
        out.append((count, rng.choice((0.0, 0.0, 0.01, 0.05, 0.2))))
        total -= count
    return out


def stream(world, sender, port, rng, lines=150):
    """Sends until there is enough: `-l` and `-s` in turns."""
    while world.more():
        if rng.random() < 0.7:
            sender.lines(port, bursts(rng, rng.randint(1, lines)))
        else:
            sender.push(port)


def senders_and(world, disturb, **more):
    """Two senders of lines and two of single readings, and what disturbs them."""
    def single(sender):
        rng = rng_of(world, sender.name)
        while world.more():
            sender.push(world.broker.port)
            time.sleep(rng.uniform(0, 0.05))

    a, b, c, d = four_senders(world, **more)
    together(*(lambda s=s: stream(world, s, world.broker.port, rng_of(world, s.name))
               for s in (a, d)), lambda: single(b), lambda: single(c), disturb)
