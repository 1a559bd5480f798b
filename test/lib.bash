# lib.bash - what the bats files share: private brokers, programs in the background, assertions.
#
# Every file and every test works in a folder of bats and on ports of its own; what it starts is
# stopped by process id. Waiting is polling for a condition with a bound, never a fixed sleep.
# An assertion prints what it got; bats shows that when the test fails.
#
# Variables a test may read: STS, PORT and BROKER_LOG (of the broker started last), TO (the options
# that lead there), OUT, ERR and status (of the last `sts`).
# shellcheck shell=bash disable=SC2034

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STS=${STS:-$ROOT/build/sts}
[[ $STS == /* ]] || STS=$PWD/$STS
WAIT_S=${WAIT_S:-30} # bound of every wait: far above what a loaded machine needs
PIDS=()           # of this process: a test, or setup_file to teardown_file

# The folder of this test, or of the file outside of one. bats removes both.
scratch() {
    echo "${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}"
}

# ---- waiting ----

wait_for() {
    local until_s=$((SECONDS + WAIT_S))

    until "$@"; do
        if ((SECONDS >= until_s)); then
            echo "waited $WAIT_S s in vain for: $*"
            return 1
        fi
        sleep 0.03
    done
}

alive() {
    kill -0 "$1" 2>/dev/null
}

gone() {
    ! alive "$1"
}

has_lines() { # COUNT FILE
    (($(wc -l <"$2") >= $1))
}

has_text() { # REGEX FILE
    grep -Eq -e "$1" "$2"
}

# ---- background programs ----

# Starts a program; BG is its process id. Standard input, output and error are the caller's
# redirections. Undone here is what the shell does to programs in the background: it ignores SIGINT
# for them, and makes /dev/null their standard input.
start() {
    env --default-signal=INT,QUIT,PIPE "$@" <&0 3>&- 8<&- 9>&- &
    BG=$!
    PIDS+=("$BG")
}

# A FIFO for a started program's standard input: what is written to descriptor 9 goes there, and
# close_feed ends it. (Open for both directions at first, so that no open waits for the other.)
open_feed() {
    FEED=$(mktemp -u "$(scratch)/feed.XXXXXX")
    mkfifo "$FEED"
    exec 9<>"$FEED"
}

close_feed() {
    exec 9>&-
}

# A FIFO for a started program's standard output: start it with >"$DRAIN"; after drain_only this
# shell only reads it, from descriptor 8; after close_drain it has nothing to do with it.
open_drain() {
    DRAIN=$(mktemp -u "$(scratch)/drain.XXXXXX")
    mkfifo "$DRAIN"
    exec 9<>"$DRAIN"
    exec 8<"$DRAIN"
}

drain_only() {
    exec 9>&-
}

close_drain() {
    exec 8<&- 9>&-
}

# Waits for the end of a started program and puts its exit status into `status`.
join() {
    if ! wait_for gone "$1"; then
        kill -KILL "$1"
        return 1
    fi
    status=0
    wait "$1" || status=$?
}

# Runs a program for at most $LIMIT_S seconds, which the file sets; `result` is its exit status. In
# subshells, too: end_running, from any of them, ends what a failed test left.
bounded() {
    local pid

    timeout -k 5 "$LIMIT_S" "$@" <&0 3>&- &
    pid=$!
    : >"$(scratch)/running.$pid"
    result=0
    wait "$pid" || result=$?
    rm -f "$(scratch)/running.$pid"
}

end_running() {
    local file

    for file in "$(scratch)"/running.*; do
        [[ ! -e $file ]] || kill "${file##*.}" 2>/dev/null || true
    done
}

stop_all() {
    local pid

    for pid in "${PIDS[@]}"; do
        kill -CONT "$pid" 2>/dev/null || true
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    PIDS=()
}

# ---- brokers ----

# A port nobody has: below the range that the kernel gives to outgoing connections. Whether it is
# free is seen by trying.
any_port() {
    echo $((10000 + (RANDOM * 32768 + RANDOM) % 20000))
}

# start_broker [LINE...]: a mosquitto of our own on a free port of $BIND (127.0.0.1), with these
# lines added to its config. Tries other ports until one is free, so there is no race for it.
start_broker() {
    local try

    BROKER_DIR=$(mktemp -d "$(scratch)/broker.XXXXXX")
    for ((try = 0; try < 50; try++)); do
        PORT=$(any_port)
        {
            printf 'listener %s %s\n' "$PORT" "${BIND:-127.0.0.1}"
            printf '%s\n' "user $(id -un)" 'log_dest stderr' 'log_type all' \
                'max_queued_messages 0' 'sys_interval 0'
            [[ "$*" == *allow_anonymous* ]] || echo 'allow_anonymous true'
            [[ $# == 0 ]] || printf '%s\n' "$@"
        } >"$BROKER_DIR/conf"
        if run_broker; then
            TO=(-o "ip=${BIND:-127.0.0.1}" -o "port=$PORT")
            export PORT BROKER_PID BROKER_LOG BROKER_DIR
            return 0
        fi
    done
    echo "no broker: $(cat "$BROKER_LOG")"
    return 1
}

# Runs the broker of the last start_broker (again), with a log of its own each time.
run_broker() {
    BROKER_LOG=$(mktemp "$BROKER_DIR/log.XXXXXX")
    start "$(PATH=$PATH:/usr/sbin command -v mosquitto)" -c "$BROKER_DIR/conf" \
        >/dev/null 2>"$BROKER_LOG"
    BROKER_PID=$BG
    wait_for broker_settled
    alive "$BROKER_PID"
}

broker_settled() {
    broker_saw ' running$' || gone "$BROKER_PID"
}

# Orderly: mosquitto saves its sessions, where it was told to.
stop_broker() {
    kill -TERM "$BROKER_PID"
    join "$BROKER_PID"
}

kill_broker() {
    kill -KILL "$BROKER_PID"
    join "$BROKER_PID"
}

# In every test: the broker of setup_file is the one to talk to.
use_broker() {
    TO=(-o "ip=${BIND:-127.0.0.1}" -o "port=$PORT")
    TOPIC=t/$BATS_TEST_NUMBER
}

broker_saw() {
    has_text "$1" "$BROKER_LOG"
}

broker_count() {
    grep -Ec -e "$1" "$BROKER_LOG" || true
}

# Whether a TCP connection to the broker's port is established, seen from the client's side.
connected() {
    grep -Eqi "^ *[0-9]+: [0-9A-F]+:[0-9A-F]{4} [0-9A-F]+:$(printf %04X "$PORT") 01 " \
        /proc/net/tcp
}

# ---- the program and its counterparts ----

# Runs sts to its end: `status`, $OUT, $ERR.
sts() {
    OUT=$(scratch)/out
    ERR=$(scratch)/err
    status=0
    timeout -k 1 60 "$STS" "$@" >"$OUT" 2>"$ERR" || status=$?
}

# recv_start NAME [ARGUMENT...]: sts -r in the background, client id NAME; returns when its
# subscription is granted. NAME.out, NAME.err; BG.
recv_start() {
    local name=$1

    shift
    start "$STS" -r -o "clientid=$name" "${TO[@]}" "$@" \
        >"$(scratch)/$name.out" 2>"$(scratch)/$name.err"
    wait_for subscribed_or_gone "$name" "$BG"
    subscribed "$name" || {
        cat "$(scratch)/$name.err"
        return 1
    }
}

# The same with mosquitto_sub.
sub_start() {
    local name=$1

    shift
    start mosquitto_sub -V mqttv311 -h 127.0.0.1 -p "$PORT" -i "$name" "$@" \
        >"$(scratch)/$name.out" 2>"$(scratch)/$name.err"
    wait_for subscribed_or_gone "$name" "$BG"
    subscribed "$name" || {
        cat "$(scratch)/$name.err"
        return 1
    }
}

subscribed() {
    broker_saw "Sending SUBACK to $1\$"
}

subscribed_or_gone() {
    subscribed "$1" || gone "$2"
}

pub() {
    timeout -k 1 30 mosquitto_pub -V mqttv311 -h 127.0.0.1 -p "$PORT" "$@"
}

out_of() {
    echo "$(scratch)/$1.out"
}

err_of() {
    echo "$(scratch)/$1.err"
}

# Keys `col`, `dev`, `master` and `slave` in $DIR, each with its public key in NAME.pub; peers of
# `col`; the options of each end.
make_ends() {
    local name

    for name in col dev master slave; do
        "$STS" -k "$DIR/$name.key" >"$DIR/$name.pub"
    done
    echo "dev $(<"$DIR/dev.pub")" >"$DIR/peers"
    PUSH=(-o sts_mode=push -o "key=$DIR/dev.key" -o "peer=$(<"$DIR/col.pub")" -o pubtop=p/dev)
    COLLECT=(-o sts_mode=collect -o "key=$DIR/col.key" -o "peers=$DIR/peers"
        -o "state=$DIR/col.state" -o 'subtop=p/#')
    MASTER=(-o sts_mode=master -o aes=chachapoly -o "key=$DIR/master.key"
        -o "peer=$(<"$DIR/slave.pub")" -o subtop=s2m -o pubtop=m2s)
    SLAVE=(-o sts_mode=slave -o aes=chachapoly -o "key=$DIR/slave.key"
        -o "peer=$(<"$DIR/master.pub")" -o subtop=m2s -o pubtop=s2m)
}

# ---- assertions ----

fail() {
    printf '%s\n' "$@"
    return 1
}

# What a failed assertion shows of the last `sts`.
show() {
    [[ -z ${OUT:-} ]] || printf 'standard output:\n%s\n' "$(head -c 2000 "$OUT" | cat -v)"
    [[ -z ${ERR:-} ]] || printf 'standard error:\n%s\n' "$(head -c 2000 "$ERR" | cat -v)"
}

expect_status() {
    [[ $status == "$1" ]] || fail "exit status $status, not $1" "$(show)"
}

expect_equal() { # GOT EXPECTED
    [[ $1 == "$2" ]] || fail "got:      $1" "expected: $2"
}

expect_same() { # FILE-GOT FILE-EXPECTED, byte by byte
    cmp "$1" "$2" || fail "got: $(head -c 600 "$1" | cat -v)" \
        "expected: $(head -c 600 "$2" | cat -v)"
}

expect_content() { # FILE TEXT: its lines, without the last newline
    expect_equal "$(cat "$1")" "$2"
}

expect_empty() {
    [[ ! -s $1 ]] || fail "$1 should be empty:" "$(head -c 2000 "$1" | cat -v)"
}

expect_match() { # FILE REGEX
    has_text "$2" "$1" || fail "no line of $1 matches: $2" "$(head -c 4000 "$1" | cat -v)"
}

expect_no_match() { # FILE REGEX
    ! has_text "$2" "$1" || fail "in $1: $(grep -E -e "$2" "$1" | head -5 | cat -v)"
}

expect_within() { # NUMBER LOW HIGH
    (($1 >= $2 && $1 <= $3)) || fail "$1 is not in $2..$3"
}
