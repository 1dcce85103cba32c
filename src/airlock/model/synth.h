// Writes checkpoints with random weights, so that everything can run without downloading a model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "airlock/core/stop.h"
#include "airlock/model/checkpoint.h"

namespace airlock {

struct SynthOptions {
  std::uint64_t seed = 0;
  DType dtype = DType::kBF16;  ///< kF32, kF16 or kBF16, for every tensor
  /// Text of tokenizer.json; no such file is written if empty.
  std::string tokenizer_json = {};
  /// Weights beyond this many bytes are split into shards of at most this size (a larger single
  /// tensor gets its own), with an index. Hugging Face's usual limit.
  std::int64_t shard_bytes = 5'000'000'000;
  ByteProgress progress = {};
  StopToken stop = {};
};

/// Writes config.json, generation_config.json, the weights (model.safetensors, or shards and
/// model.safetensors.index.json) and airlock-synth.json, which marks the folder as ours, into `dir`
/// (made if missing). Linear and embedding weights are normal with standard deviation
/// 1/sqrt(inputs), so that activations keep their size; norms are 1 with deviation 0.05.
///
/// The weights depend on the configuration's shapes, the seed and the dtype only, not on the number
/// of threads or shards. Memory stays at a few MiB a thread. Files get their names when they are
/// complete, config.json last, and what was begun is removed on an error: a stopped run leaves
/// nothing that opens. Nothing is synced to the disk.
///
/// Throws Error(kInvalidArgument) for another dtype or if `dir` holds something that is not a
/// checkpoint made by this function, Error(kIo), Error(kInterrupted) when stopped.
void synthesize(const ModelConfig& config, const std::filesystem::path& dir,
                const SynthOptions& options = {});

}  // namespace airlock
