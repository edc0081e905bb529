#!/bin/sh
# Makes ./.killpoints-venv with the kit's peers, and installs Restate's server into killpoints/npm.
# Does nothing, and needs no network, while Python, requirements-peers.txt and npm/package.json are what they were.
#
#   PYTHON=/path/to/python3.12 sh killpoints/setup.sh     chooses the interpreter (default: the project's, .venv)
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

suits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

choose_python() {
    for candidate in ${PYTHON:-.venv/bin/python python3}; do
        if suits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    say "the kill-point kit needs Python 3.11 or newer; run: make setup"
    return 1
}

# The checkout's own path is part of the key: a virtual environment does not survive being moved.
key() { { pwd -P; cat killpoints/requirements-peers.txt killpoints/npm/package.json killpoints/setup.sh; } | cksum; }

up_to_date() {
    [ -f .killpoints-venv/.stamp ] && [ "$(cat .killpoints-venv/.stamp)" = "$(key)" ] &&
        suits .killpoints-venv/bin/python && [ -d killpoints/npm/node_modules ]
}

up_to_date && exit 0

# Two runs at once must not install into the same environment; this file itself is the lock.
if command -v flock >/dev/null 2>&1; then
    exec 9<killpoints/setup.sh
    flock 9
    up_to_date && exit 0
fi

if ! command -v npm >/dev/null 2>&1; then
    say "killpoints: Restate's server comes with npm; Node.js 20 or newer is needed: https://nodejs.org"
    exit 1
fi
python=$(choose_python)
say "killpoints: installing the peers into .killpoints-venv and killpoints/npm (once; a minute or two)"
if ! { "$python" -m venv --clear .killpoints-venv &&
       .killpoints-venv/bin/python -m pip --disable-pip-version-check --quiet install \
           --requirement killpoints/requirements-peers.txt; }; then
    say "killpoints: the installation failed; the message is above. It needs the network the first time."
    exit 1
fi
if ! output=$(cd killpoints/npm && npm install --loglevel=error 2>&1); then
    say "$output"
    say "killpoints: npm's message is above. It needs the network the first time."
    exit 1
fi
key >.killpoints-venv/.stamp
