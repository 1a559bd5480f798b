# broker.bats - what the network does: names and addresses, brokers that go and come back.
# shellcheck disable=SC2030,SC2031,SC2153,SC2317

load lib

teardown() {
    stop_all
}

# ---- addresses ----

# with_hosts HOSTS-FILE COMMAND...: runs it where /etc/hosts is that file. That takes a mount
# namespace, as root or through a user namespace.
with_hosts() {
    local hosts=$1 how

    shift
    for how in -m -rm; do
        if unshare "$how" true 2>/dev/null; then
            # shellcheck disable=SC2016
            unshare "$how" sh -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$hosts" "$@"
            return
        fi
    done
    echo "no mount namespace for /etc/hosts here"
    return 99
}

need_hosts() {
    printf '127.0.0.1 localhost\n' >"$(scratch)/probe"
    with_hosts "$(scratch)/probe" true || skip "a mount namespace is not to be had here"
}

need_ipv6() {
    grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 2>/dev/null ||
        skip "this machine has no IPv6 loopback"
}

# Sends by a name that /etc/hosts has with these addresses.
send_by_name() { # ADDRESS...
    printf '%s many.test\n' "$@" >"$(scratch)/hosts"
    OUT=$(scratch)/out
    ERR=$(scratch)/err
    status=0
    with_hosts "$(scratch)/hosts" timeout 60 "$STS" -o host=many.test -o "port=$PORT" \
        -o timeout=5 -o pubtop=t -s x >"$OUT" 2>"$ERR" || status=$?
}

@test "localhost as ip, host and url" {
    start_broker
    for key in ip host url; do
        sts -o "$key=localhost" -o "port=$PORT" -o pubtop=t -s x
        expect_status 0
    done
}

@test "an IPv6 address" {
    need_ipv6
    BIND=::1 start_broker
    sts -o ip=::1 -o "port=$PORT" -o pubtop=t -s x
    expect_status 0
    sts -o ip=127.0.0.1 -o "port=$PORT" -o pubtop=t -s x
    expect_status 69
}

@test "a name with an IPv6 and an IPv4 address: whichever of them answers" {
    need_ipv6
    need_hosts
    start_broker
    send_by_name ::1 127.0.0.1
    expect_status 0
    send_by_name 127.0.0.1 ::1
    expect_status 0
    BIND=::1 start_broker
    send_by_name ::1 127.0.0.1
    expect_status 0
    send_by_name 127.0.0.1 ::1
    expect_status 0
}

@test "a name with several addresses: all are tried" {
    need_hosts
    BIND=127.0.0.4 start_broker
    send_by_name 127.0.0.2 127.0.0.3 127.0.0.4
    expect_status 0
    kill_broker
    send_by_name 127.0.0.2 127.0.0.3 127.0.0.4
    expect_status 69
}

# ---- brokers that go ----

@test "-r: the first connection must succeed" {
    start_broker
    kill_broker
    sts "${TO[@]}" -o subtop=t -r
    expect_status 69
}

@test "-r: connects and subscribes again when the broker was away, twice" {
    start_broker
    recv_start again -o subtop=t -n 3
    receiver=$BG
    pub -q 1 -t t -m one
    wait_for has_lines 1 "$(out_of again)"
    for message in two three; do
        kill_broker
        wait_for run_broker
        wait_for subscribed again
        pub -q 1 -t t -m "$message"
        wait_for grep -qx "$message" "$(out_of again)"
    done
    join "$receiver"
    expect_status 0
    expect_content "$(out_of again)" $'one\ntwo\nthree'
    expect_match "$(err_of again)" '\[WARN\]'
}

@test "-r: ends on SIGTERM while the broker is away" {
    start_broker
    recv_start away -o subtop=t
    kill_broker
    wait_for has_text '\[WARN\]' "$(err_of away)"
    kill -TERM "$BG"
    join "$BG"
    expect_status 0
}

@test "-r: a broker that only stands still is found out by keepalive" {
    start_broker
    recv_start still -o subtop=t -o keepalive=1 -o timeout=1
    kill -STOP "$BROKER_PID"
    wait_for has_text '\[WARN\]' "$(err_of still)"
    kill -CONT "$BROKER_PID"
    reconnected() { (($(broker_count 'New client connected from .* as still ') >= 2)); }
    wait_for reconnected
    alive "$BG"
}

@test "-r: another client with the same id takes the connection; it comes back" {
    start_broker
    recv_start twin -o subtop=t
    sts "${TO[@]}" -o clientid=twin -o pubtop=u -s x
    expect_status 0
    reconnected() { (($(broker_count 'Sending SUBACK to twin$') >= 2)); }
    wait_for reconnected
    pub -q 1 -t t -m x
    wait_for has_lines 1 "$(out_of twin)"
}

# send_through_restart QOS: sends 4000 lines with -l; half way the broker ends (it keeps its
# sessions on disk) and comes back. "lines" is what was sent, "got" what a persistent subscriber
# finds.
send_through_restart() {
    start_broker 'persistence true' "persistence_location $(scratch)/"
    seq 4000 >"$(scratch)/lines"
    timeout 30 mosquitto_sub -p "$PORT" -i keeper -c -q 2 -t t -E
    open_feed
    start "$STS" "${TO[@]}" -o clientid=sender -o clean_session=0 -o "qos=$1" -o pubtop=t -l \
        <"$FEED" 2>"$(scratch)/sender.err"
    sender=$BG
    head -2000 "$(scratch)/lines" >&9
    wait_for broker_saw 'Received PUBLISH from sender '
    stop_broker
    start tail -n +2001 "$(scratch)/lines" >&9
    writer=$BG
    wait_for run_broker
    join "$writer"
    close_feed
    join "$sender"
    ERR=$(scratch)/sender.err
    expect_status 0
    expect_match "$ERR" '\[WARN\]'
    echo end >>"$(scratch)/lines"
    pub -q 2 -t t -m end
    sub_start keeper -c -q 2 -t t
    wait_for grep -qx end "$(out_of keeper)"
    mv "$(out_of keeper)" "$(scratch)/got"
}

@test "-l with QoS 1: the broker restarts in the middle; no line is lost" {
    send_through_restart 1
    # What was in flight may come twice, but each line first came in its order.
    awk '!seen[$0]++' "$(scratch)/got" >"$(scratch)/once"
    expect_same "$(scratch)/once" "$(scratch)/lines"
}

@test "-l with QoS 2: the broker restarts in the middle; each line is there once" {
    send_through_restart 2
    expect_same "$(scratch)/got" "$(scratch)/lines"
}

@test "-s: no second try: the status tells, and cron calls again" {
    start_broker
    kill_broker
    before=$SECONDS
    sts "${TO[@]}" -o pubtop=t -s x
    expect_status 69
    expect_within $((SECONDS - before)) 0 5
}
