// A report as JSON, for programs and for the page that draws it.
#pragma once

#include <string>

#include "airlock/report/text.h"

namespace airlock {

/// One object: "name", "totals" (sums, "wall_ms", "between_ms", "megabytes_per_second"), "ops",
/// "layers", "stages", "largest", "slowest", "links", "wire_dtypes", "plan" and "worker_sees" (null
/// if unknown), "predicted" (null, or "equal" and its sums), "advice". Ends with a newline.
std::string report_json(const Report& report);

}  // namespace airlock
