// The table of `airlock bench`: what people see, and the keys that programs read.
#pragma once

#include <string>
#include <vector>

#include "airlock/engine/measure.h"
#include "airlock/report/table.h"

namespace airlock {

/// One row a measurement, in the order given.
Table bench_table(const std::string& model, std::int64_t tokens,
                  const std::vector<Measurement>& measurements);

}  // namespace airlock
