#ifndef IPCMARK_BENCH_MACHINE_MACHINE_H_
#define IPCMARK_BENCH_MACHINE_MACHINE_H_

// What the machine says of itself in /proc and /sys: for the context of the result file, and as warnings. Each takes
// the root of the file system, so that any machine can be tested; what is not there is `unknown`, never a failure.

#include <string>
#include <utility>
#include <vector>

namespace ipcmark::bench {

// Key and value, one line each; results/schema.md defines them.
std::vector<std::pair<std::string, std::string>> Machine(const std::string& root = "/");

// One line for each setting that spoils numbers, with how to mend it.
std::vector<std::string> MachineWarnings(const std::string& root = "/");

// The first line of a file; "unknown" where there is none.
std::string FirstLine(const std::string& path);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_MACHINE_MACHINE_H_
