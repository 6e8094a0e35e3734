// SHA-256 (FIPS 180-4), to name a run by its content. Debian has no library that has nothing but this.
#ifndef IPCMARK_RESULTS_SHA256_H_
#define IPCMARK_RESULTS_SHA256_H_

#include <string>

namespace ipcmark::results {

// 64 lower-case hexadecimal digits.
std::string Sha256(const std::string& bytes);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_SHA256_H_
