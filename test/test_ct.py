#!/usr/bin/python3
"""Constant time: nothing that STS/2 does depends on a secret in a way that can be timed.

Taint: all of STS/2 under valgrind's memcheck, every secret marked undefined, in the program's own
objects and in ones of -O2; see test/ct/ct.c. Three scenes branch on a secret, or index with one, on
purpose: there memcheck has to complain.

Trace: what reads secrets from files looks at their characters (is this a newline, is that a blank),
so a taint would complain where nothing leaks: each character of base64 gets the same answers. There
the stripped program itself runs under valgrind's lackey, with other keys of every kind: it has to
execute the same instructions, and touch the same addresses, in the same order.
"""
import base64
import concurrent.futures
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
STS = os.path.abspath(os.environ.get("STS") or ROOT / "build/sts")
PROGRAMS = {"Os": ROOT / "build/ct/ct", "O2": ROOT / "build/O2/ct/ct"}
SCENES = ("x25519", "hashes", "aead", "comparison", "text_of_a_key", "session_without_psk",
          "session_with_psk", "pushes_without_psk", "pushes_with_psk")
CANARIES = {"canary_branch": "Conditional jump or move depends on uninitialised value",
            "canary_index": "Use of uninitialised value",
            "canary_plaintext": "Conditional jump or move depends on uninitialised value"}
LIMIT_S = 120
AT_ONCE = 2
jobs = {}

# All zeros, and every character that base64 has.
SECRETS = (bytes(32), base64.b64decode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopg="),
           base64.b64decode("zyxwvutsrqponmlkjihgfedcba9876543210/+ZYXWU="))


def valgrind(*args, **how):
    return subprocess.run(["valgrind", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=LIMIT_S, check=False, **how)


# ---- taint ----

def taint(program):
    """name -> (errors, secrets lost), and what memcheck said."""
    done = valgrind("-q", "--expensive-definedness-checks=yes", program)
    if done.returncode != 0:
        raise AssertionError(done.stderr.decode()[-2000:])
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    return {name: (int(errors), int(lost)) for name, errors, lost in rows}, done.stderr.decode()


class Taint(unittest.TestCase):
    def test_no_scene_is_missing(self):
        for program in PROGRAMS:
            self.assertEqual(set(jobs[program].result()[0]), {*SCENES, *CANARIES})


def add_taint_tests(program):
    def add(name, errors_wanted):
        def test(self):
            scenes, said = jobs[program].result()
            errors, lost = scenes[name]
            self.assertEqual(lost, 0, f"{name}: secrets that memcheck takes for public")
            self.assertEqual(errors, errors_wanted, said)
            if name in CANARIES:
                self.assertRegex(said, rf"{CANARIES[name]}[^\n]*\n[^\n]*: {name} ")

        setattr(Taint, f"test_{name}_{program}", test)

    for name in SCENES:
        add(name, 0)
    for name in CANARIES:
        add(name, 1)


# ---- trace ----

def write(folder, name, text):
    path = pathlib.Path(folder, name)
    path.write_text(text)
    path.chmod(0o600)


def text_of(key):
    return base64.b64encode(key).decode()


def base_point(first=9):
    return text_of(bytes([first]) + bytes(31))


def own_key(folder, secret, _):
    """Reads the key, computes the public one."""
    write(folder, "key", text_of(secret) + "\n")
    return ("-k", "key"), 0


def psk_of_config(folder, secret, peer):
    """All of a config is read; then it goes with no -r."""
    write(folder, "key", text_of(SECRETS[2]))
    write(folder, "conf", f"ip = 127.0.0.1\npubtop = t\nsts_mode = push\nkey = key\n"
          f"peer = {peer}\npsk = {text_of(secret)} # secret\nqos = 1\n")
    return ("-c", "conf", "-r"), 78


def psk_of_peers(folder, secret, peer):
    """All is read, and sorted; then there is no folder for the state file."""
    write(folder, "key", text_of(SECRETS[2]))
    write(folder, "peers", f"a {base_point(11)} {text_of(secret)}\nb {peer} {text_of(secret)}\n")
    write(folder, "conf", "ip = 127.0.0.1\nsubtop = t\nsts_mode = collect\nkey = key\n"
          "peers = peers\nstate = none/state\n")
    return ("-c", "conf", "-r"), 73


def trace(scene, secret, peer):
    """Every instruction, load and store; only until the clock is read, for the log line in which
    the run ends."""
    with tempfile.TemporaryDirectory(prefix="sts-ct-") as folder:
        args, status = scene(folder, secret, peer)
        done = valgrind("--tool=lackey", "--trace-mem=yes", "--trace-syscalls=yes",
                        "--log-file=trace", STS, *args, cwd=folder)
        if done.returncode != status:
            raise AssertionError(f"status {done.returncode}: {done.stderr.decode()}")
        log = pathlib.Path(folder, "trace").read_bytes()
    clock = log.find(b"sys_clock_gettime")
    return re.findall(rb"^(?:I| [LSM]) .*", log if clock < 0 else log[:clock], re.MULTILINE)


def differences(scene):
    """How many lines of a trace differ from the first secret's, for each other secret and at last
    for another public key; and how long the first trace is."""
    first = trace(scene, SECRETS[0], base_point())
    others = [trace(scene, secret, base_point()) for secret in SECRETS[1:]]
    if scene is not own_key:
        others.append(trace(scene, SECRETS[0], base_point(0xe0)))
    return [sum(a != b for a, b in zip(first, other)) + abs(len(first) - len(other))
            for other in others], len(first)


class Trace(unittest.TestCase):
    def check(self, scene, length):
        found, lines = jobs[scene].result()
        self.assertGreater(lines, length)
        for different in found[:len(SECRETS) - 1]:
            self.assertEqual(different, 0, found)
        return found

    def test_own_key(self):
        self.check(own_key, 500000)     # X25519 is in it

    def test_psk_of_config(self):
        # A public key is compared with those that are refused until the first difference.
        self.assertGreater(self.check(psk_of_config, 20000)[-1], 0)

    def test_psk_of_peers(self):
        self.assertGreater(self.check(psk_of_peers, 500000)[-1], 0)


for built in PROGRAMS:
    add_taint_tests(built)

if __name__ == "__main__":
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = {name: pool.submit(taint, path) for name, path in PROGRAMS.items()}
        jobs |= {scene: pool.submit(differences, scene)
                 for scene in (own_key, psk_of_config, psk_of_peers)}
        unittest.main(verbosity=0)
