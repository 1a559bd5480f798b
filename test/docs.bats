#!/usr/bin/env bats
# docs.bats - what the documents say of the tree is so: files they link to, files that the map names.
# shellcheck shell=bash disable=SC2016

load lib

setup() {
    cd "$ROOT" || return
}

documents() {
    printf '%s\n' ./*.md doc/*.md examples/*.md test/fuzz/README.md
}

@test "every link within the project leads to a file" {
    local document link count=0

    while read -r document; do
        while read -r link; do
            count=$((count + 1))
            [[ -e $(dirname "$document")/$link ]] || fail "$document: no $link"
        done < <(grep -oE '\]\([^)#]+' "$document" | sed 's/^](//' | grep -v '^https\?:')
    done < <(documents)
    ((count > 10)) || fail "only $count links were found"
}

@test "the map names every source file" {
    local file stem

    for file in *.[ch]; do
        stem=${file%.?}
        [[ $stem != *_private ]] || continue    # what the files of one row share
        grep -qE "\`$stem\.[ch]\`" doc/architecture.md || fail "doc/architecture.md: no $file"
    done
}

@test "every file that SECURITY.md, CONTRIBUTING.md and the behaviour table name is there" {
    local name count=0

    while read -r name; do
        count=$((count + 1))
        compgen -G "$name" >/dev/null || compgen -G "test/$name" >/dev/null ||
            compgen -G "build/test/${name#test/}" >/dev/null || fail "no $name"
    done < <(grep -ohE '`[a-zA-Z0-9_/]+\.(bats|py|c|h|json|dict|md)`' SECURITY.md CONTRIBUTING.md \
        doc/behaviour.md | tr -d '`' | sort -u)
    ((count > 15)) || fail "only $count names were found"
}
