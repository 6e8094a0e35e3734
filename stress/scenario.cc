#include "stress/scenario.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ipcmark::stress {
namespace {

struct Shape {
  const char* name;
  uint32_t senders;
  uint32_t receivers;
  bool of_broadcasts_only = false;
  SlowReceiver slow_receiver = SlowReceiver::kBlocksSender;
};
constexpr Shape kShapes[] = {{"1to1", 1, 1},
                             {"3to1", 3, 1},
                             {"1to3", 1, 3},
                             {"3to3", 3, 3},
                             {"1to3_misses", 1, 3, true, SlowReceiver::kMissesMessages}};
constexpr uint32_t kDepths[] = {1, 4, 64};
constexpr uint32_t kMessageBytes[] = {64, 4096, 65536};

class Builder {
 public:
  Builder(Catalogue* catalogue, const Choice& choice) : catalogue_(*catalogue), choice_(choice) {}

  void AddPrimitive(const PrimitiveEntry& primitive) {
    shares_memory_ = primitive.shares_memory(Smallest(kShapes[0], SomeWait(primitive.capabilities)));
    for (const Fault* fault : AllFaults()) {
      const char* why = WhyUnfit(primitive, *fault);
      if (why != nullptr && ChoosesFault(*fault)) Skip(absl::StrCat(primitive.name, "/.../", fault->name), why);
    }
    for (const Shape& shape : kShapes) {
      if (shape.of_broadcasts_only && !primitive.capabilities.broadcasts) continue;
      const std::string name = absl::StrCat(primitive.name, "/", shape.name);
      const absl::Status fits = FitsShape(primitive, shape);
      if (!fits.ok()) {
        Skip(name, fits.message());
        continue;
      }
      for (const Wait wait : kAllWaits) AddWait(primitive, absl::StrCat(name, "/", WaitName(wait)), shape, wait);
    }
  }

 private:
  [[nodiscard]] const char* WhyUnfit(const PrimitiveEntry& primitive, const Fault& fault) const {
    if (fault.needs_memory && !shares_memory_) return "the kernel keeps its state, and not memory of its processes";
    return fault.why_unfit == nullptr ? nullptr : fault.why_unfit(primitive.capabilities);
  }

  static Wait SomeWait(const Capabilities& capabilities) {
    Wait some = Wait::kBlock;
    for (const Wait wait : kAllWaits) some = capabilities.waits.Has(wait) ? wait : some;
    return some;
  }

  // What no wait strategy could mend is said once, for the whole shape.
  static absl::Status FitsShape(const PrimitiveEntry& primitive, const Shape& shape) {
    absl::Status status;
    for (const Wait wait : kAllWaits) {
      status = CheckGeometry(primitive.name, primitive.capabilities, Smallest(shape, wait));
      if (status.ok()) break;
    }
    return status;
  }

  static Geometry Smallest(const Shape& shape, Wait wait) {
    return {.depth_messages = kDepths[0],
            .max_message_bytes = kMessageBytes[0],
            .wait = wait,
            .senders = shape.senders,
            .receivers = shape.receivers,
            .slow_receiver = shape.slow_receiver};
  }

  [[nodiscard]] bool ChoosesFault(const Fault& fault) const { return choice_.fault.Has(fault.name); }

  void Skip(const std::string& name, absl::string_view why) {
    if (choice_.name(name)) catalogue_.skipped.push_back({name, std::string(why)});
  }

  void AddWait(const PrimitiveEntry& primitive, const std::string& name, const Shape& shape, Wait wait) {
    Geometry geometry = Smallest(shape, wait);
    const absl::Status fits = CheckGeometry(primitive.name, primitive.capabilities, geometry);
    if (!fits.ok()) {
      Skip(name, fits.message());
      return;
    }
    for (const uint32_t depth : kDepths) {
      for (const uint32_t bytes : kMessageBytes) {
        geometry.depth_messages = depth;
        geometry.max_message_bytes = bytes;
        AddGeometry(primitive, absl::StrCat(name, "/depth:", depth, "/bytes:", bytes), geometry);
      }
    }
  }

  void AddGeometry(const PrimitiveEntry& primitive, const std::string& name, const Geometry& geometry) {
    std::vector<Scenario> scenarios;
    for (const Fault* fault : AllFaults()) {
      if (!ChoosesFault(*fault)) continue;
      if (WhyUnfit(primitive, *fault) != nullptr) continue;
      const std::string full_name = absl::StrCat(name, "/", fault->name);
      if (choice_.name(full_name)) scenarios.push_back({full_name, &primitive, geometry, fault});
    }
    if (scenarios.empty()) return;
    const absl::Status fits = primitive.probe(geometry);
    // Other errors are the system's, not the primitive's, and stop the run when its turn comes.
    if (absl::IsUnimplemented(fits)) {
      Skip(name, fits.message());
    } else {
      catalogue_.scenarios.insert(catalogue_.scenarios.end(), scenarios.begin(), scenarios.end());
    }
  }

  Catalogue& catalogue_;
  const Choice& choice_;
  bool shares_memory_ = false;  // of the primitive at hand
};

}  // namespace

Catalogue MakeCatalogue(std::span<const PrimitiveEntry> primitives, const Choice& choice) {
  Catalogue catalogue;
  Builder builder(&catalogue, choice);
  for (const PrimitiveEntry& primitive : primitives) {
    if (choice.primitive.Has(primitive.name)) builder.AddPrimitive(primitive);
  }
  return catalogue;
}

}  // namespace ipcmark::stress
