#!/usr/bin/python3
"""The completions of bash and zsh, in a real shell of each: what Tab makes of a line at a terminal.

In each shell `sts` is a function that prints its arguments, so that what a completed line says is
what the shell itself takes it for. What is to be offered is asked from the program."""
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest
from fcntl import ioctl

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STS = os.path.abspath(os.environ.get("STS", os.path.join(ROOT, "build", "sts")))
WAIT_S = 30     # bound of every wait: far above what a loaded machine needs

BASH = """
PS1='<ready>'
bind 'set bell-style none' 'set enable-bracketed-paste off' 'set show-all-if-ambiguous on'
bind 'set page-completions off' 'set completion-query-items 1000'
bind '"\\C-x\\C-k": kill-whole-line'
. "$COMPLETIONS/sts.bash"
"""
ZSH = """
PS1='<ready>' PS2= RPS1= PROMPT_EOL_MARK=
unsetopt zle_bracketed_paste beep prompt_sp
zstyle ':completion:*' menu no
bindkey -e
bindkey '^X^K' kill-whole-line
fpath=("$COMPLETIONS" $fpath)
autoload -Uz compinit
compinit -u -d "$ZCOMPDUMP"
"""
PRINTS = """
sts() { printf '\\n{'; printf '<%s>' "$@"; printf '}\\n'; }
"""


def known_flags():
    """Every letter that the program takes for a flag."""
    flags = set()
    for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789":
        said = subprocess.run([STS, "-" + letter], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=WAIT_S).stderr
        if b"is no flag of sts" not in said:
            flags.add("-" + letter)
    return flags


def known_keys():
    with open(os.path.join(ROOT, "conf.h")) as text:
        keys = set(re.findall(r'X\(CONF_[A-Z0-9_]+, "([a-z0-9_]+)"\)', text.read()))
    with open(os.path.join(ROOT, "conf.c")) as text:
        keys |= set(re.findall(r'\{"([a-z0-9_]+)", CONF_[A-Z_]+\}', text.read()))
    return keys


class Shell:
    """A shell on a terminal of its own, which is 300 columns wide, so that no line is wrapped."""

    def __init__(self, argv, setup, folder):
        rc = os.path.join(folder, "setup")
        with open(rc, "w") as file:
            file.write(setup + PRINTS)
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "TERM": "dumb", "LC_ALL": "C",
                       "COMPLETIONS": os.path.join(ROOT, "completions"),
                       "ZCOMPDUMP": os.path.join(folder, "zcompdump")}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(argv[0], argv, environment)
        ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 300, 0, 0))
        self.count = 0
        self.seen = ""
        # Whatever the prompt is before, and after.
        self.run(". %s" % rc)

    def close(self):
        os.close(self.fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def read_until(self, pattern):
        """What came up to the pattern, and its match."""
        until = time.monotonic() + WAIT_S
        while True:
            match = re.search(pattern, self.seen)
            if match:
                before, self.seen = self.seen[:match.start()], self.seen[match.end():]
                return before, match
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError("waited in vain for %s in %r" % (pattern, self.seen))
            self.seen += os.read(self.fd, 65536).decode("utf-8", "replace").replace("\r", "")

    def type(self, text):
        os.write(self.fd, text.encode())

    def run(self, command):
        """Runs a command to its end; returns what was shown meanwhile, what was typed included."""
        self.count += 1
        self.type("%s; echo 'end'%d.\n" % (command, self.count))
        shown = self.read_until(r"end%d\.\n" % self.count)[0]
        self.read_until("<ready>")  # before that, the terminal echoes by itself what is typed
        return shown

    def offers(self, line):
        """The words shown for Tab behind the line, which is thrown away then."""
        self.type(line + "\t\t\x18\x0b")
        return set(self.run(":").rsplit(":; echo", 1)[0].split()) - set(line.split())

    def completed(self, line):
        """The arguments that `sts` gets from the line when Tab was pressed behind it."""
        self.type(line + "\t\n")
        arguments = self.read_until(r"\n\{(.*)\}\n")[1].group(1)
        self.read_until("<ready>")
        return re.findall("<([^>]*)>", arguments)


class Completions:
    """What holds for both shells."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        for name in ("push.key", "push.conf"):
            open(os.path.join(self.folder, name), "w").close()
        os.mkdir(os.path.join(self.folder, "etc"))
        self.shell = self.start()

    def tearDown(self):
        self.shell.close()
        shutil.rmtree(self.folder)

    def test_flags(self):
        offered = self.shell.offers("sts -")
        flags = {word for word in offered if re.fullmatch("-[A-Za-z0-9]", word)}
        self.assertEqual(flags, known_flags())

    def test_keys(self):
        offered = {word.rstrip("=") for word in self.shell.offers("sts -o ")}
        words = {word for word in offered if re.fullmatch("[a-z_0-9]+", word)}
        self.assertEqual(words, known_keys())

    def test_key_and_value(self):
        self.assertEqual(self.shell.completed("sts -o sts_mo"), ["-o", "sts_mode="])
        self.assertEqual(self.shell.completed("sts -o sts_mode=col"), ["-o", "sts_mode=collect"])
        self.assertEqual(self.shell.completed("sts -o qos=1 -o aes=cha"),
                         ["-o", "qos=1", "-o", "aes=chachapoly"])
        self.assertEqual(self.shell.completed("sts -r -o cipher=ec"), ["-r", "-o", "cipher=ecb"])

    def test_values(self):
        for key, values in (("sts_mode", "nosec master slave push collect"), ("qos", "0 1 2"),
                            ("aes", "null ecb cbc chachapoly"), ("mqtt_version", "3 4"),
                            ("retain", "0 1"), ("clean_session", "0 1"), ("will_qos", "0 1 2")):
            self.assertTrue(set(values.split()) <= self.shell.offers("sts -o %s=" % key), key)

    def test_files(self):
        for flag in ("-c", "-k"):
            self.assertEqual(self.shell.completed("sts %s push.k" % flag), [flag, "push.key"])
        for key in ("key", "peers", "state", "out", "spool"):
            self.assertEqual(self.shell.completed("sts -o %s=push.c" % key),
                             ["-o", key + "=push.conf"])
        self.assertEqual(self.shell.completed("sts -c et")[1].rstrip("/"), "etc")

    def test_nothing_where_anything_goes(self):
        for line in ("sts -s ", "sts -n ", "sts -w "):
            self.assertFalse({"push.key", "-v"} & self.shell.offers(line), line)


class Bash(Completions, unittest.TestCase):
    def start(self):
        return Shell(["bash", "--norc", "--noprofile", "-i"], BASH, self.folder)

    def test_defined(self):
        self.assertIn("complete -F _sts sts", self.shell.run("complete -p sts"))

    def test_words_broken_elsewhere(self):
        self.shell.run("COMP_WORDBREAKS=${COMP_WORDBREAKS//=}")
        self.assertEqual(self.shell.completed("sts -o sts_mode=col"), ["-o", "sts_mode=collect"])
        self.assertEqual(self.shell.completed("sts -o key=push.k"), ["-o", "key=push.key"])


class Zsh(Completions, unittest.TestCase):
    def start(self):
        return Shell(["zsh", "-f", "-i"], ZSH, self.folder)

    def test_defined(self):
        self.assertIn("is _sts.", self.shell.run('echo "sts is $_comps[sts]."'))

    def test_joined(self):
        self.assertEqual(self.shell.completed("sts -osts_mode=col"), ["-osts_mode=collect"])
        self.assertEqual(self.shell.completed("sts -cpush.k"), ["-cpush.key"])
        self.assertEqual(self.shell.completed("sts -rj -o sts_mo"), ["-rj", "-o", "sts_mode="])

    def test_what_does_not_go_together(self):
        self.assertNotIn("-s", self.shell.offers("sts -r -"))


if __name__ == "__main__":
    unittest.main()
