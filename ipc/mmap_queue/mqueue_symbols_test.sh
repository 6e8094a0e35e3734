#!/bin/bash
# libmmap_mqueue.so exports the names of <mqueue.h>, unversioned, and nothing else: a name with a version of its own
# would intercept nothing, and any other name could intercept something.
set -euo pipefail

expected="__mq_open_2 mq_close mq_getattr mq_notify mq_open mq_receive mq_send mq_setattr mq_timedreceive mq_timedsend mq_unlink"
actual=$(nm -D --defined-only "$1" | awk '{ print $3 }' | LC_ALL=C sort | xargs)
if [ "$actual" != "$expected" ]; then
  echo "exported: $actual" >&2
  echo "expected: $expected" >&2
  exit 1
fi
