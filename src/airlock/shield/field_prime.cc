#include "airlock/shield/field_prime.h"

#include "airlock/math/field.h"

namespace airlock::detail {

const std::uint32_t kPrimeVariable = kFieldPrime;

}  // namespace airlock::detail
