"""Scenarios: SIGKILL of senders and collectors, SIGTERM and SIGKILL of the broker."""
import time

from proxy import Plan, bend
from scenario import bursts, four_senders, rng_of, scenario, senders_and, together
from world import Sender


@scenario(1000, 120)
def kill_sender(world):
    """SIGKILL of senders."""
    world.collect()

    def run(sender):
        slow = world.proxy(lambda rng, _: bend(rng, Plan()), 0.0)
        rng = rng_of(world, sender.name)
        while world.more():
            port = rng.choice((world.broker.port, slow.port))
            if rng.random() < 0.2:
                sender.lines(port, bursts(rng, rng.randint(1, 80)), kill_s=rng.uniform(0, 0.2))
            elif rng.random() < 0.2:
                sender.push(1, kill_s=rng.uniform(0, 0.01))     # nobody is there: the spool
            elif rng.random() < 0.8:
                sender.push(port, kill_s=rng.uniform(0, 0.015))
            else:
                sender.push(port)
    together(*(lambda s=s: run(s) for s in four_senders(world)))


def wait_for_output(collector):
    """Until it writes something: readings are in its hands then."""
    before, until = collector.size(), time.monotonic() + 0.5
    while collector.size() == before and time.monotonic() < until:
        time.sleep(0.0005)


def kill_collector(exact, qos):
    def run(world):
        """SIGKILL of the collector."""
        world.collect(exact=exact, qos=qos)
        senders = (Sender(world, "a"), Sender(world, "b", qos=2))

        def kill():
            rng = rng_of(world, "kill")
            while world.more():
                time.sleep(rng.choice((0.02, 0.1, 0.3, 0.6)) * rng.random())
                if rng.random() < 0.7:
                    wait_for_output(world.collector)
                    time.sleep(rng.uniform(0, 0.005))
                world.collector.kill()

        def send(sender):
            rng = rng_of(world, sender.name)
            while world.more():
                sender.lines(world.broker.port, bursts(rng, rng.randint(1, 100)))
                if world.readings >= world.want_readings:
                    time.sleep(0.1)
        together(*(lambda s=s: send(s) for s in senders), kill)
    return run


scenario(1000, 40, "kill_collector_out")(kill_collector(True, 1))
scenario(1000, 40, "kill_collector_out_qos2")(kill_collector(True, 2))
scenario(1000, 40, "kill_collector_pipe")(kill_collector(False, 1))
scenario(1000, 40, "kill_collector_pipe_qos2")(kill_collector(False, 2))


# ---- the broker ----


def broker_is_back(world):
    """And so, half of the time, is the collector, which may have to wait long for its next try."""
    world.broker.start()
    if world.rng.random() < 0.5:
        world.restart_collector()


@scenario(1000, 15)
def broker_restart(world):
    """SIGTERM of the broker, which then saves what it has acknowledged."""
    world.collect()

    def disturb():
        while world.more():
            time.sleep(world.rng.uniform(0.2, 3))
            world.broker.stop()
            world.fault("stop broker")
            time.sleep(world.rng.choice((0, 0.1, 0.5)))
            broker_is_back(world)
    senders_and(world, disturb, timeout=3)


@scenario(1000, 15)
def broker_kill(world):
    """SIGKILL of the broker. What it took since it saved last is gone, whatever it acknowledged:
    those readings are excused when they are lost, and still must not come twice."""
    world.collect()
    world.broker.save()

    def disturb():
        while world.more():
            time.sleep(world.rng.uniform(0.2, 2))
            world.broker.save()
            time.sleep(world.rng.choice((0, 0, 0.05)))
            world.kill_broker()
            time.sleep(world.rng.choice((0, 0.1, 0.5)))
            broker_is_back(world)
    senders_and(world, disturb, timeout=3)
