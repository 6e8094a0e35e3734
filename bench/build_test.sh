#!/bin/sh
# A plain build of //bench measures: optimised, and in-tree code linked statically (a call into a shared object goes
# through the PLT). $1: optimized, or what the configuration that this test was built in makes of it.
set -eu
cd "$TEST_TMPDIR"
bench=$TEST_SRCDIR/$TEST_WORKSPACE/bench/bench
"$bench" --suite=smoke --primitives=pipe --bytes=8 --benchmark_min_time=0.001 --benchmark_out=run.json >/dev/null
grep "\"build\": \"$1\"" run.json
[ "$1" = optimized ] || exit 0
# ldd names what it found in the tree by a path below it, and what it did not find, "not found".
libraries=$(ldd "$bench")
echo "$libraries"
! echo "$libraries" | grep -e "$TEST_WORKSPACE" -e bazel-out -e 'not found'
