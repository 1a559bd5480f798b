"""A TCP proxy between sts and a broker that does to MQTT what networks do to it.

Each connection follows a Plan: one that passes everything on, or one with a fault at a byte or at a
packet of either direction: cut the connection (RST or FIN), stall (for a while, or for ever), wait,
come in small pieces. Everything runs in one thread with a selector.
"""
import collections
import dataclasses
import selectors
import socket
import struct
import threading
import time

UP, DOWN = "up", "down"         # to the broker, from the broker
KINDS = {"CONNECT": 1, "CONNACK": 2, "PUBLISH": 3, "PUBACK": 4, "PUBREC": 5, "PUBREL": 6,
         "PUBCOMP": 7, "SUBSCRIBE": 8, "SUBACK": 9, "PINGREQ": 12, "PINGRESP": 13, "DISCONNECT": 14}
PENDING_MAX = 65536             # bytes that wait in one direction before the sender has to
FOR_EVER = float("inf")


@dataclasses.dataclass
class Plan:
    """What happens to one connection. The fault comes `where` in the packet, when one is named."""
    fault: str = ""             # "", "cut", "stall", "refuse" (reset as soon as it is accepted)
    direction: str = UP
    at_byte: int = -1           # of that direction; -1: `packet` says it
    packet: str = ""            # a name of KINDS
    count: int = 1              # the first packet of that kind, the second ...
    where: str = "before"       # "before", "inside", "after"
    reset: bool = True          # cut with RST; else with FIN
    both: bool = False          # stall the other direction, too
    stall_s: float = FOR_EVER
    delay_s: float = 0.0        # of every piece that passes
    piece: int = 0              # bytes that pass at a time; 0: all there are


class Packets:
    """Finds where packets begin and end in a stream of bytes."""

    def __init__(self):
        self.start = self.seen = self.end = 0
        self.header = bytearray()

    def feed(self, data):
        """Yields (kind, start, end) of each packet whose header is complete now."""
        at = 0
        while at < len(data):
            if self.seen < self.end:
                step = min(self.end - self.seen, len(data) - at)
                at, self.seen = at + step, self.seen + step
                continue
            if not self.header:
                self.start = self.seen
            self.header.append(data[at])
            at, self.seen = at + 1, self.seen + 1
            if len(self.header) > 1 and not self.header[-1] & 0x80:
                length = sum((byte & 0x7f) << 7 * i for i, byte in enumerate(self.header[1:]))
                kind, self.end = self.header[0] >> 4, self.seen + length
                self.header.clear()
                yield kind, self.start, self.end


class Flow:
    """One direction of a connection."""

    def __init__(self, link, source, target, direction):
        self.link, self.source, self.target, self.direction = link, source, target, direction
        self.pending, self.passed = bytearray(), 0
        self.packets, self.matches = Packets(), 0
        self.next_s = 0.0               # nothing passes before
        self.eof = self.shut = False
        plan = link.plan
        mine = plan.fault in ("cut", "stall") and plan.direction == direction
        self.fault_at = plan.at_byte if mine and plan.at_byte >= 0 else None
        self.watched = KINDS[plan.packet] if mine and plan.packet else 0

    def take(self, data):
        plan = self.link.plan
        for kind, start, end in self.packets.feed(data):
            if kind != self.watched:
                continue
            self.matches += 1
            if self.matches == plan.count:
                self.fault_at = {"before": start, "after": end,
                                 "inside": (start + end + 1) // 2}[plan.where]
        if plan.delay_s and not self.pending:
            self.next_s = max(self.next_s, time.monotonic() + plan.delay_s)
        self.pending += data

    def due(self):
        return self.fault_at is not None and self.passed >= self.fault_at

    def room(self):
        """How many bytes may pass now."""
        size = len(self.pending)
        if self.link.plan.piece:
            size = min(size, self.link.plan.piece)
        if self.fault_at is not None:
            size = min(size, max(0, self.fault_at - self.passed))
        return size


class Link:
    """A connection and the one to the broker behind it."""

    def __init__(self, plan, client, broker):
        self.plan, self.client, self.broker = plan, client, broker
        self.up = Flow(self, client, broker, UP)
        self.down = Flow(self, broker, client, DOWN)
        self.flows = (self.up, self.down)


def close(sock, reset):
    try:
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    except OSError:
        pass


class Proxy:
    """Listens on `port` of `host` until close(). `planner(n)` gives the plan of connection n."""

    def __init__(self, target, planner, host="127.0.0.1"):
        self.target, self.planner, self.host = target, planner, host
        self.listener = socket.create_server((host, 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.connections = 0
        self.faults = collections.Counter()     # kind: how often it was done
        self.calm = False                       # from now on every plan is a clean one
        self.refuse_until = 0.0
        self.links, self.selector = [], selectors.DefaultSelector()
        self.jobs, self.stopped = collections.deque(), False
        self.bell_in, self.bell_out = socket.socketpair()
        self.selector.register(self.bell_out, selectors.EVENT_READ, None)
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    # ---- from other threads ----

    def do(self, job):
        done = threading.Event()
        self.jobs.append((job, done))
        self.bell_in.send(b"!")
        done.wait(30)

    def refuse(self, seconds):
        """Nobody gets through for a while: connections are reset, those that are there are cut."""
        def job():
            self.refuse_until = time.monotonic() + seconds
            self.faults["refuse"] += 1
            self.drop_all()
        self.do(job)

    def cut(self):
        """Cuts every connection that there is; says how many."""
        count = len(self.links)
        self.do(self.drop_all)
        return count

    def be_calm(self):
        """No fault from now on, and what is stalled is dropped."""
        def job():
            self.calm, self.refuse_until = True, 0.0
            self.drop_all()
        self.do(job)

    def close(self):
        self.stopped = True
        self.bell_in.send(b"!")
        self.thread.join(30)

    # ---- the thread ----

    def run(self):
        while not self.stopped:
            for key, _ in self.selector.select(self.wait_s()):
                if key.fileobj is self.bell_out:
                    self.bell_out.recv(4096)
                elif key.fileobj is self.listener:
                    self.accept()
                elif key.data.link in self.links:
                    self.read(key.data)
            while self.jobs:
                job, done = self.jobs.popleft()
                job()
                done.set()
            for link in list(self.links):
                self.move(link)
        self.drop_all()
        for sock in (self.listener, self.bell_in, self.bell_out):
            sock.close()
        self.selector.close()

    def wait_s(self):
        times = [flow.next_s for link in self.links for flow in link.flows
                 if flow.pending or flow.due() or flow.eof and not flow.shut]
        times = [at for at in times if at != FOR_EVER]
        return max(0.0005, min(times) - time.monotonic()) if times else None

    def accept(self):
        try:
            client = self.listener.accept()[0]
        except OSError:
            return
        plan = Plan() if self.calm else self.planner(self.connections)
        self.connections += 1
        if plan.fault == "refuse" or time.monotonic() < self.refuse_until:
            self.faults["refuse"] += 1
            close(client, True)
            return
        try:
            broker = socket.create_connection(self.target, 5)
        except OSError:
            close(client, True)
            return
        if plan.delay_s or plan.piece:
            self.faults["bent"] += 1
        link = Link(plan, client, broker)
        for flow in link.flows:
            flow.source.setblocking(False)
            flow.source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(flow.source, selectors.EVENT_READ, flow)
        self.links.append(link)

    def read(self, flow):
        try:
            data = flow.source.recv(16384)
        except BlockingIOError:
            return
        except OSError:
            self.drop(flow.link, True)
            return
        if not data:
            flow.eof = True
            self.selector.unregister(flow.source)
            return
        flow.take(data)
        if len(flow.pending) >= PENDING_MAX:
            self.selector.unregister(flow.source)

    def move(self, link):
        for flow in link.flows:
            if link in self.links:
                self.forward(flow)
        if link not in self.links:
            return
        # Who has closed waits for nothing any more, when what he sent is through or never will be.
        up, down = link.flows
        if all(f.eof and not f.pending for f in link.flows) or (up.eof and (
                up.next_s == FOR_EVER or down.next_s == FOR_EVER)):
            self.drop(link, False)

    def forward(self, flow):
        link, now = flow.link, time.monotonic()
        while link in self.links and now >= flow.next_s:
            if flow.due():
                self.strike(flow, now)
                continue
            size = flow.room()
            if size == 0:
                break
            try:
                sent = flow.target.send(flow.pending[:size])
            except BlockingIOError:
                flow.next_s = now + 0.005
                break
            except OSError:
                self.drop(link, True)
                return
            del flow.pending[:sent]
            flow.passed += sent
            self.listen(flow)
            if link.plan.piece or link.plan.delay_s:
                flow.next_s = now + max(0.0005, link.plan.delay_s)
        if link in self.links and flow.eof and not flow.pending and not flow.shut:
            flow.shut = True
            try:
                flow.target.shutdown(socket.SHUT_WR)
            except OSError:
                self.drop(link, True)

    def listen(self, flow):
        """Goes on reading where the buffer was full."""
        if not flow.eof and flow.source not in self.selector.get_map():
            if len(flow.pending) < PENDING_MAX:
                self.selector.register(flow.source, selectors.EVENT_READ, flow)

    def strike(self, flow, now):
        link = flow.link
        flow.fault_at = None
        self.faults[link.plan.fault] += 1
        if link.plan.fault == "cut":
            self.drop(link, link.plan.reset)
            return
        for stalled in link.flows if link.plan.both else (flow,):
            stalled.next_s = now + link.plan.stall_s

    def drop(self, link, reset):
        self.links.remove(link)
        for flow in link.flows:
            if flow.source in self.selector.get_map():
                self.selector.unregister(flow.source)
            close(flow.source, reset)

    def drop_all(self):
        for link in list(self.links):
            self.drop(link, True)


# ---- plans ----

SPOTS = (
    (UP, "CONNECT"), (DOWN, "CONNACK"), (UP, "PUBLISH"), (DOWN, "PUBACK"),
)
SPOTS_QOS2 = SPOTS[:3] + ((DOWN, "PUBREC"), (UP, "PUBREL"), (DOWN, "PUBCOMP"))
SPOTS_RECEIVE = ((UP, "CONNECT"), (DOWN, "CONNACK"), (UP, "SUBSCRIBE"), (DOWN, "SUBACK"),
                 (DOWN, "PUBLISH"), (UP, "PUBACK"))
SPOTS_RECEIVE_QOS2 = SPOTS_RECEIVE[:5] + ((UP, "PUBREC"), (DOWN, "PUBREL"), (UP, "PUBCOMP"))


def draw_plan(rng, spots, bytes_max=400, count_max=1, stall=(0.1, 0.3, 1.5, FOR_EVER),
              weights=(9, 3, 1)):
    """A plan with a fault in it. `weights`: of cut, stall, refuse."""
    plan = Plan(fault=rng.choices(("cut", "stall", "refuse"), weights)[0])
    if rng.random() < 0.3:
        plan.direction, plan.at_byte = rng.choice((UP, DOWN)), rng.randrange(bytes_max)
        if plan.direction == DOWN:
            plan.at_byte = rng.randrange(max(9, bytes_max // 20))
    else:
        plan.direction, plan.packet = rng.choice(spots)
        plan.where = rng.choice(("before", "inside", "after"))
        if plan.packet not in ("CONNECT", "CONNACK", "SUBSCRIBE", "SUBACK"):
            plan.count = rng.randint(1, count_max)
    plan.reset, plan.both = rng.random() < 0.5, rng.random() < 0.5
    plan.stall_s = rng.choice(stall)
    bend(rng, plan)
    return plan


def bend(rng, plan):
    """Sometimes small pieces, sometimes delays, mostly neither."""
    bent = rng.random()
    if bent < 0.2:
        plan.piece = rng.randint(1, 40)
    elif bent < 0.35:
        plan.delay_s = rng.uniform(0.001, 0.03)
    return plan
