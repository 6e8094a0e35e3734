#!/bin/sh
# Every primitive, every shape and wait strategy, every fault, with a fixed seed: one trial each. The geometries are a
# subset, for the time's sake; `bazelw run //stress` has them all.
exec stress/stress --seed=20261123 --trials=1 \
  --scenario='^([^n]|named_queue/[^/]*/[^/]*/depth:4).*depth:(1/bytes:64|4/bytes:4096|64/bytes:65536)/'
