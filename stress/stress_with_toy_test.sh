#!/bin/bash
# A fourth primitive is one folder and one more entry in the list: the same program, built with the toy, stresses it.
set -euo pipefail

out=$("$PWD/stress/stress_with_toy" --seed=1 --trials=2 --seconds=20 \
  --scenario='^toy/1to1/block/depth:4/bytes:64/(none|sigkill)$')
grep -q 'toy/1to1/block/depth:4/bytes:64/none ' <<<"$out" || { echo "no row for the toy in: $out"; exit 1; }
grep -q '2 scenarios, 4 trials, .* 0 broken' <<<"$out" || { echo "not what was asked for: $out"; exit 1; }
