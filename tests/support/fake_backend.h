// A backend whose answers a test can check by hand: every output element is the sum of the inputs.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/math/convert.h"
#include "airlock/worker/backend.h"

#include "tests/support/small_model.h"

namespace airlock::testing {

/// Counts cached rows per layer, of kRowBytes each, by the rules that Backend documents.
class FakeSequence final : public BackendSequence {
 public:
  static constexpr std::int64_t kRowBytes = 100;
  static std::atomic<int>& alive() {
    static std::atomic<int> count{0};
    return count;
  }
  FakeSequence() { ++alive(); }
  ~FakeSequence() override { --alive(); }

  std::int64_t kv_bytes() const override {
    return std::accumulate(rows_.begin(), rows_.end(), std::int64_t{0},
                           [](std::int64_t sum, auto& entry) { return sum + entry.second; }) *
           kRowBytes;
  }
  std::int64_t kv_bytes_with(int layer, std::int64_t rows) const override {
    return kv_bytes() + kRowBytes * (rows - held(layer));
  }
  void require_rows(const Call& call, const RowRange& range) const {
    require(range.position <= held(call.layer), ErrorCode::kSessionLost,
            "{}: {} rows are cached, not {}", call, held(call.layer), range.position);
  }
  void append(const Call& call, const RowRange& range) {
    rows_[call.layer] = range.position + range.tokens;
  }

 private:
  std::int64_t held(int layer) const {
    const auto found = rows_.find(layer);
    return found == rows_.end() ? 0 : found->second;
  }
  std::map<int, std::int64_t> rows_;
};

/// Sum of all elements of all tensors, in f32, in order.
inline float sum_of(std::span<const ConstTensor> tensors, std::vector<float>& scratch) {
  float sum = 0;
  for (const ConstTensor& tensor : tensors) {
    const auto count = static_cast<std::size_t>(tensor.spec.shape.elements());
    if (tensor.spec.dtype == DType::kI64) {
      sum = std::accumulate(tensor.as<std::int64_t>(), tensor.as<std::int64_t>() + count, sum);
    } else if (tensor.spec.dtype == DType::kF32) {
      sum = std::accumulate(tensor.as<float>(), tensor.as<float>() + count, sum);
    } else {
      scratch.resize(count);
      convert(tensor,
              {{DType::kF32, tensor.spec.shape}, reinterpret_cast<std::byte*>(scratch.data())});
      sum = std::accumulate(scratch.begin(), scratch.end(), sum);
    }
  }
  return sum;
}

/// What element of output `index` of a call answers whose inputs add up to `sum`.
inline float fake_answer(float sum, std::size_t index) {
  return sum + static_cast<float>(index);
}

class FakeBackend : public Backend {
 public:
  /// Runs in the middle of every call; may block or throw. Set before the server starts.
  std::function<void(const Call&)> during;
  /// Runs in open_sequence; may throw.
  std::function<void()> on_open;
  ModelConfig model = small_config();
  /// More than any call has: an answer is of all rows together. Set before the server starts.
  std::int64_t turn_rows = std::int64_t{1} << 40;

  const ModelConfig& config() const override { return model; }
  DType compute_dtype() const override { return DType::kBF16; }
  std::string description() const override { return "fake, bf16"; }
  std::int64_t weight_bytes() const override { return 4711; }
  std::unique_ptr<BackendSequence> open_sequence() override {
    if (on_open) on_open();
    return std::make_unique<FakeSequence>();
  }
  void execute(const Call& call, std::span<BackendSequence* const> sequences,
               std::span<const ConstTensor> inputs, std::span<const Tensor> outputs) override {
    require(!busy_.exchange(true), ErrorCode::kInternal, "two calls at once");
    const struct Leave {
      std::atomic<bool>& busy;
      ~Leave() { busy = false; }
    } leave{busy_};
    if (during) during(call);
    if (keeps_keys(call.op)) append(call, sequences);
    const float sum = sum_of(inputs, scratch_);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto count = static_cast<std::size_t>(outputs[i].spec.shape.elements());
      if (outputs[i].spec.dtype ==
          DType::kF32) {  // no thread of OpenMP: TSan cannot see through it
        std::fill_n(outputs[i].as<float>(), count, fake_answer(sum, i));
        continue;
      }
      scratch_.assign(count, fake_answer(sum, i));
      convert({{DType::kF32, outputs[i].spec.shape},
               reinterpret_cast<const std::byte*>(scratch_.data())},
              outputs[i]);
    }
    ++calls;
  }
  std::int64_t rows_of_a_turn() const noexcept override { return turn_rows; }
  [[nodiscard]] bool lost() const noexcept override { return is_lost; }
  std::atomic<int> calls{0};
  std::atomic<bool> is_lost{false};

 private:
  static void append(const Call& call, std::span<BackendSequence* const> sequences) {
    require(sequences.size() == static_cast<std::size_t>(call.ranges.size()), ErrorCode::kInternal,
            "{} sequences for {} ranges", sequences.size(), call.ranges.size());
    for (const bool checked : {false, true}) {
      for (int i = 0; i < call.ranges.size(); ++i) {
        auto& own = dynamic_cast<FakeSequence&>(*sequences[static_cast<std::size_t>(i)]);
        checked ? own.append(call, call.ranges[i]) : own.require_rows(call, call.ranges[i]);
      }
    }
  }

  std::atomic<bool> busy_{false};
  std::vector<float> scratch_;
};

}  // namespace airlock::testing
