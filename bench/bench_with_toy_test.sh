#!/bin/sh
# A fourth primitive is one folder and one more entry in a list: bench measures it like the others.
set -eu
cd "$TEST_TMPDIR"
bench=$TEST_SRCDIR/$TEST_WORKSPACE/bench/bench_with_toy
"$bench" --suite=smoke --primitives=toy,pipe --bytes=64 --benchmark_min_time=0.001 --benchmark_out=run.json >table
for row in RoundTrip/toy/block/64 Throughput/toy/block/64 RoundTrip/pipe/block/64; do
  grep -q "\"name\": \"$row/manual_time\"" run.json || { echo "no row $row"; cat run.json; exit 1; }
done
grep -q '^ toy  *block  *64 B' table
! grep -q error_occurred run.json
