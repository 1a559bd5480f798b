# install.bats - what `make install` puts where, and what `make uninstall` leaves.
# shellcheck disable=SC2030,SC2031,SC2153

load lib

# Without what an outer make hands down; and builds nothing, for other tests run at the same time.
install_with() { # TARGET [VARIABLE=VALUE...]
    env -u MAKEFLAGS -u MFLAGS make -s -C "$ROOT" -o all --no-print-directory "$@" 3>&-
}

@test "make install puts everything where it belongs, make uninstall takes it away again" {
    local to root config

    to=$(scratch)/a\ folder
    for prefix in /usr/local /usr; do
        root=$to$prefix
        mkdir -p "$root/share/doc" "$root/bin"
        echo mine >"$root/bin/other"
        (umask 077 && install_with install "DESTDIR=$to" PREFIX=$prefix)
        cmp "$root/bin/sts" "$ROOT/build/sts"
        cmp "$root/share/man/man5/sts.conf.5" "$ROOT/doc/sts.conf.5"
        cmp "$root/share/bash-completion/completions/sts" "$ROOT/completions/sts.bash"
        cmp "$root/share/zsh/site-functions/_sts" "$ROOT/completions/_sts"
        for config in "$ROOT"/config/*; do
            cmp "$root/share/doc/sts/config/${config##*/}" "$config"
        done
        expect_equal "$(find "$to" -type f | wc -l)" $((6 + $(find "$ROOT/config" -type f | wc -l)))
        expect_equal "$(find "$root/bin/sts" -printf %m)" 755
        expect_equal "$(find "$to" -type f ! -path '*/bin/*' ! -perm 644)" ''
        expect_equal "$(find "$root/share/man" "$root/share/doc/sts" "$root/share/zsh" -type d \
            ! -perm 755)" ''
        "$root/bin/sts" -V
        # The manual names the folder of the samples, which is there.
        grep -q "^\.It Pa $prefix/share/doc/sts/config/" "$root/share/man/man1/sts.1"
        for manual in '1 sts' '5 sts.conf'; do
            # shellcheck disable=SC2086 # section and name
            MANPAGER="cat" mman -M "$root/share/man" $manual | sed 's/.\x08//g' >"$(scratch)/text"
            expect_match "$(scratch)/text" '^SEE ALSO'
        done
        install_with uninstall "DESTDIR=$to" PREFIX=$prefix
        expect_equal "$(find "$to" -type f)" "$root/bin/other"
        [[ ! -e $root/share/doc/sts && -d $root/share/doc ]]
        rm -rf "$to"
    done
}

@test "make install: folders of its own, and a failure is one" {
    local to

    to=$(scratch)/to
    install_with install "DESTDIR=$to" BINDIR=/b MANDIR=/m DOCDIR=/d BASHCOMPDIR=/s ZSHCOMPDIR=/z
    [[ -x $to/b/sts && -f $to/m/man1/sts.1 && -f $to/m/man5/sts.conf.5 && -f $to/d/config/push &&
        -f $to/s/sts && -f $to/z/_sts ]]
    [[ $(ls "$to") == $'b\nd\nm\ns\nz' ]]
    touch "$to/file"
    run install_with install "DESTDIR=$to/file"
    [[ $status != 0 ]]
    # Samples of others stay.
    touch "$to/d/config/mine"
    install_with uninstall "DESTDIR=$to" BINDIR=/b MANDIR=/m DOCDIR=/d BASHCOMPDIR=/s ZSHCOMPDIR=/z
    expect_equal "$(find "$to" -type f | sort)" "$to/d/config/mine"$'\n'"$to/file"
}
