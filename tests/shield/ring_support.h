// A small checkpoint, its int8 weights by the definition, and a worker that computes with them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/math/field.h"
#include "airlock/math/field_random.h"
#include "airlock/model/checkpoint.h"
#include "airlock/model/synth.h"
#include "airlock/ops/operators.h"
#include "airlock/ops/rules.h"
#include "airlock/shield/ring_model.h"

#include "tests/model/support.h"
#include "tests/support/model_configs.h"
#include "tests/support/temp_dir.h"

namespace airlock::testing {

/// A weight in int8 by the definition, one at a time.
struct PlainInt8 {
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::vector<std::int8_t> q;  ///< [out, in]
  std::vector<float> scales;   ///< [out]

  PlainInt8() = default;
  PlainInt8(const Checkpoint& checkpoint, Weight weight, int layer) {
    const Shape shape = checkpoint.spec(weight, layer).shape;
    out = shape[0];
    in = shape[1];
    const std::vector<float> values = checkpoint.load_f32(weight, layer);
    for (std::int64_t row = 0; row < out; ++row) {
      const float* const w = values.data() + row * in;
      float most = 0;
      for (std::int64_t i = 0; i < in; ++i) most = std::max(most, std::fabs(w[i]));
      const float scale = most / 127.0F;
      scales.push_back(scale);
      for (std::int64_t i = 0; i < in; ++i) {
        q.push_back(static_cast<std::int8_t>(scale == 0 ? 0.0F : std::nearbyint(w[i] / scale)));
      }
    }
  }

  /// Row `m` of the weight times `x` [in] below p, modulo p.
  [[nodiscard]] std::uint32_t product(const std::uint32_t* x, std::int64_t m) const {
    std::int64_t sum = 0;  // below 2^31 * 2^7 * 2^15
    for (std::int64_t i = 0; i < in; ++i) {
      sum += std::int64_t{q[static_cast<std::size_t>(m * in + i)]} * x[i];
    }
    return to_field(sum);
  }
};

/// A synthetic checkpoint on the disk, no width a multiple of 16.
class RingCheckpoint {
 public:
  explicit RingCheckpoint(std::uint64_t seed = 7, bool tied = false) {
    ModelConfig config = counted_config({2, 40, 6, 2, 10, 91, 257, 4096});
    config.tie_embeddings = tied;
    SynthOptions options;
    options.seed = seed;
    synthesize(config, dir_ / "model", options);
    checkpoint_ = Checkpoint::open(dir_ / "model");
    for (const RingGroup& group : ring_groups(config, true)) {
      for (const Weight weight : group.weights) {
        matrices_[{group.layer, weight}] = PlainInt8(*checkpoint_, weight, group.layer);
      }
    }
  }

  [[nodiscard]] const Checkpoint& checkpoint() const { return *checkpoint_; }
  [[nodiscard]] const ModelConfig& config() const { return checkpoint_->config(); }
  [[nodiscard]] const PlainInt8& matrix(int layer, Weight weight) const {
    return matrices_.at({layer, weight});
  }
  [[nodiscard]] const std::map<std::pair<int, Weight>, PlainInt8>& matrices() const {
    return matrices_;
  }

 private:
  TempDir dir_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  std::map<std::pair<int, Weight>, PlainInt8> matrices_;
};

/// One that the tests of a program share; nothing changes it.
inline const RingCheckpoint& ring_checkpoint() {
  static const RingCheckpoint checkpoint;
  return checkpoint;
}

/// Answers PadProduct by the definition, when a call is collected. Refuses all else.
class PlainWorker final : public Operators {
 public:
  explicit PlainWorker(const RingCheckpoint& checkpoint, int lanes = 3)
      : checkpoint_(checkpoint), lanes_(lanes) {}

  /// Sees, and may change, the outputs of each call.
  std::function<void(const Call&, std::span<const Tensor>)> tamper = {};
  std::int64_t calls = 0;
  std::int64_t sent = 0;
  std::int64_t received = 0;
  std::vector<FieldSeed> seeds;

  [[nodiscard]] int lanes() const noexcept override { return lanes_; }
  CallTicket submit(const Call& call, std::span<const ConstTensor> inputs,
                    std::span<const Tensor> outputs) override {
    require(std::ssize(under_way_) < lanes_, ErrorCode::kInternal, "too many calls under way");
    const TensorSpecs specs = infer_outputs(checkpoint_.config(), call);
    require(call.op == Op::kPadProduct && inputs.size() == 1 && specs.size() == std::ssize(outputs),
            ErrorCode::kProtocol, "unexpected call {}", call);
    UnderWay& entry = under_way_.emplace_back();
    entry.call = call;
    std::memcpy(entry.seed.data(), inputs[0].data, entry.seed.size());
    seeds.push_back(entry.seed);
    for (int i = 0; i < specs.size(); ++i) {
      require(specs[i] == outputs[static_cast<std::size_t>(i)].spec, ErrorCode::kInternal,
              "outputs of {} have other specs", call);
      entry.outputs.push_back(outputs[static_cast<std::size_t>(i)]);
      received += specs[i].bytes();
    }
    sent += inputs[0].bytes();
    return {static_cast<std::uint64_t>(calls++)};
  }
  void collect(CallTicket ticket) override {
    const auto oldest = calls - std::ssize(under_way_);
    require(!under_way_.empty() && ticket.number == static_cast<std::uint64_t>(oldest),
            ErrorCode::kInternal, "call {} collected, the oldest is {}", ticket.number, oldest);
    const UnderWay entry = std::move(under_way_.front());
    under_way_.pop_front();
    const auto [sequence, rows, first] = entry.call.ranges[0];
    std::vector<std::uint32_t> x;
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::size_t k = 0; k < entry.outputs.size(); ++k) {
        const PlainInt8& matrix =
            checkpoint_.matrix(entry.call.layer, entry.call.weights[static_cast<int>(k)]);
        if (k == 0) {
          x.resize(static_cast<std::size_t>(matrix.in));
          expand_field_row(entry.seed, static_cast<std::uint64_t>(first + row), x);
        }
        auto* const out = entry.outputs[k].as<std::uint32_t>() + row * matrix.out;
        for (std::int64_t m = 0; m < matrix.out; ++m) out[m] = matrix.product(x.data(), m);
      }
    }
    if (tamper) tamper(entry.call, entry.outputs);
  }
  void abandon() noexcept override { under_way_.clear(); }
  void end_sequence(std::uint32_t /*sequence*/) override {}

 private:
  struct UnderWay {
    Call call;
    FieldSeed seed{};
    std::vector<Tensor> outputs;
  };
  const RingCheckpoint& checkpoint_;
  int lanes_;
  std::deque<UnderWay> under_way_;
};

}  // namespace airlock::testing
