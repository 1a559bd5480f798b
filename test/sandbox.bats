# sandbox.bats - every mode works with what its filter leaves it, reconnects included, and says so;
# a call that it does not leave kills; a kernel that has no filter keeps nobody from anything.
# test/test_sandbox.c has the filters by themselves.
# shellcheck disable=SC2030,SC2031,SC2094,SC2153,SC2317

load lib

setup() {
    DIR=$(scratch)
    "$STS" -V | grep -q sandbox || skip "$STS is built without"
}

teardown() {
    stop_all
}

need_x86_64() {
    readelf -h "$STS" | grep -q 'X86-64' || skip "the tracer knows x86-64 only"
}

breaker() {
    /usr/bin/python3 "$BATS_TEST_DIRNAME/sandbox_break.py" "$@"
}

# begin NAME ARGUMENT...: sts in the background; NAME.out, NAME.err, PID[NAME].
declare -gA PID

begin() {
    start "$STS" "${TO[@]}" "${@:2}" >"$DIR/$1.out" 2>"$DIR/$1.err"
    PID[$1]=$BG
}

in_sandbox() { # PID
    grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$1/status" &&
        grep -q '^Seccomp:[[:space:]]*2$' "/proc/$1/status"
}

expect_sandbox() { # NAME...
    local name

    for name in "$@"; do
        in_sandbox "${PID[$name]}" ||
            fail "$name: $(grep -E 'NoNewPrivs|Seccomp' "/proc/${PID[$name]}/status")" \
                "$(cat "$DIR/$name.err")"
    done
}

said() { # COUNT REGEX NAME
    (($(grep -Ec -e "$2" "$DIR/$3.err" || true) >= $1))
}

wait_said() { # NAME COUNT REGEX
    wait_for said "$2" "$3" "$1"
}

wait_out() { # NAME LINE
    wait_for grep -aqxF -e "$2" "$DIR/$1.out"
}

ended() { # NAME STATUS
    join "${PID[$1]}" || fail "$1 does not end" "$(cat "$DIR/$1.err")"
    [[ $status == "$2" ]] || fail "$1: exit status $status, not $2" "$(cat "$DIR/$1.err")"
}

children_of() { # PID
    cat "/proc/$1/task/$1/children"
}

# ---- every mode works in it ----

@test "-V says that it is compiled in; SANDBOX=0 leaves it out" {
    sts -V
    expect_match "$OUT" '^sts .*, sandbox\)$'
    for with in 0 1; do
        gcc -E -P -DSTS_SEED=1 -DSTS_RESOLVER=1 -DSTS_SANDBOX=$with "$ROOT/version.h" >"$DIR/$with"
        gcc -std=c11 -D_GNU_SOURCE= -iquote "$ROOT" -DSTS_SANDBOX=$with -c "$ROOT/sandbox.c" \
            -o "$DIR/$with.o"
        nm "$DIR/$with.o" >"$DIR/$with.symbols"
        expect_match "$DIR/$with.symbols" ' T sandbox_enter$'
    done
    expect_match "$DIR/1" 'sandbox'
    expect_match "$DIR/1.symbols" ' U prctl$'
    expect_no_match "$DIR/0" 'sandbox'
    expect_no_match "$DIR/0.symbols" ' U prctl$'
}

@test "it is on before a byte goes to the broker; -v says so, and only that" {
    start_broker
    echo line >"$DIR/in"
    for mode in '-s x' -l '-r -n 1'; do
        # shellcheck disable=SC2086 # words
        strace -f -o "$DIR/trace" "$STS" "${TO[@]}" -o pubtop=t -o subtop=t -w 1 $mode \
            <"$DIR/in" 2>"$DIR/err" || true
        awk '/prctl\(PR_SET_NO_NEW_PRIVS, 1.*= 0$/ { print 1 }
            /prctl\(PR_SET_SECCOMP, SECCOMP_MODE_FILTER.*= 0$/ { print 2 }
            /socket\(AF_/ { print 3 } /connect\(/ { print 4 }' "$DIR/trace" >"$DIR/order"
        expect_content "$DIR/order" $'1\n2\n3\n4'
        expect_no_match "$DIR/err" sandbox
    done
    sts "${TO[@]}" -o pubtop=t -s x
    expect_status 0
    expect_empty "$ERR"
    sts "${TO[@]}" -o pubtop=t -s x -v
    expect_match "$ERR" '\[INFO\]  # sts: sandbox: on$'
    sts "${TO[@]}" -o subtop=t -r -w 1 -v
    expect_match "$ERR" '\[INFO\]  # sts: sandbox: on$'
}

@test "-s waits for a broker in it, with and without files, and by name" {
    make_ends
    MASTER+=(-o "state=$DIR/master.state")
    start_broker
    kill -STOP "$BROKER_PID"        # a TCP connection, and silence
    TO=(-o "port=$PORT")
    begin named -s x -o pubtop=t -o ip=localhost
    TO+=(-o ip=127.0.0.1)
    begin plain -s x -o pubtop=t
    begin push -s x "${PUSH[@]}"
    begin spool -s x "${PUSH[@]}" -o "spool=$DIR/spool" -o "state=$DIR/state"
    begin input -s - -o pubtop=t <"$DIR/peers"
    for name in plain named push spool input; do
        wait_for in_sandbox "${PID[$name]}"
    done
    kill -CONT "$BROKER_PID"
    for name in plain named push spool input; do
        ended "$name" 0
        expect_empty "$DIR/$name.err"
    done
}

@test "a push with state and spool in it: kept while the broker is away, sent when it is back" {
    make_ends
    MASTER+=(-o "state=$DIR/master.state")
    start_broker
    begin collect -r "${COLLECT[@]}" -o "out=$DIR/readings"
    wait_said collect 1 ' subscribed to '
    stop_broker
    for reading in one two; do
        sts "${TO[@]}" "${PUSH[@]}" -o "state=$DIR/state" -o "spool=$DIR/spool" -s "$reading"
        expect_status 75
    done
    run_broker
    wait_said collect 2 ' subscribed to '
    sts "${TO[@]}" "${PUSH[@]}" -o "state=$DIR/state" -o "spool=$DIR/spool" -s three
    expect_status 0
    wait_for has_lines 3 "$DIR/readings"
    expect_sandbox collect
    kill -TERM "${PID[collect]}"
    ended collect 0
    expect_content "$DIR/readings" $'one\ntwo\nthree'
}

# Each mode that runs long connects, loses the broker twice, connects again, and is of use then.
through_restarts() { # HOST
    local name round

    make_ends
    MASTER+=(-o "state=$DIR/master.state")
    start_broker
    TO=(-o "ip=$1" -o "port=$PORT")
    begin nosec -r -o subtop=l
    begin collect -r "${COLLECT[@]}" -o "out=$DIR/readings"
    begin slave -r "${SLAVE[@]}"
    for name in nosec collect slave; do
        wait_said "$name" 1 ' subscribed to '
    done
    for name in lines spooled master; do
        mkfifo "$DIR/$name.feed"
    done
    exec 5<>"$DIR/lines.feed" 6<>"$DIR/spooled.feed" 7<>"$DIR/master.feed"
    begin lines -v -l -o pubtop=l <"$DIR/lines.feed" 5<&- 6<&- 7<&-
    begin spooled -v -l "${PUSH[@]}" -o "state=$DIR/state" -o "spool=$DIR/spool" \
        <"$DIR/spooled.feed" 5<&- 6<&- 7<&-
    begin master -v -l "${MASTER[@]}" <"$DIR/master.feed" 5<&- 6<&- 7<&-
    for round in 1 2 3; do
        for name in nosec collect slave; do
            wait_said "$name" "$round" ' subscribed to '
        done
        for name in lines spooled master; do
            wait_said "$name" "$round" ' connected to broker'
        done
        echo "round $round" | tee "$DIR/lines.feed" "$DIR/spooled.feed" >"$DIR/master.feed"
        wait_out nosec "round $round"
        wait_for grep -qxF "round $round" "$DIR/readings"
        wait_out slave "round $round"
        expect_sandbox nosec collect slave lines spooled master
        ((round == 3)) && break
        kill_broker
        for name in nosec collect slave lines spooled master; do
            wait_said "$name" "$round" 'next attempt in [0-9]+\.[0-9] s$'
        done
        run_broker
    done
}

@test "every mode that runs long connects again in it, by address; without a child" {
    through_restarts 127.0.0.1
    for name in nosec collect slave lines spooled master; do
        expect_equal "$(children_of "${PID[$name]}")" ''
    done
}

@test "... and by name: each has a helper in a sandbox of its own, which ends with it" {
    through_restarts localhost
    for name in nosec collect slave lines spooled master; do
        helper=$(children_of "${PID[$name]}")
        helper=${helper% }
        [[ $helper =~ ^[0-9]+$ ]] || fail "$name has these children: $helper"
        wait_for in_sandbox "$helper"
        echo "$helper" >>"$DIR/helpers"
        expect_equal "$(readlink "/proc/$helper/fd/"{0,1,2} || true)" ''
        kill -KILL "${PID[$name]}"
        wait_for gone "$helper"
    done
    expect_equal "$(wc -l <"$DIR/helpers")" 6
}

@test "a name gets another address while -r runs: it connects there" {
    for how in -m -rm none; do
        unshare "$how" true 2>/dev/null && break
    done
    [[ $how != none ]] || skip "a mount namespace is not to be had here"
    start_broker
    echo '127.0.0.1 moving.test' >"$DIR/hosts"
    # shellcheck disable=SC2016
    start unshare "$how" sh -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$DIR/hosts" \
        "$STS" -r -o ip=moving.test -o "port=$PORT" -o subtop=t >"$DIR/r.out" 2>"$DIR/r.err"
    PID[r]=$BG
    wait_said r 1 ' subscribed to '
    expect_sandbox r
    echo '127.0.0.2 moving.test' >"$DIR/new"
    cat "$DIR/new" >"$DIR/hosts"    # the same file: that is what is mounted
    kill_broker
    sed -i 's/127\.0\.0\.1/127.0.0.2/' "$BROKER_DIR/conf"
    run_broker
    wait_said r 2 ' subscribed to '
    kill -TERM "${PID[r]}"
    ended r 0
}

# A network of its own, where port 53 is free.
@test "a name server is asked in it: -s and -r" {
    for how in -mn -rmn none; do
        unshare "$how" sh -c 'ip link set lo up && mount --bind /etc/hosts /etc/resolv.conf' \
            2>/dev/null && break
    done
    [[ $how != none ]] || skip "a network namespace is not to be had here"
    echo 'nameserver 127.0.0.1' >"$DIR/resolv"
    printf '%s\n' 'listener 1883 127.0.0.1' 'allow_anonymous true' "user $(id -un)" >"$DIR/conf"
    cat >"$DIR/inside" <<'END'
cd "$1" || exit 1
ip link set lo up
mount --bind resolv /etc/resolv.conf
"$3" "$2" ready & servers=$!
"$4" -c conf 2>broker.log & servers="$servers $!"
trap 'kill $servers' EXIT
for i in $(seq 300); do
    [ -f ready ] && grep -q running broker.log && break
    sleep 0.1
done
timeout 30 "$5" -v -r -n 1 -o ip=broker.test -o subtop=t >r.out 2>r.err & receiver=$!
for i in $(seq 300); do
    grep -q ' subscribed to ' r.err && break
    sleep 0.1
done
timeout 30 "$5" -o ip=broker.test -o pubtop=t -s x 2>s.err || exit
wait "$receiver"
END
    status=0
    unshare "$how" bash "$DIR/inside" "$DIR" "$BATS_TEST_DIRNAME/sandbox_dns.py" /usr/bin/python3 \
        "$(PATH=$PATH:/usr/sbin command -v mosquitto)" "$STS" 3>&- || status=$?
    [[ $status == 0 ]] || fail "status $status" "$(cat "$DIR/s.err" "$DIR/r.err" "$DIR/broker.log")"
    expect_match "$DIR/r.err" 'sandbox: on$'
    expect_content "$DIR/r.out" x
}

@test "STS/1 in it, both ciphers" {
    "$STS" -V | grep -q STS/1 || skip "built without STS/1"
    start_broker
    for cipher in ecb cbc; do
        begin "slave$cipher" -r -n 1 -o "aes=$cipher" -o sts_mode=slave -o pubtop=up -o subtop=down
        wait_said "slave$cipher" 1 ' subscribed to '
        expect_sandbox "slave$cipher"
        sts "${TO[@]}" -o "aes=$cipher" -o sts_mode=master -o pubtop=down -o subtop=up -s sealed
        expect_status 0
        ended "slave$cipher" 0
        expect_content "$DIR/slave$cipher.out" sealed
    done
}

@test "the shell and its programs in it: start, send, !program, status, stop, by name" {
    start_broker
    sub_start listener -q 1 -t out
    printf '%s\n' 'ip = localhost' "port = $PORT" 'subtop = in' 'pubtop = out' >"$DIR/conf"
    cat >"$DIR/module" <<'END'
#!/bin/sh
grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\n\t'
END
    chmod +x "$DIR/module"
    cat >"$DIR/script" <<END
status
start $DIR/conf
send text
send !$DIR/module
!$DIR/module
status
stop
start $DIR/conf
send again
END
    status=0
    timeout 60 "$STS" -v <"$DIR/script" >"$DIR/shell.out" 2>"$DIR/shell.err" || status=$?
    expect_status 0
    expect_match "$DIR/shell.out" '^NoNewPrivs:1Seccomp:2'
    expect_equal "$(grep -c 'sandbox: *on$' "$DIR/shell.err")" 3   # -v, status, status
    wait_for has_lines 3 "$(out_of listener)"
    expect_content "$(out_of listener)" $'text\nNoNewPrivs:1Seccomp:2\nagain'
}

@test "the shell connects again in it" {
    start_broker
    printf '%s\n' 'ip = localhost' "port = $PORT" 'subtop = in' 'pubtop = out' >"$DIR/conf"
    open_feed
    TO=()
    begin shell <"$FEED"
    echo "start $DIR/conf" >&9
    wait_said shell 1 ' subscribed to '
    expect_sandbox shell
    kill_broker
    run_broker
    wait_said shell 2 ' subscribed to '
    echo exit >&9
    ended shell 0
}

@test "stopped and continued in the middle of a wait" {
    start_broker
    begin r -r -o subtop=t
    wait_said r 1 ' subscribed to '
    for _ in 1 2 3; do
        kill -STOP "${PID[r]}"
        wait_for grep -q '^State:.*T' "/proc/${PID[r]}/status"
        kill -CONT "${PID[r]}"
        wait_for grep -q '^State:.*[SR]' "/proc/${PID[r]}/status"
    done
    pub -t t -m later
    wait_out r later
    kill -TERM "${PID[r]}"
    ended r 0
}

# ---- what it does not leave ----

# execve, openat, clone, mmap, mprotect, unlink, ptrace, kill, socketpair
FORBIDDEN='59 257 56 9 10 87 101 62 53'

killed() { # NUMBER REGEX ARGUMENT...: NUMBER as a call of a running sts ends with SIGSYS
    breaker call "$1" "$DIR/err" "$2" "$STS" "${TO[@]}" "${@:3}" >"$DIR/became" 2>"$DIR/err" \
        3>&- 8<&- || fail "call $1: $(cat "$DIR/became" "$DIR/err")"
    [[ $(tail -1 "$DIR/became") == 'signal 31' ]] ||
        fail "call $1 of sts ${*:3}: $(cat "$DIR/became")"
    : >"$DIR/err"
}

@test "a forbidden call kills: -r, -l and -s, and a collector" {
    need_x86_64
    make_ends
    MASTER+=(-o "state=$DIR/master.state")
    start_broker
    : >"$DIR/err"
    for number in $FORBIDDEN; do
        killed "$number" ' subscribed to ' -r -o subtop=t
        killed "$number" ' subscribed to ' -r "${COLLECT[@]}" -o "out=$DIR/readings"
        open_feed
        killed "$number" ' connected to ' -v -l "${PUSH[@]}" -o "state=$DIR/state" <"$FEED"
        close_feed
    done
    # With a file, one may be written to; without any, none.
    killed 18 ' subscribed to ' -r -o subtop=t
    kill -STOP "$BROKER_PID"
    killed 59 ' sandbox: on' -v -s x -o pubtop=t
}

@test "a forbidden call kills the shell; others do not" {
    need_x86_64
    : >"$DIR/err"
    open_feed
    TO=()
    for number in 101 165 321 310 175; do   # ptrace, mount, bpf, process_vm_readv, init_module
        killed "$number" ' sandbox: on' -v <"$FEED"
    done
    breaker call 257 "$DIR/err" ' sandbox: on' "$STS" -v <"$FEED" >"$DIR/became" 2>"$DIR/err" 3>&-
    expect_match "$DIR/became" '^it goes on$'
}

@test "a killed one looks like that to a shell: 159" {
    need_x86_64
    start_broker
    open_feed
    : >"$DIR/err"
    killed 59 ' connected to ' -v -l -o pubtop=t <"$FEED"
    expect_equal $((128 + $(kill -l SYS))) 159
}

# ---- a kernel that has none ----

@test "a kernel without seccomp: every mode works, and says so where it is not to be quiet" {
    need_x86_64
    make_ends
    MASTER+=(-o "state=$DIR/master.state")
    start_broker
    for error in EINVAL ENOSYS EPERM EFAULT; do
        without=(/usr/bin/python3 "$BATS_TEST_DIRNAME/sandbox_break.py" without "$error" "$STS")
        start "${without[@]}" "${TO[@]}" -r -n 1 -o subtop=t -o "clientid=r$error" \
            >"$DIR/r.out" 2>"$DIR/r.err"
        PID[r]=$BG
        wait_said r 1 ' subscribed to '
        expect_equal "$(grep -c 'no sandbox: the kernel takes no seccomp filter: ' "$DIR/r.err")" 1
        "${without[@]}" -o ip=localhost -o "port=$PORT" -o pubtop=t -s x >"$DIR/out" 2>"$DIR/err"
        expect_empty "$DIR/err"
        "${without[@]}" "${TO[@]}" "${PUSH[@]}" -v -s x 2>"$DIR/err"
        expect_match "$DIR/err" 'no sandbox: the kernel takes no seccomp filter: '
        ended r 0
        expect_content "$DIR/r.out" x
    done
    printf '%s\n' status '!true' | "${without[@]}" 2>"$DIR/err"
    expect_match "$DIR/err" 'no sandbox: '
    expect_match "$DIR/err" '\| *sandbox: *off$|sandbox: *off$'
}
