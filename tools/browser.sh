#!/usr/bin/env bash
# The browser tests drive Debian's chromium. Install it where it is missing and we may; say what to do where we may not.
set -euo pipefail
[ -x /usr/bin/chromium ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
  exit 0
fi
echo "make test: the browser tests need /usr/bin/chromium; run: sudo apt-get install chromium" >&2
exit 1
