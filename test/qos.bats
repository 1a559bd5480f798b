# qos.bats - messages both ways against mosquitto_pub and mosquitto_sub: QoS 0, 1 and 2, payloads of
# every length that matters, will, retain, persistent sessions.
# shellcheck disable=SC2030,SC2031,SC2153,SC2317

load lib

setup_file() {
    start_broker
    make_payloads
}

teardown_file() {
    stop_all
}

setup() {
    use_broker
}

teardown() {
    stop_all
}

# Every length around a limit: none, one, where MQTT's length field gets a second byte (128) and a
# third (16384) with this topic at any QoS, the sizes of buffers, the longest message.
lengths() {
    seq 0 4
    seq 100 130
    seq 254 258
    seq 4094 4098
    seq 16360 16384
}

# A file for each length, with letters that tell where they stand; and all of them as lines.
make_payloads() {
    PAYLOADS=$BATS_FILE_TMPDIR/payloads
    export PAYLOADS
    mkdir "$PAYLOADS"
    seq -f '%07.0f' 4096 | tr '\n' ' ' >"$PAYLOADS/all"
    for length in $(lengths); do
        head -c "$length" "$PAYLOADS/all" >"$PAYLOADS/$length"
        cat "$PAYLOADS/$length"
        echo
    done >"$PAYLOADS/lines"
}

# ---- sending ----

@test "-s with QoS 0, 1, 2 and with MQTT 3.1: the broker gets what was asked for, once" {
    for version in 3 4; do
        for qos in 0 1 2; do
            name=s$version$qos
            sub_start "sub$name" -t "$TOPIC/$name" -q 2 -C 2 -F '%q %r %p'
            sts "${TO[@]}" -o "mqtt_version=$version" -o "qos=$qos" -o "clientid=$name" \
                -o "pubtop=$TOPIC/$name" -s 'a message'
            expect_status 0
            pub -q 2 -t "$TOPIC/$name" -m end
            join "$BG"
            expect_content "$(out_of "sub$name")" "$qos 0 a message"$'\n''2 0 end'
            expect_match "$BROKER_LOG" "as $name \(p$((version - 2)), c1, k60\)"
            expect_match "$BROKER_LOG" "Received PUBLISH from $name \(d0, q$qos, r0, "
            expect_match "$BROKER_LOG" "Received DISCONNECT from $name\$"
            expect_no_match "$BROKER_LOG" "Received SUBSCRIBE from $name\$"
        done
    done
    expect_match "$BROKER_LOG" 'Received PUBREL from s42 '
}

@test "-l with QoS 0, 1, 2: 3000 lines arrive once each, in order" {
    seq -f 'line %.0f of many' 3000 >"$(scratch)/lines"
    for qos in 0 1 2; do
        sub_start "many$qos" -t "$TOPIC/$qos" -q "$qos" -C 3000
        sts "${TO[@]}" -o "qos=$qos" -o "pubtop=$TOPIC/$qos" -l <"$(scratch)/lines"
        expect_status 0
        join "$BG"
        expect_same "$(out_of "many$qos")" "$(scratch)/lines"
    done
}

@test "a payload of each length around every limit, sent" {
    for qos in 0 1 2; do
        sub_start "len$qos" -t "$TOPIC/$qos" -q 2 -F '%p' -C "$(lengths | wc -l)"
        for length in $(lengths); do
            sts "${TO[@]}" -o "qos=$qos" -o "pubtop=$TOPIC/$qos" -s - <"$PAYLOADS/$length"
            expect_status 0
        done
        join "$BG"
        expect_same "$(out_of "len$qos")" "$PAYLOADS/lines"
    done
}

@test "lines of each length around every limit, sent with -l" {
    sub_start lenl -t "$TOPIC" -q 2 -F '%p' -C "$(lengths | wc -l)"
    sts "${TO[@]}" -o "pubtop=$TOPIC" -l <"$PAYLOADS/lines"
    expect_status 0
    join "$BG"
    expect_same "$(out_of lenl)" "$PAYLOADS/lines"
}

@test "all 256 byte values, sent and received" {
    /usr/bin/python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)))' >"$(scratch)/bytes"
    recv_start bytes_recv -o "subtop=$TOPIC" -n 2
    sub_start bytes_sub -t "$TOPIC" -C 1 -N
    sts "${TO[@]}" -o "pubtop=$TOPIC" -s - <"$(scratch)/bytes"
    expect_status 0
    pub -q 1 -t "$TOPIC" -f "$(scratch)/bytes"
    join "${PIDS[0]}"
    join "${PIDS[1]}"
    expect_same "$(out_of bytes_sub)" "$(scratch)/bytes"
    {
        cat "$(scratch)/bytes"
        echo
        cat "$(scratch)/bytes"
        echo
    } >"$(scratch)/expected"
    expect_same "$(out_of bytes_recv)" "$(scratch)/expected"
}

@test "-l: zero bytes within a line" {
    sub_start nul_sub -t "$TOPIC" -C 2 -F '%x'
    printf 'a\0b\n\0\n' | sts "${TO[@]}" -o "pubtop=$TOPIC" -l
    join "$BG"
    expect_content "$(out_of nul_sub)" $'610062\n00'
}

# ---- receiving ----

@test "-r with QoS 0, 1, 2, published with each: the lower of both, once each" {
    for version in 3 4; do
        for qos in 0 1 2; do
            name=r$version$qos
            recv_start "$name" -o "mqtt_version=$version" -o "qos=$qos" -o "subtop=$TOPIC/$name" \
                -n 3
            for sent in 2 1 0; do
                pub -q "$sent" -t "$TOPIC/$name" -m "sent with $sent"
                ((sent == 0 || qos == 0)) ||
                    wait_for broker_saw "Received PUB(ACK|COMP) from $name \(Mid: $((3 - sent)), "
            done
            join "$BG"
            expect_status 0
            expect_content "$(out_of "$name")" $'sent with 2\nsent with 1\nsent with 0'
            for sent in 0 1 2; do
                expect_match "$BROKER_LOG" \
                    "Sending PUBLISH to $name \(d0, q$((sent < qos ? sent : qos)), "
            done
            ((qos < 2)) || expect_match "$BROKER_LOG" "Received PUBCOMP from $name "
        done
    done
}

@test "-r with QoS 0, 1, 2: 3000 messages once each, in order" {
    seq -f 'line %.0f of many' 3000 >"$(scratch)/lines"
    for qos in 0 1 2; do
        recv_start "recv$qos" -o "qos=$qos" -o "subtop=$TOPIC/$qos" -n 3000
        pub -q "$qos" -t "$TOPIC/$qos" -l <"$(scratch)/lines"
        join "$BG"
        expect_status 0
        expect_same "$(out_of "recv$qos")" "$(scratch)/lines"
    done
}

@test "a payload of each length around every limit, received" {
    recv_start lenr -o "subtop=$TOPIC" -n "$(lengths | wc -l)"
    pub -q 1 -t "$TOPIC" -l <"$PAYLOADS/lines"
    join "$BG"
    expect_status 0
    expect_same "$(out_of lenr)" "$PAYLOADS/lines"
}

@test "-r: messages larger than the buffer are skipped, acknowledged, reported; the rest arrives" {
    for qos in 0 1 2; do
        recv_start "huge$qos" -o "qos=$qos" -o "subtop=$TOPIC/$qos" -n 2
        pub -q 2 -t "$TOPIC/$qos" -m before
        head -c 300000 /dev/zero | pub -q 2 -t "$TOPIC/$qos" -s
        pub -q 2 -t "$TOPIC/$qos" -m after
        join "$BG"
        expect_status 0
        expect_content "$(out_of "huge$qos")" $'before\nafter'
        expect_match "$(err_of "huge$qos")" '\[WARN\].*300[0-9]{3}'
        expect_equal "$(broker_count "New client connected from .* as huge$qos ")" 1
    done
}

@test "-r: a topic as long as MQTT has them" {
    topic=$TOPIC/$(head -c 1000 /dev/zero | tr '\0' a)
    recv_start topic_recv -o "subtop=$TOPIC/#" -n 1 -j
    pub -q 1 -t "$topic" -m x
    join "$BG"
    expect_status 0
    expect_match "$(out_of topic_recv)" "\"$topic\""
}

# ---- retain, will ----

@test "retain = 1: who comes later gets it; retain = 0: not" {
    sts "${TO[@]}" -o retain=1 -o "pubtop=$TOPIC/kept" -s kept
    expect_status 0
    sts "${TO[@]}" -o retain=0 -o "pubtop=$TOPIC/passed" -s passed
    expect_status 0
    sub_start later -t "$TOPIC/#" -F '%r %p' -C 2
    pub -q 1 -t "$TOPIC/now" -m now
    join "$BG"
    expect_content "$(out_of later)" $'1 kept\n0 now'
}

@test "will: a killed sts leaves it, with its topic, message, QoS and retain" {
    for qos in 0 1 2; do
        sub_start "will_sub$qos" -t "$TOPIC/will$qos" -q 2 -C 1 -F '%q %p'
        sub=$BG
        recv_start "dies$qos" -o subtop=none -o "will_topic=$TOPIC/will$qos" \
            -o 'will_msg=it is gone' -o "will_qos=$qos" -o will_retain=1
        kill -KILL "$BG"
        join "$sub"
        expect_content "$(out_of "will_sub$qos")" "$qos it is gone"
        sub_start "will_later$qos" -t "$TOPIC/will$qos" -C 1 -F '%r %p'
        join "$BG"
        expect_content "$(out_of "will_later$qos")" '1 it is gone'
    done
}

@test "will: an empty message, not retained" {
    sub_start will_empty -t "$TOPIC/will" -C 1 -F '%r %l'
    sub=$BG
    recv_start dies_empty -o subtop=none -o "will_topic=$TOPIC/will"
    kill -KILL "$BG"
    join "$sub"
    expect_content "$(out_of will_empty)" '0 0'
    expect_equal "$(timeout 30 mosquitto_sub -p "$PORT" -t "$TOPIC/will" -E)" ''
}

@test "will: a clean end leaves none" {
    sub_start no_will -t "$TOPIC/will" -C 1
    sub=$BG
    recv_start ends -o subtop=none -o "will_topic=$TOPIC/will" -o 'will_msg=it is gone'
    kill -TERM "$BG"
    join "$BG"
    expect_status 0
    sts "${TO[@]}" -o "will_topic=$TOPIC/will" -o 'will_msg=it is gone' -o pubtop=none -s x
    expect_status 0
    wait_for broker_saw 'Client ends disconnected'
    pub -q 1 -t "$TOPIC/will" -m end
    join "$sub"
    expect_content "$(out_of no_will)" end
}

# ---- sessions ----

@test "a persistent session: what came meanwhile arrives in order, once, over several runs" {
    for qos in 1 2; do
        keep=(-o "clientid=keeps$qos" -o "qos=$qos" -o clean_session=0 -o "subtop=$TOPIC/$qos")
        sts "${TO[@]}" "${keep[@]}" -r -w 1
        expect_status 75
        seq 500 | pub -q "$qos" -t "$TOPIC/$qos" -l
        sts "${TO[@]}" "${keep[@]}" -r -n 200
        expect_status 0
        expect_equal "$(cat "$OUT")" "$(seq 200)"
        sts "${TO[@]}" "${keep[@]}" -r -n 300
        expect_status 0
        expect_equal "$(cat "$OUT")" "$(seq 201 500)"
        sts "${TO[@]}" "${keep[@]}" -r -n 1 -w 1
        expect_status 75
        expect_empty "$OUT"
    done
}

@test "a clean session forgets" {
    sts "${TO[@]}" -o clientid=forgets -o "subtop=$TOPIC" -r -w 1
    pub -q 1 -t "$TOPIC" -m meanwhile
    sts "${TO[@]}" -o clientid=forgets -o "subtop=$TOPIC" -r -n 1 -w 1
    expect_status 75
    expect_empty "$OUT"
}

@test "-r killed without warning loses nothing: what it had not written comes again" {
    keep=(-o clean_session=0 -o qos=2 -o "subtop=$TOPIC")
    seq 1000 >"$(scratch)/lines"
    open_drain
    start "$STS" -r "${TO[@]}" -o clientid=killed "${keep[@]}" >"$DRAIN" 2>"$(scratch)/err"
    drain_only
    wait_for subscribed killed
    pub -q 2 -t "$TOPIC" -l <"$(scratch)/lines"
    head -c 400 <&8 >"$(scratch)/first"
    kill -KILL "$BG"
    join "$BG"
    cat <&8 >>"$(scratch)/first"
    all_there() {
        sort -nu "$(scratch)/first" "$(out_of killed)" | cmp - "$(scratch)/lines"
    }
    : >"$(out_of killed)"
    start "$STS" -r "${TO[@]}" -o clientid=killed "${keep[@]}" \
        >"$(out_of killed)" 2>"$(err_of killed)"
    wait_for all_there
}

@test "the client id: the one of the config; otherwise sts- and 12 characters, new each time" {
    before=$(wc -l <"$BROKER_LOG")
    for _ in 1 2; do
        sts "${TO[@]}" -o "pubtop=$TOPIC" -s x
        expect_status 0
    done
    expect_equal "$(tail -n "+$before" "$BROKER_LOG" |
        grep -Eo 'connected from [^ ]+ as sts-[0-9A-Za-z]{12} \(' |
        cut -d ' ' -f 5 | sort -u | wc -l)" 2
}

@test "keepalive: asked for as configured, and kept with PINGREQ" {
    recv_start pings -o keepalive=1 -o "subtop=$TOPIC"
    broker_saw 'as pings \(p2, c1, k1'
    twice() { (($(broker_count 'Received PINGREQ from pings') >= 2)); }
    wait_for twice
    alive "$BG"
    expect_equal "$(broker_count 'New client connected from .* as pings ')" 1
    sts "${TO[@]}" -o keepalive=0 -o clientid=nokeep -o "pubtop=$TOPIC" -s x
    expect_status 0
    expect_match "$BROKER_LOG" 'as nokeep \(p2, c1, k0\)'
}
