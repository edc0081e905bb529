#!/bin/sh
# Installs the peers that a comparison runs beside Enactor, apart from the project's own environment:
#
#   sh scripts/peers.sh FOLDER ENVIRONMENT     e.g. benchmarks .bench-venv, killpoints .killpoints-venv
#
# FOLDER/requirements-peers.txt goes into ./ENVIRONMENT and, where there is one, FOLDER/npm/package.json into FOLDER/npm.
# Does nothing, and needs no network, while Python and those files are what they were.
#
#   PYTHON=/path/to/python3.12 sh scripts/peers.sh ...     chooses the interpreter (default: the project's, .venv)
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

[ $# -eq 2 ] || { say "usage: sh scripts/peers.sh FOLDER ENVIRONMENT"; exit 2; }
folder=$1 environment=$2
requirements=$folder/requirements-peers.txt package=$folder/npm/package.json
[ -f "$requirements" ] || { say "$folder: there is no $requirements"; exit 2; }

suits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

choose_python() {
    # The project's own Python for every peer, or a comparison of speed would compare interpreters.
    for candidate in ${PYTHON:-.venv/bin/python python3}; do
        if suits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    say "$folder needs Python 3.11 or newer; run: make setup"
    return 1
}

# The checkout's own path is part of the key: a virtual environment does not survive being moved.
key() { { pwd -P; cat "$requirements" scripts/peers.sh; [ ! -f "$package" ] || cat "$package"; } | cksum; }

up_to_date() {
    [ -f "$environment/.stamp" ] && [ "$(cat "$environment/.stamp")" = "$(key)" ] &&
        suits "$environment/bin/python" && { [ ! -f "$package" ] || [ -d "$folder/npm/node_modules" ]; }
}

up_to_date && exit 0

# Two runs at once must not install into the same environment; the list of what is installed is the lock.
if command -v flock >/dev/null 2>&1; then
    exec 9<"$requirements"
    flock 9
    up_to_date && exit 0
fi

if [ -f "$package" ] && ! command -v npm >/dev/null 2>&1; then
    say "$folder: a part of it comes with npm; Node.js 20 or newer is needed: https://nodejs.org"
    exit 1
fi
python=$(choose_python)
say "$folder: installing the peers into $environment (once; a minute or two)"
if ! { "$python" -m venv --clear "$environment" &&
       "$environment/bin/python" -m pip --disable-pip-version-check --quiet install --requirement "$requirements"; }; then
    say "$folder: the installation failed; the message is above. It needs the network the first time."
    exit 1
fi
if [ -f "$package" ] && ! output=$(cd "$folder/npm" && npm install --loglevel=error 2>&1); then
    say "$output"
    say "$folder: npm's message is above. It needs the network the first time."
    exit 1
fi
key >"$environment/.stamp"
