#include "airlock/engine/generate.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>

#include "airlock/core/error.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// What is generated of one prompt: chooses tokens, and knows the end.
class Continuation {
 public:
  Continuation(const ModelConfig& config, std::int64_t prompt, const GenerateOptions& options)
      : config_(config), options_(options), sampler_(options.sampling) {
    require(prompt >= 1, ErrorCode::kInvalidArgument, "the prompt has no tokens");
    require(prompt <= config.max_position, ErrorCode::kInvalidArgument,
            "the prompt has {} tokens, the model's context is {}", prompt, config.max_position);
    require(options.max_tokens >= 0, ErrorCode::kInvalidArgument,
            "{} tokens to generate, expected 0 or more", options.max_tokens);
    // The last token needs no pass of its own, so the context may be filled to the brim.
    count_ = std::min(options.max_tokens, config.max_position - prompt + 1);
  }

  [[nodiscard]] bool wants_any() const { return count_ > 0; }
  /// Takes the logits [vocab] behind the last token; false if nothing follows the token chosen.
  bool accept(std::span<const float> logits) {
    const std::int64_t token = sampler_.sample(logits);
    tokens.push_back(token);
    if (options_.on_token && !options_.on_token(token)) return false;
    const bool end = std::find(config_.eos.begin(), config_.eos.end(), token) != config_.eos.end();
    return (!end || options_.ignore_eos) && static_cast<std::int64_t>(tokens.size()) < count_;
  }
  [[nodiscard]] std::span<const std::int64_t> last() const { return {&tokens.back(), 1}; }

  std::vector<std::int64_t> tokens;

 private:
  const ModelConfig& config_;
  const GenerateOptions options_;
  Sampler sampler_;
  std::int64_t count_ = 0;
};
}  // namespace

Generation generate(Engine& engine, std::span<const std::int64_t> prompt,
                    const GenerateOptions& options) {
  Continuation continuation(engine.config(), static_cast<std::int64_t>(prompt.size()), options);
  Generation result;
  Sequence sequence = engine.open();
  auto begin = Clock::now();
  std::span<const float> logits = engine.prefill(sequence, prompt);
  result.prefill_ms = ms_since(begin);
  begin = Clock::now();
  bool goes_on = continuation.wants_any() && continuation.accept(logits);
  while (goes_on) {
    const Feed feed{&sequence, continuation.last(), 1};
    goes_on = continuation.accept(engine.run({&feed, 1}));
  }
  result.decode_ms = ms_since(begin);
  result.tokens = std::move(continuation.tokens);
  return result;
}

struct GenerationBatch::Active {
  Active(Engine& engine, std::span<const std::int64_t> ids, const GenerateOptions& options)
      : continuation(engine.config(), static_cast<std::int64_t>(ids.size()), options),
        prompt(ids.begin(), ids.end()) {
    sequence.emplace(engine.open());
  }
  /// Prompt tokens not fed yet.
  [[nodiscard]] std::span<const std::int64_t> left() const {
    return std::span(prompt).subspan(
        std::min(prompt.size(), static_cast<std::size_t>(sequence->position())));
  }

  Continuation continuation;
  std::vector<std::int64_t> prompt;
  std::optional<Sequence> sequence;  ///< until the end
};

GenerationBatch::GenerationBatch(Engine& engine, std::int64_t prefill_rows)
    : engine_(engine), prefill_rows_(prefill_rows) {
  require(prefill_rows >= 1, ErrorCode::kInvalidArgument, "{} rows of prompts a step",
          prefill_rows);
  feeds_.reserve(kMaxRanges);
  fed_.reserve(kMaxRanges);
}

GenerationBatch::~GenerationBatch() = default;

std::size_t GenerationBatch::add(std::span<const std::int64_t> prompt,
                                 const GenerateOptions& options) {
  all_.push_back(std::make_unique<Active>(engine_, prompt, options));
  return all_.size() - 1;
}

void GenerationBatch::cancel(std::size_t number) {
  all_.at(number)->sequence.reset();
}

bool GenerationBatch::ended(std::size_t number) const {
  return !all_.at(number)->sequence;
}

const std::vector<std::int64_t>& GenerationBatch::tokens(std::size_t number) const {
  return all_.at(number)->continuation.tokens;
}

bool GenerationBatch::step() {
  feeds_.clear();
  fed_.clear();
  std::int64_t rows = prefill_rows_;
  for (const auto& active : all_) {
    if (!active->sequence || feeds_.size() == kMaxRanges) continue;
    const auto left = active->left();
    if (left.empty()) {
      feeds_.push_back({&*active->sequence, active->continuation.last(), 1});
    } else if (rows > 0) {
      const auto part = left.first(std::min(left.size(), static_cast<std::size_t>(rows)));
      rows -= static_cast<std::int64_t>(part.size());
      feeds_.push_back({&*active->sequence, part, part.size() == left.size() ? 1 : 0});
    } else {
      continue;
    }
    fed_.push_back(active.get());
  }
  if (feeds_.empty()) return false;
  std::span<const float> logits = engine_.run(feeds_);
  std::exception_ptr thrown;
  for (std::size_t i = 0; i < fed_.size(); ++i) {
    if (feeds_[i].logit_rows == 0) continue;
    Active& active = *fed_[i];
    const auto row = logits.first(static_cast<std::size_t>(engine_.config().vocab));
    logits = logits.subspan(row.size());
    bool goes_on = false;
    try {
      goes_on = active.continuation.wants_any() && active.continuation.accept(row);
    } catch (...) {
      if (!thrown) thrown = std::current_exception();
    }
    if (!goes_on) active.sequence.reset();
  }
  if (thrown) std::rethrow_exception(thrown);
  return true;
}

}  // namespace airlock
