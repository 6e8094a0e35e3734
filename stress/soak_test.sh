#!/bin/sh
# Every scenario again and again, each time with other seeds, for IPCMARK_SOAK_SECONDS (`--config=soak` sets hours). Fails
# on any broken invariant and when the runner's memory grows (memory_watch.h).
exec stress/stress --seconds="${IPCMARK_SOAK_SECONDS:-60}" ${IPCMARK_SEED:+--seed="$IPCMARK_SEED"}
