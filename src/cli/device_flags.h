// Flags that say what a worker computes on, with, and within how much memory: of `airlock worker`,
// and of the commands that start one.
#pragma once

#include <string>
#include <string_view>

#include "airlock/core/device.h"

namespace CLI {
class App;
}

namespace airlock {

class DeviceFlags {
 public:
  /// Adds --device, --compute-dtype, --kv-budget, --gpu-memory and --tf32, and --products of a
  /// worker by itself. `whose` ends their texts: " of a worker started here", or "". `group` heads
  /// them in the help, if it is not empty.
  void add_to(CLI::App& app, std::string_view whose, const std::string& group);
  /// Throws Error(kInvalidArgument). Does not ask whether the device is there.
  [[nodiscard]] ComputeOptions options() const;

 private:
  std::string device_ = "cpu";
  std::string compute_dtype_ = "bf16";
  std::string products_ = "all";
  double kv_gib_ = 8;
  double gpu_gib_ = 0;
  bool tf32_ = false;
};

}  // namespace airlock
