"""Scenarios: the way to the broker, and from it."""
import time

from proxy import (DOWN, SPOTS_RECEIVE, SPOTS_RECEIVE_QOS2, UP, Plan, bend, draw_plan)
from scenario import bursts, faulty, four_senders, rng_of, scenario, stream, together
from world import Sender


def cron(spool):
    def run(world):
        """`-s` runs, one after the other, four senders at once."""
        world.collect()

        def send(sender):
            proxy, rng = faulty(world, sender, 0.6), rng_of(world, sender.name)
            while world.more():
                sender.push(proxy.port, size=rng.choice((0, 0, 0, 100, 3000, 16000)))
                if rng.random() < 0.02:
                    proxy.refuse(rng.uniform(0, 0.1))
        together(*(lambda s=s: send(s) for s in four_senders(world, spool=spool)))
    return run


scenario(1200, 120, "cron")(cron(True))
scenario(400, 40, "cron_without_spool")(cron(False))


def overlap(qos):
    def run(world):
        """Overlapping `-s` runs of one key with one spool."""
        world.collect()
        sender = Sender(world, "a", qos=qos)
        proxy = faulty(world, sender, 0.6)

        def send(number):
            rng = rng_of(world, number)
            while world.more():
                sender.push(proxy.port)
                time.sleep(rng.choice((0, 0, 0.005, 0.02)))
        together(*(lambda n=n: send(n) for n in range(3)))
    return run


scenario(400, 30, "overlap")(overlap(1))
scenario(400, 30, "overlap_qos2")(overlap(2))


@scenario(2500, 50)
def lines(world):
    """`-l`, fed in bursts."""
    world.collect()

    def run(sender):
        proxy = faulty(world, sender, 0.3, bytes_max=20000, count_max=60)
        rng = rng_of(world, sender.name)
        while world.more():
            sender.lines(proxy.port, bursts(rng, rng.randint(1, 250)),
                         size=rng.choice((0, 0, 0, 500)))
    together(*(lambda s=s: run(s) for s in four_senders(world, timeout=3)))


@scenario(300, 30)
def mixed(world):
    """`-l` and `-s` of one key at the same time."""
    world.collect()
    sender = Sender(world, "a")
    proxy = faulty(world, sender, 0.5, bytes_max=10000, count_max=30)

    def single():
        rng = rng_of(world, "single")
        while world.more():
            sender.push(proxy.port)
            time.sleep(rng.uniform(0, 0.3))
    together(lambda: stream(world, sender, proxy.port, rng_of(world, "lines"), 40), single)


@scenario(400, 8)
def overtaken(world):
    """A reading that is stuck on its way, while another run has more of them than a collector's
    window has room for."""
    world.collect()
    sender = Sender(world, "a", timeout=2)
    proxy = world.proxy(lambda rng, _: Plan("stall", UP, packet="PUBLISH", both=True,
                                            where=rng.choice(("before", "inside"))), 0.0)

    def later(seconds, count):
        time.sleep(seconds)
        sender.lines(proxy.port, [(count, 0.0)])

    while world.more():
        wait_s, count = world.rng.uniform(0.05, 1.9), world.rng.randint(33, 90)
        together(lambda: sender.push(proxy.port), lambda: later(wait_s, count))
        sender.push(world.broker.port)


@scenario(900, 12)
def away(world):
    """`-l` with more lines than are kept in memory, while the broker is away from the start."""
    world.collect()
    rng, senders = world.rng, (Sender(world, "a", timeout=2), Sender(world, "b", qos=2, timeout=2))

    def back():
        time.sleep(rng.uniform(0.1, 0.8))
        world.broker.start()

    while world.more():
        for sender in senders:
            world.broker.stop()
            world.fault("broker away")
            comes_back = rng.random() < 0.5
            sender.lines(world.broker.port, bursts(rng, rng.choice((3, 80, 200))),
                         size=rng.choice((0, 300)), during=back if comes_back else None)
            if not comes_back:
                sender.push(world.broker.port)
                world.broker.start()
            sender.push(world.broker.port)


@scenario(100, 30)
def lost_pubrec(world):
    """QoS 2 of a client id that stays the same, whose PUBREC or PUBCOMP does not come back."""
    world.collect()
    sender = Sender(world, "d", qos=2, session=True)
    proxy = world.proxy(lambda rng, _: Plan("cut", DOWN, packet=rng.choice(("PUBREC", "PUBCOMP"))),
                        0.0)
    while world.more():
        if world.rng.random() < 0.2:
            sender.lines(proxy.port, [(5, 0.0)])
        else:
            sender.push(proxy.port)


@scenario(60, 20)
def mute(world):
    """A broker that accepts and never answers, or that only stops to."""
    silent = world.proxy(lambda *_: Plan("stall", DOWN, at_byte=0), 0.0)
    world.collect(port=silent.port)
    senders = four_senders(world)
    proxies = [world.proxy(lambda rng, _: Plan(
        "stall", DOWN, both=rng.random() < 0.3, where=rng.choice(("before", "inside")),
        packet=rng.choice(("CONNACK", "CONNACK", "PUBACK", "PUBREC"))), 0.0) for _ in senders]

    def run(sender, proxy):
        rng = rng_of(world, sender.name)
        while world.more():
            if rng.random() < 0.3:
                sender.lines(proxy.port, [(5, 0.0)])
            else:
                sender.push(proxy.port)
    together(*(lambda s=s, p=p: run(s, p) for s, p in zip(senders, proxies)))


def collector_net(exact, qos):
    def run(world):
        """The way between broker and collector."""
        spots = SPOTS_RECEIVE_QOS2 if qos == 2 else SPOTS_RECEIVE
        proxy = world.proxy(lambda rng, clean: bend(rng, Plan()) if clean else draw_plan(
            rng, spots, bytes_max=4000, count_max=40), 0.3)
        senders = (Sender(world, "a"), Sender(world, "b", qos=2))
        world.collect(exact=exact, qos=qos, port=proxy.port)
        world.collector.options["timeout"] = 1

        def cut():
            rng, last = rng_of(world, "cut"), time.monotonic()
            while world.more():
                # A connection that was shorter than `timeout` makes the next wait longer.
                time.sleep(rng.uniform(0.3, 2.5))
                if proxy.cut():
                    last = time.monotonic()
                    world.fault("cut all")
                elif time.monotonic() > last + 4:
                    world.restart_collector()

        def send(sender):
            rng = rng_of(world, sender.name)
            while world.more():
                sender.lines(world.broker.port, bursts(rng, rng.randint(1, 60)))
                time.sleep(rng.uniform(0, 0.1 if world.readings < world.want_readings else 2))
        together(*(lambda s=s: send(s) for s in senders), cut)
    return run


scenario(600, 30, "collector_net_out")(collector_net(True, 1))
scenario(600, 30, "collector_net_pipe")(collector_net(False, 2))
