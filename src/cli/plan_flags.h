// The flags that choose plans and set their knobs, the same for every command that takes a plan.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "airlock/plan/knobs.h"
#include "airlock/plan/plan.h"

namespace CLI {
class App;
}

namespace airlock {

/// `--plan` and one flag a knob. Add to a command, then ask in its callback.
class PlanFlags {
 public:
  /// `names` is the value of --plan if it is not given; `what` describes it in --help.
  void add_to(CLI::App& command, std::string names, const std::string& what);

  /// The knobs that were set, one wire dtype at most. Throws Error(kInvalidArgument) that names the
  /// flag and suggests.
  [[nodiscard]] Knobs knobs() const;
  /// True if --plan is "auto".
  [[nodiscard]] bool is_auto() const { return names_ == "auto"; }
  /// The plans of --plan with the knobs set, once with each wire dtype if --wire-dtype names
  /// several (with commas, or all); see with_knobs for their names. Plans that have become equal
  /// appear once. Throws Error(kInvalidArgument), also for "auto": callers that can choose a plan
  /// ask is_auto() first.
  [[nodiscard]] std::vector<Plan> plans() const;
  /// `plans` with the knobs set, as plans() does.
  [[nodiscard]] std::vector<Plan> apply(const std::vector<Plan>& plans) const;

 private:
  [[nodiscard]] Knobs knobs_of_any_wire() const;

  std::string names_;
  std::string attention_;
  std::string mlp_;
  std::string wire_dtype_;
  std::string embedding_;
  std::string lm_head_;
  std::optional<std::int64_t> chunk_;
};

}  // namespace airlock
