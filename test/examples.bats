# examples.bats - everything under examples/ at work: installed as its README says, into a folder in
# place of /, with real keys, a real broker, and a second one for what is republished.
#
# $DIR is that folder. Scripts run under dash and under busybox, which then brings all the other
# programs, too.
# shellcheck shell=bash disable=SC2030,SC2031,SC2153,SC2317

load lib

EXAMPLES=$ROOT/examples
SHELLS=(dash busybox)

setup() {
    # Not in bats' own, which nobody else may enter.
    DIR=$(mktemp -d /tmp/sts-examples.XXXXXX)
    chmod 711 "$DIR"
    mkdir -p "$DIR/bin" "$DIR/busybox" "$DIR/etc" "$DIR/var"
    start_broker
    SEALED=$PORT SEALED_LOG=$BROKER_LOG SEALED_PID=$BROKER_PID
    cp "$STS" "$DIR/bin/sts"
    for file in csv/sts-csv readings/sts-readings republish/sts-republish; do
        cp "$EXAMPLES/$file" "$DIR/bin"
    done
    for file in push collect dashboard; do
        installed "config/$file" | sed "/^ip /a port = $SEALED" >"$DIR/etc/$file"
    done
    echo "device1 $("$STS" -k "$DIR/var/push.key")" >"$DIR/etc/peers"
    chmod 755 "$DIR/bin"/*
}

teardown() {
    [[ -n ${BATS_TEST_COMPLETED:-} || ! -e $DIR/republish.err ]] ||
        cut -c 1-300 "$DIR/republish.err"
    stop_all
    rm -rf "$DIR"
}

# The example $1, for a machine whose / is $DIR.
installed() {
    sed -E "s,/etc/sts,$DIR/etc,g; s,/var/lib/sts,$DIR/var,g; s,/usr/(local/)?bin/sts,$DIR/bin/sts,g
        s,^(PATH=)/usr/local/bin,\1$DIR/bin," "$EXAMPLES/$1"
}

# The sh that the next scripts run under: busybox with its own tools before all others.
use_shell() {
    case $1 in
    dash) SH=(env "PATH=$DIR/bin:$PATH" dash) ;;
    busybox)
        for tool in $(busybox --list); do
            ln -sf "$(command -v busybox)" "$DIR/busybox/$tool"
        done
        SH=(env "PATH=$DIR/bin:$DIR/busybox:$PATH" busybox ash)
        ;;
    esac
}

# script NAME ARGUMENT...: to its end; `status`, $OUT, $ERR.
script() {
    OUT=$DIR/out ERR=$DIR/err status=0
    TMPDIR=$DIR timeout -k 1 60 "${SH[@]}" "$DIR/bin/$1" "${@:2}" >"$OUT" 2>"$ERR" || status=$?
}

# The device's collector is the one with this key.
seal_for() {
    sed -i '/^peer /d' "$DIR/etc/push"
    echo "peer = $("$STS" -k "$DIR/var/$1.key")" >>"$DIR/etc/push"
}

push() {
    sts -c "$DIR/etc/push" "$@"
    expect_status 0
}

# Readings that wait at the broker: collect_later CONFIG makes it keep them, collect_now takes COUNT
# of them and leaves them in $DIR/json.
collect_later() {
    start "$STS" -c "$DIR/etc/$1" -r -j "${@:2}" >/dev/null 2>"$DIR/later.err"
    wait_for has_text 'Sending SUBACK' "$SEALED_LOG"
    kill -TERM "$BG"
    join "$BG"
    expect_status 0
}

collect_now() { # COUNT
    sts -c "$DIR/etc/dashboard" -r -j -n "$1" -w 30
    expect_status 0
    cp "$OUT" "$DIR/json"
}

# The value of every KEY= line of a unit, one a line.
unit() { # FILE KEY
    installed "systemd/$1" | sed -n "s/^$2=//p"
}

# Runs the program as somebody who is not root and has no rights but over $DIR/var, as the services'
# user; with what it asks of the kernel in $DIR/calls.
as_service() {
    local user=()

    if [[ $(id -u) == 0 ]]; then
        user=(-u nobody)
        chown -R nobody "$DIR/var"
    fi
    chmod 700 "$DIR/var"
    touch "$DIR/calls"
    start env -i PATH=/usr/bin:/bin strace -D -f -qq "${user[@]}" -o "$DIR/calls" "$@" \
        >"$DIR/out" 2>"$DIR/err"
}

run_as_service() {
    as_service "$@"
    OUT=$DIR/out ERR=$DIR/err
    join "$BG"
}

# The system calls of the sets that are named, with what those include.
calls_of() {
    systemd-analyze syscall-filter --no-pager "$@" | sed -n 's/^    \([^#]*\).*/\1/p' |
        while read -r name; do
            case $name in
            @*) calls_of "$name" ;;
            *) echo "$name" ;;
            esac
        done
}

# What $DIR/calls has is allowed by the unit's filter. exit is a tracer's, and always allowed.
expect_allowed() { # UNIT
    local allow forbid

    allow=$(unit "$1" SystemCallFilter | grep -v '^~')
    forbid=$(unit "$1" SystemCallFilter | sed -n 's/^~//p')
    # shellcheck disable=SC2086 # they are words
    calls_of $allow | sort -u >"$DIR/allow"
    # shellcheck disable=SC2086
    calls_of $forbid | sort -u >"$DIR/forbid"
    (($(wc -l <"$DIR/allow") > 100 && $(wc -l <"$DIR/forbid") > 20)) || fail 'no sets'
    sed -nE 's/^[0-9]+ +([a-z_0-9]+)\(.*/\1/p' "$DIR/calls" | sort -u >"$DIR/used"
    [[ -s $DIR/used ]] || fail 'nothing was traced'
    expect_equal "$(comm -23 "$DIR/used" <(comm -23 "$DIR/allow" "$DIR/forbid"))" ''
}

# ---- what they say ----

@test "shellcheck finds nothing, and every shell can read them" {
    for file in "$EXAMPLES"/*/sts-{csv,readings,republish} "$EXAMPLES/openwrt/sts.init"; do
        [[ -x $file ]] || fail "$file is not executable"
        shellcheck "$file"
        dash -n "$file"
        busybox ash -n "$file"
    done
}

@test "the units: systemd-analyze verifies them, and finds hardly anything left to lock" {
    for file in sts-push.service sts-push.timer sts-collect.service; do
        installed "systemd/$file" >"$DIR/$file"
    done
    for file in sts-push.service sts-push.timer sts-collect.service; do
        systemd-analyze verify --man=no "$DIR/$file" >"$DIR/verify" 2>&1 ||
            fail "$(cat "$DIR/verify")"
        expect_no_match "$DIR/verify" 'sts-'
    done
    for file in sts-push.service sts-collect.service; do
        systemd-analyze security --no-pager --offline=yes --threshold=15 "$DIR/$file" \
            >"$DIR/security" || fail "$(tail -1 "$DIR/security")"
        expect_equal "$(unit "$file" DynamicUser) $(unit "$file" StateDirectory)" 'yes sts'
    done
    unit sts-push.timer OnCalendar >"$DIR/calendar"
    systemd-analyze calendar "$(cat "$DIR/calendar")" >/dev/null
}

# ---- config/: as README.md shows it; nosec and STS/1 are in config.bats ----

@test "the sample configs push and collect, master and slave work as they are, but for the port" {
    cd "$DIR"
    for name in push collect master slave; do
        "$STS" -k "$name.key" >"$name.public"
    done
    echo "device1 $(cat push.public)" >peers
    to=(-o "port=$SEALED")
    start "$STS" -c "$ROOT/config/collect" "${to[@]}" -r -j >json 2>err.collect
    wait_for has_text 'Sending SUBACK' "$SEALED_LOG"
    sts -c "$ROOT/config/push" "${to[@]}" -o "peer=$(cat collect.public)" -s '21.5 C'
    expect_status 0
    wait_for has_text '"peer":"device1".*"payload":"21.5 C"' json
    kill -TERM "$BG"
    join "$BG"
    expect_status 0
    start "$STS" -c "$ROOT/config/slave" "${to[@]}" -o "peer=$(cat master.public)" -r -n 1 \
        >heard 2>err.slave
    sts -c "$ROOT/config/master" "${to[@]}" -o "peer=$(cat slave.public)" -s 'both ways'
    expect_status 0
    join "$BG"
    expect_status 0
    expect_content heard 'both ways'
}

# ---- the units at work ----

@test "sts-collect.service and sts-push.service: make their keys, collect and push, as no root" {
    rm "$DIR/var/push.key"
    for name in push collect; do
        read -ra pre < <(unit "sts-$name.service" ExecStartPre)
        run_as_service "${pre[@]}"
        expect_status 0
        expect_allowed "sts-$name.service"
        expect_equal "$(stat -c %a "$DIR/var/$name.key")" 600
        cp "$OUT" "$DIR/$name.public"
    done
    echo "device1 $(cat "$DIR/push.public")" >"$DIR/etc/peers"
    echo "peer = $(cat "$DIR/collect.public")" >>"$DIR/etc/push"

    read -ra exec < <(unit sts-collect.service ExecStart)
    as_service "${exec[@]}"
    collector=$BG
    wait_for has_text 'Sending SUBACK' "$SEALED_LOG"
    mv "$DIR/calls" "$DIR/calls.collect"

    read -ra exec < <(unit sts-push.service ExecStart)
    run_as_service "${exec[@]}"
    expect_status 0
    expect_empty "$OUT"
    expect_empty "$ERR"
    expect_allowed sts-push.service
    wait_for has_text '"payload":' "$DIR/var/readings.json"
    kill -TERM "$collector"
    join "$collector"
    expect_status 0
    mv "$DIR/calls.collect" "$DIR/calls"
    expect_allowed sts-collect.service
    expect_equal "$(jq -r '.peer, (.payload | fromjson | .load | length)' \
        "$DIR/var/readings.json" | xargs)" 'device1 3'

    # The broker is away: a success to systemd, with the reading in the spool.
    kill -KILL "$SEALED_PID"
    join "$SEALED_PID"
    run_as_service "${exec[@]}"
    expect_equal "$status" "$(unit sts-push.service SuccessExitStatus)"
    [[ -s $DIR/var/push.spool ]] || fail 'nothing is in the spool'
}

@test "a key that is open to a group, as LoadCredential= shows it, is refused" {
    seal_for collect
    chmod 440 "$DIR/var/collect.key"
    sts -c "$DIR/etc/collect" -r
    expect_status 77
    expect_match "$ERR" 'collect.key'
}

# ---- cron ----

@test "the cron line, as cron runs it" {
    seal_for dashboard
    collect_later dashboard
    installed cron/sts >"$DIR/crontab"
    env=(LOGNAME=root USER=root "HOME=$DIR")
    count=0
    while read -r line; do
        case $line in
        '#'* | '') ;;
        [A-Z]*=*) env+=("$line") ;;
        *)
            read -r minute hour day month week user command <<<"$line"
            expect_equal "$minute $hour $day $month $week $user" '*/5 * * * * root'
            expect_no_match <(echo "$command") '(^|[^\])%'
            OUT=$DIR/out ERR=$DIR/err status=0
            env -i "${env[@]}" timeout 60 sh -c "${command//\\%/%}" </dev/null >"$OUT" 2>"$ERR" ||
                status=$?
            expect_status 0
            # Or cron would send mail.
            expect_empty "$OUT"
            expect_empty "$ERR"
            count=$((count + 1))
            ;;
        esac
    done <"$DIR/crontab"
    expect_equal "$count" 1
    collect_now 1
    expect_equal "$(jq '.payload | fromjson | .uptime_s > 0' "$DIR/json")" true
}

# ---- OpenWrt ----

# OpenWrt's procd is not to be had here: what the script tells it is recorded, and then done.
@test "the procd script: what it hands to procd collects a reading" {
    seal_for collect
    installed openwrt/sts.init >"$DIR/sts.init"
    cat >"$DIR/rc.common" <<'SH'
procd_open_instance() { echo "open $*"; }
procd_close_instance() { echo close; }
procd_set_param() { echo "$*"; }
. "$1"
[ "$USE_PROCD" = 1 ] && [ "$START" -gt 0 ] && start_service
SH
    expect_equal "$(head -1 "$DIR/sts.init")" '#!/bin/sh /etc/rc.common'
    for shell in dash 'busybox ash'; do
        $shell "$DIR/rc.common" "$DIR/sts.init" >"$DIR/procd"
        expect_equal "$(sed -n '1p;$p' "$DIR/procd" | xargs)" 'open collect close'
        expect_match "$DIR/procd" '^respawn [0-9]+ [0-9]+ 0$'
        expect_match "$DIR/procd" "^file $DIR/etc/collect $DIR/etc/peers$"
    done
    read -r _ command < <(grep '^command ' "$DIR/procd")
    # shellcheck disable=SC2086 # they are words
    start $command
    wait_for has_text 'Sending SUBACK' "$SEALED_LOG"
    push -s 21.5
    wait_for has_text '"payload":"21.5"' "$DIR/var/readings.json"
    kill -TERM "$BG"
    join "$BG"
    expect_status 0

    rm "$DIR/etc/collect"
    dash "$DIR/rc.common" "$DIR/sts.init" >"$DIR/procd"
    expect_empty "$DIR/procd"
}

# ---- sts-csv ----

# Reads CSV as a stranger does, and writes each field of each line after the head in base64.
fields() {
    /usr/bin/python3 -c '
import base64, csv, io, sys
rows = list(csv.reader(io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", newline="")))
assert rows[0] == ["time", "topic", "peer", "id", "payload", "payload_base64"], rows[0]
for row in rows[1:]:
    assert len(row) == 6 and row[0].endswith("Z") and int(row[3]) > 0, row
    text = row[4].encode() if row[4] else base64.b64decode(row[5])
    print(row[1], row[2], base64.b64encode(text).decode(), "base64" if row[5] else "text")'
}

@test "sts-csv: commas, quotes, line ends, zero bytes, what is no text" {
    seal_for dashboard
    collect_later dashboard
    texts=('21.5' 'a,b' 'say "hi", twice' $'two\nlines' $'\r\n' 'back\\slash' $'\xff\xfe' 'ä€'
        '=1+1' ' blank ' 'nul\0')
    for text in "${texts[@]}"; do
        push -s "$text"
    done
    printf 'zero\0byte' >"$DIR/zero"
    push -s - <"$DIR/zero"
    collect_now $((${#texts[@]} + 1))
    for text in "${texts[@]}"; do
        form=text
        [[ $text != $'\xff\xfe' ]] || form=base64
        echo "plant/device1 device1 $(printf %s "$text" | base64) $form"
    done >"$DIR/expected"
    echo "plant/device1 device1 $(base64 <"$DIR/zero") base64" >>"$DIR/expected"
    for shell in "${SHELLS[@]}"; do
        use_shell "$shell"
        script sts-csv <"$DIR/json"
        expect_status 0
        fields <"$OUT" >"$DIR/got"
        expect_same "$DIR/got" "$DIR/expected"
    done
    script sts-csv <<<'{"time":'
    [[ $status != 0 ]] || fail 'half an object is none'
}

# ---- sts-readings ----

@test "sts-readings: valid JSON of what is there; it arrives as it was printed" {
    seal_for dashboard
    collect_later dashboard
    mkdir -p "$DIR/sys/class/thermal"/thermal_zone{0,1,2,3} "$DIR/"'a "b" c\d'
    echo 48312 >"$DIR/sys/class/thermal/thermal_zone0/temp"
    echo broken >"$DIR/sys/class/thermal/thermal_zone1/temp"
    echo -1500 >"$DIR/sys/class/thermal/thermal_zone3/temp"
    odd=$DIR/$'odd"name\\n\001'
    mkdir "$odd"
    for shell in "${SHELLS[@]}"; do
        use_shell "$shell"
        SYS=$DIR/sys DISKS="/ $odd" script sts-readings
        expect_status 0
        expect_empty "$ERR"
        expect_equal "$(wc -l <"$OUT")" 1
        expect_equal "$(jq -c .temperature_c "$OUT")" \
            '{"thermal_zone0":48.312,"thermal_zone3":-1.5}'
        odd=$odd jq -e '(.disk | keys | sort) == (["/", env.odd] | sort) and
            (.disk["/"] | .total_kib >= .free_kib and .used_percent <= 100) and
            (.load | length == 3) and .uptime_s > 0 and .time > 1000000000' "$OUT"
        # As df says it; what others write meanwhile is not much.
        expect_equal "$(jq '.disk["/"].total_kib' "$OUT")" \
            "$(df -Pk / | awk 'NR == 2 { print $2 }')"

        SYS=$DIR/none script sts-readings tee "$DIR/printed"
        expect_equal "$(jq -c .temperature_c "$DIR/printed")" '{}'
        script sts-readings sts -c "$DIR/etc/push" -s -
        expect_status 0
        collect_now 1
        expect_equal "$(jq '.payload | fromjson | .load | length' "$DIR/json")" 3
    done
}

@test "sts-readings: no reading, rather than half of one; the program's own exit status" {
    for shell in "${SHELLS[@]}"; do
        use_shell "$shell"
        PROC=$DIR/none script sts-readings tee "$DIR/given"
        [[ $status != 0 ]] || fail 'no loadavg is a failure'
        DISKS=$DIR/none script sts-readings tee "$DIR/given"
        [[ $status != 0 ]] || fail 'no such disk is a failure'
        [[ ! -e $DIR/given ]] || fail "it was given: $(cat "$DIR/given")"
        script sts-readings sh -c 'cat >/dev/null; exit 75'
        expect_status 75
    done
}

# ---- sts-republish ----

# A second broker, which $DIR/etc/local leads to.
start_local() {
    start_broker
    installed config/local | sed "s/^port .*/port = $PORT/; \$a timeout = 2" >"$DIR/etc/local"
}

republish_start() {
    : >"$DIR/republish.err"
    start env STS="$DIR/bin/sts" TMPDIR="$DIR" "${SH[@]}" "$DIR/bin/sts-republish" \
        "$DIR/etc/dashboard" "$DIR/etc/local" "$DIR/var/keep" >"$DIR/republish.out" 2>"$DIR/republish.err"
    REPUBLISH=$BG
}

# In its TMPDIR. Not for a run that had to be killed.
expect_nothing_left() {
    expect_equal "$(find "$DIR" -maxdepth 1 -name 'sts-republish.*')" ''
}

republish_stop() {
    kill -TERM "$REPUBLISH"
    join "$REPUBLISH"
    expect_status 0
    expect_empty "$DIR/var/keep"
    expect_nothing_left
}

# Lines to push.
numbered() { # TEXT FIRST LAST
    local i

    for ((i = $2; i <= $3; i++)); do
        echo "$1 $i"
    done
}

# At the local broker: the distinct payloads, sorted.
payloads() {
    jq -r '.payload // .payload_base64' "$(out_of "$1")" | sort -u
}

has_payloads() { # COUNT NAME
    (($(payloads "$2" | wc -l) >= $1))
}

@test "sts-republish: every reading is on the local broker, with its device and what it says" {
    seal_for dashboard
    collect_later dashboard
    start_local
    sub_start all -q 1 -t readings
    for shell in "${SHELLS[@]}"; do
        use_shell "$shell"
        republish_start
        numbered "$shell" 1 200 | "$STS" -c "$DIR/etc/push" -l
        push -s "{\"load\":[0.5],\"by\":\"$shell\"}"
        push -s $'\xff'"$shell"
        # With its value, or without it, or at all: what is too long is shown instead.
        push -s "{\"long\":\"$(head -c 9000 /dev/zero | tr '\0' a)\"}"
        push -s "$(head -c 16384 /dev/zero | tr '\0' b)"
        push -s "last $shell"
        wait_for has_text "last $shell" "$(out_of all)"
        republish_stop
        expect_match "$DIR/republish.err" 'too long to publish: .*device1.*bbbb'
        expect_equal "$(payloads all | grep -c "^$shell ")" 200
        expect_equal "$(jq -c "select(.value.by? == \"$shell\") | [.peer, .topic, .value.load[0]]" \
            "$(out_of all)")" '["device1","plant/device1",0.5]'
        expect_equal "$(payloads all | grep -Fxc "$(printf '\xff%s' "$shell" | base64)")" 1
        expect_match "$(out_of all)" '"long.*"}$'
    done
}

@test "sts-republish: the local broker goes away; nothing is lost, and the status says so" {
    seal_for dashboard
    collect_later dashboard
    start_local
    printf 'persistence true\npersistence_location %s/\n' "$BROKER_DIR" >>"$BROKER_DIR/conf"
    stop_broker
    run_broker
    for shell in "${SHELLS[@]}"; do
        use_shell "$shell"
        republish_start
        push -s "$shell first"
        wait_for has_text 'Received PUBLISH' "$BROKER_LOG"
        kill_broker
        numbered "$shell" 1 20 | "$STS" -c "$DIR/etc/push" -l
        join "$REPUBLISH"
        ((status == 69 || status == 75)) || fail "status $status"
        expect_match "$DIR/republish.err" 'not everything was published'

        # It is away from the start.
        republish_start
        join "$REPUBLISH"
        expect_equal "$status" 69
        numbered "$shell" 21 40 | "$STS" -c "$DIR/etc/push" -l

        run_broker
        sub_start "again-$shell" -q 1 -t readings
        republish_start
        wait_for has_payloads 41 "again-$shell"
        republish_stop
        expect_equal "$(payloads "again-$shell")" \
            "$({ echo "$shell first" && numbered "$shell" 1 40; } | sort)"
    done
}

@test "sts-republish: the collector cannot run, jq fails, the config has an out" {
    seal_for dashboard
    start_local
    use_shell dash
    script sts-republish "$DIR/etc/collect" "$DIR/etc/local" "$DIR/var/keep"
    expect_status 78
    for shell in "${SHELLS[@]}"; do
        use_shell "$shell"
        chmod 644 "$DIR/var/dashboard.key"
        script sts-republish "$DIR/etc/dashboard" "$DIR/etc/local" "$DIR/var/keep"
        expect_status 77
        chmod 600 "$DIR/var/dashboard.key"
        echo '{"half' >"$DIR/var/keep"
        script sts-republish "$DIR/etc/dashboard" "$DIR/etc/local" "$DIR/var/keep"
        expect_status 74
        expect_content "$DIR/var/keep" '{"half'
        rm "$DIR/var/keep"
    done
    script sts-republish
    expect_status 64
    expect_nothing_left
}
