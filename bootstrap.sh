#!/bin/bash
# Makes this machine able to run the project, and prints the folder that holds it on standard output.
#
# Three layers, each left alone when it is there already, so that a second run takes a moment and works offline:
#
#   1. Debian packages, as root, and only those whose programs are missing. No service is started or enabled by it.
#   2. STORE/venv-LOCK   the Python packages of requirements.lock, hashes checked. LOCK is the hash of that file.
#   3. STORE/tree-KEY    this checkout's code, installed (a copy, not a link), with its programs in bin/. It is a second,
#                        thin virtual environment that finds layer 2 by one .pth line.
#
# STORE is /opt/anycast-xsp for root: readable by everyone, because ExaBGP and the bridge run as `nobody` and could not
# read a checkout below a 0700 home. KEY is the hash of path and content of this checkout and of layer 2: two checkouts
# never share code, and a tree never changes under a running program. Not root: STORE is ./.venv-store.
# In both cases ./.venv links to the tree: .venv/bin/xsp, .venv/bin/python.
#
# Exit status: 0 ready, 4 something is missing (what, and what to do, stands on standard error).
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
umask 022
cd "$(dirname "$(readlink -f "$0")")"

PYTHON=/usr/bin/python3
SHARED=/opt/anycast-xsp
CODE=(xsp ha bgp templates lab mip6 mr dataplane runtime setup.cfg pyproject.toml)
POLICY=/usr/sbin/policy-rc.d
KEEP_TREES=3
work= # scratch folder while packages are installed

# What must be there, and the Debian package that brings it.
PROGRAMS=(
    "ip iproute2" "nft nftables" "/usr/lib/frr/bgpd frr" "vtysh frr" "bird bird2" "tcpdump tcpdump" "tshark tshark"
    "setpriv util-linux" "flock util-linux" "sysctl procps" "$PYTHON python3" "/etc/ssl/certs/ca-certificates.crt ca-certificates"
)

say() { printf 'bootstrap: %s\n' "$*" >&2; }

give_up() { # what, what to do
    say "$1."
    say "$2."
    exit 4
}

# --- 1. Debian packages ----------------------------------------------------------------------------------------------

missing_packages() {
    local line
    for line in "${PROGRAMS[@]}"; do
        # shellcheck disable=SC2086  # two words on purpose
        set -- $line
        command -v "$1" >/dev/null 2>&1 || [ -e "$1" ] || printf '%s\n' "$2"
    done
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || printf 'python3-venv\n'
}

start_links() { # every link by which an installed service would start at boot
    find /etc/systemd/system /etc/systemd/user /etc/rc[2-5].d -type l \
        \( -path '*.wants/*' -o -path '*.requires/*' -o -name 'S[0-9]*' \) 2>/dev/null | sort
}

hold_services() {
    release_services # of a run that was killed
    [ ! -e "$POLICY" ] || mv "$POLICY" "$POLICY.before-anycast-xsp"
    printf '#!/bin/sh\n# anycast-xsp: nothing starts while its packages are installed\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

release_services() {
    ! grep -qs '^# anycast-xsp' "$POLICY" || rm -f "$POLICY"
    [ ! -e "$POLICY.before-anycast-xsp" ] || mv "$POLICY.before-anycast-xsp" "$POLICY"
}

disable_new() { # the list of links from before
    local link name names=
    for link in $(comm -13 "$1" <(start_links)); do
        name=${link##*/}
        rm -f "$link"
        if [[ $link == /etc/rc* ]]; then
            name=${name:3}
            ln -sf "../init.d/$name" "${link%/*}/K01$name"
        fi
        [[ " $names " == *" $name "* ]] || names+=" $name"
    done
    [ -z "$names" ] || say "installed, but neither started nor enabled:$names"
}

install_packages() {
    local log
    command -v apt-get >/dev/null ||
        give_up "these programs' Debian packages are missing and there is no apt-get: $*" "install them by other means"
    say "installing Debian packages: $*"
    work=$(mktemp -d)
    log=$work/apt.log
    start_links >"$work/links"
    trap 'release_services; rm -rf "$work"' EXIT # also when interrupted
    trap 'exit 130' INT TERM HUP
    hold_services
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    # An update that fails may still leave lists that are good enough; the installation decides.
    apt-get -q update </dev/null >"$log" 2>&1 || say "apt-get update failed, trying with the lists that are here"
    if ! apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold install "$@" </dev/null >>"$log" 2>&1
    then
        grep -E '^(E:|Err|dpkg:)' "$log" | tail -n 5 >&2 || true
        give_up "the Debian packages $* are missing and apt-get could not install them" \
            "see above why; run 'apt-get update && apt-get install $*', then try again"
    fi
    disable_new "$work/links"
    release_services
    rm -rf "$work"
    trap - EXIT INT TERM HUP
}

ensure_packages() {
    local missing
    mapfile -t missing < <(missing_packages | sort -u)
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ]; then
        install_packages "${missing[@]}"
        return 0
    fi
    say "not root, so these Debian packages stay missing: ${missing[*]}; what needs them is skipped"
    [[ " ${missing[*]} " != *" python3"* ]] ||
        give_up "without python3 and python3-venv nothing runs" "run 'sudo apt-get install python3 python3-venv'"
}

check_python() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        give_up "$("$PYTHON" -V) at $PYTHON is too old: 3.11 or newer is needed" "use Debian 12 or newer"
}

# --- 2. Python packages ----------------------------------------------------------------------------------------------

is_complete() { [ "$(cat "$1/complete" 2>/dev/null)" = "$python_version" ]; }

build_venv() {
    local log
    say "installing $(grep -c '==' requirements.lock) Python packages into $venv"
    rm -rf "$venv"
    "$PYTHON" -m venv "$venv"
    log=$venv/pip.log
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --progress-bar off \
        --prefer-binary --require-hashes -r requirements.lock </dev/null >"$log" 2>&1; then
        grep -E '^ *ERROR' "$log" | tail -n 5 >&2 || true
        give_up "the Python packages of requirements.lock are missing and pip could not install them" \
            "see above why; with a package index within reach, try again"
    fi
    rm -f "$log"
    chmod -R a+rX "$venv"
    printf '%s\n' "$python_version" >"$venv/complete"
}

# --- 3. this checkout's code -----------------------------------------------------------------------------------------

code_key() {
    {
        pwd
        printf '%s %s\n' "$venv" "$python_version"
        find "${CODE[@]}" -type f ! -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum
    } | sha256sum | cut -c1-16
}

build_tree() {
    local work site
    say "installing this checkout's code into $tree"
    rm -rf "$tree"
    "$PYTHON" -m venv --without-pip "$tree"
    site=$("$tree/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    "$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/dependencies.pth"
    # Built from a copy: setuptools leaves build/ and *.egg-info behind, and would install stale files from there.
    work=$tree/source
    mkdir "$work"
    cp -r --no-preserve=mode,ownership "${CODE[@]}" "$work"
    if ! "$tree/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-index --no-deps \
        --no-build-isolation --no-warn-script-location "$work" </dev/null >"$tree/pip.log" 2>&1; then
        cat "$tree/pip.log" >&2
        give_up "this checkout's code cannot be installed" "see above why; setup.cfg names what belongs to it"
    fi
    rm -rf "$work" "$tree/pip.log"
    ln -s "$venv/bin/ruff" "$tree/bin/ruff" # `python -m ruff` looks for its binary here
    pwd >"$tree/checkout"
    chmod -R a+rX "$tree"
    printf '%s\n' "$python_version" >"$tree/complete"
    forget_old_trees
}

forget_old_trees() { # keeps the newest of this checkout, and whatever a process still runs from
    local old kept=0
    # shellcheck disable=SC2012  # our own names, without blanks
    for old in $(ls -dt "$store"/tree-*); do
        [ "$(cat "$old/checkout" 2>/dev/null)" = "$PWD" ] || continue
        kept=$((kept + 1))
        [ "$kept" -le "$KEEP_TREES" ] || grep -qsF "$old/" /proc/[0-9]*/cmdline || rm -rf "$old"
    done
}

link_tree() {
    [ ! -e .venv ] || [ -L .venv ] || return 0 # somebody's own environment
    [ "$(readlink .venv)" = "$tree" ] || ln -sfn "$tree" .venv 2>/dev/null || say "no link .venv: $PWD cannot be written"
}

# --- all of it -------------------------------------------------------------------------------------------------------

if [ "$(id -u)" = 0 ]; then store=$SHARED; else store=$PWD/.venv-store; fi
mkdir -p "$store" || give_up "$store cannot be made" "run this from a folder you may write to, or as root"
if command -v flock >/dev/null; then
    exec 9>"$store/lock"
    flock -n 9 || { say "waiting for another bootstrap to finish" && flock 9; }
fi
ensure_packages
check_python
python_version=$("$PYTHON" -VV)
venv=venv-$(sha256sum requirements.lock | cut -c1-16)
if is_complete "$SHARED/$venv"; then venv=$SHARED/$venv; else venv=$store/$venv; fi
is_complete "$venv" || build_venv
tree=$store/tree-$(code_key)
is_complete "$tree" || build_tree
link_tree
[ "$(id -u)" = 0 ] || say "not root: using $tree"
printf '%s\n' "$tree"
