#!/usr/bin/env bats
# lint.bats - the analyzers have nothing to say of the sources (script/lint), and each of them is shown
# something first that it has to find.
# shellcheck shell=bash

load lib

setup() {
    cd "$ROOT" || return
    DIR=$(scratch)
}

# finds ANALYZER WORDS FILE: it ends with 1, and says so.
finds() {
    local status=0

    script/lint "$1" "$3" >"$DIR/out" 2>&1 || status=$?
    ((status == 1)) || fail "exit status $status" "$(cat "$DIR/out")"
    expect_match "$DIR/out" "$2"
}

finds_nothing() {
    script/lint "$1" >"$DIR/out" 2>&1 || fail "$(tail -n 60 "$DIR/out")"
    expect_empty "$DIR/out"
}

@test "gcc -fanalyzer" {
    cat >"$DIR/bad.c" <<'END'
#include <unistd.h>
int bad(int n);
int bad(int n)
{
    int *p = n > 3 ? &n : 0;
    return *p;
}
END
    finds gcc analyzer-null-dereference "$DIR/bad.c"
    finds_nothing gcc
}

@test "clang-tidy" {
    cat >"$DIR/bad.c" <<'END'
#include <string.h>
int bad(const char *a, const char *b);
int bad(const char *a, const char *b)
{
    if (strcmp(a, b))
        return 1;
    return sizeof(a) / sizeof(a[0]);
}
END
    cp .clang-tidy "$DIR"
    finds clang-tidy bugprone "$DIR/bad.c"
    finds_nothing clang-tidy
}

@test "clang-format" {
    cp .clang-format "$DIR"
    printf 'int  bad( void );\n' >"$DIR/bad.c"
    finds clang-format clang-format-violations "$DIR/bad.c"
    finds_nothing clang-format
}

@test "cppcheck" {
    cat >"$DIR/bad.c" <<'END'
int bad(int i);
int bad(int i)
{
    int list[4] = {0};
    return i == 4 ? list[i] : 0;
}
END
    finds cppcheck 'arrayIndexOutOfBounds' "$DIR/bad.c"
    finds_nothing cppcheck
}

@test "shellcheck" {
    # shellcheck disable=SC2016 # to be found
    printf '#!/bin/sh\nrm -rf $1/*\n' >"$DIR/bad"
    finds shellcheck SC2086 "$DIR/bad"
    finds_nothing shellcheck
}
