#include "airlock/engine/generate.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/engine/finite_logits.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// True if one of the sequences in a pass may be why it failed.
bool may_be_of_one(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    const ErrorCode code = e.code();
    // kInterrupted: one was stopped after it was taken into the pass. kUnsupported: a worker called
    // its tokens invalid.
    return code == ErrorCode::kResourceExhausted || code == ErrorCode::kSessionLost ||
           code == ErrorCode::kInvalidArgument || code == ErrorCode::kUnsupported ||
           code == ErrorCode::kInterrupted;
  } catch (...) {
    return false;
  }
}

/// An Error says whose it is; other exceptions pass as they are.
[[noreturn]] void rethrow_naming(const std::exception_ptr& error, std::uint64_t id) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& e) {
    fail(e.code(), "generation {}: {}", id, e.what());
  }
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
    require_finite(logits, engine.plan());
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
  Active(std::uint64_t number, std::span<const std::int64_t> ids, TextGeneration& generation,
         OnToken take, OnEnd end, StopToken stop_token, Engine& engine)
      : id(number),
        prompt(ids.begin(), ids.end()),
        text(generation),
        on_token(std::move(take)),
        on_end(std::move(end)),
        stop(std::move(stop_token)),
        sequence(engine.open(stop)) {}

  /// What is fed next: the prompt's rest, or the token chosen last.
  [[nodiscard]] std::span<const std::int64_t> left() const {
    const auto fed = static_cast<std::size_t>(sequence->position());
    return fed < prompt.size() ? std::span(prompt).subspan(fed) : text.ids().last(1);
  }
  [[nodiscard]] bool decodes() const {
    return sequence->position() >= static_cast<std::int64_t>(prompt.size());
  }
  [[nodiscard]] bool starts() const { return sequence->position() == 0; }
  /// Frees what a pass that failed took for it.
  void restart(Engine& engine) {
    sequence.reset();
    sequence.emplace(engine.open(stop));
  }
  /// Frees its keys and values at once: another may be waiting for the memory.
  void fail_with(std::exception_ptr why) {
    ended = true;
    error = std::move(why);
    sequence.reset();
  }
  /// True if it ended, or its stop was asked for and ends it now.
  [[nodiscard]] bool over() {
    if (!ended && sequence->stopped()) {
      fail_with(std::make_exception_ptr(Error(ErrorCode::kInterrupted, "interrupted")));
    }
    return ended;
  }

  const std::uint64_t id;
  const std::vector<std::int64_t> prompt;
  TextGeneration& text;
  const OnToken on_token;
  const OnEnd on_end;
  const StopToken stop;
  std::optional<Sequence> sequence;
  bool ended = false;
  std::exception_ptr error;
};

GenerationBatch::GenerationBatch(Engine& engine, std::int64_t prefill_rows)
    : engine_(engine), prefill_rows_(prefill_rows) {
  require(prefill_rows >= 1, ErrorCode::kInvalidArgument, "{} rows of prompts a step",
          prefill_rows);
  feeds_.reserve(kMaxRanges);
  fed_.reserve(kMaxRanges);
}

GenerationBatch::~GenerationBatch() = default;

std::uint64_t GenerationBatch::add(std::span<const std::int64_t> prompt, TextGeneration& text,
                                   OnToken on_token, OnEnd on_end, StopToken stop) {
  const auto tokens = static_cast<std::int64_t>(prompt.size());
  require(tokens == text.prompt_tokens(), ErrorCode::kInvalidArgument,
          "a prompt of {} tokens for a generation behind {}", tokens, text.prompt_tokens());
  active_.push_back(std::make_unique<Active>(next_id_, prompt, text, std::move(on_token),
                                             std::move(on_end), std::move(stop), engine_));
  return next_id_++;
}

void GenerationBatch::cancel(const TextGeneration& text) {
  // Left to the next step: an on_token of this one may ask for it.
  for (const auto& active : active_) active->ended |= &active->text == &text;
}

bool GenerationBatch::step() {
  gather();
  if (!feeds_.empty()) run();
  tell_ended();
  return !active_.empty();
}

void GenerationBatch::gather() {
  feeds_.clear();
  fed_.clear();
  std::int64_t rows = prefill_rows_;
  for (const auto& active : active_) {
    if (active->over() || feeds_.size() == kMaxRanges) continue;
    std::span<const std::int64_t> part = active->left();
    std::int64_t logit_rows = 1;
    if (!active->decodes()) {
      if (rows == 0) continue;
      const std::size_t left = part.size();
      part = part.first(std::min(left, static_cast<std::size_t>(rows)));
      rows -= static_cast<std::int64_t>(part.size());
      logit_rows = part.size() == left ? 1 : 0;
    }
    feeds_.push_back({&*active->sequence, part, logit_rows});
    fed_.push_back(active.get());
  }
}

void GenerationBatch::run() {
  std::span<const float> logits;
  try {
    logits = engine_.run(feeds_);
  } catch (...) {
    return run_each_alone(std::current_exception());
  }
  const auto vocab = static_cast<std::size_t>(engine_.config().vocab);
  for (std::size_t i = 0; i < fed_.size(); ++i) {
    const auto own = logits.first(feeds_[i].logit_rows == 0 ? 0 : vocab);
    logits = logits.subspan(own.size());
    take_token(i, own);
  }
}

void GenerationBatch::run_each_alone(const std::exception_ptr& shared) {
  // No sequence has moved: what was fed can be fed again.
  bool lost = !may_be_of_one(shared);
  const auto run_alone = [&](std::size_t i) {
    Active& active = *fed_[i];
    if (lost || fed_.size() == 1) return active.fail_with(shared);
    try {
      take_token(i, engine_.run({&feeds_[i], 1}));
    } catch (const Error& error) {
      // Then the first error ended the session, and says why.
      lost = error.code() == ErrorCode::kConnectionLost;
      active.fail_with(lost ? shared : std::current_exception());
    } catch (...) {
      active.fail_with(std::current_exception());
    }
  };
  for (Active* active : fed_) {
    if (!lost && !active->over() && active->starts()) active->restart(engine_);
  }
  for (std::size_t i = fed_.size(); i-- > 0;) {
    if (!fed_[i]->over() && !fed_[i]->starts()) run_alone(i);
  }
  for (std::size_t i = 0; i < fed_.size(); ++i) {
    if (!fed_[i]->over() && fed_[i]->starts()) run_alone(i);
  }
}

void GenerationBatch::take_token(std::size_t i, std::span<const float> logits) {
  Active& active = *fed_[i];
  if (logits.empty() || active.ended) return;
  try {
    if (!active.text.finished()) {
      require_finite(logits, engine_.plan());
      const GeneratedToken& token = active.text.push(logits);
      if (active.on_token) active.on_token(token);
    }
    active.ended |= active.text.finished().has_value();
  } catch (...) {
    active.fail_with(std::current_exception());
  }
}

void GenerationBatch::tell_ended() {
  std::vector<std::unique_ptr<Active>> ended;
  for (auto& active : active_) {
    if (active->ended) ended.push_back(std::move(active));
  }
  if (ended.empty()) return;
  std::erase(active_, nullptr);
  for (const auto& active : ended) active->sequence.reset();
  std::exception_ptr thrown;
  for (const auto& active : ended) {
    try {
      if (active->on_end) {
        active->on_end({active->id, &active->text, active->error});
      } else if (active->error) {
        rethrow_naming(active->error, active->id);
      }
    } catch (...) {
      if (!thrown) thrown = std::current_exception();
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace airlock
