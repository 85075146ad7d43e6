#!/bin/bash
# Unpacks Debian packages of another architecture, with all that they need,
# into a folder; nothing of them is run or installed on this machine. The
# folder stays as it is until the arguments or the machine's sources change.
#
#   cross/sysroot.sh ARCHITECTURE FOLDER PACKAGE…
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=cross/targets.sh
. cross/targets.sh

main() {
  local arch=$1 folder=$2 log key list started=$SECONDS
  shift 2
  need mmdebstrap
  need_sources
  key=$({ echo "$arch" "$@"; sources; cat cross/sysroot.sh; } | sha256sum)
  if made "$folder" "$key"; then
    say "$folder: as it was"
    return
  fi
  log=$folder.log list=$folder.sources.list
  rm -rf "$folder"
  mkdir -p "$(dirname "$folder")"
  # Without the security suite: for a time after each of its updates it has
  # other versions for one architecture than for another, and sometimes none.
  sources | grep -v -- -security >"$list"
  mmdebstrap --arch="$arch" --variant=extract --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include="$(IFS=,; echo "$*")" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$RELEASE" "$folder" "$list" >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "no sysroot; see $log"; }
  relative "$folder"
  echo "$key" >"$folder.made-of"
  say "$folder: $(du -sh "$folder" | cut -f1), made in $((SECONDS - started)) s"
}

# Absolute links lead out of the folder, to this machine's own files.
relative() {
  local link
  find "$1" -lname '/*' | while read -r link; do
    ln -sfnr "$1$(readlink "$link")" "$link"
  done
}

main "$@"
