#!/usr/bin/env bash
# Make the environments of other tools that tests talk to: each requirements/peers/NAME.lock becomes .peers/NAME, made again only when its
# lock changes. A test starts .peers/NAME/bin/python; it fails, and says `make peers`, where that is missing.
# A NAME.in that names torch has no lock: pip installs what it says beside our own environment.
#   tools/peers.sh          make what is missing
#   tools/peers.sh lock     write each NAME.lock anew from its NAME.in
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
shopt -s nullglob

names_torch() { grep -q '^torch==' "$1"; }

stamp_of() { echo "$1/.made-$(sha256sum "$2" | cut -c1-16)"; }

if [ "${1:-}" = lock ]; then
  for wanted in requirements/peers/*.in; do
    names_torch "$wanted" && continue
    "$uv" pip compile -q "$wanted" --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o "${wanted%.in}.lock"
  done
  exit
fi

for lock in requirements/peers/*.lock; do
  folder=.peers/$(basename "$lock" .lock)
  stamp=$(stamp_of "$folder" "$lock")
  [ -e "$stamp" ] && continue
  "$uv" venv -q --clear --python .venv/bin/python "$folder"
  "$uv" pip install -q --python "$folder/bin/python" -r "$lock"
  touch "$stamp"
done

for wanted in requirements/peers/*.in; do
  names_torch "$wanted" || continue
  folder=.peers/$(basename "$wanted" .in)
  stamp=$(stamp_of "$folder" "$wanted")
  [ -e "$stamp" ] && continue
  .venv/bin/python -m venv --clear "$folder"
  "$folder/bin/python" -m pip install -q --disable-pip-version-check --no-deps -r "$wanted"
  ours=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  echo "import site; site.addsitedir('$ours')" > "$site/ours.pth"
  # The build for GPUs, which an index may give, needs more beside it than the one for processors.
  "$folder/bin/python" -c 'import torch' 2> "$folder/first-look.txt" ||
    "$folder/bin/python" -m pip install -q --disable-pip-version-check -r "$wanted"
  touch "$stamp"
done
