#!/usr/bin/env bash
# The tests of shared online features talk to a real Redis on loopback. Install Debian's where it is missing and we may; say what to do where
# we may not. Nothing of it is part of Sampan.
set -euo pipefail
command -v redis-server >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  # Only the program: its own service is not to be started.
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends redis-server >/dev/null
  exit 0
fi
echo "make test: the tests of shared online features need redis-server; run: sudo apt-get install redis-server" >&2
exit 1
