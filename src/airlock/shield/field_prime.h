// p where no compiler knows its value. Internal to shield/.
#pragma once

#include <cstdint>

namespace airlock::detail {

extern const std::uint32_t kPrimeVariable;

}  // namespace airlock::detail
