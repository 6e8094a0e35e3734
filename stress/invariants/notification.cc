// A registration for a notification is used up by exactly one message: one that comes to the empty object while no
// receiver waits. None is missed and none comes twice, whatever happened to the object before (notice_check.h says how
// that is found out).

#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindMissed(const Record& record) { return record.audit.notices.breach; }

}  // namespace

extern const Invariant kNotification = {"notification", FindMissed};

}  // namespace ipcmark::stress
