// `--plan auto` with a worker at hand: measures both sides and the link, then chooses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "airlock/launch/session.h"
#include "airlock/plan/auto_plan.h"
#include "airlock/plan/cost.h"
#include "airlock/runner/runner_model.h"

namespace airlock {

/// What to choose a plan for.
struct LiveRequest {
  std::int64_t prompt = 0;                ///< tokens to prefill
  std::int64_t generated = 0;             ///< tokens to generate
  std::vector<std::string> must_not_see;  ///< words of worker_sees
  Knobs fixed;                            ///< knobs that are not to be varied
  int lanes = 0;                          ///< calls under way at most; 0: as many as pay
};

/// Times the worker (GatedMlp of layer 0 at some numbers of rows) and the runner's kernels: about a
/// second on two cores. The link's figures are the session's profile. Not recorded in the ledger.
/// Throws as Operators::execute does.
HostRates measure_host_rates(const RunnerModel& model, WorkerSession& session);

/// Chooses by those figures (measured once for each kind of link in a process) and sets the
/// session's lanes. Throws as choose_plan and measure_host_rates do.
PlanChoice choose_live_plan(const RunnerModel& model, WorkerSession& session,
                            const LiveRequest& request);

}  // namespace airlock
