# sts.bash - bash completion of sts: flags, files, config keys and their values.
# shellcheck shell=bash disable=SC2207 # words without blanks

_sts_flags='-c -h -j -k -l -n -o -q -r -s -V -v -w'

_sts_config_keys='mqtt_version ip url host port username password clientid subtop pubtop sts_mode
    aes cipher qos retain keepalive clean_session will_topic will_msg will_qos will_retain timeout
    key peer peers psk state out spool spool_max'

# What the value of a config key may be, for COMPREPLY.
_sts_value() { # KEY BEGIN
    case $1 in
        sts_mode) COMPREPLY=($(compgen -W 'nosec master slave push collect' -- "$2")) ;;
        aes | cipher) COMPREPLY=($(compgen -W 'null ecb cbc chachapoly' -- "$2")) ;;
        mqtt_version) COMPREPLY=($(compgen -W '3 4' -- "$2")) ;;
        qos | will_qos) COMPREPLY=($(compgen -W '0 1 2' -- "$2")) ;;
        retain | clean_session | will_retain) COMPREPLY=($(compgen -W '0 1' -- "$2")) ;;
        ip | url | host) COMPREPLY=($(compgen -A hostname -- "$2")) ;;
        key | peers | state | out | spool) _sts_file "$2" ;;
    esac
}

_sts_file() { # BEGIN
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

# KEY=VALUE in one word. What bash replaces is the part behind the last of COMP_WORDBREAKS, which
# has a '=' in it unless somebody took that out.
_sts_pair() { # WORD
    local key=${1%%=*} i

    if [[ $1 != *=* ]]; then
        compopt -o nospace 2>/dev/null
        COMPREPLY=($(compgen -S = -W "$_sts_config_keys" -- "$1"))
        return
    fi
    _sts_value "$key" "${1#*=}"
    [[ $COMP_WORDBREAKS == *=* ]] && return
    for i in "${!COMPREPLY[@]}"; do
        COMPREPLY[i]=$key=${COMPREPLY[i]}
    done
}

_sts() {
    local at=$COMP_CWORD word=${COMP_WORDS[COMP_CWORD]} before

    # bash may have cut KEY=VALUE into three words, or two where there is no value yet.
    if [[ $word == = && $at -gt 1 ]]; then
        at=$((at - 1)) word=${COMP_WORDS[at]}=
    elif [[ ${COMP_WORDS[at - 1]} == = && $at -gt 2 ]]; then
        at=$((at - 2)) word=${COMP_WORDS[at]}=$word
    fi
    before=${COMP_WORDS[at - 1]}
    COMPREPLY=()
    case $before in
        -c | -k) _sts_file "$word" ;;
        -o) _sts_pair "$word" ;;
        -n | -s | -w) ;;
        *) COMPREPLY=($(compgen -W "$_sts_flags" -- "$word")) ;;
    esac
}

complete -F _sts sts
