#!/bin/bash
# The example as its users have it: copied out of the checkout, pointed back at it, tested by a bazel of its own, and its
# two programs run. Nothing of it may depend on lying inside our tree.
set -euo pipefail

root=$(dirname -- "$(readlink -f WORKSPACE)")
scratch=$(mktemp -d "${TEST_TMPDIR:-/tmp}/own.XXXXXX")
export HOME=${HOME:-$scratch}
bazel=(bazel --output_user_root="$scratch/bazel")
# Its server and what it wrote (read-only folders) must not outlive the test.
trap '"${bazel[@]}" shutdown >/dev/null 2>&1 || true; chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT

cp -R "$root/examples/own_transport" "$scratch/mine"
cd "$scratch/mine"
sed -i "s|path = \"../..\"|path = \"$root\"|" WORKSPACE
[ -z "${OWN_TRANSPORT_DISK_CACHE:-}" ] || echo "build --disk_cache=$OWN_TRANSPORT_DISK_CACHE" >>.bazelrc
"${bazel[@]}" test --symlink_prefix=/ //...
"${bazel[@]}" run --symlink_prefix=/ :packet_pipe_bench -- --suite=smoke --primitives=packet_pipe --bytes=64 \
  --benchmark_min_time=0.001 >table
cat table
"${bazel[@]}" run --symlink_prefix=/ :packet_pipe_bench -- --help >help
grep -q '^usage: bazel run //:packet_pipe_bench -- ' help
grep -q '^ packet_pipe  *block  *64 B' table
# The command that it prints works here, too.
compare=$(sed -n 's/^open it with: bazel run //p' table)
read -r -a words <<<"$compare"
"${bazel[@]}" run --symlink_prefix=/ "${words[@]}"
"${bazel[@]}" run --symlink_prefix=/ :packet_pipe_stress -- --seed=1 --trials=1 --scenario='depth:4/bytes:64/none' >stressed
grep -q ' 0 broken' stressed
