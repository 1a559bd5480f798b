"""The checks, in the order of the table. Each gets a World, and raises Expectation where the
broker, or sts with it, does not do what its name says. CHECKS: (name, function).
"""
import signal
import time

from brokers import PASSWORDS
from world import Expectation, Forgetful, LosesAcks, WAIT_S, expect, wait_for

CHECKS = []
LONGEST = 16384
MANY = 2000


def check(name):
    def take(function):
        CHECKS.append((name, function))
        return function
    return take


def numbered(word, count):
    return [f"{word} {number}" for number in range(1, count + 1)]


def text(lines):
    return "".join(line + "\n" for line in lines).encode()


def ends(world, receiver, topic, **pairs):
    """All that was published before has come out, and nothing else: `end` is behind it."""
    world.sts("-s", "end", pubtop=topic, **pairs)
    wait_for(lambda: "end" in receiver.lines(), lambda: "end: " + receiver.complaints()[-500:])
    return receiver.lines()[:-1]


# ---- in the clear ----


def nosec(world, version, qos):
    """-s, -l and -r, with a client that sees which QoS the broker makes of it."""
    pairs = {"mqtt_version": version, "qos": qos}
    receiver = world.receive("receiver", subtop=world.topic, **pairs)
    client = world.client()
    granted = client.subscribe(world.topic, qos)
    lines = numbered("line", 100)
    world.sts("-s", "one", pubtop=world.topic, **pairs)
    world.sts("-l", stdin=text(lines), pubtop=world.topic, **pairs)
    receiver.expect_lines(["one", *lines])
    expect(granted, qos, "QoS that the broker grants")
    expect({client.take().qos for _ in range(101)}, {qos}, "QoS that it delivers with")
    receiver.end()


for mqtt, version in (("3.1.1", 4), ("3.1", 3)):
    for qos in (0, 1, 2):
        check(f"in the clear, MQTT {mqtt}, QoS {qos}")(
            lambda world, version=version, qos=qos: nosec(world, version, qos))


@check("longest message, 16,384 bytes")
def longest(world):
    client = world.client()
    client.subscribe(world.topic, 1)
    message = bytes(ord("a") + at * 7 % 26 for at in range(LONGEST))
    world.sts("-s", "-", stdin=message, pubtop=world.topic)
    expect(client.take().payload, message, "what arrived")
    collector = world.collect()
    world.push("-s", "-", stdin=message)
    collector.expect_lines([message.decode()])


@check("wildcards + and #")
def wildcards(world):
    one = world.receive("one", subtop=world.topic + "/+/x")
    all_of_it = world.receive("all", subtop=world.topic + "/#")
    for place in ("/a/x", "/a/y", "/b/x", "/a/b/x", ""):
        world.sts("-s", "at" + place, pubtop=world.topic + place)
    expect(ends(world, one, world.topic + "/end/x"), ["at/a/x", "at/b/x"], "what + takes")
    all_of_it.expect_lines(["at/a/x", "at/a/y", "at/b/x", "at/a/b/x", "at", "end"])


# ---- who may do what ----


@check("name and password")
def password(world):
    world.sts("-s", "x", pubtop=world.topic)
    for wrong in ({"password": "wrong"}, {"username": "nobody"}):
        world.sts("-s", "x", pubtop=world.topic, status=77, **wrong)
    world.sts("-s", "x", pubtop=world.topic, user=None, status=77)


@check("a device publishes to its topic only")
def rights_publish(world):
    """What the sender is told is the broker's choice; nothing may arrive."""
    collector = world.collect()
    everything = world.client()
    everything.subscribe("plant/#", 1)
    for topic in ("plant/device2", "plant/other"):
        try:
            world.push("-s", "wrong", topic=topic)
        except Expectation:
            pass
    world.push("-s", "right")
    collector.expect_lines(["right"])
    expect(everything.take().topic, "plant/device1", "the topic of what came first")
    expect(everything.messages.qsize(), 0, "messages behind it")


@check("a device is told that it may not publish")
def rights_told(world):
    try:
        world.push("-s", "wrong", topic="plant/device2")
    except Expectation:
        return
    raise Expectation("exit status 0: acknowledged, and thrown away")


@check("a device hears nothing of the others")
def rights_subscribe(world):
    try:
        world.receive("spy", user="device1", subtop="plant/+")
    except Expectation:
        return
    collector = world.collect()
    world.push("-s", "one", device="device2")
    world.push("-s", "two", device="device2")
    collector.expect_lines(["one", "two"])
    world.opened[0].expect_lines([])


@check("a device is told that it may not subscribe")
def rights_subscribe_told(world):
    try:
        world.receive("spy", user="device1", subtop="plant/+")
    except Expectation as why:
        expect(world.opened[-1].process.wait(WAIT_S), 77, f"exit status\n{why}")
        return
    raise Expectation("granted, and nothing sent")


# ---- what the broker keeps ----


def kept_is(world, topic, expected):
    """What a new subscriber finds before anything else."""
    receiver = world.receive(f"late{len(world.opened)}", subtop=topic)
    expect(ends(world, receiver, world.topic + "/a"), expected, f"what {topic} finds")


@check("retain")
def retain(world):
    world.sts("-s", "before", pubtop=world.topic + "/a", retain=1)
    world.sts("-s", "last", pubtop=world.topic + "/a", retain=1)
    kept_is(world, world.topic + "/a", ["last"])
    world.sts("-s", "", pubtop=world.topic + "/a", retain=1)
    kept_is(world, world.topic + "/a", [])


@check("retain, found through a wildcard")
def retain_wildcard(world):
    world.sts("-s", "last", pubtop=world.topic + "/a", retain=1)
    kept_is(world, world.topic + "/+", ["last"])


@check("retain, over a restart of the broker")
def retain_restart(world):
    world.sts("-s", "last", pubtop=world.topic + "/a", retain=1)
    world.restart()
    kept_is(world, world.topic + "/a", ["last"])


@check("will")
def will(world):
    watcher = world.receive("watcher", subtop=world.topic)
    pairs = {"subtop": world.topic + "/none", "will_topic": world.topic, "will_qos": 1}
    dies = world.receive("dies", will_msg="it died", **pairs)
    ended = world.receive("ended", will_msg="not this one", **pairs)
    ended.end()
    dies.end(signal.SIGKILL)
    watcher.expect_lines(["it died"])
    expect(ends(world, watcher, world.topic), ["it died"], "wills")


@check("a session in the clear: what came while it was away")
def session_clear(world):
    pairs = {"subtop": world.topic, "clientid": "away", "clean_session": 0}
    world.receive("away", **pairs).end()
    lines = numbered("line", 20)
    world.sts("-l", stdin=text(lines), pubtop=world.topic)
    world.receive("away", **pairs).expect_lines(lines)
    world.sts("-s", "x", pubtop=world.topic, clientid="away")       # ends that session


# ---- pushes ----


@check("push and collect")
def push(world):
    collector = world.collect()
    world.push("-s", "one")
    world.push("-l", stdin=text(numbered("line", 50)))
    world.push("-s", "two", device="device2")
    collector.expect_lines(["one", *numbered("line", 50), "two"])
    expect(world.push("-s", "three"), "", "what a push says")
    collector.expect_lines(["one", *numbered("line", 50), "two", "three"])


@check("push and collect, MQTT 3.1")
def push_31(world):
    collector = world.collect(mqtt_version=3)
    world.push("-s", "one", mqtt_version=3)
    collector.expect_lines(["one"])


@check("push and collect, QoS 2 asked for")
def push_qos2(world):
    collector = world.collect(qos=2)
    world.push("-l", stdin=text(numbered("line", 50)), qos=2)
    collector.expect_lines(numbered("line", 50))


@check("pushes while the collector is away")
def away(world):
    world.collect().end()
    world.push("-s", "one")
    world.push("-l", stdin=text(numbered("line", 50)))
    collector = world.collect()
    collector.expect_lines(["one", *numbered("line", 50)])
    world.push("-s", "now")
    collector.expect_lines(["one", *numbered("line", 50), "now"])


@check("2,000 pushes while the collector is away")
def away_many(world):
    world.collect().end()
    world.push("-l", stdin=text(numbered("reading", MANY)))
    world.collect().expect_lines(numbered("reading", MANY))


@check("pushes kept over a restart of the broker")
def away_restart(world):
    world.collect().end()
    world.push("-l", stdin=text(numbered("reading", 50)))
    world.restart()
    world.collect().expect_lines(numbered("reading", 50))


@check("pushes kept over a crash of the broker")
def away_crash(world):
    world.collect().end()
    world.push("-l", stdin=text(numbered("reading", 50)))
    world.broker.kill()
    world.broker.start()
    world.collect().expect_lines(numbered("reading", 50))


@check("a collector goes on when the broker is back")
def restart(world):
    collector = world.collect()
    world.push("-s", "before")
    collector.expect_lines(["before"])
    world.broker.stop()
    wait_for(lambda: collector.says(r"\[WARN\]"), "a warning that the broker is gone")
    world.broker.start()
    wait_for(lambda: collector.complaints().count(" subscribed to ") >= 2,
             lambda: "subscribed again: " + collector.complaints()[-500:], 90)
    world.push("-s", "after")
    collector.expect_lines(["before", "after"])


@check("spool while the broker is down")
def spool(world):
    collector = world.collect()
    where = world.folder / "spool"
    world.broker.stop()
    world.push("-s", "one", spool=where, status=75)
    world.push("-l", stdin=text(["two", "three"]), spool=where, status=75, timeout=1)
    world.broker.start()
    wait_for(lambda: collector.complaints().count(" subscribed to ") >= 2,
             lambda: "subscribed again: " + collector.complaints()[-500:], 90)
    world.push("-s", "four", spool=where)
    collector.expect_lines(["one", "two", "three", "four"])
    expect(where.stat().st_size, 0, "size of the spool")


@check("a lost PUBACK: sent again, taken once")
def lost_ack(world):
    collector = world.collect()
    proxy = world.add(LosesAcks(world.broker))
    said = world.push("-v", "-l", stdin=text(numbered("line", 20)), port=proxy.port)
    expect(proxy.cut, 1, "PUBACKs that were lost\n" + said)
    collector.expect_lines(numbered("line", 20))


@check("not acknowledged: delivered again, with DUP")
def redelivered(world):
    world.collect().end()
    forgetful = world.add(Forgetful(world, "collector", world.id()))
    forgetful.subscribe("plant/+")
    world.push("-s", "one")
    dup, sealed = forgetful.published()
    expect(dup, 0, "DUP, the first time")
    forgetful.close()
    again = world.add(Forgetful(world, "collector", world.id()))
    dup, sealed_again = again.published()
    expect(sealed_again, sealed, "what came again")
    again.close()
    world.collect().expect_lines(["one"])
    expect(dup, 1, "DUP, the second time")


@check("the second client of an id takes the first one's place")
def takeover(world):
    world.collect().end()
    first = world.add(Forgetful(world, "collector", world.id()))
    collector = world.collect()
    world.push("-s", "one")
    collector.expect_lines(["one"])
    try:
        first.published()
    except Expectation:
        return
    raise Expectation("both are connected")


@check("a recorded push, sent again, is dropped")
def replay(world):
    collector = world.collect()
    client = world.client()
    client.subscribe("plant/+", 1)
    world.push("-s", "one")
    sealed = client.take().payload
    for topic in ("plant/device1", "plant/device2"):
        client.publish(topic, sealed)
    world.push("-s", "two")
    collector.expect_lines(["one", "two"])


@check("collectors that share a subscription")
def shared(world):
    """Each push to one of them; what they have taken is all there is."""
    collectors = [world.collect(name, clientid=world.id() + name, subtop="$share/group/plant/+",
                                clean_session=1, username="operator",
                                password=PASSWORDS["operator"]) for name in ("a", "b")]
    lines = numbered("line", 20)
    world.push("-l", stdin=text(lines))
    wait_for(lambda: sum(len(each.lines()) for each in collectors) >= 20, lambda: "20 pushes, but "
             f"{[len(each.lines()) for each in collectors]}", 5)
    taken = sum((each.lines() for each in collectors), [])
    expect(sorted(taken), sorted(lines), "what both have taken")
    if not all(each.lines() for each in collectors):
        raise Expectation("one of them got everything")


# ---- sessions ----


def converse(world, slave, master, lines):
    there = world.receive("slave", subtop=world.topic + "/m2s", pubtop=world.topic + "/s2m",
                          sts_mode="slave", **slave)
    world.sts("-l", stdin=text(lines), subtop=world.topic + "/s2m", pubtop=world.topic + "/m2s",
              sts_mode="master", **master)
    there.expect_lines(lines)


@check("session, STS/2")
def session_2(world):
    ends_of_it = {}
    for name, other in (("slave", "master"), ("master", "slave")):
        ends_of_it[name] = {"aes": "chachapoly", "key": world.folder / f"{name}.key",
                            "peer": world.key(other)}
    converse(world, ends_of_it["slave"], ends_of_it["master"], numbered("line", 100))


@check("session, STS/2, QoS 2")
def session_2_qos2(world):
    keys = {name: world.key(name) for name in ("slave", "master")}
    pairs = [{"aes": "chachapoly", "qos": 2, "key": world.folder / f"{name}.key",
              "peer": keys[other]} for name, other in (("slave", "master"), ("master", "slave"))]
    converse(world, *pairs, numbered("line", 100))


@check("session, STS/1")
def session_1(world):
    converse(world, {"aes": "cbc"}, {"aes": "cbc"}, numbered("line", 20))


@check("keepalive: an idle receiver stays")
def keepalive(world):
    receiver = world.receive("idle", subtop=world.topic, keepalive=1)
    time.sleep(5)                       # what takes time here is the silence itself
    world.sts("-s", "x", pubtop=world.topic)
    receiver.expect_lines(["x"])
    expect(receiver.complaints().count(" connected to "), 1, "connections")
