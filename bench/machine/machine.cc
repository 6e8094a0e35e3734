#include "bench/machine/machine.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ipcmark::bench {
namespace {

namespace fs = std::filesystem;

constexpr char kUnknown[] = "unknown";
constexpr char kGovernor[] = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
constexpr char kClocksource[] = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

// The values of a key in /proc/cpuinfo, one a CPU.
std::vector<std::string> CpuInfo(const std::string& root, const std::string& key) {
  std::vector<std::string> values;
  std::ifstream file(root + "/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos || line.rfind(key, 0) != 0) continue;
    // "cpu family" begins like "cpu": only blanks may follow.
    if (line.find_first_not_of(" \t", key.size()) == colon) values.push_back(line.substr(colon + 2));
  }
  return values;
}

std::string FirstCpuInfo(const std::string& root, const std::string& key) {
  const std::vector<std::string> values = CpuInfo(root, key);
  return values.empty() ? kUnknown : values.front();
}

// "2 cores, 4 CPUs".
std::string Cores(const std::string& root) {
  const std::vector<std::string> packages = CpuInfo(root, "physical id");
  const std::vector<std::string> cores = CpuInfo(root, "core id");
  const size_t cpus = CpuInfo(root, "processor").size();
  if (cpus == 0) return kUnknown;
  std::set<std::string> different;
  for (size_t i = 0; i < std::min(packages.size(), cores.size()); ++i) different.insert(packages[i] + "/" + cores[i]);
  return absl::StrCat(different.empty() ? "? cores" : absl::StrCat(different.size(), " cores"), ", ", cpus, " CPUs");
}

// The names in a folder, sorted; none where it is not there.
std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// Of the first CPU: "L1d 48K, L1i 32K, L2 2048K, L3 307200K (CPUs 0-1)".
std::string Caches(const std::string& root) {
  const std::string folder = root + "/sys/devices/system/cpu/cpu0/cache/";
  std::vector<std::string> caches;
  for (const std::string& index : NamesIn(folder)) {
    if (index.rfind("index", 0) != 0) continue;
    const std::string type = FirstLine(folder + index + "/type");
    caches.push_back(absl::StrCat("L", FirstLine(folder + index + "/level"),
                                  type == "Data"          ? "d"
                                  : type == "Instruction" ? "i"
                                                          : "",
                                  " ", FirstLine(folder + index + "/size"), " (CPUs ",
                                  FirstLine(folder + index + "/shared_cpu_list"), ")"));
  }
  return caches.empty() ? kUnknown : absl::StrJoin(caches, ", ");
}

// What the kernel does about each flaw that this processor has: system calls and context switches cost accordingly.
std::string Mitigations(const std::string& root) {
  const std::string folder = root + "/sys/devices/system/cpu/vulnerabilities";
  const std::vector<std::string> flaws = NamesIn(folder);
  if (flaws.empty()) return kUnknown;
  std::vector<std::string> states;
  for (const std::string& flaw : flaws) {
    const std::string state = FirstLine(absl::StrCat(folder, "/", flaw));
    if (state != "Not affected") states.push_back(absl::StrCat(flaw, ": ", state));
  }
  return states.empty() ? "none needed" : absl::StrJoin(states, " | ");
}

std::string Hypervisor(const std::string& root) {
  std::string type = FirstLine(root + "/sys/hypervisor/type");
  if (type != kUnknown) return type;
  const std::string flags = " " + FirstCpuInfo(root, "flags") + " ";
  if (flags.find(" hypervisor ") == std::string::npos) return "none";
  const std::string vendor = FirstLine(root + "/sys/class/dmi/id/sys_vendor");
  return vendor == kUnknown ? "yes" : vendor;
}

// The word in brackets: "always [madvise] never" is "madvise".
std::string Chosen(const std::string& line) {
  const size_t open = line.find('[');
  const size_t close = line.find(']');
  return open == std::string::npos || close < open ? line : line.substr(open + 1, close - open - 1);
}

std::string IpcLimits(const std::string& root) {
  std::vector<std::string> limits;
  for (const char* name : {"kernel/shmmax", "kernel/shmall", "kernel/shmmni", "kernel/msgmax", "kernel/msgmnb",
                           "kernel/msgmni", "fs/pipe-max-size", "fs/pipe-user-pages-soft", "fs/mqueue/msg_max",
                           "fs/mqueue/msgsize_max", "fs/mqueue/queues_max", "net/core/wmem_max", "net/core/rmem_max"}) {
    const std::string value = FirstLine(absl::StrCat(root, "/proc/sys/", name));
    if (value != kUnknown) limits.push_back(absl::StrCat(name, "=", value));
  }
  return limits.empty() ? kUnknown : absl::StrJoin(limits, " ");
}

}  // namespace

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  return std::getline(file, line) && !line.empty() ? line : kUnknown;
}

std::vector<std::pair<std::string, std::string>> Machine(const std::string& root) {
  return {
      {"cpu_model", FirstCpuInfo(root, "model name")},
      {"microcode", FirstCpuInfo(root, "microcode")},
      {"cores", Cores(root)},
      {"cpu_caches", Caches(root)},
      {"mitigations", Mitigations(root)},
      {"governor", FirstLine(root + kGovernor)},
      {"clocksource", FirstLine(root + kClocksource)},
      {"hypervisor", Hypervisor(root)},
      {"transparent_hugepages", Chosen(FirstLine(root + "/sys/kernel/mm/transparent_hugepage/enabled"))},
      {"ipc_limits", IpcLimits(root)},
  };
}

std::vector<std::string> MachineWarnings(const std::string& root) {
  std::vector<std::string> warnings;
  const std::string governor = FirstLine(root + kGovernor);
  if (governor != kUnknown && governor != "performance") {
    warnings.push_back(absl::StrCat("the CPU governor is ", governor,
                                    ": set it to performance (cpupower frequency-set -g performance)"));
  }
  const std::string clocksource = FirstLine(root + kClocksource);
  if (clocksource != kUnknown && clocksource != "tsc") {
    warnings.push_back(absl::StrCat("the clocksource is ", clocksource, ", which is slow or coarse to read: echo tsc >",
                                    kClocksource, " where the machine has it"));
  }
  return warnings;
}

}  // namespace ipcmark::bench
