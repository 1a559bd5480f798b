#!/usr/bin/env bats
# cross.bats - sts for another machine ($ARCH), under its $EMULATOR, against the one of this machine:
# keys and files that both read, pushes, sessions and STS/1, each way. script/cross runs it.
# shellcheck shell=bash disable=SC2030,SC2031,SC2034,SC2153

load ../lib

HERE=$ROOT/build/sts
PROGRAM=$ROOT/build/$ARCH/sts

setup_file() {
    THERE=$BATS_FILE_TMPDIR/sts
    printf '#!/bin/sh\nexec %s %s "$@"\n' "$EMULATOR" "'$PROGRAM'" >"$THERE"
    chmod +x "$THERE"
    export THERE
    start_broker
}

teardown_file() {
    stop_all
}

setup() {
    use_broker
    DIR=$(scratch)
    seq -f 'reading %g' 20 >"$DIR/lines"
}

teardown() {
    stop_all
}

# Both ways: BODY is called with the program that has each part.
each_way() { # BODY
    "$1" "$THERE" "$HERE" there-here
    "$1" "$HERE" "$THERE" here-there
}

make_keys() { # FOLDER A B
    "$2" -k "$1/a.key" >"$1/a.pub"
    "$3" -k "$1/b.key" >"$1/b.pub"
}

# Waits for the end of a program that was started; it has to be a good one.
ended_well() { # PID FILE-OF-ERRORS
    join "$1"
    ((status == 0)) || fail "exit status $status" "$(cat "$2")"
}

@test "a static program for the machine, hardened as the one of this machine" {
    case $ARCH in
        armv*) machine=ARM ;;
        aarch64) machine=AArch64 ;;
        mipsel) machine=MIPS ;;
        i386) machine='Intel 80386' ;;
        s390x) machine='IBM S/390' ;;
    esac
    readelf -hW "$PROGRAM" >"$DIR/head"
    expect_match "$DIR/head" "Machine: +$machine"
    expect_match "$DIR/head" 'Type: +DYN'
    readelf -lW "$PROGRAM" >"$DIR/segments"
    expect_no_match "$DIR/segments" 'INTERP|RWE'
    expect_match "$DIR/segments" '^ +GNU_STACK .* RW '
    expect_match "$DIR/segments" '^ +GNU_RELRO '
    readelf -dW "$PROGRAM" >"$DIR/dynamic"
    expect_no_match "$DIR/dynamic" 'NEEDED|RPATH|RUNPATH|TEXTREL'
    expect_equal "$("$THERE" -V)" "$("$HERE" -V)"
}

@test "keys: what one makes the other reads, and so does wg" {
    keys() {
        "$1" -k "$DIR/$3.key" >"$DIR/$3.pub"
        expect_equal "$("$2" -k "$DIR/$3.key")" "$(cat "$DIR/$3.pub")"
        expect_equal "$(wg pubkey <"$DIR/$3.key")" "$(cat "$DIR/$3.pub")"
    }
    each_way keys
}

@test "pushes: -s and -l, collected with an output file" {
    pushes() {
        local dir=$DIR/$3

        mkdir "$dir"
        make_keys "$dir" "$1" "$2"
        echo "device $(<"$dir/a.pub")" >"$dir/peers"
        push=("$1" "${TO[@]}" -o sts_mode=push -o "key=$dir/a.key" -o "peer=$(<"$dir/b.pub")"
            -o "pubtop=$TOPIC/$3" -o "state=$dir/a.state" -o "spool=$dir/a.spool")
        start "$2" -r -n 21 "${TO[@]}" -o sts_mode=collect -o "key=$dir/b.key" \
            -o "peers=$dir/peers" -o "state=$dir/b.state" -o "subtop=$TOPIC/$3" \
            -o "out=$dir/out" -o "clientid=$3" 2>"$dir/err"
        wait_for subscribed_or_gone "$3" "$BG"
        "${push[@]}" -s 'reading 0'
        "${push[@]}" -l <"$DIR/lines"
        ended_well "$BG" "$dir/err"
        expect_content "$dir/out" "$(echo 'reading 0' && cat "$DIR/lines")"
    }
    each_way pushes
}

@test "files: what one spooled the other sends; states are read by both" {
    files() {
        local dir=$DIR/$3

        mkdir "$dir"
        make_keys "$dir" "$1" "$2"
        echo "device $(<"$dir/a.pub")" >"$dir/peers"
        options=(-o sts_mode=push -o "key=$dir/a.key" -o "peer=$(<"$dir/b.pub")"
            -o "pubtop=$TOPIC/$3" -o "state=$dir/a.state" -o "spool=$dir/a.spool")
        collect=("${TO[@]}" -o sts_mode=collect -o "key=$dir/b.key" -o "peers=$dir/peers"
            -o "state=$dir/b.state" -o "subtop=$TOPIC/$3")
        start "$2" -r -n 1 "${collect[@]}" -o "clientid=files-$3" >"$dir/first" 2>"$dir/err"
        wait_for subscribed_or_gone "files-$3" "$BG"
        "$2" "${TO[@]}" "${options[@]}" -s one
        ended_well "$BG" "$dir/err"
        status=0
        "$1" -o ip=127.0.0.1 -o port=1 "${options[@]}" -s two 2>"$dir/err" || status=$?
        expect_status 75
        "$2" "${TO[@]}" "${options[@]}" -s three
        "$1" -r -n 2 -w "$WAIT_S" "${collect[@]}" -o "clientid=files-$3" >"$dir/rest" 2>"$dir/err"
        expect_content "$dir/first" one
        expect_content "$dir/rest" $'two\nthree'
    }
    each_way files
}

session() { # MASTER SLAVE NAME CIPHER
    local dir=$DIR/$3$4 master=() slave=()

    mkdir "$dir"
    if [[ $4 == chachapoly ]]; then
        make_keys "$dir" "$1" "$2"
        master=(-o "key=$dir/a.key" -o "peer=$(<"$dir/b.pub")")
        slave=(-o "key=$dir/b.key" -o "peer=$(<"$dir/a.pub")")
    fi
    start "$2" -r -n 20 "${TO[@]}" -o sts_mode=slave -o "aes=$4" "${slave[@]}" \
        -o "pubtop=$TOPIC/$3$4/up" -o "subtop=$TOPIC/$3$4/down" -o "clientid=$3$4" \
        >"$dir/out" 2>"$dir/err"
    wait_for subscribed_or_gone "$3$4" "$BG"
    "$1" -l "${TO[@]}" -o sts_mode=master -o "aes=$4" "${master[@]}" \
        -o "pubtop=$TOPIC/$3$4/down" -o "subtop=$TOPIC/$3$4/up" <"$DIR/lines" 2>"$dir/master" ||
        fail "the master: exit status $?" "$(cat "$dir/master")"
    ended_well "$BG" "$dir/err"
    expect_same "$dir/out" "$DIR/lines"
}

@test "sessions: STS/2" {
    sealed() {
        session "$@" chachapoly
    }
    each_way sealed
}

@test "sessions: STS/1, both ciphers" {
    old() {
        session "$@" ecb
        session "$@" cbc
    }
    each_way old
}

@test "a host name" {
    recv_start name -o "subtop=$TOPIC" -n 1
    "$THERE" -o host=localhost -o "port=$PORT" -o "pubtop=$TOPIC" -s hello
    ended_well "$BG" "$(err_of name)"
    expect_content "$(out_of name)" hello
}

@test "the shell runs a script" {
    recv_start shell -o "subtop=$TOPIC" -n 2
    printf '%s\n' "ip = 127.0.0.1" "port = $PORT" "pubtop = $TOPIC" >"$DIR/conf"
    printf '%s\n' "start $DIR/conf" 'send one' 'send !echo two' stop | "$THERE" 2>"$DIR/err" ||
        fail "exit status $?" "$(cat "$DIR/err")"
    ended_well "$BG" "$(err_of shell)"
    expect_content "$(out_of shell)" $'one\ntwo'
}
