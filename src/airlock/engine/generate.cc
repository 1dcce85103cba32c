#include "airlock/engine/generate.h"

#include <algorithm>
#include <chrono>

#include "airlock/core/error.h"

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}
}  // namespace

Generation generate(Executor& executor, const ModelConfig& config,
                    std::span<const std::int64_t> prompt, const GenerateOptions& options) {
  const auto length = static_cast<std::int64_t>(prompt.size());
  require(length >= 1, ErrorCode::kInvalidArgument, "the prompt has no tokens");
  require(length <= config.max_position, ErrorCode::kInvalidArgument,
          "the prompt has {} tokens, the model's context is {}", length, config.max_position);
  require(options.max_tokens >= 0, ErrorCode::kInvalidArgument,
          "{} tokens to generate, expected 0 or more", options.max_tokens);
  Sampler sampler(options.sampling);
  Generation result;
  auto begin = Clock::now();
  std::span<const float> logits = executor.run(make_passes(executor.plan(), length, 0), prompt);
  result.prefill_ms = ms_since(begin);
  begin = Clock::now();
  // The last token needs no pass of its own, so the context may be filled to the brim.
  const std::int64_t room = config.max_position - length + 1;
  const std::int64_t count = std::min(options.max_tokens, room);
  while (static_cast<std::int64_t>(result.tokens.size()) < count) {
    const std::int64_t token = sampler.sample(logits);
    result.tokens.push_back(token);
    if (options.on_token && !options.on_token(token)) break;
    const bool ended = std::find(config.eos.begin(), config.eos.end(), token) != config.eos.end();
    if (ended && !options.ignore_eos) break;
    const auto generated = static_cast<std::int64_t>(result.tokens.size());
    if (generated == count) break;
    logits = executor.run({length + generated - 1, 1, 1}, {&result.tokens.back(), 1});
  }
  result.decode_ms = ms_since(begin);
  return result;
}

}  // namespace airlock
