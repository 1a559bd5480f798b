#!/usr/bin/python3
"""What test/sandbox.bats does to a running sts, beyond starting and stopping it.

    sandbox_break.py call NUMBER FILE REGEX COMMAND...

Runs the command as its tracer. When a line of FILE matches, the process is stopped, and its next
system call becomes this one, as if somebody had taken it over: registers are all that is changed.
Prints what became of it: "signal N", "status N" or "it goes on". The arguments of the call are -1
each, so that it does nothing where nobody forbids it.

    sandbox_break.py without ERRNO COMMAND...

Becomes the command, in a process for which the kernel refuses every seccomp filter with this errno.

Both are for x86-64.
"""
import ctypes
import errno
import os
import pathlib
import re
import signal
import struct
import sys
import time

WAIT_S = 60
TRACEME, CONT, GETREGS, SETREGS, SYSCALL, SETOPTIONS = 0, 7, 12, 13, 24, 0x4200
SYSGOOD, EXITKILL = 1, 0x100000
# struct user_regs_struct: 27 words
WORDS, ORIG_RAX = 27, 15
ARGUMENTS = (14, 13, 12, 7, 9, 8)       # rdi, rsi, rdx, r10, r8, r9

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=None):
    if libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def said(file, pattern):
    return re.search(pattern, pathlib.Path(file).read_text(errors="replace"), re.M)


def wait_stop(pid, wanted):
    """Lets it run until it stops with `wanted`; signals on the way are delivered."""
    while True:
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            raise SystemExit(f"it ended too early: {status:#x}")
        if os.WSTOPSIG(status) == wanted:
            return
        ptrace(SYSCALL, pid, os.WSTOPSIG(status))


def change_call(pid, number):
    ptrace(SYSCALL, pid)
    wait_stop(pid, signal.SIGTRAP | 0x80)   # at the entry of a call
    words = (ctypes.c_uint64 * WORDS)()
    ptrace(GETREGS, pid, ctypes.addressof(words))
    words[ORIG_RAX] = number
    for at in ARGUMENTS:
        words[at] = 2**64 - 1
    ptrace(SETREGS, pid, ctypes.addressof(words))


def became(pid):
    """Newer kernels leave the call, which is a stop, before the signal."""
    for _ in range(2):
        ptrace(SYSCALL, pid)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            return f"signal {os.WTERMSIG(status)}"
        if os.WIFEXITED(status):
            return f"status {os.WEXITSTATUS(status)}"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "it goes on"


def call(number, file, pattern, command):
    pid = os.fork()
    if pid == 0:
        ptrace(TRACEME, 0)
        os.execvp(command[0], command)
    os.waitpid(pid, 0)                      # stopped by its exec
    ptrace(SETOPTIONS, pid, SYSGOOD | EXITKILL)
    ptrace(CONT, pid)
    until = time.monotonic() + WAIT_S
    while not said(file, pattern):
        if time.monotonic() > until:
            raise SystemExit(f"waited {WAIT_S} s in vain for {pattern}")
        # Signals, of a child that ended for one, go through.
        done, status = os.waitpid(pid, os.WNOHANG)
        if done and not os.WIFSTOPPED(status):
            raise SystemExit(f"it ended too early: {status:#x}")
        if done:
            ptrace(CONT, pid, os.WSTOPSIG(status))
        time.sleep(0.01)
    os.kill(pid, signal.SIGSTOP)
    wait_stop(pid, signal.SIGSTOP)
    change_call(pid, number)
    print(became(pid))


def without(error, command):
    load_nr, load_first, give = (0x20, 0, 0, 0), (0x20, 0, 0, 16), (0x06, 0, 0)
    allow, refuse = (*give, 0x7fff0000), (*give, 0x00050000 | error)
    program = b"".join(struct.pack("HBBI", *one) for one in (
        load_nr, (0x15, 3, 0, 317), (0x15, 0, 3, 157), load_first, (0x15, 0, 1, 22), refuse, allow))
    code = ctypes.create_string_buffer(program)
    head = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    libc.prctl(38, 1, 0, 0, 0)              # PR_SET_NO_NEW_PRIVS
    if libc.prctl(22, 2, head, 0, 0) != 0:  # PR_SET_SECCOMP
        raise SystemExit("this kernel has no seccomp")
    os.execvp(command[0], command)


if sys.argv[1] == "call":
    call(int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
else:
    without(getattr(errno, sys.argv[2]), sys.argv[3:])
