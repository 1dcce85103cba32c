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
  /// Adds --must-not-see, for commands that can choose a plan.
  void add_choice_to(CLI::App& command);

  /// True if --plan is "auto", or has it among other names.
  [[nodiscard]] bool is_auto() const { return names_ == "auto"; }
  [[nodiscard]] bool has_auto() const;
  /// The words of --must-not-see. Throws Error(kInvalidArgument) for unknown ones, and for any
  /// unless has_auto().
  [[nodiscard]] std::vector<std::string> must_not_see() const;
  /// The plans of --plan with the knobs set, once with each wire dtype if --wire-dtype names
  /// several (with commas, or all: then plans of the ring keep theirs); see with_knobs for their
  /// names. Plans that have become equal appear once. Throws Error(kInvalidArgument), also for
  /// "auto": callers that can choose a plan ask has_auto() first.
  [[nodiscard]] std::vector<Plan> plans() const;
  /// The same without "auto"; none if that is all there is.
  [[nodiscard]] std::vector<Plan> plans_beside_auto() const;
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
  std::string mask_;
  std::string verify_;
  std::string pads_;
  std::optional<int> soundness_;
  std::string must_not_see_;
};

}  // namespace airlock
