#!/bin/sh
# packages.sh against a made-up dpkg table, apt-get and sudo.
set -eu
# shellcheck source=third_party/packages.sh
. "$TEST_SRCDIR/$TEST_WORKSPACE/third_party/packages.sh"
cd -- "$TEST_TMPDIR"

fail() { echo "$*" >&2; exit 1; }
expect() { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }

mkdir dpkg bin
export DPKG_ADMINDIR="$PWD/dpkg"
package() { printf 'Package: %s\nStatus: %s\nArchitecture: %s\n%s\n' "$1" "$2" "$3" "${4:+$4
}"; }
{
  package dpkg "install ok installed" amd64
  package plain "install ok installed" amd64
  package plain "install ok installed" i386
  package everywhere "install ok installed" all
  package held "hold ok installed" amd64
  package busy "install ok triggers-pending" amd64
  package removed "deinstall ok config-files" amd64
  package halfway "install ok half-configured" amd64
  package foreign "install ok installed" i386
  package newname "install ok installed" amd64 "Provides: oldname (= 1.2), virtual, multi:any"
  package gone "deinstall ok config-files" amd64 "Provides: gonevirtual"
} >dpkg/status

missing() { printf '%s\n' "$@" >list; packages_missing list; }
expect "all there" "" "$(missing '# a comment' plain everywhere held 'busy # why' '' virtual oldname multi)"
expect "architectures" "foreign plain:arm64" \
  "$(missing plain:amd64 plain:i386 foreign foreign:i386 plain:arm64 everywhere:amd64)"
expect "states" "removed halfway gonevirtual never" "$(missing removed halfway gonevirtual never)"
expect "an empty list" "" "$(missing '')"
expect "a prefix is another package" "plai plain2" "$(missing plai plain2)"

# apt-get notes its arguments and, when asked to install, makes the packages appear.
cat >bin/apt-get <<X
#!/bin/sh
echo "\$*" >>"$PWD/apt.log"
case "\$*" in *install*) ;; *) exit 0 ;; esac
[ ! -e "$PWD/broken" ] || { echo "E: no such thing"; exit 100; }
sleep 0.3
printf 'Package: never\nStatus: install ok installed\nArchitecture: amd64\n\n' >>"$PWD/dpkg/status"
X
# shellcheck disable=SC2016
printf '#!/bin/sh\necho "$FAKE_UID"\n' >bin/id
chmod +x bin/apt-get bin/id
PATH=$PWD/bin:$PATH
export FAKE_UID=0

printf 'plain\nnever\n' >list
touch broken
! (packages_install list) 2>err || fail "a failed apt-get must fail"
grep -q 'E: no such thing' err || fail "apt's own words are missing"
grep -q 'as root type: apt-get update && apt-get install -y --no-install-recommends never$' err || fail "no remedy"
rm broken apt.log

# Two first runs at once: one installs, the other waits and finds it done.
packages_install list 2>err1 &
packages_install list 2>err2
wait $!
expect "installations" 1 "$(grep -c install apt.log)"
expect "lines printed" 1 "$(cat err1 err2 | wc -l)"
grep -q 'installing missing packages: never$' err1 err2 || fail "the missing package is not named"
rm apt.log
packages_install list
[ ! -e apt.log ] || fail "apt-get was called although nothing was missing"

# Neither root nor sudo: say it and touch nothing.
echo other >list
rc=0
# shellcheck disable=SC2317
(
  command() { return 1; }
  export FAKE_UID=1000
  packages_install list 2>err
) || rc=$?
expect "exit code" 2 "$rc"
grep -q 'neither root nor sudo' err || fail "not said why"
[ ! -e apt.log ] || fail "apt-get was called without root"

# With sudo everything goes through it.
# shellcheck disable=SC2016
printf '#!/bin/sh\n[ "$1" != -n ] || shift\necho "$1" >>sudo.log\nexec "$@"\n' >bin/sudo
chmod +x bin/sudo
echo never >list
sed -i '/^Package: never$/,$d' dpkg/status
FAKE_UID=1000 packages_install list 2>err
expect "calls of sudo" 2 "$(wc -l <sudo.log)"

DPKG_ADMINDIR=$PWD/none
rc=0
packages_install list 2>err || rc=$?
expect "exit code without dpkg" 2 "$rc"
expect "lines without dpkg" 1 "$(wc -l <err)"
