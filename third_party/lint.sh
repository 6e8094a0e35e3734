#!/bin/bash
# ./bazelw run //third_party:lint -- [--fix] [--skip-missing] [PATH...]
# All of clang-format, clang-tidy, buildifier and shellcheck over the whole tree; exit 1 when one finds something.
#   --fix           let clang-format and buildifier rewrite the files first
#   --skip-missing  leave out, with a line that says so, what cannot be installed here, instead of failing
#   PATH            clang-tidy only looks at source files whose path contains it (all of them take minutes)
set -uo pipefail

fix=no
skip_missing=no
paths=()
for argument in "$@"; do
  case $argument in
    --fix) fix=yes ;;
    --skip-missing) skip_missing=yes ;;
    [!-]*) paths+=("$argument") ;;
    *)
      echo "lint: unknown argument $argument; known are --fix, --skip-missing and paths" >&2
      exit 2
      ;;
  esac
done
if [ -z "${BUILD_WORKSPACE_DIRECTORY:-}" ]; then
  echo "lint: start it with ./bazelw run //third_party:lint" >&2
  exit 2
fi
compile_commands=$PWD/third_party/compile_commands
cd -- "$BUILD_WORKSPACE_DIRECTORY" || exit 2

# shellcheck source=third_party/packages.sh
. third_party/packages.sh
if ! packages_install third_party/packages-lint.txt && [ "$skip_missing" = no ]; then
  echo "lint: install these packages or leave their checks out with --skip-missing" >&2
  exit 2
fi

failed=()
skipped=()

have() { # TOOL
  command -v "$1" >/dev/null && return
  echo "lint: $1 is missing, left out" >&2
  skipped+=("$1")
  return 1
}

check() { # NAME COMMAND...
  echo "lint: $1"
  "${@:2}" || failed+=("$1")
}

# Not git's list: a tarball has none. Bazel's links and .cache are not ours.
files() { # find's tests
  find . \( -path './bazel-*' -o -path ./.git -o -path ./.cache -o -path ./external \) -prune -o \
    -type f "$@" -print0
}

if have clang-format; then
  mode=(--dry-run --Werror)
  [ "$fix" = no ] || mode=(-i)
  check clang-format xargs -0 -r clang-format "${mode[@]}" < <(files \( -name '*.cc' -o -name '*.h' \))
fi

buildifier=.cache/buildifier/node_modules/.bin/buildifier
version=8.2.1 # Pinned: a newer one may ask for another layout.
if [ ! -x $buildifier ] && have npm; then
  mkdir -p .cache/buildifier
  npm install --loglevel=error --no-audit --no-fund --fetch-retries=1 --prefix .cache/buildifier "@bazel/buildifier@$version" >&2 ||
    rm -f $buildifier
fi
# Bazel 4 has the cc and sh rules built in; @rules_cc and @rules_shell are for later ones.
not_here=-native-cc-binary,-native-cc-library,-native-cc-test,-native-sh-binary,-native-sh-test,-unnamed-macro
if [ -x $buildifier ]; then
  mode=(-mode=check)
  [ "$fix" = no ] || mode=(-mode=fix)
  check buildifier xargs -0 -r $buildifier "${mode[@]}" -lint=warn "-warnings=$not_here" \
    < <(files \( -name BUILD -o -name '*.bzl' -o -name WORKSPACE \))
elif [ "$skip_missing" = no ]; then
  echo "lint: npm could not install @bazel/buildifier $version; check the network or use --skip-missing" >&2
  failed+=(buildifier)
else
  skipped+=(buildifier)
fi

if have shellcheck; then
  check shellcheck xargs -0 -r shellcheck -x bazelw .ci/run < <(files -name '*.sh')
fi

if have run-clang-tidy; then
  tidy() {
    # From the directory that `bazel run` chose: that tells it which bazel server to ask.
    (cd -- "$OLDPWD" && "$compile_commands") || return
    # It prints each command line, and a finding in a header once for every file that includes it.
    run-clang-tidy -quiet -p . -j "$(nproc)" "${paths[@]}" 2>/dev/null | sed 's/\x1b\[[0-9;]*m//g' |
      awk '/^clang-tidy/ { show = 0 } /: (error|warning): / { show = !seen[$0]++ } show'
  }
  check clang-tidy tidy
fi

[ ${#skipped[@]} -eq 0 ] || echo "lint: left out: ${skipped[*]}"
if [ ${#failed[@]} -ne 0 ]; then
  echo "lint: failed: ${failed[*]}; --fix repairs what clang-format and buildifier find" >&2
  exit 1
fi
echo "lint: clean"
