// Members of a JSON object, for any of RapidJSON's writers. Text keeps its bytes, but for control characters; a number
// that JSON does not have is left out.
#ifndef IPCMARK_RESULTS_JSON_PUT_H_
#define IPCMARK_RESULTS_JSON_PUT_H_

#include <cmath>
#include <cstdint>
#include <string>

#include "results/text.h"

namespace ipcmark::results {

template <typename Writer>
void PutText(Writer& writer, const char* key, const std::string& value) {
  writer.Key(key);
  writer.String(PrintableUtf8(value).c_str());
}

template <typename Writer>
void PutNumber(Writer& writer, const char* key, double value) {
  if (!std::isfinite(value)) return;
  writer.Key(key);
  writer.Double(value);
}

template <typename Writer>
void PutCount(Writer& writer, const char* key, uint64_t value) {
  writer.Key(key);
  writer.Uint64(value);
}

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_JSON_PUT_H_
