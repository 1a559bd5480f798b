#!/usr/bin/env bats
# resilience.bats - what the other files leave of: brokers and links that go and come back, in every
# mode that runs long; names with dead addresses; readers that are slow or go away; wrong clocks.
# shellcheck shell=bash disable=SC2030,SC2031,SC2153,SC2317

load lib

setup() {
    DIR=$(scratch)
}

teardown() {
    stop_all
}

# ---- ends ----

# Runs it with NAME.out and NAME.err; its process id is PID[NAME].
declare -gA PID

run_in_background() { # NAME COMMAND...
    local name=$1

    shift
    start "$@" >"$DIR/$name.out" 2>"$DIR/$name.err"
    PID[$name]=$BG
}

begin() { # NAME ARGUMENT...
    run_in_background "$1" "$STS" "${TO[@]}" "${@:2}"
}

# The same, fed with lines. A program holds the other end of the FIFO, because a descriptor of this
# shell would be inherited by all that is started later.
declare -gA FEED_OF HOLDER

begin_fed() { # NAME ARGUMENT...
    open_feed
    start "$STS" "${TO[@]}" "${@:2}" <"$FEED" >"$DIR/$1.out" 2>"$DIR/$1.err"
    PID[$1]=$BG
    start sleep 1000 >"$FEED"
    HOLDER[$1]=$BG
    close_feed
    FEED_OF[$1]=$FEED
}

feed() { # NAME LINE
    echo "$2" >"${FEED_OF[$1]}"
}

end_feed() { # NAME
    kill "${HOLDER[$1]}"
}

ended() { # NAME STATUS
    join "${PID[$1]}" || fail "$1 does not end" "$(cat "$DIR/$1.err")"
    [[ $status == "$2" ]] || fail "$1: exit status $status, not $2" "$(cat "$DIR/$1.err")"
}

terminated() { # NAME STATUS
    kill -TERM "${PID[$1]}"
    ended "$@"
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

# ---- brokers that restart ----

@test "every mode that runs long: a restart of the broker is a log line; what comes later arrives" {
    make_ends
    start_broker
    begin nosec -r -o subtop=t
    begin collect -r "${COLLECT[@]}"
    begin slave -r "${SLAVE[@]}"
    begin_fed lines -v -l -o pubtop=l
    begin_fed push -v -l "${PUSH[@]}"
    begin_fed shell
    printf '%s\n' 'ip = 127.0.0.1' "port = $PORT" 'subtop = shell/in' 'pubtop = shell/out' \
        >"$DIR/shell.conf"
    feed shell "start $DIR/shell.conf"
    feed lines before
    feed push before
    for name in nosec collect slave shell; do
        wait_said "$name" 1 ' subscribed to '
    done
    for name in lines push; do
        wait_said "$name" 1 ' connected to broker'
    done
    wait_out collect before
    kill_broker
    for name in nosec collect slave shell lines push; do
        wait_said "$name" 1 '\[WARN\].*next attempt in [0-9]+\.[0-9] s$'
    done
    run_broker
    for name in nosec collect slave shell; do
        wait_said "$name" 2 ' subscribed to '
    done
    for name in lines push; do
        wait_said "$name" 2 ' connected to broker'
    done
    sub_start listener -q 1 -t l -t shell/out
    feed push after
    wait_out collect after
    feed lines after
    wait_out listener after
    pub -q 1 -t t -m after
    wait_out nosec after
    pub -q 1 -t shell/in -m after
    wait_out shell after
    feed shell 'send from the shell'
    wait_out listener 'from the shell'
    sts "${TO[@]}" "${MASTER[@]}" -s after
    expect_status 0
    wait_out slave after
    for name in lines push shell; do
        end_feed "$name"
        ended "$name" 0
    done
    for name in nosec collect slave; do
        terminated "$name" 0
    done
    expect_content "$DIR/collect.out" $'before\nafter'
}

@test "two shells in a session: its keys outlive the broker's restart, both ways" {
    make_ends
    start_broker
    begin_fed slave "${SLAVE[@]}"
    begin_fed master "${MASTER[@]}"
    : >"$DIR/empty.conf"
    feed slave "start $DIR/empty.conf"
    wait_said slave 1 'waiting for a master'
    feed master "start $DIR/empty.conf"
    for name in slave master; do
        wait_said "$name" 1 'session established'
    done
    for round in 1 2; do
        kill_broker
        for name in slave master; do
            wait_said "$name" "$round" '\[WARN\].*next attempt in'
        done
        run_broker
        for name in slave master; do
            wait_said "$name" $((round + 1)) ' subscribed to '
        done
        feed master "sendenc to the slave $round"
        wait_out slave "to the slave $round"
        feed slave "sendenc to the master $round"
        wait_out master "to the master $round"
    done
    for name in slave master; do
        expect_equal "$(grep -c 'session established' "$DIR/$name.err")" 1
        expect_no_match "$DIR/$name.err" 'lost$'
    done
    end_feed master
    ended master 0
    end_feed slave
    ended slave 0
}

# The announced waits of a receiver, in tenths of a second.
waits() { # NAME
    grep -Eo 'next attempt in [0-9]+\.[0-9] s$' "$DIR/$1.err" | tr -dc '0-9\n'
}

@test "waits between attempts: from 1 to 2 s on, doubled, different, anew after a good connection" {
    start_broker
    names=(w1 w2 w3 w4 w5 w6)
    for name in "${names[@]}"; do
        begin "$name" -r -o "clientid=$name" -o subtop=t -o keepalive=1
    done
    for name in "${names[@]}"; do
        wait_for broker_saw "Sending PINGRESP to $name\$"
    done
    kill_broker
    for name in "${names[@]}"; do
        wait_said "$name" 3 'next attempt in'
        bound=20
        for wait in $(waits "$name" | head -3); do
            expect_within $((10#$wait)) $((bound / 2)) "$bound"
            bound=$((2 * bound))
        done
    done
    different=$(for name in "${names[@]}"; do waits "$name" | head -3 | paste -sd' '; done |
        sort -u | wc -l)
    expect_within "$different" 3 6
    run_broker
    for name in "${names[@]}"; do
        wait_for broker_saw "Sending PINGRESP to $name\$"
        before[${#before[@]}]=$(waits "$name" | wc -l)
    done
    kill_broker
    for i in "${!names[@]}"; do
        wait_said "${names[i]}" $((before[i] + 1)) 'next attempt in'
        expect_within "$((10#$(waits "${names[i]}" | sed -n "$((before[i] + 1))p")))" 10 20
    done
}

# ---- flows ----

# hostile SCENARIO...: hostile brokers; HOSTILE[SCENARIO] is the port of each.
declare -gA HOSTILE

hostile() {
    local name port

    start /usr/bin/python3 -B "$BATS_TEST_DIRNAME/hostile_broker.py" "$DIR" "$@" \
        >"$DIR/python" 2>&1
    wait_for test -f "$DIR/ports"
    while read -r name port; do
        HOSTILE[$name]=$port
    done <"$DIR/ports"
}

# What a hostile broker was told: "1:CONNECT 2:PUBLISH/dup ...".
told() {
    sed -nE -e 's/^\{"conn": ([0-9]+), "recv.*"in": "([A-Z]+)".*"dup": true.*/\1:\2\/dup/p' -e t \
        -e 's/^\{"conn": ([0-9]+), "recv.*"in": "([A-Z]+)".*/\1:\2/p' "$DIR/$1.jsonl" | paste -sd' '
}

@test "the shell goes on with what was in flight: DUP, PUBREL" {
    hostile close:PUBLISH:1@1 close:PUBLISH:1@2 close:PUBREL:1@2
    while read -r name options; do
        TO=(-o ip=127.0.0.1 -o "port=${HOSTILE[$name]}" -o pubtop=t)
        # shellcheck disable=SC2206 # they are words
        TO+=($options)
        sts "${TO[@]}" <<<$'start /dev/null\nsend one'
        expect_status 0
        expect_match "$ERR" 'next attempt in'
    done <<'END'
close:PUBLISH:1@1 -o qos=1
close:PUBLISH:1@2 -o qos=2
close:PUBREL:1@2 -o qos=2 -o clean_session=0 -o clientid=it
END
    expect_match <(told close:PUBLISH:1@1) \
        '^1:CONNECT 1:PUBLISH 2:CONNECT 2:PUBLISH/dup 2:DISCONNECT$'
    expect_match <(told close:PUBLISH:1@2) \
        '^1:CONNECT 1:PUBLISH 2:CONNECT 2:PUBLISH/dup 2:PUBREL 2:DISCONNECT$'
    expect_match <(told close:PUBREL:1@2) \
        '^1:CONNECT 1:PUBLISH 1:PUBREL 2:CONNECT 2:PUBREL 2:DISCONNECT$'
}

@test "push -l: what goes again is the same message, with DUP" {
    make_ends
    hostile close:PUBLISH:1
    TO=(-o ip=127.0.0.1 -o "port=${HOSTILE[close:PUBLISH:1]}")
    sts "${TO[@]}" "${PUSH[@]}" -l <<<'a reading'
    expect_status 0
    expect_match <(told close:PUBLISH:1) \
        '^1:CONNECT 1:PUBLISH 2:CONNECT 2:PUBLISH/dup 2:DISCONNECT$'
    expect_equal "$(grep -o '"len".*' "$DIR/close:PUBLISH:1.jsonl" | sort | uniq -c |
        awk '{ print $1 }')" 2
}

# ---- namespaces ----

# new_net: a network of its own, with mounts of its own; `inside COMMAND...` runs in it.
# Undone when the process that holds it is stopped.
new_net() {
    local how

    PATH=$PATH:/usr/sbin:/sbin
    command -v ip >/dev/null || skip 'there is no ip (iproute2)'
    for how in '' -r; do
        # shellcheck disable=SC2086 # it may be no word
        unshare $how -n -m true 2>/dev/null || continue
        # shellcheck disable=SC2086
        start unshare $how -n -m sh -c 'ip link set lo up && exec sleep 1000' </dev/null
        NET=$BG
        INSIDE=(nsenter -t "$NET" ${how:+-U --preserve-credentials} -n -m)
        wait_for lo_is_up
        return
    done
    skip 'a network namespace is not to be had here'
}

inside() {
    "${INSIDE[@]}" "$@"
}

lo_is_up() {
    inside ip link show lo 2>/dev/null | grep -q '[<,]UP[,>]'
}

# inside_broker ADDRESS: a mosquitto in there, port 1883.
inside_broker() {
    BROKER_LOG=$DIR/broker.log
    printf '%s\n' "listener 1883 $1" "user $(id -un)" 'log_dest stderr' 'log_type all' \
        'allow_anonymous true' 'max_queued_messages 0' 'sys_interval 0' >"$DIR/broker.conf"
    start "${INSIDE[@]}" "$(command -v mosquitto)" -c "$DIR/broker.conf" \
        >/dev/null 2>"$BROKER_LOG"
    BROKER_PID=$BG
    wait_for broker_settled
    alive "$BROKER_PID" || fail "$(cat "$BROKER_LOG")"
}

# Another network at the end of a cable: "${THERE[@]}" COMMAND... runs there. Its address is
# 10.9.9.2, that of the first one 10.9.9.1.
plug_in() {
    start "${INSIDE[@]}" unshare -n sleep 1000 </dev/null
    THERE=("${INSIDE[@]:0:1}" -t "$BG" "${INSIDE[@]:3}")
    wait_for is_apart "$BG"
    inside ip link add here type veth peer name there netns "$BG"
    inside ip addr add 10.9.9.1/24 dev here
    inside ip link set here up
    "${THERE[@]}" ip addr add 10.9.9.2/24 dev there
    "${THERE[@]}" ip link set there up
}

is_apart() {
    local net

    net=$(readlink "/proc/$1/ns/net" 2>/dev/null)
    [[ -n $net && $net != "$(readlink "/proc/$NET/ns/net")" &&
        $net != "$(readlink /proc/self/ns/net)" ]]
}

# ---- a dead link ----

@test "the link is taken down: keepalive finds out, in -r and -l; behind it they go on" {
    new_net
    plug_in
    inside_broker 10.9.9.1
    TO=(-o ip=10.9.9.1 -o port=1883 -o keepalive=1)
    begin_there() {
        run_in_background "$1" "${THERE[@]}" "$STS" "${TO[@]}" "${@:2}"
    }
    begin_there recv -r -o clientid=recv -o subtop=t -o timeout=2
    open_feed
    start "${THERE[@]}" "$STS" "${TO[@]}" -v -l -o clientid=lines -o pubtop=t -o timeout=5 \
        <"$FEED" >"$DIR/lines.out" 2>"$DIR/lines.err"
    PID[lines]=$BG
    wait_said recv 1 ' subscribed to '
    echo one >&9
    wait_out recv one
    inside ip link set here down
    wait_said recv 1 'does not answer PINGREQ.*next attempt in'
    wait_said lines 1 'does not answer PINGREQ.*next attempt in'
    inside ip link set here up
    wait_said recv 2 ' subscribed to '
    wait_said lines 2 ' connected to broker'
    echo two >&9
    wait_out recv two
    close_feed
    ended lines 0
    terminated recv 0
    expect_content "$DIR/recv.out" $'one\ntwo'
}

@test "the link is taken down with a message on its way: it is sent again" {
    new_net
    plug_in
    inside_broker 10.9.9.1
    TO=(-o ip=10.9.9.1 -o port=1883 -o keepalive=1)
    open_feed
    start "${THERE[@]}" "$STS" "${TO[@]}" -v -l -o clientid=lines -o pubtop=t -o timeout=4 \
        -o qos=2 -o clean_session=0 <"$FEED" >"$DIR/lines.out" 2>"$DIR/lines.err"
    PID[lines]=$BG
    run_in_background recv "${INSIDE[@]}" "$STS" "${TO[@]}" -r -o subtop=t -o qos=2
    wait_said recv 1 ' subscribed to '
    echo one >&9
    wait_out recv one
    inside ip link set here down
    echo two >&9
    wait_said lines 1 'no acknowledgement in time.*next attempt in'
    inside ip link set here up
    wait_out recv two
    echo three >&9
    close_feed
    ended lines 0
    wait_out recv three
    terminated recv 0
    expect_content "$DIR/recv.out" $'one\ntwo\nthree'
}

# ---- names ----

# A listener whose queue is full: what comes to it is swallowed, neither taken nor refused.
swallow() { # ADDRESS
    start "${INSIDE[@]}" /usr/bin/python3 -c 'import signal, socket, sys
listener, fillers = socket.socket(), [socket.socket() for _ in range(4)]
listener.bind((sys.argv[1], 1883))
listener.listen(0)
for filler in fillers:
    filler.setblocking(False)
    filler.connect_ex((sys.argv[1], 1883))
open(sys.argv[2], "w").close()
signal.pause()' "$1" "$DIR/swallows"
    wait_for test -e "$DIR/swallows"
}

@test "one-shot modes try every address of a name: unreachable, refused, silent, good" {
    new_net
    make_ends
    # No route leads to the first one; nobody listens at the second.
    printf '%s many.test\n' 192.0.2.1 127.0.0.2 127.0.0.3 127.0.0.4 >"$DIR/hosts"
    inside mount --bind "$DIR/hosts" /etc/hosts || skip 'nothing can be mounted here'
    swallow 127.0.0.3
    inside_broker 127.0.0.4
    many=(-o host=many.test -o timeout=3)
    by_name() { # STATUS ARGUMENT...
        status=0
        timeout 60 "${INSIDE[@]}" "$STS" "${many[@]}" "${@:2}" >"$DIR/run.out" \
            2>"$DIR/run.err" || status=$?
        [[ $status == "$1" ]] || fail "$*: $status" "$(cat "$DIR/run.err")"
    }
    by_name 0 "${PUSH[@]}" -s x
    by_name 0 -o pubtop=t -o qos=0 -s x
    printf '1\n2\n' | by_name 0 -o pubtop=t -l
    by_name 75 -o subtop=t -r -n 1 -w 3
    expect_match "$DIR/run.err" ' subscribed to t$'
    by_name 75 "${COLLECT[@]}" -r -n 1 -w 3
    expect_match "$DIR/run.err" ' subscribed to p/#$'
    # Without the good one: within `timeout`, and with the last one's reason.
    printf '%s many.test\n' 192.0.2.1 127.0.0.3 127.0.0.2 >"$DIR/hosts"
    by_name 69 -o pubtop=t -s x
    expect_match "$DIR/run.err" 'cannot connect to many.test port 1883: Connection refused$'
}

# ---- acknowledgement after output ----

# acknowledged CLIENT QOS: how many messages the broker has been told are written.
acknowledged() {
    broker_count "Received $( (($2 == 1)) && echo PUBACK || echo PUBREC) from $1 "
}

# A reader that takes one line and goes away, while more are there than a pipe holds. Each has 101
# bytes; no more of them are acknowledged than were written.
reader_goes() { # CLIENT QOS ARGUMENT...
    local client=$1 qos=$2 written

    open_drain
    start strace -D -o "$DIR/$client.trace" -e trace=write "$STS" "${TO[@]}" "${@:3}" -r >"$DRAIN" \
        2>"$DIR/$client.err"
    PID[$client]=$BG
    drain_only
    head -1 <&8 >"$DIR/$client.first"
    wait_for broker_saw "Received PINGREQ from $client\$"   # it is blocked: the rest waits
    close_drain
    ended "$client" 0
    wait_for broker_saw "Client $client (disconnected|closed)"
    written=$(sed -nE 's/^write\(1, .* = ([0-9]+)$/\1/p' "$DIR/$client.trace" |
        awk '{ sum += $1 } END { print sum + 0 }')
    expect_within "$(acknowledged "$client" "$qos")" 1 $((written / 101))
}

@test "-r: a reader that goes away: what was not written is not acknowledged, and comes again" {
    start_broker
    seq -f '%0100.0f' 3000 >"$DIR/lines"
    for qos in 1 2; do
        client=reader$qos
        keep=(-o "clientid=$client" -o clean_session=0 -o "qos=$qos" -o "subtop=t$qos"
            -o keepalive=1)
        sts "${TO[@]}" "${keep[@]}" -r -w 1
        expect_status 75
        pub -q "$qos" -t "t$qos" -l <"$DIR/lines"
        reader_goes "$client" "$qos" "${keep[@]}"
        expect_content "$DIR/$client.first" "$(head -1 "$DIR/lines")"
        known=$(acknowledged "$client" "$qos")
        expect_within "$known" 1 2999
        sts "${TO[@]}" "${keep[@]}" -r -n $((3000 - known))
        expect_status 0
        tail -n "+$((known + 1))" "$DIR/lines" >"$DIR/rest"
        expect_same "$OUT" "$DIR/rest"
    done
}

@test "a collector: a reader that goes away: what was not written comes again" {
    start_broker
    make_ends
    sts "${TO[@]}" "${COLLECT[@]}" -o clientid=col -r -w 1
    expect_status 75
    seq -f '%0100.0f' 2000 | sts "${TO[@]}" "${PUSH[@]}" -l
    reader_goes col 1 "${COLLECT[@]}" -o clientid=col -o keepalive=1
    known=$(acknowledged col 1)
    expect_within "$known" 1 1999
    sts "${TO[@]}" "${COLLECT[@]}" -o clientid=col -r -n $((2000 - known)) -w 30
    expect_status 0
    expect_equal "$(<"$OUT")" "$(seq -f '%0100.0f' $((known + 1)) 2000)"
}

@test "a slow reader, QoS 2, -r and collect: keepalive goes on, each message once" {
    start_broker
    make_ends
    # So long that those in flight do not fit the output buffer: nothing can be read meanwhile.
    seq -f '%03000.0f' 200 >"$DIR/lines"
    for mode in recv collect; do
        options=(-o subtop=t)
        [[ $mode == recv ]] || options=("${COLLECT[@]}")
        open_drain
        start "$STS" "${TO[@]}" "${options[@]}" -r -n 200 -o "clientid=$mode" -o keepalive=1 \
            -o timeout=1 -o qos=2 >"$DRAIN" 2>"$DIR/$mode.err"
        PID[$mode]=$BG
        drain_only
        wait_for subscribed "$mode"
        if [[ $mode == recv ]]; then
            pub -q 2 -t t -l <"$DIR/lines"
        else
            sts "${TO[@]}" "${PUSH[@]}" -o qos=2 -l <"$DIR/lines"
            expect_status 0
        fi
        # More than twice as long as a silent broker is given.
        thrice() { (($(broker_count "Received PINGREQ from $mode\$") >= 4)); }
        wait_for thrice
        cat <&8 >"$DIR/$mode.read"
        ended "$mode" 0
        close_drain
        expect_same "$DIR/$mode.read" "$DIR/lines"
        expect_equal "$(broker_count "New client connected from .* as $mode ")" 1
    done
}

# ---- clocks ----

YEAR_S=31536000

# set_clock SECONDS: how wrong the clock is that `wrongly COMMAND...` goes by.
set_clock() {
    echo "$1" >"$DIR/offset.new"
    mv "$DIR/offset.new" "$DIR/offset"
}

wrongly() {
    /usr/bin/python3 -B "$BATS_TEST_DIRNAME/wall_clock.py" "$DIR/offset" "$@"
}

need_wrong_clock() {
    local year

    set_clock -$((30 * YEAR_S))
    year=$(wrongly "$STS" -o ip=127.0.0.1 -o port=1 -o pubtop=t -s x 2>&1 | cut -c1-4) || true
    [[ $year == "$(date -u -d '10950 days ago' +%Y)" ]] ||
        skip 'the clock of one program cannot be set here'
}

# push_wrongly ARGUMENT...: `status`, $ERR.
push_wrongly() {
    ERR=$DIR/push.err
    status=0
    timeout 60 /usr/bin/python3 -B "$BATS_TEST_DIRNAME/wall_clock.py" "$DIR/offset" "$STS" \
        "${TO[@]}" "${PUSH[@]}" "$@" 2>"$ERR" || status=$?
}

ids() {
    sed -E 's/.*"id":([0-9]+),.*/\1/' "$DIR/collect.out"
}

@test "a device in 1970: with a state it sends, and its ids go on; without one it says why not" {
    need_wrong_clock
    make_ends
    start_broker
    begin collect -v -v -r -j "${COLLECT[@]}"
    wait_said collect 1 ' subscribed to '
    set_clock 0
    push_wrongly -o "state=$DIR/dev.state" -s 'in time'
    expect_status 0
    set_clock "-$(date +%s)"
    push_wrongly -v -o "state=$DIR/dev.state" -s 'in 1970'
    expect_status 0
    expect_match "$ERR" '^1970-01-01 00:'
    push_wrongly -o "state=$DIR/dev.state" -l <<<$'one\ntwo'
    expect_status 0
    for action in '-s x' '-s -' -l; do
        # shellcheck disable=SC2086 # they are words
        push_wrongly $action <<<x
        expect_status 75
        expect_match "$ERR" 'the clock is not set.*: set it, or configure a state$'
    done
    set_clock 0
    push_wrongly -o "state=$DIR/dev.state" -s 'in time again'
    expect_status 0
    wait_for has_lines 5 "$DIR/collect.out"
    terminated collect 0
    expect_equal "$(sed -E 's/.*"payload":"(.*)"\}$/\1/' "$DIR/collect.out" | paste -sd,)" \
        'in time,in 1970,one,two,in time again'
    expect_equal "$(ids | sort -n)" "$(ids)"
    first=$(ids | head -1)
    expect_equal "$(ids | sed -n 2,3p | paste -sd' ')" "$((first + 1)) $((first + 2))"
}

@test "a clock that is set back and forth between runs: with a state ids rise, nothing is lost" {
    need_wrong_clock
    make_ends
    start_broker
    begin collect -v -v -r -j "${COLLECT[@]}"
    wait_said collect 1 ' subscribed to '
    for offset in 0 -$YEAR_S $((YEAR_S / 2)) -3 0 $((2 * YEAR_S)) -$((2 * YEAR_S)); do
        set_clock "$offset"
        push_wrongly -o "state=$DIR/dev.state" -s "at $offset"
        expect_status 0
    done
    push_wrongly -o "state=$DIR/dev.state" -l < <(seq 32)
    expect_status 0
    wait_for has_lines 39 "$DIR/collect.out"
    expect_equal "$(ids | sort -nu)" "$(ids)"
    # Without a state, a clock that stands behind all that a collector remembers is of no use.
    push_wrongly -s late
    expect_status 0
    push_wrongly -o "state=$DIR/dev.state" -s end
    wait_for has_lines 40 "$DIR/collect.out"
    expect_no_match "$DIR/collect.out" late
    expect_match "$DIR/collect.err" 'dropped a payload: a push that was taken before'
}

@test "a clock that is set back and forth during -l and -r: nothing ends early or late" {
    need_wrong_clock
    make_ends
    start_broker
    set_clock 0
    run_in_background collect /usr/bin/python3 -B "$BATS_TEST_DIRNAME/wall_clock.py" \
        "$DIR/offset" "$STS" "${TO[@]}" -r -j "${COLLECT[@]}" -o clientid=col -o keepalive=1 \
        -o timeout=2
    open_feed
    start /usr/bin/python3 -B "$BATS_TEST_DIRNAME/wall_clock.py" "$DIR/offset" "$STS" \
        "${TO[@]}" -l "${PUSH[@]}" -o "state=$DIR/dev.state" -o clientid=dev -o keepalive=1 \
        -o timeout=2 <"$FEED" >"$DIR/push.out" 2>"$DIR/push.err"
    PID[push]=$BG
    run_in_background waits /usr/bin/python3 -B "$BATS_TEST_DIRNAME/wall_clock.py" \
        "$DIR/offset" "$STS" "${TO[@]}" -r -o subtop=none -w 3
    wait_said collect 1 ' subscribed to '
    wait_said waits 1 ' subscribed to '
    count=0
    for offset in $YEAR_S -$YEAR_S -$((40 * YEAR_S)) 10 -10 $((10 * YEAR_S)) 0; do
        set_clock "$offset"
        echo "at $offset" >&9
        count=$((count + 1))
        wait_for has_lines "$count" "$DIR/collect.out"
        expect_match <(tail -1 "$DIR/collect.out") \
            "^.\"time\":\"($(date -u -d "$offset seconds" +%Y-%m-%dT%H)|\
$(date -u -d "$((offset - 60)) seconds" +%Y-%m-%dT%H))"
        pinged=$(broker_count 'Received PINGREQ from (col|dev)$')
        pings() { (($(broker_count 'Received PINGREQ from (col|dev)$') > pinged)); }
        wait_for pings
    done
    ended waits 75
    close_feed
    ended push 0
    expect_empty "$DIR/push.err"
    terminated collect 0
    expect_equal "$(ids | sort -nu)" "$(ids)"
    for client in col dev; do
        expect_equal "$(broker_count "New client connected from .* as $client ")" 1
    done
    # A ping each second, as before: none was sent early either.
    expect_no_match "$DIR/collect.err" 'WARN|ERROR'
}

@test "a monotonic clock near 0, and far from it" {
    unshare --time true 2>/dev/null || skip 'a time namespace is not to be had here'
    start_broker
    up_s=$(cut -d. -f1 /proc/uptime)
    # The second one passes 2^32 milliseconds on its way.
    for offset in $((1 - up_s)) $((4294966 - up_s)) 1000000000; do
        client=time$((offset % 1000))
        run_in_background "$client" unshare --time --monotonic "$offset" "$STS" "${TO[@]}" -r \
            -o "clientid=$client" -o subtop=t -o keepalive=1 -n 2
        wait_for subscribed "$client"
        wait_for broker_saw "Sending PINGRESP to $client\$"
        pub -q 1 -t t -m one
        status=0
        timeout 30 unshare --time --monotonic "$offset" "$STS" "${TO[@]}" -o pubtop=t -s two ||
            status=$?
        expect_equal "$status" 0
        ended "$client" 0
        expect_content "$DIR/$client.out" $'one\ntwo'
        expect_no_match "$DIR/$client.err" 'WARN|ERROR'
    done
}
