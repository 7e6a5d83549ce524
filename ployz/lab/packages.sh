# Which packages this machine lacks, by packages.txt beside it. Sourced by bin/setup.
# shellcheck shell=bash

# here PROGRAM: a name, or a path that may have wildcards.
here() {
    if [[ $1 == */* ]]; then compgen -G "$1" >/dev/null; else PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; fi
}

# lacking TABLE GROUP…: of each program of these groups that is not here the packages that may bring it, in a line.
lacking() {
    local table=$1 group program packages
    shift
    while read -r group program packages; do
        if [[ " $* " == *" $group "* ]] && ! here "$program"; then printf '%s\n' "$packages"; fi
    done < <(grep '^[a-z]' "$table")
}

# chosen: of each line of the input the first package that this release has, by apt's lists. A line of which it has none
# is printed as it is, with status 1.
chosen() {
    local lines known packages each
    lines=$(cat)
    # shellcheck disable=SC2086 - words are wanted
    known=" $(apt-cache policy $lines | awk '/^[^ ]/ { name = $1 } /^ *Candidate: [^(]/ { printf "%s ", name }')"
    while read -r packages; do
        for each in $packages; do
            if [[ $known == *" $each: "* ]]; then printf '%s\n' "$each" && continue 2; fi
        done
        printf '%s\n' "$packages"
        return 1
    done <<<"$lines"
}
