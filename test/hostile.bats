#!/usr/bin/env bats
# hostile.bats - sts against a broker that misbehaves (hostile_broker.py): it ends with the right
# exit status within its time limits, says which packet was wrong, and neither hangs nor crashes.
#
# A test is a table; its rows run side by side, each against a broker of its own:
#
#   broker | arguments | exit status | words | output | packets
#
# broker       a scenario of hostile_broker.py
# exit status  one, or several where chance decides, as in "69,76"
# words        a regular expression that a line of standard error matches; "-": none has to
# output       the lines of standard output, joined with commas; "-": anything
# packets      a regular expression for what the broker was told, as in "1:CONNECT 2:PUBLISH/dup";
#              the number is the connection's; empty: anything
# shellcheck shell=bash disable=SC2034

load lib

AT_ONCE=24
LIMIT_S=20      # of `bounded`: far above any limit in the tables: what takes longer, hangs
TIMEOUT_S=2     # the option `timeout`, where a row does not say its own
INPUT=$'one\ntwo\nthree'
TRACED=         # 1: DIR/trace.ROW has the system calls
declare -gA PORTS

setup() {
    DIR=$(scratch)
}

teardown() {
    end_running
    stop_all
}

# ---- tables ----

trim() { # VARIABLE
    local -n trimmed=$1

    trimmed=${trimmed#"${trimmed%%[! ]*}"}
    trimmed=${trimmed%"${trimmed##*[! ]}"}
}

# Reads the table into ROWS; each row gets a number, which makes its broker unlike the others.
read_table() {
    local line

    ROWS=()
    while IFS= read -r line; do
        [[ -z $line || $line == '#'* ]] || ROWS+=("$line")
    done
}

# Fields of row $1 into broker, arguments, expected, words, output, packets.
take_row() {
    local field

    IFS='|' read -r broker arguments expected words output packets <<<"${ROWS[$1]}"
    for field in broker arguments expected words output packets; do
        trim "$field"
    done
    broker+=@$1
}

start_brokers() {
    local row broker arguments expected words output packets port
    local names=()

    for row in "${!ROWS[@]}"; do
        take_row "$row"
        names+=("$broker")
    done
    start /usr/bin/python3 "$BATS_TEST_DIRNAME/hostile_broker.py" "$DIR" "${names[@]}" \
        >"$DIR/python" 2>&1
    wait_for brokers_listen "$BG"
    [[ -f $DIR/ports ]] || fail "no brokers: $(cat "$DIR/python")"
    PORTS=()
    while read -r broker port; do
        PORTS[$broker]=$port
    done <"$DIR/ports"
}

brokers_listen() {
    [[ -f $DIR/ports ]] || gone "$1"
}

run_row() {
    local broker arguments expected words output packets result
    local options=() under=()

    take_row "$1"
    [[ -z $TRACED ]] || under=(strace -f -qq -o "$DIR/trace.$1")
    # shellcheck disable=SC2206 # no row has a blank inside an argument
    options=(-o ip=127.0.0.1 -o "port=${PORTS[$broker]}" $arguments)
    [[ $arguments == *timeout=* ]] || options+=(-o "timeout=$TIMEOUT_S")
    if [[ " $arguments " == *" -r "* ]]; then
        [[ $arguments == *subtop=* ]] || options+=(-o subtop=t/in)
    else
        options+=(-o pubtop=t/out)
    fi
    echo "$INPUT" >"$DIR/$1.in"
    bounded "${under[@]}" "$STS" "${options[@]}" <"$DIR/$1.in" >"$DIR/$1.out" 2>"$DIR/$1.err"
    echo "$result" >"$DIR/$1.status"
}

# What the broker was told: "1:CONNECT 1:PUBLISH ...", one connection after the other: it reads each
# in a thread of its own, and may find out about the end of one when the next has begun.
told() {
    sed -nE -e 's/^\{"conn": ([0-9]+), "recv.*"in": "([A-Z]+)".*"dup": true.*/\1:\2\/dup/p' -e t \
        -e 's/^\{"conn": ([0-9]+), "recv.*"in": "([A-Z]+)".*/\1:\2/p' "$DIR/$1.jsonl" |
        sort -s -t : -k 1,1n | paste -sd' '
}

told_matches() { # BROKER REGEX
    [[ $(told "$1") =~ $2 ]]
}

# The broker may still be reading when sts has ended.
told_soon() {
    # shellcheck disable=SC2034 # it is wait_for's
    local WAIT_S=3

    wait_for told_matches "$1" "$2" >/dev/null
}

check_row() {
    local broker arguments expected words output packets status got IFS=,
    local problems=()

    take_row "$1"
    status=$(<"$DIR/$1.status")
    mapfile -t got <"$DIR/$1.out" 2>/dev/null
    [[ ,$expected, == *,$status,* ]] || problems+=("exit status $status, not $expected")
    [[ $words == - ]] || has_text "$words" "$DIR/$1.err" || problems+=("nothing says: $words")
    [[ $output == - || ${got[*]} == "$output" ]] ||
        problems+=("output: $(head -c 200 "$DIR/$1.out" | paste -sd, | cat -v)")
    [[ -z $packets ]] || told_soon "$broker" "$packets" ||
        problems+=("the broker was told: $(told "$broker")" "expected: $packets")
    [[ $(<"$DIR/$broker.jsonl") != *'"event": "bad"'* ]] || problems+=("a bad packet was sent")
    ((${#problems[@]} == 0)) || {
        printf '== %s\n' "${ROWS[$1]}"
        printf '   %s\n' "${problems[@]}"
        sed 's/^/   | /' "$DIR/$1.err" | head -12 | cat -v
        return 1
    }
}

cases() {
    local row bad=0 running=0

    read_table
    start_brokers
    for row in "${!ROWS[@]}"; do
        ((running++ < AT_ONCE)) || wait -n || true
        run_row "$row" &
    done
    for row in "${!ROWS[@]}"; do
        wait_for test -s "$DIR/$row.status"
        check_row "$row" || bad=$((bad + 1))
    done
    ((bad == 0)) || fail "$bad of ${#ROWS[@]} rows failed"
}

# ---- what is no misbehaviour ----

@test "a good broker: the right packets in the right order, DISCONNECT at the end" {
    cases <<'END'
good | -s hello -o qos=0 | 0 | - | | ^1:CONNECT 1:PUBLISH 1:PINGREQ 1:DISCONNECT$
good | -s hello -o qos=1 | 0 | - | | ^1:CONNECT 1:PUBLISH 1:DISCONNECT$
good | -s hello -o qos=2 | 0 | - | | ^1:CONNECT 1:PUBLISH 1:PUBREL 1:DISCONNECT$
good | -l -o qos=0 | 0 | - | | ^1:CONNECT 1:PUBLISH 1:PUBLISH 1:PUBLISH 1:PINGREQ 1:DISCONNECT$
good | -l -o qos=1 | 0 | - | | ^1:CONNECT 1:PUBLISH 1:PUBLISH 1:PUBLISH 1:DISCONNECT$
good | -l -o qos=2 | 0 | - | | ^1:CONNECT 1:PUBLISH( 1:PUB[A-Z]+)* 1:PUBREL 1:DISCONNECT$
instead:DISCONNECT:nothing | -r -w 1 | 75 | - | | ^1:CONNECT 1:SUBSCRIBE 1:DISCONNECT$
good | -r -w 1 | 75 | - | | ^1:CONNECT 1:SUBSCRIBE 1:DISCONNECT$
also:SUBSCRIBE:one | -r -n 1 | 0 | - | one | ^1:CONNECT 1:SUBSCRIBE 1:DISCONNECT$
also:SUBSCRIBE:two | -r -n 1 | 0 | - | two | ^1:CONNECT 1:SUBSCRIBE 1:PUBACK 1:DISCONNECT$
also:SUBSCRIBE:three | -r -n 1 | 0 | - | three | ^1:CONNECT 1:SUBSCRIBE 1:PUBREC
END
}

@test "CONNECT carries what the config says, in both protocol versions" {
    cases <<'END'
good | -s x -o clientid=it -o keepalive=77 -o username=user -o password=word -o will_topic=w/t -o will_msg=bye -o will_qos=2 -o will_retain=1 | 0 | - | | ^1:CONNECT
good | -s x -o mqtt_version=3 -o clientid=it -o clean_session=0 -o keepalive=0 | 0 | - | | ^1:CONNECT
good | -s x -o username=user | 0 | - | | ^1:CONNECT
good | -s x | 0 | - | | ^1:CONNECT
END
    expect_match "$DIR/good@0.jsonl" '"protocol": "MQTT", "level": 4, "keepalive": 77, "clean": true, "clientid": "it", "will": \{"topic": "w/t", "message": "bye", "qos": 2, "retain": true\}, "username": "user", "password": "word"\}$'
    expect_match "$DIR/good@1.jsonl" '"protocol": "MQIsdp", "level": 3, "keepalive": 0, "clean": false, "clientid": "it", "username": null, "password": null\}$'
    expect_match "$DIR/good@2.jsonl" '"username": "user", "password": null\}$'
    expect_match "$DIR/good@3.jsonl" '"protocol": "MQTT", "level": 4, "keepalive": 60, "clean": true, "clientid": "sts-[A-Za-z0-9]{12}", "username": null'
}

@test "a one-shot send has CONNECT and PUBLISH in one segment" {
    local row

    cases <<'END'
late:CONNECT:0.2 | -s hello -o qos=0 | 0 | - | | ^1:CONNECT 1:PUBLISH
late:CONNECT:0.2 | -s hello -o qos=1 | 0 | - | | ^1:CONNECT 1:PUBLISH
late:CONNECT:0.2 | -s hello -o qos=2 | 0 | - | | ^1:CONNECT 1:PUBLISH
END
    for row in 0 1 2; do
        expect_match "$DIR/late:CONNECT:0.2@$row.jsonl" '"recv": 1, "segments": 1, "in": "CONNECT"'
        expect_match "$DIR/late:CONNECT:0.2@$row.jsonl" \
            '"recv": 1, "segments": 1, "in": "PUBLISH".*"payload": "hello"'
    done
}

@test "packets in pieces, several in one segment, and late ones" {
    cases <<'END'
split | -s hello -o qos=0 | 0 | - | | 1:DISCONNECT$
split | -s hello -o qos=1 | 0 | - | | 1:DISCONNECT$
split | -s hello -o qos=2 | 0 | - | | 1:PUBREL 1:DISCONNECT$
split | -l -o qos=1 | 0 | - | | 1:PUBLISH 1:PUBLISH 1:PUBLISH 1:DISCONNECT$
split | -r -n 3 -o qos=2 | 0 | - | one,two,three | 1:PUBACK 1:PUBREC.* 1:DISCONNECT$
hold | -s hello -o qos=0 | 0 | - | | 1:DISCONNECT$
hold | -s hello -o qos=1 | 0 | - | | 1:DISCONNECT$
hold | -s hello -o qos=2 | 0 | - | | 1:PUBREL 1:DISCONNECT$
also:SUBSCRIBE:one+two+three+pingresp+after | -r -n 4 | 0 | - | one,two,three,after | 1:DISCONNECT$
before:SUBSCRIBE:one+two | -r -n 2 | 0 | - | one,two | 1:PUBACK 1:DISCONNECT$
late:CONNECT:1 | -s hello | 0 | - | | 1:DISCONNECT$
late:PUBLISH:1 | -s hello | 0 | - | | 1:DISCONNECT$
late:SUBSCRIBE:1 | -r -w 2 | 75 | - | | ^1:CONNECT 1:SUBSCRIBE 1:DISCONNECT$
END
}

@test "odd, but allowed" {
    cases <<'END'
instead:SUBSCRIBE:suback-lower+one+after | -r -n 2 -o qos=2 | 0 | - | one,after | 1:DISCONNECT$
also:SUBSCRIBE:pingresp+pingresp+one | -r -n 1 | 0 | - | one | 1:DISCONNECT$
also:CONNECT:pingresp | -s hello | 0 | - | | 1:DISCONNECT$
instead:PUBLISH:puback-padded | -s hello | 0 | - | | 1:DISCONNECT$
also:CONNECT:pubrel-99 | -s hello | 0 | - | | 1:PUBCOMP.* 1:DISCONNECT$
also:SUBSCRIBE:pubrel-99+one | -r -n 1 | 0 | - | one | 1:PUBCOMP.* 1:DISCONNECT$
also:SUBSCRIBE:pubcomp-99+one | -r -n 1 | 0 | - | one | 1:DISCONNECT$
also:SUBSCRIBE:pubrec-99+one | -r -n 1 | 0 | - | one | 1:PUBREL.* 1:DISCONNECT$
also:PUBLISH:pubcomp-99+pubrec-99 | -l -o qos=2 | 0 | - | | 1:DISCONNECT$
instead:CONNECT:connack-low-bits | -s hello -o mqtt_version=3 | 0 | - | | 1:DISCONNECT$
instead:CONNECT:connack-flags-ff | -s hello -o mqtt_version=3 | 0 | - | | 1:DISCONNECT$
END
}

# ---- the connection is refused, or answered wrongly ----

@test "refused by CONNACK: 77, each code in its own words" {
    cases <<'END'
instead:CONNECT:connack-1 | -s hello | 77 | unacceptable protocol version | |
instead:CONNECT:connack-2 | -s hello | 77 | client identifier rejected | |
instead:CONNECT:connack-3 | -s hello | 77 | server unavailable | |
instead:CONNECT:connack-4 | -s hello | 77 | bad user name or password | |
instead:CONNECT:connack-5 | -s hello | 77 | not authorized | |
instead:CONNECT:connack-1 | -l | 77 | unacceptable protocol version | |
instead:CONNECT:connack-4 | -l -o qos=0 | 77 | bad user name or password | |
instead:CONNECT:connack-5 | -r | 77 | not authorized | | ^1:CONNECT$
instead:CONNECT:connack-3 | -r | 77 | server unavailable | | ^1:CONNECT$
END
}

@test "a wrong CONNACK: 76, and it is named" {
    local code

    {
        cat <<'END'
instead:CONNECT:connack-flags-02 | -s hello | 76 | CONNACK.*flags | |
instead:CONNECT:connack-flags-80 | -s hello | 76 | CONNACK.*flags | |
instead:CONNECT:connack-flags-ff | -r | 76 | CONNACK.*flags | |
instead:CONNECT:connack-present-5 | -s hello | 76 | CONNACK.*flags | |
instead:CONNECT:connack-present | -s hello | 76 | CONNACK | |
instead:CONNECT:connack-present | -r | 76 | CONNACK | |
instead:CONNECT:connack-low-bits | -s hello | 76 | CONNACK.*flags | |
instead:CONNECT:connack-short | -s hello | 76 | CONNACK.*remaining length does not fit | |
instead:CONNECT:connack-long | -s hello | 76 | CONNACK.*remaining length does not fit | |
instead:CONNECT:connack-huge | -s hello | 76 | CONNACK.*remaining length does not fit | |
instead:CONNECT:connack-6 | -r | 76 | CONNACK.*unknown return code | |
instead:CONNECT:connack-255 | -l | 76 | CONNACK.*unknown return code | |
instead:CONNECT:suback-99 | -s hello | 76 | SUBACK | |
instead:CONNECT:puback-99 | -s hello | 76 | PUBACK | |
instead:CONNECT:pingresp | -s hello | 76 | PINGRESP | |
instead:CONNECT:one | -r | 76 | PUBLISH | |
instead:CONNECT:one+connack-0 | -r | 76 | PUBLISH | |
instead:CONNECT:big-1 | -r | 76 | PUBLISH | |
also:CONNECT:connack-0 | -s hello | 76 | CONNACK | |
also:SUBSCRIBE:connack-0 | -r | 76 | CONNACK | |
END
        for code in 6 7 8 16 64 127 128 129 254 255; do
            echo "instead:CONNECT:connack-$code | -s hello | 76 | CONNACK.*unknown return code | |"
        done
    } >"$(scratch)/table"
    cases <"$(scratch)/table"
}

@test "no CONNACK, or no end of it: 75 within timeout" {
    cases <<'END'
silent | -s hello -o qos=0 -o timeout=1 | 75 | no CONNACK in time | | ^1:CONNECT 1:PUBLISH
silent | -s hello -o qos=2 | 75 | no CONNACK in time | | ^1:CONNECT 1:PUBLISH
silent | -l -o timeout=1 | 75 | no CONNACK in time | | ^1:CONNECT
instead:CONNECT:nothing | -r -o timeout=1 | 75 | no CONNACK in time | | ^1:CONNECT$
silent | -s hello | 75 | no CONNACK in time | |
mute | -s hello | 75 | no CONNACK in time | |
mute | -r | 75 | no CONNACK in time | |
creep:CONNECT:connack-0:0.8 | -s hello | 75 | no CONNACK in time | |
full | -s hello | 69,75 | cannot connect | |
full | -r | 69,75 | cannot connect | |
END
}

# A program that spins makes some 100,000 in that time. The input is more than leaves before CONNACK.
@test "who waits for a broker makes hardly any system calls" {
    local trace calls keys

    make_ends
    keys="-o key=$DIR/dev.key -o peer=$(<"$DIR/col.pub")"
    TRACED=1
    INPUT=$(seq -f 'line %g' 1 200)
    cases <<END
silent | -s hello | 75 | - | |
silent | -l -o qos=0 | 75 | - | |
silent | -l -o qos=1 | 75 | - | |
silent | -l -o qos=2 | 75 | - | |
mute | -r | 75 | - | |
instead:PUBLISH:nothing | -l -o qos=1 | 75 | - | |
instead:PUBLISH:nothing | -l -o qos=2 | 75 | - | |
instead:PINGREQ:nothing | -l -o qos=0 | 69 | - | |
instead:SUBSCRIBE:nothing | -r | 75 | - | |
silent | -s hello -o sts_mode=push $keys -o state=$DIR/state -o spool=$DIR/spool | 75 | - | |
silent | -l -o sts_mode=master -o aes=chachapoly -o subtop=t/in $keys | 75 | - | |
good | -l -o sts_mode=master -o aes=chachapoly -o subtop=t/in $keys | 75 | - | |
END
    for trace in "$DIR"/trace.*; do
        calls=$(wc -l <"$trace")
        expect_within "$calls" 10 100
    done
}

# ---- the connection goes ----

@test "closed or reset at each step of a one-shot send: 69" {
    cases <<'END'
close:ACCEPT | -s hello | 69 | - | |
reset:ACCEPT | -s hello | 69 | - | |
close:CONNECT | -s hello | 69 | - | |
reset:CONNECT | -s hello | 69 | - | |
half:CONNECT:connack-0 | -s hello | 69 | - | |
close-after:CONNECT | -s hello | 69 | - | |
reset-after:CONNECT | -s hello | 69 | - | |
close:PUBLISH | -s hello | 69 | - | | ^1:CONNECT 1:PUBLISH$
reset:PUBLISH | -s hello | 69 | - | | ^1:CONNECT 1:PUBLISH$
half:PUBLISH:puback | -s hello | 69 | - | | ^1:CONNECT 1:PUBLISH$
close:PUBLISH | -s hello -o qos=0 | 69 | - | |
reset:PUBLISH | -s hello -o qos=0 | 69 | - | |
close:PINGREQ | -s hello -o qos=0 | 69 | - | | ^1:CONNECT 1:PUBLISH 1:PINGREQ$
close:PUBLISH | -s hello -o qos=2 | 69 | - | | ^1:CONNECT 1:PUBLISH$
close-after:PUBLISH | -s hello -o qos=2 | 69 | - | |
close:PUBREL | -s hello -o qos=2 | 69 | - | | ^1:CONNECT 1:PUBLISH 1:PUBREL$
reset:PUBREL | -s hello -o qos=2 | 69 | - | | ^1:CONNECT 1:PUBLISH 1:PUBREL$
half:PUBREL:pubcomp | -s hello -o qos=2 | 69 | - | | ^1:CONNECT 1:PUBLISH 1:PUBREL$
close-after:PUBLISH | -s hello -o qos=1 | 0 | - | |
reset:DISCONNECT | -s hello | 0 | - | | 1:DISCONNECT$
instead:DISCONNECT:nothing | -s hello | 0 | - | | 1:DISCONNECT$
END
}

@test "the first connection is closed or reset before CONNACK: 69" {
    cases <<'END'
close:ACCEPT | -l | 69 | - | |
close:CONNECT | -l | 69 | - | | ^1:CONNECT
reset:CONNECT | -l | 69 | - | | ^1:CONNECT
half:CONNECT:connack-0 | -l | 69 | - | | ^1:CONNECT
close:ACCEPT | -r | 69 | - | |
reset:ACCEPT | -r | 69 | - | |
close:CONNECT | -r | 69 | - | | ^1:CONNECT$
reset:CONNECT | -r | 69 | - | | ^1:CONNECT$
half:CONNECT:connack-0 | -r | 69 | - | | ^1:CONNECT$
END
}

@test "-l connects again and sends again what was not acknowledged, with DUP" {
    cases <<'END'
close:PUBLISH:1 | -l | 0 | - | | ^1:CONNECT 1:PUBLISH.* 2:CONNECT 2:PUBLISH/dup 2:PUBLISH/dup 2:PUBLISH/dup 2:DISCONNECT$
reset:PUBLISH:1 | -l | 0 | - | | ^1:CONNECT 1:PUBLISH.* 2:CONNECT 2:PUBLISH/dup 2:PUBLISH/dup 2:PUBLISH/dup 2:DISCONNECT$
half:PUBLISH:puback:1 | -l | 0 | - | | ^1:CONNECT 1:PUBLISH.* 2:CONNECT 2:PUBLISH/dup 2:PUBLISH/dup 2:PUBLISH/dup 2:DISCONNECT$
close-after:PUBLISH:1 | -l | 0 | - | | 2:CONNECT 2:PUBLISH/dup 2:PUBLISH/dup 2:DISCONNECT$
close:PUBLISH:1 | -l -o qos=2 | 0 | - | | 2:CONNECT 2:PUBLISH/dup.* 2:PUBREL 2:PUBREL 2:PUBREL 2:DISCONNECT$
close:PUBREL:2 | -l -o qos=2 -o clean_session=0 -o clientid=it | 0 | - | | ^1:CONNECT 1:DISCONNECT 2:CONNECT 2:PUBLISH.* 3:CONNECT 3:PUBREL( 3:PUB[A-Z/du]*)* 3:DISCONNECT$
close:PUBREL:1 | -l -o qos=2 | 0 | - | | 2:CONNECT 2:PUBLISH( 2:PUB[A-Z/du]*)* 2:PUBREL 2:DISCONNECT$
close-after:CONNECT:1 | -l | 0 | - | | 2:CONNECT.* 2:DISCONNECT$
close:PUBLISH:2 | -l -o timeout=6 | 0 | - | | 3:CONNECT 3:PUBLISH/dup.* 3:DISCONNECT$
END
}

@test "-l gives up when the broker does not come back" {
    cases <<'END'
close:PUBLISH | -l | 69,75 | - | | 1:PUBLISH
reset:PUBLISH | -l -o timeout=1 | 69,75 | - | | 1:PUBLISH
close-after:CONNECT | -l | 69,75 | - | | ^1:CONNECT
close:PINGREQ | -l -o qos=0 | 69,75 | - | | 1:PUBLISH
END
}

@test "-r ends when two connections in a row are closed at the first SUBSCRIBE" {
    cases <<'END'
close:SUBSCRIBE | -r | 69 | closed the connection | | ^1:CONNECT 1:SUBSCRIBE 2:CONNECT 2:SUBSCRIBE$
reset:SUBSCRIBE | -r | 69 | - | | ^1:CONNECT 1:SUBSCRIBE 2:CONNECT 2:SUBSCRIBE$
END
}

@test "-r comes back after a loss, and subscribes again" {
    cases <<'END'
close:SUBSCRIBE:1 | -r -n 1 | 0 | - | back | ^1:CONNECT 1:SUBSCRIBE 2:CONNECT 2:SUBSCRIBE 2:DISCONNECT$
reset:SUBSCRIBE:1 | -r -n 1 | 0 | - | back | ^1:CONNECT 1:SUBSCRIBE 2:CONNECT 2:SUBSCRIBE 2:DISCONNECT$
close-after:CONNECT:1 | -r -n 1 | 0 | - | back | 2:CONNECT 2:SUBSCRIBE 2:DISCONNECT$
close-after:SUBSCRIBE:1 | -r -n 1 | 0 | next attempt in | back | ^1:CONNECT 1:SUBSCRIBE 2:CONNECT 2:SUBSCRIBE 2:DISCONNECT$
reset-after:SUBSCRIBE:1 | -r -n 1 | 0 | next attempt in | back | ^1:CONNECT 1:SUBSCRIBE 2:CONNECT 2:SUBSCRIBE 2:DISCONNECT$
half:SUBSCRIBE:suback:1 | -r -n 1 | 0 | - | back | ^1:CONNECT 1:SUBSCRIBE 2:CONNECT 2:SUBSCRIBE 2:DISCONNECT$
half:SUBSCRIBE:suback+one+two:1 | -r -n 2 | 0 | - | one,back | 2:CONNECT 2:SUBSCRIBE 2:DISCONNECT$
half:SUBSCRIBE:suback+one+big-1:1 | -r -n 2 | 0 | - | one,back | 2:CONNECT 2:SUBSCRIBE 2:DISCONNECT$
close-after:SUBSCRIBE:2 | -r -n 1 | 0 | - | back | 2:CONNECT 2:SUBSCRIBE 3:CONNECT 3:SUBSCRIBE 3:DISCONNECT$
close-after:SUBSCRIBE | -r -w 3 | 75 | next attempt in | | ^1:CONNECT 1:SUBSCRIBE 2:CONNECT 2:SUBSCRIBE
END
}

# ---- acknowledgements ----

@test "acknowledgements for nothing that was sent" {
    cases <<'END'
instead:PUBLISH:puback-other | -s hello | 76 | PUBACK | | ^1:CONNECT 1:PUBLISH
instead:PUBLISH:puback-other | -l | 76 | PUBACK | |
also:PUBLISH:puback | -l | 0,76 | - | |
instead:PUBLISH:puback | -s hello -o qos=2 | 76 | PUBACK | |
instead:PUBLISH:pubrec | -s hello | 76 | PUBREC | |
instead:PUBLISH:pubcomp | -s hello | 76 | PUBCOMP | |
instead:PUBLISH:pubcomp | -s hello -o qos=2 | 76 | PUBCOMP | |
instead:PUBREL:puback | -s hello -o qos=2 | 76 | PUBACK | |
instead:PUBLISH:unsuback | -s hello | 76 | UNSUBACK | |
instead:PUBLISH:suback-99 | -s hello | 76 | SUBACK | |
also:CONNECT:puback-99 | -r | 76 | PUBACK | |
also:SUBSCRIBE:puback-99 | -r | 76 | PUBACK | |
also:SUBSCRIBE:suback-99 | -r | 76 | SUBACK | |
also:SUBSCRIBE:unsuback-99 | -r | 76 | UNSUBACK | |
instead:PUBLISH:pubrec-other | -s hello -o qos=2 | 75 | no acknowledgement in time | | ^1:CONNECT 1:PUBLISH 1:PUBREL
instead:PUBREL:pubcomp-other | -s hello -o qos=2 | 75 | no acknowledgement in time | |
instead:PUBLISH:pubrec-99 | -s hello -o qos=1 | 75 | no acknowledgement in time | | ^1:CONNECT 1:PUBLISH 1:PUBREL
instead:PUBLISH:pubcomp-99 | -s hello -o qos=1 | 75 | no acknowledgement in time | |
instead:PUBLISH:pubrel | -s hello -o qos=1 | 75 | no acknowledgement in time | | ^1:CONNECT 1:PUBLISH 1:PUBCOMP
END
}

@test "no acknowledgement, or none that ends the wait: 75 within timeout" {
    cases <<'END'
instead:PUBLISH:nothing | -s hello | 75 | no acknowledgement in time | | ^1:CONNECT 1:PUBLISH
instead:PUBLISH:nothing | -s hello -o qos=2 | 75 | no acknowledgement in time | |
instead:PUBREL:nothing | -s hello -o qos=2 | 75 | no acknowledgement in time | | ^1:CONNECT 1:PUBLISH 1:PUBREL
instead:PINGREQ:nothing | -s hello -o qos=0 | 69,75 | - | | ^1:CONNECT 1:PUBLISH 1:PINGREQ
instead:PUBLISH:nothing | -l | 69,75 | no acknowledgement in time | |
drip:PUBLISH:pingresp:0.3 | -s hello | 75 | no acknowledgement in time | |
drip:PUBLISH:one:0.3 | -s hello | 75 | no acknowledgement in time | |
drip:PUBLISH:pubcomp-99:0.3 | -s hello | 75 | no acknowledgement in time | |
drip:PUBLISH:pubrec-99:0.3 | -s hello | 75 | no acknowledgement in time | |
drip:PUBLISH:pubrec:0.3 | -s hello -o qos=2 | 75 | no acknowledgement in time | |
drip:PINGREQ:one:0.3 | -s hello -o qos=0 | 69,75 | - | |
drip:PINGREQ:pubcomp-99:0.3 | -s hello -o qos=0 | 69,75 | - | |
END
}

@test "malformed acknowledgements: 76" {
    cases <<'END'
instead:PUBLISH:puback-0 | -s hello | 76 | PUBACK.*packet id 0 | |
instead:PUBLISH:puback-short | -s hello | 76 | PUBACK.*remaining length does not fit | |
instead:PUBLISH:puback-long | -s hello | 76 | PUBACK.*remaining length does not fit | |
instead:PUBLISH:puback-huge | -s hello | 76 | PUBACK.*remaining length does not fit | |
instead:PUBLISH:puback-flags | -s hello | 76 | PUBACK.*flags | |
instead:PUBLISH:pubrec-0 | -s hello -o qos=2 | 76 | PUBREC.*packet id 0 | |
instead:PUBREL:pubcomp-0 | -s hello -o qos=2 | 76 | PUBCOMP.*packet id 0 | |
also:CONNECT:pubrel-0 | -s hello | 76 | PUBREL.*packet id 0 | |
also:SUBSCRIBE:pubrel-0 | -r | 76 | PUBREL.*packet id 0 | |
also:SUBSCRIBE:three+pubrel-flags | -r | 76 | PUBREL.*flags | three |
END
}

@test "a refused subscription: 77; a wrong or missing SUBACK: 76 or 75" {
    cases <<'END'
instead:SUBSCRIBE:suback-80 | -r | 77 | refused.*t/in | | ^1:CONNECT 1:SUBSCRIBE
instead:SUBSCRIBE:suback-87 | -r | 77 | refused.*t/in | | ^1:CONNECT 1:SUBSCRIBE
instead:SUBSCRIBE:suback-80 | -r -o subtop=a/b -o subtop=c/d | 77 | refused.*c/d | |
instead:SUBSCRIBE:suback-other | -r | 76 | SUBACK | |
instead:SUBSCRIBE:suback-0 | -r | 76 | SUBACK.*packet id 0 | |
instead:SUBSCRIBE:suback-few | -r | 76 | SUBACK | |
instead:SUBSCRIBE:suback-few | -r -o subtop=a/b -o subtop=c/d | 76 | SUBACK | |
instead:SUBSCRIBE:suback-many | -r | 76 | SUBACK | |
instead:SUBSCRIBE:suback-03 | -r | 76 | SUBACK.*unknown return code | |
instead:SUBSCRIBE:suback-7f | -r | 76 | SUBACK.*unknown return code | |
instead:SUBSCRIBE:suback-short | -r | 76 | SUBACK.*remaining length does not fit | |
instead:SUBSCRIBE:suback-huge | -r | 76 | SUBACK.*remaining length does not fit | |
instead:SUBSCRIBE:unsuback | -r | 76 | UNSUBACK | |
instead:SUBSCRIBE:puback | -r | 76 | PUBACK | |
instead:SUBSCRIBE:suback+suback | -r | 76 | SUBACK | |
instead:SUBSCRIBE:suback-80 | -s hello -o sts_mode=master -o aes=cbc -o subtop=t/in | 77 | refused.*t/in | |
instead:SUBSCRIBE:nothing | -r -o timeout=1 -w 2 | 75 | no SUBACK in time | | ^1:CONNECT 1:SUBSCRIBE
creep:SUBSCRIBE:suback:0.8 | -r -o timeout=1 -w 2 | 75 | no SUBACK in time | |
drip:SUBSCRIBE:pingresp:0.3 | -r -o timeout=1 -w 2 | 75 | no SUBACK in time | |
instead:SUBSCRIBE:nothing | -s hello -o sts_mode=master -o aes=cbc -o subtop=t/in | 75 | no SUBACK in time | |
END
}

# ---- malformed and misplaced packets ----

# malformed WORDS REPLY...: rows in which a sender and a receiver meet each packet.
malformed() {
    local words=$1 reply

    shift
    for reply; do
        echo "also:CONNECT:$reply | -s hello | 76 | $words | |"
        echo "instead:PUBLISH:$reply | -s hello -o qos=2 | 76 | $words | |"
        echo "also:SUBSCRIBE:$reply | -r | 76 | $words | |"
        echo "also:SUBSCRIBE:one+$reply+after | -r | 76 | $words | one |"
    done
}

@test "a malformed PUBLISH: 76" {
    {
        malformed 'PUBLISH.*QoS 3' publish-qos3
        malformed 'PUBLISH.*packet id 0' publish-id0 publish2-id0
        malformed 'PUBLISH.*DUP with QoS 0' publish-dup0
        malformed 'PUBLISH.*wildcard' publish-plus publish-hash publish-empty-topic
        malformed 'PUBLISH.*UTF-8' publish-nul publish-utf8 publish-surrogate publish-overlong
        malformed 'PUBLISH.*remaining length does not fit' publish-overrun publish-no-id \
            publish-short publish-huge-overrun
        malformed 'PUBLISH' publish-huge-id0
    } >"$(scratch)/table"
    cases <"$(scratch)/table"
}

@test "a packet that only a client sends, a reserved type, a five-byte length: 76" {
    {
        malformed 'packet type that a broker never sends' type-0 type-15 connect subscribe \
            unsubscribe pingreq disconnect
        malformed 'remaining length of more than four bytes' length-five
        malformed 'PINGRESP.*remaining length does not fit' pingresp-long
        malformed 'PINGRESP.*flags' pingresp-flags
    } >"$(scratch)/table"
    cases <"$(scratch)/table"
}

@test "garbage and flipped bits: an orderly end, whatever it reads like" {
    local seed

    {
        for seed in {1..20}; do
            echo "garbage:CONNECT:$seed | -s hello -o timeout=1 | 69,75,76,77 | - | |"
            echo "garbage:SUBSCRIBE:$seed | -r -o timeout=1 -w 2 | 69,75,76,77 | - | - |"
            echo "garbage:PUBLISH:$seed | -l -o timeout=1 | 69,75,76,77 | - | |"
        done
    } >"$(scratch)/table"
    cases <"$(scratch)/table"
}

# Bits in the payload change the output and nothing else: it is not looked at here.
@test "right answers with flipped bits" {
    local seed row

    {
        for seed in {1..40}; do
            echo "mutate:$seed | -r -n 4 -o timeout=1 -w 2 | 0,69,75,76,77 | - | - |"
        done
        for seed in {41..60}; do
            echo "mutate:$seed | -l -o qos=2 -o timeout=1 -w 2 | 0,69,75,76,77 | - | - |"
        done
    } >"$(scratch)/table"
    cases <"$(scratch)/table"
}

# ---- oversize packets ----

@test "an oversize PUBLISH is acknowledged, skipped and reported, and the next ones come" {
    local rx_bytes

    rx_bytes=$(rx_bytes)
    cases <<END
oversize:0:100000 | -r -n 3 -o qos=2 | 0 | WARN.*100000 bytes | one,two,three | 1:PUBACK.* 1:DISCONNECT$
oversize:1:100000 | -r -n 3 -o qos=2 | 0 | WARN.*100000 bytes | one,two,three | 1:PUBACK.* 1:PUBACK.* 1:DISCONNECT$
oversize:2:100000 | -r -n 3 -o qos=2 | 0 | WARN.*100000 bytes | one,two,three | 1:PUBREC.* 1:PUBACK.* 1:DISCONNECT$
oversize:0:3000000 | -r -n 3 -o qos=2 | 0 | WARN.*3000000 bytes | one,two,three | 1:PUBACK.* 1:DISCONNECT$
oversize:1:3000000 | -r -n 3 -o qos=2 | 0 | WARN.*3000000 bytes | one,two,three | 1:PUBACK.* 1:PUBACK.* 1:DISCONNECT$
oversize:2:3000000 | -r -n 3 -o qos=2 | 0 | WARN.*3000000 bytes | one,two,three | 1:PUBREC.* 1:PUBACK.* 1:DISCONNECT$
oversize:1:100000:dribble | -r -n 3 -o qos=2 | 0 | WARN.*100000 bytes | one,two,three | 1:PUBACK.* 1:PUBACK.* 1:DISCONNECT$
oversize:2:100000:dribble | -r -n 3 -o qos=2 | 0 | WARN.*100000 bytes | one,two,three | 1:PUBREC.* 1:PUBACK.* 1:DISCONNECT$
oversize:2:100000:twice | -r -n 3 -o qos=2 | 0 | WARN.*100000 bytes | one,two,three | 1:PUBREC.* 1:PUBACK.* 1:DISCONNECT$
oversize:1:$((rx_bytes + 1)) | -r -n 3 -o qos=2 | 0 | WARN.*$((rx_bytes + 1)) bytes | one,two,three | 1:PUBACK.* 1:PUBACK
long-topic:1:65535 | -r -n 1 | 0 | WARN.*bytes | after | 1:PUBACK.* 1:DISCONNECT$
END
}

# The largest packet that is taken whole.
rx_bytes() {
    echo $(($(printf '#include "limits.h"\nCLIENT_RX_BYTES' | cpp -P -iquote "$ROOT" - | tail -1)))
}

@test "the largest packet that fits is taken whole, and one that is no message is not skipped" {
    local rx_bytes

    rx_bytes=$(rx_bytes)
    cases <<END
oversize:1:$rx_bytes | -r -w 2 | 75 | - | $(head -c $((rx_bytes - 4 - 6 - 2)) /dev/zero | tr '\0' x),one,two,three | 1:PUBACK 1:PUBACK
also:SUBSCRIBE:suback-huge | -r | 76 | SUBACK.*remaining length does not fit | |
also:SUBSCRIBE:puback-huge | -r | 76 | PUBACK.*remaining length does not fit | |
also:SUBSCRIBE:connack-huge | -r | 76 | CONNACK.*remaining length does not fit | |
END
}

@test "a sender leaves messages to those who subscribed: it acknowledges none" {
    cases <<'END'
also:CONNECT:two | -s hello | 0 | - | | ^1:CONNECT 1:PUBLISH 1:DISCONNECT$
also:CONNECT:three | -s hello | 0 | - | | ^1:CONNECT 1:PUBLISH 1:DISCONNECT$
also:CONNECT:big-1 | -s hello | 0 | - | | ^1:CONNECT 1:PUBLISH 1:DISCONNECT$
also:CONNECT:big-2 | -s hello | 0 | - | | ^1:CONNECT 1:PUBLISH 1:DISCONNECT$
END
}

# ---- exactly once ----

@test "QoS 2: a message that comes again before PUBREL is one message" {
    cases <<'END'
twice | -r -n 3 -o qos=2 | 0 | - | hello,hello again,after | ^1:CONNECT 1:SUBSCRIBE 1:PUBREC 1:PUBREC 1:PUBCOMP 1:PUBREC
redeliver:publish:1 | -r -n 2 -o qos=2 -o clean_session=0 -o clientid=it | 0 | - | hello,after | 1:PUBREC 2:CONNECT 2:SUBSCRIBE 2:PUBREC 2:PUBCOMP 2:DISCONNECT$
redeliver:publish:0 | -r -n 3 -o qos=2 -o clean_session=0 -o clientid=it | 0 | - | hello,hello,after | 1:PUBREC 2:CONNECT 2:SUBSCRIBE 2:PUBREC 2:PUBCOMP 2:DISCONNECT$
redeliver:pubrel:1 | -r -n 2 -o qos=2 -o clean_session=0 -o clientid=it | 0 | - | hello,after | 1:PUBREC 2:CONNECT 2:SUBSCRIBE 2:PUBCOMP 2:DISCONNECT$
END
}

# ---- a broker that does not read, does not answer, or talks too much ----

@test "keepalive: PINGREQ when nothing else passes; a broker that does not answer is dead" {
    cases <<'END'
good | -r -w 3 -o keepalive=1 | 75 | - | | ^1:CONNECT 1:SUBSCRIBE 1:PINGREQ 1:PINGREQ( 1:PINGREQ)* 1:DISCONNECT$
good | -r -w 3 -o keepalive=0 | 75 | - | | ^1:CONNECT 1:SUBSCRIBE 1:DISCONNECT$
instead:PINGREQ:nothing:1 | -r -n 1 -o keepalive=1 -o timeout=1 | 0 | does not answer PINGREQ | back | ^1:CONNECT 1:SUBSCRIBE 1:PINGREQ( 1:PINGREQ)* 2:CONNECT 2:SUBSCRIBE 2:DISCONNECT$
stall | -r -w 3 -o keepalive=2 -o timeout=1 | 75 | no SUBACK in time | |
END
}

@test "a broker that stops reading: 75 or 69 within the time limits" {
    cases <<'END'
stall | -s hello -o qos=0 | 69,75 | - | |
stall | -s hello | 75 | no acknowledgement in time | |
stall | -l | 69,75 | - | |
END
    stalled -o qos=0
    stalled -o qos=1
}

# More than socket buffers hold, to the broker of the first row.
stalled() {
    local result

    yes "$(head -c 8000 /dev/zero | tr '\0' x)" | head -3000 >"$DIR/many"
    bounded "$STS" -l -o ip=127.0.0.1 -o "port=${PORTS[stall@0]}" -o pubtop=t/out -o timeout=1 "$@" \
        <"$DIR/many" >"$DIR/many.out" 2>"$DIR/many.err"
    [[ $result == 69 || $result == 75 ]] || fail "exit status $result" "$(cat "$DIR/many.err")"
}

@test "floods of acknowledgements are answered or ignored, and nothing is lost behind them" {
    cases <<'END'
also:SUBSCRIBE:pubrel-flood+one | -r -n 1 | 0 | - | one | 1:PUBCOMP( 1:PUBCOMP)* 1:DISCONNECT$
also:SUBSCRIBE:pubrec-flood+one | -r -n 1 | 0 | - | one | 1:DISCONNECT$
also:SUBSCRIBE:pubcomp-flood+pingresp-flood+one | -r -n 1 | 0 | - | one | 1:DISCONNECT$
also:CONNECT:pubrel-flood+pubrec-flood+pubcomp-flood | -s hello | 0 | - | | 1:PUBCOMP
END
}
