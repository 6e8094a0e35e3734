#ifndef IPCMARK_STRESS_HISTORY_H_
#define IPCMARK_STRESS_HISTORY_H_

// From the board that the processes left behind to the record that invariants read.

#include "stress/board.h"
#include "stress/record.h"

namespace ipcmark::stress {

// Everything in a Record that the logs know. To be called when no process of the trial runs any more.
Record ReadHistory(const Board& board);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_HISTORY_H_
