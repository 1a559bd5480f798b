#!/usr/bin/python3
"""The fault bench in short, and whether it sees what it is there for: its oracle against histories
made up, its proxy against known bytes, all of it against programs that lose readings or crash.

Prints the seed of the run whose faults are drawn anew each time; STS_FAULT_SEED sets it.
"""
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "fault"))

from oracle import GROUP_MAX, Oracle, Output, Run   # noqa: E402
from proxy import DOWN, UP, Packets, Plan, Proxy    # noqa: E402

BENCH = os.path.join(HERE, "fault", "fault.py")
STS = os.path.abspath(os.environ.get("STS", os.path.join(HERE, "..", "build", "sts")))
FIXED_SEED = 20
SHORT = ("cron", "lines", "overlap", "kill_sender", "kill_collector_out", "kill_collector_pipe",
         "broker_restart", "broker_kill", "file_limit", "away", "chaos", "chaos_pipe")


# ---- the oracle ----


def line(sender, number, number_id=None, peer=None):
    return json.dumps({"time": "", "topic": "", "peer": peer or sender, "id": number_id or number,
                       "payload": f"{sender} {number}"}).encode() + b"\n"


def push(number, start, status=0, sender="a", length=0.5, **more):
    """A run that sent one reading, or several ones."""
    numbers = number if isinstance(number, list) else [number]
    return Run(sender, numbers, start, start + length, status, **more)


def judge(runs, *outputs, holes=()):
    return Oracle(runs, list(outputs), holes).judge()


def exact(*numbers):
    return Output([line("a", number) for number in numbers], exact=True)


def pipe(*numbers, killed=False):
    return Output([line("a", number) for number in numbers], killed=killed)


THREE = [push(1, 1), push(2, 2), push(3, 3)]


class TheOracle(unittest.TestCase):
    def expect(self, verdict, **counts):
        for kind in ("lost", "duplicated", "swapped", "foreign", "other", "repeated", "excused"):
            self.assertEqual(getattr(verdict, kind), counts.get(kind, 0),
                             f"{kind}: {verdict.complaints}")
        bad = any(counts.get(kind) for kind in ("lost", "duplicated", "swapped", "foreign",
                                                "other"))
        self.assertEqual(verdict.good(), not bad)
        self.assertEqual(bool(verdict.complaints), bad)

    def test_all_is_well(self):
        verdict = judge(THREE, exact(1, 2, 3))
        self.expect(verdict)
        self.assertEqual((verdict.readings, verdict.promised, verdict.delivered), (3, 3, 3))

    def test_lost(self):
        self.expect(judge(THREE, exact(1, 3)), lost=1)
        self.expect(judge(THREE), lost=3)

    def test_duplicated(self):
        self.expect(judge(THREE, exact(1, 2, 2, 3)), duplicated=1)
        self.expect(judge([push(1, 1, -9, killed=True)], exact(1, 1)), duplicated=1)

    def test_swapped(self):
        self.expect(judge(THREE, exact(1, 3, 2)), swapped=1)
        self.expect(judge([push([1, 2, 3], 1)], exact(2, 1, 3)), swapped=1)

    def test_overlapping_runs_have_no_order(self):
        runs = [push(1, 1), push(2, 1.2), push(3, 3)]
        self.expect(judge(runs, exact(2, 1, 3)))
        self.expect(judge(runs, exact(2, 3, 1)), swapped=1)

    def test_two_senders_have_no_order(self):
        runs = [push(1, 1), push(2, 2, sender="b")]
        self.expect(judge(runs, Output([line("b", 2), line("a", 1)], exact=True)))

    def test_foreign(self):
        self.expect(judge(THREE, exact(1, 2, 3, 4)), foreign=1)
        wrong = Output([line("a", 1, peer="b"), line("a", 2), line("a", 3)], exact=True)
        self.expect(judge(THREE, wrong), foreign=1, lost=1)
        for junk in (b"\n", b"{}\n", b"[1]\n", b"a 1\n", b'{"payload":"a"}\n',
                     line("a", 2) + b"x", line("a", 2)[:-1], line("a", 2)[:20]):
            self.expect(judge([push(1, 1)], Output([line("a", 1), junk], exact=True)), foreign=1)

    def test_a_run_that_was_killed_promises_nothing(self):
        runs = [push(1, 1), push(2, 2, -9, killed=True, spool=True), push(3, 3, spool=True)]
        for numbers in ((1, 2, 3), (1, 3), (2, 1, 3), (1, 3, 2)):
            self.expect(judge(runs, exact(*numbers)))

    def test_not_now_is_a_promise_once_a_good_run_follows(self):
        kept = [push(1, 1, 75, spool=True), push(2, 2, 75, spool=True)]
        good, other = push(3, 3, spool=True), push(3, 3, sender="b", spool=True)
        plain = [push(1, 1, 75), push(2, 2, 75), push(3, 3)]
        self.expect(judge(kept))
        self.expect(judge(kept + [other], Output([line("b", 3)], exact=True)))
        self.expect(judge(kept + [good], exact(1, 2, 3)))
        self.expect(judge(kept + [good], exact(3)), lost=2)
        self.expect(judge(kept + [good], exact(1, 3, 2)), swapped=1)
        self.expect(judge(kept + [good], exact(3, 2, 1)), swapped=2)
        self.expect(judge(plain, exact(3)))

    def test_a_good_run_that_began_before_says_nothing(self):
        runs = [push(1, 1, length=5, spool=True), push(2, 2, 75, spool=True)]
        self.expect(judge(runs, exact(1)))

    def test_lines_that_were_stopped_promise_nothing(self):
        runs = [push([1, 2], 1, 75, spool=True, stopped=True), push(3, 3, spool=True)]
        self.expect(judge(runs, exact(1, 3)))

    def test_other_statuses(self):
        for status, bad in ((69, 0), (73, 0), (74, 0), (75, 0), (1, 1), (79, 1), (139, 1),
                            (-9, 1), (-11, 1), (-15, 1)):
            self.expect(judge([push(1, 1, status)]), other=bad)
        self.expect(judge([push(1, 1, 74, allowed=frozenset((0, 75)))]), other=1)
        self.expect(judge([push(1, 1, -11, killed=True)]), other=1)
        self.expect(judge([push(1, 1, -9, killed=True, hung=True)]), other=1)

    def test_a_killed_collector_may_repeat_its_last_group(self):
        runs = [push([1, 2, 3, 4, 5], 1)]
        verdict = judge(runs, pipe(1, 2, 3, killed=True), pipe(2, 3, 4, 5))
        self.expect(verdict, repeated=2)
        self.assertEqual(verdict.delivered, 5)
        self.expect(judge(runs, pipe(1, 2, 3, killed=True), pipe(3, killed=True), pipe(killed=True),
                          pipe(3, 4, 5)), repeated=2)

    def test_what_a_collector_must_not_repeat(self):
        runs = [push([1, 2, 3, 4, 5], 1)]
        self.expect(judge(runs, pipe(1, 2, 3), pipe(3, 4, 5)), duplicated=1)
        self.expect(judge(runs, pipe(1, 2, 3, 3, killed=True), pipe(4, 5)), duplicated=1)
        self.expect(judge(runs, pipe(1, 2, 3, killed=True), pipe(3, 3, 4, 5)), repeated=1,
                    duplicated=1)
        self.expect(judge(runs, pipe(1, 2, 3, killed=True), pipe(2, 4, 5)), repeated=1, swapped=1)
        self.expect(judge(runs, pipe(1, 2, killed=True), pipe(3), pipe(3, 4, 5)), duplicated=1)
        self.expect(judge(runs, exact(1, 2, 3, 3, 4, 5)), duplicated=1)
        other_id = Output([line("a", 3, 99), line("a", 4), line("a", 5)])
        self.expect(judge(runs, pipe(1, 2, 3, killed=True), other_id), duplicated=1)

    def test_a_group_has_an_end(self):
        many = list(range(100))
        runs, whole = [push(many, 1)], pipe(*many, killed=True)
        last = many[-GROUP_MAX:]
        self.expect(judge(runs, whole, pipe(*last)), repeated=GROUP_MAX)
        self.expect(judge(runs, whole, pipe(last[0] - 1, *last)), repeated=GROUP_MAX, duplicated=1)

    def test_the_last_line_of_a_killed_collector_may_be_torn(self):
        runs, torn = [push([1, 2], 1)], line("a", 2)[:-9]
        killed = Output([line("a", 1), torn], killed=True)
        self.expect(judge(runs, killed, pipe(2)))
        self.expect(judge(runs, Output([line("a", 1), torn]), pipe(2)), foreign=1)

    def test_what_a_killed_broker_had_in_memory_is_excused(self):
        self.expect(judge(THREE, exact(1, 3), holes=[(2.1, 2.6)]), excused=1)
        self.expect(judge(THREE, exact(1, 3), holes=[(2.6, 2.7)]), lost=1)
        self.expect(judge(THREE, exact(1, 3, 3), holes=[(2.1, 4)]), excused=1, duplicated=1)


# ---- the proxy ----


PUBLISH = bytes([0x32, 0x80, 0x01]) + bytes(128)
ACK = bytes([0x40, 2, 0, 1])


class TheProxy(unittest.TestCase):
    def setUp(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.addCleanup(self.listener.close)

    def through(self, plan):
        """A connection that follows the plan: (client's end, broker's end, proxy)."""
        proxy = Proxy(self.listener.getsockname(), lambda _: plan)
        self.addCleanup(proxy.close)
        client = socket.create_connection(("127.0.0.1", proxy.port), 10)
        broker = self.listener.accept()[0]
        for sock in (client, broker):
            sock.settimeout(10)
            self.addCleanup(sock.close)
        return client, broker, proxy

    def drain(self, sock):
        """All that comes, and whether it ended well."""
        got = b""
        try:
            for data in iter(lambda: sock.recv(4096), b""):
                got += data
            return got, True
        except ConnectionResetError:
            return got, False

    def test_packets(self):
        stream = b"\xc0\x00" + PUBLISH + ACK
        ends = [(12, 0, 2), (3, 2, 133), (4, 133, 137)]
        for step in (1, 2, 7, 200):
            packets, found = Packets(), []
            for at in range(0, len(stream), step):
                found += packets.feed(stream[at:at + step])
            self.assertEqual(found, ends)

    def test_a_clean_plan_passes_everything(self):
        for plan in (Plan(), Plan(piece=3), Plan(delay_s=0.01)):
            client, broker, proxy = self.through(plan)
            client.sendall(PUBLISH)
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(self.drain(broker), (PUBLISH, True))
            broker.sendall(ACK)
            broker.close()
            self.assertEqual(self.drain(client), (ACK, True))
            self.assertEqual(proxy.faults["cut"] + proxy.faults["stall"], 0)

    def test_cuts_where_the_plan_says(self):
        for where, count, passed in (("before", 1, 0), ("inside", 1, 66), ("after", 1, 131),
                                     ("before", 2, 131)):
            client, broker, proxy = self.through(
                Plan("cut", UP, packet="PUBLISH", where=where, count=count, reset=False))
            client.sendall(PUBLISH + PUBLISH)
            self.assertEqual(len(self.drain(broker)[0]), passed)
            self.assertEqual(proxy.faults["cut"], 1)

    def test_drops_the_acknowledgement(self):
        client, broker, _ = self.through(Plan("cut", DOWN, packet="PUBACK"))
        client.sendall(PUBLISH)
        self.assertEqual(broker.recv(4096), PUBLISH)
        broker.sendall(ACK)
        self.assertEqual(self.drain(client), (b"", False))

    def test_stalls_and_goes_on(self):
        client, broker, proxy = self.through(Plan("stall", UP, at_byte=5, stall_s=0.2))
        client.sendall(PUBLISH)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.drain(broker), (PUBLISH, True))
        self.assertEqual(proxy.faults["stall"], 1)

    def test_stalls_for_ever_until_it_is_calm(self):
        client, broker, proxy = self.through(Plan("stall", DOWN, at_byte=0))
        broker.sendall(ACK)
        client.settimeout(0.2)
        self.assertRaises(TimeoutError, client.recv, 1)
        proxy.be_calm()
        client.settimeout(10)
        self.assertEqual(self.drain(client)[0], b"")


# ---- the bench ----


def bench(*arguments, sts=STS, folder=None):
    """Runs it; returns (exit status, what it printed)."""
    env = dict(os.environ, STS=sts)
    if folder:
        env["TMPDIR"] = folder
    argv = [sys.executable, BENCH, "--jobs", "3", *map(str, arguments)]
    done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=280, check=False)
    return done.returncode, done.stdout


# Does something else for two readings of each sender, which has about 20.
STAND_IN = """#!/bin/sh
for last; do :; done
case " $* " in *" -s "[a-d]" "[37]" "*) {deed} ;; esac
exec {sts} "$@"
"""


class TheBench(unittest.TestCase):
    def run_short(self, seed):
        names = [word for name in SHORT for word in ("--scenario", name)]
        status, text = bench("--seed", seed, "--readings", 600, "--faults", 60, *names)
        self.assertEqual(status, 0, text)
        print(text)

    def test_fixed_seed(self):
        self.run_short(FIXED_SEED)

    def test_another_seed_each_time(self):
        self.run_short(int(os.environ.get("STS_FAULT_SEED", secrets.randbelow(10 ** 9))))

    def stand_in(self, deed):
        """A cron scenario with a program that does something wrong to some readings."""
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "sts")
            with open(program, "w", encoding="ascii") as script:
                script.write(STAND_IN.format(sts=STS, deed=deed))
            os.chmod(program, 0o755)
            status, text = bench("--scenario", "cron", "--seed", FIXED_SEED, "--readings", 80,
                                 "--faults", 1, sts=program, folder=folder)
        self.assertEqual(status, 1, text)
        self.assertIn(f"--seed {FIXED_SEED} --scenario cron", text)
        return text

    def test_sees_a_program_that_loses_readings(self):
        self.assertRegex(self.stand_in("exit 0"), r"lost: [a-d] [37]: ")

    def test_sees_a_program_that_sends_twice(self):
        text = self.stand_in(STS + ' "$@"')
        self.assertRegex(text, r"duplicated: [a-d] [37], ")

    def test_sees_a_program_that_crashes(self):
        self.assertRegex(self.stand_in("kill -SEGV $$"), "status -11")

    def test_lists_its_scenarios(self):
        status, text = bench("--list")
        self.assertEqual(status, 0)
        for name in SHORT:
            self.assertTrue(re.search(rf"^{name} ", text, re.MULTILINE), name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
