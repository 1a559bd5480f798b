# size.bats - no flavour is larger than its budget in test/budgets, on disk or in memory.

load lib

teardown() {
    stop_all
}

# The budgets are those of one compiler; another one's programs are larger or smaller.
expect_compiler() { # COMPILER
    [[ $("$1" -dumpversion) == 12 ]] || skip "the budgets are those of gcc 12"
}

@test "x86-64: every flavour is within its budget" {
    [[ $(uname -m) == x86_64 ]] || skip "this is $(uname -m)"
    expect_compiler musl-gcc
    run make -s -C "$ROOT" size SIZE=--check
    expect_status 0
    printf '%s\n' "$output" >"$(scratch)/size"
    expect_equal "$(grep -c '^ok ' "$(scratch)/size")" 6
}

@test "ARMv7: every flavour is within its budget" {
    command -v arm-linux-gnueabihf-gcc >/dev/null || skip "no cross compiler: script/deps cross"
    [[ -d $ROOT/deps/musl-1.2.3-1-armv7 ]] || skip "no musl for ARMv7: script/deps cross"
    expect_compiler arm-linux-gnueabihf-gcc
    run make -s -C "$ROOT" ARCH=armv7 size SIZE=--check
    expect_status 0
    printf '%s\n' "$output" >"$(scratch)/size"
    expect_equal "$(grep -c '^ok ' "$(scratch)/size")" 6
}

@test "x86-64: an idle sts -r is within its budget of memory" {
    [[ $(uname -m) == x86_64 ]] || skip "this is $(uname -m)"
    local what budget kib
    start_broker
    recv_start idle -o subtop=t
    cat "/proc/$BG/smaps_rollup" >"$(scratch)/smaps"
    for what in Rss Anonymous; do
        budget=$(awk -v what="$what" '$1 == "x86_64" && $3 == what { print $4 }' "$ROOT/test/budgets")
        kib=$(awk -v what="$what" '$1 == what ":" { print $2 }' \
            "$(scratch)/smaps")
        expect_within "$((kib * 1024))" 4096 "$budget"
    done
}
