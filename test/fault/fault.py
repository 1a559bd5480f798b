#!/usr/bin/python3
"""fault - breaks what can break around sts, and looks whether a reading is missing or there twice.

    test/fault/fault.py                     everything: 10,000 readings, 500 faults and more
      --scenario NAME                       only this one (repeatable)
      --seed N                              the same faults again; the seed is printed
      --readings N --faults N               so many in all, shared out over the scenarios
      --jobs N                              scenarios at a time (4)
      --list                                names and what they do

A line for each scenario: readings given to senders; faults; readings that were promised, delivered,
repeated (by a collector killed on a pipe: allowed), excused (the broker was killed with them in its
memory); and what must not be: lost, duplicated, swapped, foreign, other (hung, crashed, a status
that was not expected). A reading that was not promised may be delivered or not.

STS=FILE is the program (build/sts). Ends with 1 when a promise was broken, and keeps the folder of
that scenario: history, output, logs. What a process does when is up to the machine, so a run with
the same seed meets the same faults, though not always at the same moment.
"""
import argparse
import concurrent.futures
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True

import scenarios                    # noqa: E402
import world as worlds              # noqa: E402
from oracle import Verdict          # noqa: E402

HERE = os.path.abspath(__file__)
LIMIT_S = 420       # of one scenario: far more than any takes
COLUMNS = ("readings", "faults", "promised", "delivered", "repeated", "excused", "lost",
           "duplicated", "swapped", "foreign", "other")
VIOLATIONS = COLUMNS[6:]
CHILDREN = set()    # scenarios that run


# ---- one scenario, in a process of its own ----


def judge_world(world, scenario):
    scenario.run(world)
    world.settle()
    verdict = world.judge()
    world.stop()
    return verdict


def run_here(name, seed, readings, faults):
    """Runs it and prints one line of JSON."""
    scenario = scenarios.SCENARIOS[name]
    began = time.monotonic()
    with scenario.place() as (host, prefix):
        world = worlds.World(name, seed, readings, faults, host, prefix)
        try:
            verdict = judge_world(world, scenario)
        except SystemExit:              # SIGTERM
            world.stop()
            world.remove()
            raise
        except Exception:               # pylint: disable=broad-except
            world.stop()
            verdict = Verdict(readings=world.readings, runs=len(world.runs))
            verdict.complain("other", "the bench stumbled:\n" + traceback.format_exc())
        result = {column: getattr(verdict, column) for column in COLUMNS if column != "faults"}
        result["faults"] = world.fault_count()
        result["kinds"] = world.all_faults()
        result["runs"], result["statuses"] = verdict.runs, verdict.statuses
        result["collector"] = world.collector.statuses if world.collector else {}
        result["seconds"] = time.monotonic() - began
        result["complaints"] = verdict.complaints
        if verdict.good():
            world.remove()
        else:
            result["kept"] = world.keep(verdict)
    print(json.dumps(result))


# ---- all of them ----


def alone():
    """Words that run a command in namespaces of its own; None: this machine does not let us."""
    words = ["unshare", "--mount", "--net"] + ["--user", "--map-root-user"] * (os.geteuid() != 0)
    words += ["sh", "-ec", 'ip link set lo up; exec "$@"', "sh"]
    try:
        done = subprocess.run(words + ["true"], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return words if done.returncode == 0 else None


def run_apart(name, args, readings, faults, prefix):
    argv = prefix + [sys.executable, HERE, "--child", "--scenario", name, "--seed",
                     str(args.seed), "--readings", str(readings), "--faults", str(faults)]
    failed = dict.fromkeys(COLUMNS, 0) | {"other": 1, "runs": 0, "seconds": 0}
    # A session of its own, so that all that it starts can be stopped together.
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             start_new_session=True)
    CHILDREN.add(child)
    try:
        out, err = child.communicate(timeout=LIMIT_S)
        return json.loads(out)
    except subprocess.TimeoutExpired:
        return failed | {"complaints": [f"it took longer than {LIMIT_S} s"]}
    except ValueError:
        return failed | {"complaints": [f"it ended with {child.returncode}: {err}"]}
    finally:
        stop(child)


def stop(child):
    """And all that it has started."""
    CHILDREN.discard(child)
    for number, wait_s in ((signal.SIGTERM, 5), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        if child.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(wait_s)


def share(total, parts, part):
    return max(1, -(-total * part // parts)) if total else 0


def plan(args):
    """Yields (name, readings, faults) of each scenario that runs."""
    chosen = {name: scenarios.SCENARIOS[name] for name in args.scenario or scenarios.SCENARIOS}
    all_readings = sum(s.readings for s in chosen.values())
    all_faults = sum(s.faults for s in chosen.values())
    for name, item in chosen.items():
        yield (name,
               item.readings if args.readings is None else
               share(args.readings, all_readings, item.readings),
               item.faults if args.faults is None else share(args.faults, all_faults, item.faults))


def words_of(counts):
    return " ".join(f"{key}:{count}" for key, count in sorted(counts.items()) if count)


def show(name, result, args):
    good = not any(result[column] for column in VIOLATIONS)
    print(f"{'ok    ' if good else 'FAILED'} {name:26}" +
          "".join(f"{result[column]:>11}" for column in COLUMNS) + f"{result['seconds']:>7.0f} s")
    print(f"       {result['runs']} runs of senders: {words_of(result.get('statuses', {}))}; "
          f"of the collector: {words_of(result.get('collector', {}))}; "
          f"faults: {words_of(result.get('kinds', {}))}")
    if not good:
        for complaint in result["complaints"]:
            print("       " + complaint.rstrip().replace("\n", "\n         "))
        print(f"       kept: {result.get('kept', 'nothing')}\n"
              f"       again: {HERE} --seed {args.seed} --scenario {name}")
    sys.stdout.flush()
    return good


def run_all(args):
    print(f"seed {args.seed}")
    print(" " * 33 + "".join(f"{column:>11}" for column in COLUMNS))
    namespaces, totals, good, jobs = alone(), dict.fromkeys(COLUMNS, 0), True, {}
    wanted = {"readings": 0, "faults": 0}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for name, readings, faults in plan(args):
            apart = scenarios.SCENARIOS[name].alone
            if apart and namespaces is None:
                print(f"skip   {name}: this machine gives us no namespaces")
                continue
            wanted["readings"] += readings
            wanted["faults"] += faults
            jobs[pool.submit(run_apart, name, args, readings, faults,
                             namespaces if apart else [])] = name
        for job in concurrent.futures.as_completed(jobs):
            good &= show(jobs[job], job.result(), args)
            totals = {column: totals[column] + job.result()[column] for column in COLUMNS}
    print(f"       {'all':26}" + "".join(f"{totals[column]:>11}" for column in COLUMNS))
    for what, number in wanted.items():
        if totals[what] < number:
            print(f"FAILED only {totals[what]} {what} of {number}: this machine is too slow")
            good = False
    print(f"seed {args.seed}")
    return good


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenario", action="append", choices=scenarios.SCENARIOS)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10 ** 9))
    parser.add_argument("--readings", type=int)
    parser.add_argument("--faults", type=int)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if args.list:
        for name, item in scenarios.SCENARIOS.items():
            print(f"{name:26} {' '.join(item.run.__doc__.split())}")
        return 0
    if args.child:
        run_here(args.scenario[0], args.seed, args.readings, args.faults)
        return 0
    if not os.access(worlds.STS, os.X_OK):
        print(f"{worlds.STS} is not there: make, first")
        return 1
    try:
        return 0 if run_all(args) else 1
    except (SystemExit, KeyboardInterrupt):
        for child in list(CHILDREN):
            stop(child)
        raise


if __name__ == "__main__":
    sys.exit(main())
