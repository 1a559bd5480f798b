#!/usr/bin/env bats
# push.bats - STS/2 pushes through a real broker: senders, collectors and their state files; an
# independent implementation that opens, makes, spoils and replays them (push_hand.py); crashes.
#
# In every test: keys `a` and `b` of senders, `stranger` (in no peers file) and `col` of the
# collector, whose public key is $COLLECTOR; `b` has a psk. Topics are $TOPIC/... A run of the
# collector has a name, and writes $DIR/NAME.out and $DIR/NAME.err.
# shellcheck shell=bash disable=SC2030,SC2031,SC2153,SC2317

load lib

HAND=$BATS_TEST_DIRNAME/push_hand.py
PEERS_COUNT=1000
EACH=20         # pushes of each of them

setup_file() {
    start_broker
}

teardown_file() {
    stop_all
}

setup() {
    use_broker
    DIR=$(scratch)
    PSK=$(head -c 32 /dev/urandom | base64)
    COLLECTOR=$("$STS" -k "$DIR/col.key")
    {
        echo "a $("$STS" -k "$DIR/a.key")"
        echo "b $("$STS" -k "$DIR/b.key") $PSK"
    } >"$DIR/peers"
    chmod 600 "$DIR/peers"
    "$STS" -k "$DIR/stranger.key" >"$DIR/stranger"
    COLLECT=("${TO[@]}" -o sts_mode=collect -o "key=$DIR/col.key" -o "peers=$DIR/peers")
    STATE=$DIR/col.state
    SUBTOPS=(-o "subtop=$TOPIC/#")
}

teardown() {
    stop_all
}

# ---- programs ----

hand() {
    timeout -k 1 60 /usr/bin/python3 -B "$HAND" "$@"
}

# push NAME ARGUMENT...: sts as the sender NAME, on the topic of that name.
push() {
    local psk=()

    [[ $1 != b ]] || psk=(-o "psk=$PSK")
    sts "${TO[@]}" -o sts_mode=push -o "key=$DIR/$1.key" -o "peer=$COLLECTOR" "${psk[@]}" \
        -o "pubtop=$TOPIC/$1" "${@:2}"
}

# A reading that has to be the last one to come out: all that was published before is dealt with.
push_end() {
    push a -s "end $1"
    expect_status 0
    wait_for has_text "\"end $1\"" "$DIR/$1.out"
}

# collect_start NAME [ARGUMENT...]: a collector in the background; returns when subscribed. BG.
collect_start() {
    : >"$DIR/$1.err"
    start "$STS" "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$STATE" -r -j -v "${@:2}" \
        >"$DIR/$1.out" 2>"$DIR/$1.err"
    wait_for subscribed_to_last_or_gone "$1" "$BG"
    alive "$BG" || fail "$(cat "$DIR/$1.err")"
}

subscribed_to_last_or_gone() {
    has_text ' subscribed to ' "$DIR/$1.err" || gone "$2"
}

collect_stop() { # PROCESS
    kill -TERM "$1"
    join "$1"
    expect_status 0
}

collect_kill() { # PROCESS
    kill -KILL "$1"
    join "$1"
}

# A collector that runs until it gives up: `status`, $OUT, $ERR. The state file is $1.
collect_once() {
    sts "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$1" -r -j "${@:2}"
}

# The session of the collector that waits for its messages.
subscribe_for_later() {
    collect_start first
    collect_stop "$BG"
}

outs() {
    cat "$DIR"/*.out
}

# How many different texts that begin with $1 have come out.
different() {
    outs | grep -Eo "\"payload\":\"$1[^\"]*\"" | sort -u | wc -l
}

has_different() { # COUNT TEXT
    (($(different "$2") >= $1))
}

# What the collector calls itself to the broker.
client_id() {
    echo "sts-$({ printf 'sts client id' && base64 -d <<<"$COLLECTOR"; } | sha256sum | head -c 16)"
}

# Standard input as hex digits; a text that is given.
hex() {
    od -An -v -tx1 | tr -d ' \n'
}

hex_of() {
    printf %s "$1" | hex
}

# Bytes of a file, as hex digits.
at() { # FILE OFFSET COUNT
    tail -c "+$(($2 + 1))" "$1" | head -c "$3" | hex
}

# ---- assertions ----

# What came out of all runs, whole lines of correct JSON: each of these lines "PEER TEXT" once.
expect_texts() { # FILE
    hand texts "$DIR"/*.out | sort >"$DIR/texts"
    sort "$1" >"$DIR/expected"
    expect_same "$DIR/texts" "$DIR/expected"
}

# The same, each at least once, and what is there again has the id that it had.
expect_texts_again() { # FILE
    hand json "$DIR"/*.out | sort -u >"$DIR/readings"
    expect_equal "$(cut -d ' ' -f 1,2 "$DIR/readings" | sort -u | wc -l)" "$(wc -l <"$1")"
    expect_equal "$(wc -l <"$DIR/readings")" "$(wc -l <"$1")"
    hand texts "$DIR"/*.out | sort -u >"$DIR/texts"
    sort "$1" >"$DIR/expected"
    expect_same "$DIR/texts" "$DIR/expected"
}

expect_rising() { # FILE with a number a line
    expect_equal "$(sort -nu "$1")" "$(cat "$1")"
}

expect_refused() { # STATUS REGEX
    expect_status "$1"
    expect_match "$ERR" "$2"
    expect_empty "$OUT"
}

# ---- pushes ----

@test "-s, -s -, -l, QoS 0, 1, 2, with and without state: opened by the collector, and by others" {
    sub_start recorder -t "$TOPIC/#" -q 2 -F '%t %x'
    recorder=$BG
    collect_start run -o qos=2
    for qos in 0 1 2; do
        for name in a b; do
            for state in '' "$DIR/$name.state"; do
                options=(-o "qos=$qos" ${state:+-o "state=$state"})
                push "$name" "${options[@]}" -s "21.5 C $qos"
                expect_status 0
                printf 'two\nlines\0\377' | push "$name" "${options[@]}" -s -
                expect_status 0
                push "$name" "${options[@]}" -s ''
                expect_status 0
                printf 'x\n\nlast line' | push "$name" "${options[@]}" -l
                expect_status 0
                expect_empty "$OUT"
                expect_empty "$ERR"
            done
        done
    done
    wait_for has_lines 72 "$DIR/run.out"
    wait_for has_lines 72 "$(out_of recorder)"
    hand json "$DIR/run.out" | sort >"$DIR/got"
    hand open "$DIR/col.key" "$DIR/peers" <"$(out_of recorder)" | sort >"$DIR/opened"
    expect_same "$DIR/got" "$DIR/opened"
    expect_equal "$(cut -d ' ' -f 4 "$DIR/got" | sort | uniq -c | sort -n | tr -s ' ' |
        paste -sd,)" " 4 $(hex_of '21.5 C 0'), 4 $(hex_of '21.5 C 1'), \
4 $(hex_of '21.5 C 2'), 12 $(hex_of 'last line'), \
12 $(printf 'two\nlines\0\377' | hex), 12 $(hex_of x), 24 "
    for qos in 0 1 2; do
        expect_match "$BROKER_LOG" \
            "Received PUBLISH from sts-.* \(d0, q$qos, r0, m[0-9]+, '$TOPIC/a'"
    done
    expect_empty <(grep -aE 'C 0|two' "$(out_of recorder)")
    collect_stop "$BG"
    collect_stop "$recorder"
}

@test "the longest message, and one byte more" {
    collect_start run
    head -c 16384 /dev/zero | tr '\0' x >"$DIR/long"
    push a -s - <"$DIR/long"
    expect_status 0
    { cat "$DIR/long"; echo; } | push a -l
    expect_status 0
    { cat "$DIR/long"; echo x; } >"$DIR/longer"
    push a -s - <"$DIR/longer"
    expect_refused 65 '16384'
    push a -l <"$DIR/longer"
    expect_refused 65 '16384'
    push_end run
    hand texts "$DIR/run.out" >"$DIR/texts"
    expect_equal "$(head -2 "$DIR/texts" | wc -c)" $((2 * (2 + 16384 + 1)))
    expect_equal "$(wc -l <"$DIR/texts")" 3
}

@test "ids: rising, not below the clock, the state file 0600 and ahead of all that left" {
    sub_start recorder -t "$TOPIC/#" -q 1 -F '%t %x'
    before=$(date +%s%6N)
    for i in 1 2 3; do
        push a -o "state=$DIR/a.state" -s "$i"
        expect_status 0
        printf '1\n2\n3\n' | push a -o "state=$DIR/a.state" -l
        expect_status 0
    done
    expect_equal "$(stat -c %a,%s "$DIR/a.state")" 600,1024
    wait_for has_lines 12 "$(out_of recorder)"
    hand open "$DIR/col.key" "$DIR/peers" <"$(out_of recorder)" | cut -d ' ' -f 2 >"$DIR/ids"
    expect_rising "$DIR/ids"
    # -l takes up to a second in advance, each time.
    expect_within "$(head -1 "$DIR/ids")" "$before" "$(date +%s%6N)"
    expect_within "$(tail -1 "$DIR/ids")" "$before" $(($(date +%s%6N) + 3000000))
    expect_within "$((0x$(at "$DIR/a.state" 520 8)))" "$(tail -1 "$DIR/ids")" \
        $(($(date +%s%6N) + 4000000))
}

@test "ids: a state far ahead of the clock, and where ids end" {
    sub_start recorder -t "$TOPIC/#" -q 1 -F '%t %x'
    hand state "$DIR/a.key" $((1 << 62)) >"$DIR/a.state"
    chmod 600 "$DIR/a.state"
    push a -o "state=$DIR/a.state" -s 1
    expect_status 0
    printf '2\n3\n' | push a -o "state=$DIR/a.state" -l
    expect_status 0
    wait_for has_lines 3 "$(out_of recorder)"
    hand open "$DIR/col.key" "$DIR/peers" <"$(out_of recorder)" | cut -d ' ' -f 2 >"$DIR/ids"
    expect_content "$DIR/ids" "$(seq $(((1 << 62) + 1)) $(((1 << 62) + 3)))"
    hand state "$DIR/a.key" $(((1 << 63) - 2)) >"$DIR/a.state"
    push a -o "state=$DIR/a.state" -s last
    expect_status 0
    for action in -l '-s x' '-s -'; do
        # shellcheck disable=SC2086 # they are words
        push a -o "state=$DIR/a.state" $action <<<never
        expect_refused 78 'no id left'
    done
    wait_for has_lines 4 "$(out_of recorder)"
    hand open "$DIR/col.key" "$DIR/peers" <"$(out_of recorder)" | tail -1 >"$DIR/ids"
    expect_match "$DIR/ids" "^a 9223372036854775807 .* $(hex_of last)\$"
}

@test "ids: runs of -l at a time with one state file: each arrives whole, or ends with 75" {
    collect_start run
    for i in 1 2 3 4 5 6 7 8; do
        start "$STS" "${TO[@]}" -o sts_mode=push -o "key=$DIR/a.key" -o "peer=$COLLECTOR" \
            -o "pubtop=$TOPIC/a" -o "state=$DIR/a.state" -l \
            < <(seq -f "run $i line %.0f" 50) 2>"$DIR/push.$i"
    done
    : >"$DIR/lines"
    for i in 1 2 3 4 5 6 7 8; do
        join "${PIDS[i]}"
        if [[ $status == 0 ]]; then
            seq -f "a run $i line %.0f" 50 >>"$DIR/lines"
        else
            expect_status 75
            expect_match "$DIR/push.$i" 'a[.]state is in use by another program'
        fi
    done
    expect_within "$(wc -l <"$DIR/lines")" 50 400
    wait_for has_lines "$(wc -l <"$DIR/lines")" "$DIR/run.out"
    expect_texts "$DIR/lines"
}

@test "ids: while -l runs it has the state file alone: another run gets 75, and sends nothing" {
    collect_start run
    open_feed
    start "$STS" "${TO[@]}" -o sts_mode=push -o "key=$DIR/a.key" -o "peer=$COLLECTOR" \
        -o "pubtop=$TOPIC/a" -o "state=$DIR/a.state" -l <"$FEED" 2>"$DIR/push.err"
    long=$BG
    echo one >&9
    wait_for has_lines 1 "$DIR/run.out"
    sts "${TO[@]}" -o sts_mode=push -o "key=$DIR/a.key" -o "peer=$COLLECTOR" \
        -o "pubtop=$TOPIC/a" -o "state=$DIR/a.state" -s two
    expect_status 75
    expect_match "$ERR" 'a[.]state is in use by another program'
    close_feed
    join "$long"
    expect_status 0
    sts "${TO[@]}" -o sts_mode=push -o "key=$DIR/a.key" -o "peer=$COLLECTOR" \
        -o "pubtop=$TOPIC/a" -o "state=$DIR/a.state" -s three
    expect_status 0
    wait_for has_lines 2 "$DIR/run.out"
    printf 'a one\na three\n' >"$DIR/lines"
    expect_texts "$DIR/lines"
}

@test "as many runs at a time as the window has ids: every reading arrives" {
    collect_start run
    for i in {1..32}; do
        start "$STS" "${TO[@]}" -o sts_mode=push -o "key=$DIR/a.key" -o "peer=$COLLECTOR" \
            -o "pubtop=$TOPIC/a" -o "state=$DIR/a.state" -s "$i" 2>"$DIR/push.$i"
    done
    for pid in "${PIDS[@]:1}"; do
        join "$pid"
        expect_status 0
    done
    wait_for has_lines 32 "$DIR/run.out"
    seq -f 'a %.0f' 32 >"$DIR/lines"
    expect_texts "$DIR/lines"
}

@test "the state of a sender is synced before anything leaves" {
    for state in "$DIR/new.state" "$DIR/new.state"; do
        strace -o "$DIR/trace" -e trace=pwrite64,fdatasync,sendmsg,write,sendto \
            "$STS" "${TO[@]}" -o sts_mode=push -o "key=$DIR/a.key" -o "peer=$COLLECTOR" \
            -o "pubtop=$TOPIC/a" -o "state=$state" -s x
        grep -Eo '^[a-z0-9]+' "$DIR/trace" | paste -sd' ' >"$DIR/calls"
    done
    expect_match "$DIR/calls" '^pwrite64 fdatasync send(msg|to)( |$)'
    expect_equal "$(grep -c pwrite64 "$DIR/trace")" 1
}

# ---- collectors ----

@test "-j: every kind of payload, topic and name is correct JSON" {
    name=$'Käse"\\/\u6e29'
    echo "$name $(<"$DIR/stranger")" >"$DIR/peers"
    cp "$DIR/stranger.key" "$DIR/$BATS_TEST_NUMBER.key"
    collect_start run
    payloads=('plain' $'quote " back \\ slash / tab \t bell \a del \x7f' $'line\nfeed\r'
        'ä € 😀' '\377\376' '\355\240\200' 'half \303' 'zero \0 byte' '' '{"a":1}' $'\u2028')
    topic=$TOPIC/$'\u00e4 "topic" \\'
    for payload in "${payloads[@]}"; do
        # shellcheck disable=SC2059 # it is a format
        [[ $payload != *\\* || $payload == quote* ]] || payload=$(printf "$payload" | base64)-base64
        if [[ $payload == *-base64 ]]; then
            base64 -d <<<"${payload%-base64}"
        else
            printf %s "$payload"
        fi >"$DIR/payload"
        sts "${TO[@]}" -o sts_mode=push -o "key=$DIR/stranger.key" -o "peer=$COLLECTOR" \
            -o "pubtop=$topic" -s - <"$DIR/payload"
        expect_status 0
        hex <"$DIR/payload" >>"$DIR/hex"
        echo >>"$DIR/hex"
    done
    wait_for has_lines ${#payloads[@]} "$DIR/run.out"
    hand json "$DIR/run.out" >"$DIR/readings"
    sed -E 's/.* //' "$DIR/readings" >"$DIR/got"
    expect_same "$DIR/got" "$DIR/hex"
    expect_equal "$(grep -cF "$topic" "$DIR/readings")" ${#payloads[@]}
    expect_equal "$(grep -cF "$name " "$DIR/readings")" ${#payloads[@]}
    expect_equal "$(grep -c payload_base64 "$DIR/run.out")" 3
}

@test "-r without -j: payloads alone, one a line, -n of them" {
    collect_start late
    collect_stop "$BG"
    printf '1\n2\n3\n' | push b -l
    push a -s 4
    sts "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$STATE" -r -n 2
    expect_status 0
    expect_content "$OUT" $'1\n2'
    sts "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$STATE" -r -n 2
    expect_status 0
    expect_content "$OUT" $'3\n4'
}

@test "wildcards, several filters and a shared subscription" {
    SUBTOPS=(-o "subtop=$TOPIC/+/x" -o "subtop=$TOPIC/deep/#"
        -o "subtop=\$share/group/$TOPIC/shared/#")
    collect_start run
    for topic in one/x two/x deep/er/still shared/y elsewhere one/y; do
        sts "${TO[@]}" -o sts_mode=push -o "key=$DIR/a.key" -o "peer=$COLLECTOR" \
            -o "pubtop=$TOPIC/$topic" -s "$topic"
        expect_status 0
    done
    SUBTOPS=(-o "subtop=$TOPIC/a")
    wait_for has_lines 4 "$DIR/run.out"
    sts "${TO[@]}" -o sts_mode=push -o "key=$DIR/a.key" -o "peer=$COLLECTOR" \
        -o "pubtop=$TOPIC/shared/end" -s end
    wait_for has_text '"end"' "$DIR/run.out"
    printf 'a %s\n' deep/er/still end one/x shared/y two/x >"$DIR/lines"
    expect_texts "$DIR/lines"
    hand json "$DIR/run.out" >"$DIR/readings"
    expect_match "$DIR/readings" "^a [0-9]+ $TOPIC/shared/y "
}

@test "the client id is of the key, the same each run; the session persists unless told otherwise" {
    id=$(client_id)
    for _ in 1 2; do
        subscribe_for_later
    done
    expect_equal "$(broker_count "New client connected from .* as $id \(p2, c0, k60\)")" 2
    collect_start own -o clientid=other
    collect_stop "$BG"
    expect_match "$BROKER_LOG" 'as other \(p2, c0, k60\)'
    collect_start clean -o clean_session=1
    collect_stop "$BG"
    expect_match "$BROKER_LOG" "as $id \(p2, c1, k60\)"
    sts "${TO[@]}" -o sts_mode=collect -o "key=$DIR/a.key" -o "peers=$DIR/stranger.peers" \
        -o "state=$DIR/other.state" "${SUBTOPS[@]}" -r -w 1
    expect_status 66
    echo "s $(<"$DIR/stranger")" >"$DIR/stranger.peers"
    sts "${TO[@]}" -o sts_mode=collect -o "key=$DIR/a.key" -o "peers=$DIR/stranger.peers" \
        -o "state=$DIR/other.state" "${SUBTOPS[@]}" -r -w 1
    expect_status 75
    expect_equal "$(broker_count "New client connected from .* as $id ")" 3
}

@test "a collector that starts late, restarts, is killed between messages: each reading once" {
    subscribe_for_later
    expect_equal "$(stat -c %a,%s "$STATE")" 600,1536
    for i in 1 2 3 4 5; do
        push a -s "down $i"
        seq -f "lines $i %.0f" 30 | push b -l
        collect_start "run$i"
        wait_for has_text "\"lines $i 30\"" "$DIR/run$i.out"
        push a -o qos=2 -s "up $i"
        wait_for has_text "\"up $i\"" "$DIR/run$i.out"
        # It has acknowledged it, so this is between messages.
        wait_for nothing_in_flight
        if ((i % 2)); then
            collect_kill "$BG"
        else
            collect_stop "$BG"
        fi
    done
    push a -s last
    collect_start last
    wait_for has_text '"last"' "$DIR/last.out"
    {
        for i in 1 2 3 4 5; do
            printf 'a %s\n' "down $i" "up $i"
            seq -f "b lines $i %.0f" 30
        done
        echo a last
    } >"$DIR/lines"
    expect_texts "$DIR/lines"
    expect_equal "$(stat -c %a,%s "$STATE")" 600,1536
}

nothing_in_flight() {
    local id

    id=$(client_id)
    (($(broker_count "Sending PUBLISH to $id \(d0, q1") ==
        $(broker_count "Received PUBACK from $id ")))
}

# A sender of 1,500 lines, and a collector that is ended with `$1 PROCESS` five times meanwhile:
# each time amid 300 lines, for the sender gets no more of them until then.
flood() { # END QOS
    local run had

    subscribe_for_later
    seq -f 'line %.0f' 1500 >"$DIR/flood"
    open_feed
    start "$STS" "${TO[@]}" -o sts_mode=push -o "key=$DIR/a.key" -o "peer=$COLLECTOR" \
        -o "pubtop=$TOPIC/a" -o "state=$DIR/a.state" -o "qos=$2" -l <"$FEED" 2>"$DIR/push.err"
    FLOOD=$BG
    for run in 1 2 3 4 5; do
        had=$(different 'line ')
        collect_start "run$run" -o "qos=$2"
        sed -n "$((300 * run - 299)),$((300 * run))p" "$DIR/flood" >&9
        wait_for has_different $((had + 20)) 'line '
        "$1" "$BG"
    done
    close_feed
    collect_start last -o "qos=$2"
    wait_for has_different 1500 'line '
    join "$FLOOD"
    expect_status 0
    sed 's/^/a /' "$DIR/flood" >"$DIR/lines"
}

@test "kill -9 during a flood, QoS 1: nothing is lost, what comes again has the same id" {
    flood collect_kill 1
    expect_texts_again "$DIR/lines"
}

@test "kill -9 during a flood, QoS 2: nothing is lost, what comes again has the same id" {
    flood collect_kill 2
    expect_texts_again "$DIR/lines"
}

@test "SIGTERM during a flood: nothing is lost, and nothing comes twice" {
    flood collect_stop 1
    expect_texts "$DIR/lines"
}

# collect_crash NAME INJECTION [ARGUMENT...]: a collector that dies of SIGKILL as it enters a system call.
collect_crash() {
    start strace -D -o "$DIR/trace" -e "inject=$2" "$STS" "${COLLECT[@]}" "${SUBTOPS[@]}" \
        -o "state=$STATE" -r -j -q "${@:3}" >"$DIR/$1.out" 2>"$DIR/$1.err"
    join "$BG"
    expect_status 137
}

@test "killed at each step of taking a message: not lost, there twice only if before the state" {
    subscribe_for_later
    # sendmsg: CONNECT, SUBSCRIBE, and then the PUBACK.
    while read -r name call nth times; do
        push a -s "$name"
        collect_crash "$name" "$call:signal=KILL:when=$nth"
        collect_start "$name.again"
        push_end "$name.again"
        collect_stop "$BG"
        hand json "$DIR/$name.out" "$DIR/$name.again.out" | grep " $(hex_of "$name")\$" \
            >"$DIR/readings"
        expect_equal "$name $(wc -l <"$DIR/readings")" "$name $times"
        expect_equal "$(sort -u "$DIR/readings" | wc -l)" 1
    done <<'END'
before-writing write 1 1
before-the-state pwrite64 1 2
before-the-sync fdatasync 1 1
before-the-PUBACK sendmsg 3 1
END
}

@test "payload, state, sync, PUBACK, in that order; one sync for all that came in one read" {
    start strace -D -o "$DIR/trace" -e trace=write,pwrite64,fdatasync,sendmsg,sendto,read,recvfrom \
        "$STS" "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$STATE" -r -q \
        >"$DIR/run.out" 2>"$DIR/run.err"
    collector=$BG
    wait_for has_text 'read\([0-9]+, "\\220' "$DIR/trace"
    traced=$(wc -l <"$DIR/trace")
    push a -s x
    wait_for has_text 'sendmsg\(.*"@\\2' "$DIR/trace"
    tail -n "+$((traced + 1))" "$DIR/trace" | grep -Eo '^[a-z0-9]+\((1,)?' | paste -sd' ' \
        >"$DIR/calls"
    expect_match "$DIR/calls" 'read\( write\(1, pwrite64\( fdatasync\( sendmsg\('
    # Stopped, it finds as many as the broker sends at a time: they are one read.
    kill -STOP "$collector"
    seen=$(broker_count "Sending PUBLISH to .*'$TOPIC/a'")
    seq 15 | push a -l
    all_sent() { (($(broker_count "Sending PUBLISH to .*'$TOPIC/a'") == seen + 15)); }
    wait_for all_sent
    traced=$(wc -l <"$DIR/trace")
    kill -CONT "$collector"
    wait_for has_lines 16 "$DIR/run.out"
    collect_stop "$collector"
    tail -n "+$((traced + 1))" "$DIR/trace" >"$DIR/more"
    expect_within "$(grep -c '^fdatasync' "$DIR/more")" 1 3
    expect_equal "$(grep -c '^pwrite64' "$DIR/more")" "$(grep -c '^fdatasync' "$DIR/more")"
}

@test "a broker that restarts amid a flood: senders and collector come back, each reading once" {
    start_broker 'persistence true' "persistence_location $DIR/"
    COLLECT=("${TO[@]}" "${COLLECT[@]:4}")
    collect_start run -o qos=2
    collector=$BG
    seq -f 'line %.0f' 3000 >"$DIR/flood"
    # 1000 lines at once, and the rest when the broker is gone: the sender cannot be through before.
    start "$STS" "${TO[@]}" -o sts_mode=push -o "key=$DIR/a.key" -o "peer=$COLLECTOR" \
        -o "pubtop=$TOPIC/a" -l < <(
            head -1000 "$DIR/flood"
            until [[ -e $DIR/go ]]; do sleep 0.05; done
            tail -2000 "$DIR/flood"
        ) 2>"$DIR/push.err"
    sender=$BG
    wait_for has_different 300 'line '
    stop_broker
    : >"$DIR/go"
    run_broker
    wait_for has_different 3000 'line '
    join "$sender"
    expect_status 0
    push_end run
    {
        sed 's/^/a /' "$DIR/flood"
        echo a end run
    } >"$DIR/lines"
    expect_texts "$DIR/lines"
    collect_stop "$collector"
}

@test "1,000 peers, 20 pushes each: all there, once each, each under its name" {
    mkdir "$DIR/keys"
    hand keys "$DIR/keys" "$PEERS_COUNT" >"$DIR/peers"
    cat >"$DIR/device" <<'END'
#!/bin/sh
seq -f "$1 says %.0f" "$EACH" | "$STS" -o ip=127.0.0.1 -o "port=$PORT" -o sts_mode=push \
    -o "key=$DIR/keys/$1.key" -o "peer=$COLLECTOR" -o "pubtop=$TOPIC/$1" -l
END
    export STS PORT DIR COLLECTOR TOPIC EACH
    echo "a $("$STS" -k "$DIR/a.key")" >>"$DIR/peers"
    collect_start run
    cut -d ' ' -f 1 "$DIR/peers" | grep -v a | xargs -n 1 -P 4 sh "$DIR/device"
    WAIT_S=60 wait_for has_lines $((PEERS_COUNT * EACH)) "$DIR/run.out"
    push_end run
    collect_stop "$BG"
    {
        for ((i = 1; i <= PEERS_COUNT; i++)); do
            seq -f "$(printf '%04d %04d' "$i" "$i") says %.0f" "$EACH"
        done
        echo a end run
    } >"$DIR/lines"
    expect_texts "$DIR/lines"
    expect_no_match "$DIR/run.err" 'dropped'
}

# ---- hostile hands ----

# Packets that must not come out, one for each kind.
spoil() { # KIND
    local other=$DIR/other.key

    case $1 in
        stranger) hand seal "$DIR/stranger.key" "$COLLECTOR" "$TOPIC/a" <<<'1000 x' ;;
        itself) hand seal "$DIR/col.key" "$COLLECTOR" "$TOPIC/a" <<<'1000 x' ;;
        psk-missing) hand seal "$DIR/b.key" "$COLLECTOR" "$TOPIC/b" <<<'1000 x' ;;
        psk-needless) hand seal "$DIR/a.key" "$COLLECTOR" "$TOPIC/a" "$PSK" <<<'1000 x' ;;
        for-another) hand seal "$DIR/a.key" "$("$STS" -k "$other")" "$TOPIC/a" <<<'1000 x' ;;
        moved) spoil_good | hand move "$TOPIC/moved" ;;
        upper-case) spoil_good | hand move "$TOPIC/A" ;;
        empty) echo "$TOPIC/a " ;;
        version) spoil_good | sed 's/ 0209/ 0109/' ;;
        type) spoil_good | sed 's/ 0209/ 0201/' ;;
        json) echo "$TOPIC/a $(hex_of '{"temperature":21.5}')" ;;
        short) spoil_good | sed -E 's/ (.{208}).*/ \1/' ;;
        long) hand seal "$DIR/a.key" "$COLLECTOR" "$TOPIC/a" <<<"1000 $(printf '%016385d' 0)" ;;
        longer) spoil_good | sed 's/$/00/' ;;
        zero-e) spoil_good | sed -E "s/ 0209.{64}/ 0209$(printf '%064d' 0)/" ;;
        id-0) hand seal "$DIR/a.key" "$COLLECTOR" "$TOPIC/a" <<<'0 x' ;;
        id-over) hand seal "$DIR/a.key" "$COLLECTOR" "$TOPIC/a" <<<'9223372036854775808 x' ;;
    esac
}

spoil_good() {
    hand seal "$DIR/a.key" "$COLLECTOR" "$TOPIC/a" <<<'1000 x'
}

@test "what no peer made for this collector and this topic: dropped, and named at -v" {
    while IFS='|' read -r kind words; do
        spoil "$kind" >"$DIR/packets"
        [[ -s $DIR/packets ]]
        collect_start "$kind"
        hand publish "$PORT" <"$DIR/packets"
        push_end "$kind"
        collect_stop "$BG"
        expect_match "$DIR/$kind.err" "\[DEBUG\].*dropped a payload: $words \(1 so far\)"
        expect_equal "$(wc -l <"$DIR/$kind.out")" 1
    done <<'END'
stranger|an unknown key
itself|an unknown key
psk-missing|does not authenticate
psk-needless|does not authenticate
for-another|does not authenticate
moved|does not authenticate
upper-case|does not authenticate
empty|a size, version or type that is not taken here
version|a size, version or type that is not taken here
type|a size, version or type that is not taken here
json|a size, version or type that is not taken here
short|a size, version or type that is not taken here
long|a size, version or type that is not taken here
longer|does not authenticate
zero-e|does not authenticate
id-0|an id that is not new
id-over|an id that is not new
END
}

@test "senders with the wrong psk, key or collector get 0 from the broker, and nothing comes out" {
    collect_start run
    push stranger -s x
    expect_status 0
    push a -o "psk=$PSK" -s x
    expect_status 0
    COLLECTOR=$("$STS" -k "$DIR/other.key") push a -s x
    expect_status 0
    PSK=$(head -c 32 /dev/zero | base64) push b -s x
    expect_status 0
    push_end run
    expect_match "$DIR/run.err" 'dropped a payload: an unknown key \(1 so far\)'
    expect_match "$DIR/run.err" 'dropped a payload: does not authenticate \(2 so far\)'
    expect_match "$DIR/run.err" 'dropped a payload: does not authenticate \(4 so far\)'
    expect_equal "$(wc -l <"$DIR/run.out")" 1
    collect_stop "$BG"
    # Without -v nobody hears of it.
    push stranger -s x
    push a -s y
    sts "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$STATE" -r -n 1
    expect_status 0
    expect_content "$OUT" y
    expect_no_match "$ERR" 'dropped'
}

@test "any byte changed, any end cut off: dropped; the message itself is taken afterwards, once" {
    echo '1000 a reading of 22 bytes.' >"$DIR/line"
    hand seal "$DIR/a.key" "$COLLECTOR" "$TOPIC/a" <"$DIR/line" >"$DIR/good"
    {
        hand flips <"$DIR/good"
        hand cuts <"$DIR/good"
    } >"$DIR/bad"
    expect_equal "$(sort -u "$DIR/bad" | wc -l)" 256
    collect_start run
    hand publish "$PORT" <"$DIR/bad"
    hand publish "$PORT" <"$DIR/good"
    hand publish "$PORT" <"$DIR/bad"
    hand publish "$PORT" <"$DIR/good"
    push_end run
    expect_match "$DIR/run.err" '\(256 so far\)'
    expect_match "$DIR/run.err" '\(512 so far\)'
    expect_no_match "$DIR/run.err" '\(1024 so far\)'
    printf 'a %s\n' 'a reading of 22 bytes.' 'end run' >"$DIR/lines"
    expect_texts "$DIR/lines"
    collect_stop "$BG"
}

@test "replays in order, backwards, shuffled, after a restart or kill -9: nothing comes twice" {
    sub_start recorder -t "$TOPIC/#" -q 1 -F '%t %x'
    collect_start run1
    seq 1 60 | push a -l
    seq 61 80 | push b -l
    push b -s 81
    push_end run1
    wait_for has_lines 82 "$(out_of recorder)"
    cp "$(out_of recorder)" "$DIR/recorded"
    kill "${PIDS[0]}"
    hand publish "$PORT" <"$DIR/recorded"
    tac "$DIR/recorded" >"$DIR/backwards"
    hand publish "$PORT" <"$DIR/backwards"
    push_end run1 # the same text, another reading
    expect_match "$DIR/run1.err" 'dropped a payload: a push that was taken before \(1 so far\)'
    expect_match "$DIR/run1.err" '\(128 so far\)'
    collect_stop "$BG"
    shuf "$DIR/recorded" >"$DIR/shuffled"
    hand publish "$PORT" <"$DIR/shuffled"
    collect_start run2
    push_end run2
    hand publish "$PORT" <"$DIR/recorded"
    push_end run2
    collect_kill "$BG"
    hand publish "$PORT" <"$DIR/backwards"
    collect_start run3
    hand publish "$PORT" <"$DIR/shuffled"
    push_end run3
    expect_match "$DIR/run3.err" '\(128 so far\)'
    {
        seq -f 'a %.0f' 1 60
        seq -f 'b %.0f' 61 81
        printf 'a %s\n' 'end run1' 'end run1' 'end run2' 'end run2' 'end run3'
    } >"$DIR/lines"
    # The recorder's file is no output of a collector.
    mv "$(out_of recorder)" "$DIR/recorder.packets"
    expect_texts "$DIR/lines"
}

@test "a hostile hand repeats, moves and spoils each message as it passes: each comes out once" {
    start /usr/bin/python3 -B "$HAND" mirror "$PORT" "$TOPIC/#" 2>"$DIR/mirror.err"
    wait_for subscribed mirror
    collect_start run
    seq -f 'line %.0f' 300 >"$DIR/flood"
    push a -l <"$DIR/flood"
    expect_status 0
    # Four messages come back for each.
    mirrored() { (($(broker_count "Received PUBLISH from mirror ") >= 1200)); }
    wait_for mirrored
    push_end run
    mirrored() { (($(broker_count "Received PUBLISH from mirror ") >= 1204)); }
    wait_for mirrored
    collect_stop "$BG"
    collect_start after
    push_end after
    expect_match "$DIR/run.err" '\(1024 so far\)'
    {
        sed 's/^/a /' "$DIR/flood"
        printf 'a %s\n' 'end run' 'end after'
    } >"$DIR/lines"
    expect_texts "$DIR/lines"
}

# publish_ids ID...: a push of `b` for each; its text is the id.
publish_ids() {
    printf '%s\n' "$@" | sed -E 's/(.*)/\1 \1/' >"$DIR/ids"
    hand seal "$DIR/b.key" "$COLLECTOR" "$TOPIC/b" "$PSK" <"$DIR/ids" >"$DIR/packets"
    hand publish "$PORT" <"$DIR/packets"
}

@test "the window: 32 ids above a floor, whatever their order; what is below is a replay" {
    collect_start run
    # 40 ids: the floor is 114, the lowest of the 33 last ones.
    mapfile -t ids < <(seq 100 2 178)
    publish_ids "${ids[@]}"
    publish_ids 50 99 101 113 114
    publish_ids 115 177 115
    push_end run
    {
        seq -f 'b %.0f' 100 2 178
        printf 'b %s\n' 115 177
        echo a end run
    } >"$DIR/lines"
    expect_texts "$DIR/lines"
}

@test "the window: 600 ids in any order, across restarts and kill -9, as protocol.md has it" {
    for ((i = 0; i < 600; i++)); do
        echo $((1000 + i / 3 + RANDOM % 60))
    done >"$DIR/all"
    collect_start run1
    mapfile -t ids < <(head -200 "$DIR/all")
    publish_ids "${ids[@]}"
    push_end run1
    wait_for nothing_in_flight
    collect_kill "$BG"
    mapfile -t ids < <(sed -n 201,400p "$DIR/all")
    publish_ids "${ids[@]}"
    collect_start run2
    push_end run2
    collect_stop "$BG"
    mapfile -t ids < <(tail -200 "$DIR/all")
    collect_start run3
    publish_ids "${ids[@]}"
    push_end run3
    {
        hand window <"$DIR/all" | sed 's/^/b /'
        printf 'a end run%s\n' 1 2 3
    } >"$DIR/lines"
    expect_within "$(wc -l <"$DIR/lines")" 100 400 # both answers are in it
    expect_texts "$DIR/lines"
}

# ---- the state file ----

# Writes bytes over a file: hex digits, at an offset.
patch() { # FILE OFFSET HEX
    local i

    for ((i = 0; i < ${#3}; i += 2)); do
        printf %b "\\x${3:i:2}"
    done | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

flip_at() { # FILE OFFSET
    patch "$1" "$2" "$(printf %02x $((0x$(at "$1" "$2" 1) ^ 0x40)))"
}

damage() { # KIND FILE
    case $1 in
        cut-*) truncate -s "-${1#cut-}" "$2" ;;
        keep-*) truncate -s "${1#keep-}" "$2" ;;
        flip-*) flip_at "$2" "${1#flip-}" ;;
        version) patch "$2" 10 0002 ;;
        text) echo 'not a state at all' >"$2" ;;
        zeros) head -c 1536 /dev/zero >"$2" ;;
        exchanged) { head -c 512; dd bs=512 skip=1 count=1 status=none; } <"$2" >"$2.new" &&
            head -c 1024 "$2" | tail -c 512 >>"$2.new" && mv "$2.new" "$2" ;;
        other-key) cp "$DIR/other.state" "$2" ;;
        other-kind) cp "$DIR/kind.state" "$2" ;;
    esac
}

# Each row: what is done to a good file, and what is said; it is refused with 78 and left as it is.
refuse_damaged() { # COMMAND...
    local kind words

    while IFS='|' read -r kind words; do
        cp "$DIR/good.state" "$DIR/bad.state"
        damage "$kind" "$DIR/bad.state"
        cp "$DIR/bad.state" "$DIR/kept"
        "$@"
        [[ $status == 78 ]] || fail "$kind: exit status $status" "$(show)"
        expect_match "$ERR" "\[ERROR\].* $DIR/bad.state is ${words//+/[+]}"
        expect_same "$DIR/bad.state" "$DIR/kept"
        expect_empty "$OUT"
    done
}

bad_collector() {
    collect_once "$DIR/bad.state" -w 5
}

bad_sender() {
    push a -o "state=$DIR/bad.state" -s "$TOPIC"
}

@test "a collector refuses a state that is torn, of another version, key or kind, and leaves it" {
    collect_start run
    push_end run
    collect_stop "$BG"
    cp "$STATE" "$DIR/good.state"
    push a -o "state=$DIR/kind.state" -s x
    other=$("$STS" -k "$DIR/other.key")
    sts "${TO[@]}" -o sts_mode=collect -o "key=$DIR/other.key" -o "peers=$DIR/peers" \
        -o "state=$DIR/other.state" "${SUBTOPS[@]}" -r -w 1
    connected=$(broker_count 'New client connected')
    refuse_damaged bad_collector <<END
cut-1|damaged: it has 1535 bytes and should have 1536
cut-512|damaged: it has 1024 bytes and should have 1536
keep-511|damaged: it is shorter than its header
keep-1|damaged
flip-0|damaged: it does not begin as a state file does
version|of another version of sts \(2\)
flip-13|damaged: its header has a wrong checksum
flip-17|damaged: its header has a wrong checksum
flip-20|damaged: its header has a wrong checksum
flip-511|damaged: its header has a wrong checksum
flip-512|damaged: record 1 has a wrong checksum
flip-530|damaged: record 1 has a wrong checksum
flip-560|damaged: record 1 has a wrong checksum
flip-1023|damaged: record 1 has a wrong checksum
flip-1071|damaged: record 2 has a wrong checksum
flip-1500|damaged: record 2 has a wrong checksum
exchanged|damaged
text|damaged
zeros|damaged: it does not begin as a state file does
other-key|of another key: $other
other-kind|not the state of a collector
END
    expect_equal "$(broker_count 'New client connected')" "$connected"
    # The good one still is.
    collect_once "$STATE" -w 1
    expect_status 75
}

@test "a sender refuses such a state, leaves it, and sends nothing" {
    push a -o "state=$DIR/good.state" -s x
    subscribe_for_later
    cp "$STATE" "$DIR/kind.state"
    sts "${TO[@]}" -o sts_mode=push -o "key=$DIR/stranger.key" -o "peer=$COLLECTOR" \
        -o "pubtop=$TOPIC/a" -o "state=$DIR/other.state" -s x
    connected=$(broker_count 'New client connected')
    refuse_damaged bad_sender <<END
cut-1|damaged: it has 1023 bytes and should have 1024
keep-512|damaged: it has 512 bytes and should have 1024
keep-100|damaged: it is shorter than its header
flip-3|damaged: it does not begin as a state file does
version|of another version of sts \(2\)
flip-40|damaged: its header has a wrong checksum
flip-512|damaged: record 1 has a wrong checksum
flip-527|damaged: record 1 has a wrong checksum
flip-1020|damaged: record 1 has a wrong checksum
text|damaged
other-key|of another key: $(<"$DIR/stranger")
other-kind|not the state of a sender
END
    expect_equal "$(broker_count 'New client connected')" "$connected"
}

@test "a state that a second collector has: 75; the first goes on, and a sender keeps off" {
    collect_start run
    first=$BG
    cp "$STATE" "$DIR/kept"
    collect_once "$STATE" -w 5
    expect_refused 75 "$STATE is in use by another collector"
    push a -o "state=$STATE" -s x
    expect_refused 78 "$STATE is not the state of a sender"
    expect_same "$STATE" "$DIR/kept"
    push_end run
    collect_kill "$first"
    # The lock does not outlive the process.
    collect_start run2
    push_end run2
}

@test "a state in a folder that is not there, that is a folder, that may not be written" {
    collect_once "$DIR/none/state" -w 5
    expect_refused 73 "cannot make $DIR/none/state: No such file"
    push a -o "state=$DIR/none/state" -s x
    expect_refused 73 "cannot make $DIR/none/state: No such file"
    mkdir "$DIR/folder"
    collect_once "$DIR/folder" -w 5
    expect_refused 66 "cannot open $DIR/folder: Is a directory"
    push a -o "state=$DIR/folder" -s x
    expect_refused 66 "cannot open $DIR/folder: Is a directory"
    collect_once /dev/null -w 5
    expect_refused 78 '/dev/null is damaged: it is not a file'
    subscribe_for_later
    chmod 400 "$STATE"
    chmod 500 "$DIR/folder"
    # Root may do all of this; without the capability it is as anybody.
    STS=$DIR/plain
    printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$(without_privilege)" "$ROOT_STS" >"$STS"
    chmod 700 "$STS"
    collect_once "$STATE" -w 5
    expect_refused 77 "cannot open $STATE: Permission denied"
    push a -o "state=$DIR/folder/state" -s x
    expect_refused 73 "cannot make $DIR/folder/state: Permission denied"
    sts -k "$DIR/folder/key"
    expect_refused 73 "cannot make $DIR/folder/key: Permission denied"
    chmod 700 "$DIR/folder"
}

ROOT_STS=$STS

without_privilege() {
    [[ $(id -u) != 0 ]] || echo 'setpriv --bounding-set=-dac_override,-dac_read_search --'
}

# limited KIB ARGUMENT...: sts where no file may grow beyond that. Its standard error is a pipe,
# which has no such limit. `status`, $ERR.
limited() {
    OUT='' ERR=$DIR/limited.err
    status=0
    {
        (
            ulimit -f "$1"
            exec timeout -k 1 60 env --ignore-signal=XFSZ "$STS" "${@:2}" 2>&1 >/dev/null
        ) || echo $? >"$DIR/limited.status"
    } | cat >"$ERR"
    status=$(cat "$DIR/limited.status" 2>/dev/null || echo 0)
    rm -f "$DIR/limited.status"
}

@test "a disk that is full when the state is made: 74, and the next run makes it" {
    mapfile -t more < <(hand keys "$DIR" 20)
    printf '%s\n' "${more[@]}" >>"$DIR/peers"
    for full in 0 1 8; do # KiB that a file may have; the state needs 11.5
        limited "$full" "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$DIR/full.state" -r -w 5
        expect_status 74
        expect_match "$ERR" "cannot write $DIR/full.state: File too large"
    done
    collect_once "$DIR/full.state" -w 1
    expect_status 75
    expect_equal "$(stat -c %s "$DIR/full.state")" $((23 * 512))
    connected=$(broker_count 'New client connected')
    limited 0 "${TO[@]}" -o sts_mode=push -o "key=$DIR/a.key" -o "peer=$COLLECTOR" \
        -o "pubtop=$TOPIC/a" -o "state=$DIR/full.sender" -s x
    expect_status 74
    expect_match "$ERR" "cannot write $DIR/full.sender"
    expect_equal "$(broker_count 'New client connected')" "$connected"
    push a -o "state=$DIR/full.sender" -s x
    expect_status 0
}

@test "a full disk (tmpfs): 74 at the start, and what is in place already is written on" {
    unshare -m true 2>/dev/null || skip 'no mount namespace here'
    mkdir "$DIR/disk"
    cat >"$DIR/within" <<'END'
mount -t tmpfs -o size=8k none "$DIR/disk" || exit 99
"$@" -o "state=$DIR/disk/state" -r -w 1 2>"$DIR/empty.err"
echo $? >"$DIR/empty.status"
head -c 100000 /dev/zero >"$DIR/disk/ballast" 2>/dev/null
"$@" -o "state=$DIR/disk/other" -r -w 1 2>"$DIR/full.err"
echo $? >"$DIR/full.status"
exec "$@" -o "state=$DIR/disk/state" -r -j -n 1
END
    export DIR
    start unshare -m sh "$DIR/within" "$STS" "${COLLECT[@]}" "${SUBTOPS[@]}" >"$DIR/run.out" \
        2>"$DIR/run.err"
    wait_for subscribed_to_last_or_gone run "$BG"
    expect_content "$DIR/empty.status" 75
    expect_content "$DIR/full.status" 74
    expect_match "$DIR/full.err" "cannot write $DIR/disk/other: No space left on device"
    push a -s 'on a full disk'
    join "$BG"
    expect_status 0
    expect_match "$DIR/run.out" '"on a full disk"'
}

@test "a state that cannot be written any more: 74, nothing acknowledged, the message comes again" {
    subscribe_for_later
    start env --ignore-signal=XFSZ "$STS" "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$STATE" -r -j \
        > >(cat >"$DIR/run.out") 2> >(cat >"$DIR/run.err")
    collector=$BG
    wait_for has_text ' subscribed to ' "$DIR/run.err"
    push a -s before
    wait_for has_text '"before"' "$DIR/run.out"
    wait_for nothing_in_flight
    cp "$STATE" "$DIR/kept"
    id=$(client_id)
    acknowledged=$(broker_count "Received PUBACK from $id ")
    prlimit --pid "$collector" --fsize=0
    push a -s 'not taken'
    expect_status 0
    join "$collector"
    expect_status 74
    wait_for has_text "cannot write $STATE: File too large" "$DIR/run.err"
    expect_equal "$(broker_count "Received PUBACK from $id ")" "$acknowledged"
    expect_same "$STATE" "$DIR/kept"
    collect_start again
    wait_for has_text '"not taken"' "$DIR/again.out"
    push_end again
    expect_equal "$(grep -c before "$DIR/again.out")" 0
    printf 'a %s\n' before 'not taken' 'end again' >"$DIR/lines"
    expect_texts_again "$DIR/lines"
}

@test "standard output that cannot be written: 74, and the message comes again" {
    subscribe_for_later
    push a -s x
    expect_status 0
    status=0
    "$STS" "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$STATE" -r -w 20 >/dev/full 2>"$DIR/err" ||
        status=$?
    expect_status 74
    expect_match "$DIR/err" 'cannot write standard output: No space left'
    collect_start run
    wait_for has_text '"x"' "$DIR/run.out"
}

@test "a key that was removed from the state by hand is let in again, the others are not" {
    collect_start run1
    # A whole window of them, for a few are no more than what is below the floor.
    mapfile -t ids < <(seq 9000000000000000001 9000000000000000033)
    publish_ids "${ids[@]}"
    push_end run1
    push b -s 'locked out'
    push_end run1
    expect_equal "$(different locked)" 0
    collect_stop "$BG"
    key=$(sed -n 's/^b \([^ ]*\).*/\1/p' "$DIR/peers" | base64 -d | hex)
    for offset in 512 1024; do
        [[ $(at "$STATE" $((offset + 8)) 32) != "$key" ]] ||
            patch "$STATE" "$offset" "$(printf 'removed\n' | hex)"
    done
    collect_start run2
    push b -s 'let in'
    push_end run2
    expect_equal "$(different 'let in')" 1
    expect_equal "$(stat -c %s "$STATE")" 2048
}

# ---- an output file ----

# All that is in $FILE: of each sender these texts "PEER TEXT", once and in this order.
expect_out() { # FILE
    local peer

    hand texts "$FILE" >"$DIR/texts"
    for peer in a b; do
        expect_same <(grep "^$peer " "$DIR/texts") <(grep "^$peer " "$1")
    done
}

# A reading that has to be the last one in $FILE.
out_end() { # NAME [OPTION...]
    push a "${@:2}" -s "end $1"
    expect_status 0
    echo "a end $1" >>"$DIR/lines"
    wait_for has_text "\"end $1\"" "$FILE"
}

@test "out: what standard output would get, at the end of a file; nothing on standard output" {
    FILE=$DIR/readings
    printf 'x\n\n1\n2\n3\n' >"$DIR/expected"
    collect_start first -o "out=$FILE"
    collect_stop "$BG"
    expect_equal "$(stat -c %a,%s "$FILE")" 600,0
    push a -s x
    push a -s ''
    sts "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$STATE" -o "out=$FILE" -r -n 2
    expect_status 0
    expect_empty "$OUT"
    expect_same "$FILE" <(head -2 "$DIR/expected")
    # Whoever reads our standard output has nothing to do with it.
    seq 3 | push a -l
    status=0
    "$STS" "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$STATE" -o "out=$FILE" -r -n 3 >/dev/full \
        2>"$DIR/err" || status=$?
    expect_status 0
    expect_same "$FILE" "$DIR/expected"
    # -j, behind what is there, and a message much longer than what is written at a time.
    head -c 16384 /dev/zero | tr '\0' x >"$DIR/long"
    push a -s - <"$DIR/long"
    push b -s y
    collect_start json -o "out=$FILE" -w 60
    wait_for has_text '"y"' "$FILE"
    collect_stop "$BG"
    expect_empty "$DIR/json.out"
    expect_same <(head -5 "$FILE") "$DIR/expected"
    expect_equal "$(sed 1,5d "$FILE" | hand texts /dev/stdin | sort)" \
        "a $(<"$DIR/long")
b y"
}

# What a run does to take one message, call by call; it is killed at each in turn.
@test "out: killed at each step of a run: each reading is there once" {
    FILE=$DIR/readings
    : >"$DIR/lines"
    collect_start first -o "out=$FILE"
    collect_stop "$BG"
    COLLECT+=(-o "out=$FILE")
    push a -s traced
    echo a traced >>"$DIR/lines"
    strace -o "$DIR/steps" -e trace=write,pwrite64,fdatasync,ftruncate,sendmsg \
        "$STS" "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$STATE" -r -j -q -n 1 -w 20
    expect_match <(grep -Eo '^[a-z0-9]+' "$DIR/steps" | paste -sd' ') \
        'write fdatasync pwrite64 fdatasync pwrite64 sendmsg'
    steps=0
    while read -r call nth; do
        push a -s "$call $nth"
        echo "a $call $nth" >>"$DIR/lines"
        collect_crash crash "$call:signal=KILL:when=$nth" -n 1
        collect_start again
        out_end "$call $nth"
        collect_stop "$BG"
        steps=$((steps + 1))
    done < <(grep -Eo '^[a-z0-9]+' "$DIR/steps" | awk '{ print $1, ++n[$1] }')
    expect_out "$DIR/lines"
    expect_within "$steps" 12 40
}

@test "out: kill -9 at random moments, while senders push: each reading once, in order" {
    RANDOM=${SEED:=$$}
    echo "seed: $SEED"
    FILE=$DIR/readings
    # Enough at a time for a group to be full.
    start_broker 'max_inflight_messages 200' 'persistence true' "persistence_location $DIR/"
    COLLECT=("${TO[@]}" "${COLLECT[@]:4}")
    : >"$DIR/lines"
    collect_start first -o "out=$FILE"
    collect_stop "$BG"
    for round in $(seq 25); do
        senders=()
        for name in a b; do
            count=$((RANDOM % 150))
            psk=()
            [[ $name == a ]] || psk=(-o "psk=$PSK")
            seq -f "$round %.0f" "$count" | tee >(sed "s/^/$name /" >"$DIR/$name.$round") |
                timeout -k 1 60 "$STS" "${TO[@]}" -o sts_mode=push -o "key=$DIR/$name.key" \
                    -o "peer=$COLLECTOR" "${psk[@]}" -o "pubtop=$TOPIC/$name" \
                    -o "state=$DIR/$name.state" -l 3>&- &
            senders+=($!)
        done
        collect_start run -o "out=$FILE"
        sleep "0.$(printf %03d $((RANDOM % 80)))"
        collect_kill "$BG"
        wait "${senders[@]}"
        [[ $round != 12 ]] || { stop_broker && run_broker; }
        cat "$DIR/a.$round" "$DIR/b.$round" >>"$DIR/lines"
    done
    collect_start last -o "out=$FILE"
    out_end last -o "state=$DIR/a.state"
    collect_stop "$BG"
    expect_out "$DIR/lines"
}

@test "out: SIGTERM amid a flood: whole readings each time, each once" {
    FILE=$DIR/readings
    : >"$DIR/lines"
    collect_start first -o "out=$FILE"
    collect_stop "$BG"
    for round in 1 2 3 4 5; do
        seq -f "$round %.0f" 500 >"$DIR/flood"
        sed 's/^/a /' "$DIR/flood" >>"$DIR/lines"
        push a -l <"$DIR/flood"
        collect_start run -o "out=$FILE"
        wait_for has_text "\"$round [0-9]" "$FILE"
        collect_stop "$BG"
        expect_same <(hand texts "$FILE") <(head -n "$(wc -l <"$FILE")" "$DIR/lines")
    done
    collect_start run -o "out=$FILE"
    out_end run
    collect_stop "$BG"
    expect_same <(hand texts "$FILE") "$DIR/lines"
}

@test "out: what a killed run left half done is cut off, and named" {
    FILE=$DIR/readings
    collect_start run -o "out=$FILE"
    push_end_in_file() { push a -s "$1" && wait_for has_text "\"$1\"" "$FILE"; }
    push_end_in_file one
    # It is acknowledged only when that was committed.
    wait_for broker_saw "Received PUBACK from $(client_id) "
    collect_kill "$BG"
    cp "$FILE" "$DIR/kept"
    printf '{"time":"20' >>"$FILE"
    collect_start again -o "out=$FILE"
    expect_match "$DIR/again.err" "$FILE: the last 11 bytes were never acknowledged, and are cut"
    expect_same "$FILE" "$DIR/kept"
    collect_stop "$BG"
    # Moved away while it was not running: the new one begins anew, and the old one stays.
    mv "$FILE" "$FILE.1"
    collect_start moved -o "out=$FILE"
    expect_match "$DIR/moved.err" "$FILE is another file than before"
    push_end_in_file two
    collect_stop "$BG"
    expect_same "$FILE.1" "$DIR/kept"
    expect_equal "$(hand texts "$FILE")" 'a two'
    # A run without it forgets it: what is appended by hand from then on is kept.
    collect_once "$STATE" -w 1
    expect_status 75
    echo mine >>"$FILE"
    collect_start after -o "out=$FILE"
    push_end_in_file three
    collect_stop "$BG"
    expect_equal "$(sed -n 2p "$FILE")" mine
    expect_equal "$(wc -l <"$FILE")" 3
}

@test "out: a full disk: 74, nothing of it acknowledged or left, and then each reading once" {
    FILE=$DIR/readings
    seq 2000 >"$FILE"           # longer than the state file, which has the same limit
    collect_start first -o "out=$FILE"
    collect_stop "$BG"
    start env --ignore-signal=XFSZ "$STS" "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$STATE" \
        -o "out=$FILE" -r -j 2> >(cat >"$DIR/run.err")
    collector=$BG
    wait_for has_text ' subscribed to ' "$DIR/run.err"
    push a -s before
    wait_for has_text '"before"' "$FILE"
    wait_for nothing_in_flight
    cp "$FILE" "$DIR/kept"
    acknowledged=$(broker_count "Received PUBACK from $(client_id) ")
    prlimit --pid "$collector" --fsize=$(($(stat -c %s "$FILE") + 10))
    push a -s 'not written'
    expect_status 0
    join "$collector"
    expect_status 74
    wait_for has_text "cannot write $FILE: File too large" "$DIR/run.err"
    expect_equal "$(grep -c ERROR "$DIR/run.err")" 1
    expect_equal "$(broker_count "Received PUBACK from $(client_id) ")" "$acknowledged"
    expect_same "$FILE" "$DIR/kept"
    collect_start again -o "out=$FILE"
    wait_for has_text '"not written"' "$FILE"
    collect_stop "$BG"
    expect_equal "$(sed 1,2000d "$FILE" | hand texts /dev/stdin | paste -sd,)" \
        'a before,a not written'
}

@test "out: a full disk (tmpfs): 74, and with room again each reading once" {
    unshare -m true 2>/dev/null || skip 'no mount namespace here'
    mkdir "$DIR/disk"
    subscribe_for_later
    seq -f 'line %.0f' 200 | push a -l
    cat >"$DIR/within" <<'END'
mount -t tmpfs -o size=16k none "$DIR/disk" || exit 99
head -c 8192 /dev/zero >"$DIR/disk/ballast"
"$@" -n 200 -w 20 2>"$DIR/full.err"
echo $? >"$DIR/full.status"
tail -c 1 "$DIR/disk/readings" | od -An -c >"$DIR/full.end"
rm "$DIR/disk/ballast"
mount -o remount,size=1m "$DIR/disk"
"$@" -w 3 2>"$DIR/room.err"
cp "$DIR/disk/readings" "$DIR/readings"
END
    export DIR
    unshare -m sh "$DIR/within" "$STS" "${COLLECT[@]}" "${SUBTOPS[@]}" -o "state=$STATE" \
        -o "out=$DIR/disk/readings" -r -j
    expect_content "$DIR/full.status" 74
    expect_match "$DIR/full.err" "cannot write $DIR/disk/readings: No space left on device"
    expect_match "$DIR/full.end" '\\n'
    FILE=$DIR/readings
    seq -f 'a line %.0f' 200 >"$DIR/lines"
    expect_out "$DIR/lines"
}

@test "out: a file that another collector has, that is none, or may not be written" {
    FILE=$DIR/readings
    collect_start run -o "out=$FILE"
    collect_once "$DIR/other.state" -o "out=$FILE" -w 5
    expect_refused 75 "$FILE is in use by another collector"
    collect_once "$DIR/other.state" -o "out=$DIR/other.state" -w 5
    expect_refused 75 "$DIR/other.state is in use by another collector"
    push a -s x
    wait_for has_text '"x"' "$FILE"
    collect_kill "$BG"
    mkfifo "$DIR/fifo"
    for file in "$DIR/fifo" /dev/null; do
        collect_once "$STATE" -o "out=$file" -w 5
        expect_refused 78 "$file is not a file, and out has to be one"
    done
    collect_once "$STATE" -o "out=$DIR" -w 5
    expect_refused 66 "cannot open $DIR: Is a directory"
    collect_once "$STATE" -o "out=$DIR/none/out" -w 5
    expect_refused 73 "cannot make $DIR/none/out: No such file"
    mkdir "$DIR/folder"
    chmod 500 "$DIR/folder"
    chmod 400 "$FILE"
    STS=$DIR/plain
    printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$(without_privilege)" "$ROOT_STS" >"$STS"
    chmod 700 "$STS"
    collect_once "$STATE" -o "out=$FILE" -w 5
    expect_refused 77 "cannot open $FILE: Permission denied"
    collect_once "$STATE" -o "out=$DIR/folder/out" -w 5
    expect_refused 73 "cannot make $DIR/folder/out: Permission denied"
    chmod 700 "$DIR/folder"
}

# ---- configuration ----

# Rows: the keys of a config, flags, the line that is named (0: none), words.
@test "what does not go together: 78, with file, line and key" {
    while IFS='|' read -r keys flags line words; do
        printf '# a comment\nip = 127.0.0.1\nport = %s\n' "$PORT" >"$DIR/config"
        tr ';' '\n' <<<"$keys" >>"$DIR/config"
        # shellcheck disable=SC2086 # they are words
        sts -c "$DIR/config" $flags
        place=$DIR/config:
        ((line == 0)) || place+=" line $line:"
        expect_refused 78 "\[ERROR\].* $place $words"
    done <<END
sts_mode = collect;subtop = t;key = $DIR/col.key;peers = $DIR/peers|-r|4|sts_mode: .*needs a state
sts_mode = collect;subtop = t;key = $DIR/col.key;state = $STATE|-r|4|sts_mode: .*needs peers
sts_mode = collect;subtop = t;peers = $DIR/peers;state = $STATE|-r|4|sts_mode: .*needs a key
sts_mode = collect;key = $DIR/col.key;peers = $DIR/peers;state = $STATE|-r|4|sts_mode: .*needs a subtop
sts_mode = collect;subtop = t;key = $DIR/col.key;peer = $COLLECTOR;state = $STATE|-r|7|peer: .*takes peers
sts_mode = collect;subtop = t;pubtop = t;key = $DIR/col.key;peers = $DIR/peers;state = $STATE|-r|6|pubtop: 
sts_mode = collect;subtop = t;key = $DIR/col.key;peers = $DIR/peers;state = $STATE;aes = cbc|-r|9|aes: 
sts_mode = collect;subtop = t;key = $DIR/col.key;peers = $DIR/peers;state = $STATE;psk = $PSK|-r|9|psk: 
sts_mode = collect;subtop = t;key = $DIR/col.key;peers = $DIR/peers;state = $STATE;spool = x|-r|9|spool: goes with push only
sts_mode = push;pubtop = t;peer = $COLLECTOR|-s x|4|sts_mode: .*needs a key
sts_mode = push;pubtop = t;key = $DIR/a.key|-s x|4|sts_mode: .*need a peer
sts_mode = push;key = $DIR/a.key;peer = $COLLECTOR|-s x|4|sts_mode: .*needs a pubtop
sts_mode = push;pubtop = t;key = $DIR/a.key;peers = $DIR/peers|-s x|7|peers: 
sts_mode = push;pubtop = t;subtop = t;key = $DIR/a.key;peer = $COLLECTOR|-s x|6|subtop: 
sts_mode = push;pubtop = t;key = $DIR/a.key;peer = $COLLECTOR;retain = 1|-s x|8|retain: 
sts_mode = push;pubtop = t;key = $DIR/a.key;peer = $COLLECTOR;out = x|-s x|8|out: goes with collect only
sts_mode = push;pubtop = t;key = $DIR/a.key;peer = short|-s x|7|peer: 
sts_mode = push;pubtop = t;key = $DIR/a.key;peer = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=|-s x|7|peer: 
sts_mode = push;pubtop = t;key = $DIR/a.key;peer = $COLLECTOR;psk = short|-s x|8|psk: 
sts_mode = push;pubtop = t;key = $DIR/col.key;peer = $COLLECTOR|-s x|0|peer: .*own key
sts_mode = push;pubtop = t;key = $DIR/a.key;peer = $COLLECTOR|-r|0|sts_mode: push goes with -s and -l only
sts_mode = collect;subtop = t;key = $DIR/col.key;peers = $DIR/peers;state = $STATE|-l|0|sts_mode: collect goes with -r only
sts_mode = nosec;pubtop = t;key = $DIR/a.key|-s x|6|key: .*needs aes
END
    expect_equal "$(ls "$DIR"/*.state 2>/dev/null)" ''
}

@test "a psk is in no message" {
    push a -o "psk=${PSK}x" -s x
    expect_refused 78 'psk: '
    expect_no_match "$ERR" "${PSK:0:8}"
    echo "b $("$STS" -k "$DIR/b.key") ${PSK}x" >"$DIR/peers"
    collect_once "$STATE"
    expect_refused 78 "$DIR/peers: line 1: the psk"
    expect_no_match "$ERR" "${PSK:0:8}"
}

@test "a key file that others can read, is not there, or holds no key" {
    cp "$DIR/a.key" "$DIR/good.key"
    for mode in 640 604 660 606 601 610; do
        chmod "$mode" "$DIR/a.key"
        push a -s x
        expect_refused 77 "$DIR/a.key .*open to others"
        sts -k "$DIR/a.key"
        expect_refused 77 "$DIR/a.key .*open to others"
    done
    chmod 400 "$DIR/a.key"
    push a -s x
    expect_status 0
    chmod 600 "$DIR/a.key"
    rm "$DIR/a.key"
    push a -s x
    expect_refused 66 "cannot read $DIR/a.key: No such file"
    install -m 600 /dev/null "$DIR/a.key"
    while IFS='|' read -r text line; do
        # shellcheck disable=SC2059 # they are formats
        printf "$text" >"$DIR/a.key"
        for run in push sts; do
            if [[ $run == push ]]; then
                push a -s x
            else
                sts -k "$DIR/a.key"
            fi
            expect_refused 78 "$DIR/a.key: line $line: "
        done
    done <<END
|1
\n|1
hello|1
$(head -c 43 "$DIR/good.key")\n|1
$(head -c 44 "$DIR/good.key")=\n|1
 $(head -c 44 "$DIR/good.key")\n|1
$(head -c 44 "$DIR/good.key")\n\n|2
END
}

@test "a peers file: each mistake is named with its line" {
    key=$(<"$DIR/stranger")
    other=$("$STS" -k "$DIR/a.key")
    while IFS='|' read -r text line words; do
        # shellcheck disable=SC2059 # they are formats
        printf "# devices\n\n$text" >"$DIR/peers"
        collect_once "$STATE"
        expect_refused 78 "\[ERROR\].* $DIR/peers: line $line: $words"
    done <<END
x|3|there is no public key
x short\n|3|the public key is not 32 bytes
x AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n|3|.*low order
x AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n|3|.*low order
x $COLLECTOR\n|3|.*our own
x $key short\n|3|the psk is not 32 bytes
x $key $PSK more\n|3|there is more
x $key\ny $key\n|4|the key of y is there twice \(first in line 3\)
x $key\nx $other\n|4|the name of x is there twice \(first in line 3\)
$(printf '%032d' 0) $key\n|3|the name is longer than 31
x\001 $key\n|3|the name is not UTF-8, or holds a control
x\377 $key\n|3|the name is not UTF-8
END
    printf '# none\n' >"$DIR/peers"
    collect_once "$STATE"
    expect_refused 78 "$DIR/peers: there is no device in it"
    rm "$DIR/peers"
    collect_once "$STATE"
    expect_refused 66 "cannot read $DIR/peers: No such file"
    [[ ! -e $STATE ]]
    printf '\t %031d  %s\t%s # a comment\r\n\n' 0 "$key" "$PSK" >"$DIR/peers"
    chmod 644 "$DIR/peers"
    collect_once "$STATE" -w 1
    expect_status 75
    expect_match "$ERR" "\[WARN\].* $DIR/peers holds a psk and can be read by others"
}

# ---- keys ----

@test "-k: makes a key (0600), prints its public key, and never overwrites" {
    cd "$DIR"
    for umask in 000 022 277; do
        (umask "$umask" && "$STS" -k "new$umask" >"public$umask")
        expect_equal "$(stat -c %a,%s "new$umask")" 600,45
        expect_match "public$umask" '^[A-Za-z0-9+/]{43}=$'
        expect_equal "$(hand public "new$umask")" "$(<"public$umask")"
        cp "new$umask" kept
        sts -k "new$umask"
        expect_status 0
        expect_same "$OUT" "public$umask"
        expect_empty "$ERR"
        expect_same "new$umask" kept
    done
    expect_equal "$(cat new* | sort -u | wc -l)" 3
    echo precious >other
    chmod 600 other
    sts -k other
    expect_refused 78 'other: line 1: '
    expect_content other precious
    sts -k none/key
    expect_refused 73 'cannot make none/key: No such file'
    sts -k .
    expect_refused 66 'cannot read .: '
    ln -s nowhere dangling
    sts -k dangling
    expect_refused 66 'cannot read dangling: '
    [[ ! -e nowhere ]]
}

@test "-k: agrees with wg genkey and wg pubkey" {
    command -v wg >/dev/null || skip 'wireguard-tools is not installed'
    for _ in 1 2 3 4 5; do
        sts -k "$DIR/ours.key"
        expect_content "$OUT" "$(wg pubkey <"$DIR/ours.key")"
        rm "$DIR/ours.key"
        (umask 077 && wg genkey >"$DIR/theirs.key")
        sts -k "$DIR/theirs.key"
        expect_content "$OUT" "$(wg pubkey <"$DIR/theirs.key")"
        rm "$DIR/theirs.key"
    done
    (umask 077 && wg genkey >"$DIR/a.key")
    {
        echo "a $(wg pubkey <"$DIR/a.key")"
    } >"$DIR/peers"
    collect_start run
    push_end run
}

@test "-k: a disk that is full, and standard output that is gone" {
    limited 0 -k "$DIR/full.key"
    expect_status 74
    expect_match "$ERR" "cannot write $DIR/full.key"
    [[ ! -e $DIR/full.key ]]
    status=0
    "$STS" -k "$DIR/new.key" >/dev/full 2>"$DIR/err" || status=$?
    expect_status 74
    # The key stays, and another run prints it.
    sts -k "$DIR/new.key"
    expect_status 0
    expect_content "$OUT" "$(hand public "$DIR/new.key")"
}
