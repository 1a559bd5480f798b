"""The brokers: each is made from what doc/brokers.md says, on loopback, with folder and ports of
its own; its passwords are made anew each time.

What may be used of a Broker: name, version, port, start(), stop() (orderly), kill(), log(), and
PASSWORDS. A broker that was stopped starts again with what it kept on disk.
"""
import os
import pathlib
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test"))

from recipe import recipe               # noqa: E402

DOC = ROOT / "doc/brokers.md"
USERS = ("device1", "device2", "collector", "operator")
PASSWORDS = {user: secrets.token_hex(8) for user in USERS}
START_S = 120       # a BEAM on a machine that is busy
STOP_S = 60
ENV_PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


class BrokerError(Exception):
    pass


def free_port():
    """Below the range that the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(10000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def wait_until(condition, limit_s, what):
    until = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > until:
            raise BrokerError(f"waited {limit_s} s in vain: {what}")
        time.sleep(0.05)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


class Broker:
    """What they have in common. A broker says how it is made ready (once), and run."""
    name = None

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.port = free_port()
        self.process = None
        self.helpers = []
        self.version = None
        self.prepare()

    def prepare(self):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def started(self):
        """Once it takes connections, each time."""

    def write(self, name, text):
        file = self.folder / name
        file.write_text(text, encoding="utf-8")
        return file

    def recipe(self, name, *changes):
        return recipe(DOC, name, changes)

    def ask(self, *command):
        """What a program prints, both ways; its exit status has to be 0."""
        env = {**os.environ, "PATH": ENV_PATH, **self.environment()}
        result = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=False,
                                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                timeout=START_S)
        if result.returncode != 0:
            raise BrokerError(f"{' '.join(command)}: {result.stdout}")
        return result.stdout

    def package_version(self, package):
        return self.ask("dpkg-query", "-W", "-f", "${Version}", package).split("-")[0]

    def spawn(self, command, log):
        env = {**os.environ, "PATH": ENV_PATH, **self.environment()}
        with open(self.folder / log, "ab") as out:
            return subprocess.Popen(command, env=env, cwd=self.folder, stdin=subprocess.DEVNULL,
                                    stdout=out, stderr=out, start_new_session=True)

    def start(self):
        self.process = self.spawn(self.command(), "log")
        wait_until(lambda: answers(self.port) or not self.running(), START_S,
                   f"{self.name} to answer")
        if not self.running():
            raise BrokerError(f"{self.name} does not start:\n{self.log()[-3000:]}")
        self.started()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        self.end(signal.SIGTERM)

    def kill(self):
        self.end(signal.SIGKILL)

    def end(self, number):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise BrokerError(f"{self.name} does not end on SIGTERM") from None
        finally:
            self.end_group()
            self.process = None

    def end_group(self):
        """It, and what it started: a session of its own. A port that answers no more is free."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        wait_until(lambda: not answers(self.port), STOP_S, f"{self.name} to be gone")

    def close(self):
        """For good; nothing of it is left."""
        try:
            self.kill()
        finally:
            for helper in self.helpers:
                helper.kill()
                helper.wait()

    def log(self):
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")


class Mosquitto(Broker):
    name = "mosquitto"

    def prepare(self):
        passwords, acl = self.folder / "passwd", self.folder / "acl"
        passwords.touch(0o600)
        for user, password in PASSWORDS.items():
            self.ask("mosquitto_passwd", "-b", str(passwords), user, password)
        self.write("acl", self.recipe("/etc/mosquitto/acl"))
        acl.chmod(0o600)
        text = self.recipe("/etc/mosquitto/conf.d/sts.conf",
                           ("listener 1883", f"listener {self.port} 127.0.0.1"),
                           ("/etc/mosquitto/passwd", str(passwords)),
                           ("/etc/mosquitto/acl", str(acl)))
        # What Debian's mosquitto.conf says, and who runs it here.
        self.write("conf", text + f"persistence true\npersistence_location {self.folder}/\n"
                   f"user {self.ask('id', '-un').strip()}\nlog_dest stderr\nlog_type all\n")
        found = re.search(r"mosquitto version (\S+)", subprocess.run(
            ["mosquitto", "-h"], env={"PATH": ENV_PATH}, capture_output=True, text=True,
            check=False).stdout)
        self.version = found.group(1)

    def command(self):
        return ["mosquitto", "-c", str(self.folder / "conf")]


class RabbitMQ(Broker):
    name = "rabbitmq"
    epmd = dist = ctl = 0               # ports
    users_made, starts = False, 0
    BIN = "/usr/lib/rabbitmq/bin/"      # of its own; Debian's wrappers take root or rabbitmq only

    def prepare(self):
        self.epmd, self.dist, self.ctl = free_port(), free_port(), free_port()
        self.write("enabled_plugins", "[rabbitmq_mqtt].\n")
        self.write("rabbitmq.conf", self.recipe(
            "/etc/rabbitmq/rabbitmq.conf",
            ("mqtt.listeners.tcp.default = 1883", f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.port}")))
        self.version = self.package_version("rabbitmq-server")
        # Otherwise the node starts one for the whole machine, which stays.
        self.helpers.append(self.spawn(["epmd", "-address", "127.0.0.1", "-port", str(self.epmd)],
                                       "epmd.log"))
        wait_until(lambda: answers(self.epmd), START_S, "epmd to answer")

    def environment(self):
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        folder = str(self.folder)
        return {"HOME": folder, "ERL_EPMD_ADDRESS": "127.0.0.1",
                "ERL_EPMD_PORT": str(self.epmd),
                "RABBITMQ_NODENAME": "sts-test@localhost",
                "RABBITMQ_DIST_PORT": str(self.dist),
                "RABBITMQ_CTL_DIST_PORT_MIN": str(self.ctl),
                "RABBITMQ_CTL_DIST_PORT_MAX": str(self.ctl),
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": loopback,
                "RABBITMQ_CTL_ERL_ARGS": loopback,
                "RABBITMQ_CONFIG_FILE": folder + "/rabbitmq.conf",
                "RABBITMQ_CONF_ENV_FILE": folder + "/none",
                "RABBITMQ_ADVANCED_CONFIG_FILE": folder + "/none.config",
                "RABBITMQ_MNESIA_BASE": folder + "/mnesia", "RABBITMQ_LOGS": "-",
                "RABBITMQ_LOG_BASE": folder, "RABBITMQ_PID_FILE": folder + "/pid",
                "RABBITMQ_ENABLED_PLUGINS_FILE": folder + "/enabled_plugins"}

    def command(self):
        return [self.BIN + "rabbitmq-server"]

    def start(self):
        self.starts += 1
        super().start()

    def started(self):
        wait_until(lambda: self.log().count(" Server startup complete") == self.starts or
                   not self.running(), START_S, "rabbitmq to be there")
        if self.users_made:
            return
        passwords = "; ".join(f"PASSWORD_{user}={password}"
                              for user, password in PASSWORDS.items())
        script = self.recipe("rabbitmqctl", ("PASSWORD-$user", '$(eval echo "\\$PASSWORD_$user")'))
        self.ask("sh", "-ec", f"PATH={self.BIN}:$PATH; {passwords}\n{script}")
        self.users_made = True


class Ejabberd(Broker):
    name = "ejabberd"

    libraries = None

    def prepare(self):
        self.write("ejabberd.yml", self.recipe(
            "/etc/ejabberd/ejabberd.yml", ("port: 1883", f"port: {self.port}"),
            ('ip: "::"', 'ip: "127.0.0.1"')))
        (self.folder / "spool").mkdir()
        found = list(pathlib.Path("/usr/lib").glob("*/ejabberd-*/ebin/ejabberd.app"))
        if not found:
            raise BrokerError("ejabberd is not there: script/deps brokers installs it")
        self.libraries = found[0].parents[2]
        self.version = self.package_version("ejabberd")

    def environment(self):
        return {"HOME": str(self.folder), "ERL_LIBS": str(self.libraries),
                "EJABBERD_CONFIG_PATH": str(self.folder / "ejabberd.yml"),
                "EJABBERD_LOG_PATH": str(self.folder / "ejabberd.log"),
                "ERL_CRASH_DUMP": str(self.folder / "crash"), "ERL_MAX_PORTS": "4096"}

    def command(self):
        # As ejabberdctl does it, but without a node name: no epmd, no port but that of MQTT.
        users = ",".join(f'ejabberd_auth:try_register(<<"{user}">>,<<"localhost">>,'
                         f'<<"{password}">>)' for user, password in PASSWORDS.items())
        return ["erl", "-noinput", "+P", "250000", "-mnesia", "dir",
                f'"{self.folder}/spool"', "-s", "ejabberd", "-eval",
                f"application:ensure_all_started(ejabberd),{users},"
                'file:write_file("ready","").']

    def start(self):
        (self.folder / "ready").unlink(missing_ok=True)
        super().start()

    def started(self):
        wait_until((self.folder / "ready").exists, START_S, "ejabberd to make its users")

    def log(self):
        file = self.folder / "ejabberd.log"
        return super().log() + (file.read_text(errors="replace") if file.exists() else "")


class Aedes(Broker):
    name = "aedes"
    modules = None

    def prepare(self):
        found = sorted(ROOT.glob("deps/aedes-*/node_modules"))
        if not found:
            raise BrokerError("no deps/aedes-*: script/deps brokers fetches it")
        self.modules = found[-1]
        self.version = self.modules.parent.name.split("-")[1]
        self.write("broker.js", self.recipe("broker.js", ("1883", str(self.port))))
        self.write("users.json", "{" + ", ".join(f'"{user}": "{password}"' for user, password in
                                                 PASSWORDS.items()) + "}")

    def environment(self):
        return {"NODE_PATH": str(self.modules)}

    def command(self):
        return ["node", "broker.js"]


BROKERS = {cls.name: cls for cls in (Mosquitto, RabbitMQ, Ejabberd, Aedes)}
