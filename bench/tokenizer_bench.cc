// Bytes a second of encoding and decoding, with a small Llama-3-style vocabulary: ordinary text,
// and the texts that make careless implementations quadratic. Load: a vocabulary of Llama 3's size.

#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include "airlock/model/tokenizer_json.h"
#include "airlock/model/tokenizer_synth.h"

namespace {
using airlock::Tokenizer;

std::string megabyte_of(const std::string& unit) {
  std::string text;
  while (text.size() < (1U << 20U)) text += unit;
  return text;
}

const std::string& prose() {
  static const std::string kText = megabyte_of(
      "The worker sees what crosses the link, and the runner counts every byte of it. It's 1024 "
      "tokens in 16 layers; für größere Modelle, ещё больше, 还有更多.\n\n    for (int i = 0;;) "
      "{}\n");
  return kText;
}

const Tokenizer& small() {
  static const std::unique_ptr<Tokenizer> kTokenizer = Tokenizer::load(AIRLOCK_TOKENIZER);
  return *kTokenizer;
}

void encode(benchmark::State& state, const std::string& text) {
  for (auto _ : state) benchmark::DoNotOptimize(small().encode(text, true));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}

void decode(benchmark::State& state) {
  const auto ids = small().encode(prose(), true);
  for (auto _ : state) benchmark::DoNotOptimize(small().decode(ids, true));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(prose().size()));
}

void load(benchmark::State& state) {
  const std::string json = airlock::make_byte_level_tokenizer_json(128256);
  for (auto _ : state)
    benchmark::DoNotOptimize(
        airlock::make_json_tokenizer(airlock::parse_tokenizer_json(json, "bench"), {}, "bench"));
}

BENCHMARK_CAPTURE(encode, prose, prose())->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, spaces, megabyte_of(" "))->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, letters, megabyte_of("a"))->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, brackets, megabyte_of("<|"))->Unit(benchmark::kMillisecond);
BENCHMARK(decode)->Unit(benchmark::kMillisecond);
BENCHMARK(load)->Unit(benchmark::kMillisecond);
}  // namespace
