#!/usr/bin/env bats
# readme.bats - every block of commands of the README, run as it stands, one after the other, by one
# shell: in a network of its own (so port 1883 and ssh's are free, and nobody else is there), with
# /etc, /usr and root's home laid over by folders of this test. The device that ssh reaches is this
# machine again, through an sshd of the test.
# shellcheck shell=bash disable=SC2016

load lib

README=$ROOT/README.md

# The blocks of kind $1, each behind a line that says where it begins.
blocks() {
    awk -v kind="$1" '
        /^```/ { if (inside) inside = 0; else if ($0 == "```" kind) { inside = 1; print "#:" NR } ; next }
        inside { print }' "$README"
}

has_namespaces() {
    unshare -nm --kill-child sh -c 'mount -t tmpfs none /mnt && mkdir /mnt/up /mnt/work &&
        mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/up,workdir=/mnt/work /etc' 2>/dev/null
}

setup() {
    DIR=$(scratch)
}

@test "every command is in a block that is run, or in the synopses" {
    awk '/^```/ { inside = !inside; print "#"; next }
        /^##? / { section = $0 }
        !inside && /^    [^ ]/ && section !~ /^## (Command line|The shell)$/ { print section ": " $0 }' \
        "$README" | grep -v '^#$' >"$DIR/stray" || true
    expect_empty "$DIR/stray"
    grep '^```.' "$README" | sort -u >"$DIR/kinds"
    expect_content "$DIR/kinds" $'```cron\n```mermaid\n```sh'
}

@test "every message that it explains is one of the program" {
    local message part
    local -a parts

    sed -n '/^## When something is wrong/,/^## /p' "$README" | grep -E '^\| `' |
        sed -E 's/^\| (`[^|]*) \|.*/\1/' | grep -oE '`[^`]+`' | tr -d '`' >"$DIR/messages"
    (($(wc -l <"$DIR/messages") > 10)) || fail "$(cat "$DIR/messages")"
    cat "$ROOT"/*.[ch] >"$DIR/sources"
    while read -r message; do
        mapfile -t parts < <(sed -E 's/\.\.\./\n/g; s/: /\n/g' <<<"$message" | sed 's/^ *//; s/ *$//')
        for part in "${parts[@]}"; do
            [[ -z $part ]] || grep -qF -- "$part" "$DIR/sources" || fail "nothing says: $part"
        done
    done <"$DIR/messages"
}

# The shell that runs the blocks: it stops at the first command that fails, and says which.
runner() {
    cat <<'END'
set -eu
trap 'echo "README.md: the block at line $AT failed: $BASH_COMMAND"' ERR
export DEVICE=127.0.0.1 BROKER=127.0.0.1
END
    # `make test` would run this test again; the others are as they stand.
    blocks sh | sed -E 's/^make test .*$/make -n test >make-test.out/; s/^#:/AT=/'
    # As cron has it: the command by /bin/sh, with little around it, in the home of its user.
    echo 'AT=cron; cd "$HOME"'
    blocks cron | sed -nE 's,^([^#[:space:]]+ +){5}(.*)$,env -i HOME="$HOME" PATH=/usr/bin:/bin /bin/sh -c '\''\2'\'',p'
}

# What this has to bring about is looked at behind the blocks, in the same place.
expectations() {
    cat <<'END'
AT=expectations; cd "$HERE"
lines() { # NUMBER PATTERN FILE
    for _ in $(seq 300); do
        [ "$(grep -c -e "$2" "$3" || true)" -lt "$1" ] || return 0
        sleep 0.1
    done
    echo "fewer than $1 lines with $2 in $3:"
    cat "$3"
    return 1
}
lines 3 '"topic":"sts/push/device1","peer":"device1"' readings.json
lines 2 '"topic":"plant/device1","peer":"device1"' /etc/sts/readings.json
lines 3 '^21.[56] C$' "$LOG"
grep -q 'All .* readings arrived once' "$LOG"
echo "all of it as it should be"
END
}

prepare() {
    cat <<'END'
set -eu
ip link set lo up
mount -t tmpfs none "$OVER"
for folder in etc usr root; do
    mkdir "$OVER/$folder" "$OVER/$folder.work"
    mount -t overlay none \
        -o "lowerdir=/$folder,upperdir=$OVER/$folder,workdir=$OVER/$folder.work" "/$folder"
done
mkdir -p /run/sshd "$HOME/.ssh"
chmod 700 "$HOME/.ssh"
ssh-keygen -q -t ed25519 -N '' -f "$OVER/host"
ssh-keygen -q -t ed25519 -N '' -f "$HOME/.ssh/id_ed25519"
cp "$HOME/.ssh/id_ed25519.pub" "$HOME/.ssh/authorized_keys"
echo "127.0.0.1 $(cat "$OVER/host.pub")" >"$HOME/.ssh/known_hosts"
printf '%s\n' 'ListenAddress 127.0.0.1' "HostKey $OVER/host" 'UsePAM no' 'StrictModes no' \
    'PermitRootLogin prohibit-password' "PidFile $OVER/sshd.pid" \
    'Subsystem sftp internal-sftp' >"$OVER/sshd_config"
"$(PATH=$PATH:/usr/sbin:/sbin command -v sshd)" -f "$OVER/sshd_config"
cd "$HERE"
export PATH=$PATH:/usr/sbin:/sbin
exec bash ./commands
END
}

@test "the blocks, from the first to the last" {
    [[ $(id -u) == 0 ]] || skip 'only root can lay folders over others'
    has_namespaces || skip 'no namespaces to be had here'
    mkdir "$DIR/here" "$DIR/over"
    (cd "$ROOT" && cp -a ./*.c ./*.h ./*.ld Makefile script config completions doc test "$DIR/here")
    ln -s "$ROOT/deps" "$DIR/here/deps"
    mkdir "$DIR/here/build"
    { runner && expectations; } >"$DIR/here/commands"
    prepare >"$DIR/prepare"
    # With the first process of its own process space all that was started ends.
    status=0
    env -u MAKELEVEL -u MAKEFLAGS HOME=/root HERE="$DIR/here" OVER="$DIR/over" LOG="$DIR/log" \
        timeout -k 5 "${LIMIT_S:-600}" unshare -nmp --fork --kill-child --mount-proc \
        bash "$DIR/prepare" >"$DIR/log" 2>&1 </dev/null 3>&- || status=$?
    ((status == 0)) || fail "exit status $status" "$(tail -n 60 "$DIR/log")"
    expect_match "$DIR/log" '^all of it as it should be$'
}
