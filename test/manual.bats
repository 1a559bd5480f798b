# manual.bats - the manuals, `sts -h`, the completions and the README, held against the program and
# against each other; the manuals' examples, run.
#
# What the program knows is asked from the program: a flag or a key that is added to it and to no
# manual fails here.
# shellcheck disable=SC2030,SC2031,SC2153,SC2317

load lib

CONF_5=$ROOT/doc/sts.conf.5
STS_1=$ROOT/doc/sts.1

setup() {
    DIR=$(scratch)/etc
    mkdir -p "$DIR"
}

teardown() {
    stop_all
}

# ---- what the program knows ----

known_flags() {
    local flag

    for flag in {a..z} {A..Z} {0..9}; do
        "$STS" "-$flag" </dev/null 2>&1 | grep -q 'is no flag of sts' || echo "$flag"
    done
}

# Every name that conf.c has, aliases too.
known_keys() {
    {
        sed -nE 's/^ +X\(CONF_[A-Z0-9_]+, "([a-z0-9_]+)"\).*/\1/p' "$ROOT/conf.h"
        sed -nE 's/^ +\{"([a-z0-9_]+)", CONF_[A-Z_]+\},/\1/p' "$ROOT/conf.c"
    } | sort
}

# What the program says of a value of this key.
complaint() { # KEY VALUE
    "$STS" -o "$1=$2" -s x 2>&1 || true
}

# The words that a key takes, from the message that lists them.
known_words() { # KEY
    complaint "$1" '?' | sed -nE 's/.* is not ([a-z, ]+)$/\1/p' | sed 's/ or /, /; s/, /\n/g' | sort
}

known_commands() {
    sed -nE 's/\{"([a-z]+)", (true|false), [A-Z]+\},/\n@\1\n/gp' "$ROOT/shell_commands.c" |
        sed -n 's/^@//p' | sort
}

# ---- what the texts say ----

# The source of one section (.Sh) or subsection (.Ss) of a manual.
section() { # FILE HEADING
    awk -v heading="$2" '
        /^\.S[hs] / { inside = substr($0, 5) == heading; next }
        inside' "$1"
}

# The examples, each with a line of its own, "@", in front.
examples() { # FILE
    awk '/^\.Sh / { inside = $2 == "EXAMPLES" }
        /^\.Bd -literal/ { literal = inside; if (literal) print "@"; next }
        /^\.Ed/ { literal = 0 }
        literal' "$1" | sed 's/\\e/\\/g'
}

manual_flags() {
    section "$STS_1" DESCRIPTION | sed -nE 's/^\.It Fl (.).*/\1/p' | sort
}

manual_keys() {
    sed -nE 's/^\.It Ic (.*)/\1/p' "$CONF_5" | sed 's/ , \(Ic \)\?/\n/g' | sort
}

# The entry of a key, up to the next one.
entry() { # KEY
    awk -v key="$1" '/^\.It Ic |^\.S[hs] / { inside = $0 ~ "^\\.It Ic (.* )?" key "( |$)" }
        inside' "$CONF_5"
}

# The rows of README's table of keys: the table's own head and rule left out.
readme_rows() {
    sed -n '/^## Config file/,/^## /p' "$ROOT/README.md" | grep '^|' | tail -n +3
}

readme_keys() {
    readme_rows | cut -d '|' -f 2 | sed 's/(or//; s/)//' | tr -s ' ,' '\n' | grep . | sort
}

bash_says() { # VARIABLE
    bash -c "complete() { :; }; . '$ROOT/completions/sts.bash'; printf '%s\n' \$$1" | sort
}

zsh_flags() {
    sed -nE "s/^ +'(\([^)]*\))?\*?-([a-zA-Z0-9])\+?\[.*/\2/p" "$ROOT/completions/_sts" | sort
}

zsh_keys() {
    sed -n '/-a keys=(/,/^ *)/p' "$ROOT/completions/_sts" | sed '1d; $d' | tr -s ' ' '\n' |
        grep . | sort
}

expect_sets() { # WHAT GOT EXPECTED
    [[ $2 == "$3" ]] || fail "$1:" "$(diff <(echo "$2") <(echo "$3") || true)"
}

# ---- the manuals ----

@test "mandoc -Tlint finds nothing, style included" {
    run mandoc -Tlint -W all "$STS_1" "$CONF_5"
    expect_equal "$output" ''
    expect_equal "$status" 0
}

@test "the manuals fit 80 columns" {
    for manual in "$STS_1" "$CONF_5"; do
        mandoc -Tascii -O width=78 "$manual" | sed 's/.\x08//g' >"$(scratch)/text"
        expect_match "$(scratch)/text" '^SEE ALSO'
        expect_no_match "$(scratch)/text" '^.{81}'
    done
}

# ---- flags ----

@test "sts -h fits one screen" {
    sts -h
    expect_within "$(wc -l <"$OUT")" 10 24
    expect_no_match "$OUT" '^.{81}'
}

@test "the program, its help, manual and completions know the same flags" {
    local flags synopsis

    flags=$(known_flags | sort)
    expect_within "$(wc -w <<<"$flags")" 13 62
    sts -h
    expect_sets 'sts -h' "$(sed -n '2,/^exit status/p' "$OUT" | sed -E 's/(^ +|  )-/\n@/g' |
        sed -nE 's/^@([a-zA-Z0-9])( .*|$)/\1/p' | sort)" "$flags"
    expect_sets 'OPTIONS in sts(1)' "$(manual_flags)" "$flags"
    expect_sets 'sts.bash' "$(bash_says _sts_flags)" \
        "$(xargs printf -- '-%s\n' <<<"$flags" | sort)"
    expect_sets '_sts' "$(zsh_flags)" "$flags"
    synopsis=$(mandoc -Tascii "$STS_1" | sed 's/.\x08//g' | sed -n '/^SYNOPSIS/,/^DESCRIPTION/p')
    for flag in $flags; do
        [[ $synopsis =~ -${flag}[^a-z] ]] || fail "SYNOPSIS lacks -$flag" "$synopsis"
        expect_match "$ROOT/README.md" "^ {4,6}(sts .*|-[a-zA-Z]  )?-$flag( |$)"
    done
}

@test "exit statuses: the code, sts -h, sts(1) and the README have the same" {
    local numbers names

    sts -h
    numbers=$(sed -n '/^exit status/,$p' "$OUT" | grep -Eo '\b[0-9]+\b' | sort -n)
    expect_sets 'sts(1)' \
        "$(section "$STS_1" 'EXIT STATUS' | sed -nE 's/^\.It ([0-9]+).*/\1/p')" "$numbers"
    expect_sets 'README' "$(sed -n '/^### Exit status/,/^## /p' "$ROOT/README.md" |
        cut -d '|' -f 2 | grep -Eo '\b[0-9]+\b')" "$numbers"
    names=$(cat "$ROOT"/*.c | grep -Eo '\bEX_[A-Z]+\b' | sort -u)
    expect_sets 'names in sts(1)' "$({ echo EX_OK
        section "$STS_1" 'EXIT STATUS' | sed -nE 's/^\.It .* Dv (EX_[A-Z]+)$/\1/p'; } | sort)" \
        "$names"
    # Each name beside its number.
    for name in $names; do
        number=$(echo "$name" | gcc -include sysexits.h -E -P -x c - | tail -1)
        [[ $number == 0 ]] || grep -q "^\.It $number Pq Dv $name\$" "$STS_1" ||
            fail "$name is $number"
    done
}

# ---- config keys ----

@test "the program, sts.conf(5), completions and README know the same keys" {
    local keys

    keys=$(known_keys)
    expect_within "$(wc -w <<<"$keys")" 30 99
    for key in $keys; do
        [[ $(complaint "$key" '') != *'unknown key'* ]] || fail "the program does not know $key"
    done
    [[ $(complaint no_key '') == *'unknown key'* ]]
    expect_sets 'sts.conf(5)' "$(manual_keys)" "$keys"
    expect_sets 'README' "$(readme_keys)" "$keys"
    expect_sets 'sts.bash' "$(bash_says _sts_config_keys)" "$keys"
    expect_sets '_sts' "$(zsh_keys)" "$keys"
}

@test "words that a key takes: sts.conf(5) and completions have all of them" {
    local key words

    "$STS" -V | grep -q STS/1 || skip 'this build has no STS/1'
    for key in sts_mode aes; do
        words=$(known_words $key)
        expect_within "$(wc -w <<<"$words")" 4 9
        expect_sets "$key in sts.conf(5)" \
            "$(entry $key | sed -nE 's/^\.It Cm (.*)/\1/p' | sed 's/ , /\n/g' | sort)" "$words"
        expect_sets "$key in sts.bash" "$(bash -c '
            complete() { :; }; compopt() { :; }; . "$1"; _sts_value "$2" ""
            printf "%s\n" "${COMPREPLY[@]}"' - "$ROOT/completions/sts.bash" $key | sort)" "$words"
        expect_sets "$key in _sts" "$(sed -nE "/^ +$key( \||\))/,/;;/p" "$ROOT/completions/_sts" |
            sed -nE "s/^ +'([a-z]+)\[.*/\1/p" | sort)" "$words"
    done
}

@test "ranges and defaults: sts.conf(5) has those of the program" {
    local key range checked=0 default

    for key in $(known_keys); do
        range=$(complaint "$key" x |
            sed -nE 's/.* is not a number from ([0-9]+) to ([0-9]+)$/\1 \2/p')
        for number in $range; do
            entry "$key" | grep -qw -- "$number" || fail "$key: no $number in" "$(entry "$key")"
            checked=$((checked + 1))
        done
    done
    expect_within $checked 20 99
    checked=0
    while read -r key default; do
        entry "$key" | grep -q "^Default: ${default}[.;]" || fail "$key: default $default, not" \
            "$(entry "$key" | grep Default)"
        readme_rows | grep -Eq "^\| $key \|.*\| $default(;.*)? \|$" || fail "README: $key: $default"
        checked=$((checked + 1))
    done < <(
        sed -nE 's/^    conf->([a-z]+)(_s)? = ([0-9]+);/\1 \3/p' "$ROOT/conf.c"
        sed -nE 's/^#define SPOOL_DEFAULT_BYTES ([0-9]+)$/spool_max \1/p' "$ROOT/limits.h"
    )
    expect_within $checked 5 99
}

# The table of modes: a mode a line, with what it says of each column, or "-".
modes_table() {
    section "$CONF_5" 'Which goes with which mode' | grep '^\.It [a-z]' |
        sed 's/^\.It //; s/ Ta//g; s/^ecb, cbc/ecb/'
}

# Exit status, and what was said. -s or -r, whichever the mode has: port 1 of loopback has no broker.
mode_says() { # OPTION...
    local result=0 action=(-s x)

    [[ $* != *sts_mode=collect* ]] || action=(-r)
    [[ $* != *sts_mode=nosec* || $* == *pubtop=* ]] || set -- -o pubtop=a "$@"
    rm -f "$DIR/state" "$DIR/spool" "$DIR/out"
    "$STS" -o ip=127.0.0.1 -o port=1 "$@" "${action[@]}" >"$(scratch)/said" 2>&1 </dev/null ||
        result=$?
    echo "$result $(cat "$(scratch)/said")"
}

# One cell of the table, held against what the program says. OPTION...: what the mode must have.
check_cell() { # CELL KEY VALUE OPTION...
    local cell=$1 key=$2 value=$3 said option kept=()

    shift 3
    case $cell in
        - | may) said=$(mode_says "$@" -o "$key=$value") ;;
        must | one)
            for option in "$@"; do
                [[ $option == "$key="* || $option == -o ]] || kept+=(-o "$option")
            done
            said=$(mode_says "${kept[@]}") ;;
    esac
    case $cell in
        - | must | one) [[ $said == 78* && $said == *"$key"* ]] ;;
        may) [[ $said =~ ^(69|75) ]] ;;     # no more than that there is no broker
        or) ;;
        *) false ;;
    esac || fail "$key is \"$cell\" with $*, but:" "$said"
}

@test "the table of modes in sts.conf(5) is the one that the program goes by" {
    local columns values mode cells options i checked=0

    "$STS" -V | grep -q STS/1 || skip 'this build has no STS/1'
    columns=(pubtop subtop key peer peers psk state spool out)
    values=(a b "$DIR/own.key" "$("$STS" -k "$DIR/peer.key")" "$DIR/peers"
        "$("$STS" -k "$DIR/psk.key")" "$DIR/state" "$DIR/spool" "$DIR/out")
    "$STS" -k "$DIR/own.key" >/dev/null
    echo "device ${values[3]}" >"$DIR/peers"
    while read -r mode cells; do
        read -ra cells <<<"$cells"
        expect_equal ${#cells[@]} ${#columns[@]}
        case $mode in
            ecb) options=(-o sts_mode=master -o aes=ecb) ;;
            slave) options=(-o sts_mode=slave -o aes=chachapoly -o "peer=${values[3]}") ;;
            master) options=(-o sts_mode=master -o aes=chachapoly) ;;
            *) options=(-o "sts_mode=$mode") ;;
        esac
        for i in "${!columns[@]}"; do
            [[ ${cells[i]} != must && ${cells[i]} != one ]] ||
                options+=(-o "${columns[i]}=${values[i]}")
        done
        check_cell may retain 0 "${options[@]}"     # what must be there suffices
        for i in "${!columns[@]}"; do
            check_cell "${cells[i]}" "${columns[i]}" "${values[i]}" "${options[@]}"
            checked=$((checked + 1))
        done
    done < <(modes_table)
    expect_equal $checked $((6 * 9))
}

@test "limits that the manuals name are those of limits.h" {
    local limit value

    for limit in MESSAGE_MAX_BYTES CONF_VALUE_MAX_CHARS CONF_FILE_MAX_BYTES CONF_SUBTOPS_MAX \
        OPTIONS_OVERRIDES_MAX CLIENT_FLIGHTS_MAX SHELL_HISTORY_LINES PEERS_MAX PEER_NAME_MAX_CHARS \
        MQTT31_CLIENT_ID_MAX_CHARS CONF_TIMEOUT_MAX_S SHELL_ARGS_MAX SHELL_LINE_MAX_BYTES \
        SPOOL_MIN_BYTES SPOOL_MAX_BYTES; do
        value=$(sed -nE "s/^#define $limit ([0-9]+)( .*|$)/\1/p" "$ROOT/limits.h")
        [[ -n $value ]] || fail "no $limit in limits.h"
        grep -qw -- "$value" "$STS_1" "$CONF_5" || fail "no manual has $limit, $value"
    done
}

# ---- the shell ----

@test "the shell, its help and sts(1) know the same commands" {
    local commands

    commands=$(known_commands)
    expect_within "$(wc -w <<<"$commands")" 7 99
    printf 'help\n' | "$STS" >"$(scratch)/help" 2>&1
    for command in $commands; do
        ! printf '%s\n' "$command" | "$STS" 2>&1 | grep -q 'unknown command' || fail "$command"
    done
    expect_sets 'help' "$(sed -nE 's/^\| ([a-z]+)( [A-Z]+)?  .*/\1/p' "$(scratch)/help" |
        sort -u)" "$commands"
    expect_match "$(scratch)/help" '^\| !PROGRAM '
    expect_sets 'sts(1)' "$(section "$STS_1" Commands | sed -nE 's/^\.It Ic ([a-z]+).*/\1/p' |
        sort -u)" "$commands"
    section "$STS_1" Commands | grep -q '^\.It \\&! Ns Ar program'
}

@test "the control keys of the line editor are in sts(1)" {
    expect_sets 'sts(1)' "$(section "$STS_1" Keys | grep -Eo '\^[A-Z]' | sort -u)" \
        "$(sed -nE "s/^ +case CTRL\('([A-Z])'\):/^\1/p" "$ROOT/line.c" | sort)"
}

# ---- diagnostics ----

@test "each message of DIAGNOSTICS is one that the program has" {
    local message fragment checked=0

    "$STS" -V | grep -q STS/1 || skip 'this build has no STS/1'
    while read -r message; do
        # The parts between what stands for a value.
        while read -r fragment; do
            ((${#fragment} > 5)) || continue
            grep -qaF -- "$fragment" "$STS" || fail "the program never says: $fragment"
            checked=$((checked + 1))
        done < <(sed -E 's/\b[A-Z]{4,}\b|pubtop|\b[0-9]+ s$|\\-s|: | ?\.\.\.$/\n/g' <<<"$message")
    done < <(section "$STS_1" DIAGNOSTICS | sed -nE 's/^\.It "(.*)".*/\1/p')
    expect_within $checked 10 99
}

# ---- examples ----

# Writes the configs of sts.conf(5), each to the file that its first line names.
write_configs() {
    local file="" line other

    while IFS= read -r line; do
        case $line in
            @) file= ;;
            '# /etc/sts/'*) file=$DIR/${line##*/}
                printf 'port = %s\n' "$PORT" >"$file"
                chmod 600 "$file" ;;
            *'# sts -k '*) other=$DIR/${line##* }
                echo "peer = $("$STS" -k "$other")" >>"$file" ;;
            *) sed "s,broker\.example,127.0.0.1,; s,/etc/sts/,$DIR/,g" <<<"$line" >>"$file" ;;
        esac
    done < <(examples "$CONF_5")
}

# A script of the examples of sts(1). What runs in the background is subscribed before it goes on.
write_script() {
    cat <<'SH'
set -eu
subscriptions=0
trap 'kill $(jobs -p)' EXIT
settled() {
    subscriptions=$((subscriptions + 1))
    until [ "$(grep -c 'Sending SUBACK' "$BROKER_LOG")" -ge $subscriptions ]; do
        kill -0 $!
        sleep 0.05
    done
}
SH
    examples "$STS_1" | sed -E "/^@/d; s,^\*/5( \*){4} +,,; s,/etc/sts/,$DIR/,g
        s/broker\.example/127.0.0.1 -o port=$PORT/; s/&$/\&\nsettled/"
    cat <<'SH'
until [ "$(wc -l <heard)" -ge 2 ] && [ "$(wc -l <readings.json)" -ge "$EXPECTED" ]; do
    sleep 0.05
done
SH
}

@test "the examples of both manuals run, and do what they say" {
    start_broker
    write_configs
    (($(find "$DIR" -maxdepth 1 -name '*.key' | wc -l) == 3)) || fail "keys:" "$(ls "$DIR")"
    for file in push collect master slave nosec secmaster secslave; do
        [[ -s $DIR/$file ]] || fail "no example of $file"
    done
    cd "$(scratch)"
    write_script >script
    expect_match script '^settled$'
    EXPECTED=$((3 + $(df -P | wc -l))) PATH=${STS%/*}:$PATH \
        timeout -k 5 120 bash script >out 2>err 3>&- || fail "$(cat script err)"
    grep -qax '21.5 C' out
    expect_equal "$(sed -n 1p heard)" '21.5 C'
    expect_equal "$(sed -n 2p heard)" "$(uname -a)"
    /usr/bin/python3 - <<'PY'
import json
readings = [json.loads(line) for line in open("readings.json")]
assert {r["peer"] for r in readings} == {"device1"}, readings
assert readings[0]["payload"] == "21.5 C", readings[0]
PY
    expect_empty err || expect_no_match err 'ERROR'
}

@test "the other examples of sts.conf(5) run: in the clear, and STS/1" {
    "$STS" -V | grep -q STS/1 || skip 'this build has no STS/1'
    start_broker
    write_configs
    for ends in 'nosec nosec' 'secslave secmaster'; do
        start "$STS" -c "$DIR/${ends% *}" -o clientid=receiver -r -n 1 \
            >"$(scratch)/heard" 2>"$(scratch)/receiver.err"
        receiver=$BG
        wait_for subscribed_or_gone receiver "$receiver"
        sts -c "$DIR/${ends#* }" -s '21.5 C'
        expect_status 0
        join "$receiver"
        expect_status 0
        expect_content "$(scratch)/heard" '21.5 C'
        kill_broker
        run_broker
    done
}
