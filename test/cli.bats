# cli.bats - each flag, and what goes to standard output and to standard error.
# shellcheck disable=SC2030,SC2031,SC2153,SC2317

load lib

LOG_LINE='^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3} - '
LOG_LINE+='(\[ERROR\] |\[WARN\]  |\[INFO\]  |\[DEBUG\] )# sts: .'

setup_file() {
    start_broker
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

# Every line of FILE is a log line.
expect_log_lines() {
    ! grep -Ev -e "$LOG_LINE" "$1" || fail "these are no log lines"
}

# Checks every line of -j output with a JSON parser of another origin, and prints the payloads, each
# as the repr of its bytes.
json_payloads() { # FILE TOPIC
    /usr/bin/python3 - "$1" "$2" <<'PY'
import base64, json, re, sys

for line in open(sys.argv[1], "rb").read().decode("utf-8").splitlines():
    got = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", got["time"]), got
    assert got["topic"] == sys.argv[2], got
    assert ("payload" in got) != ("payload_base64" in got), got
    if "payload" in got:
        print(repr(got["payload"].encode("utf-8")))
    else:
        data = base64.b64decode(got["payload_base64"], validate=True)
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            print(repr(data))
        else:
            raise AssertionError("UTF-8, and yet in base64: %r" % data)
PY
}

# ---- -h -V ----

@test "-h: the flags on standard output, status 0" {
    sts -h
    expect_status 0
    expect_empty "$ERR"
    for flag in -c -o -s -l -r -n -w -j -v -q -V -h; do
        expect_match "$OUT" "(^|[^a-zA-Z0-9-])$flag([^a-zA-Z0-9-]|\$)"
    done
}

@test "-h: no line is wider than a terminal" {
    sts -h
    expect_no_match "$OUT" '.{81}'
}

@test "-V: name and version in one line on standard output, status 0" {
    sts -V
    expect_status 0
    expect_empty "$ERR"
    expect_match "$OUT" '^sts [0-9]+\.[0-9]+'
    expect_equal "$(wc -l <"$OUT")" 1
}

@test "-h and -V to a full device: 74" {
    for flag in -h -V; do
        status=0
        "$STS" "$flag" >/dev/full || status=$?
        expect_equal "$flag $status" "$flag 74"
    done
}

# ---- -c -o ----

@test "-c: the host, port and topic of a file are used" {
    printf 'ip = 127.0.0.1\nport = %s\npubtop = %s\n' "$PORT" "$TOPIC" >"$(scratch)/conf"
    sub_start c_sub -t "$TOPIC" -C 1
    sts -c "$(scratch)/conf" -s 'from a file'
    expect_status 0
    join "$BG"
    expect_content "$(out_of c_sub)" 'from a file'
}

@test "-o: overrides the file, for one key only" {
    printf 'ip = 127.0.0.1\nport = 1\npubtop = %s\n' "$TOPIC" >"$(scratch)/conf"
    sub_start o_sub -t "$TOPIC" -C 1
    sts -c "$(scratch)/conf" -o "port=$PORT" -s 'overridden'
    expect_status 0
    join "$BG"
    expect_content "$(out_of o_sub)" 'overridden'
}

@test "-o: blanks around = are free, as in a file" {
    sts -o 'ip = 127.0.0.1' -o "port = $PORT" -o "pubtop =$TOPIC" -s x
    expect_status 0
}

@test "-o: works before and after the action" {
    sts -s x "${TO[@]}" -o "pubtop=$TOPIC"
    expect_status 0
}

# ---- -s ----

@test "-s: says nothing when all is well" {
    sts "${TO[@]}" -o "pubtop=$TOPIC" -s hello
    expect_status 0
    expect_empty "$OUT"
    expect_empty "$ERR"
}

@test "-s -: all of standard input is one message, newlines and all" {
    sub_start s_sub -t "$TOPIC" -C 1 -N
    printf 'one\ntwo\n\nthree\n' >"$(scratch)/in"
    sts "${TO[@]}" -o "pubtop=$TOPIC" -s - <"$(scratch)/in"
    expect_status 0
    join "$BG"
    expect_same "$(out_of s_sub)" "$(scratch)/in"
}

@test "-s -: waits for a slow writer" {
    sub_start slow_sub -t "$TOPIC" -C 1
    open_feed
    start "$STS" "${TO[@]}" -o "pubtop=$TOPIC" -s - <"$FEED"
    sender=$BG
    printf 'first ' >&9
    sleep 0.2 # not a wait: the pause itself is what is tested
    printf 'second' >&9
    close_feed
    join "$sender"
    expect_status 0
    join "${PIDS[0]}"
    expect_content "$(out_of slow_sub)" 'first second'
}

@test "-s: an empty message is a message" {
    sub_start empty_sub -t "$TOPIC" -C 2 -F '%l:%p'
    sts "${TO[@]}" -o "pubtop=$TOPIC" -s ''
    expect_status 0
    sts "${TO[@]}" -o "pubtop=$TOPIC" -s - </dev/null
    expect_status 0
    join "$BG"
    expect_content "$(out_of empty_sub)" $'0:\n0:'
}

@test "-s: a message that starts with a dash" {
    sub_start dash_sub -t "$TOPIC" -C 2
    sts "${TO[@]}" -o "pubtop=$TOPIC" -s -5.5
    expect_status 0
    sts "${TO[@]}" -o "pubtop=$TOPIC" -s --
    expect_status 0
    join "$BG"
    expect_content "$(out_of dash_sub)" $'-5.5\n--'
}

@test "-s -: a signal ends it while it waits for input: 75, nothing is sent" {
    for signal in TERM INT; do
        open_feed
        start "$STS" "${TO[@]}" -o "clientid=waits$signal" -o "pubtop=$TOPIC" -s - <"$FEED" \
            2>"$(scratch)/err"
        sender=$BG
        printf half >&9
        reading() { grep -q '^SigBlk:.*[2-7a-f]...$' "/proc/$sender/status"; }
        wait_for reading
        kill -s "$signal" "$sender"
        join "$sender"
        close_feed
        expect_equal "$signal $status" "$signal 75"
        expect_no_match "$BROKER_LOG" "Received PUBLISH from waits$signal "
    done
}

# ---- -l ----

@test "-l: each line is a message, empty ones and an unfinished last one too" {
    sub_start l_sub -t "$TOPIC" -C 4 -F '[%p]'
    printf 'one\n\n  three\r\nlast' | {
        sts "${TO[@]}" -o "pubtop=$TOPIC" -l
        expect_status 0
        expect_empty "$OUT"
        expect_empty "$ERR"
    }
    join "$BG"
    expect_content "$(out_of l_sub)" $'[one]\n[]\n[  three\r]\n[last]'
}

@test "-l: no line, no message, status 0" {
    before=$(broker_count 'Received PUBLISH')
    sts "${TO[@]}" -o "pubtop=$TOPIC" -l </dev/null
    expect_status 0
    expect_equal "$(broker_count 'Received PUBLISH')" "$before"
}

@test "-l: a line leaves before the next one comes" {
    sub_start live_sub -t "$TOPIC" -C 2
    sub=$BG
    open_feed
    start "$STS" "${TO[@]}" -o "pubtop=$TOPIC" -o clientid=live -l <"$FEED"
    echo first >&9
    wait_for broker_saw 'Received PUBLISH from live '
    echo second >&9
    close_feed
    join "$BG"
    expect_status 0
    join "$sub"
    expect_content "$(out_of live_sub)" $'first\nsecond'
}

# ---- -r -n ----

@test "-r -n: one payload a line, ends after COUNT with status 0" {
    recv_start n_recv -o "subtop=$TOPIC" -n 2
    printf 'one\ntwo\n' | pub -q 1 -t "$TOPIC" -l
    join "$BG"
    expect_status 0
    expect_content "$(out_of n_recv)" $'one\ntwo'
    expect_equal "$(wc -l <"$(out_of n_recv)")" 2
}

@test "-r -n: writes COUNT payloads and not one more" {
    pub -q 1 -t "$TOPIC/a" -r -m A
    pub -q 1 -t "$TOPIC/b" -r -m B
    pub -q 1 -t "$TOPIC/c" -r -m C
    sts "${TO[@]}" -o "subtop=$TOPIC/#" -r -n 2
    expect_status 0
    expect_equal "$(wc -l <"$OUT")" 2
}

@test "-r: an empty payload is an empty line" {
    recv_start e_recv -o "subtop=$TOPIC" -n 2
    pub -q 1 -t "$TOPIC" -n
    pub -q 1 -t "$TOPIC" -m x
    join "$BG"
    expect_content "$(out_of e_recv)" $'\nx'
}

@test "-r: each line is there as soon as its message" {
    recv_start soon_recv -o "subtop=$TOPIC"
    pub -q 1 -t "$TOPIC" -m now
    wait_for has_lines 1 "$(out_of soon_recv)"
    alive "$BG"
}

@test "-r: SIGTERM and SIGINT end it with DISCONNECT and status 0" {
    for signal in TERM INT; do
        recv_start "$signal-recv" -o "subtop=$TOPIC"
        kill -s "$signal" "$BG"
        join "$BG"
        expect_equal "$signal $status" "$signal 0"
        wait_for broker_saw "Received DISCONNECT from $signal-recv"
    done
}

@test "-r -n: a signal before COUNT messages: 75" {
    recv_start short_recv -o "subtop=$TOPIC" -n 2
    pub -q 1 -t "$TOPIC" -m one
    wait_for has_lines 1 "$(out_of short_recv)"
    kill -TERM "$BG"
    join "$BG"
    expect_status 75
    wait_for broker_saw "Received DISCONNECT from short_recv"
}

@test "-r | head -1: ends with status 0 when nobody reads any more" {
    open_drain
    start head -1 <"$DRAIN" >"$(scratch)/first"
    start "$STS" -r "${TO[@]}" -o clientid=head -o "subtop=$TOPIC" \
        >"$DRAIN" 2>"$(scratch)/head.err"
    close_drain
    wait_for subscribed head
    publish_until_gone() {
        pub -q 1 -t "$TOPIC" -m 'the line'
        gone "$BG"
    }
    wait_for publish_until_gone
    join "$BG"
    expect_status 0
    expect_content "$(scratch)/first" 'the line'
    wait_for broker_saw 'Received DISCONNECT from head'
}

@test "-r -n: standard output closed before COUNT messages: 74" {
    open_drain
    start head -1 <"$DRAIN" >"$(scratch)/first"
    start "$STS" -r -n 1000 "${TO[@]}" -o clientid=head74 -o "subtop=$TOPIC" \
        >"$DRAIN" 2>"$(scratch)/head74.err"
    close_drain
    wait_for subscribed head74
    publish_until_gone() {
        pub -q 1 -t "$TOPIC" -m 'the line'
        gone "$BG"
    }
    wait_for publish_until_gone
    join "$BG"
    expect_status 74
}

@test "-r: a reader that sleeps costs neither a message nor the connection" {
    open_drain
    start "$STS" -r -n 6000 "${TO[@]}" -o clientid=slow -o keepalive=1 -o "subtop=$TOPIC" \
        >"$DRAIN" 2>"$(scratch)/slow.err"
    receiver=$BG
    drain_only
    wait_for subscribed slow
    seq -f '%020.0f' 6000 >"$(scratch)/lines"
    pub -q 1 -t "$TOPIC" -l <"$(scratch)/lines"
    pings=$(broker_count 'Received PINGREQ from slow')
    pinged_twice() { (($(broker_count 'Received PINGREQ from slow') >= pings + 2)); }
    wait_for pinged_twice
    alive "$receiver"
    cat <&8 >"$(scratch)/read"
    join "$receiver"
    expect_status 0
    expect_same "$(scratch)/read" "$(scratch)/lines"
    expect_equal "$(broker_count 'New client connected from .* as slow ')" 1
}

# ---- -w ----

@test "-w: -r without a message gives up: 75, and says DISCONNECT" {
    sts "${TO[@]}" -o clientid=w_recv -o "subtop=$TOPIC" -r -w 1
    expect_status 75
    expect_empty "$OUT"
    wait_for broker_saw 'Received DISCONNECT from w_recv'
}

@test "-w: -r -n that gets its messages in time: 0" {
    pub -q 1 -t "$TOPIC" -r -m kept
    sts "${TO[@]}" -o "subtop=$TOPIC" -r -n 1 -w 20
    expect_status 0
    expect_content "$OUT" kept
}

@test "-w: -l whose input never ends gives up: 75; what came before is sent" {
    sub_start wl_sub -t "$TOPIC" -C 1
    open_feed
    start "$STS" "${TO[@]}" -o "pubtop=$TOPIC" -l -w 1 <"$FEED" \
        2>"$(scratch)/wl.err"
    sender=$BG
    echo early >&9
    join "$sender"
    close_feed
    expect_status 75
    join "${PIDS[0]}"
    expect_content "$(out_of wl_sub)" early
}

@test "-w: -s - whose input never ends gives up: 75, nothing is sent" {
    open_feed
    start "$STS" "${TO[@]}" -o clientid=ws -o "pubtop=$TOPIC" -s - -w 1 <"$FEED" \
        2>"$(scratch)/ws.err"
    sender=$BG
    printf half >&9
    join "$sender"
    close_feed
    expect_status 75
    expect_no_match "$BROKER_LOG" 'Received PUBLISH from ws '
}

# ---- -j ----

@test "-j: UTF-8 is a string; quotes, backslashes and control characters are escaped" {
    recv_start j_recv -o "subtop=$TOPIC" -j -n 6
    printf '%s' 'plain 12.5' | pub -q 1 -t "$TOPIC" -s
    printf '%s' '{"a": "b\c/d"}' | pub -q 1 -t "$TOPIC" -s
    printf 'line\nbreak\ttab\r\001\037\177' | pub -q 1 -t "$TOPIC" -s
    printf 'Z\303\274rich \342\202\254 \360\237\230\200' | pub -q 1 -t "$TOPIC" -s
    printf 'nul\000inside' | pub -q 1 -t "$TOPIC" -s
    pub -q 1 -t "$TOPIC" -n
    join "$BG"
    expect_status 0
    expect_equal "$(wc -l <"$(out_of j_recv)")" 6
    json_payloads "$(out_of j_recv)" "$TOPIC" >"$(scratch)/payloads"
    cat >"$(scratch)/expected" <<'PY'
b'plain 12.5'
b'{"a": "b\\c/d"}'
b'line\nbreak\ttab\r\x01\x1f\x7f'
b'Z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x98\x80'
b'nul\x00inside'
b''
PY
    expect_same "$(scratch)/payloads" "$(scratch)/expected"
}

@test "-j: what is not UTF-8 is in base64: each length modulo 3, overlong, surrogate, cut" {
    recv_start b_recv -o "subtop=$TOPIC" -j -n 7
    for bytes in '\377' '\377\376' '\377\376\375' 'ab\200' '\300\257' '\355\240\200' 'x\342\202'; do
        # shellcheck disable=SC2059
        printf "$bytes" | pub -q 1 -t "$TOPIC" -s
    done
    join "$BG"
    expect_status 0
    json_payloads "$(out_of b_recv)" "$TOPIC" >"$(scratch)/payloads"
    cat >"$(scratch)/expected" <<'PY'
b'\xff'
b'\xff\xfe'
b'\xff\xfe\xfd'
b'ab\x80'
b'\xc0\xaf'
b'\xed\xa0\x80'
b'x\xe2\x82'
PY
    expect_same "$(scratch)/payloads" "$(scratch)/expected"
}

@test "-j: the topic of the message, not the filter; escaped as well" {
    topic="$TOPIC/a \"quoted\" \\ Zürich"
    recv_start t_recv -o "subtop=$TOPIC/#" -j -n 1
    pub -q 1 -t "$topic" -m x
    join "$BG"
    json_payloads "$(out_of t_recv)" "$topic" >"$(scratch)/payloads"
    expect_content "$(scratch)/payloads" "b'x'"
}

@test "-j: the largest message of control characters is still one line" {
    recv_start big_recv -o "subtop=$TOPIC" -j -n 1
    head -c 16384 /dev/zero | tr '\0' '\001' | pub -q 1 -t "$TOPIC" -s
    join "$BG"
    expect_status 0
    json_payloads "$(out_of big_recv)" "$TOPIC" >"$(scratch)/payloads"
    /usr/bin/python3 -c 'print(repr(b"\1" * 16384))' >"$(scratch)/expected"
    expect_same "$(scratch)/payloads" "$(scratch)/expected"
}

@test "-j: the time is now, in UTC" {
    pub -q 1 -t "$TOPIC" -r -m x
    before=$(date -u +%Y-%m-%dT%H:%M:%S)
    TZ=Asia/Kolkata sts "${TO[@]}" -o "subtop=$TOPIC" -j -r -n 1
    after=$(date -u +%Y-%m-%dT%H:%M:%S.999)
    got=$(sed -E 's/.*"time": ?"([^"]*)Z".*/\1/' "$OUT")
    [[ ! $got < $before && ! $got > $after ]] || fail "$before <= $got <= $after"
}

# ---- -v -q, the log ----

@test "-v: more lines, each in the form of the log, in UTC, none on standard output" {
    before=$(date -u +'%Y-%m-%d %H:%M:%S')
    TZ=Asia/Kolkata sts "${TO[@]}" -o "pubtop=$TOPIC" -s x -v
    expect_status 0
    expect_empty "$OUT"
    expect_log_lines "$ERR"
    expect_match "$ERR" '\[INFO\].*127\.0\.0\.1'
    got=$(head -c 19 "$ERR")
    after=$(date -u +'%Y-%m-%d %H:%M:%S')
    [[ ! $got < $before && ! $got > $after ]] || fail "$before <= $got <= $after"
}

@test "-v -v: more still" {
    sts "${TO[@]}" -o "pubtop=$TOPIC" -s x -v
    expect_no_match "$ERR" '\[DEBUG\]'
    sts "${TO[@]}" -o "pubtop=$TOPIC" -s x -v -v
    expect_status 0
    expect_log_lines "$ERR"
    expect_match "$ERR" '\[DEBUG\]'
    sts "${TO[@]}" -o "pubtop=$TOPIC" -s x -vv
    expect_status 0
    expect_match "$ERR" '\[DEBUG\]'
}

@test "-r: tells of its connection on standard error; -q does not" {
    pub -q 1 -t "$TOPIC" -r -m kept
    sts "${TO[@]}" -o "subtop=$TOPIC" -r -n 1
    expect_content "$OUT" kept
    expect_log_lines "$ERR"
    expect_match "$ERR" '\[INFO\]'
    sts "${TO[@]}" -o "subtop=$TOPIC" -r -n 1 -q
    expect_content "$OUT" kept
    expect_empty "$ERR"
}

@test "-q: an error is still told, in one line" {
    sts -o ip=127.0.0.1 -o port=1 -o "pubtop=$TOPIC" -s x -q
    expect_status 69
    expect_empty "$OUT"
    expect_log_lines "$ERR"
    expect_match "$ERR" '\[ERROR\]'
    expect_equal "$(wc -l <"$ERR")" 1
}

@test "the log never shows the password" {
    for verbosity in -q -v -vv; do
        sts "${TO[@]}" -o username=u -o password=Geh31m -o "pubtop=$TOPIC" -s x "$verbosity"
        expect_no_match "$ERR" Geh31m
        expect_no_match "$OUT" Geh31m
    done
}

@test "the log tames control characters that come from outside" {
    sts "${TO[@]}" -o "pubtop=$TOPIC" -c $'/no\033[31mfile' -s x
    expect_status 66
    expect_no_match "$ERR" $'\033'
    expect_log_lines "$ERR"
}

@test "no standard error at all is no reason to fail" {
    status=0
    "$STS" "${TO[@]}" -o "pubtop=$TOPIC" -s x -vv 2>&- || status=$?
    expect_status 0
    status=0
    "$STS" "${TO[@]}" -o "pubtop=$TOPIC" -s x -vv 2>/dev/full || status=$?
    expect_status 0
}

# Each of the eight ways. What is opened first would get their numbers, and log lines go into it.
@test "closed standard files hit no other file: state, spool, the look-up of a name" {
    local in out err how
    DIR=$(scratch)
    make_ends
    PUSH+=(-o "state=$DIR/state" -o "spool=$DIR/spool")
    for how in 'in out err' 'in out' 'in err' 'out err' in out err ''; do
        in='' out='' err=''
        [[ $how != *in* ]] || in='<&-'
        [[ $how != *out* ]] || out='>&-'
        [[ $how != *err* ]] || err='2>&-'
        # Nobody listens there: it goes into the spool, and is said.
        status=0
        eval '"$STS" -o ip=localhost -o port=1 "${PUSH[@]}" -vv -s x' "$in $out $err" || status=$?
        expect_status 75
        # All of the state and the spool is as it was promised.
        status=0
        eval '"$STS" "${TO[@]}" "${PUSH[@]}" -vv -s y' "$in $out $err" || status=$?
        expect_status 0
        expect_equal "$(stat -c %s "$DIR/spool")" 0
        expect_equal "$(stat -c %s "$DIR/state")" 1024
    done
}
