# shell.bats - the shell: at a pseudo terminal (shell_pty.py), and fed with scripts through pipes.
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
    DIR=$(scratch)
}

teardown() {
    stop_all
}

at_terminal() {
    STS=$STS PORT=$PORT PYTHONDONTWRITEBYTECODE=1 \
        timeout -k 1 120 /usr/bin/python3 "$BATS_TEST_DIRNAME/shell_pty.py" "$@"
}

# conf NAME LINE...: a config file for the broker.
conf() {
    local name=$1

    shift
    printf '%s\n' 'ip = 127.0.0.1' "port = $PORT" "$@" >"$DIR/$name"
}

nosec_conf() {
    conf nosec "subtop = $TOPIC/in" "pubtop = $TOPIC/out" "$@"
}

pair_conf() { # CIPHER
    conf master "pubtop = $TOPIC/m2s" "subtop = $TOPIC/s2m" 'sts_mode = master' "aes = $1"
    conf slave "pubtop = $TOPIC/s2m" "subtop = $TOPIC/m2s" 'sts_mode = slave' "aes = $1"
}

# script [ARGUMENT...]: runs the shell with these arguments, commands from standard input.
script() {
    OUT=$DIR/out
    ERR=$DIR/err
    status=0
    (cd "$DIR" && timeout -k 1 60 "$STS" "$@") >"$OUT" 2>"$ERR" || status=$?
}

# Someone who writes down what is sent.
listen() {
    sub_start "listener$BATS_TEST_NUMBER" -q 1 -t "$TOPIC/out" "$@"
    HEARD=$(out_of "listener$BATS_TEST_NUMBER")
}

# shell_start NAME [ARGUMENT...]: the shell in the background, fed through descriptor 9.
shell_start() {
    local name=$1

    shift
    open_feed
    start "$STS" "$@" <"$FEED" >"$DIR/$name.out" 2>"$DIR/$name.err"
}

established() {
    has_text 'session established' "$DIR/$1.err"
}

# ---- at a terminal ----

@test "terminal: welcome, help, exit" {
    at_terminal welcome_and_help
}

@test "terminal: editing keys, UTF-8" {
    at_terminal editing_keys
}

@test "terminal: history" {
    at_terminal history
}

@test "terminal: a line wider than the terminal scrolls; a resize shows it whole" {
    at_terminal long_line_scrolls
}

@test "terminal: ^L clears the screen and keeps the line" {
    at_terminal clear_screen
}

@test "terminal: messages leave a half typed line intact" {
    at_terminal message_while_typing
}

@test "terminal: log lines leave a half typed line intact" {
    at_terminal log_line_while_typing
}

@test "terminal: start, status with the password masked, stop, start again" {
    at_terminal start_status_stop
}

@test "terminal: an unknown word is not executed" {
    at_terminal unknown_word_is_not_run
}

@test "terminal: !program has the terminal in cooked mode, and gives it back" {
    at_terminal programs
}

@test "terminal: while a program runs the session is served, and Ctrl-C is for the program" {
    at_terminal interrupt_is_for_the_program
}

@test "terminal: send !program" {
    at_terminal send_program
}

@test "terminal: send and sendenc where the other is right, or too early" {
    at_terminal wrong_send
}

@test "terminal: a start that fails leaves the prompt" {
    at_terminal start_that_fails
}

@test "terminal: two shells, master and slave, ecb; stop sends KILL; a waiting slave is stopped" {
    at_terminal two_shells_ecb
}

@test "terminal: two shells, master and slave, cbc; the slave stops" {
    at_terminal two_shells_cbc
}

@test "terminal: Ctrl-C sends KILL and restores the terminal" {
    at_terminal ctrl_c
}

@test "terminal: ^D sends KILL and restores the terminal" {
    at_terminal end_of_input
}

@test "terminal: exit sends KILL and restores the terminal" {
    at_terminal exit_command
}

@test "terminal: SIGTERM sends KILL and restores the terminal" {
    at_terminal sigterm
}

@test "terminal: SIGHUP sends KILL and restores the terminal" {
    at_terminal sighup
}

@test "terminal: SIGTERM while a program runs ends both" {
    at_terminal sigterm_while_a_program_runs
}

@test "terminal: control characters of a payload do not reach it" {
    at_terminal hostile_payload
}

@test "terminal: a long payload keeps its characters whole" {
    at_terminal hostile_payload_in_pieces
}

@test "terminal: with standard output in a file the prompt is on standard error" {
    at_terminal payload_to_a_file
}

# ---- scripts ----

@test "script: start, send, end: all was sent, in order, status 0, nothing but the log" {
    nosec_conf
    listen
    script <<<$'start nosec\nsend one\n  send   two  words \nsend three'
    expect_status 0
    wait_for has_lines 3 "$HEARD"
    expect_content "$HEARD" $'one\ntwo  words \nthree'
    expect_empty "$OUT"
    expect_match "$ERR" 'session stopped'
    expect_no_match "$ERR" $'\033|^> '
}

@test "script: -c starts the session; exit ends it; what is behind exit is not done" {
    nosec_conf
    listen
    script -c nosec <<<$'send one\nexit\nsend two'
    expect_status 0
    wait_for has_lines 1 "$HEARD"
    pub -t "$TOPIC/out" -m end
    wait_for has_lines 2 "$HEARD"
    expect_content "$HEARD" $'one\nend'
}

@test "script: 500 messages at each QoS, more than can be in flight" {
    local qos

    listen
    seq -f "send %g" 500 >"$DIR/commands"
    for qos in 0 1 2; do
        nosec_conf "qos = $qos"
        script -c nosec <"$DIR/commands"
        expect_status 0
        seq 500 >>"$DIR/expected"
        wait_for has_lines "$(wc -l <"$DIR/expected")" "$HEARD"
        expect_same "$HEARD" "$DIR/expected"
    done
}

@test "script: stop and start again" {
    nosec_conf
    listen
    script <<<$'start nosec\nsend one\nstop\nstart nosec\nsend two\nstop\nstatus'
    expect_status 0
    wait_for has_lines 2 "$HEARD"
    expect_content "$HEARD" $'one\ntwo'
    expect_match "$ERR" 'status: +OFFLINE'
}

@test "script: the status is that of the first command that failed, the others are done" {
    nosec_conf
    listen
    script <<<$'nonsense\nstart nosec\nsend !false\nsend one'
    expect_status 64
    wait_for has_lines 1 "$HEARD"
    expect_content "$HEARD" one
    script <<<$'start nosec\nsend !false\nnonsense'
    expect_status 65
}

@test "script: an unknown word is not executed" {
    printf '#!/bin/sh\ntouch "%s/trace"\n' "$DIR" >"$DIR/canary"
    chmod +x "$DIR/canary"
    PATH=$DIR:$PATH script <<<canary
    expect_status 64
    expect_match "$ERR" 'unknown command: canary'
    [[ ! -e $DIR/trace ]]
    PATH=$DIR:$PATH script <<<'!canary'
    expect_status 0
    [[ -e $DIR/trace ]]
}

@test "script: each mistake has its status and its words" {
    local command expected words

    nosec_conf
    while IFS='|' read -r command expected words; do
        echo "command: $command"
        script <<<"${command//;/$'\n'}"
        expect_status "$expected"
        expect_match "$ERR" "$words"
    done <<'TABLE'
stop|64|stop: no session is running
send x|64|send: no session is running
sendenc x|64|sendenc: no session is running
start|64|start: give it one config file
start a b|64|start: give it one config file
start 'a|64|start: give it one config file
status now|64|status: takes no argument
start nosec;start nosec|64|start: a session is running
start nosec;send|64|send: the message is missing
start nosec;sendenc x|64|encryption is off: use 'send'
start /nonexistent|66|cannot read /nonexistent
!|64|the program is missing
!echo 'a|64|a quote is not closed
!/nonexistent x|66|cannot run /nonexistent: No such file
!/etc/passwd|66|cannot run /etc/passwd: Permission denied
!sh -c 'exit 7'|65|sh ended with status 7
!sh -c 'kill -9 $$'|65|sh was ended by signal 9
start nosec;send !/nonexistent|66|cannot run /nonexistent
start nosec;send !true|65|nothing was sent: true printed nothing
TABLE
}

@test "script: a config without pubtop cannot send" {
    conf nosec "subtop = $TOPIC"
    script -c nosec <<<'send x'
    expect_status 78
    expect_match "$ERR" 'nosec: no pubtop to send to'
}

@test "script: send in an encrypted mode is refused" {
    pair_conf ecb
    open_feed
    recv_start "slave$BATS_TEST_NUMBER" -c "$DIR/slave" <"$FEED"
    script -c master <<<'send in the clear'
    expect_status 64
    expect_match "$ERR" "encryption is on: use 'sendenc'"
    close_feed
}

@test "script: with -c a start that fails ends it at once, with the status that says why" {
    script -c /nonexistent <<<'!echo done'
    expect_status 66
    expect_empty "$OUT"
    conf bad 'nonsense = 1'
    script -c bad <<<'!echo done'
    expect_status 78
    expect_empty "$OUT"
    conf down 'subtop = x' 'port = 1'
    sed -i "/port = $PORT/d" "$DIR/down"
    script -c down <<<'!echo done'
    expect_status 69
    expect_empty "$OUT"
}

@test "script: a session that does not start is the failure, later commands are done" {
    conf down 'subtop = x' 'pubtop = x' 'port = 1'
    sed -i "/port = $PORT/d" "$DIR/down"
    script <<<$'start down\nsend x\n!echo done'
    expect_status 69
    expect_content "$OUT" 'done'
}

@test "script: -o counts for every start" {
    nosec_conf
    listen
    script -o "pubtop=$TOPIC/out" -o 'qos=2' <<<$'start nosec\nstatus\nsend one'
    expect_status 0
    expect_match "$ERR" 'qos: +2$'
    wait_for has_lines 1 "$HEARD"
}

@test "script: a line of 1024 bytes is done, a longer one is not" {
    local text

    nosec_conf
    listen
    text=$(printf 'x%.0s' {1..1019})
    script -c nosec <<<"send $text"
    expect_status 0
    wait_for has_lines 1 "$HEARD"
    expect_content "$HEARD" "$text"
    script -c nosec <<<"send x$text"$'\nsend next'
    expect_status 65
    expect_match "$ERR" 'longer than 1024 bytes: not done'
    wait_for has_lines 2 "$HEARD"
    expect_content "$HEARD" "$text"$'\nnext'
}

@test "script: a command with a zero byte is not done" {
    script < <(printf '!echo a\0b\n')
    expect_status 65
    expect_empty "$OUT"
}

@test "script: the last line may lack its newline; empty input is no failure" {
    script < <(printf '!echo one\n\n!echo two')
    expect_status 0
    expect_content "$OUT" $'one\ntwo'
    script </dev/null
    expect_status 0
}

@test "script: !program gets its arguments and no input" {
    {
        printf '%s\n' '!printf "%s|" a "b  c" '"'d  e'"' f"g h"i ""' '!cat'
        printf '\n%.0s' {1..1000} # more than is read ahead
        echo '!echo end'
    } >"$DIR/commands"
    script <"$DIR/commands"
    expect_status 0
    expect_content "$OUT" 'a|b  c|d  e|fg hi||end'
}

@test "script: SIGTERM ends the program that runs, too" {
    shell_start shell
    echo "!sh -c 'echo \$\$ >$DIR/pid; exec sleep 1000'" >&9
    wait_for test -s "$DIR/pid"
    kill -TERM "$BG"
    join "$BG"
    expect_status 0
    wait_for gone "$(cat "$DIR/pid")"
    close_feed
}

@test "script: send !program sends all it prints as one message, without the last newline" {
    nosec_conf
    listen -F %x
    script -c nosec <<<$'send !printf "a\\nb\\n\\n"\nsend !printf "\\n"\nsend !printf "\\001\\377"'
    expect_status 0
    wait_for has_lines 3 "$HEARD"
    expect_content "$HEARD" $'610a620a\n\n01ff'
}

@test "script: send !program takes as much as a message may have, and no more" {
    nosec_conf
    listen -F %l
    script -c nosec <<<'send !head -c 16384 /dev/zero'
    expect_status 0
    # A newline that ends the message does not count.
    script -c nosec <<<"send !sh -c 'head -c 16384 /dev/zero; echo'"
    expect_status 0
    script -c nosec <<<'send !head -c 16385 /dev/zero'
    expect_status 65
    expect_match "$ERR" 'nothing was sent: the message has 16385 bytes, this session takes 16384'
    script -c nosec <<<'send !yes'
    expect_status 65
    expect_match "$ERR" 'nothing was sent: yes printed more than 16384 bytes'
    script -c nosec <<<'send end'
    wait_for has_lines 3 "$HEARD"
    expect_content "$HEARD" $'16384\n16384\n3'
}

@test "script: send !program does not wait for what the program leaves behind" {
    nosec_conf
    listen
    script -c nosec <<<"send !sh -c 'echo reading; sleep 20 & echo \$! >pid'"
    expect_status 0
    alive "$(cat "$DIR/pid")"
    kill "$(cat "$DIR/pid")"
    wait_for has_lines 1 "$HEARD"
    expect_content "$HEARD" reading
}

@test "script: a message of STS/1 that is too long is refused" {
    pair_conf cbc
    open_feed
    recv_start "slave$BATS_TEST_NUMBER" -c "$DIR/slave" <"$FEED"
    script -c master <<<$'sendenc !printf %01100d 0\nsendenc fits'
    expect_status 65
    expect_match "$ERR" 'nothing was sent: the message has 1100 bytes, this session takes [0-9]+$'
    wait_for has_lines 1 "$(out_of "slave$BATS_TEST_NUMBER")"
    expect_content "$(out_of "slave$BATS_TEST_NUMBER")" fits
    close_feed
}

@test "script: payloads go to a pipe or file as they are" {
    nosec_conf
    shell_start shell -c "$DIR/nosec"
    wait_for has_text 'subscribed to' "$DIR/shell.err"
    printf 'a\033[2J\377\0b' | pub -t "$TOPIC/in" -q 1 -s
    head -c 16384 /dev/urandom >"$DIR/large"
    pub -t "$TOPIC/in" -q 1 -f "$DIR/large"
    printf 'a\033[2J\377\0b\n' >"$DIR/expected"
    { cat "$DIR/large"; echo; } >>"$DIR/expected"
    wait_for cmp -s "$DIR/shell.out" "$DIR/expected"
    close_feed
    join "$BG"
    expect_status 0
}

@test "script: two shells, master and slave, in both ciphers" {
    local cipher

    for cipher in ecb cbc; do
        pair_conf "$cipher"
        shell_start "slave$cipher" -c "$DIR/slave"
        wait_for has_text 'waiting for a master' "$DIR/slave$cipher.err"
        script <<<$'start master\nsendenc one\nsendenc !echo two\nstatus'
        expect_status 0
        expect_match "$ERR" "AES-$cipher-256"
        wait_for has_text 'the master ended the session' "$DIR/slave$cipher.err"
        expect_content "$DIR/slave$cipher.out" $'one\ntwo'
        close_feed
        join "$BG"
        expect_status 0
    done
}

@test "script: a slave's script waits for its master" {
    pair_conf cbc
    printf 'start slave\nsendenc from the slave\n!sleep 2\n' >"$DIR/commands"
    (cd "$DIR" && start "$STS" <commands >slave.out 2>slave.err && wait "$BG") &
    PIDS+=("$!")
    wait_for has_text 'waiting for a master' "$DIR/slave.err"
    shell_start master -c "$DIR/master"
    wait_for has_lines 1 "$DIR/master.out"
    expect_content "$DIR/master.out" 'from the slave'
    wait_for has_text 'the slave ended the session' "$DIR/master.err"
    close_feed
    join "$BG"
    expect_status 0
}

@test "script: a slave without a master, a master without a slave: 75 after timeout" {
    pair_conf cbc
    script -o timeout=1 -c slave <<<'sendenc x'
    expect_status 75
    script -o timeout=1 -c master <<<'sendenc x'
    expect_status 75
}

@test "script: signals and end of input send KILL, status 0" {
    local how

    pair_conf ecb
    for how in INT TERM HUP end; do
        shell_start "slave$how" -c "$DIR/slave"
        SLAVE=$BG
        wait_for has_text 'waiting for a master' "$DIR/slave$how.err"
        start "$STS" -r -c "$DIR/master" >/dev/null 2>"$DIR/master$how.err"
        MASTER=$BG
        wait_for established "slave$how"
        if [[ $how == end ]]; then close_feed; else kill -"$how" "$SLAVE"; fi
        join "$SLAVE"
        expect_status 0
        wait_for has_text 'the slave ended the session' "$DIR/master$how.err"
        join "$MASTER"
        close_feed
    done
}

@test "script: a reader who stops reading does not keep it from ending, status 74" {
    nosec_conf
    open_drain
    exec 7<>"$DRAIN"
    drain_only
    mkfifo "$DIR/feed"
    exec 9<>"$DIR/feed"
    env --default-signal=INT,QUIT,PIPE "$STS" -c "$DIR/nosec" <"$DIR/feed" >"$DRAIN" \
        2>"$DIR/shell.err" 3>&- 7>&- 8<&- 9>&- &
    BG=$!
    PIDS+=("$BG")
    wait_for has_text 'subscribed to' "$DIR/shell.err"
    head -c 16000 /dev/urandom >"$DIR/large"
    for _ in {1..12}; do
        pub -t "$TOPIC/in" -q 1 -f "$DIR/large"
    done
    kill -TERM "$BG"
    join "$BG"
    exec 7<&-
    close_drain
    expect_status 74
    expect_match "$DIR/shell.err" 'a message was not written to standard output: it would block'
}

@test "script: standard output is closed: 74, and the message is not acknowledged" {
    nosec_conf 'clientid = full' 'clean_session = 0'
    mkfifo "$DIR/feed"
    exec 9<>"$DIR/feed"
    start "$STS" -c "$DIR/nosec" <"$DIR/feed" >/dev/full 2>"$DIR/shell.err"
    wait_for has_text 'subscribed to' "$DIR/shell.err"
    pub -t "$TOPIC/in" -q 1 -m precious
    join "$BG"
    expect_status 74
    expect_match "$DIR/shell.err" 'not written to standard output: No space left'
    shell_start again -c "$DIR/nosec"
    wait_for has_lines 1 "$DIR/again.out"
    expect_content "$DIR/again.out" precious
    close_feed
    join "$BG"
}

@test "script: the broker goes: 69 or 75, and the end" {
    nosec_conf
    start_broker
    conf own 'subtop = x' 'pubtop = x' 'timeout = 2'
    open_feed
    start "$STS" -c "$DIR/own" <"$FEED" >"$DIR/shell.out" 2>"$DIR/shell.err"
    SHELL_PID=$BG
    wait_for has_text 'subscribed to' "$DIR/shell.err"
    kill_broker
    echo 'send x' >&9
    close_feed
    join "$SHELL_PID"
    [[ $status == 69 || $status == 75 ]] || fail "exit status $status"
}

@test "-q: status is shown all the same" {
    nosec_conf
    script -q -c nosec <<<status
    expect_status 0
    expect_match "$ERR" 'status: +ONLINE'
    # The command after a start waits until the session is there.
    expect_match "$ERR" 'state: +connected'
    expect_no_match "$ERR" 'subscribed'
}
