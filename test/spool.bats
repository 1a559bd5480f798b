#!/usr/bin/env bats
# spool.bats - pushes that the broker does not take at once: kept in the spool file, and sent by the
# next run, in order, each once. Every test ends by letting a collector say what arrived.
#
# The real binary, a real mosquitto; where nobody may answer, a port that nobody listens on, or a
# socket that accepts and stays silent.
# shellcheck shell=bash disable=SC2030,SC2031,SC2153,SC2317

load lib

setup_file() {
    start_broker
}

teardown_file() {
    stop_all
}

setup() {
    use_broker
    DIR=$(scratch)
    SPOOL=$DIR/spool
    COLLECTOR=$("$STS" -k "$DIR/col.key")
    echo "dev $("$STS" -k "$DIR/dev.key")" >"$DIR/peers"
    DEAD=(-o ip=127.0.0.1 -o "port=$(dead_port)")
    collect_start
}

teardown() {
    stop_all
}

# ---- programs ----

# A port that nobody listens on.
dead_port() {
    local port

    for (( ; ; )); do
        port=$(any_port)
        (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

collect_start() {
    start "$STS" "${TO[@]}" -o sts_mode=collect -o "key=$DIR/col.key" -o "peers=$DIR/peers" \
        -o "state=$DIR/col.state" -o "subtop=$TOPIC/#" -r >"$DIR/got" 2>"$DIR/col.err"
    wait_for has_text ' subscribed to ' "$DIR/col.err"
}

PUSH() { # the arguments of every sender, into the array of that name
    PUSH=(-o sts_mode=push -o "key=$DIR/dev.key" -o "peer=$COLLECTOR" -o "state=$DIR/dev.state"
        -o "spool=$SPOOL" -o "pubtop=$TOPIC/${NAME:-dev}")
}

# push / push_dead ARGUMENT...: to the broker, or to nobody.
push() {
    PUSH
    sts "${TO[@]}" "${PUSH[@]}" "$@"
}

push_dead() {
    PUSH
    sts "${DEAD[@]}" "${PUSH[@]}" "$@"
}

# A socket that accepts connections and never says a word: SILENT is how to get there.
start_silent() {
    : >"$DIR/silent"
    start /usr/bin/python3 -c '
import socket, sys, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(64)
print(s.getsockname()[1], flush=True)
time.sleep(120)' >"$DIR/silent" </dev/null
    wait_for has_lines 1 "$DIR/silent"
    SILENT=(-o ip=127.0.0.1 -o "port=$(cat "$DIR/silent")")
}

size_of() {
    stat -c %s "$1"
}

# ---- assertions ----

# A run that finds the broker there leaves nothing behind, and all of these came out in this order.
expect_got() { # LINE...
    push -s "the end"
    expect_status 0
    expect_equal "$(size_of "$SPOOL")" 0
    wait_for has_text '^the end$' "$DIR/got"
    printf '%s\n' "$@" "the end" >"$DIR/expected"
    expect_same "$DIR/got" "$DIR/expected"
}

expect_kept() {
    expect_status 75
    expect_match "$ERR" "bytes wait in $SPOOL for the next run"
}

# ---- the broker is away ----

@test "a push that finds no broker is kept, ends with 75, and the next run sends it" {
    push_dead -s "first"
    expect_kept
    push_dead -s "second"
    expect_kept
    expect_match "$ERR" 'cannot connect to 127.0.0.1 port [0-9]+: Connection refused'
    expect_got first second
}

@test "the spool holds nothing that the broker would not see, and is its owner's alone" {
    push_dead -s "a text that nobody else may read"
    expect_kept
    expect_equal "$(stat -c %a "$SPOOL")" 600
    expect_no_match "$SPOOL" 'nobody else'
    expect_got "a text that nobody else may read"
}

@test "standard input as one message, and QoS 2, are kept too" {
    printf 'one\ntwo' >"$DIR/in"
    push_dead -o qos=2 -s - <"$DIR/in"
    expect_kept
    push -o qos=2 -s "three"
    expect_status 0
    expect_got one two three
}

@test "what waits goes to the topic that it was made for" {
    NAME=old push_dead -s "old"
    expect_kept
    push_dead -s "new"
    expect_kept
    expect_got old new
    expect_no_match "$DIR/col.err" dropped
}

@test "a host that has no address, a broker that says nothing, -w and a signal: kept, 75" {
    PUSH
    start_silent
    sts -o ip=nowhere.invalid "${PUSH[@]}" -o timeout=2 -s host
    expect_kept
    sts "${SILENT[@]}" "${PUSH[@]}" -o timeout=1 -s silent
    expect_kept
    expect_match "$ERR" 'no CONNACK in time'
    sts "${SILENT[@]}" "${PUSH[@]}" -w 1 -s limit
    expect_kept
    start "$STS" "${SILENT[@]}" "${PUSH[@]}" -s signal 2>"$DIR/signal.err"
    wait_for has_text "00000000:0000.* $(id -u) " /proc/net/tcp
    sleep 0.2
    kill -TERM "$BG"
    join "$BG"
    expect_status 75
    expect_match "$DIR/signal.err" 'stopped by signal 15'
    expect_got host silent limit signal
}

@test "a broker that refuses: the message is kept, and the cause is named" {
    local real=$PORT

    : >"$DIR/passwords"
    start_broker 'allow_anonymous false' "password_file $DIR/passwords"
    push -s "refused"
    expect_kept
    expect_match "$ERR" 'refused'
    PORT=$real
    use_broker
    expect_got refused
}

@test "a message that is too long is refused, not kept" {
    head -c 20000 /dev/zero | tr '\0' x >"$DIR/long"
    push_dead -s - <"$DIR/long"
    expect_status 65
    expect_got
}

# ---- the broker is there ----

@test "no write, no sync and no truncation while the broker takes what it gets" {
    push -s "the first makes the file"
    expect_status 0
    PUSH
    touch -d '2020-01-01' "$SPOOL"
    strace -f -y -o "$DIR/trace" "$STS" "${TO[@]}" "${PUSH[@]}" -s direct
    seq -f 'line %g' 1 100 | strace -f -y -o "$DIR/trace.l" "$STS" "${TO[@]}" "${PUSH[@]}" -l
    expect_match "$DIR/trace" "flock\([0-9]+<$SPOOL>"
    expect_no_match "$DIR/trace" "(write|writev|pwrite64|fsync|fdatasync|ftruncate)\([0-9]+<$SPOOL>"
    expect_no_match "$DIR/trace.l" "(write|writev|pwrite64|fsync|fdatasync|ftruncate)\([0-9]+<$SPOOL>"
    expect_equal "$(stat -c %y "$SPOOL" | cut -c 1-10)" 2020-01-01
    mapfile -t lines < <(seq -f 'line %g' 1 100)
    expect_got "the first makes the file" direct "${lines[@]}"
}

@test "75 is said only when the message is synced" {
    PUSH
    push_dead -s "the first makes the file"
    strace -f -y -o "$DIR/trace" "$STS" "${DEAD[@]}" "${PUSH[@]}" -s synced || status=$?
    expect_status 75
    expect_match "$DIR/trace" "pwrite64\([0-9]+<$SPOOL>"
    # The last thing that is done to the file is the sync.
    expect_match <(grep -E "(pwrite64|fdatasync|ftruncate)\([0-9]+<$SPOOL>" "$DIR/trace" | tail -n 1) \
        'fdatasync.* = 0'
    expect_got "the first makes the file" synced
}

# ---- full ----

# Pushes to nobody until one is refused; `kept` has those before it.
fill_spool() {
    local i

    for ((i = 1; i <= 20; i++)); do
        push_dead -o spool_max=2048 -s "reading $i"
        [[ $status == 75 ]] || break
        kept+=("reading $i")
    done
}

@test "a full spool refuses with 73 and keeps what it has" {
    local kept=()

    fill_spool
    expect_status 73
    expect_match "$ERR" "$SPOOL is full"
    expect_within "${#kept[@]}" 5 15
    expect_within "$(size_of "$SPOOL")" 1024 2048
    push_dead -o spool_max=2048 -s "one more"
    expect_status 73
    expect_got "${kept[@]}"
}

@test "a full spool is no hindrance once the broker is back" {
    local kept=()

    fill_spool
    push -o spool_max=2048 -s "room again"
    expect_status 0
    expect_got "${kept[@]}" "room again"
}

@test "a message that the whole spool has no room for goes directly, or is refused" {
    head -c 5000 /dev/zero | tr '\0' y >"$DIR/large"
    push_dead -o spool_max=2048 -s - <"$DIR/large"
    expect_status 73
    push -o spool_max=2048 -s - <"$DIR/large"
    expect_status 0
    expect_got "$(cat "$DIR/large")"
}

# ---- crashes ----

@test "a record that was not written whole is cut off and named, and those before it are sent" {
    push_dead -s "whole"
    push_dead -s "torn"
    truncate -s -5 "$SPOOL"
    push_dead -s "after"
    expect_kept
    expect_match "$ERR" "$SPOOL: .*cut off"
    expect_got whole after
}

@test "damage in the middle is named, and costs what it hit alone" {
    local first

    push_dead -s "before"
    first=$(size_of "$SPOOL")
    push_dead -s "hit"
    push_dead -s "behind"
    printf 'XXXX' | dd of="$SPOOL" bs=1 seek=$((first + 60)) conv=notrunc status=none
    push -s "now"
    expect_status 74
    expect_match "$ERR" "ERROR.*$SPOOL.*damage"
    expect_got before behind now
}

@test "damage far before the end costs those that only append nothing, and the run that sends says it" {
    local first

    push_dead -s "before"
    first=$(size_of "$SPOOL")
    mapfile -t lines < <(seq -f 'line %g' 1 300)
    printf '%s\n' "${lines[@]}" >"$DIR/in"
    push_dead -l <"$DIR/in"
    printf 'XXXX' | dd of="$SPOOL" bs=1 seek=$((first + 60)) conv=notrunc status=none
    push_dead -s "behind"
    expect_kept
    expect_no_match "$ERR" 'damage'
    push -s "now"
    expect_status 74
    expect_match "$ERR" "ERROR.*$SPOOL.*damage"
    expect_got before "${lines[@]:1}" behind now
}

@test "a file that is no spool is left alone, and said to be of no use" {
    echo "my diary" >"$SPOOL"
    push -s "there"
    expect_status 0
    expect_match "$ERR" "$SPOOL"
    push_dead -s "away"
    expect_status 69
    expect_match "$ERR" 'what cannot be sent now is not kept'
    expect_content "$SPOOL" "my diary"
    rm "$SPOOL"
    expect_got there
}

@test "a spool that cannot be made: said, and the push goes out all the same, or is refused" {
    SPOOL=$DIR/no/such/folder
    push -s "there"
    expect_status 0
    expect_match "$ERR" "cannot make $SPOOL: No such file"
    push_dead -s "away"
    expect_status 69
    SPOOL=$DIR/spool
    expect_got there
}

@test "a file size limit: what does not fit is refused with 74, and the rest is kept" {
    local i kept=()

    PUSH
    for ((i = 1; i <= 40; i++)); do
        status=0
        (ulimit -f 2 && exec "$STS" "${DEAD[@]}" "${PUSH[@]}" -s "reading $i") 2>"$DIR/err" ||
            status=$?
        [[ $status == 75 ]] || break
        kept+=("reading $i")
    done
    expect_status 74
    expect_match "$DIR/err" "cannot write $SPOOL: File too large"
    expect_within "${#kept[@]}" 5 15
    expect_got "${kept[@]}"
}

# ---- overlapping runs ----

@test "twenty runs at once without a broker: each is kept, none twice" {
    local i pids=()

    PUSH
    for ((i = 1; i <= 20; i++)); do
        start "$STS" "${DEAD[@]}" "${PUSH[@]}" -s "run $i" 2>>"$DIR/err"
        pids+=("$BG")
    done
    for i in "${pids[@]}"; do
        join "$i"
        expect_status 75
    done
    push -s "last"
    expect_status 0
    wait_for has_text '^last$' "$DIR/got"
    sort -V "$DIR/got" >"$DIR/sorted"
    { echo last && seq -f 'run %g' 1 20; } | sort -V >"$DIR/expected"
    expect_same "$DIR/sorted" "$DIR/expected"
}

@test "a run behind one that waits for the broker leaves its message behind that one's" {
    PUSH
    start_silent
    start "$STS" "${SILENT[@]}" "${PUSH[@]}" -o timeout=4 -s "one" 2>"$DIR/one.err"
    local one=$BG
    # It has put its message into the spool after half of its patience, and still waits.
    wait_for test -s "$SPOOL"
    sts "${SILENT[@]}" "${PUSH[@]}" -o timeout=1 -s "two"
    expect_kept
    join "$one"
    expect_status 75
    expect_got one two
}

@test "a run beside -l leaves its message to that one" {
    PUSH
    open_feed
    start "$STS" "${TO[@]}" "${PUSH[@]}" -l <"$FEED" 2>"$DIR/l.err"
    local feeder=$BG
    echo "line 1" >&9
    wait_for has_text '^line 1$' "$DIR/got"
    push -o timeout=1 -s "beside"
    expect_kept
    echo "line 2" >&9
    wait_for has_text '^line 2$' "$DIR/got"
    close_feed
    join "$feeder"
    expect_status 0
    expect_got "line 1" beside "line 2"
}

@test "beside a full spool and a -l without a broker, a run ends with 73" {
    local i

    PUSH
    open_feed
    start "$STS" "${DEAD[@]}" "${PUSH[@]}" -o spool_max=1024 -l <"$FEED" 2>"$DIR/l.err"
    local feeder=$BG
    echo "line 1" >&9
    wait_for test -s "$SPOOL"
    for ((i = 1; i <= 5; i++)); do
        push_dead -o spool_max=1024 -o timeout=1 -s "reading $i"
        [[ $status == 75 ]] || break
    done
    expect_status 73
    expect_match "$ERR" "$SPOOL is full"
    close_feed
    join "$feeder"
    expect_status 75
}

# ---- -l ----

@test "-l without a line sends what waits" {
    push_dead -s "waits"
    expect_kept
    push -l </dev/null
    expect_status 0
    expect_equal "$(size_of "$SPOOL")" 0
    expect_got waits
}

@test "-l without a broker takes every line, and the next run sends them" {
    mapfile -t lines < <(seq -f 'line %g' 1 1000)
    printf '%s\n' "${lines[@]}" >"$DIR/in"
    push_dead -l <"$DIR/in"
    expect_kept
    expect_got "${lines[@]}"
}

@test "-l never stops reading because the broker is away, and goes on when it is back" {
    local port=$PORT log=$BROKER_LOG i

    start_broker 'persistence true' "persistence_location $DIR/"
    PUSH
    open_feed
    start "$STS" "${TO[@]}" "${PUSH[@]}" -o clean_session=0 -o clientid=lines -l <"$FEED" 2>"$DIR/l.err"
    local feeder=$BG
    start "$STS" "${TO[@]}" -o sts_mode=collect -o "key=$DIR/col.key" -o "peers=$DIR/peers" \
        -o "state=$DIR/here.state" -o "subtop=$TOPIC/#" -r >"$DIR/here" 2>"$DIR/here.err"
    wait_for has_text ' subscribed to ' "$DIR/here.err"
    for ((i = 1; i <= 10; i++)); do echo "line $i"; done >&9
    wait_for has_lines 10 "$DIR/here"
    stop_broker
    wait_for has_text 'next attempt' "$DIR/l.err"
    # Far more than what may be in flight, or stand in the pipe.
    for ((i = 11; i <= 3000; i++)); do echo "line $i"; done >&9
    wait_for test "$(($(size_of "$SPOOL")))" -gt 0
    run_broker
    wait_for has_text 'connected' "$DIR/here.err"
    wait_for has_lines 3000 "$DIR/here"
    echo "line 3001" >&9
    close_feed
    join "$feeder"
    expect_status 0
    wait_for has_lines 3001 "$DIR/here"
    seq -f 'line %g' 1 3001 >"$DIR/expected"
    expect_same "$DIR/here" "$DIR/expected"
    expect_equal "$(size_of "$SPOOL")" 0
    PORT=$port BROKER_LOG=$log
    use_broker
    expect_got
}

@test "-l that finds the spool full waits, then names the first line that is not kept" {
    mapfile -t lines < <(seq -f 'line %g' 1 100)
    printf '%s\n' "${lines[@]}" >"$DIR/in"
    push_dead -o spool_max=4096 -o timeout=1 -l <"$DIR/in"
    expect_status 73
    expect_match "$ERR" 'line [0-9]+ is refused, those before it are sent or in the spool'
    local kept
    kept=$(grep -Eo 'line [0-9]+ is refused' "$ERR" | grep -Eo '[0-9]+')
    expect_within "$kept" 10 60
    expect_got "${lines[@]:0:kept-1}"
}

@test "-l that is stopped keeps the lines that it has read, and names the one that was not finished" {
    PUSH
    open_feed
    start "$STS" "${DEAD[@]}" "${PUSH[@]}" -l <"$FEED" 2>"$DIR/l.err"
    printf 'one\ntwo\nthr' >&9
    wait_for has_text 'next attempt' "$DIR/l.err"
    wait_for test -s "$SPOOL"
    kill -TERM "$BG"
    join "$BG"
    close_feed
    expect_status 75
    expect_match "$DIR/l.err" 'a line was not finished: its 3 bytes are not kept'
    expect_got one two
}
