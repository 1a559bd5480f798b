# exit_status.bats - each exit status, and that what a status says is so.
#
# 76 (the broker breaks the protocol) needs a broker that does: test/hostile_broker.py.
# shellcheck disable=SC2030,SC2031,SC2153,SC2317

load lib

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

# usage_error WHAT ARGUMENT...: these arguments are refused with 64, a hint on standard error, and
# without a connection.
usage_error() {
    sts "${@:2}" </dev/null
    [[ $status == 64 ]] || fail "$1: exit status $status, not 64" "$(show)"
    [[ ! -s $OUT ]] || fail "$1: something on standard output" "$(show)"
    [[ -s $ERR ]] || fail "$1: nothing on standard error"
}

# ---- 64 ----

@test "64: unknown flags and words" {
    usage_error 'unknown flag' "${TO[@]}" -o pubtop=t -s x -Z
    usage_error 'unknown flag in a group' "${TO[@]}" -o pubtop=t -s x -vZ
    usage_error 'long option' --help
    usage_error 'a word behind' "${TO[@]}" -o pubtop=t -s x word
    usage_error 'a word alone' word
}

@test "64: a flag without its argument" {
    for flag in -c -o -s -n -w; do
        usage_error "$flag at the end" "$flag"
    done
    usage_error '-n at the end' "${TO[@]}" -o subtop=t -r -n
}

@test "64: an override that is no KEY=VALUE" {
    usage_error '-o without =' -o ip=127.0.0.1 -o port -s x
    usage_error 'empty -o' -o ip=127.0.0.1 -o '' -s x
}

@test "64: two actions" {
    usage_error '-s -r' "${TO[@]}" -o pubtop=t -o subtop=t -s x -r
    usage_error '-l -r' "${TO[@]}" -o pubtop=t -o subtop=t -l -r
    usage_error '-s -l' "${TO[@]}" -o pubtop=t -s x -l
    usage_error '-s -s' "${TO[@]}" -o pubtop=t -s x -s y
    usage_error '-c -c' -c a -c b -s x
}

@test "64: a flag that does not go with the action" {
    usage_error '-n with -s' "${TO[@]}" -o pubtop=t -s x -n 1
    usage_error '-n with -l' "${TO[@]}" -o pubtop=t -l -n 1
    usage_error '-n with the shell' -n 1
    usage_error '-j with -s' "${TO[@]}" -o pubtop=t -s x -j
    usage_error '-j with -l' "${TO[@]}" -o pubtop=t -l -j
    usage_error '-j with the shell' -j
    usage_error '-w with the shell' -w 1
}

@test "64: numbers that are none" {
    for number in '' 0 -1 +1 x 1x 0x1 ' 1' 1.5 99999999999999999999; do
        usage_error "-n '$number'" "${TO[@]}" -o subtop=t -r -n "$number"
        usage_error "-w '$number'" "${TO[@]}" -o subtop=t -r -w "$number"
    done
}

@test "64: more -o than there is room for" {
    many=()
    for ((i = 0; i < 65; i++)); do
        many+=(-o "subtop=$i")
    done
    usage_error '65 times -o' "${many[@]}" -s x
}

# ---- 65 ----

@test "65: a message one byte too long, and nothing is sent" {
    head -c 16385 /dev/zero | tr '\0' x >"$(scratch)/in"
    sts "${TO[@]}" -o clientid=long -o "pubtop=$TOPIC" -s - <"$(scratch)/in"
    expect_status 65
    expect_match "$ERR" '16384'
    expect_no_match "$BROKER_LOG" 'Received PUBLISH from long '
    sts "${TO[@]}" -o clientid=longs -o "pubtop=$TOPIC" -s "$(cat "$(scratch)/in")"
    expect_status 65
    expect_no_match "$BROKER_LOG" 'Received PUBLISH from longs '
}

@test "65: a message without end does not fill the memory" {
    sts "${TO[@]}" -o "pubtop=$TOPIC" -s - </dev/zero
    expect_status 65
}

@test "65: a line too long with -l: the lines before it arrive, no part of it does" {
    for length in 16385 40000; do
        sub_start "line_sub$length" -t "$TOPIC/$length" -C 3 -F '%l %p'
        {
            echo one
            echo two
            head -c "$length" /dev/zero | tr '\0' x
            echo
            echo after
        } >"$(scratch)/in"
        sts "${TO[@]}" -o "pubtop=$TOPIC/$length" -l <"$(scratch)/in"
        expect_status 65
        expect_match "$ERR" '16384'
        pub -q 1 -t "$TOPIC/$length" -m 'the end'
        join "$BG"
        expect_content "$(out_of "line_sub$length")" $'3 one\n3 two\n7 the end'
    done
}

# ---- 66 ----

@test "66: a config file that is not there, or is a folder: it is named" {
    for file in "$(scratch)/none" "$(scratch)" "$(scratch)/none/none"; do
        for action in '-s x' -l -r ''; do
            # shellcheck disable=SC2086
            sts -c "$file" $action </dev/null
            expect_status 66
            expect_match "$ERR" "\[ERROR\].*$file"
        done
    done
}

@test "66: a config file that may not be read" {
    printf 'ip = 127.0.0.1\n' >"$(scratch)/conf"
    chmod 000 "$(scratch)/conf"
    as_nobody=()
    if [[ -r $(scratch)/conf ]]; then # root may read everything
        chmod 711 "$(scratch)"
        chmod 755 "$BATS_RUN_TMPDIR"
        as_nobody=(setpriv --reuid 65534 --clear-groups)
    fi
    status=0
    "${as_nobody[@]}" "$STS" -c "$(scratch)/conf" -s x || status=$?
    expect_status 66
}

@test "66: standard input that cannot be read" {
    for action in '-s -' -l; do
        # shellcheck disable=SC2086
        sts "${TO[@]}" -o clientid=nostdin -o "pubtop=$TOPIC" $action </
        expect_status 66
        expect_match "$ERR" '\[ERROR\]'
        expect_no_match "$BROKER_LOG" 'Received PUBLISH from nostdin '
    done
}

# ---- 68 ----

@test "68: a host name without address, for each action" {
    for action in '-s x' -l -r; do
        # shellcheck disable=SC2086
        sts -o host=nonexistent.invalid -o timeout=20 -o pubtop=t -o subtop=t $action <<<x
        expect_status 68
        expect_match "$ERR" '\[ERROR\].*nonexistent\.invalid'
        expect_equal "$(wc -l <"$ERR")" 1
    done
}

@test "68: what only looks like an address" {
    for host in 256.0.0.1.invalid 1.2.3.4.5 ::g; do
        sts -o "host=$host" -o timeout=20 -o pubtop=t -s x
        expect_status 68
    done
}

# ---- 69 ----

@test "69: nobody listens: for each action, at once" {
    for action in '-s x' -l -r; do
        # shellcheck disable=SC2086
        sts -o ip=127.0.0.1 -o port=1 -o pubtop=t -o subtop=t $action <<<x
        expect_status 69
        expect_match "$ERR" '\[ERROR\].*127\.0\.0\.1'
    done
}

@test "69: the broker dies during a send" {
    start_broker
    kill -STOP "$BROKER_PID" # its kernel still answers: connected, but no CONNACK
    start "$STS" "${TO[@]}" -o pubtop=t -s x 2>"$(scratch)/err"
    sender=$BG
    wait_for connected
    kill_broker
    join "$sender"
    ERR=$(scratch)/err
    expect_status 69
    expect_match "$ERR" '\[ERROR\]'
}

@test "69: the broker dies during -l and does not come back" {
    start_broker
    open_feed
    start "$STS" "${TO[@]}" -o clientid=dies -o timeout=2 -o pubtop=t -l <"$FEED" \
        2>"$(scratch)/err"
    sender=$BG
    echo one >&9
    wait_for broker_saw 'Sending PUBACK to dies '
    kill_broker
    echo two >&9
    close_feed
    join "$sender"
    ERR=$(scratch)/err
    expect_status 69
    expect_match "$ERR" '\[ERROR\]'
}

# ---- 74 ----

@test "74: -r onto a full device; the message is not acknowledged and comes again" {
    sts "${TO[@]}" -o clientid=full -o clean_session=0 -o "subtop=$TOPIC" -r -w 1
    expect_status 75
    pub -q 1 -t "$TOPIC" -m 'not lost'
    status=0
    timeout 30 "$STS" "${TO[@]}" -o clientid=full -o clean_session=0 -o "subtop=$TOPIC" -r -n 1 \
        >/dev/full 2>"$(scratch)/err" || status=$?
    expect_status 74
    expect_match "$(scratch)/err" '\[ERROR\]'
    sts "${TO[@]}" -o clientid=full -o clean_session=0 -o "subtop=$TOPIC" -r -n 1 -w 20
    expect_status 0
    expect_content "$OUT" 'not lost'
}

# ---- 75 ----

@test "75: no CONNACK within timeout" {
    start_broker
    kill -STOP "$BROKER_PID"
    for action in '-s x' -l -r; do
        # shellcheck disable=SC2086
        sts "${TO[@]}" -o timeout=1 -o pubtop=t -o subtop=t $action <<<x
        expect_status 75
        expect_match "$ERR" '\[ERROR\].*CONNACK'
    done
}

@test "75: no PUBACK, no PUBCOMP, no confirmation of QoS 0 within timeout" {
    start_broker
    for qos in 0 1 2; do
        open_feed
        start "$STS" "${TO[@]}" -o "clientid=silent$qos" -o "qos=$qos" -o timeout=1 -o pubtop=t \
            -l <"$FEED" 2>"$(scratch)/err$qos"
        sender=$BG
        echo one >&9
        wait_for broker_saw "Received PUBLISH from silent$qos "
        kill -STOP "$BROKER_PID"
        echo two >&9
        close_feed
        join "$sender"
        kill -CONT "$BROKER_PID"
        ERR=$(scratch)/err$qos
        # With QoS 0 nobody sends it again: it is the connection that is lost.
        expect_status "$((qos == 0 ? 69 : 75))"
        expect_match "$ERR" '\[ERROR\]'
    done
}

@test "75: -w is over before the broker answers" {
    start_broker
    kill -STOP "$BROKER_PID"
    for action in '-s x' -l '-r -n 1' -r; do
        # shellcheck disable=SC2086
        sts "${TO[@]}" -o pubtop=t -o subtop=t -w 1 $action <<<x
        expect_status 75
    done
}

# ---- 77 ----

@test "77: the broker wants a password: none, a wrong one, a wrong user; the right one works" {
    mosquitto_passwd -b -c "$(scratch)/passwords" reader secret 2>/dev/null
    start_broker "password_file $(scratch)/passwords" 'allow_anonymous false'
    for who in '' 'username=reader' 'username=reader password=wrong' \
        'username=x password=secret'; do
        credentials=()
        for option in $who; do
            credentials+=(-o "$option")
        done
        for action in '-s x' -l -r; do
            # shellcheck disable=SC2086
            sts "${TO[@]}" "${credentials[@]}" -o pubtop=t -o subtop=t $action <<<x
            expect_status 77
            expect_match "$ERR" '\[ERROR\]'
        done
    done
    sts "${TO[@]}" -o username=reader -o password=secret -o pubtop=t -s x
    expect_status 0
}

@test "77: each refusal has its own words: not authorized" {
    start_broker 'allow_anonymous false'
    sts "${TO[@]}" -o pubtop=t -s x
    expect_status 77
    expect_match "$ERR" '[Nn]ot authori[sz]ed'
}

@test "77: a client id that the broker does not take" {
    start_broker 'clientid_prefixes only-'
    sts "${TO[@]}" -o clientid=other -o pubtop=t -s x
    expect_status 77
    sts "${TO[@]}" -o clientid=only-me -o pubtop=t -s x
    expect_status 0
}

@test "77: a refused subscription: its filter is named" {
    plugin=$(find /usr/lib /usr/local/lib -name mosquitto_dynamic_security.so | head -1)
    [[ -n $plugin ]] || fail "mosquitto came without mosquitto_dynamic_security.so"
    cat >"$(scratch)/acl.json" <<'JSON'
{"defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true,
                      "subscribe": false, "unsubscribe": true},
 "clients": [], "groups": [], "roles": []}
JSON
    start_broker "plugin $plugin" "plugin_opt_config_file $(scratch)/acl.json"
    sts "${TO[@]}" -o subtop=for/bidden -r -w 20
    expect_status 77
    expect_match "$ERR" '\[ERROR\].*for/bidden'
}

# ---- 78: see config.bats ----

# ---- 0 ----

@test "0: with QoS 0, too, the broker has every message" {
    start_broker
    seq 2000 >"$(scratch)/lines"
    sts "${TO[@]}" -o clientid=all0 -o qos=0 -o pubtop=t -l <"$(scratch)/lines"
    expect_status 0
    kill_broker # at once: what it has not read by now, it never will
    expect_equal "$(broker_count 'Received PUBLISH from all0 \(d0, q0')" 2000
}

@test "0: an interrupted -l is no success" {
    for signal in TERM INT; do
        open_feed
        start "$STS" "${TO[@]}" -o "clientid=stop$signal" -o "pubtop=$TOPIC" -l \
            <"$FEED" 2>"$(scratch)/err"
        sender=$BG
        echo one >&9
        wait_for broker_saw "Received PUBLISH from stop$signal "
        kill -s "$signal" "$sender"
        join "$sender"
        close_feed
        expect_status 75
        wait_for broker_saw "Received DISCONNECT from stop$signal"
    done
}
