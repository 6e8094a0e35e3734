#ifndef IPCMARK_STRESS_RANDOM_H_
#define IPCMARK_STRESS_RANDOM_H_

// Numbers that one seed determines. Not <random>: its distributions differ between standard libraries, and a seed from
// one machine must mean the same trial on another.

#include <cstdint>

namespace ipcmark::stress {

// A bijection of 64 bits in which every input bit reaches every output bit (the finaliser of SplitMix64).
constexpr uint64_t Scramble(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

// A seed for part `part` of what `seed` determines, independent of its other parts.
constexpr uint64_t SubSeed(uint64_t seed, uint64_t part) {
  return Scramble(Scramble(seed + 0x9e3779b97f4a7c15) ^ (part + 1));
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() { return Scramble(state_ += 0x9e3779b97f4a7c15); }
  // Below `bound`, with a bias of bound / 2^64; 0 for a bound of 0.
  uint64_t Below(uint64_t bound) { return bound == 0 ? 0 : Next() % bound; }
  bool OneIn(uint64_t count) { return Below(count) == 0; }

 private:
  uint64_t state_;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_RANDOM_H_
