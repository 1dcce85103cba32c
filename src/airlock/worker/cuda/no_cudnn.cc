#include "airlock/worker/cuda/sdpa.h"

namespace airlock::cuda {

struct Sdpa::Impl {};

Sdpa::Sdpa(const Stream& /*stream*/, double /*worth*/) {}
Sdpa::~Sdpa() = default;

bool Sdpa::attend(const AttentionArgs& /*args*/, DType /*dtype*/, std::int64_t /*cache_rows*/,
                  Arena& /*arena*/) {
  return false;
}

}  // namespace airlock::cuda
