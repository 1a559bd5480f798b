# config.bats - config files and -o as the command line shows them: status 78, one line on standard
# error that names file, line and key. Every key and value: test/test_conf.c.
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
    CONF=$(scratch)/conf
}

teardown() {
    stop_all
}

# bad_line WORDS LINE: a file with LINE as its third is refused, with file, line and WORDS (an
# extended regular expression) named.
bad_line() {
    printf '# a comment\nip = 127.0.0.1\n%b\npubtop = t\n' "$2" >"$CONF"
    chmod 600 "$CONF"
    sts -c "$CONF" -s x
    [[ $status == 78 ]] || fail "$2: exit status $status, not 78" "$(show)"
    expect_equal "$(wc -l <"$ERR")" 1
    expect_match "$ERR" "\[ERROR\] # sts: $CONF: line 3: $1"
    expect_empty "$OUT"
}

# bad_option WORDS KEY=VALUE...: these overrides are refused, the last one being named.
bad_option() {
    local words=$1 option options=()

    shift
    for option in "$@"; do
        options+=(-o "$option")
    done
    sts "${options[@]}" -s x
    [[ $status == 78 ]] || fail "$*: exit status $status, not 78" "$(show)"
    expect_equal "$(wc -l <"$ERR")" 1
    expect_match "$ERR" "\[ERROR\] # sts: -o.*$words"
}

# bad_whole WORDS KEY=VALUE...: each is fine, but not together.
bad_whole() {
    local words=$1

    shift
    printf '%s\n' "$@" >"$CONF"
    chmod 600 "$CONF"
    sts -c "$CONF" -s x
    [[ $status == 78 ]] || fail "$*: exit status $status, not 78" "$(show)"
    expect_equal "$(wc -l <"$ERR")" 1
    expect_match "$ERR" "\[ERROR\] # sts: $CONF: .*$words"
}

long() { # COUNT: so many letters
    head -c "$1" /dev/zero | tr '\0' a
}

@test "a line that is no key = value" {
    bad_line "" 'pubtop'
    bad_line "" '= x'
    bad_line "pubtop" 'pubtop ='
}

@test "an unknown key, one of another case" {
    bad_line '.*prot' 'prot = 1883'
    bad_line '.*PORT' 'PORT = 1883'
    bad_line '.*spool_min' 'spool_min = 1'
}

@test "a key given twice, and under two names; the first place is named" {
    bad_line '.*ip.*2' 'ip = 127.0.0.2'
    bad_line '.*host.*2' 'host = localhost'
    bad_line '.*url.*2' 'url = localhost'
}

@test "numbers out of range, and what is none" {
    for line in 'port = 0' 'port = 65536' 'port = 70000' 'port = -1' 'port = x' 'port = 18 83' \
        'port = 0x10' 'port = 99999999999999999999' 'qos = 3' 'qos = -1' 'retain = 2' \
        'retain = yes' 'keepalive = 65536' 'clean_session = 2' 'will_qos = 3' 'will_retain = 2' \
        'timeout = 0' 'timeout = 86401' 'mqtt_version = 5' 'mqtt_version = 2' \
        'mqtt_version = 3.1' 'spool_max = 0' 'spool_max = 1023' 'spool_max = 268435457' \
        'spool_max = 1M'; do
        bad_line "${line%% *}: " "$line"
    done
}

@test "words that are none" {
    bad_line 'sts_mode: .*boss' 'sts_mode = boss'
    bad_line 'sts_mode: ' 'sts_mode = Master'
    bad_line 'aes: .*gcm' 'aes = gcm'
    bad_line 'cipher: .*gcm' 'cipher = gcm'
}

@test "values of 128 bytes are taken, of 129 not; none is cut" {
    sub_start long_sub -t "$(long 128)" -C 1 -F '%t'
    printf 'ip = 127.0.0.1\nport = %s\npubtop = %s\n' "$PORT" "$(long 128)" >"$CONF"
    sts -c "$CONF" -s x
    expect_status 0
    join "$BG"
    expect_content "$(out_of long_sub)" "$(long 128)"
    for key in username clientid will_topic will_msg subtop key state out spool; do
        bad_line "$key: " "$key = $(long 129)"
    done
}

@test "control characters, what is not UTF-8, topics that are none" {
    bad_line 'username: ' 'username = a\001b'
    bad_line 'username: ' 'username = a\377b'
    bad_line 'pubtop: ' 'pubtop = a/+'
    bad_line 'pubtop: ' 'pubtop = #'
    bad_line 'subtop: ' 'subtop = a/#/b'
    bad_line 'subtop: ' 'subtop = a+'
}

@test "a ninth subtop" {
    eight=$(for i in 1 2 3 4 5 6 7 8; do printf 'subtop = %s\n' "$i"; done)
    printf 'ip = 127.0.0.1\n%s\nsubtop = 9\n' "$eight" >"$CONF"
    sts -c "$CONF" -r
    expect_status 78
    expect_match "$ERR" "$CONF: line 10: subtop"
}

@test "the password is never quoted" {
    bad_line 'password: ' "password = Geh31m$(long 129)"
    expect_no_match "$ERR" Geh31m
    bad_option 'password' "password=Geh31m$(long 129)"
    expect_no_match "$ERR" Geh31m
    bad_line '' 'password Geh31m'
    expect_no_match "$ERR" Geh31m
}

@test "the form of a file: blanks, comments, Windows line ends, no last newline" {
    printf '\r\n  # all of it\r\n\tip=127.0.0.1 # here\r\n  port   =\t%s  \r\npubtop = t/x # y' \
        "$PORT" >"$CONF"
    sub_start form2_sub -t t/x -C 1
    sts -c "$CONF" -s x
    expect_status 0
    join "$BG"
    expect_content "$(out_of form2_sub)" x
}

@test "a '#' inside a value is no comment" {
    recv_start hash_recv -o 'subtop=#' -n 1
    pub -q 1 -t "$TOPIC" -m x
    join "$BG"
    expect_status 0
    printf 'ip = 127.0.0.1\nport = %s\nsubtop = h/#\n' "$PORT" >"$CONF"
    pub -q 1 -t h/a/b -r -m kept
    sts -c "$CONF" -r -n 1
    expect_status 0
    expect_content "$OUT" kept
}

@test "a file of more than 8192 bytes: 66, not a part of it" {
    {
        printf 'ip = 127.0.0.1\nport = %s\npubtop = t\n#' "$PORT"
        long 8192
    } >"$CONF"
    sts -c "$CONF" -s x
    expect_status 66
    expect_match "$ERR" "$CONF"
    head -c 8192 "$CONF" >"$CONF.fits"
    sts -c "$CONF.fits" -s x
    expect_status 0
}

@test "an empty file: the broker is missing" {
    : >"$CONF"
    sts -c "$CONF" -s x
    expect_status 78
    expect_match "$ERR" "$CONF: .*ip"
}

@test "-o: refused as in a file, with the option named" {
    bad_option 'prot' 'prot=1'
    bad_option 'port=70000: ' 'port=70000'
    bad_option 'port' 'port=1' 'port=2'
    bad_option 'host' 'ip=a' 'host=b'
    bad_option '' '=x'
}

@test "-o subtop replaces those of the file; several add up" {
    printf 'ip = 127.0.0.1\nport = %s\nsubtop = file/1\nsubtop = file/2\n' "$PORT" >"$CONF"
    for topic in file/1 file/2 option/1 option/2; do
        pub -q 1 -t "$topic" -r -m "$topic"
    done
    sts -c "$CONF" -r -n 2
    expect_status 0
    expect_equal "$(sort "$OUT" | xargs)" 'file/1 file/2'
    sts -c "$CONF" -o subtop=option/1 -o subtop=option/2 -r -n 2
    expect_status 0
    expect_equal "$(sort "$OUT" | xargs)" 'option/1 option/2'
}

@test "eight subtops are eight subscriptions" {
    options=()
    for i in 1 2 3 4 5 6 7 8; do
        pub -q 1 -t "eight/$i" -r -m "$i"
        options+=(-o "subtop=eight/$i")
    done
    sts "${TO[@]}" "${options[@]}" -r -n 8 -w 20
    expect_status 0
    expect_equal "$(sort "$OUT" | xargs)" '1 2 3 4 5 6 7 8'
}

@test "no -c and no broker named: 78" {
    for action in '-s x' -l -r; do
        # shellcheck disable=SC2086
        sts $action </dev/null
        expect_status 78
        expect_match "$ERR" '\[ERROR\].* ip'
    done
}

@test "sending needs a pubtop, receiving a subtop" {
    for action in '-s x' -l; do
        # shellcheck disable=SC2086
        sts "${TO[@]}" -o subtop=t $action </dev/null
        expect_status 78
        expect_match "$ERR" '\[ERROR\].*pubtop'
    done
    sts "${TO[@]}" -o pubtop=t -r
    expect_status 78
    expect_match "$ERR" '\[ERROR\].*subtop'
}

@test "keys that do not go together" {
    bad_whole password ip=a password=p pubtop=t
    bad_whole will_msg ip=a pubtop=t will_msg=x
    bad_whole will_qos ip=a pubtop=t will_qos=1
    bad_whole will_retain ip=a pubtop=t will_retain=1
    bad_whole clientid ip=a pubtop=t clean_session=0
    bad_whole clientid ip=a pubtop=t mqtt_version=3 "clientid=$(long 24)"
    bad_whole aes ip=a pubtop=t aes=cbc
    bad_whole sts_mode ip=a pubtop=t subtop=u sts_mode=master
    bad_whole sts_mode ip=a subtop=u sts_mode=master aes=cbc
    bad_whole sts_mode ip=a pubtop=t sts_mode=slave aes=ecb
    bad_whole subtop ip=a pubtop=t subtop=u subtop=v sts_mode=slave aes=ecb
    bad_whole subtop ip=a pubtop=t subtop=u/# sts_mode=slave aes=ecb
    bad_whole retain ip=a pubtop=t subtop=u sts_mode=slave aes=ecb retain=1
    for key in key=f state=f out=f spool=f spool_max=4096; do
        bad_whole "line 3: ${key%=*}: needs aes = chachapoly" ip=a pubtop=t "$key"
    done
    peer=$(head -c 32 /dev/urandom | base64)
    push=(ip=a pubtop=t sts_mode=push key=f "peer=$peer")
    bad_whole 'line 6: out: goes with collect only' "${push[@]}" out=f
    bad_whole 'line 6: spool_max: needs a spool' "${push[@]}" spool_max=4096
    bad_whole 'line 6: spool: needs qos 1 or 2' "${push[@]}" spool=f qos=0
    bad_whole 'line 7: spool: goes with push only' ip=a subtop=t sts_mode=collect key=f peers=f \
        state=f spool=f
    bad_whole 'line 8: out: goes with collect only' ip=a pubtop=t subtop=u sts_mode=slave \
        aes=chachapoly key=f peers=f out=f
}

@test "a file with a password that others can read: a warning, and it works" {
    printf 'ip = 127.0.0.1\nport = %s\npubtop = t\nusername = u\npassword = Geh31m\n' "$PORT" \
        >"$CONF"
    chmod 644 "$CONF"
    sts -c "$CONF" -s x
    expect_status 0
    expect_match "$ERR" "\[WARN\].*$CONF"
    expect_no_match "$ERR" Geh31m
    chmod 600 "$CONF"
    sts -c "$CONF" -s x
    expect_status 0
    expect_empty "$ERR"
}

@test "the sample config nosec works as it is, but for the port" {
    topic=$(sed -n 's/^pubtop *= *\([^ ]*\).*/\1/p' "$ROOT/config/nosec")
    sub_start sample_sub -t "$topic" -C 1
    sts -c "$ROOT/config/nosec" -o "port=$PORT" -s hello
    expect_status 0
    join "$BG"
    expect_content "$(out_of sample_sub)" hello
}

@test "the sample configs secmaster and secslave fit together" {
    for config in secmaster secslave; do
        expect_equal "$(sed -n 's/^ip *= *\([^ ]*\).*/\1/p' "$ROOT/config/$config")" 127.0.0.1
    done
    start "$STS" -c "$ROOT/config/secslave" -o "port=$PORT" -o clientid=slave -r -n 1 \
        >"$(scratch)/slave.out" 2>"$(scratch)/slave.err"
    wait_for subscribed slave
    sts -c "$ROOT/config/secmaster" -o "port=$PORT" -s 'sealed hello'
    expect_status 0
    expect_match "$ERR" '\[WARN\].*STS/1'
    join "$BG"
    expect_status 0
    expect_content "$(scratch)/slave.out" 'sealed hello'
    expect_match "$(scratch)/slave.err" '\[WARN\].*STS/1'
}
