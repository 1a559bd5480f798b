#!/usr/bin/python3
"""The fuzz harnesses (test/fuzz), in short: each replays its corpus, then fuzzes for SHORT_S
seconds from a fixed seed. Two run side by side. `make fuzz` is the long form.
"""
import concurrent.futures
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
HARNESSES = sorted(path.stem for path in (ROOT / "test/fuzz").glob("*.c") if path.stem != "common")
BUILT = ROOT / "build/fuzz"
SHORT_S = int(os.environ.get("FUZZ_SHORT_S") or 4)
LIMIT_S = 120
AT_ONCE = 2
jobs = {}


def run(harness, *args):
    """Its exit status, and what it printed last."""
    done = subprocess.run([BUILT / f"fuzz_{harness}", "-timeout=20", *args], cwd=ROOT,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False)
    return done.returncode, done.stdout.decode(errors="replace")[-4000:]


def replay_and_fuzz(harness):
    corpus = ROOT / "test/corpus" / harness
    dictionary = ROOT / "test/fuzz" / f"{harness}.dict"
    with tempfile.TemporaryDirectory() as folder:
        keep = f"-artifact_prefix={folder}/"
        replayed = run(harness, "-runs=0", keep, corpus)
        if replayed[0] != 0:
            return replayed, (1, "not fuzzed: the corpus failed")
        known = [f"-dict={dictionary}"] if dictionary.exists() else []
        return replayed, run(harness, "-seed=1", f"-max_total_time={SHORT_S}", "-max_len=4096",
                             keep, *known, folder, corpus)


class Fuzz(unittest.TestCase):
    pass


def add_tests(harness):
    def is_built(self):
        if not (BUILT / f"fuzz_{harness}").exists():
            if harness == "sts1" and (BUILT / "fuzz_sts2").exists():
                self.skipTest("a build without STS/1")
            self.fail(f"{BUILT}/fuzz_{harness} is not built: make fuzzers")

    def test_replay(self):
        is_built(self)
        self.assertGreater(len(list((ROOT / "test/corpus" / harness).iterdir())), 0)
        status, output = jobs[harness].result()[0]
        self.assertEqual(status, 0, output)

    def test_short(self):
        is_built(self)
        status, output = jobs[harness].result()[1]
        self.assertEqual(status, 0, output)

    setattr(Fuzz, f"test_{harness}_replays_its_corpus", test_replay)
    setattr(Fuzz, f"test_{harness}_finds_nothing_in_{SHORT_S}_s", test_short)


for name in HARNESSES:
    add_tests(name)

if __name__ == "__main__":
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = {name: pool.submit(replay_and_fuzz, name) for name in HARNESSES}
        unittest.main(verbosity=0)
