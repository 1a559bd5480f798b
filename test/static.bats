# static.bats - what the binary is: static, position independent, hardened, without a heap, small.
# shellcheck disable=SC2030,SC2031,SC2153,SC2317

load lib

DEBUG=${DEBUG:-$ROOT/build/sts.debug}

teardown() {
    stop_all
}

@test "a static PIE: no interpreter, no library, no text relocation, stripped" {
    readelf -hW "$STS" >"$(scratch)/head"
    expect_match "$(scratch)/head" 'Type: +DYN'
    readelf -lW "$STS" >"$(scratch)/segments"
    expect_no_match "$(scratch)/segments" 'INTERP'
    readelf -dW "$STS" >"$(scratch)/dynamic"
    expect_match "$(scratch)/dynamic" '\(FLAGS_1\).*PIE'
    expect_no_match "$(scratch)/dynamic" 'NEEDED|RPATH|RUNPATH|TEXTREL'
    expect_equal "$(nm "$STS" 2>/dev/null | wc -l)" 0
}

@test "hardened: nothing writable is executable, no executable stack, RELRO, BIND_NOW" {
    readelf -lW "$STS" >"$(scratch)/segments"
    expect_match "$(scratch)/segments" '^ +LOAD .* R E '
    expect_no_match "$(scratch)/segments" '^ .* (RWE|WE|W E) '
    expect_match "$(scratch)/segments" '^ +GNU_STACK .* RW '
    expect_match "$(scratch)/segments" '^ +GNU_RELRO '
    readelf -dW "$STS" >"$(scratch)/dynamic"
    expect_match "$(scratch)/dynamic" 'BIND_NOW|\(FLAGS_1\).*NOW'
}

@test "what only relocation writes is read-only at work: all of RELRO is made so" {
    local start size page
    read -r start size < <(readelf -lW "$STS" | awk '$1 == "GNU_RELRO" { print $3, $6 }')
    page=$(getconf PAGESIZE)
    # The linker ends it with a page, so that none of it is left over.
    expect_equal $(((start + size) % page)) 0
    start_broker
    recv_start relro -o subtop=t
    grep 'sts$' "/proc/$BG/maps" >"$(scratch)/maps"
    expect_match "$(scratch)/maps" ' r--p '
    expect_no_match "$(scratch)/maps" ' [r-]wxp '
    read -r from to < <(awk '$2 == "r--p" { split($1, at, "-"); print at[1], at[2] }' "$(scratch)/maps")
    read -r base _ < <(awk '{ split($1, at, "-"); print at[1]; exit }' "$(scratch)/maps")
    expect_equal $((16#$from - 16#$base)) $((start / page * page))
    expect_equal $((16#$to - 16#$base)) $((start + size))
}

# -fstack-protector alone guards half as many: only functions with an array of 8 bytes and more.
@test "the stack protector is in it, the strong one: most functions that have an array or an address" {
    nm "$DEBUG" >"$(scratch)/symbols"
    expect_match "$(scratch)/symbols" ' __stack_chk_fail$'
    expect_within "$(objdump -d "$DEBUG" | grep -c 'call.*<__stack_chk_fail')" 140 1000
}

# The kernel lets root read it, though the program is not dumpable.
@test "the stack's canary is another one in each process, and ends strings" {
    local name base at
    [[ $(id -u) == 0 ]] || skip "only root can look into it"
    at=$((16#$(nm "$DEBUG" | awk '$3 == "__stack_chk_guard" { print $1 }')))
    start_broker
    for name in one two three; do
        recv_start "$name" -o subtop=t
        base=$((16#$(grep -m 1 'r-xp.*sts' "/proc/$BG/maps" | cut -d - -f 1)))
        dd if="/proc/$BG/mem" bs=1 skip=$((base + at)) count=8 status=none | od -An -tx1 \
            >>"$(scratch)/canaries"
    done
    expect_equal "$(sort -u "$(scratch)/canaries" | wc -l)" 3
    expect_equal "$(grep -c '^ .. 00 .. .. .. .. .. ..$' "$(scratch)/canaries")" 3
}

@test "the address is another one each time" {
    [[ $(cat /proc/sys/kernel/randomize_va_space) != 0 ]] || skip "the kernel does not randomize"
    start_broker
    for name in one two three; do
        recv_start "$name" -o subtop=t
        grep -m 1 'r-xp.*sts' "/proc/$BG/maps" | cut -d - -f 1 >>"$(scratch)/addresses"
    done
    expect_equal "$(wc -l <"$(scratch)/addresses")" 3
    (($(sort -u "$(scratch)/addresses" | wc -l) > 1)) || fail "$(cat "$(scratch)/addresses")"
}

@test "no heap: no allocator in the symbol table, nor what would bring one" {
    nm "$DEBUG" >"$(scratch)/symbols"
    expect_match "$(scratch)/symbols" ' main$' # the table is there
    heap='malloc|calloc|realloc|free|brk|sbrk|mmap|munmap|mremap'
    expect_no_match "$(scratch)/symbols" \
        " (__libc_|__simple_|__lite_|__default_|__)?($heap)(_impl|0)?(\.[a-z0-9.]+|@.*)?\$"
    users='reallocarray|aligned_alloc|memalign|posix_memalign|malloc_usable_size|__expand_heap'
    users+='|strdup|strndup|getline|getdelim|fopen|fdopen|opendir|getaddrinfo|localtime(_r)?|printf'
    expect_no_match "$(scratch)/symbols" " ($users)(\.[a-z0-9.]+|@.*)?\$"
}

# No system call of a whole run, children too, asks for memory.
expect_no_memory_call() { # STRACE-LOG
    expect_match "$1" 'execve\(.*= 0$'
    expect_match "$1" '^[0-9]+ +(socket|connect|poll|ppoll)\('
    expect_no_match "$1" '^[0-9]+ +(brk|mmap|mmap2|munmap|mremap)\('
}

@test "no heap: no brk or mmap from start to end of -s, -l and -r, by address and by name" {
    start_broker
    for host in 127.0.0.1 localhost; do
        seq 500 >"$(scratch)/lines"
        traced=(strace -f -o "$(scratch)/trace.$host" "$STS" -o "host=$host" -o "port=$PORT"
            -o pubtop=t -o subtop=t)
        start "${traced[@]}" -o clientid="r$host" -r -n 501 >"$(scratch)/got" 2>"$(scratch)/err"
        receiver=$BG
        wait_for subscribed "r$host"
        strace -f -o "$(scratch)/trace.s" "$STS" -o "host=$host" -o "port=$PORT" -o pubtop=t -s x
        strace -f -o "$(scratch)/trace.l" "$STS" -o "host=$host" -o "port=$PORT" -o pubtop=t -l \
            <"$(scratch)/lines"
        join "$receiver"
        expect_status 0
        expect_equal "$(wc -l <"$(scratch)/got")" 501
        for trace in "trace.$host" trace.s trace.l; do
            expect_no_memory_call "$(scratch)/$trace"
        done
    done
}

@test "no heap: no brk or mmap in an STS/1 session, either end" {
    start_broker
    for cipher in ecb cbc; do
        both=("${TO[@]}" -o "aes=$cipher" -o timeout=20)
        start strace -f -o "$(scratch)/trace.slave" "$STS" "${both[@]}" -o "clientid=slave$cipher" \
            -o sts_mode=slave -o pubtop=up -o subtop=down -r -n 1 >"$(scratch)/got" \
            2>"$(scratch)/err"
        receiver=$BG
        wait_for subscribed "slave$cipher"
        strace -f -o "$(scratch)/trace.master" "$STS" "${both[@]}" -o sts_mode=master \
            -o pubtop=down -o subtop=up -s 'sealed' 2>"$(scratch)/err.master"
        join "$receiver"
        expect_status 0
        expect_content "$(scratch)/got" sealed
        expect_no_memory_call "$(scratch)/trace.slave"
        expect_no_memory_call "$(scratch)/trace.master"
    done
}

@test "one -s is at most 25 system calls; CONNECT and PUBLISH leave in one segment" {
    start_broker
    strace -f -s 200 -o "$(scratch)/trace" "$STS" "${TO[@]}" -o pubtop=topic -s the-message
    expect_within "$(grep -c '(' "$(scratch)/trace")" 5 25
    expect_match "$(scratch)/trace" '(send|sendto|sendmsg|write|writev)\(.*MQTT.*the-message'
}

@test ".data and .bss fit into 96 KiB, the table of peers aside" {
    total=0
    while read -r bytes; do
        total=$((total + bytes))
    done < <(size -A "$DEBUG" | awk '$1 == ".data" || $1 == ".bss" { print $2 }')
    peers=$(nm -S --radix=d "$DEBUG" | awk '$4 == "keyring" { print $2 + 0 }')
    expect_within "$peers" 100000 2000000
    total=$((total - peers))
    expect_within "$total" 1000 $((96 * 1024))
}

@test "pure modules have no variables of their own" {
    for module in mqtt_min conf conf_error sts sts1 sts1_keys sts1_outbox sts1_wire obfuscate fmt \
        sts2 noise first link tally push peers; do
        [[ -f $ROOT/$module.c ]] || fail "$module.c is gone: mend this list"
        gcc -std=c11 -Os -fno-pie -iquote "$ROOT" -DSTS_SEED=1 -DSTS_RESOLVER=1 \
            -c "$ROOT/$module.c" -o "$(scratch)/$module.o"
        nm "$(scratch)/$module.o" >"$(scratch)/symbols"
        expect_match "$(scratch)/symbols" ' [TR] '
        expect_no_match "$(scratch)/symbols" ' [BbCDd] '
    done
}
