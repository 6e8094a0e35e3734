#include "stress/starvation.h"

#include <algorithm>
#include <vector>

namespace ipcmark::stress {

void Starvation::Note(const Look& look) {
  const bool served = look.others != others_;
  others_ = look.others;
  if (!waits_ || !look.works || look.completed != completed_) {
    waits_ = look.works;
    completed_ = look.completed;
    others_before_ = look.others;
    overtaken_ = 0;
    patience_.Renew();
    return;
  }
  if (!served) {
    patience_.Skip();
    return;
  }
  overtaken_ = look.others - others_before_;
  patience_.IsOver([&] { return std::vector<pid_t>{look.process}; });
  if (overtaken_ >= kStarvedOperations) worst_nanos_ = std::max(worst_nanos_, patience_.counted_nanos());
}

}  // namespace ipcmark::stress
