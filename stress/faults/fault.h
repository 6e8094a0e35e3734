#ifndef IPCMARK_STRESS_FAULTS_FAULT_H_
#define IPCMARK_STRESS_FAULTS_FAULT_H_

// A fault is a value: what is done to the processes of a trial while traffic flows. A new one is one file in this
// folder that defines it under the file's own name (sigkill.cc: kSigkill); the list is generated from the folder.

#include <span>
#include <vector>

#include "stress/plan.h"
#include "stress/random.h"

namespace ipcmark::stress {

struct Fault {
  const char* name;
  // The strikes of one trial, in their order. `plan` has everything but the strikes.
  std::vector<Strike> (*strikes)(const TrialPlan& plan, Random random);
  // Why it does not apply to a primitive, or null. Null itself: it applies to all.
  const char* (*why_unfit)(const Capabilities& capabilities) = nullptr;
  // It is about shared memory: nothing for objects that the kernel keeps.
  bool needs_memory = false;
  // TrialPlan::damages.
  bool damages = false;
};

// Every fault in this folder, by file name.
std::span<const Fault* const> AllFaults();

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_FAULTS_FAULT_H_
