#!/usr/bin/env bash
# Make the virtual environment with uv in it. Debian's bare python3 comes without venv: install it where we may, say so where we may not.
set -euo pipefail
python=$1 venv=$2
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
  else
    echo "make: $python cannot make virtual environments; run: sudo apt-get install python3-venv" >&2
    exit 1
  fi
fi
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install -q --disable-pip-version-check uv
