#ifndef IPCMARK_IPC_SYSV_SHM_SHM_REPORT_H_
#define IPCMARK_IPC_SYSV_SHM_SHM_REPORT_H_

// What //ipc/sysv_shm:shm prints: tables of at most 100 columns for people, JSON for programs. JSON keys carry their
// unit; times are seconds since 1970 or null for never; keys and modes are strings ("0x00000051", "0600").

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ipc/sysv_shm/limit_proof.h"
#include "ipc/sysv_shm/segment_table.h"

namespace ipcmark::sysv_shm {

std::string SegmentsText(const std::vector<SegmentInfo>& segments, const SegmentUsage& usage);
std::string SegmentsJson(const std::vector<SegmentInfo>& segments, const SegmentUsage& usage);

// One segment with every field that the kernel has.
std::string SegmentText(const SegmentInfo& segment);
std::string SegmentJson(const SegmentInfo& segment);

std::string LimitsText(const std::vector<LimitProof>& limits);
std::string LimitsJson(const std::vector<LimitProof>& limits);

// {"id": 3, "removed": true, "attached": 2}
std::string RemovedJson(int id, uint64_t attached);
// {"id": 3, "offset_bytes": 0, "bytes": 2, "hex": "6869"}; for write without "hex".
std::string BytesJson(int id, uint64_t offset_bytes, std::span<const unsigned char> bytes, bool with_hex);

// One line of up to 16 bytes: offset, hexadecimal, printable characters.
std::string HexLine(uint64_t offset_bytes, std::span<const unsigned char> bytes);

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SHM_REPORT_H_
