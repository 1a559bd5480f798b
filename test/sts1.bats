#!/usr/bin/env bats
# sts1.bats - STS/1 through a real broker: sts against the independent peer of peers/sts1_peer.py in
# both roles and both ciphers, against itself, and against one who speaks it wrongly (sts1_hand.py).
#
# Sessions of a table run side by side, each on topics of its own. A row:
#
#   role cipher | arguments of sts | arguments of the peer | status | status of the peer | output
#
# role is that of sts. `output` is what both sides showed, joined with commas: the lines of standard
# output of sts, "/", the texts that the peer received.
# shellcheck shell=bash disable=SC2034,SC2153 # LIMIT_S, TOPIC: lib.bash

load lib

PEER=$BATS_TEST_DIRNAME/peers/sts1_peer.py
HAND=$BATS_TEST_DIRNAME/sts1_hand.py
AT_ONCE=8
LIMIT_S=60      # for one session, far above its timeout

setup_file() {
    start_broker
}

teardown_file() {
    stop_all
}

setup() {
    use_broker
    DIR=$(scratch)
    printf 'one\ntwo\nthree\n' >"$DIR/lines"
}

teardown() {
    end_running
    stop_all
}

# ---- programs ----

# Puts the options for one side of session $1 (role $2, cipher $3) into SIDE.
side() {
    local m2s=$TOPIC/$1/m2s s2m=$TOPIC/$1/s2m

    SIDE=("${TO[@]}" -o "sts_mode=$2" -o "aes=$3")
    if [[ $2 == master ]]; then
        SIDE+=(-o "pubtop=$m2s" -o "subtop=$s2m")
    else
        SIDE+=(-o "pubtop=$s2m" -o "subtop=$m2s")
    fi
}

# The same for the Python programs.
python_side() { # NAME ROLE
    local m2s=$TOPIC/$1/m2s s2m=$TOPIC/$1/s2m

    SIDE=(--port "$PORT" --pub "$s2m" --sub "$m2s")
    [[ $2 == slave ]] || SIDE=(--port "$PORT" --pub "$m2s" --sub "$s2m")
}

# The topic that a role listens on has a subscriber.
listens() { # NAME ROLE
    local topic=$TOPIC/$1/m2s

    [[ $2 == slave ]] || topic=$TOPIC/$1/s2m
    broker_saw " [0-2] $topic\$"
}

# Runs in the foreground; the caller puts it into the background.
run_sts() { # NAME ROLE CIPHER ARGUMENT...
    local SIDE result
    local name=$1

    side "$1" "$2" "$3"
    shift 3
    bounded "$STS" "${SIDE[@]}" "$@" <"${LINES_FILE:-$DIR/lines}" >"$DIR/$name.out" \
        2>"$DIR/$name.err"
    echo "$result" >"$DIR/$name.status"
}

run_peer() { # NAME ROLE CIPHER ARGUMENT...
    local SIDE result
    local name=$1 role=$2 cipher=$3

    python_side "$1" "$2"
    shift 3
    bounded /usr/bin/python3 -B "$PEER" --role "$role" --aes "$cipher" "${SIDE[@]}" "$@" \
        >"$DIR/$name.events" 2>"$DIR/$name.peererr"
    echo "$result" >"$DIR/$name.peerstatus"
}

texts() { # NAME: what the peer received
    sed -nE 's/.*"event": "received", "text": "(.*)"\}$/\1/p' "$DIR/$1.events"
}

established() { # NAME
    has_text '"event": "established"' "$DIR/$1.events"
}

# ---- tables ----

# One session: the slave listens before the master starts.
run_row() { # NAME ROLE CIPHER STS-ARGUMENTS PEER-ARGUMENTS
    local ours theirs

    # shellcheck disable=SC2206 # words of the table
    ours=($4) theirs=($5)
    if [[ $2 == master ]]; then
        run_peer "$1" slave "$3" "${theirs[@]}" &
        wait_for listens "$1" slave
        run_sts "$1" master "$3" "${ours[@]}"
    else
        run_sts "$1" slave "$3" "${ours[@]}" &
        wait_for listens "$1" slave
        run_peer "$1" master "$3" "${theirs[@]}"
    fi
    wait
    touch "$DIR/$1.done"
}

check_row() { # NAME ROLE STATUS PEER-STATUS OUTPUT
    local got problems=()

    wait_for test -f "$DIR/$1.done"
    got="$(paste -sd, "$DIR/$1.out")/$(texts "$1" | paste -sd,)"
    [[ $(cat "$DIR/$1.status") == "$3" ]] || problems+=("exit status $(cat "$DIR/$1.status")")
    [[ $(cat "$DIR/$1.peerstatus") == "$4" ]] ||
        problems+=("exit status of the peer $(cat "$DIR/$1.peerstatus")")
    [[ $got == "$5" ]] || problems+=("output $got")
    [[ $(grep -c 'WARN.*STS/1' "$DIR/$1.err") == 1 ]] || problems+=("not one line warns of STS/1")
    ((${#problems[@]} == 0)) || {
        printf '== %s\n' "${ROWS[$1]}"
        printf '   %s\n' "${problems[@]}"
        tail -n 8 "$DIR/$1.err" "$DIR/$1.events" "$DIR/$1.peererr" | sed 's/^/   | /' | cat -v
        return 1
    }
}

sessions() {
    local row role cipher ours theirs expected peer_expected output running=0 bad=0

    mapfile -t ROWS
    for row in "${!ROWS[@]}"; do
        ((running++ < AT_ONCE)) || wait -n || true
        IFS='|' read -r role ours theirs expected peer_expected output <<<"${ROWS[$row]}"
        read -r role cipher <<<"$role"
        run_row "$row" "$role" "$cipher" "$ours" "$theirs" >/dev/null &
    done
    for row in "${!ROWS[@]}"; do
        IFS='|' read -r role ours theirs expected peer_expected output <<<"${ROWS[$row]}"
        check_row "$row" "${role%% *}" "${expected// /}" "${peer_expected// /}" "${output# }" ||
            bad=$((bad + 1))
    done
    ((bad == 0)) || fail "$bad of ${#ROWS[@]} sessions failed"
}

# ---- messages and KILL, both ways ----

@test "messages to the peer, and KILL at the end: -s and -l, both roles, both ciphers" {
    sessions <<'END'
master ecb | -s hello | --expect 1 --expect-kill | 0 | 0 | /hello
master cbc | -s hello | --expect 1 --expect-kill | 0 | 0 | /hello
master ecb | -l | --expect 3 --expect-kill | 0 | 0 | /one,two,three
master cbc | -l | --expect 3 --expect-kill | 0 | 0 | /one,two,three
slave ecb | -s hello | --expect 1 --expect-kill | 0 | 0 | /hello
slave cbc | -s hello | --expect 1 --expect-kill | 0 | 0 | /hello
slave ecb | -l | --expect 3 --expect-kill | 0 | 0 | /one,two,three
slave cbc | -l | --expect 3 --expect-kill | 0 | 0 | /one,two,three
END
}

@test "the same with QoS 0 and 2, and MQTT 3.1" {
    sessions <<'END'
master cbc | -l -o qos=0 | --expect 3 --expect-kill | 0 | 0 | /one,two,three
master cbc | -l -o qos=2 | --expect 3 --expect-kill | 0 | 0 | /one,two,three
slave cbc | -l -o qos=0 | --expect 3 --expect-kill | 0 | 0 | /one,two,three
slave cbc | -l -o qos=2 | --expect 3 --expect-kill | 0 | 0 | /one,two,three
master cbc | -s hello -o mqtt_version=3 | --expect 1 --expect-kill | 0 | 0 | /hello
slave cbc | -r -n 1 -o mqtt_version=3 | --send hello --expect-kill | 0 | 0 | hello/
END
}

@test "messages from the peer, and KILL both ways: -r, both roles, both ciphers" {
    sessions <<'END'
master ecb | -r -n 2 | --send a --send b --expect-kill | 0 | 0 | a,b/
master cbc | -r -n 2 | --send a --send b --expect-kill | 0 | 0 | a,b/
master ecb | -r | --send a --kill | 0 | 0 | a/
master cbc | -r | --send a --kill | 0 | 0 | a/
master cbc | -r -n 2 | --send a --kill | 75 | 0 | a/
slave ecb | -r -n 2 | --send a --send b --expect-kill | 0 | 0 | a,b/
slave cbc | -r -n 2 | --send a --send b --expect-kill | 0 | 0 | a,b/
slave ecb | -r -w 6 | --send a --kill | 75 | 0 | a/
slave cbc | -r -w 6 | --send a --kill | 75 | 0 | a/
master cbc | -r -w 3 | --expect-kill | 75 | 0 | /
slave cbc | -r -w 6 | --expect-kill | 75 | 0 | /
END
}

@test "a peer that ends the session before a sender is through: not 0" {
    local status

    mkfifo "$DIR/slow"
    run_peer 0 slave cbc --expect 1 --kill &
    wait_for listens 0 slave
    rm "$DIR/lines"
    ln -s slow "$DIR/lines"
    run_sts 0 master cbc -l &
    exec 8>"$DIR/slow"
    echo first >&8
    wait_for test -s "$DIR/0.peerstatus"
    wait_for test -s "$DIR/0.status" || true
    exec 8>&-
    wait_for test -s "$DIR/0.status"
    status=$(cat "$DIR/0.status")
    expect_equal "$(texts 0)" first
    [[ $status == 69 || $status == 75 ]] || fail "exit status $status" "$(cat "$DIR/0.err")"
}

# ---- secrets ----

@test "every kind of secret: clean, refused by the original, a leading zero byte, any" {
    sessions <<'END'
master ecb | -s hello | --secret clean --expect 1 --expect-kill | 0 | 0 | /hello
master cbc | -s hello | --secret refused --expect 1 --expect-kill | 0 | 0 | /hello
master ecb | -s hello | --secret refused --expect 1 --expect-kill | 0 | 0 | /hello
master cbc | -s hello | --secret lead --expect 1 --expect-kill | 0 | 0 | /hello
master ecb | -s hello | --secret lead --expect 1 --expect-kill | 0 | 0 | /hello
master cbc | -s hello | --secret any --expect 1 --expect-kill | 0 | 0 | /hello
master ecb | -r -n 1 | --secret refused --send hello --expect-kill | 0 | 0 | hello/
master cbc | -r -n 1 | --secret lead --send hello --expect-kill | 0 | 0 | hello/
END
}

# Rows of 40 sessions of every kind; $1: more arguments for the peer.
forty() {
    local i

    for i in {1..10}; do
        echo "master ecb | -s ours$i | $1 --expect 1 --expect-kill | 0 | 0 | /ours$i"
        echo "slave cbc | -r -n 1 | $1 --send theirs$i --expect-kill | 0 | 0 | theirs$i/"
        echo "master cbc | -r -n 1 | $1 --send theirs$i --expect-kill | 0 | 0 | theirs$i/"
        echo "slave ecb | -s ours$i | $1 --expect 1 --expect-kill | 0 | 0 | /ours$i"
    done
}

@test "40 sessions, and none fails" {
    sessions < <(forty --trace)
}

@test "40 sessions with a peer that refuses secrets as the original does, and none fails" {
    sessions < <(forty --strict-zero)
}

# ---- sts at both ends ----

# pair NAME CIPHER: our master sends three lines to our slave.
pair() {
    local SIDE result

    run_sts "$1" slave "$2" -r -n 3 &
    wait_for listens "$1" slave
    side "$1" master "$2"
    bounded "$STS" "${SIDE[@]}" -l <"$DIR/lines" >"$DIR/$1.master.out" 2>"$DIR/$1.master.err"
    ((result == 0)) || fail "master: $result" "$(cat "$DIR/$1.master.err")"
    wait_for test -s "$DIR/$1.status"
    expect_content "$DIR/$1.status" 0
    expect_same "$DIR/$1.out" "$DIR/lines"
    expect_empty "$DIR/$1.master.out"
}

@test "master and slave are both ours" {
    pair ecb ecb
    pair cbc cbc
}

@test "our slave sends to our master" {
    run_sts both slave cbc -l &
    wait_for listens both slave
    side both master cbc
    sts "${SIDE[@]}" -r
    expect_status 0
    expect_same "$OUT" "$DIR/lines"
    wait_for test -s "$DIR/both.status"
    expect_content "$DIR/both.status" 0
}

@test "a slave serves one master after the other, also one that vanished without KILL" {
    run_sts many slave cbc -r -n 4 &
    wait_for listens many slave
    run_peer many master cbc --send first --kill
    expect_content "$DIR/many.peerstatus" 0
    run_peer many master cbc --send second
    expect_content "$DIR/many.peerstatus" 0
    run_peer many master cbc --send third --kill
    expect_content "$DIR/many.peerstatus" 0
    run_peer many master cbc --send fourth --expect-kill
    expect_content "$DIR/many.peerstatus" 0
    wait_for test -s "$DIR/many.status"
    expect_content "$DIR/many.status" 0
    expect_content "$DIR/many.out" $'first\nsecond\nthird\nfourth'
    expect_equal "$(grep -c 'began anew' "$DIR/many.err")" 1
    expect_equal "$(grep -c 'the master ended the session' "$DIR/many.err")" 2
}

# ---- who speaks it wrongly ----

hand() { # SCENE NAME ROLE
    local SIDE result

    python_side "$2" "$3"
    bounded /usr/bin/python3 "$HAND" "$1" "${SIDE[@]}" >"$DIR/$2.hand" 2>&1
    ((result == 0)) ||
        fail "hand: $result" "$(cat "$DIR/$2.hand")" "$(cat "$DIR/$2.err")"
}

@test "a wrong id gets no answer" {
    run_sts slave slave cbc -r -w 8 &
    wait_for listens slave slave
    hand wrong-id-slave master slave &
    HAND_PID=$!
    wait_for listens master slave
    run_sts master master cbc -s hello -o timeout=8 &
    hand wrong-id-master slave master
    wait "$HAND_PID"
}

@test "messages of another step, acknowledgements with data, nonsense: nothing happens" {
    run_sts wrong slave cbc -r -n 1 &
    wait_for listens wrong slave
    hand wrong-steps-master wrong master
    wait_for test -s "$DIR/wrong.status"
    expect_content "$DIR/wrong.status" 0
    expect_content "$DIR/wrong.out" 'after all that'
}

@test "stale retained messages are ignored" {
    local name

    retained slave m2s 'INITREQ:' 62 x
    run_sts slave slave cbc -r -n 1 -v &
    wait_for listens slave slave
    wait_for has_text 'a retained payload' "$DIR/slave.err"
    run_peer slave master cbc --send hello --expect-kill
    retained master s2m 'INITACK:' 0 x
    run_peer master slave cbc --expect 1 --expect-kill &
    wait_for listens master slave
    run_sts master master cbc -v -v -s hello
    for name in slave master; do
        wait_for test -s "$DIR/$name.peerstatus"
        wait_for test -s "$DIR/$name.status"
        expect_content "$DIR/$name.peerstatus" 0
        expect_content "$DIR/$name.status" 0
        expect_match "$DIR/$name.err" 'dropped a payload: a retained payload'
    done
    expect_content "$DIR/slave.out" hello
    expect_equal "$(grep -c 'a master began' "$DIR/slave.err")" 1
}

# retained NAME END HEADER COUNT CHARACTER: leaves a handshake message on a topic.
retained() {
    /usr/bin/python3 -B - "$BATS_TEST_DIRNAME/peers" "$3" "$4" "$5" <<'END' >"$DIR/payload"
import sys
sys.path.insert(0, sys.argv[1])
import sts1_peer
clear = sys.argv[2] + int(sys.argv[3]) * sys.argv[4]
sys.stdout.buffer.write(sts1_peer.obfuscate(clear.encode()))
END
    pub -r -q 1 -t "$TOPIC/$1/$2" -f "$DIR/payload"
}

# ---- time ----

@test "a master that starts before the slave asks again, with the same ids" {
    sub_start watch -t "$TOPIC/early/m2s" -F %x
    run_sts early master cbc -s hello &
    wait_for has_lines 1 "$(out_of watch)"
    run_peer early slave cbc --expect 1 --expect-kill
    wait_for test -s "$DIR/early.status"
    expect_content "$DIR/early.status" 0
    expect_content "$DIR/early.peerstatus" 0
    expect_equal "$(texts early)" hello
    expect_equal "$(sed -n 2p "$(out_of watch)")" "$(sed -n 1p "$(out_of watch)")"
}

# The original reads as encrypted what comes a second after RDYACK, and loses what comes earlier.
@test "a master waits before its first message" {
    sub_start watch -t "$TOPIC/guard/m2s" -F '%l %U'
    run_peer guard slave cbc --expect 1 --expect-kill &
    wait_for listens guard slave
    run_sts guard master cbc -s hello
    wait_for test -s "$DIR/guard.peerstatus"
    expect_content "$DIR/guard.peerstatus" 0
    wait_for has_lines 7 "$(out_of watch)"
    # RDYACK has 7 bytes; times are in seconds.
    awk '$1 == 7 { acked = $2; next } acked && !gap { gap = $2 - acked }
        END { exit !(gap > 1.1) }' "$(out_of watch)" || fail "$(cat "$(out_of watch)")"
}

@test "nobody at the other end, or one that stops in the middle: 75 within timeout" {
    run_sts a master cbc -s hello -o timeout=2 &
    run_sts b master ecb -l -o timeout=2 &
    run_sts c master cbc -r -o timeout=2 &
    run_sts d slave cbc -s hello -o timeout=2 &
    run_sts e slave ecb -l -o timeout=2 &
    run_sts f slave cbc -r -o timeout=1 -w 2 &
    run_sts g master cbc -s hello -w 2 &
    run_sts h slave cbc -s hello -w 2 &
    hand stuck-slave stuck slave &
    wait_for listens stuck slave
    run_sts stuck master cbc -s hello -o timeout=3
    for name in a b c d e f g h stuck; do
        wait_for test -s "$DIR/$name.status"
        expect_equal "$name $(cat "$DIR/$name.status")" "$name 75"
        expect_empty "$DIR/$name.out"
    done
    expect_match "$DIR/a.err" 'no slave answered within 2 s'
    expect_match "$DIR/d.err" 'no master came within 2 s'
    expect_match "$DIR/stuck.err" 'within 3 s'
}

# ---- lengths and bytes ----

longest_text() { # TOPIC-LENGTH
    echo $(((1024 - 5 - $1) / 16 * 16 - 4))
}

text_of() { # LENGTH
    head -c "$1" < <(yes abcdefghijklmnopqrstuvwxyz0123456789 | tr -d '\n')
}

# lengths NAME CIPHER: a session that carries texts of many lengths, up to the longest one. Somebody
# watches its topics.
lengths() {
    local max len
    local topic=$TOPIC/$1/m2s

    max=$(longest_text ${#topic})
    for len in {1..40} $(seq $((max - 18)) "$max"); do
        text_of "$len"
        echo
    done >"$DIR/$1.lines"
    run_peer "$1" slave "$2" --expect 59 --expect-kill &
    wait_for listens "$1" slave
    LINES_FILE=$DIR/$1.lines run_sts "$1" master "$2" -l
    wait_for test -s "$DIR/$1.peerstatus"
    expect_content "$DIR/$1.status" 0
    expect_content "$DIR/$1.peerstatus" 0
    texts "$1" >"$DIR/$1.texts"
    expect_same "$DIR/$1.texts" "$DIR/$1.lines"
    awk '{ n = 5 + $1 + length($2); if (n > most) most = n } END { exit !(most > 1008 && most <= 1024) }' \
        "$(out_of "watch-$1")" || fail "packets of $(sort -rn "$(out_of "watch-$1")" | head -1)"
}

@test "texts of every length around blocks and up to the longest; no packet over 1024 bytes" {
    local left name pid pids=()

    # With these the packet of the longest text fills its 1024 bytes, or leaves 1 or 15 of them.
    for left in 0 1 15; do
        name=$(filled $left)
        sub_start "watch-$name" -t "$TOPIC/$name/#" -F '%l %t'
        lengths "$name" cbc &
        pids+=($!)
    done
    sub_start watch-ecb -t "$TOPIC/ecb/#" -F '%l %t'
    lengths ecb ecb
    for pid in "${pids[@]}"; do
        wait "$pid"
    done
}

# A session name that makes the topic leave $1 bytes of the 1024 unused with the longest text.
filled() {
    local name=n

    while (((1024 - 5 - $(length_of "$TOPIC/$name/m2s")) % 16 != $1)); do
        name+=n
    done
    echo "$name"
}

length_of() {
    echo ${#1}
}

@test "one byte more than the longest: 65, and nothing is sent" {
    local max topic=$TOPIC/long/m2s

    max=$(longest_text ${#topic})
    run_sts long master cbc -o clientid=too-long -s "$(text_of $((max + 1)))"
    expect_content "$DIR/long.status" 65
    expect_match "$DIR/long.err" "too long: $((max + 1)) bytes, the limit is $max"
    text_of $((max + 1)) >"$DIR/lines"
    run_sts long master cbc -o clientid=too-long -s -
    expect_content "$DIR/long.status" 65
    expect_no_match "$BROKER_LOG" ' as too-long '

    printf '%s\n' before "$(cat "$DIR/lines")" behind >"$DIR/lines"
    sub_start watch -t "$TOPIC/long/#" -F %l
    run_peer long slave cbc --expect 1 --expect-kill &
    wait_for listens long slave
    run_sts long master cbc -l
    expect_content "$DIR/long.status" 65
    wait_for test -s "$DIR/long.peerstatus"
    expect_content "$DIR/long.peerstatus" 0
    expect_equal "$(texts long)" before
    # The longest of the handshake has 137 bytes.
    awk '$1 > 137 { exit 1 }' "$(out_of watch)" || fail "$(cat "$(out_of watch)")"
}

@test "a zero byte in a message: 65, and nothing is sent" {
    printf 'a\0b' >"$DIR/lines"
    run_sts nul master cbc -o clientid=a-zero-byte -s -
    expect_content "$DIR/nul.status" 65
    expect_match "$DIR/nul.err" 'zero byte'
    expect_no_match "$BROKER_LOG" ' as a-zero-byte '

    printf 'before\na\0b\nbehind\n' >"$DIR/lines"
    run_peer nul slave cbc --expect 1 --expect-kill &
    wait_for listens nul slave
    run_sts nul master cbc -l
    expect_content "$DIR/nul.status" 65
    wait_for test -s "$DIR/nul.peerstatus"
    expect_content "$DIR/nul.peerstatus" 0
    expect_equal "$(texts nul)" before
}

@test "UTF-8 and odd characters pass both ways" {
    local text=$'caf\u00e9 \u20ac \U1F600 "quoted" \\ $HOME %s\ttab'

    run_peer to slave cbc --expect 1 --expect-kill &
    wait_for listens to slave
    run_sts to master cbc -s "$text"
    wait_for test -s "$DIR/to.peerstatus"
    expect_equal "$(/usr/bin/python3 -c 'import json, sys
print(*(e["text"] for e in map(json.loads, sys.stdin) if e["event"] == "received"))' \
        <"$DIR/to.events")" "$text"

    run_sts from slave cbc -r -n 1 &
    wait_for listens from slave
    run_peer from master cbc --send "$text" --expect-kill
    wait_for test -s "$DIR/from.status"
    expect_content "$DIR/from.out" "$text"
}
