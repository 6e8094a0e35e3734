#ifndef IPCMARK_STRESS_BROADCAST_H_
#define IPCMARK_STRESS_BROADCAST_H_

// What "no loss" means where every receiver gets every message (Capabilities::broadcasts).

#include <string>

#include "stress/record.h"

namespace ipcmark::stress {

// The messages of one sender after the other's are one stream. Each receiver gets a stretch of it without any hole:
// from ReceiverHistory::due on at the latest, up to where it was killed or left, or up to the end if it stayed. Where a
// slow receiver misses messages, every hole is as long as it was told (SlowReceiver::kMissesMessages). A message that
// was begun and not accepted, because its sender was killed, is in the stream when anybody has got it, and then it is
// in it for everybody; when nobody has, it may be one that was missed.
//
// "" or "expected ..., seen ..." with the first hole. To be asked when the trial is complete; disorder and duplicates
// are the business of others.
std::string FindHole(const Record& record);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_BROADCAST_H_
