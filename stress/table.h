#ifndef IPCMARK_STRESS_TABLE_H_
#define IPCMARK_STRESS_TABLE_H_

// What stress_binary (stress.bzl) generates for each binary.

#include <span>

#include "stress/traffic.h"

namespace ipcmark::stress {

// The primitives that this binary was built with, in the order of its list.
std::span<const PrimitiveEntry> PrimitiveTable();

// This binary's label, as in "//stress", for the commands that it prints.
const char* TargetLabel();

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_TABLE_H_
