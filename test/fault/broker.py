"""A mosquitto of our own, with persistence."""
import os
import random
import shutil
import signal
import socket
import time

from process import BOUND_S, Process

CONFIG = """\
listener {port} {host}
allow_anonymous true
user {user}
persistence true
persistence_location {folder}/
autosave_interval 3600
max_queued_messages 0
sys_interval 0
log_dest file {folder}/log
log_type error
log_type warning
log_type notice
log_type information
log_type subscribe
"""


class Broker:
    """`prefix`: words before the command, as nsenter and its arguments."""

    def __init__(self, folder, host="127.0.0.1", prefix=()):
        self.folder, self.host, self.prefix = folder, host, list(prefix)
        self.program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
        self.process, self.port, self.saved = None, 0, 0.0
        os.mkdir(folder)
        for _ in range(50):
            # Below the range that the kernel gives to outgoing connections.
            self.port = random.SystemRandom().randrange(10000, 30000)
            self.configure()
            if self.start():
                return
        raise RuntimeError("no broker: " + self.process.said())

    def configure(self):
        with open(f"{self.folder}/conf", "w", encoding="ascii") as conf:
            conf.write(CONFIG.format(port=self.port, host=self.host, folder=self.folder,
                                     user="root" if os.geteuid() == 0 else "nobody"))

    def log(self):
        try:
            with open(f"{self.folder}/log", encoding="utf-8", errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def start(self):
        """Runs it (again); false: the port is not free."""
        runs = self.log().count(" running")
        self.process = Process(self.prefix + [self.program, "-c", f"{self.folder}/conf"])
        until = time.monotonic() + BOUND_S
        while time.monotonic() < until:
            if self.log().count(" running") > runs:
                return True
            if self.process.ended(0.02):
                self.process.finish()
                return False
        return False

    def wait_for_log(self, text, count=1):
        until = time.monotonic() + BOUND_S
        while self.log().count(text) < count and time.monotonic() < until:
            time.sleep(0.02)
        return self.log().count(text) >= count

    def stop(self):
        """Orderly: it saves all that it has acknowledged."""
        self.process.send(signal.SIGTERM)
        self.process.finish()
        self.process.close()

    def kill(self):
        """What it took since it saved last is lost. Returns when it did that."""
        self.process.send(signal.SIGKILL)
        self.process.finish()
        self.process.close()
        return self.saved

    def save(self):
        """Has it write all it has to its database, and returns when that is done."""
        database = f"{self.folder}/mosquitto.db"
        before = self.stamp(database)
        began = time.monotonic()
        self.process.send(signal.SIGUSR1)
        until = began + BOUND_S
        while self.stamp(database) == before and time.monotonic() < until:
            time.sleep(0.01)
        self.saved = began

    @staticmethod
    def stamp(path):
        try:
            status = os.stat(path)
            return status.st_ino, status.st_mtime_ns
        except FileNotFoundError:
            return None

    def serves(self):
        try:
            socket.create_connection((self.host, self.port), 5).close()
            return True
        except OSError:
            return False

    def close(self):
        if self.process:
            self.process.close()
