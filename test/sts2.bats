#!/usr/bin/env bats
# sts2.bats - STS/2 sessions of two real processes through a real broker; among them processes that
# are frozen or killed, brokers that restart, and somebody hostile (sts2_hostile.py).
#
# Most of the time of a session is waiting. So all scenes run side by side before the first test, and
# a test tells how its scene ended. Each scene has a folder ($DIR), topics and client ids of its own;
# what it printed is shown when it failed. SCENES="a b" runs only these.
# shellcheck shell=bash disable=SC2030,SC2031,SC2094

load lib

AT_ONCE=${AT_ONCE:-10}

setup_file() {
    local name

    KEYS=$BATS_FILE_TMPDIR
    for name in master slave second stranger; do
        "$STS" -k "$KEYS/$name.key" >"$KEYS/$name.pub"
    done
    start_broker
    for name in ${SCENES:-$(sed -nE 's/^ +passed ([a-z0-9_ ]+)$/\1/p' "$BATS_TEST_FILENAME")}; do
        while (($(jobs -pr | wc -l) > AT_ONCE)); do # the broker is one of them
            wait -n || true
        done
        mkdir "$BATS_FILE_TMPDIR/$name"
        run_scene "$name" >"$BATS_FILE_TMPDIR/$name/log" 2>&1 </dev/null 3>&- &
    done
    for name in $(jobs -pr); do
        [[ $name == "$BROKER_PID" ]] || wait "$name" || true
    done
}

teardown_file() {
    stop_all
}

# ---- scenes ----

run_scene() {
    SCENE=$1
    BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR/$SCENE
    DIR=$BATS_TEST_TMPDIR
    TOPIC=t/$SCENE
    TO=(-o ip=127.0.0.1 -o "port=$PORT")
    # shellcheck disable=SC2034 # what stop_all stops: not the broker of all scenes
    PIDS=()
    declare -gA PID=()
    printf 'one\ntwo\nthree\n' >"$DIR/lines"
    trap 'echo "line $LINENO: $BASH_COMMAND" >&2' ERR
    trap 'echo $? >"$DIR/status"; stop_all' EXIT
    "scene_$SCENE"
}

passed() { # SCENE...
    local scene dir bad=0 ran=0

    for scene in "$@"; do
        dir=$BATS_FILE_TMPDIR/$scene
        [[ -d $dir || ! ${SCENES:-} ]] || continue
        ran=1
        [[ ! -f $dir/status || $(cat "$dir/status") != 0 ]] || continue
        bad=$((bad + 1))
        echo "== $scene"
        cat "$dir/log" || true
        tail -n 12 "$dir"/*.err | cat -v || true
    done
    ((ran == 1)) || skip 'not among SCENES'
    ((bad == 0))
}

# ---- two ends ----

public() {
    cat "$KEYS/$1.pub"
}

# The options of one end into SIDE. KEY: its key, when not that of its role. PEER: the key of the
# other end, when not that of the other role. PEERS: a file instead.
side() { # ROLE
    local own=s2m other=m2s peer=master

    [[ $1 == slave ]] || own=m2s other=s2m peer=slave
    SIDE=("${TO[@]}" -o aes=chachapoly -o "sts_mode=$1" -o "key=$KEYS/${KEY:-$1}.key"
        -o "pubtop=$TOPIC/$own")
    [[ ${SUBTOP:-} ]] || SIDE+=(-o "subtop=$TOPIC/$other")
    if [[ ${PEERS:-} ]]; then
        SIDE+=(-o "peers=$PEERS")
    else
        SIDE+=(-o "peer=$(public "${PEER:-$peer}")")
    fi
}

# begin NAME ROLE ARGUMENT...: an end in the background; returns when it is subscribed.
# NAME.out (or $OUT_TO), NAME.err.
begin() {
    local name=$1 role=$2

    shift 2
    side "$role"
    start "$STS" -v -v -o "clientid=$SCENE-$name" "${SIDE[@]}" "$@" >"${OUT_TO:-$DIR/$name.out}" \
        2>"$DIR/$name.err"
    PID[$name]=$BG
    wait_for subscribed_or_gone "$SCENE-$name" "$BG"
}

# The same, to its end; it has to have this exit status.
whole() { # STATUS NAME ROLE ARGUMENT...
    local expected=$1

    shift
    begin "$@"
    ended "$1" "$expected"
}

ended() { # NAME STATUS
    join "${PID[$1]}" || fail "$1 does not end" "$(cat "$(err_of "$1")")"
    [[ $status == "$2" ]] || fail "$1: exit status $status, not $2" "$(cat "$(err_of "$1")")"
}

interrupted() { # NAME
    kill -INT "${PID[$1]}"
    ended "$1" 0
}

vanish() { # NAME
    kill -KILL "${PID[$1]}"
    ended "$1" 137
}

# An end (default: the master) has said so COUNT times (default: once).
established() {
    wait_for said "${2:-1}" 'session established' "$(err_of "${1:-master}")"
}

said() { # COUNT REGEX FILE
    (($(grep -Ec -e "$2" "$3" || true) >= $1))
}

expect_said() { # NAME COUNT REGEX
    expect_equal "$(grep -Ec -e "$3" "$(err_of "$1")" || true)" "$2"
}

expect_out() { # NAME TEXT
    expect_content "$(out_of "$1")" "$2"
}

wait_out() { # NAME COUNT
    wait_for has_lines "$2" "$(out_of "$1")"
}

# Somebody who takes down the sizes of what is published on one of the two topics.
watch() { # m2s|s2m
    sub_start "$SCENE-$1" -q 1 -t "$TOPIC/$1" -F '%l %U %x'
}

seen() { # m2s|s2m
    out_of "$SCENE-$1"
}

sizes() { # m2s|s2m
    cut -d' ' -f1 "$(seen "$1")" | paste -sd' '
}

kills() { # m2s|s2m
    grep -Ec '^42 [^ ]+ 0208' "$(seen "$1")" || true
}

text_of() { # LENGTH
    head -c "$1" < <(yes abcdefghijklmnopqrstuvwxyz0123456789 | tr -d '\n')
}

# A session from one end's one-shot send to the other end's -r. A master that receives ends with the
# slave's KILL; a slave would wait for the next master.
carries() { # ROLE-OF-SENDER NAME FILE-EXPECTED ARGUMENT...
    local role=$1 name=$2 expected=$3

    shift 3
    if [[ $role == master ]]; then
        begin "$name-r" slave -r "${OPTIONS[@]}"
        whole 0 "$name" master "$@" "${OPTIONS[@]}"
        interrupted "$name-r"
    else
        begin "$name" slave "$@" "${OPTIONS[@]}"
        begin "$name-r" master -r "${OPTIONS[@]}"
        ended "$name" 0
        ended "$name-r" 0
    fi
    expect_same "$(out_of "$name-r")" "$expected"
    expect_empty "$(out_of "$name")"
}

all_kinds() { # OPTION...
    local role OPTIONS=("$@")

    echo hello >"$DIR/hello"
    printf 'from input' >"$DIR/input"
    echo 'from input' >"$DIR/from-input"
    for role in master slave; do
        carries $role $role-s "$DIR/hello" -s hello
        carries $role $role-l "$DIR/lines" -l <"$DIR/lines"
        carries $role $role-input "$DIR/from-input" -s - <"$DIR/input"
    done
}

# ---- messages ----

scene_qos0() {
    all_kinds -o qos=0
}

@test "-s, -l and -s - by either end to -r at the other, QoS 0" {
    passed qos0
}

scene_qos1() {
    all_kinds -o qos=1
}

@test "the same, QoS 1" {
    passed qos1
}

scene_qos2() {
    all_kinds -o qos=2
}

@test "the same, QoS 2" {
    passed qos2
}

scene_mqtt31() {
    all_kinds -o mqtt_version=3
}

@test "the same, MQTT 3.1" {
    passed mqtt31
}

# Two shells; what is written to descriptor 9 is the master's input, 8 the slave's.
open_shells() { # OPTION...
    local end

    for end in slave master; do
        side $end
        mkfifo "$DIR/$end.feed"
        printf '%s\n' "ip = 127.0.0.1" "port = $PORT" "sts_mode = $end" 'aes = chachapoly' \
            "clientid = $SCENE-$end" "key = $KEYS/$end.key" >"$DIR/$end.conf"
    done
    printf '%s\n' "peer = $(public slave)" "pubtop = $TOPIC/m2s" "subtop = $TOPIC/s2m" \
        >>"$DIR/master.conf"
    printf '%s\n' "peer = $(public master)" "pubtop = $TOPIC/s2m" "subtop = $TOPIC/m2s" \
        >>"$DIR/slave.conf"
    exec 8<>"$DIR/slave.feed" 9<>"$DIR/master.feed"
    for end in slave master; do
        start "$STS" -c "$DIR/$end.conf" "$@" <"$DIR/$end.feed" >"$DIR/$end.out" 2>"$DIR/$end.err"
        PID[$end]=$BG
        wait_for subscribed_or_gone "$SCENE-$end" "$BG"
    done
    established master
    established slave
}

scene_shells() {
    local i

    watch s2m
    open_shells
    for i in {1..20}; do
        echo "sendenc from the master $i" >&9
        echo "sendenc from the slave $i" >&8
    done
    wait_out slave 20
    wait_out master 20
    echo status >&9
    echo exit >&9
    ended master 0
    wait_for has_text 'the master ended the session' "$(err_of slave)"
    echo exit >&8
    ended slave 0
    expect_out master "$(printf 'from the slave %d\n' {1..20})"
    expect_out slave "$(printf 'from the master %d\n' {1..20})"
    expect_equal "$(kills s2m)" 1
}

@test "two shells talk, both ways at once" {
    passed shells
}

scene_shell_unheard() {
    open_shells -o timeout=2
    kill -STOP "${PID[slave]}"
    echo 'sendenc nobody reads this' >&9
    echo exit >&9
    ended master 75
    expect_said master 1 'did not say that it has every message'
}

@test "a shell that stops without the receipt of the other end: says so, 75" {
    passed shell_unheard
}

scene_sizes() {
    local size

    for size in {0..64} 255 256 4096 16383 16384; do
        text_of "$size"
        echo
    done >"$DIR/all"
    OPTIONS=()
    carries master up "$DIR/all" -l <"$DIR/all"
    carries slave down "$DIR/all" -l <"$DIR/all"
}

@test "texts of 0 to 64 bytes, and up to 16384" {
    passed sizes
}

scene_too_long() {
    text_of 16385 >"$DIR/long"
    whole 65 unsent master -s - <"$DIR/long"
    expect_match "$(err_of unsent)" 'too long: (at least )?16385 bytes, the limit is 16384'
    expect_no_match "$BROKER_LOG" " as $SCENE-unsent "

    watch m2s
    begin slave slave -r
    whole 65 master master -l < <(echo before; cat "$DIR/long"; printf '\nbehind\n')
    interrupted slave
    expect_out slave before
    wait_for test "$(kills m2s)" != 0
    awk '$1 > 106 { exit 1 }' "$(seen m2s)" || fail "$(sizes m2s)"
}

@test "16385 bytes: 65, and nothing of it is sent" {
    passed too_long
}

scene_bytes() {
    local OPTIONS=() i

    for i in {0..255}; do
        printf '%b' "\\0$(printf %o "$i")"
    done >"$DIR/bytes"
    expect_equal "$(wc -c <"$DIR/bytes")" 256
    { cat "$DIR/bytes"; echo; } >"$DIR/expected"
    begin slave slave -r
    whole 0 master master -s - <"$DIR/bytes"
    interrupted slave
    expect_same "$(out_of slave)" "$DIR/expected"

    begin slave2 slave -s - <"$DIR/bytes"
    whole 0 master2 master -r
    ended slave2 0
    expect_same "$(out_of master2)" "$DIR/expected"

    begin slave3 slave -r -j -n 1
    whole 0 master3 master -s - <"$DIR/bytes"
    ended slave3 0
    expect_equal "$(sed -E 's/.*"payload_base64":"(.*)"\}$/\1/' "$(out_of slave3)")" \
        "$(base64 -w 0 "$DIR/bytes")"
}

@test "every byte value, in one text" {
    passed bytes
}

# ---- who it is ----

# A peers file with the keys of master and second.
write_peers() {
    printf '%s %s\n' kitchen "$(public master)" cellar "$(public second)" >"$DIR/peers"
}

scene_one_peer() {
    begin slave slave -r -j
    whole 0 master master -l < <(printf 'a\nb\n')
    interrupted slave
    expect_equal "$(sed -E 's/^\{"time":"[-0-9T:.]+Z",//' "$(out_of slave)")" \
"\"topic\":\"$TOPIC/m2s\",\"peer\":\"peer\",\"counter\":1,\"payload\":\"a\"}
\"topic\":\"$TOPIC/m2s\",\"peer\":\"peer\",\"counter\":2,\"payload\":\"b\"}"
}

@test "-j: topic, peer, counter" {
    passed one_peer
}

scene_masters_in_turn() {
    write_peers
    PEERS=$DIR/peers begin slave slave -r -j
    whole 0 master1 master -s a
    KEY=second whole 0 second master -s b
    whole 0 master2 master -l < <(printf 'c\nd\n')
    interrupted slave
    expect_equal "$(sed -E 's/.*"peer":"([a-z]+)",.*"payload":"(.*)"\}/\1 \2/' "$(out_of slave)")" \
        $'kitchen a\ncellar b\nkitchen c\nkitchen d'
    expect_equal "$(grep -o 'session established with .*' "$(err_of slave)")" \
"session established with kitchen
session established with cellar
session established with kitchen"
    expect_said slave 3 'the master ended the session'
    expect_said slave 0 'takes the place'
}

@test "masters of a peers file in turn: the slave says who they are, -j too" {
    passed masters_in_turn
}

scene_replacement() {
    write_peers
    open_feed
    PEERS=$DIR/peers begin slave slave -r
    begin master master -l -o timeout=3 <"$FEED"
    echo one >&9
    wait_out slave 1
    KEY=second whole 0 second master -s two
    wait_for has_text 'takes the place' "$(err_of slave)"
    echo three >&9
    close_feed
    ended master 75
    KEY=second whole 0 third master -s four
    interrupted slave
    expect_out slave $'one\ntwo\nfour'
    expect_said slave 1 'takes the place'
}

@test "a second master takes over a running session; the first one's messages are dropped, it gets 75" {
    passed replacement
}

# ---- psk, keys ----

# A try of a master at a slave; how it ends: "through", or why the slave drops.
try() { # EXPECTED SLAVE-OPTION MASTER-OPTION
    local expected=$1
    # shellcheck disable=SC2206 # one word, or none
    local slave=($2) master=($3)

    watch s2m
    begin slave slave -r "${slave[@]}"
    if [[ $expected == through ]]; then
        PEERS='' whole 0 master master -s hello "${master[@]}"
        interrupted slave
        expect_out slave hello
        return
    fi
    PEERS='' whole 75 master master -s hello -o timeout=2 "${master[@]}"
    interrupted slave
    expect_empty "$(out_of slave)"
    expect_empty "$(seen s2m)"
    expect_match "$(err_of slave)" "dropped a payload: $expected"
    expect_said slave 0 'began a handshake'
    expect_said master 1 'no slave answered within 2 s'
}

PSK=1/fbbBmmjUAbWz4jUw0bOSB2OUIqDdXcG2XUJ5KIqZc=
OTHER_PSK=1/fbbBmmjUAbWz4jUw0bOSB2OUIqDdXcG2XUJ5KIqZg=

scene_psk_right() {
    try through "-o psk=$PSK" "-o psk=$PSK"
}

scene_psk_wrong() {
    try 'does not authenticate' "-o psk=$PSK" "-o psk=$OTHER_PSK"
}

scene_psk_only_slave() {
    try 'does not authenticate' "-o psk=$PSK" ''
}

scene_psk_only_master() {
    try 'does not authenticate' '' "-o psk=$PSK"
}

@test "psk: the same at both ends; another one, or none at one end: silence, and 75 within timeout" {
    passed psk_right psk_wrong psk_only_slave psk_only_master
}

psk_file() { # PSK-OF-MASTER
    (umask 077 && printf 'kitchen %s %s\n' "$(public master)" "$1" >"$DIR/peers")
    PEERS=$DIR/peers
}

scene_psk_file_right() {
    psk_file "$PSK"
    try through '' "-o psk=$PSK"
}

scene_psk_file_wrong() {
    psk_file "$PSK"
    try 'does not authenticate' '' "-o psk=$OTHER_PSK"
}

@test "psk in a peers file: likewise" {
    passed psk_file_right psk_file_wrong
}

scene_unknown_master() {
    PEER=stranger begin slave slave -r
    watch s2m
    whole 75 master master -s hello -o timeout=2
    expect_empty "$(seen s2m)"
    expect_match "$(err_of slave)" 'dropped a payload: an unknown key'
    # The one that it knows is not kept out by that.
    KEY=stranger whole 0 known master -s hello
    interrupted slave
    expect_out slave hello
}

scene_unknown_in_file() {
    write_peers
    watch s2m
    PEERS=$DIR/peers begin slave slave -r
    KEY=stranger whole 75 master master -l -o timeout=2 <"$DIR/lines"
    expect_empty "$(seen s2m)"
    interrupted slave
    expect_empty "$(out_of slave)"
}

scene_wrong_slave() {
    watch s2m
    begin slave slave -r
    PEER=stranger whole 75 master master -s hello -o timeout=2
    expect_empty "$(seen s2m)"
    interrupted slave
    expect_empty "$(out_of slave)"
    expect_match "$(err_of slave)" 'dropped a payload: does not authenticate'
}

@test "a master that the slave does not know, another slave than the master wants: silence, and 75" {
    passed unknown_master unknown_in_file wrong_slave
}

# ---- late, killed, restarted ----

scene_late_slave() {
    watch m2s
    begin master master -s hello
    wait_for has_lines 3 "$(seen m2s)"
    begin slave slave -r -n 1
    ended slave 0
    ended master 0
    expect_out slave hello
    # INITREQ after 1, 2, 4 s, all different. Seen from here a gap can be a little shorter.
    expect_equal "$(sizes m2s | cut -d' ' -f1-4)" '106 106 106 106'
    expect_equal "$(head -4 "$(seen m2s)" | cut -d' ' -f3 | sort -u | wc -l)" 4
    head -4 "$(seen m2s)" | awk 'NR > 1 && $2 - last < 2 ^ (NR - 2) * 0.6 { exit 1 } { last = $2 }' ||
        fail "$(cat "$(seen m2s)")"
}

@test "a slave that starts late: the master asks after 1, 2, 4 s, each time anew" {
    passed late_slave
}

scene_killed_slave() {
    open_feed
    begin slave slave -r
    begin master master -l -o timeout=2 <"$FEED"
    echo one >&9
    wait_out slave 1
    vanish slave
    begin again slave -r
    echo two >&9
    close_feed
    ended master 75
    expect_said master 1 'did not say that it has every message'
    whole 0 next master -s three
    interrupted again
    expect_out slave one
    expect_out again three
}

@test "kill -9 of the slave between messages: the master's receipts fall short, 75" {
    passed killed_slave
}

# A message went into a session that the silence of the other end ended: the next session does not
# make up for it.
scene_lost_before() {
    open_feed
    begin slave slave -r
    begin master master -l -o keepalive=1 -o timeout=3 <"$FEED"
    echo one >&9
    wait_out slave 1
    vanish slave
    echo two >&9
    wait_for has_text 'does not answer any more' "$(err_of master)"
    begin again slave -r
    established master 2
    echo three >&9
    wait_out again 1
    close_feed
    ended master 75
    interrupted again
    expect_out again three
}

# The same of a slave that sends: its master freezes, and another one takes over.
scene_lost_in_replaced() {
    open_feed
    begin slave slave -l -o timeout=10 <"$FEED"
    begin master master -r
    echo one >&9
    wait_out master 1
    kill -STOP "${PID[master]}"
    watch s2m
    echo two >&9
    wait_for has_lines 1 "$(seen s2m)"
    vanish master
    begin again master -r
    established slave 2
    echo three >&9
    wait_out again 1
    close_feed
    ended slave 75
    ended again 0
    expect_out again three
}

@test "a message that was lost with an earlier session: 75, whatever the next one says" {
    passed lost_before lost_in_replaced
}

scene_killed_master() {
    open_feed
    begin slave slave -r
    begin master master -l <"$FEED"
    echo one >&9
    wait_out slave 1
    vanish master
    whole 0 again master -s two
    interrupted slave
    expect_out slave $'one\ntwo'
    expect_said slave 1 'takes the place'
}

@test "kill -9 of the master: a new one takes over" {
    passed killed_master
}

scene_state() {
    local i

    begin slave slave -r
    for i in 1 2 3; do
        whole 0 "master$i" master -s "$i" -o "state=$DIR/state"
    done
    interrupted slave
    expect_out slave $'1\n2\n3'
    [[ -s $DIR/state ]]
}

@test "a master with a state file, three runs" {
    passed state
}

# ---- brokers that restart ----

# A session through a broker of its own; "one" has come, then the broker restarted and the master
# is back, while the slave is frozen.
restart_broker() {
    start_broker
    open_feed
    begin slave slave -r -o timeout=3
    begin master master -l -o timeout=10 <"$FEED"
    echo one >&9
    wait_out slave 1
    kill -STOP "${PID[slave]}"
    kill_broker
    run_broker
    wait_for subscribed "$SCENE-master"
}

scene_broker_restarts() {
    restart_broker
    kill -CONT "${PID[slave]}"
    wait_for subscribed "$SCENE-slave"
    echo two >&9
    close_feed
    ended master 0
    interrupted slave
    expect_out slave $'one\ntwo'
    expect_said slave 1 'session established'
    expect_said master 1 'session established'
    expect_said slave 0 'lost$'
}

@test "the session survives a restart of the broker" {
    passed broker_restarts
}

scene_broker_loses() {
    restart_broker
    echo two >&9
    wait_for broker_saw "Sending PUBACK to $SCENE-master"
    kill -CONT "${PID[slave]}"
    wait_for subscribed "$SCENE-slave"
    echo three >&9
    wait_out slave 2
    wait_for has_text '1 messages of the other end are lost' "$(err_of slave)"
    close_feed
    ended master 75
    interrupted slave
    expect_out slave $'one\nthree'
    expect_said slave 1 'session established'
}

@test "what the broker lost meanwhile is reported as a gap, and the sender does not get 0" {
    passed broker_loses
}

# ---- silence ----

scene_frozen_slave() {
    open_feed
    watch m2s
    begin slave slave -r
    begin master master -l -o keepalive=1 <"$FEED"
    established
    established slave
    kill -STOP "${PID[slave]}"
    wait_for has_text 'does not answer any more' "$(err_of master)"
    wait_for has_lines 6 "$(seen m2s)"
    kill -CONT "${PID[slave]}"
    established master 2
    echo hello >&9
    close_feed
    ended master 0
    interrupted slave
    expect_out slave hello
    # Freezing can be late by questions that were answered: three without, then INITREQ again.
    expect_match <(sizes m2s) '^106 26( 26)* 26 26 26 106 '
    awk 'NR > 2 && $1 == 26 && $2 - last < 0.6 { exit 1 } { last = $2 }' \
        <(sed '/^106/q' <(tail -n +2 "$(seen m2s)")) || fail "$(cat "$(seen m2s)")"
}

@test "a frozen slave: three questions, then a new handshake, and the session goes on" {
    passed frozen_slave
}

scene_answers() {
    open_feed
    watch m2s
    watch s2m
    begin slave slave -r
    begin master master -l -o keepalive=1 <"$FEED"
    wait_for has_lines 5 "$(seen s2m)"
    echo hello >&9
    close_feed
    ended master 0
    interrupted slave
    expect_out slave hello
    expect_match <(sizes s2m) '^50 26 26 26 26 (26 )*42$'
    expect_match <(sizes m2s) '^106 26 26 26 26 26 (26 )*31 42$'
}

@test "a slave that is there answers each question" {
    passed answers
}

scene_silent_master() {
    open_feed
    begin slave slave -r -o keepalive=1
    begin master master -l -o timeout=2 <"$FEED"
    established slave
    kill -STOP "${PID[master]}"
    wait_for has_text 'nothing came from the master for long' "$(err_of slave)"
    kill -CONT "${PID[master]}"
    echo late >&9
    close_feed
    ended master 75
    whole 0 next master -s hello
    interrupted slave
    expect_out slave hello
}

@test "a slave that hears nothing for four times keepalive drops the session" {
    passed silent_master
}

scene_keepalive_off() {
    open_feed
    watch m2s
    begin slave slave -r -o keepalive=0
    begin master master -l -o keepalive=0 <"$FEED"
    established slave
    kill -STOP "${PID[slave]}"
    sleep 5
    kill -CONT "${PID[slave]}"
    echo hello >&9
    close_feed
    ended master 0
    interrupted slave
    expect_out slave hello
    expect_equal "$(sizes m2s)" '106 26 31 42'
}

@test "keepalive=0: nobody asks" {
    passed keepalive_off
}

# ---- KILL, receipts ----

# Two connections have at least $1 bytes that the frozen broker has not read.
unread() {
    awk -v port=":$(printf %04X "$PORT")\$" -v bytes="$(printf :%08X "$1")" \
        '$2 ~ port && $4 == "01" && substr($5, 9) >= bytes { n++ } END { exit n < 2 }' \
        /proc/net/tcp
}

scene_crossing() {
    start_broker
    watch m2s
    watch s2m
    open_shells
    kill -STOP "$BROKER_PID"
    echo stop >&9
    echo stop >&8
    wait_for unread 40
    kill -CONT "$BROKER_PID"
    echo exit >&9
    echo exit >&8
    ended master 0
    ended slave 0
    expect_said master 0 'did not answer KILL'
    expect_said slave 0 'did not answer KILL'
    expect_equal "$(kills m2s) $(kills s2m)" '1 1'
}

# Each KILL goes out before the message of the other end has come.
scene_crossing_messages() {
    start_broker
    watch m2s
    watch s2m
    open_shells
    kill -STOP "$BROKER_PID"
    printf 'sendenc from the master\nstop\n' >&9
    printf 'sendenc from the slave\nstop\n' >&8
    wait_for unread 120
    kill -CONT "$BROKER_PID"
    echo exit >&9
    echo exit >&8
    ended master 0
    ended slave 0
    expect_out slave 'from the master'
    expect_out master 'from the slave'
    expect_said master 0 'did not answer KILL|every message'
    expect_said slave 0 'did not answer KILL|every message'
    expect_equal "$(kills m2s) $(kills s2m)" '2 2'
}

@test "KILLs that cross: both ends are content, at once; also when messages cross them" {
    passed crossing crossing_messages
}

# A slave whose output nobody takes, and a master that is through.
clogged() { # FILE OPTION...
    local file=$1

    shift
    watch m2s
    watch s2m
    open_drain
    dd if=/dev/zero of="$DRAIN" bs=4096 count=1024 oflag=nonblock 2>"$DIR/dd" || true
    expect_match "$DIR/dd" 'temporarily unavailable'
    OUT_TO=$DRAIN begin slave slave -r "$@"
    drain_only
    begin master master -l "$@" <"$file"
    wait_for killed m2s
}

killed() { # m2s|s2m
    [[ $(kills "$1") != 0 ]]
}

# Reads what the slave has to say, and ends with it.
unclog() {
    tr -d '\0' <&8 >"$DIR/read" &
    PID[reader]=$!
    close_drain
}

expect_unclogged() { # FILE
    ended master 0
    interrupted slave
    ended reader 0
    expect_same "$DIR/read" "$1"
}

scene_slow_reader() {
    clogged "$DIR/lines"
    wait_for has_text 'the master ended the session' "$(err_of slave)"
    sleep 0.3 # nothing is to happen
    expect_equal "$(kills s2m)" 0
    alive "${PID[master]}"
    unclog
    expect_unclogged "$DIR/lines"
}

# More than the slave can hold: it stops to read.
scene_slow_reader_many() {
    local i

    for i in {1..12}; do
        echo "$i$(text_of 16000)"
    done >"$DIR/many"
    clogged "$DIR/many"
    expect_equal "$(kills s2m)" 0
    unclog
    expect_unclogged "$DIR/many"
}

@test "the receipt waits until all is written out: a slow reader holds the sender up" {
    passed slow_reader slow_reader_many
}

scene_reader_gone() {
    clogged "$DIR/lines" -o timeout=3
    wait_for has_text 'the master ended the session' "$(err_of slave)"
    close_drain
    ended slave 0
    ended master 75
    expect_said master 1 'did not say that it has every message'
}

@test "the slave's reader goes away with messages unwritten: 75 for the sender" {
    passed reader_gone
}

# The receiver is content before the broker confirmed anything to the sender.
scene_count_exact() {
    local qos try OPTIONS

    for qos in 0 1 2; do
        for try in 1 2 3 4; do
            OPTIONS=(-o "qos=$qos" -o timeout=20)
            begin "slave$qos$try" slave -r -n 1 "${OPTIONS[@]}"
            whole 0 "master$qos$try" master -s hello "${OPTIONS[@]}"
            ended "slave$qos$try" 0
            begin "sender$qos$try" slave -s hello "${OPTIONS[@]}"
            whole 0 "receiver$qos$try" master -r -n 1 "${OPTIONS[@]}"
            ended "sender$qos$try" 0
        done
    done
}

@test "-s to a receiver that ends with -n 1: 0 for both, every QoS" {
    passed count_exact
}

scene_count() {
    begin slave slave -r -n 2 -o timeout=3
    begin master master -l -o timeout=3 < <(printf '%s\n' a b c d e)
    ended slave 0
    ended master 75
    expect_out slave $'a\nb'
}

scene_count_master() {
    begin slave slave -l -o timeout=3 < <(printf '%s\n' a b c d e)
    begin master master -r -n 2 -o timeout=3
    ended master 0
    ended slave 75
    expect_out master $'a\nb'
}

scene_count_waiting() {
    open_feed
    begin slave slave -r -n 2
    begin master master -l -o timeout=3 <"$FEED"
    printf 'a\nb\n' >&9
    ended slave 0
    join "${PID[master]}"
    [[ $status == 75 || $status == 69 ]] || fail "master: $status"
    expect_out slave $'a\nb'
}

@test "a receiver that wanted fewer messages than the sender sends: 75 for the sender" {
    passed count count_master count_waiting
}

# ---- hostile hands ----

# Starts sts2_hostile.py; commands go to descriptor 7.
hostile() { # SCENE ARGUMENT...
    mkfifo "$DIR/commands"
    exec 7<>"$DIR/commands"
    start /usr/bin/python3 -B "$BATS_TEST_DIRNAME/sts2_hostile.py" "$@" --port "$PORT" \
        --m2s "$TOPIC/m2s" <"$DIR/commands" 7>&- >"$DIR/hostile" 2>"$DIR/hostile.err"
    HOSTILE_DONE=0
    wait_for said_or_gone ready "$DIR/hostile" "$BG"
    has_text ready "$DIR/hostile"
}

said_or_gone() { # REGEX FILE PID
    has_text "$1" "$2" || gone "$3"
}

again() {
    echo again >&7
    HOSTILE_DONE=$((HOSTILE_DONE + 1))
    wait_for said "$HOSTILE_DONE" '^done' "$DIR/hostile"
}

# What sts2_hostile.py counted: all that it published; the honest INITREQs.
published() {
    sed -nE 's/^done ([0-9]+) .*/\1/p' "$DIR/hostile" | tail -1
}

initreqs() {
    sed -nE 's/^done [0-9]+ //p' "$DIR/hostile" | tail -1
}

scene_retained() {
    # An honest INITREQ and INITACK of another time, and nonsense, left behind on both topics.
    watch m2s
    watch s2m
    begin old slave -r -n 1
    whole 0 before master -s old
    ended old 0
    retain m2s "$(sed -n 's/^106 .* //p' "$(seen m2s)")"
    retain s2m "$(sed -n 's/^50 .* //p' "$(seen s2m)")"
    begin slave slave -r
    wait_for has_text 'dropped a payload: a retained' "$(err_of slave)"
    whole 0 master master -s hello
    expect_match "$(err_of master)" 'dropped a payload: a retained'
    interrupted slave
    expect_out slave hello
    expect_said slave 1 'began a handshake'
}

retain() { # TOPIC HEX
    /usr/bin/python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.argv[1]))' "$2" |
        pub -r -q 1 -t "$TOPIC/$1" -s
}

@test "retained messages of an old session are dropped" {
    passed retained
}

scene_garbage() {
    open_feed
    hostile garbage --s2m "$TOPIC/s2m"
    begin slave slave -r
    again
    begin master master -l <"$FEED"
    echo one >&9
    wait_out slave 1
    again
    echo two >&9
    close_feed
    ended master 0
    again
    whole 0 next master -s three
    interrupted slave
    expect_out slave $'one\ntwo\nthree'
    expect_match "$(err_of slave)" 'dropped a payload: .*\([0-9]{3,} so far'
    expect_match "$(err_of master)" 'dropped a payload: .*\([0-9]{2,} so far'
    expect_said slave 2 'session established'
    expect_said slave 0 'lost'
}

@test "garbage on both topics, before, in and after a session: dropped, and nothing else" {
    passed garbage
}

scene_replayed() {
    local i

    open_feed
    hostile replay --s2m "$TOPIC/s2m"
    begin slave slave -r
    begin master master -l <"$FEED"
    for i in {1..25}; do
        echo "message $i" >&9
        ((i % 5 != 0)) || wait_out slave "$i"
    done
    again
    echo 'message 26' >&9
    wait_out slave 26
    close_feed
    ended master 0
    again
    whole 0 next master -s 'the next'
    expect_out slave "$(printf 'message %d\n' {1..26})"$'\nthe next'
    again
    expect_within "$(grep -c 'began a handshake' "$(err_of slave)")" 2 "$(initreqs)"
    # Also a slave that knows nothing of all that: it was killed, and forgot the ids.
    vanish slave
    begin later slave -r
    again
    whole 0 last master -s 'the last'
    again
    interrupted later
    expect_out later 'the last'
    expect_equal "$(wc -l <"$(out_of slave)")" 27
    expect_said slave 2 'session established'
    expect_said later 1 'session established'
    (($(published) > 1000)) || fail "$(cat "$DIR/hostile")"
    expect_match "$(err_of slave)" 'dropped .* \([0-9]{3,} so far'
    expect_match "$(err_of later)" 'dropped .* \([0-9]{2,} so far'
}

@test "everything is replayed, forged and fed across: each message of the master comes out once" {
    passed replayed
}

scene_replayed_down() {
    local i

    open_feed
    hostile replay --s2m "$TOPIC/s2m"
    begin slave slave -l <"$FEED"
    begin master master -r
    for i in {1..25}; do
        echo "message $i" >&9
        ((i % 5 != 0)) || wait_out master "$i"
    done
    again
    echo 'message 26' >&9
    close_feed
    ended slave 0
    ended master 0
    again
    expect_out master "$(printf 'message %d\n' {1..26})"
    expect_match "$(err_of master)" 'dropped .* \([0-9]{3,} so far'
}

@test "likewise each message of the slave" {
    passed replayed_down
}

# Two brokers of the scene's own, and the hostile one between them.
between() { # ARGUMENT...
    start_broker
    FAR=("$PORT" "$BROKER_LOG")
    start_broker
    NEAR=("$PORT" "$BROKER_LOG")
    hostile middle --far-port "${FAR[0]}" --s2m "$TOPIC/s2m" "$@"
}

at() { # PORT BROKER-LOG
    PORT=$1 BROKER_LOG=$2
    TO=(-o ip=127.0.0.1 -o "port=$PORT")
}

scene_between() {
    between
    at "${FAR[@]}"
    begin slave slave -r
    at "${NEAR[@]}"
    whole 0 master master -l < <(printf 'message %d\n' {1..40})
    whole 0 next master -s 'the next'
    interrupted slave
    expect_out slave "$(printf 'message %d\n' {1..40})"$'\nthe next'
    expect_said slave 2 'session established'
    expect_said slave 0 'lost'
    expect_match "$(err_of slave)" 'dropped .*\([0-9]{2,} so far'
}

@test "between two brokers: what arrives forged, then true, then again, comes out once" {
    passed between
}

scene_swapped() {
    between --swap 3
    at "${FAR[@]}"
    begin slave slave -r
    at "${NEAR[@]}"
    whole 75 master master -l -o timeout=3 < <(printf 'message %d\n' {1..10})
    whole 0 next master -s 'the next'
    interrupted slave
    expect_out slave "$(printf 'message %d\n' 1 2 4 5 6 7 8 9 10)"$'\nthe next'
    expect_said slave 1 '1 messages of the other end are lost'
}

@test "a message that is held back comes too late: dropped, reported as lost, 75" {
    passed swapped
}

# ---- topics ----

# A master may be heard on another topic, where a bridge or mount point renames it.
scene_renamed() {
    local SUBTOP=none

    watch s2m
    hostile copy --to "$TOPIC/bridged"
    begin slave slave -r -o "subtop=$TOPIC/bridged"
    SUBTOP='' whole 75 master master -s hello -o timeout=2
    wait_for has_text 'dropped a payload: does not authenticate' "$(err_of slave)"
    interrupted slave
    expect_empty "$(out_of slave)"
    expect_empty "$(seen s2m)"
}

@test "a handshake that was renamed on its way: dropped, no answer" {
    passed renamed
}

# The receiver of a session is behind a broker that says of ENC that they came on another topic.
behind_proxy() { # ARGUMENT... of begin
    local TO=(-o ip=127.0.0.1 -o "port=$(sed -n 's/^port //p' "$DIR/hostile")")

    begin "$@"
}

moved() { # ROLE-OF-RECEIVER ROLE-OF-SENDER TOPIC-OF-RECEIVER
    hostile proxy --moved "$TOPIC/$3"
    if [[ $1 == slave ]]; then
        behind_proxy slave slave -r -o timeout=2
        begin master master -l -o timeout=2 <"$DIR/lines"
    else
        begin slave slave -l -o timeout=2 <"$DIR/lines"
        behind_proxy master master -r -o timeout=2
    fi
    ended "$2" 75
    expect_match "$(err_of "$1")" 'dropped a payload: not on this topic'
    expect_said "$1" 1 'session established'
    expect_empty "$(out_of "$1")"
}

scene_moved_down() {
    moved slave master m2s
}

scene_moved_up() {
    moved master slave s2m
}

@test "messages of a session that came on another topic: dropped" {
    passed moved_down moved_up
}
