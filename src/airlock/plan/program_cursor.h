// The one walk through a program: what execution, prediction and cost follow step by step.
#pragma once

#include <cstddef>
#include <vector>

#include "airlock/plan/program.h"

namespace airlock {

/// Gives the visits of one batch in order, one at a time: a run can be left at a call and taken up
/// again. A small value; the program and the batch must outlive it.
class ProgramCursor {
 public:
  ProgramCursor() = default;
  /// `layers`: how many to walk, where layers alike need not be visited one by one.
  ProgramCursor(const Program& program, const Batch& batch, int layers)
      : program_(&program), batch_(&batch), layers_(layers) {}
  ProgramCursor(const Program& program, const Batch& batch)
      : ProgramCursor(program, batch, program.layers) {}

  /// The next visit; false at the end.
  bool next(Visit& visit) {
    while (stage_ <= layers_ + 1) {
      const std::vector<Step>& steps = steps_of_stage();
      if (step_ < steps.size()) {
        const Step& step = steps[step_];
        visit = {&step, stage_ >= 1 && stage_ <= layers_ ? stage_ - 1 : -1,
                 step.by_sequence ? pass_ : -1};
        advance(steps);
        return true;
      }
      ++stage_;
      step_ = 0;
    }
    return false;
  }

 private:
  [[nodiscard]] const std::vector<Step>& steps_of_stage() const {
    static const std::vector<Step> none;
    if (stage_ == 0) return program_->begin;
    if (stage_ <= layers_) return program_->layer;
    return batch_->logit_rows() > 0 ? program_->end : none;
  }

  void advance(const std::vector<Step>& steps) {
    const bool by_sequence = steps[step_].by_sequence;
    ++step_;
    if (!by_sequence) {
      group_ = step_;
    } else if (step_ == steps.size() || !steps[step_].by_sequence) {
      // The group's end: again for the next pass, or on.
      if (++pass_ < batch_->size()) {
        step_ = group_;
      } else {
        pass_ = 0;
        group_ = step_;
      }
    }
    if (step_ == steps.size()) group_ = 0;
  }

  const Program* program_ = nullptr;
  const Batch* batch_ = nullptr;
  int layers_ = 0;
  int stage_ = 0;
  int pass_ = 0;
  std::size_t step_ = 0;
  std::size_t group_ = 0;  ///< where the steps by sequence that follow one another begin
};

/// Calls visit(Visit, times) for each step of a batch; layers are alike, so a step of theirs is
/// visited once, for the first, with their number.
template <typename Visitor>
void visit_steps(const Program& program, const Batch& batch, const Visitor& visitor) {
  ProgramCursor cursor(program, batch, 1);
  Visit visit;
  while (cursor.next(visit)) visitor(visit, visit.layer < 0 ? 1 : program.layers);
}

}  // namespace airlock
