#include "airlock/engine/generate.h"

#include <chrono>

namespace airlock {
namespace {
using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}
}  // namespace

Generation generate(Executor& executor, std::span<const std::int64_t> prompt, TextGeneration& text,
                    const std::function<void(const GeneratedToken&)>& on_token) {
  Generation result;
  auto begin = Clock::now();
  auto position = static_cast<std::int64_t>(prompt.size());
  std::span<const float> logits = executor.run(make_passes(executor.plan(), position, 0), prompt);
  result.prefill_ms = ms_since(begin);
  begin = Clock::now();
  while (!text.finished()) {
    const GeneratedToken& token = text.push(logits);
    on_token(token);
    if (!token.finished) logits = executor.run({position++, 1, 1}, {&token.id, 1});
  }
  result.decode_ms = ms_since(begin);
  return result;
}

}  // namespace airlock
