# shellcheck shell=bash
# What the scripts of this folder share; it is sourced, not run.

# say WORDS: progress goes to standard error: standard output is the caller's.
say() { echo "${0##*/}: $*" >&2; }

# fail WORDS: one clear sentence, and the end.
fail() { say "$*"; exit 125; }

# cache_folder: where images and boxes are kept between runs, outside the checkout.
cache_folder() { echo "${MINI_DOCKER_VM_CACHE:-${XDG_CACHE_HOME:-/var/cache}/mini-docker/vm}"; }

# writable_cache: the same, made if need be.
writable_cache() {
  local folder
  folder=$(cache_folder)
  mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ] ||
    fail "$folder cannot be written: run it as root, or let MINI_DOCKER_VM_CACHE name a folder of yours."
  echo "$folder"
}

# need_amd64: images are built from packages of the machine's own architecture.
need_amd64() {
  [ "$(uname -sm)" = "Linux x86_64" ] ||
    fail "images are built on Linux for amd64 only, and this is $(uname -sm): use 'vagrant up' with the box debian/bookworm64."
}

# need_packages PACKAGE…: installs the Debian packages that are missing.
need_packages() {
  local package missing=""
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null ||
    fail "these Debian packages are missing, and apt-get is not here to install them:$missing"
  [ "$(id -u)" = 0 ] || fail "these Debian packages are missing, and installing them needs root:$missing"
  say "installing Debian packages:$missing"
  apt-get update -qq >&2 || fail "apt-get update failed: is the package archive in reach?"
  # shellcheck disable=SC2086  # a list of words
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
    fail "apt-get could not install:$missing"
}

# debian_sources SUITE: this machine's own sources of that Debian release, as lines of a sources.list.
debian_sources() {
  local lines
  # shellcheck disable=SC2016  # apt's own variables
  lines=$(apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Identifier: Packages' 'Origin: Debian' 2>/dev/null | grep -E " $1(-updates|-security)? " | sort -u)
  [ -n "$lines" ] || lines=${MINI_DOCKER_VM_SOURCES:-}
  [ -n "$lines" ] || fail "this machine has no package source of Debian $1 ('apt-get update' reads them):" \
    "let MINI_DOCKER_VM_SOURCES hold the lines of a sources.list."
  echo "$lines"
}

# apt_settings: how this machine reaches its package sources (proxies, certificates, retries), for apt inside an image.
apt_settings() {
  apt-config dump | grep -E '^Acquire::(https?::|Retries|http Proxy)' | grep -v ' "";$' || true
}

# without_docs: options for mmdebstrap that leave out what nobody reads in a guest.
without_docs=(
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*'
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*'
)

# fetch_wheels FOLDER REQUIREMENTS: the locked Python packages for Debian 12's Python, for a guest without a network.
fetch_wheels() {
  local environment
  environment=$(mktemp -d)
  python3 -m venv "$environment"
  "$environment/bin/pip" download -qq --disable-pip-version-check --python-version 3.11 --only-binary=:all: \
    -d "$1" -r "$2/dev.lock" >&2 || { rm -rf "$environment"; fail "pip could not fetch the packages of $2/dev.lock"; }
  rm -rf "$environment"
}
