#!/usr/bin/env bash
# The tests of images and units read them with skopeo, umoci and systemd-analyze, and run an image on a small Debian with Python that
# mmdebstrap makes (.peers/debian.tar). Install and make what is missing where we may; say what to do where we may not.
set -euo pipefail
cd "$(dirname "$0")/.."
base=.peers/debian.tar part=.peers/debian-part.tar
missing=()
for tool in skopeo umoci mmdebstrap; do command -v "$tool" >/dev/null || missing+=("$tool"); done
command -v systemd-analyze >/dev/null || missing+=(systemd)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "make test: the tests of images need ${missing[*]}; run: sudo apt-get install ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
[ -e "$base" ] && exit 0
mkdir -p .peers
SOURCE_DATE_EPOCH=0 mmdebstrap --quiet --variant=extract \
  --include=libc6,libstdc++6,libpython3.11-stdlib,python3.11-minimal,ca-certificates bookworm "$part" 2>.peers/debian.log ||
  { cat .peers/debian.log >&2; exit 1; }
mv "$part" "$base"
