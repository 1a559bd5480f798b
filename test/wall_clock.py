#!/usr/bin/python3
"""Runs a program whose wall clock is wrong.

    wall_clock.py FILE PROGRAM ARGUMENT...

FILE holds the seconds that are added to the time; it is read again each time that the program asks.
No other clock is changed. The program is traced: its C library gets to see no vDSO, so that it asks
the kernel for the time, and the answer is changed. Ends as the program does: with its status, or
128 and the signal's number. 99: this cannot be done here (it takes ptrace and x86-64).
"""
import ctypes
import os
import platform
import signal
import struct
import sys

TRACEME, GETREGS, SYSCALL, SETOPTIONS = 0, 12, 24, 0x4200
TRACESYSGOOD, EXITKILL = 1, 1 << 20
AT_IGNORE, AT_SYSINFO_EHDR = 1, 33
CLOCK_GETTIME, CLOCK_REALTIME, CLOCK_REALTIME_COARSE = 228, 0, 5
SYSCALL_STOP = signal.SIGTRAP | 0x80
RSI, RDI, ORIG_RAX, RSP = 13, 14, 15, 19        # places in struct user_regs_struct
REGISTERS = 27

ptrace_c = ctypes.CDLL(None, use_errno=True).ptrace
ptrace_c.restype = ctypes.c_long
ptrace_c.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, pid, data=0):
    if ptrace_c(request, pid, 0, data) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def registers(pid):
    values = (ctypes.c_ulonglong * REGISTERS)()
    ptrace(GETREGS, pid, ctypes.addressof(values))
    return values


def hide_vdso(memory, stack):
    """Walks over argc, the arguments and the environment to the auxiliary vector."""
    def word(index):
        return struct.unpack("Q", os.pread(memory, 8, stack + 8 * index))[0]

    at = 1 + word(0) + 1
    while word(at) != 0:
        at += 1
    at += 1
    while word(at) not in (0, AT_SYSINFO_EHDR):
        at += 2
    if word(at) == AT_SYSINFO_EHDR:
        os.pwrite(memory, struct.pack("Q", AT_IGNORE), stack + 8 * at)


def shift(memory, address, offset_file):
    with open(offset_file) as file:
        offset = int(file.read() or 0)
    seconds, nanoseconds = struct.unpack("qq", os.pread(memory, 16, address))
    os.pwrite(memory, struct.pack("qq", seconds + offset, nanoseconds), address)


def follow(pid, offset_file):
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    hide_vdso(memory, registers(pid)[RSP])
    ptrace(SETOPTIONS, pid, TRACESYSGOOD | EXITKILL)
    entered, deliver = False, 0
    while True:
        ptrace(SYSCALL, pid, deliver)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        deliver = os.WSTOPSIG(status)
        if deliver != SYSCALL_STOP:
            continue
        deliver, entered = 0, not entered
        values = registers(pid)
        if not entered and values[ORIG_RAX] == CLOCK_GETTIME and \
                values[RDI] in (CLOCK_REALTIME, CLOCK_REALTIME_COARSE):
            shift(memory, values[RSI], offset_file)


def main():
    offset_file, *command = sys.argv[1:]
    if platform.machine() != "x86_64":
        sys.exit(99)
    pid = os.fork()
    if pid == 0:
        try:
            ptrace(TRACEME, 0)
            os.execvp(command[0], command)
        except OSError as error:
            print(f"{command[0]}: {error}", file=sys.stderr)
        os._exit(99)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    _, status = os.waitpid(pid, 0)
    if not os.WIFSTOPPED(status):       # it was not to be traced, or is not there
        sys.exit(99)
    code = follow(pid, offset_file)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
