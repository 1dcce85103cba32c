// What `airlock bench --probe` shows: figures of links and of both sides, measured on a session.
#pragma once

#include <string>
#include <vector>

#include "airlock/plan/cost.h"
#include "airlock/remote/link_probe.h"
#include "airlock/report/table.h"

namespace airlock {

struct ProbeRow {
  std::string link;
  LinkProfile profile;
  HostRates rates;
};

/// A line a link.
Table probe_table(const std::vector<ProbeRow>& rows);

}  // namespace airlock
