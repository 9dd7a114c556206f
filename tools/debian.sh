# Sourced by the tools that bring a Debian package.

say() { printf 'tools/%s: %s\n' "${0##*/}" "$*" >&2; }

give_up() {
  say "$*"
  exit 3
}

may_install() { [[ $(id -u) == 0 && -e /etc/debian_version ]]; }

# Installs the packages named, or ends with exit code 3.
bring() {
  say "installing $*"
  { timeout 300 apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -y -qq \
    --no-install-recommends -o Dpkg::Use-Pty=0 "$@"; } >&2 ||
    give_up "apt-get could not install $*; the lines above say why"
}
