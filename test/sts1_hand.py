#!/usr/bin/python3
"""Speaks STS/1 by hand, and wrongly where no honest peer would; for test/sts1.bats.

    sts1_hand.py SCENE --port PORT --pub TOPIC --sub TOPIC

Exit status: 0 the other end did what it should, 1 it did not, 3 timeout.
"""
import argparse
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
import sts1_peer as sts1  # noqa: E402

ID_MASTER, ID_SLAVE = b"m" * sts1.ID_LEN, b"s" * sts1.ID_LEN
SILENCE_S = 0.5     # an answer through a local broker takes milliseconds


def wrong_ids(right):
    return (right[:-1] + b"?", b"?" + right[1:], right[:-1], right + b"x", b"",
            ID_MASTER if right == ID_SLAVE else ID_SLAVE)


def expect_silence(peer, after):
    payload = peer.receive("nothing", time.monotonic() + SILENCE_S)
    if payload is not None:
        raise sts1.ProtocolError(f"{after} got an answer: {sts1.clarify(payload)!r}")


def say_wrong_ids(peer, right):
    for wrong in wrong_ids(right):
        peer.say("AUTHREQ", wrong)
        expect_silence(peer, f"AUTHREQ with the id {wrong!r}")
    peer.say("AUTHREQ", right)
    peer.hear("AUTHACK")


def begin_as_master(peer):
    peer.say("INITREQ", ID_MASTER + ID_SLAVE)
    peer.hear("INITACK")


def begin_as_slave(peer):
    ids = peer.hear("INITREQ")
    peer.say("INITACK")
    peer.hear_id(ids[sts1.ID_LEN:])
    return ids


def wrong_id_master(peer):
    """The slave gives no answer to an id that is not its own, and goes on with the right one."""
    begin_as_master(peer)
    say_wrong_ids(peer, ID_SLAVE)
    peer.hear_id(ID_MASTER)


def wrong_id_slave(peer):
    """The master likewise; then it shows its key."""
    id_master = begin_as_slave(peer)[:sts1.ID_LEN]
    peer.say("AUTHACK")
    say_wrong_ids(peer, id_master)
    peer.hear("RDYREQ")


def wrong_steps_master(peer):
    """A message of another step, an acknowledgement with data, and nonsense change nothing."""
    def nonsense():
        for header in ("INITACK", "AUTHACK", "RDYACK", "RDYREQ", "ENC", "KILL", "NONE"):
            peer.say(header, b"" if header in ("ENC", "KILL", "NONE") else b"data")
        for payload in (b"", b"\0", b"no colon at all", bytes(range(256)), b":" * 1000):
            peer.publish(payload)
        expect_silence(peer, "nonsense")

    nonsense()
    begin_as_master(peer)
    nonsense()
    peer.say("AUTHREQ", ID_SLAVE)
    peer.hear("AUTHACK")
    peer.hear_id(ID_MASTER)
    nonsense()
    peer.say("AUTHACK")
    nonsense()
    peer.say("RDYREQ", b"X0Y0")
    peer.say("RDYREQ", b"X" + b"F" * 64 + b"Y" + b"F" * 64)
    peer.say("RDYREQ", b"X" + b"1" * 900 + b"Y1")
    expect_silence(peer, "a point that is not on the curve")
    private = sts1.ec.generate_private_key(sts1.CURVE)
    peer.say("RDYREQ", sts1.point_to_wire(private))
    peer.hear("RDYACK")
    secret = sts1.shared_secret(private, sts1.point_from_wire(peer.hear("RDYREQ")))
    peer.say("RDYACK")
    session = sts1.Session(secret, peer.args.aes)
    time.sleep(peer.args.guard)
    for text in (b"ENC:after all that", b"KILL:"):
        peer.publish(session.seal(text))


def stuck_slave(peer):
    """Answers the first two messages, and then no more."""
    begin_as_slave(peer)


SCENES = {name.replace("_", "-"): scene for name, scene in globals().items()
          if name in ("wrong_id_master", "wrong_id_slave", "wrong_steps_master", "stuck_slave")}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scene", choices=SCENES)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pub", required=True)
    parser.add_argument("--sub", required=True)
    parser.add_argument("--aes", default="cbc")
    parser.set_defaults(host="127.0.0.1", timeout=20.0, guard=1.5, trace=False)
    args = parser.parse_args()
    peer = None
    try:
        peer = sts1.Peer(args)
        SCENES[args.scene](peer)
        return 0
    except (sts1.Timeout, sts1.ProtocolError, OSError) as error:
        print(f"sts1_hand: {error}", file=sys.stderr)
        return 3 if isinstance(error, sts1.Timeout) else 1
    finally:
        if peer:
            peer.close()


if __name__ == "__main__":
    sys.exit(main())
