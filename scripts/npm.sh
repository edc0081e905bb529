#!/bin/sh
# Installs what tests/npm/package.json pins into tests/npm/node_modules: what the tests run of others.
# Does nothing, and needs no network, while that file is what it was.
set -eu
cd "$(dirname "$0")/../tests/npm"

say() { printf '%s\n' "$*" >&2; }

key() { cat package.json .npmrc | cksum; }

up_to_date() { [ -f node_modules/.stamp ] && [ "$(cat node_modules/.stamp)" = "$(key)" ]; }

up_to_date && exit 0
if ! command -v npm >/dev/null 2>&1; then
    say "The tests run programs that need Node.js 20 or newer with npm: https://nodejs.org"
    exit 1
fi
if command -v flock >/dev/null 2>&1; then
    exec 9<package.json
    flock 9
    up_to_date && exit 0
fi
say "npm: installing what the tests run of others"
if ! output=$(npm install --loglevel=error 2>&1); then
    say "$output"
    say "npm: the installation failed; npm's message is above. It needs the network the first time."
    exit 1
fi
key >node_modules/.stamp
say "npm: done"
