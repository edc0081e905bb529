#!/bin/sh
# Makes ./.bench-venv with the benchmark's peers, apart from the project's own environment.
# Does nothing, and needs no network, while Python and requirements-peers.txt are what they were.
#
#   PYTHON=/path/to/python3.12 sh benchmarks/setup.sh     chooses the interpreter (default: the project's, .venv)
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

suits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

choose_python() {
    # The same Python for every driver, or the comparison would measure interpreters.
    for candidate in ${PYTHON:-.venv/bin/python python3}; do
        if suits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    say "the benchmark needs Python 3.11 or newer; run: make setup"
    return 1
}

# The checkout's own path is part of the key: a virtual environment does not survive being moved.
key() { { pwd -P; cat benchmarks/requirements-peers.txt benchmarks/setup.sh; } | cksum; }

up_to_date() {
    [ -f .bench-venv/.stamp ] && [ "$(cat .bench-venv/.stamp)" = "$(key)" ] && suits .bench-venv/bin/python
}

up_to_date && exit 0

# Two runs at once must not install into the same environment; this file itself is the lock.
if command -v flock >/dev/null 2>&1; then
    exec 9<benchmarks/setup.sh
    flock 9
    up_to_date && exit 0
fi

python=$(choose_python)
say "bench: installing the peers into .bench-venv (once; a minute or so)"
if ! { "$python" -m venv --clear .bench-venv &&
       .bench-venv/bin/python -m pip --disable-pip-version-check --quiet install \
           --requirement benchmarks/requirements-peers.txt; }; then
    say "bench: the installation failed; the message is above. It needs the network the first time."
    exit 1
fi
key >.bench-venv/.stamp
