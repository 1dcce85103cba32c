// Fields of config.json that Airlock does not apply: harmless ones, ones that would change the
// numbers, and ones it has never heard of.
// Inside the model room only.
#pragma once

#include <string>
#include <vector>

#include "airlock/model/config_fields.h"

namespace airlock {

/// Of the whole config.json. Throws Error(kUnsupported), naming the field, for one that changes a
/// model's numbers and is set to more than nothing. Gives a line for people that names the fields
/// that are unknown, if there are any: like transformers, Airlock does without them.
[[nodiscard]] std::vector<std::string> check_unapplied_fields(const ConfigFields& fields,
                                                              std::string_view where);

}  // namespace airlock
