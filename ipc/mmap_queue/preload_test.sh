#!/bin/bash
# Real clients, unmodified, over the preload library: preload_test.sh LIBRARY[:LIBRARY] PROGRAM ARGUMENT...
# The program must succeed, must have used our queues (it fails where they cannot be made) and must leave none behind.
set -euo pipefail

library=$PWD/${1//:/:$PWD/}
shift
IPCMARK_QUEUE_DIR=$(mktemp -d "$TEST_TMPDIR/queues.XXXXXX")
export IPCMARK_QUEUE_DIR
trap 'rm -rf "$IPCMARK_QUEUE_DIR"' EXIT
cd "$TEST_TMPDIR" # some write files beside them

preloaded() { LD_PRELOAD=$library timeout --kill-after=2 30 "$@"; }

if ! preloaded "$@"; then
  echo "preload_test: $1 failed over $library" >&2
  exit 1
fi
left=$(ls -A "$IPCMARK_QUEUE_DIR")
if [ -n "$left" ]; then
  echo "preload_test: $1 left behind: $left" >&2
  exit 1
fi
if IPCMARK_QUEUE_DIR=/nonexistent preloaded "$@" >"$TEST_TMPDIR/log" 2>&1; then
  cat "$TEST_TMPDIR/log" >&2
  echo "preload_test: $1 did not use our queues: it succeeds without a directory for them" >&2
  exit 1
fi
