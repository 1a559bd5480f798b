#!/usr/bin/env bats
# reproducible.bats - the same tree, built again in another folder, gives the same bytes.
# shellcheck shell=bash

load lib

@test "built again in a folder with another name: the same bytes" {
    folder="$(scratch)/another/folder with blanks"
    mkdir -p "$folder"
    (cd "$ROOT" && cp -a ./*.c ./*.h ./*.ld Makefile script "$folder")
    ln -s "$ROOT/deps" "$folder/deps"
    # What `make test` was given is for its own run; the flags of the build come with it.
    env -u MAKELEVEL make -C "$folder" all >"$(scratch)/log" 2>&1 || fail "$(tail "$(scratch)/log")"
    expect_same "$folder/build/sts" "$ROOT/build/sts"
}
