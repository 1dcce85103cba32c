#include "airlock/engine/generate.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "airlock/core/error.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}
}  // namespace

Generation generate(Engine& engine, std::span<const std::int64_t> prompt, TextGeneration& text,
                    const OnToken& on_token, StopToken stop) {
  Generation result;
  Sequence sequence = engine.open(std::move(stop));
  auto begin = Clock::now();
  std::span<const float> logits = engine.prefill(sequence, prompt);
  result.prefill_ms = ms_since(begin);
  begin = Clock::now();
  while (!text.finished()) {
    const GeneratedToken& token = text.push(logits);
    on_token(token);
    if (token.finished) break;
    const Feed feed{&sequence, {&token.id, 1}, 1};
    logits = engine.run({&feed, 1});
  }
  result.decode_ms = ms_since(begin);
  return result;
}

struct GenerationBatch::Active {
  Active(Engine& engine, std::span<const std::int64_t> ids, TextGeneration& generation,
         OnToken take, StopToken stop)
      : prompt(ids.begin(), ids.end()),
        text(generation),
        on_token(std::move(take)),
        sequence(engine.open(std::move(stop))) {}

  /// What is fed next: the prompt's rest, or the token chosen last.
  [[nodiscard]] std::span<const std::int64_t> left() const {
    const auto fed = static_cast<std::size_t>(sequence.position());
    return fed < prompt.size() ? std::span(prompt).subspan(fed) : text.ids().last(1);
  }
  [[nodiscard]] bool decodes() const {
    return sequence.position() >= static_cast<std::int64_t>(prompt.size());
  }

  std::vector<std::int64_t> prompt;
  TextGeneration& text;
  OnToken on_token;
  Sequence sequence;
  bool ended = false;
};

GenerationBatch::GenerationBatch(Engine& engine, std::int64_t prefill_rows)
    : engine_(engine), prefill_rows_(prefill_rows) {
  require(prefill_rows >= 1, ErrorCode::kInvalidArgument, "{} rows of prompts a step",
          prefill_rows);
  feeds_.reserve(kMaxRanges);
  fed_.reserve(kMaxRanges);
}

GenerationBatch::~GenerationBatch() = default;

void GenerationBatch::add(std::span<const std::int64_t> prompt, TextGeneration& text,
                          OnToken on_token, StopToken stop) {
  // Refused here, or it would end the steps of all.
  const ModelConfig& config = engine_.config();
  require(!prompt.empty() && static_cast<std::int64_t>(prompt.size()) <= config.max_position,
          ErrorCode::kInvalidArgument, "a prompt of {} tokens, the model's context is {}",
          prompt.size(), config.max_position);
  for (const std::int64_t id : prompt) {
    require(id >= 0 && id < config.vocab, ErrorCode::kInvalidArgument,
            "token id {} is outside the vocabulary of {}", id, config.vocab);
  }
  active_.push_back(
      std::make_unique<Active>(engine_, prompt, text, std::move(on_token), std::move(stop)));
}

void GenerationBatch::cancel(const TextGeneration& text) {
  // Left to the next step: an on_token of this one may ask for it.
  for (const auto& active : active_) active->ended |= &active->text == &text;
}

bool GenerationBatch::step() {
  feeds_.clear();
  fed_.clear();
  std::erase_if(active_,
                [](const auto& active) { return active->ended || active->sequence.stopped(); });
  std::int64_t rows = prefill_rows_;
  for (const auto& active : active_) {
    if (feeds_.size() == kMaxRanges) break;
    std::span<const std::int64_t> part = active->left();
    std::int64_t logit_rows = 1;
    if (!active->decodes()) {
      if (rows == 0) continue;
      const std::size_t left = part.size();
      part = part.first(std::min(left, static_cast<std::size_t>(rows)));
      rows -= static_cast<std::int64_t>(part.size());
      logit_rows = part.size() == left ? 1 : 0;
    }
    feeds_.push_back({&active->sequence, part, logit_rows});
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
    try {
      if (!active.ended && !active.text.finished()) {
        const GeneratedToken& token = active.text.push(row);
        if (active.on_token) active.on_token(token);
      }
      active.ended |= active.text.finished().has_value();
    } catch (...) {
      active.ended = true;
      if (!thrown) thrown = std::current_exception();
    }
  }
  std::erase_if(active_, [](const auto& active) { return active->ended; });
  if (thrown) std::rethrow_exception(thrown);
  return true;
}

}  // namespace airlock
