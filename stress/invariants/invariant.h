#ifndef IPCMARK_STRESS_INVARIANTS_INVARIANT_H_
#define IPCMARK_STRESS_INVARIANTS_INVARIANT_H_

// An invariant is a value: what must hold after every trial of every scenario. A new one is one file in this folder
// that defines it under the file's own name (no_loss.cc: kNoLoss); the list is generated from the folder.

#include <span>
#include <string>

#include "stress/record.h"

namespace ipcmark::stress {

struct Invariant {
  const char* name;
  // "" when it holds, else "expected ..., seen ..." with the smallest witness. Says "" for what a record cannot tell,
  // such as losses in a trial that did not come to its end.
  std::string (*find_breach)(const Record& record);
  // It also holds when the object's memory was damaged: an end then gets an answer in time, and nobody dies.
  bool outlives_damage = false;
};

// Every invariant in this folder, by file name.
std::span<const Invariant* const> AllInvariants();

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_INVARIANTS_INVARIANT_H_
