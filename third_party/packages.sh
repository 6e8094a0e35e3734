# shellcheck shell=sh
# Functions that tell which Debian packages a list names and this machine lacks, and install them.
# Sourced by bazelw and lint.sh. A list has one package a line (`name` or `name:arch`) and # comments.

# Reads dpkg's own table: starting dpkg-query or apt would cost more than everything else bazelw does.
# DPKG_ADMINDIR is dpkg's variable for where that table is.
packages_missing() { # LIST: prints the missing names on one line, or nothing
  awk '
    function have(name) { if (installed) here[name ":" arch] = 1 }
    function flush(  i, n, names) {
      have(package)
      # A renamed or virtual package is there if an installed one provides it.
      n = split(provides, names, ",")
      for (i = 1; i <= n; i++) {
        sub(/^ */, "", names[i])
        sub(/[ (:].*/, "", names[i])
        have(names[i])
      }
      # dpkg itself is always of the machine'\''s own architecture.
      if (package == "dpkg") native = arch
      package = arch = provides = ""
      installed = 0
    }
    FILENAME == ARGV[1] { sub(/#.*/, ""); for (i = 1; i <= NF; i++) wanted[++count] = $i; next }
    /^Package: / { package = $2; next }
    # The third word counts: "deinstall ok config-files" is gone, "hold ok installed" is there.
    /^Status: / { installed = $4 == "installed" || $4 ~ /^triggers-/; next }
    /^Architecture: / { arch = $2; next }
    /^Provides: / { provides = substr($0, 11); next }
    /^$/ { flush() }
    END {
      flush()
      for (i = 1; i <= count; i++) {
        name = arch = wanted[i]
        sub(/:.*/, "", name)
        if (!sub(/^[^:]*:/, "", arch)) arch = native
        if (!((name ":" arch) in here) && !((name ":all") in here)) line = line " " wanted[i]
      }
      print substr(line, 2)
    }' "$1" "${DPKG_ADMINDIR:-/var/lib/dpkg}/status"
}

packages_say() { echo "${0##*/}: $*" >&2; }

packages_install() { # LIST: returns 0 when everything is there, otherwise 2 after saying why
  packages_dir=${DPKG_ADMINDIR:-/var/lib/dpkg}
  if [ ! -r "$packages_dir/status" ]; then
    packages_say "this is not a Debian system (no $packages_dir/status); install what $1 names yourself and call bazel"
    return 2
  fi
  packages_names=$(packages_missing "$1") || return 2
  [ -z "$packages_names" ] || packages_install_names "$1"
}

packages_install_names() ( # LIST: the slow half; a subshell, so that lock, log and trap end with it
  type_this="apt-get update && apt-get install -y --no-install-recommends"

  if [ "$(id -u)" -eq 0 ]; then
    as_root=
  elif command -v sudo >/dev/null; then
    # sudo may ask for a password only when somebody is there to type it.
    if [ -t 0 ]; then as_root=sudo; else as_root='sudo -n'; fi
  else
    packages_say "missing packages and neither root nor sudo to install them; as root type:" \
      "$type_this $packages_names"
    exit 2
  fi

  # apt waits for dpkg's lock but not for the one on its package lists, so two first runs take turns here.
  exec 9<"$packages_dir"
  flock 9
  packages_names=$(packages_missing "$1")
  [ -n "$packages_names" ] || exit 0
  packages_say "installing missing packages: $packages_names"

  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  trap 'exit 2' INT TERM HUP
  apt() {
    # 9<&-: a service that an installation starts must not keep the lock.
    # shellcheck disable=SC2086  # one word, two, or none
    $as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -o DPkg::Lock::Timeout=600 "$@" \
      </dev/null >>"$log" 2>&1 9<&-
  }

  # A failed update alone is no failure: one broken source among many does not matter if the packages are found.
  # Somebody else's apt may hold the lists for a moment.
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
    : >"$log"
    apt update || true
    grep -q 'Could not get lock .*/lists/lock' "$log" || break
    sleep 5
  done
  # shellcheck disable=SC2086  # names without spaces, one argument each
  if ! apt install -y --no-install-recommends $packages_names; then
    # Without a network every single package "cannot be located"; what says why stands above that.
    grep -m 3 '^W: Failed to fetch' "$log" >&2 || tail -n 12 "$log" >&2
    packages_say "apt-get could not install the missing packages (its own words are above); check network," \
      "/etc/apt/sources.list.d and that this is Debian 12, or as root type: $type_this $packages_names"
    exit 2
  fi
)
