#!/bin/sh
# SIGKILL, or held, at 40 points of every call of every primitive that promises to survive it. The whole sweep is
# `bazelw run //stress -- --sweep`.
exec stress/stress --sweep --seed=20261127 --trials=40
