#ifndef IPCMARK_STRESS_MUTANTS_FORGETFUL_FORGETFUL_H_
#define IPCMARK_STRESS_MUTANTS_FORGETFUL_FORGETFUL_H_

// A primitive that loses messages, for the tests of the command line: a list entry outside ipc/ like any other.

#include "ipc/sysv_shm/sysv_shm.h"
#include "stress/mutants/broken.h"

namespace ipcmark::forgetful {

using Channel = stress::Broken<sysv_shm::Channel, stress::Defect::kDrops>;

}  // namespace ipcmark::forgetful

#endif  // IPCMARK_STRESS_MUTANTS_FORGETFUL_FORGETFUL_H_
