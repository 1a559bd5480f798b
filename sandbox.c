/* sandbox.c - see sandbox.h. */
#include "sandbox.h"

#include <string.h>

#if STS_SANDBOX

#include <asm/unistd.h>
#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox_private.h"

/* The interface to the kernel that this program is made for, of those that the kernel has: each has
 * numbers of its own. */
#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined __i386__
#define ARCHITECTURE AUDIT_ARCH_I386
#elif defined __aarch64__ && defined __AARCH64EL__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined __arm__ && defined __ARMEL__
#define ARCHITECTURE AUDIT_ARCH_ARM
#elif defined __arm__
#define ARCHITECTURE AUDIT_ARCH_ARMEB
#elif defined __mips__ && _MIPS_SIM == _ABIO32 && defined __MIPSEL__
#define ARCHITECTURE AUDIT_ARCH_MIPSEL
#elif defined __mips__ && _MIPS_SIM == _ABIO32
#define ARCHITECTURE AUDIT_ARCH_MIPS
#elif defined __s390x__
#define ARCHITECTURE AUDIT_ARCH_S390X
#elif defined __riscv && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#else
#error "sandbox.c does not know what this architecture is to seccomp: add it, or make SANDBOX=0"
#endif

/* ---- the system calls ---- */

#define P SANDBOX_PLAIN
#define S SANDBOX_SENDER
#define C SANDBOX_COLLECTOR
#define R SANDBOX_RESOLVER
#define SH SANDBOX_SHELL

#ifdef __mips__
#define FIRST __NR_Linux
#else
#define FIRST 0
#endif
#define NUMBER_MASK 0x07ff

#define CALL(name, who) (uint16_t)((__NR_##name - FIRST) | (who))

/* What a mode may call; of the shell, what it may not. With what musl falls back on where a kernel
 * is too old for the call of its choice. Most frequent ones first. */
static const uint16_t calls[] = {
    CALL(read, P | S | C | R),
    CALL(write, P | S | C | R),
#ifdef __NR_poll
    CALL(poll, P | S | C | R),
#endif
    CALL(ppoll, P | S | C | R),
    CALL(sendmsg, P | S | C),
    /* Most kernels tell the time without a call. */
    CALL(clock_gettime, P | S | C | R),
#ifdef __NR_clock_gettime64
    CALL(clock_gettime64, P | S | C | R),
#endif
    CALL(getrandom, P | S | C | R),
    CALL(close, P | S | C | R),
    CALL(connect, P | S | C | R),
    CALL(getsockopt, P | S | C),
    CALL(setsockopt, P | S | C),
    CALL(exit_group, P | S | C | R),
    /* By which the kernel goes on with a poll that a stop (SIGSTOP, Ctrl-Z) interrupted. */
    CALL(restart_syscall, P | S | C | R),

    CALL(pread64, S | C),
    CALL(pwrite64, S | C),
    CALL(fdatasync, S | C),
    CALL(fstat, S | C),
#ifdef __NR_fstat64
    CALL(fstat64, S | C),
#endif
/* fstat is made of it where time_t has 64 bits and registers 32. */
#if defined __NR_statx && __SIZEOF_LONG__ == 4
    CALL(statx, S | C),
#endif
    CALL(ftruncate, S | C),
#ifdef __NR_ftruncate64
    CALL(ftruncate64, S | C),
#endif
    CALL(flock, S),
    CALL(fcntl, S),
#ifdef __NR_fcntl64
    CALL(fcntl64, S),
#endif

    CALL(openat, R),
    CALL(sendto, R),
    CALL(recvfrom, R),

    CALL(ptrace, SH),
    CALL(process_vm_readv, SH),
    CALL(process_vm_writev, SH),
    CALL(init_module, SH),
    CALL(finit_module, SH),
    CALL(delete_module, SH),
    CALL(kexec_load, SH),
#ifdef __NR_kexec_file_load
    CALL(kexec_file_load, SH),
#endif
    CALL(bpf, SH),
    CALL(perf_event_open, SH),
    CALL(userfaultfd, SH),
    CALL(open_by_handle_at, SH),
    CALL(mount, SH),
    CALL(umount2, SH),
    CALL(pivot_root, SH),
    CALL(setns, SH),
    CALL(swapon, SH),
    CALL(swapoff, SH),
    CALL(add_key, SH),
    CALL(request_key, SH),
    CALL(keyctl, SH),
#ifdef __NR_iopl
    CALL(iopl, SH),
    CALL(ioperm, SH),
#endif
#ifdef __NR_move_mount
    CALL(open_tree, SH),
    CALL(move_mount, SH),
    CALL(fsopen, SH),
    CALL(fsconfig, SH),
    CALL(fsmount, SH),
#endif
};

/* ---- the filter ---- */

/* A kernel that does not know KILL_PROCESS (before 4.14) takes it for KILL: the same, for there is
 * one thread. */
#define KILL SECCOMP_RET_KILL_PROCESS
#define ALLOW SECCOMP_RET_ALLOW

/* Of an argument that is an int, the half that has it. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define INT_OFFSET 4
#else
#define INT_OFFSET 0
#endif

#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(offset))
#define LOAD_ARGUMENT(n) LOAD(offsetof(struct seccomp_data, args) + 8 * (size_t)(n) + INT_OFFSET)
#define IF_EQUAL(value, then, otherwise) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), then, otherwise)
#define GIVE(verdict) BPF_STMT(BPF_RET | BPF_K, verdict)

static struct sock_filter *put_case(struct sock_filter *at, uint32_t number, uint32_t verdict)
{
    const struct sock_filter one[] = {IF_EQUAL(number, 0, 1), GIVE(verdict)};

    memcpy(at, one, sizeof one);
    return at + 2;
}

/* What all begin with. */
static const struct sock_filter head[] = {
    LOAD(offsetof(struct seccomp_data, arch)),
    IF_EQUAL(ARCHITECTURE, 1, 0),
#define HEAD_OTHER_ARCHITECTURE 2
    GIVE(KILL),
    LOAD(offsetof(struct seccomp_data, nr)),
    /* What a tracer makes of a call that it wants to fail, as the tests do; it is none. */
    IF_EQUAL(-1, 0, 1),
    GIVE(ALLOW),
#ifdef __x86_64__
    /* x32: the same architecture with other numbers. */
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
    GIVE(KILL),
#endif
};

/* What all but the shell's end with: a socket of IPv4 or IPv6, and of TCP as client_connect.c makes
 * it, or UDP as lookup.c does; nothing else. */
static const struct sock_filter tail[] = {
    IF_EQUAL(__NR_socket, 0, 6),
    LOAD_ARGUMENT(0),
    IF_EQUAL(AF_INET, 1, 0),
    IF_EQUAL(AF_INET6, 0, 3),
    LOAD_ARGUMENT(1),
#define TAIL_TYPE 5
    IF_EQUAL(SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, 1),
    GIVE(ALLOW),
    GIVE(KILL),
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static_assert(COUNT(head) + 2 * (COUNT(calls) + 1) + COUNT(tail) <= SANDBOX_CODE_MAX,
              "any filter fits");

size_t sandbox_make(struct sock_filter code[SANDBOX_CODE_MAX], enum sandbox who, bool socketcall)
{
    const bool shell = who == SANDBOX_SHELL;
    struct sock_filter *at = code + COUNT(head);

    memcpy(code, head, sizeof head);
    if (shell)
        code[HEAD_OTHER_ARCHITECTURE].k = ALLOW;
    for (size_t i = 0; i < COUNT(calls); i++)
        if (calls[i] & who)
            at = put_case(at, FIRST + (calls[i] & NUMBER_MASK), shell ? KILL : ALLOW);
#ifdef __NR_socketcall
    if (socketcall)
        at = put_case(at, __NR_socketcall, ALLOW);
#else
    (void)socketcall;
#endif
    memcpy(at, tail, sizeof tail);
    if (shell)
        at[0] = (struct sock_filter)GIVE(ALLOW);
    if (who == SANDBOX_RESOLVER)
        at[TAIL_TYPE].k = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    return (size_t)(at - code) + COUNT(tail);
}

/* Only there socketcall, the arguments of which no filter can see, is left. */
static bool needs_socketcall(void)
{
#if defined __NR_socketcall && !defined __mips__
    return syscall(__NR_socket, -1, 0, 0) < 0 && errno == ENOSYS;
#else
    return false;
#endif
}

int sandbox_enter(enum sandbox who)
{
    struct sock_filter code[SANDBOX_CODE_MAX];
    const struct sock_fprog program = {
        .len = (unsigned short)sandbox_make(code, who, needs_socketcall()),
        .filter = code,
    };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
        return errno;
    return 0;
}

#else

int sandbox_enter(enum sandbox who)
{
    (void)who;
    return SANDBOX_LEFT_OUT;
}

#endif

void sandbox_say(struct log *log, int result, bool on_too)
{
    if (result > 0)
        log_info(log, "no sandbox: the kernel takes no seccomp filter: %s", strerror(result));
    else if (on_too)
        log_info(log, "sandbox: %s", result == 0 ? "on" : "not in this build");
}
