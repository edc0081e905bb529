#!/bin/sh
# Resolves the newest versions that pyproject.toml allows in a fresh environment and writes them to constraints.txt.
set -eu
cd "$(dirname "$0")/.."

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

python=${PYTHON:-python3}
[ -x .venv/bin/python ] && python=.venv/bin/python
"$python" -m venv "$fresh"
"$fresh/bin/python" -m pip --disable-pip-version-check --quiet install hatchling editables
"$fresh/bin/python" -m pip --disable-pip-version-check --quiet install --no-build-isolation \
    --editable '.[postgres,restate,aws,mcp,oauth,caldav,openapi,dev]'
{
    echo '# Every version the project is built and tested with (core, dev and all extras). Not edited by hand:'
    echo '# `make constraints` resolves the newest versions in a fresh environment and writes this file.'
    "$fresh/bin/python" -m pip --disable-pip-version-check freeze --exclude-editable | LC_ALL=C sort -f
} >"$fresh/constraints.txt"
cp "$fresh/constraints.txt" constraints.txt
