#!/usr/bin/env bats
# tls.bats - sts beside TLS and ssh: what doc/tls.md recommends, run end to end. The recipes are read
# from there; only addresses, ports, folders and a pause are replaced.
#
# The real stunnel, sshd and ssh, a real mosquitto. Everybody who talks to the broker does so through
# a tunnel, whose end is 127.0.0.1:$NEAR.
# shellcheck shell=bash disable=SC2030,SC2031,SC2153,SC2317

load lib

PATH=$PATH:/usr/sbin:/sbin

setup() {
    DIR=$(scratch)
    COLLECTOR=$("$STS" -k "$DIR/col.key")
    echo "dev $("$STS" -k "$DIR/dev.key")" >"$DIR/peers"
    SPOOL=$DIR/spool
}

teardown() {
    # Orderly, for what they have started themselves ends only then.
    [[ -z ${TUNNEL:-} ]] || ! alive "$TUNNEL" || stop_tunnel
    stop_all
    [[ -z ${MADE_RUN_SSHD:-} ]] || rmdir /run/sshd
}

# recipe NAME [OLD NEW]...
recipe() {
    "$ROOT/test/recipe.py" "$ROOT/doc/tls.md" "$@"
}

# ---- mosquitto with TLS, and stunnel in front of it ----

make_certificates() {
    recipe openssl >"$DIR/openssl"
    (cd "$DIR" && sh -e openssl 2>openssl.log)
}

start_tls_broker() {
    make_certificates
    recipe /etc/mosquitto/conf.d/tls.conf /etc/mosquitto/certs "$DIR" >"$DIR/tls.conf"
    expect_equal "$(head -1 "$DIR/tls.conf")" 'listener 8883'
    start_broker 'persistence true' "persistence_location $DIR/" "$(tail -n +2 "$DIR/tls.conf")"
    FAR=$PORT
}

# stunnel_conf [OLD NEW]...: the recipe with what else has to be different this time.
stunnel_conf() {
    # What concerns the process stands in front of the first service.
    printf 'foreground = yes\npid =\n' >"$DIR/stunnel.conf"
    recipe /etc/stunnel/sts.conf 127.0.0.1:1883 "127.0.0.1:$NEAR" \
        broker.example.net:8883 "127.0.0.1:$FAR" /etc/stunnel/ca.pem "$DIR/ca.pem" "$@" \
        >>"$DIR/stunnel.conf"
}

run_stunnel() {
    : >"$DIR/tunnel.log"
    start stunnel4 "$DIR/stunnel.conf" >"$DIR/tunnel.log" 2>&1
    TUNNEL=$BG
    wait_for tunnel_settled 'Configuration successful'
    alive "$TUNNEL"
}

tunnel_settled() {
    has_text "$1" "$DIR/tunnel.log" || gone "$TUNNEL"
}

# start_stunnel [OLD NEW]...: on a port that nobody has.
start_stunnel() {
    local try

    for ((try = 0; try < 50; try++)); do
        NEAR=$(any_port)
        stunnel_conf "$@"
        ! run_stunnel || break
        has_text 'Address already in use' "$DIR/tunnel.log" || fail "$(cat "$DIR/tunnel.log")"
    done
    TO=(-o ip=127.0.0.1 -o "port=$NEAR")
}

stop_tunnel() {
    kill -TERM "$TUNNEL"
    join "$TUNNEL"
}

# ---- mosquitto on loopback, and ssh to its machine ----

start_ssh_world() {
    start_broker 'persistence true' "persistence_location $DIR/"
    FAR=$PORT
    ssh-keygen -q -t ed25519 -N '' -f "$DIR/host"
    recipe ssh-keygen /etc/sts "$DIR" >"$DIR/keygen"
    sh -e "$DIR/keygen"
    echo "$(recipe authorized_keys 127.0.0.1:1883 "127.0.0.1:$FAR") $(cat "$DIR/tunnel.pub")" \
        >"$DIR/authorized_keys"
    echo "broker.example.net $(cut -d ' ' -f 1,2 "$DIR/host.pub")" >"$DIR/known_hosts"
    start_sshd
    ssh_recipes
}

# The sshd of the test: its own host key and authorized_keys, no PAM; the folders of a test are not
# what StrictModes is for. The user is whoever runs the test.
sshd_conf() {
    printf '%s\n' "Port $SSHD_PORT" 'ListenAddress 127.0.0.1' "HostKey $DIR/host" 'PidFile none' \
        'UsePAM no' 'StrictModes no' 'PasswordAuthentication no' 'LogLevel VERBOSE' \
        'KbdInteractiveAuthentication no' "AuthorizedKeysFile $DIR/authorized_keys"
    recipe /etc/ssh/sshd_config.d/tunnel.conf tunnel "$(id -un)" 127.0.0.1:1883 "127.0.0.1:$FAR"
}

start_sshd() {
    local try

    # Where Debian's sshd locks itself in when root runs it; its service makes it at each boot.
    if [[ $(id -u) == 0 && ! -d /run/sshd ]]; then
        mkdir -m 755 /run/sshd
        MADE_RUN_SSHD=1
    fi
    for ((try = 0; try < 50; try++)); do
        SSHD_PORT=$(any_port)
        sshd_conf >"$DIR/sshd.conf"
        ! run_sshd || return 0
        has_text 'Address already in use' "$DIR/sshd.log" || break
    done
    fail "no sshd: $(cat "$DIR/sshd.log")"
}

run_sshd() {
    : >"$DIR/sshd.log"
    start "$(command -v sshd)" -D -e -f "$DIR/sshd.conf" >"$DIR/sshd.log" 2>&1
    SSHD=$BG
    wait_for sshd_settled
    alive "$SSHD"
}

sshd_settled() {
    has_text 'Server listening' "$DIR/sshd.log" || gone "$SSHD"
}

ssh_recipes() {
    recipe /etc/sts/ssh_config /etc/sts "$DIR" 'HostName broker.example.net' 'HostName 127.0.0.1' \
        'Port 22' "Port $SSHD_PORT" 'User tunnel' "User $(id -un)" >"$DIR/ssh_config"
}

start_ssh() {
    local try

    for ((try = 0; try < 50; try++)); do
        NEAR=$(any_port)
        recipe /etc/sts/tunnel.sh /etc/sts/ssh_config "$DIR/ssh_config" 'sleep 5' 'sleep 1' \
            127.0.0.1:1883:127.0.0.1:1883 "127.0.0.1:$NEAR:127.0.0.1:$FAR" >"$DIR/tunnel.sh"
        start sh "$DIR/tunnel.sh" >"$DIR/tunnel.log" 2>&1
        TUNNEL=$BG
        wait_for forwards_or_says 'Address already in use|Host key verification failed'
        has_text 'Address already in use' "$DIR/tunnel.log" || break
        stop_tunnel
    done
    TO=(-o ip=127.0.0.1 -o "port=$NEAR")
}

forwards() {
    (: <>"/dev/tcp/127.0.0.1/$NEAR") 2>/dev/null
}

forwards_or_says() {
    has_text "$1" "$DIR/tunnel.log" || forwards
}

cut_ssh() {
    kill -TERM "$SSHD"
    join "$SSHD"
    kill -TERM "$(tr -d ' ' <"/proc/$TUNNEL/task/$TUNNEL/children")"
    ended() { ! forwards; }
    wait_for ended
}

# ---- what goes through ----

collect_start() {
    start "$STS" "${TO[@]}" -o sts_mode=collect -o "key=$DIR/col.key" -o "peers=$DIR/peers" \
        -o "state=$DIR/col.state" -o 'subtop=plant/+' -r >"$DIR/got" 2>"$DIR/col.err"
    wait_for has_text ' subscribed to ' "$DIR/col.err"
}

# push ARGUMENT...; push_kept ARGUMENT...: with a spool.
push() {
    sts "${TO[@]}" -o sts_mode=push -o "key=$DIR/dev.key" -o "peer=$COLLECTOR" \
        -o "state=$DIR/dev.state" -o pubtop=plant/dev "$@"
}

push_kept() {
    push -o "spool=$SPOOL" "$@"
}

got() { # LINE...
    printf '%s\n' "$@" >"$DIR/expected"
    wait_for has_lines $# "$DIR/got"
    expect_same "$DIR/got" "$DIR/expected"
}

subscribed_times() { # COUNT
    (($(grep -c ' subscribed to ' "$DIR/col.err") >= $1))
}

push_and_collect() {
    collect_start
    push -s 'one'
    expect_status 0
    seq -f 'line %.0f' 100 >"$DIR/lines"
    push -l <"$DIR/lines"
    expect_status 0
    head -c 16384 /dev/zero | tr '\0' x >"$DIR/long"
    push -s - <"$DIR/long"
    expect_status 0
    mapfile -t lines <"$DIR/lines"
    got one "${lines[@]}" "$(cat "$DIR/long")"
}

a_session() {
    local slave master

    slave=$("$STS" -k "$DIR/slave.key")
    master=$("$STS" -k "$DIR/master.key")
    recv_from_slave() { has_text ' subscribed to ' "$DIR/slave.err"; }
    start "$STS" "${TO[@]}" -o sts_mode=slave -o aes=chachapoly -o "key=$DIR/slave.key" \
        -o "peer=$master" -o subtop=m2s -o pubtop=s2m -r >"$DIR/got" 2>"$DIR/slave.err"
    wait_for recv_from_slave
    sts "${TO[@]}" -o sts_mode=master -o aes=chachapoly -o "key=$DIR/master.key" \
        -o "peer=$slave" -o subtop=s2m -o pubtop=m2s -l < <(seq 50)
    expect_status 0
    mapfile -t lines < <(seq 50)
    got "${lines[@]}"
}

# cut_and_mend CUT MEND: the tunnel breaks under a collector, and under a -l that goes on reading.
cut_and_mend() {
    collect_start
    open_feed
    start "$STS" "${TO[@]}" -o sts_mode=push -o "key=$DIR/dev.key" -o "peer=$COLLECTOR" \
        -o "state=$DIR/dev.state" -o pubtop=plant/dev -o "spool=$SPOOL" -l <"$FEED" \
        2>"$DIR/many.err"
    many=$BG
    seq 50 >&9
    wait_for has_lines 50 "$DIR/got"
    "$1"
    seq 51 100 >&9
    wait_for has_text '\[WARN\]' "$DIR/many.err"
    wait_for has_text '\[WARN\]' "$DIR/col.err"
    "$2"
    wait_for subscribed_times 2
    close_feed
    join "$many"
    expect_status 0
    mapfile -t lines < <(seq 100)
    got "${lines[@]}"
}

# refused_then_right WHY MEND: nothing gets through the tunnel, and the spool keeps it; after MEND the
# next run brings it all.
refused_then_right() {
    push -s lost
    expect_status 69
    expect_match "$ERR" 'the broker closed the connection|the connection broke|cannot connect to'
    sts "${TO[@]}" -o subtop=x -r
    expect_status 69
    push_kept -s one
    expect_status 75
    wait_for has_text "$1" "$DIR/tunnel.log"
    expect_no_match "$BROKER_LOG" 'New client connected'
    "$2"
    collect_start
    push_kept -s two
    expect_status 0
    got one two
}

# ---- stunnel ----

@test "stunnel: the broker takes nothing that is not TLS" {
    start_tls_broker
    sts "${TO[@]}" -o pubtop=t -s x
    [[ $status == 69 || $status == 76 ]] || fail "exit status $status" "$(show)"
    expect_no_match "$BROKER_LOG" 'New client connected'
}

@test "stunnel: push and collect" {
    start_tls_broker
    start_stunnel
    push_and_collect
}

@test "stunnel: a session" {
    start_tls_broker
    start_stunnel
    a_session
}

@test "stunnel: it ends and comes back: what was read meanwhile is sent then" {
    start_tls_broker
    start_stunnel
    cut_and_mend stop_tunnel run_stunnel
}

@test "stunnel: the broker is away, and comes back" {
    start_tls_broker
    start_stunnel
    collect_start
    stop_broker
    push_kept -s one
    expect_status 75
    PORT=$FAR
    wait_for run_broker
    wait_for subscribed_times 2
    push_kept -s two
    expect_status 0
    got one two
}

right_stunnel() {
    stop_tunnel
    stunnel_conf
    run_stunnel
}

@test "stunnel: another CA's broker is refused; the spool keeps the message" {
    start_tls_broker
    mkdir "$DIR/other"
    (cd "$DIR/other" && sh -e ../openssl 2>/dev/null)
    start_stunnel "$DIR/ca.pem" "$DIR/other/ca.pem"
    refused_then_right 'CERT: Pre-verification error: ' right_stunnel
}

@test "stunnel: a certificate for another name is refused; the spool keeps the message" {
    start_tls_broker
    start_stunnel 'checkHost = broker.example.net' 'checkHost = elsewhere.example.net'
    refused_then_right 'CERT: Subject checks failed' right_stunnel
}

# ---- ssh ----

@test "ssh: push and collect" {
    start_ssh_world
    start_ssh
    push_and_collect
}

@test "ssh: a session" {
    start_ssh_world
    start_ssh
    a_session
}

@test "ssh: the link and sshd go, and come back: what was read meanwhile is sent then" {
    start_ssh_world
    start_ssh
    cut_and_mend cut_ssh run_sshd
}

right_ssh() {
    cp "$DIR/known_hosts.right" "$DIR/known_hosts"
    wait_for forwards
}

@test "ssh: another host key is refused; the spool keeps the message" {
    start_ssh_world
    cp "$DIR/known_hosts" "$DIR/known_hosts.right"
    ssh-keygen -q -t ed25519 -N '' -f "$DIR/other"
    echo "broker.example.net $(cut -d ' ' -f 1,2 "$DIR/other.pub")" >"$DIR/known_hosts"
    start_ssh
    refused_then_right 'Host key verification failed' right_ssh
}

@test "ssh: a device's key opens no other port, no shell and nothing to listen on" {
    start_ssh_world
    start_ssh
    status=0
    timeout 30 ssh -F "$DIR/ssh_config" broker id >"$DIR/out" 2>"$DIR/err" </dev/null || status=$?
    expect_status 1
    expect_no_match "$DIR/out" uid=
    expect_match "$DIR/out" 'This account is currently not available'
    stop_tunnel
    other=$FAR
    FAR=$SSHD_PORT
    start_ssh
    push -s x
    expect_status 69
    expect_match "$DIR/sshd.log" "Received request .* to connect to host 127.0.0.1 port $FAR, but"
    FAR=$other
    status=0
    timeout 30 ssh -N -F "$DIR/ssh_config" -R "127.0.0.1:$(any_port):127.0.0.1:$FAR" broker \
        >"$DIR/out" 2>"$DIR/err" </dev/null || status=$?
    expect_status 255
    expect_match "$DIR/err" 'remote port forwarding failed'
}
