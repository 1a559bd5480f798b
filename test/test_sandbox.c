/* test_sandbox.c - the filters: what each lets pass, number by number, in an interpreter of its own
 * (so on every architecture, under an emulator, too); and what the kernel makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sandbox.h"

#if STS_SANDBOX

#include <asm/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox_private.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#if defined __x86_64__
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined __i386__
#define OWN_ARCH AUDIT_ARCH_I386
#elif defined __aarch64__
#define OWN_ARCH AUDIT_ARCH_AARCH64
#elif defined __arm__
#define OWN_ARCH AUDIT_ARCH_ARM
#elif defined __mips__
#define OWN_ARCH AUDIT_ARCH_MIPSEL
#elif defined __s390x__
#define OWN_ARCH AUDIT_ARCH_S390X
#endif

static const uint32_t archs[] = {AUDIT_ARCH_X86_64,   AUDIT_ARCH_I386,
                                 AUDIT_ARCH_AARCH64,  AUDIT_ARCH_ARM,
                                 AUDIT_ARCH_ARMEB,    AUDIT_ARCH_MIPS,
                                 AUDIT_ARCH_MIPSEL,   AUDIT_ARCH_MIPS64,
                                 AUDIT_ARCH_MIPSEL64, AUDIT_ARCH_S390,
                                 AUDIT_ARCH_S390X,    AUDIT_ARCH_RISCV64,
                                 AUDIT_ARCH_PPC64LE,  0};

#ifdef __NR_Linux
#define FIRST __NR_Linux
#else
#define FIRST 0
#endif
#define NUMBERS 700 /* more than any architecture has */

enum { ALLOW = SECCOMP_RET_ALLOW };
static const uint32_t kill_process = SECCOMP_RET_KILL_PROCESS;

static const enum sandbox modes[] = {SANDBOX_PLAIN, SANDBOX_SENDER, SANDBOX_COLLECTOR,
                                     SANDBOX_RESOLVER};

/* ---- what each has to let pass ---- */

static const long everybody[] = {
    __NR_read,
    __NR_write,
    __NR_close,
    __NR_connect,
    __NR_ppoll,
    __NR_clock_gettime,
    __NR_getrandom,
    __NR_exit_group,
    __NR_restart_syscall,
#ifdef __NR_poll
    __NR_poll,
#endif
#ifdef __NR_clock_gettime64
    __NR_clock_gettime64,
#endif
};

static const long with_files[] = {
    __NR_pread64,     __NR_pwrite64, __NR_fdatasync, __NR_ftruncate, __NR_fstat,
#ifdef __NR_fstat64
    __NR_fstat64,
#endif
#ifdef __NR_ftruncate64
    __NR_ftruncate64,
#endif
#if defined __i386__ || defined __arm__ || defined __mips__
    __NR_statx,
#endif
};

static const long with_locks[] = {
    __NR_flock,
    __NR_fcntl,
#ifdef __NR_fcntl64
    __NR_fcntl64,
#endif
};

static const long brokers[] = {__NR_sendmsg, __NR_getsockopt, __NR_setsockopt};

static const long resolver[] = {__NR_openat, __NR_sendto, __NR_recvfrom};

static const long not_shell[] = {
    __NR_ptrace,
    __NR_process_vm_readv,
    __NR_process_vm_writev,
    __NR_init_module,
    __NR_finit_module,
    __NR_delete_module,
    __NR_kexec_load,
    __NR_bpf,
    __NR_perf_event_open,
    __NR_userfaultfd,
    __NR_open_by_handle_at,
    __NR_mount,
    __NR_umount2,
    __NR_pivot_root,
    __NR_setns,
    __NR_swapon,
    __NR_swapoff,
    __NR_add_key,
    __NR_request_key,
    __NR_keyctl,
    __NR_open_tree,
    __NR_move_mount,
    __NR_fsopen,
    __NR_fsconfig,
    __NR_fsmount,
#ifdef __NR_kexec_file_load
    __NR_kexec_file_load,
#endif
#ifdef __NR_iopl
    __NR_iopl,
    __NR_ioperm,
#endif
};

static bool among(long number, const long *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == number)
            return true;
    return false;
}

static bool may(enum sandbox who, long number)
{
    const bool files = who == SANDBOX_SENDER || who == SANDBOX_COLLECTOR;

    if (who == SANDBOX_SHELL)
        return !among(number, not_shell, COUNT(not_shell));
    return among(number, everybody, COUNT(everybody)) ||
           (who != SANDBOX_RESOLVER && among(number, brokers, COUNT(brokers))) ||
           (files && among(number, with_files, COUNT(with_files))) ||
           (who == SANDBOX_SENDER && among(number, with_locks, COUNT(with_locks))) ||
           (who == SANDBOX_RESOLVER && among(number, resolver, COUNT(resolver)));
}

/* ---- the interpreter ---- */

static struct sock_filter code[SANDBOX_CODE_MAX + 1];
static size_t code_len;

static void make(enum sandbox who, bool socketcall)
{
    memset(code, 0xee, sizeof code);
    code_len = sandbox_make(code, who, socketcall);
    assert_in_range(code_len, 10, SANDBOX_CODE_MAX);
    assert_int_equal(code[SANDBOX_CODE_MAX].code, 0xeeee);
}

/* seccomp(2): what the filter says about a call. */
static uint32_t run(const struct seccomp_data *data)
{
    uint32_t a = 0;

    for (size_t at = 0; at < code_len; at++) {
        const struct sock_filter *one = &code[at];
        switch (one->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_in_range(one->k, 0, sizeof *data - sizeof a);
            assert_int_equal(one->k % 4, 0);
            memcpy(&a, (const uint8_t *)data + one->k, sizeof a);
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            at += a == one->k ? one->jt : one->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            at += a >= one->k ? one->jt : one->jf;
            break;
        case BPF_RET | BPF_K:
            return one->k;
        default:
            fail_msg("instruction %zu is %#x", at, one->code);
        }
    }
    fail_msg("it has no end");
    return 0;
}

static uint32_t verdict(uint32_t arch, long number, uint64_t first, uint64_t second)
{
    const struct seccomp_data data = {
        .arch = arch, .nr = (int)number, .args = {first, second, 77, 77, 77, 77}};

    return run(&data);
}

/* ---- the filters by themselves ---- */

static void each_number_has_its_verdict(void **state)
{
    static const enum sandbox all[] = {SANDBOX_PLAIN, SANDBOX_SENDER, SANDBOX_COLLECTOR,
                                       SANDBOX_RESOLVER, SANDBOX_SHELL};

    (void)state;
    for (size_t i = 0; i < COUNT(all); i++) {
        make(all[i], false);
        for (long number = FIRST; number < FIRST + NUMBERS; number++)
            if (verdict(OWN_ARCH, number, 77, 77) != (may(all[i], number) ? ALLOW : kill_process))
                fail_msg("%#x: call %ld", (unsigned)all[i], number);
        for (long number = 0; number < FIRST; number++)
            assert_int_equal(verdict(OWN_ARCH, number, 77, 77),
                             all[i] == SANDBOX_SHELL ? ALLOW : kill_process);
        assert_int_equal(verdict(OWN_ARCH, -1, 77, 77), ALLOW);
    }
}

/* The most harmful ones by name, whatever the tables above say. */
static void what_harms_is_in_no_list_of_a_mode(void **state)
{
    static const long harm[] = {
        __NR_execve,       __NR_execveat,
        __NR_clone,        __NR_kill,
        __NR_tkill,        __NR_tgkill,
        __NR_ptrace,       __NR_mprotect,
        __NR_munmap,       __NR_mremap,
        __NR_brk,          __NR_prctl,
        __NR_setuid,       __NR_unlinkat,
        __NR_renameat2,    __NR_ioctl,
        __NR_socketpair,   __NR_accept4,
        __NR_listen,       __NR_dup3,
        __NR_memfd_create, __NR_process_vm_writev,
        __NR_bpf,          __NR_io_uring_setup,
        __NR_seccomp,
#ifdef __NR_mmap
        __NR_mmap,
#endif
#ifdef __NR_mmap2
        __NR_mmap2,
#endif
#ifdef __NR_fork
        __NR_fork,         __NR_unlink,
        __NR_creat,        __NR_rename,
#endif
    };

    (void)state;
    for (size_t i = 0; i < COUNT(modes); i++) {
        make(modes[i], false);
        for (size_t j = 0; j < COUNT(harm); j++)
            assert_int_equal(verdict(OWN_ARCH, harm[j], 0, 0), kill_process);
        if (modes[i] != SANDBOX_RESOLVER)
            assert_int_equal(verdict(OWN_ARCH, __NR_openat, 0, 0), kill_process);
    }
}

static void another_architecture_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(archs); i++)
        for (long number = FIRST; archs[i] != OWN_ARCH && number < FIRST + NUMBERS; number++) {
            for (size_t j = 0; j < COUNT(modes); j++) {
                make(modes[j], false);
                assert_int_equal(verdict(archs[i], number, AF_INET, SOCK_STREAM), kill_process);
            }
            make(SANDBOX_SHELL, false);
            assert_int_equal(verdict(archs[i], number, 0, 0), ALLOW);
        }
}

static void x32_is_refused(void **state)
{
#ifdef __x86_64__
    const long x32 = 0x40000000;

    for (long number = 0; number < NUMBERS; number++) {
        for (size_t j = 0; j < COUNT(modes); j++) {
            make(modes[j], false);
            assert_int_equal(verdict(OWN_ARCH, x32 | number, AF_INET, SOCK_STREAM), kill_process);
        }
        make(SANDBOX_SHELL, false);
        assert_int_equal(verdict(OWN_ARCH, x32 | number, 0, 0), kill_process);
    }
#endif
    (void)state;
}

static void sockets_are_of_the_internet(void **state)
{
    const int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, 0};

    (void)state;
    for (size_t i = 0; i < COUNT(modes); i++) {
        const int its = modes[i] == SANDBOX_RESOLVER ? SOCK_DGRAM : SOCK_STREAM;
        const uint64_t whole = (uint64_t)(its | flags);
        make(modes[i], false);
        for (uint64_t domain = 0; domain < 64; domain++) {
            const bool internet = domain == AF_INET || domain == AF_INET6;
            for (size_t j = 0; j < COUNT(types); j++) {
                assert_int_equal(
                    verdict(OWN_ARCH, __NR_socket, domain, (uint64_t)(types[j] | flags)),
                    internet && types[j] == its ? ALLOW : kill_process);
                assert_int_equal(verdict(OWN_ARCH, __NR_socket, domain, (uint64_t)types[j]),
                                 kill_process);
            }
        }
        /* An int has 32 bits, whatever stands above them in the register. */
        assert_int_equal(verdict(OWN_ARCH, __NR_socket, UINT64_C(0x700000000) | AF_UNIX, whole),
                         kill_process);
        assert_int_equal(verdict(OWN_ARCH, __NR_socket, UINT64_C(0x700000000) | AF_INET, whole),
                         ALLOW);
    }
}

static void old_sockets_only_where_there_are_no_others(void **state)
{
    (void)state;
#ifdef __NR_socketcall
    for (size_t i = 0; i < COUNT(modes); i++) {
        make(modes[i], true);
        assert_int_equal(verdict(OWN_ARCH, __NR_socketcall, 1, 0), ALLOW);
        assert_int_equal(verdict(OWN_ARCH, __NR_execve, 1, 0), kill_process);
        make(modes[i], false);
        assert_int_equal(verdict(OWN_ARCH, __NR_socketcall, 1, 0), kill_process);
    }
#endif
}

/* ---- the kernel's view ---- */

#define NO_SECCOMP 77

/* Not _exit, nor anything that does not return: the address sanitizer makes other calls before. */
static void leave(int status)
{
    (void)syscall(__NR_exit_group, (long)status);
}

/* In a child: enters, then makes the call. Returns what waitpid says. */
static int die_of(enum sandbox who, long number)
{
    const pid_t child = fork();
    int status;

    if (child == 0) {
        const int error = sandbox_enter(who);
        if (error != 0)
            leave(error == EINVAL || error == ENOSYS ? NO_SECCOMP : 1);
        (void)syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
        leave(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static bool kernel_has_none(void)
{
    const int status = die_of(SANDBOX_PLAIN, __NR_read);

    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SECCOMP)
        return true;
    assert_int_equal(status, 0);
    return false;
}

static void a_forbidden_call_kills(void **state)
{
    static const struct {
        enum sandbox who;
        long number;
    } cases[] = {
        {SANDBOX_PLAIN, __NR_execve},      {SANDBOX_PLAIN, __NR_openat},
        {SANDBOX_PLAIN, __NR_clone},       {SANDBOX_PLAIN, __NR_mprotect},
        {SANDBOX_PLAIN, __NR_kill},        {SANDBOX_PLAIN, __NR_ptrace},
        {SANDBOX_PLAIN, __NR_pwrite64},    {SANDBOX_PLAIN, __NR_flock},
        {SANDBOX_PLAIN, __NR_socket},      {SANDBOX_PLAIN, __NR_prctl},
        {SANDBOX_SENDER, __NR_execve},     {SANDBOX_SENDER, __NR_openat},
        {SANDBOX_SENDER, __NR_clone},      {SANDBOX_SENDER, __NR_mprotect},
        {SANDBOX_SENDER, __NR_socket},     {SANDBOX_SENDER, __NR_unlinkat},
        {SANDBOX_COLLECTOR, __NR_execve},  {SANDBOX_COLLECTOR, __NR_openat},
        {SANDBOX_COLLECTOR, __NR_clone},   {SANDBOX_COLLECTOR, __NR_flock},
        {SANDBOX_COLLECTOR, __NR_socket},  {SANDBOX_COLLECTOR, __NR_mprotect},
        {SANDBOX_RESOLVER, __NR_execve},   {SANDBOX_RESOLVER, __NR_clone},
        {SANDBOX_RESOLVER, __NR_pwrite64}, {SANDBOX_RESOLVER, __NR_kill},
        {SANDBOX_RESOLVER, __NR_socket},   {SANDBOX_RESOLVER, __NR_unlinkat},
        {SANDBOX_SHELL, __NR_ptrace},      {SANDBOX_SHELL, __NR_mount},
        {SANDBOX_SHELL, __NR_bpf},         {SANDBOX_SHELL, __NR_init_module},
        {SANDBOX_SHELL, __NR_kexec_load},  {SANDBOX_SHELL, __NR_process_vm_writev},
    };

    (void)state;
    if (kernel_has_none())
        skip();
    for (size_t i = 0; i < COUNT(cases); i++) {
        const int status = die_of(cases[i].who, cases[i].number);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("%#x, call %ld: wait status %#x", (unsigned)cases[i].who, cases[i].number,
                     (unsigned)status);
    }
}

static void an_allowed_call_does_not(void **state)
{
    static const enum sandbox all[] = {SANDBOX_PLAIN, SANDBOX_SENDER, SANDBOX_COLLECTOR,
                                       SANDBOX_RESOLVER, SANDBOX_SHELL};

    (void)state;
    if (kernel_has_none())
        skip();
    for (size_t i = 0; i < COUNT(all); i++)
        for (long number = FIRST; number < FIRST + NUMBERS; number++) {
            /* exit_group(-1) ends with another status, and the shell has too many. */
            if (!may(all[i], number) || number == __NR_exit_group || all[i] == SANDBOX_SHELL)
                continue;
            const int status = die_of(all[i], number);
            if (status != 0)
                fail_msg("%#x, call %ld: wait status %#x", (unsigned)all[i], number,
                         (unsigned)status);
        }
}

static void the_shell_runs_programs_which_inherit_it(void **state)
{
    int status;

    (void)state;
    if (kernel_has_none())
        skip();
    const pid_t child = fork();
    if (child == 0) {
        if (sandbox_enter(SANDBOX_SHELL) != 0)
            leave(1);
        execl("/bin/sh", "sh", "-c",
              "grep -q '^NoNewPrivs:.*1$' /proc/self/status && "
              "grep -q '^Seccomp:.*2$' /proc/self/status",
              (char *)NULL);
        leave(2);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Stopped in the middle of a poll with a time limit, it goes on by restart_syscall. */
static void a_stop_does_not_end_it(void **state)
{
    int status;

    (void)state;
    if (kernel_has_none())
        skip();
    const pid_t child = fork();
    if (child == 0) {
        if (sandbox_enter(SANDBOX_PLAIN) != 0)
            leave(1);
        leave(poll(NULL, 0, 300) == 0 ? 0 : 2);
    }
    for (int i = 0; i < 5; i++) {
        (void)poll(NULL, 0, 20);
        (void)kill(child, SIGSTOP);
        (void)poll(NULL, 0, 5);
        (void)kill(child, SIGCONT);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_number_has_its_verdict),
        cmocka_unit_test(what_harms_is_in_no_list_of_a_mode),
        cmocka_unit_test(another_architecture_is_refused),
        cmocka_unit_test(x32_is_refused),
        cmocka_unit_test(sockets_are_of_the_internet),
        cmocka_unit_test(old_sockets_only_where_there_are_no_others),
        cmocka_unit_test(a_forbidden_call_kills),
        cmocka_unit_test(an_allowed_call_does_not),
        cmocka_unit_test(the_shell_runs_programs_which_inherit_it),
        cmocka_unit_test(a_stop_does_not_end_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void it_is_left_out(void **state)
{
    (void)state;
    assert_int_equal(sandbox_enter(SANDBOX_PLAIN), SANDBOX_LEFT_OUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_left_out)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
