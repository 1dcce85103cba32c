// Runs a test on every instruction set that the vectorised kernels were compiled for and this
// processor has, not on its best alone.
#pragma once

#include <gtest/gtest.h>
#include <hwy/highway.h>

namespace airlock::testing {

/// Makes one target (0: the best again) what kernels dispatch to.
inline void choose_target(std::int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

template <typename Body>
void for_each_target(const Body& body) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    choose_target(target);
    body();
  }
  choose_target(0);
}

}  // namespace airlock::testing
