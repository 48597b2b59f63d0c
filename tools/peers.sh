#!/usr/bin/env bash
# Make the environments of other tools that tests talk to: each requirements/peers/NAME.lock becomes .peers/NAME, made again only when its
# lock changes. A test starts .peers/NAME/bin/python; it fails, and says `make peers`, where that is missing.
#   tools/peers.sh          make what is missing
#   tools/peers.sh lock     write each NAME.lock anew from its NAME.in
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
shopt -s nullglob
if [ "${1:-}" = lock ]; then
  for wanted in requirements/peers/*.in; do
    "$uv" pip compile -q "$wanted" --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o "${wanted%.in}.lock"
  done
  exit
fi
for lock in requirements/peers/*.lock; do
  folder=.peers/$(basename "$lock" .lock)
  stamp=$folder/.made-$(sha256sum "$lock" | cut -c1-16)
  [ -e "$stamp" ] && continue
  "$uv" venv -q --clear --python .venv/bin/python "$folder"
  "$uv" pip install -q --python "$folder/bin/python" -r "$lock"
  touch "$stamp"
done
