"""Programs that this bench starts, watched by process id to their end; what hangs is killed."""
import os
import select
import signal
import subprocess
import tempfile

BOUND_S = 60.0          # nothing here may take that long; what does, hangs


class Process:
    """A program; its standard error is kept."""

    def __init__(self, argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL):
        self.argv = argv
        self.err = tempfile.TemporaryFile()
        self.popen = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=self.err)
        self.pid = self.popen.pid
        self.pidfd = os.pidfd_open(self.pid)
        self.status = None

    def ended(self, seconds):
        """Whether it ends within that time. Any number of threads may ask."""
        if self.status is not None:
            return True
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(max(0, seconds) * 1000)) or self.status is not None

    def send(self, number):
        if self.status is None:
            try:
                signal.pidfd_send_signal(self.pidfd, number)
            except ProcessLookupError:
                pass

    def finish(self, bound_s=BOUND_S):
        """Waits for the end; returns (status, hung). What hangs is killed."""
        hung = not self.ended(bound_s)
        if hung:
            self.send(signal.SIGKILL)
        self.status = self.popen.wait()
        os.close(self.pidfd)
        if self.popen.stdout:
            self.popen.stdout.close()
        return self.status, hung

    def said(self, limit=2000):
        """The end of what it wrote to standard error."""
        size = self.err.seek(0, os.SEEK_END)
        self.err.seek(max(0, size - limit))
        return self.err.read().decode(errors="replace")

    def close(self):
        if self.status is None:
            self.send(signal.SIGKILL)
            self.finish()
        self.err.close()
