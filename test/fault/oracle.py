"""What was sent, what came out, and whether that is what was promised.

A reading is the text "NAME NUMBER": the name of its sender (a key of its own), and a number that no
other reading of that sender has. Promised are the readings of a run that ended with 0, and those of
a run with a spool that ended with 75, once a later run with that spool ended with 0. A promised
reading is there exactly once, and behind every promised one of its sender whose run was over before
its own began. Any other may be there once or not at all: nothing was said, or a refusal that may
have come too late.

Nothing of this knows processes, brokers or files.
"""
import bisect
import collections
import dataclasses
import json

EX_OK, EX_TEMPFAIL = 0, 75
DOCUMENTED = frozenset((0, 64, 65, 66, 68, 69, 70, 71, 73, 74, 75, 76, 77, 78))
# Readings that a collector can have written without having noted their ids: it writes 4,096 bytes
# at a time, and a line of -j has more than 64.
GROUP_MAX = 4096 // 64
SHOWN_MAX = 5           # of each kind of violation


@dataclasses.dataclass
class Run:
    """One run of a sender."""
    sender: str
    numbers: list           # what it was given, in order
    start: float
    end: float = 0.0
    status: int = 0         # negative: the signal that ended it
    spool: bool = False
    killed: bool = False    # we did that, with SIGKILL
    stopped: bool = False   # we asked it to end, perhaps before it had read everything
    allowed: frozenset = DOCUMENTED
    hung: bool = False      # it did not come to its end
    err: str = ""
    argv: str = ""
    promised: float = 0.0   # when the last promise was made; 0: none

    def history(self):
        numbers = ",".join(map(str, self.numbers[:3])) + ("..." if len(self.numbers) > 3 else "")
        return (f"{self.start:.3f}-{self.end:.3f} {self.sender} {numbers} ({len(self.numbers)}): "
                f"status {self.status}" + " spool" * self.spool + " killed" * self.killed +
                " stopped" * self.stopped + " hung" * self.hung)


@dataclasses.dataclass
class Output:
    """What one run of a collector wrote, or what all of them appended to one file."""
    lines: list             # bytes, the last one perhaps without its end
    killed: bool = False    # with SIGKILL: the last group may be repeated by the next one
    exact: bool = False     # `out = FILE`


@dataclasses.dataclass
class Verdict:
    readings: int = 0
    runs: int = 0
    statuses: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    promised: int = 0
    delivered: int = 0
    repeated: int = 0       # by a collector that was killed on a pipe: allowed
    excused: int = 0        # the broker was killed with them in its memory alone
    lost: int = 0
    duplicated: int = 0
    swapped: int = 0
    foreign: int = 0
    other: int = 0          # hung, crashed, a status that was not expected, a broken line
    complaints: list = dataclasses.field(default_factory=list)
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def complain(self, kind, text):
        setattr(self, kind, getattr(self, kind) + 1)
        self.counts[kind] += 1
        if self.counts[kind] <= SHOWN_MAX:
            self.complaints.append(f"{kind}: {text}")

    def good(self):
        return not (self.lost or self.duplicated or self.swapped or self.foreign or self.other)


class Oracle:
    """`holes`: spans of time in which the broker took what it lost afterwards."""

    def __init__(self, runs, outputs, holes=()):
        self.runs, self.outputs, self.holes = sorted(runs, key=lambda r: r.start), outputs, holes
        self.verdict = Verdict()
        self.run_of = {(run.sender, number): run for run in runs for number in run.numbers}
        self.ids = {}                                   # reading: its id in the output
        self.seen = collections.defaultdict(list)       # sender: its numbers, as they came, once

    def judge(self):
        verdict = self.verdict
        verdict.readings, verdict.runs = len(self.run_of), len(self.runs)
        for run in self.runs:
            self.judge_run(run)
        self.promise()
        self.read_outputs()
        self.find_lost()
        for sender, numbers in self.seen.items():
            self.find_swapped(sender, numbers)
        verdict.delivered = sum(map(len, self.seen.values()))
        return verdict

    # ---- runs ----

    def judge_run(self, run):
        if run.hung:
            self.verdict.complain("other", f"hung: {run.history()}\n{run.argv}\n{run.err}")
            return
        # A program that has just begun has not yet learned what to do with SIGTERM.
        if run.killed and run.status == -9 or run.stopped and run.status == -15:
            self.verdict.statuses["killed"] += 1
            return
        self.verdict.statuses[run.status] += 1
        if run.status < 0 or run.status not in run.allowed or run.status not in DOCUMENTED:
            self.verdict.complain("other", f"unexpected status: {run.history()}\n{run.argv}\n"
                                           f"{run.err}")

    def promise(self):
        good = collections.defaultdict(list)            # sender: (start, end) of good runs
        for run in self.runs:
            if run.status == EX_OK and run.spool:
                good[run.sender].append((run.start, run.end))
        for run in self.runs:
            if run.status == EX_OK:
                run.promised = run.end
            elif run.status == EX_TEMPFAIL and run.spool and (not run.stopped or
                                                              len(run.numbers) == 1):
                later = good[run.sender][bisect.bisect_right(good[run.sender], (run.end,)):]
                run.promised = min((end for _, end in later), default=0.0)
            if run.promised:
                self.verdict.promised += len(run.numbers)

    def is_excused(self, run):
        return any(run.start < end and run.promised > start for start, end in self.holes)

    # ---- output ----

    def read_outputs(self):
        repeating = False       # the run of the collector before this one was killed on a pipe
        for output in self.outputs:
            fresh = self.read_output(output, repeating)
            # A run that wrote nothing new has noted nothing new either.
            repeating = (output.killed or repeating and not fresh) and not output.exact

    def read_output(self, output, repeating):
        fresh = False
        expected = {}           # sender: index in seen of what it may repeat next
        before = {sender: len(numbers) for sender, numbers in self.seen.items()}
        for index, line in enumerate(output.lines):
            if not line.endswith(b"\n") and output.killed and index == len(output.lines) - 1:
                continue        # a reader of the pipe sees that the end of this line is missing
            reading, number_id = self.parse(line)
            if reading is None:
                continue
            sender, number = reading
            if reading not in self.ids:
                self.ids[reading] = number_id
                self.seen[sender].append(number)
                fresh = True
            elif repeating and self.may_repeat(reading, number_id, expected, before):
                self.verdict.repeated += 1
            else:
                self.verdict.complain("duplicated", f"{sender} {number}, id {number_id}, first id "
                                                    f"{self.ids[reading]}: "
                                                    f"{self.run_of[reading].history()}")
        self.check_whole_group(expected, before)
        return fresh

    def may_repeat(self, reading, number_id, expected, before):
        """The last group, from some reading on, in its order and with the same ids."""
        sender, number = reading
        numbers = self.seen[sender][:before.get(sender, 0)]
        at = expected.get(sender)
        if at is None:
            at = max(0, len(numbers) - GROUP_MAX)
            if number not in numbers[at:]:
                return False
            at = numbers.index(number, at)
        if at >= len(numbers) or numbers[at] != number or self.ids[reading] != number_id:
            return False
        expected[sender] = at + 1
        return True

    def check_whole_group(self, expected, before):
        """What is new comes behind all of the group that is repeated."""
        for sender, at in expected.items():
            if len(self.seen[sender]) > before[sender] and at < before[sender]:
                self.verdict.complain("swapped", f"{sender}: new readings in the middle of "
                                                 f"repeated ones, at {self.seen[sender][at]}")

    def parse(self, line):
        try:
            item = json.loads(line)
            sender, number = item["payload"].split(" ")[:2]
            reading = (sender, int(number))
            if reading not in self.run_of or item["peer"] != sender:
                raise ValueError
            if not line.endswith(b"\n"):
                raise ValueError
            return reading, item["id"]
        except (ValueError, KeyError, AttributeError, TypeError):
            self.verdict.complain("foreign", f"nobody sent this line: {line[:300]!r}")
            return None, 0

    # ---- what was promised ----

    def find_lost(self):
        for (sender, number), run in self.run_of.items():
            if not run.promised or (sender, number) in self.ids:
                continue
            if self.is_excused(run):
                self.verdict.excused += 1
            else:
                self.verdict.complain("lost", f"{sender} {number}: {run.history()}\n{run.argv}\n"
                                              f"{run.err}{self.after(run)}")

    def after(self, run):
        later = [r for r in self.runs if r.sender == run.sender and r.start > run.start]
        return "".join(f"  then {r.history()}\n" for r in later[:4])

    def find_swapped(self, sender, numbers):
        """Within a run in the order it was given; between runs only where one was over before."""
        last = {}               # run: index in it of the last reading seen
        latest = None           # of the runs seen so far, the one that began last
        for number in numbers:
            run = self.run_of[(sender, number)]
            if not run.promised or self.is_excused(run):
                continue
            if number < last.get(id(run), -1):
                self.verdict.complain("swapped", f"{sender} {number} came after "
                                                 f"{last[id(run)]}: {run.history()}")
            if latest is not None and run.end < latest.start:
                self.verdict.complain("swapped", f"{sender} {number}: {run.history()} came after "
                                                 f"one of {latest.history()}")
            last[id(run)] = max(number, last.get(id(run), -1))
            if latest is None or run.start > latest.start:
                latest = run
