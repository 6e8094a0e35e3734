#!/bin/sh
# The reference programs print a time each, and the whole runs to its end: with too few pairs to decide anything, which
# is what its status has to say.
set -eu
for program in pipe_round_trip pipe_ping_pong pipe_throughput line_ping_pong; do
  bench/validation/reference "$program" 0 0 100 8 | grep -Eq '^[0-9]+\.[0-9]{3}$'
done
for program in round_trip round_trip_blocking throughput throughput_blocking; do
  for bytes in 64 264 1024; do  # packed, by lines, by pages
    bench/validation/ring "$program" 0 0 100 "$bytes" 4 | grep -Eq '^[0-9]+\.[0-9]{3}$'
  done
done
for program in pipe_round_trip ring_round_trip ring_throughput; do
  bench/validation/bare "$program" 0 0 100 8 4 | grep -Eq '^[0-9]+\.[0-9]{3}$'
done
status=0
bench/validation/bare pipe_round_trip 0 0 100 7 4 2>/dev/null || status=$?
[ "$status" -eq 2 ]
status=0
bench/validation/reference pipe_round_trip 0 0 100 7 2>/dev/null || status=$?
[ "$status" -eq 2 ]
status=0
bench/validation/ring round_trip 0 0 100 8 0 2>/dev/null || status=$?
[ "$status" -eq 2 ]
status=0
bench/validation/validation --pairs=2 --count=200 >"$TEST_TMPDIR/table" || status=$?
cat "$TEST_TMPDIR/table"
[ "$status" -eq 3 ]
[ "$(grep -c 'harness / .* undecided$' "$TEST_TMPDIR/table")" -eq 13 ]
status=0
bench/validation/validation --pairs=0 2>"$TEST_TMPDIR/refusal" || status=$?
[ "$status" -eq 2 ]
[ "$(wc -l <"$TEST_TMPDIR/refusal")" -eq 1 ]
bench/validation/validation --help | grep -q '^exit codes: 0 all'
bench/validation/validation -h >/dev/null
