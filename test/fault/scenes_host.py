"""Scenarios: a broker behind a link of its own, and everything at once."""
import contextlib
import os
import subprocess
import time

from proxy import SPOTS_RECEIVE, Plan, bend, draw_plan
from scenario import bursts, faulty, four_senders, rng_of, scenario, senders_and, together


@contextlib.contextmanager
def two_hosts():
    """The broker behind a link, in a network namespace that lives as long as its holder."""
    with subprocess.Popen(["unshare", "-n", "sleep", "3600"]) as holder:
        try:
            inside = ("nsenter", "-t", str(holder.pid), "-n")
            mine = os.readlink("/proc/self/ns/net")
            while os.readlink(f"/proc/{holder.pid}/ns/net") == mine:
                time.sleep(0.01)
            for command in ("ip link set lo up",
                            f"ip link add near type veth peer name far netns {holder.pid}",
                            "ip addr add 10.77.0.1/24 dev near", "ip link set near up"):
                subprocess.run(command.split(), check=True)
            for command in ("ip link set lo up", "ip addr add 10.77.0.2/24 dev far",
                            "ip link set far up"):
                subprocess.run(inside + tuple(command.split()), check=True)
            yield "10.77.0.2", inside
        finally:
            holder.kill()


@scenario(600, 20, alone=True, place=two_hosts)
def link(world):
    """The link to the broker goes down, at this end or behind the next switch."""
    world.collect()

    def disturb():
        inside = tuple(world.broker.prefix)
        while world.more():
            time.sleep(world.rng.uniform(0.2, 1.5))
            side = world.rng.choice((("near", ()), ("far", inside)))
            subprocess.run(side[1] + ("ip", "link", "set", side[0], "down"), check=True)
            world.fault("link down")
            time.sleep(world.rng.choice((0.2, 0.5, 1.5, 4)))
            subprocess.run(side[1] + ("ip", "link", "set", side[0], "up"), check=True)
    senders_and(world, disturb, timeout=2)


def chaos(exact):
    def run(world):
        """All of it at once."""
        proxy = world.proxy(lambda rng, clean: bend(rng, Plan()) if clean else draw_plan(
            rng, SPOTS_RECEIVE, bytes_max=4000, count_max=40), 0.5)
        world.collect(exact=exact, port=proxy.port)

        def disturb():
            rng = rng_of(world, "disturb")
            while world.more():
                time.sleep(rng.uniform(0.1, 1.5))
                what = rng.random()
                if what < 0.6:
                    world.restart_collector(kill=what < 0.3)
                    continue
                world.broker.stop()
                world.fault("stop broker")
                time.sleep(rng.choice((0, 0.3)))
                world.broker.start()

        def send(sender):
            rng = rng_of(world, sender.name)
            way = faulty(world, sender, 0.6, bytes_max=5000, count_max=20)
            while world.more():
                kill_s = rng.uniform(0, 0.05) if rng.random() < 0.2 else None
                term_s = rng.uniform(0, 0.5) if rng.random() < 0.1 else None
                if rng.random() < 0.5:
                    sender.push(way.port, kill_s=kill_s, term_s=term_s)
                else:
                    sender.lines(way.port, bursts(rng, rng.randint(1, 80)), kill_s=kill_s,
                                 term_s=term_s)
        together(*(lambda s=s: send(s) for s in four_senders(world)), disturb)
    return run


scenario(1500, 60, "chaos")(chaos(True))
scenario(1500, 60, "chaos_pipe")(chaos(False))
