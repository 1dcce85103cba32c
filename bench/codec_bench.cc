// The tensor codec on tensors of LLaMA 3.2-1B at 1024 tokens: bytes/s are of unpacked bytes,
// `ratio` is unpacked over packed.
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "airlock/core/dtype.h"
#include "airlock/core/threads.h"
#include "airlock/math/convert.h"
#include "airlock/math/softmax.h"
#include "airlock/wire/codec.h"

namespace airlock {
namespace {

struct Content {
  const char* name;
  Shape shape;
  void (*fill)(std::vector<float>& values);
};

void gaussian(std::vector<float>& values) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  for (float& value : values) value = normal(engine);
}

/// Probabilities of 4 heads under a causal mask: the upper triangles are zeros.
void probabilities(std::vector<float>& values) {
  gaussian(values);
  causal_softmax({{DType::kF32, {4, 1024, 1024}}, reinterpret_cast<std::byte*>(values.data())}, 0,
                 1);
}

/// K in 32 heads of 64 where the model has 8: each repeated four times, one beside the other.
void repeated(std::vector<float>& values) {
  gaussian(values);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = values[i / 256 * 256 + i % 64];
}

const Content kContents[] = {{"gaussian", {1024, 8192}, gaussian},
                             {"probabilities", {4, 1024, 1024}, probabilities},
                             {"repeated", {1024, 2048}, repeated}};
constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kI8};

struct Subject {
  TensorSpec spec;
  std::vector<std::byte> raw;
  std::vector<std::byte> encoded;

  Subject(const Content& content, DType dtype) : spec{dtype, content.shape} {
    std::vector<float> values(static_cast<std::size_t>(content.shape.elements()));
    content.fill(values);
    raw.resize(static_cast<std::size_t>(spec.bytes()));
    encoded.resize(encoded_bound(spec));
    convert({{DType::kF32, content.shape}, reinterpret_cast<const std::byte*>(values.data())},
            {spec, raw.data()});
  }
};

/// Made once for all benchmarks of it; only the last is kept.
Subject& subject(std::int64_t content, std::int64_t dtype) {
  static std::int64_t held = -1;
  static std::unique_ptr<Subject> last;
  const std::int64_t key = content * 100 + dtype;
  if (key != held) {
    last.reset();
    last = std::make_unique<Subject>(kContents[content], kDTypes[dtype]);
    held = key;
  }
  return *last;
}

enum Direction { kEncode, kDecode };

/// Arguments: threads, dtype, content; the last changes least, for its tensor is kept.
void codec(benchmark::State& state, Direction direction) {
  Subject& tensor = subject(state.range(2), state.range(1));
  set_threads(static_cast<int>(state.range(0)));
  TensorCodec codec;
  const ConstTensor raw{tensor.spec, tensor.raw.data()};
  const std::size_t bytes = codec.encode(Compression::kZstd, raw, tensor.encoded);
  std::vector<std::byte> out(direction == kDecode ? tensor.raw.size() : 0);
  for (auto _ : state) {
    if (direction == kEncode) codec.encode(Compression::kZstd, raw, tensor.encoded);
    if (direction == kDecode) {
      codec.decode(Compression::kZstd, std::span(tensor.encoded).first(bytes),
                   {tensor.spec, out.data()});
    }
  }
  state.SetBytesProcessed(state.iterations() * tensor.spec.bytes());
  state.counters["ratio"] = static_cast<double>(tensor.raw.size()) / static_cast<double>(bytes);
  state.SetLabel(std::string(kContents[state.range(2)].name) + " " +
                 std::string(dtype_name(tensor.spec.dtype)));
  set_threads(0);
}

void cases(benchmark::internal::Benchmark* b) {
  b->ArgNames({"threads", "dtype", "content"});
  b->ArgsProduct({{1, 2}, {0, 1, 2, 3}, {0, 1, 2}});
  b->UseRealTime()->Unit(benchmark::kMicrosecond)->MinTime(0.1);
}

BENCHMARK_CAPTURE(codec, encode, kEncode)->Apply(cases);
BENCHMARK_CAPTURE(codec, decode, kDecode)->Apply(cases);

}  // namespace
}  // namespace airlock
