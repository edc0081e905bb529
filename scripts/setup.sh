#!/bin/sh
# Makes ./.venv with the project (editable) and everything it is built and tested with, pinned by constraints.txt.
# Does nothing, and needs no network, while Python, pyproject.toml and constraints.txt are what they were.
#
#   PYTHON=/path/to/python3.12 sh scripts/setup.sh     chooses the interpreter
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

suits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

choose_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if suits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    say "enactor needs Python 3.11 or newer, and ${PYTHON:-no python3 on the PATH} is not one."
    say "Install it (https://www.python.org/downloads/), or name it: make setup PYTHON=/path/to/python3.12"
    return 1
}

# The checkout's own path is part of the key: a virtual environment does not survive being moved.
key() { { pwd -P; cat pyproject.toml constraints.txt scripts/setup.sh; } | cksum; }

up_to_date() {
    [ -f .venv/.stamp ] && [ "$(cat .venv/.stamp)" = "$(key)" ] && suits .venv/bin/python
}

up_to_date && exit 0

# Two `make` runs at once must not install into the same environment; this file itself is the lock.
if command -v flock >/dev/null 2>&1; then
    exec 9<scripts/setup.sh
    flock 9
    up_to_date && exit 0
fi

python=$(choose_python)
if ! suits .venv/bin/python; then
    say "setup: making .venv with $("$python" --version)"
    if ! output=$("$python" -m venv --clear .venv 2>&1); then
        say "$output"
        say "setup: $python cannot make a virtual environment; it needs its venv module"
        say "       (Debian and Ubuntu: apt install python3-venv)."
        exit 1
    fi
fi

pip() { .venv/bin/python -m pip --disable-pip-version-check --quiet "$@"; }

say "setup: installing the pinned dependencies (up to a minute the first time)"
rm -f .venv/.stamp
if ! { pip install --constraint constraints.txt hatchling editables &&
       pip install --constraint constraints.txt --no-build-isolation --editable '.[postgres,restate,aws,mcp,oauth,caldav,openapi,dev]'; }; then
    say "setup: the installation failed; pip's message is above. It needs the network the first time."
    exit 1
fi
key >.venv/.stamp
say "setup: done"
