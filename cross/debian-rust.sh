#!/bin/bash
# Debian's Rust compiler with the standard library of another architecture, for
# machines whose own toolchain has none for it, in target/cross/rust-ARCHITECTURE.
# Where Debian has no new enough library for the architecture either, the
# library's source is there, for cargo's -Zbuild-std.
#
#   cross/debian-rust.sh ARCHITECTURE
#
# Packages come from Debian's archives through an apt of its own, so that no
# foreign architecture enters the machine's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=cross/targets.sh
. cross/targets.sh

arch=$1
native=$(dpkg --print-architecture)
folder=$CROSS/rust-$arch
apt=$CROSS/apt-$arch
log=$folder.log

main() {
  local wanted key version packages=()
  need_sources
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  key=$({ echo "$arch $wanted"; sources; cat cross/debian-rust.sh; } | sha256sum)
  if made "$folder" "$key"; then
    say "$folder: as it was"
    return
  fi
  rm -rf "$folder"
  # While an archive is being updated one architecture may be ahead of another,
  # and apt then takes neither.
  own_apt "$native" "$arch"
  apt_get update >"$log" 2>&1 || {
    say "the archive's packages for $arch cannot be read, perhaps because it is just being updated; see $log"
    own_apt "$native"
    apt_get update >>"$log" 2>&1 || die "apt-get update failed; see $log"
  }
  version=$(newest "rustc-web:$native")
  [ -n "$version" ] || die "Debian's archives here have no rustc-web; see $log"
  dpkg --compare-versions "$version" ge "$wanted" ||
    die "Debian's rustc-web is $version, and the project needs $wanted: rustup target add, or try again later"
  packages=("rustc-web=$version" "libstd-rust-web-dev:$native=$version")
  if [ "$(newest "libstd-rust-web-dev:$arch")" = "$version" ]; then
    packages+=("libstd-rust-web-dev:$arch=$version")
  else
    say "found: libstd-rust-web-dev for $arch in version $(newest "libstd-rust-web-dev:$arch" | grep . || echo none), needed: $version, the compiler's; the standard library's source is taken instead (rust-web-src)"
    packages+=("rust-web-src=$version")
  fi
  # The compiler itself is a library too, and LLVM is another.
  mapfile -t -O "${#packages[@]}" packages < <(
    apt_cache depends --recurse --no-{recommends,suggests,conflicts,breaks,replaces,enhances} \
      "rustc-web=$version" "libstd-rust-web-dev=$version" |
      awk '$1 == "Depends:" && $2 ~ /^(libstd-rust-web-[0-9.]+|libllvm[0-9]+)$/ { print $2 }' | sort -u)
  mkdir -p "$folder.new/debs"
  (cd "$folder.new/debs" && apt_get download "${packages[@]}") >>"$log" 2>&1 ||
    { tail -n 5 "$log" >&2; die "not downloaded: ${packages[*]}; see $log"; }
  for package in "$folder.new"/debs/*.deb; do
    dpkg-deb -x "$package" "$folder.new"
  done
  rm -rf "$folder.new/debs" "$apt"
  mv "$folder.new" "$folder"
  compiler
  echo "$key" >"$folder.made-of"
  say "$folder: $("$folder/rustc" --version), $(du -sh "$folder" | cut -f1)"
}

# own_apt ARCHITECTURE…: an apt that knows these, and has nothing installed.
own_apt() {
  rm -rf "$apt"
  mkdir -p "$apt"/{etc/apt.conf.d,etc/preferences.d,lists/partial,cache/archives/partial}
  : >"$apt/status"
  sources | sed "s|^deb |deb [signed-by=$KEYRING] |" >"$apt/sources.list"
  cat >"$apt/apt.conf" <<CONF
Dir::Etc "$apt/etc";
Dir::Etc::SourceList "$apt/sources.list";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Architecture "$native";
APT::Architectures { $(printf '"%s"; ' "$@")};
APT::Sandbox::User "root";
Acquire::Languages "none";
APT::Update::Error-Mode "any";
CONF
}

apt_get() { APT_CONFIG=$apt/apt.conf apt-get -q "$@"; }
apt_cache() { APT_CONFIG=$apt/apt.conf apt-cache "$@"; }

# newest PACKAGE: its newest version here, or nothing.
newest() { apt_cache policy "$1" | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

# The compiler does not lie where it was built to lie.
compiler() {
  local libraries=$folder/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch)
  cat >"$folder/rustc" <<SH
#!/bin/sh
LD_LIBRARY_PATH="$libraries:$folder/usr/lib" exec "$folder/usr/bin/rustc" "\$@"
SH
  chmod +x "$folder/rustc"
}

rm -rf "$folder.new"
main
