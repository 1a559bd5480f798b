#!/usr/bin/python3
"""The shell at a real pseudo terminal: `shell_pty.py SCENARIO`, called by shell.bats.

Environment: STS (the program), PORT (of a broker on 127.0.0.1). Exit status 0: as it should be;
otherwise what went wrong and what stood on the screen is on standard error. Waiting is polling for
a condition with a bound.
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

STS = os.environ["STS"]
PORT = os.environ["PORT"]
WAIT_S = 30
UP, DOWN, RIGHT, LEFT = "\033[A", "\033[B", "\033[C", "\033[D"
HOME, END, DELETE = "\033[H", "\033[F", "\033[3~"
CTRL_C, CTRL_D, CTRL_U, CTRL_W = "\x03", "\x04", "\x15", "\x17"


class Screen:
    """As much of a terminal as the shell may use; anything else is an error."""

    def __init__(self, columns):
        self.columns = columns
        self.rows = [[]]
        self.row = self.column = 0
        self.rest = ""

    def put(self, char):
        if self.column == self.columns:
            self.column = 0
            self.down()
        row = self.rows[self.row]
        row.extend(" " * (self.column + 1 - len(row)))
        row[self.column] = char
        self.column += 1

    def down(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    def sequence(self, parameter, final):
        if final == "K" and parameter == "":
            del self.rows[self.row][self.column:]
        elif final == "C":
            self.column = min(self.column + int(parameter or 1), self.columns - 1)
        elif final == "H" and parameter == "":
            self.row = self.column = 0
        elif final == "J" and parameter == "2":
            self.rows = [[] for _ in self.rows]
        else:
            raise AssertionError(f"a sequence the shell does not use: {parameter}{final}")

    def feed(self, text):
        text, self.rest = self.rest + text, ""
        while text:
            match = re.match(r"\033\[([0-9;?]*)([A-Za-z])", text)
            if match:
                self.sequence(*match.groups())
                text = text[match.end():]
                continue
            if text[0] == "\033":
                assert len(text) < 8, f"not a sequence: {text[:20]!r}"
                self.rest = text
                return
            if text[0] == "\r":
                self.column = 0
            elif text[0] == "\n":
                self.down()
            else:
                assert text[0].isprintable(), f"a control character on the terminal: {text[0]!r}"
                self.put(text[0])
            text = text[1:]

    def lines(self):
        return ["".join(row).rstrip() for row in self.rows]

    def line(self):
        return "".join(self.rows[self.row]).rstrip()


class Shell:
    """sts at a terminal of its own."""

    def __init__(self, *args, columns=100, stdout=None):
        self.master, self.slave = pty.openpty()
        self.resize(columns, False)
        self.screen = Screen(columns)
        self.before = termios.tcgetattr(self.slave)
        self.raw = b""
        self.undecoded = b""
        self.process = subprocess.Popen(
            [STS, *args], stdin=self.slave, stdout=stdout or self.slave, stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        SHELLS.append(self)
        self.prompt()

    def resize(self, columns, tell=True):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        if tell:
            self.screen.columns = columns

    def read(self, seconds=0.05):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        self.undecoded += (data := os.read(self.master, 65536))
        self.raw += data
        for cut in range(4):
            try:
                text = self.undecoded[:len(self.undecoded) - cut].decode()
            except UnicodeDecodeError:
                continue
            self.undecoded = self.undecoded[len(self.undecoded) - cut:]
            self.screen.feed(text)
            return True
        raise AssertionError(f"not UTF-8 on the terminal: {self.undecoded!r}")

    def until(self, what, condition):
        end = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"waited in vain for {what}")
            self.read()

    def prompt(self):
        """The prompt is there, and nothing typed."""
        self.shows(">")

    def shows(self, line):
        """The line with the cursor is this."""
        self.until(f"the line {line!r}", lambda: self.screen.line() == line)

    def sees(self, pattern, count=1):
        """So many lines match."""
        def matches():
            return sum(bool(re.search(pattern, line)) for line in self.screen.lines())
        self.until(f"{count} x {pattern!r}", lambda: matches() >= count)
        assert matches() == count, f"{matches()} x {pattern!r}"

    def never_saw(self, pattern):
        for line in self.screen.lines():
            assert not re.search(pattern, line), f"there is {pattern!r}"

    def type(self, keys):
        os.write(self.master, keys.encode())

    def enter(self, command, pattern=None, count=1):
        self.type(command + "\r")
        if pattern:
            self.sees(pattern, count)
        self.prompt()

    def cooked(self):
        return termios.tcgetattr(self.slave) == self.before

    def ends(self, status=0):
        """The program leaves with this status, and the terminal as it was."""
        self.until("the end", lambda: self.process.poll() is not None)
        while self.read(0):
            pass
        assert self.process.returncode == status, f"status {self.process.returncode}"
        assert self.cooked(), "the terminal is not what it was"
        assert self.screen.line() == "", "something is left in the line"


SHELLS = []
SCRATCH = tempfile.TemporaryDirectory()


def write_file(name, text, mode=0o600):
    path = os.path.join(SCRATCH.name, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def config(name, **keys):
    keys = {"ip": "127.0.0.1", "port": PORT, **keys}
    return write_file(name, "".join(f"{key} = {value}\n" for key, value in keys.items()))


def nosec(topic, **keys):
    return config("nosec", subtop=topic, pubtop=topic, **keys)


def pair(cipher):
    topics = f"pty/{os.getpid()}/m2s", f"pty/{os.getpid()}/s2m"
    return (config("master", pubtop=topics[0], subtop=topics[1], sts_mode="master", aes=cipher),
            config("slave", pubtop=topics[1], subtop=topics[0], sts_mode="slave", aes=cipher))


def publish(topic, payload):
    subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", PORT, "-t", topic, "-q", "1", "-s"],
                   input=payload, check=True, timeout=WAIT_S)


def topic_of(name):
    return f"pty/{name}/{os.getpid()}"


def established(cipher):
    """A slave's shell and a master's."""
    master_conf, slave_conf = pair(cipher)
    slave = Shell("-c", slave_conf)
    slave.sees("waiting for a master")
    master = Shell()
    master.enter(f"start {master_conf}", "session established")
    slave.sees("session established")
    # The slave of the original reads nothing in the first second: so the master waits.
    master.until("readiness", lambda: ready(master))
    return slave, master


def ready(master):
    """Whether a message leaves; asked again until it does."""
    errors = len([line for line in master.screen.lines() if "nothing was sent" in line])
    master.enter("sendenc are you there?")
    time.sleep(0.2)
    while master.read():
        pass
    return errors == len([line for line in master.screen.lines() if "nothing was sent" in line])


# ---- the scenarios ----

def welcome_and_help():
    shell = Shell()
    shell.sees("Secure Telemetry Shell")
    shell.sees("'help'")
    shell.enter("help", r"^\| sendenc MSG ")
    shell.enter("  help  ", r"^\| sendenc MSG ", 2)
    shell.enter("")
    shell.enter("   ")
    shell.enter("help me", "help: takes no argument")
    shell.type("exit\r")
    shell.ends()


def editing_keys():
    shell = Shell()
    for keys, text in (("ac" + LEFT + "b", "abc"),
                       ("xx" + CTRL_U + "!echo abd\x7fc", "abc"),
                       ("bc" + HOME + "a" + END + "d", "abcd"),
                       ("abc" + LEFT + LEFT + DELETE, "ac"),
                       ("gr\u00fc\u00dfe \u20ac" + LEFT + "\x7f", "gr\u00fc\u00dfe\u20ac"),
                       ("one two" + CTRL_W + "three", "one three"),
                       ("a\033[99zb\033[5~c", "abc")):
        start = "" if CTRL_U in keys else "!echo "
        keys = keys.replace(HOME, HOME + RIGHT * len(start)) if start else keys
        shell.type(start + keys)
        shell.shows("> !echo " + text)
        shell.enter("", f"^{text}$", shell.screen.lines().count(text) + 1)


def history():
    shell = Shell()
    shell.enter("!echo one", "^one$")
    shell.enter("!echo two", "^two$")
    shell.type("half" + UP)
    shell.shows("> !echo two")
    shell.type(UP)
    shell.shows("> !echo one")
    shell.type(UP)
    shell.type(DOWN + DOWN)
    shell.shows("> half")
    shell.type(CTRL_U + UP + UP)
    shell.shows("> !echo one")
    shell.enter("", "^one$", 2)


def long_line_scrolls():
    shell = Shell(columns=20)
    shell.type("!echo abcdefghijklmnopqrstuvwxyz")
    shell.shows("> jklmnopqrstuvwxyz")
    shell.type(HOME)
    shell.shows("> !echo abcdefghijk")
    shell.resize(60)
    shell.shows("> !echo abcdefghijklmnopqrstuvwxyz")
    shell.enter("", "^abcdefghijklmnopqrstuvwxyz$")


def clear_screen():
    shell = Shell()
    shell.type("half\x0c")
    shell.until("a clear screen", lambda: shell.screen.lines()[0] == "> half" and
                not any(shell.screen.lines()[1:]))


def message_while_typing():
    topic = topic_of("typing")
    shell = Shell("-c", nosec(topic))
    shell.sees("subscribed to")
    shell.type("!echo a line half typed" + LEFT * 5)
    shell.shows("> !echo a line half typed")
    publish(topic, b"first")
    shell.sees("^first$")
    shell.shows("> !echo a line half typed")
    shell.type("un")
    shell.shows("> !echo a line half untyped")
    publish(topic, b"second")
    shell.sees("^second$")
    shell.type(END + "!")
    shell.enter("", "^a line half untyped!$")


def log_line_while_typing():
    topic = topic_of("log")
    slave_conf = config("slave", pubtop=topic + "/b", subtop=topic + "/a", sts_mode="slave",
                        aes="ecb")
    shell = Shell("-c", slave_conf)
    shell.sees("waiting for a master")
    shell.type("!echo half" + LEFT)
    shell.shows("> !echo half")
    subprocess.Popen([STS, "-c", config("master", pubtop=topic + "/a", subtop=topic + "/b",
                                        sts_mode="master", aes="ecb"), "-s", "hello"]).wait(WAIT_S)
    shell.sees("session established")
    shell.sees("^hello$")
    shell.sees("the master ended the session")
    shell.shows("> !echo half")
    shell.never_saw(r"^> .*# sts:")
    shell.enter("", "^half$")


def start_status_stop():
    topic = topic_of("status")
    path = nosec(topic, username="user", password="verysecret", qos=2, clientid="pty")
    shell = Shell()
    shell.enter("status", "status: +OFFLINE")
    shell.enter("stop", "no session is running")
    shell.enter("send x", "send: no session is running")
    shell.enter("start", "start FILE")
    shell.enter("start /nonexistent/file", "cannot read /nonexistent/file")
    shell.enter(f"start '{path}'", "subscribed to")
    shell.enter(f"start {path}", "a session is running")
    shell.enter("send to myself", "^to myself$")
    shell.enter("status", r"# sts: \+=+\+$", 5)
    for name, value in (("status", "ONLINE"), ("state", "connected.*"),
                        ("mqtt version", r"4 \(3\.1\.1\)"), ("broker_ip", r"127\.0\.0\.1"),
                        ("broker_port", PORT), ("username", "user"), ("password", r"\*{8}"),
                        ("sub_topic", topic), ("pub_topic", topic), ("qos", "2"),
                        ("clean_session", "1"), ("client_id", "pty"), ("sts_mode", "nosec"),
                        ("msg sent", "1"), ("msg recv", "1"), ("dropped", "0")):
        shell.sees(rf"# sts: (\| )?{name}: +{value}$", 1)
    shell.never_saw("verysecret")
    shell.never_saw("ECDH")
    shell.enter("stop", "session stopped")
    shell.enter("status", "status: +OFFLINE", 2)
    shell.enter(f"start {path}", "subscribed to", 2)
    shell.type("exit\r")
    shell.ends()
    shell.sees("session stopped", 2)


def unknown_word_is_not_run():
    trace = os.path.join(SCRATCH.name, "trace")
    write_file("canary", f"#!/bin/sh\ntouch {trace}\n", 0o700)
    os.environ["PATH"] = SCRATCH.name + ":" + os.environ["PATH"]
    shell = Shell()
    shell.enter("canary", "unknown command: canary")
    shell.enter("startx y", "unknown command: startx")
    assert not os.path.exists(trace)
    shell.enter("!canary")
    shell.until("the program", lambda: os.path.exists(trace))


def programs():
    shell = Shell()
    shell.enter("!stty -a", r"(^| )icanon .* echo ")
    assert not shell.cooked()
    shell.enter("!printf abc", "^abc$")
    shell.enter("!printf '%s|' \"a  b\" c'd e'", r"^a  b\|cd e\|$")
    shell.enter("!", "the program is missing")
    shell.enter("!echo 'a", "a quote is not closed")
    shell.enter("!nonexistent-program", "cannot run nonexistent-program: No such file")
    shell.enter("!sh -c 'exit 3'", "sh ended with status 3")
    shell.type("!sh -c 'read x; echo got $x'\r")
    shell.until("cooked mode", shell.cooked)
    shell.type("typed\r")
    shell.sees("^got typed$")
    shell.prompt()


def interrupt_is_for_the_program():
    topic = topic_of("interrupt")
    shell = Shell("-c", nosec(topic))
    shell.sees("subscribed to")
    shell.type("!sh -c 'echo begun; exec sleep 1000'\r")
    shell.sees("^begun$")
    publish(topic, b"meanwhile")
    shell.sees("^meanwhile$")
    shell.type(CTRL_C)
    shell.sees("was ended by signal 2")
    shell.prompt()
    shell.enter("send still here", "^still here$")


def send_program():
    topic = topic_of("program")
    shell = Shell("-c", nosec(topic))
    shell.sees("subscribed to")
    shell.enter("send !echo 'a  reading'", "^a  reading$")
    shell.enter("send !false", "nothing was sent: false ended with status 1")
    shell.enter("send !true", "nothing was sent: true printed nothing")
    shell.enter("send !", "the program is missing")
    shell.enter("send !yes", "nothing was sent: yes printed more than 16384 bytes")
    shell.type("send !sleep 1000\r")
    shell.until("cooked mode", shell.cooked)
    shell.type(CTRL_C)
    shell.sees("nothing was sent: sleep was ended by signal 2")
    shell.prompt()
    shell.enter("status", r"msg sent: +1$")


def wrong_send():
    topic = topic_of("wrong")
    shell = Shell("-c", nosec(topic))
    shell.sees("subscribed to")
    shell.enter("sendenc x", "encryption is off: use 'send'")
    shell.enter("send", "the message is missing")
    shell.enter("stop", "session stopped")
    slave_conf = pair("cbc")[1]
    shell.enter(f"start {slave_conf}", "waiting for a master")
    shell.enter("send x", "encryption is on: use 'sendenc'")
    shell.enter("sendenc x", "nothing was sent: the session is not established")
    shell.enter("stop", "session stopped", 2)


def start_that_fails():
    shell = Shell("-c", "/nonexistent/file")
    shell.sees("cannot read /nonexistent/file")
    shell.enter(f"start {nosec(topic_of('fails'), port=1)}", "cannot connect")
    shell.enter("status", "OFFLINE")
    shell.type(CTRL_D)
    shell.ends()


def two_shells(cipher):
    slave, master = established(cipher)
    slave.sees(r"^are you there\?$")
    master.enter("sendenc from the master")
    slave.sees("^from the master$")
    slave.prompt()
    slave.enter("sendenc from the slave")
    master.sees("^from the slave$")
    master.enter("sendenc !echo printed")
    slave.sees("^printed$")
    master.enter("status", rf"encryption: +AES-{cipher}-256$")
    slave.enter("status", r"sts_mode: +slave$")
    ids = [[re.search(r"(id_master|id_slave): +(.{31})$", line).groups()
            for line in shell.screen.lines() if "id_master:" in line or "id_slave:" in line]
           for shell in (master, slave)]
    assert len(ids[0]) == 2 and ids[0] == ids[1], ids
    return slave, master


def two_shells_ecb():
    slave, master = two_shells("ecb")
    master.enter("stop", "session stopped")
    slave.sees("the master ended the session")
    slave.enter("status", "waiting for a master, ")
    master.type("exit\r")
    master.ends()
    slave.type(CTRL_C)
    slave.ends()


def two_shells_cbc():
    slave, master = two_shells("cbc")
    slave.enter("stop", "session stopped")
    master.sees("the slave ended the session")
    master.enter("status", "OFFLINE")


def leaving_kills(leave):
    slave, master = established("cbc")
    leave(master)
    slave.sees("the master ended the session")
    master.ends()
    master.sees("session stopped")


def ctrl_c():
    leaving_kills(lambda shell: shell.type("half typed" + CTRL_C))


def end_of_input():
    leaving_kills(lambda shell: shell.type(CTRL_D))


def exit_command():
    leaving_kills(lambda shell: shell.type("exit\r"))


def sigterm():
    leaving_kills(lambda shell: shell.process.send_signal(signal.SIGTERM))


def sighup():
    leaving_kills(lambda shell: shell.process.send_signal(signal.SIGHUP))


def sigterm_while_a_program_runs():
    shell = Shell("-c", nosec(topic_of("term")))
    shell.sees("subscribed to")
    shell.type("!sleep 1000\r")
    shell.until("cooked mode", shell.cooked)
    shell.process.send_signal(signal.SIGTERM)
    shell.ends()
    shell.until("the end of the program", lambda: not still_runs(shell.process.pid))


def still_runs(session):
    """Whether a process of this session is there, and not only waiting for its parent."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                state, _, _, its_session = file.read().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(its_session) == session and state != "Z":
            return True
    return False


def hostile_payload():
    topic = topic_of("hostile")
    shell = Shell("-c", nosec(topic))
    shell.sees("subscribed to")
    shell.type("half")
    shell.shows("> half")
    seen = len(shell.raw)
    publish(topic, b"a\033]0;title\007b\033[2Jc\rd\ne\x7ff\xc2\x9bg\x9bh\xffi\x00j\xe2\x82\xack")
    shell.sees(r"^a\?\]0;title\?b\?\[2Jc\?d\?e\?f\?\?g\?h\?i\?j\u20ack$")
    shell.shows("> half")
    raw = shell.raw[seen:]
    for control in (b"\033]", b"\007", b"\033[2J", b"\x7f", b"\xc2\x9b", b"\xff", b"\x00"):
        assert control not in raw, control


def hostile_payload_in_pieces():
    """A character never lies across two writes, where both would be shown as '?'."""
    topic = topic_of("pieces")
    shell = Shell("-c", nosec(topic), columns=2000)
    shell.sees("subscribed to")
    for lead in range(4):
        text = "x" * lead + "\U0001f600" * 400
        publish(topic, text.encode())
        shell.sees(f"^{text}$")


def payload_to_a_file():
    """Standard output is no terminal: payloads as they are, and the prompt on standard error."""
    topic = topic_of("file")
    path = os.path.join(SCRATCH.name, "payloads")
    with open(path, "wb") as file:
        shell = Shell("-c", nosec(topic), stdout=file)
    shell.sees("subscribed to")
    shell.type("half")
    shell.shows("> half")
    publish(topic, b"\033[2J\xff\x00")
    shell.until("the payload", lambda: open(path, "rb").read() == b"\033[2J\xff\x00\n")
    shell.shows("> half")
    shell.type(CTRL_C)
    shell.ends()


def main():
    try:
        globals()[sys.argv[1]]()
    except BaseException:
        for shell in SHELLS:
            print(f"---- the screen of {shell.process.args[1:]}", *shell.screen.lines(), "----",
                  sep="\n", file=sys.stderr)
        raise
    finally:
        for shell in SHELLS:
            if shell.process.poll() is None:
                shell.process.kill()
            shell.process.wait()
        SCRATCH.cleanup()


main()
