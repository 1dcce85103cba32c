// A shield over any operators, in one process: the parts that launch/shield.h puts together for a
// session.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>

#include "airlock/math/field_random.h"
#include "airlock/model/checkpoint.h"
#include "airlock/model/fingerprint.h"
#include "airlock/shield/noise.h"
#include "airlock/shield/pad_source.h"
#include "airlock/shield/ring_model.h"
#include "airlock/shield/ring_operators.h"

namespace airlock::testing {

/// Noise that follows from the row it is added to, so that it does not depend on how rows are
/// batched. A test's: whoever knows the row knows the noise.
class NoiseOfRows final : public NoiseSource {
 public:
  void fill(const float* x, std::int64_t rows, std::int64_t columns, std::int8_t* noise) override {
    for (std::int64_t row = 0; row < rows; ++row) {
      std::uint64_t state = 0x9e3779b97f4a7c15U;
      for (std::int64_t i = 0; i < columns; ++i) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, x + row * columns + i, sizeof bits);
        state = (state ^ bits) * 0x100000001b3U;
      }
      for (std::int64_t i = 0; i < columns; ++i) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        noise[row * columns + i] = static_cast<std::int8_t>(static_cast<int>(state >> 60) - 8);
      }
    }
  }
};

/// Small rings: what they hide is nobody's secret.
inline PadOptions test_pads(const Fingerprint& fingerprint) {
  PadOptions options;
  options.fingerprint = fingerprint;
  options.memory = std::int64_t{64} << 20;
  return options;
}

/// RingModel, pads and RingOperators of one plan over `below`. `dealer`: where hints, or dealt
/// pads, come from; `below` if null.
class TestShield {
 public:
  TestShield(const Checkpoint& checkpoint, const Fingerprint& fingerprint, const Plan& plan,
             const Endpoint& below, NoiseSource* noise = nullptr, Operators* dealer = nullptr,
             std::optional<PadOptions> options = {})
      : model_(checkpoint, {.checks = std::max(1, plan.verify ? plan.soundness / 31 : 0),
                            .lm_head = plan.lm_head == Side::kWorker}) {
    Operators& source = dealer != nullptr ? *dealer : below.operators();
    const PadOptions pads = options.value_or(test_pads(fingerprint));
    if (plan.mask == Mask::kPads) {
      switch (plan.pads) {
        case PadKind::kLattice:
          pads_ = make_lattice_pads(model_, source, pads);
          break;
        case PadKind::kDealer:
          pads_ = make_dealer_pads(model_, source, pads);
          break;
        case PadKind::kLocal:
          pads_ = make_local_pads(model_, checkpoint, pads);
          break;
      }
    }
    operators_ = std::make_unique<RingOperators>(below, model_, plan, pads_.get(), noise);
  }

  [[nodiscard]] RingOperators& operators() { return *operators_; }
  [[nodiscard]] RingModel& model() { return model_; }
  [[nodiscard]] PadSource* pads() { return pads_.get(); }

 private:
  RingModel model_;
  std::unique_ptr<PadSource> pads_;
  std::unique_ptr<RingOperators> operators_;
};

}  // namespace airlock::testing
