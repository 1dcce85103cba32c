#include "airlock/model/synth.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/error.h"
#include "airlock/model/checkpoint_pieces.h"
#include "airlock/model/synth_folder.h"
#include "airlock/model/synth_random.h"

namespace airlock {
namespace {

using OrderedJson = nlohmann::ordered_json;

/// Bytes generated and written at once by a thread: past what a write call costs, inside the cache.
constexpr std::int64_t kPieceBytes = std::int64_t{1} << 20;
/// Spread of norm weights around 1.
constexpr double kNormDeviation = 0.05;

struct PlannedTensor {
  std::string name;
  TensorSpec spec;
  std::int64_t offset = 0;  ///< in the data section of its file
  const NormalTable* table = nullptr;
};

struct PlannedFile {
  std::string name;
  std::vector<PlannedTensor> tensors;
  std::int64_t data_bytes = 0;
  std::string head;  ///< length and JSON header
};

using Tables = std::map<std::pair<double, double>, NormalTable>;

const NormalTable& table_for(TensorUse use, const TensorSpec& spec, Tables& tables) {
  const bool norm = use == TensorUse::kNorm;
  const double mean = norm ? 1.0 : 0.0;
  const double deviation =
      norm ? kNormDeviation : 1.0 / std::sqrt(static_cast<double>(spec.shape.columns()));
  return tables.try_emplace({mean, deviation}, spec.dtype, mean, deviation).first->second;
}

std::string_view safetensors_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kBF16:
      return "BF16";
    case DType::kF16:
      return "F16";
    default:
      break;
  }
  fail(ErrorCode::kInvalidArgument, "cannot synthesize weights in {}, expected f32, bf16 or f16",
       dtype_name(dtype));
}

std::string make_head(const PlannedFile& file) {
  OrderedJson header = {{"__metadata__", {{"format", "pt"}, {"generator", "airlock synth"}}}};
  for (const PlannedTensor& tensor : file.tensors) {
    header[tensor.name] = {
        {"dtype", safetensors_name(tensor.spec.dtype)},
        {"shape", tensor.spec.shape.dims()},
        {"data_offsets", {tensor.offset, tensor.offset + tensor.spec.bytes()}},
    };
  }
  std::string json = header.dump();
  // Spaces up to a multiple of 64 bytes, so that the first tensor starts on a cache line.
  json.resize((json.size() + 8 + 63) / 64 * 64 - 8, ' ');
  std::string head(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) head[i] = static_cast<char>(json.size() >> (8 * i) & 0xff);
  return head + json;
}

/// Spreads the tensors over as few files as the limit allows, in forward order.
std::vector<PlannedFile> plan_files(const ModelConfig& config, const SynthOptions& options,
                                    Tables& tables) {
  std::vector<PlannedFile> files(1);
  for (const TensorEntry& tensor : TensorTable(config)) {
    const TensorSpec spec{options.dtype, tensor.shape};
    if (files.back().data_bytes > 0 &&
        spec.bytes() > options.shard_bytes - files.back().data_bytes) {
      files.emplace_back();
    }
    PlannedFile& file = files.back();
    file.tensors.push_back(
        {tensor.name(), spec, file.data_bytes, &table_for(tensor.use, spec, tables)});
    file.data_bytes += spec.bytes();
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    files[i].name = files.size() == 1
                        ? "model.safetensors"
                        : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, files.size());
    files[i].head = make_head(files[i]);
  }
  return files;
}

std::string index_json(const std::vector<PlannedFile>& files) {
  OrderedJson json = {{"metadata", {{"total_size", 0}}}, {"weight_map", OrderedJson::object()}};
  std::int64_t total = 0;
  for (const PlannedFile& file : files) {
    total += file.data_bytes;
    for (const PlannedTensor& tensor : file.tensors) json["weight_map"][tensor.name] = file.name;
  }
  json["metadata"]["total_size"] = total;
  return json.dump(2) + "\n";
}

std::string generation_json(const ModelConfig& config) {
  OrderedJson json = {{"bos_token_id", nullptr}, {"eos_token_id", nullptr}};
  if (config.bos) json["bos_token_id"] = *config.bos;
  if (!config.eos.empty()) json["eos_token_id"] = config.eos;
  return json.dump(2) + "\n";
}

struct Piece {
  const PlannedTensor* tensor = nullptr;
  std::size_t file = 0;
  std::int64_t begin = 0;  ///< byte in the tensor
};

void write_weights(const std::vector<PlannedFile>& files, const SynthOptions& options,
                   SynthFolder& folder) {
  std::vector<Piece> pieces;
  std::vector<std::int64_t> sizes;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto head_bytes = static_cast<std::int64_t>(files[i].head.size());
    const std::size_t file = folder.create(files[i].name, head_bytes + files[i].data_bytes);
    folder.pwrite(file, 0, std::as_bytes(std::span(files[i].head)));
    for (const PlannedTensor& tensor : files[i].tensors) {
      const std::int64_t bytes = tensor.spec.bytes();
      for (std::int64_t begin = 0; begin < bytes; begin += kPieceBytes) {
        pieces.push_back({&tensor, i, begin});
        sizes.push_back(std::min(kPieceBytes, bytes - begin));
      }
    }
  }
  const BufferPool pool;
  for_each_piece(
      sizes,
      [&](std::size_t i) {
        const Piece& piece = pieces[i];
        const PlannedTensor& tensor = *piece.tensor;
        const Buffer buffer = pool.acquire(static_cast<std::size_t>(sizes[i]));
        const auto element = static_cast<std::int64_t>(dtype_size(tensor.spec.dtype));
        tensor.table->fill(stream_key(options.seed, tensor.name), piece.begin / element,
                           buffer.span());
        const auto head_bytes = static_cast<std::int64_t>(files[piece.file].head.size());
        folder.pwrite(piece.file, head_bytes + tensor.offset + piece.begin, buffer.span());
      },
      options.progress, options.stop);
}

void check_space(const std::filesystem::path& dir, const std::vector<PlannedFile>& files) {
  std::uintmax_t needed = 0;
  for (const PlannedFile& file : files) {
    needed += file.head.size() + static_cast<std::uintmax_t>(file.data_bytes);
  }
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(dir, error);
  require(error || space.available >= needed, ErrorCode::kIo,
          "{}: the checkpoint needs {} bytes, the disk has {} left", dir.string(), needed,
          space.available);
}

}  // namespace

void synthesize(const ModelConfig& config, const std::filesystem::path& dir,
                const SynthOptions& options) {
  check_config(config, "synth");
  require(options.shard_bytes > 0, ErrorCode::kInvalidArgument,
          "shard_bytes is {}, expected more than 0", options.shard_bytes);
  ModelConfig stored = config;
  stored.dtype = options.dtype;
  Tables tables;
  const std::vector<PlannedFile> files = plan_files(stored, options, tables);
  const OrderedJson marker = {{"generator", "airlock synth"},
                              {"version", 1},
                              {"seed", options.seed},
                              {"dtype", dtype_name(options.dtype)},
                              {"parameters", stored.parameters()}};
  SynthFolder folder(dir, marker.dump(2) + "\n");
  check_space(dir, files);
  write_weights(files, options, folder);
  if (files.size() > 1) folder.write("model.safetensors.index.json", index_json(files));
  if (!options.tokenizer_json.empty()) folder.write("tokenizer.json", options.tokenizer_json);
  folder.write("generation_config.json", generation_json(stored));
  folder.write("config.json", config_to_json(stored));
  folder.commit();
}

}  // namespace airlock
