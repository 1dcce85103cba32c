// Flags of the ring's plans: where pads come from and what they may take.
#pragma once

#include <string>

#include "airlock/launch/shield.h"

namespace CLI {
class App;
}

namespace airlock {

class ShieldFlags {
 public:
  void add_to(CLI::App& app);
  /// Without progress. Throws Error(kInvalidArgument) that names the flag.
  [[nodiscard]] ShieldOptions options() const;

 private:
  std::string dealer_;
  std::string lattice_ = "512x3";
  std::string hint_cache_;
  double pad_gib_ = 1;
};

/// Progress lines on stderr for what a Shield does, one kind of work after another.
[[nodiscard]] std::function<void(const char*, std::int64_t, std::int64_t)> shield_progress(
    bool quiet);

}  // namespace airlock
