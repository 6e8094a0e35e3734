#!/bin/sh
# Every primitive, every shape and wait strategy, every fault, with a fixed seed: one trial each. The geometries are a
# subset, for the time's sake, and a smaller one for the faults that change the processes' surroundings and for the named
# queue; `bazelw run //stress` has them all.
exec stress/stress --seed=20261123 --trials=1 --scenario='depth:4/bytes:4096/|'\
'^[^n].*/depth:(1/bytes:64|64/bytes:65536)/(affinity|attach|corrupted|exit|fd|none|shm|sig)'
