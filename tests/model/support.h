// Checkpoints made by hand for the tests of the model room.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/model/checkpoint.h"
#include "airlock/model/config.h"

#include "tests/support/model_configs.h"
#include "tests/support/temp_dir.h"

namespace airlock::testing {

/// A safetensors file: the header's length, the header as given, the data.
inline std::string safetensors(std::string_view header, std::string_view data,
                               std::uint64_t claimed_length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(claimed_length >> (8 * i) & 0xff));
  return bytes.append(header).append(data);
}
inline std::string safetensors(std::string_view header, std::string_view data) {
  return safetensors(header, data, header.size());
}

/// Runs `action`, which must throw an Error; its code and message.
template <typename Action>
std::pair<ErrorCode, std::string> error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  ADD_FAILURE() << "no Error was thrown";
  return {ErrorCode::kInternal, ""};
}

/// The least model: 1 layer, hidden 4, 2 heads of 2, 1 KV head, FFN 6, vocabulary 8, tied.
inline ModelConfig least_config() {
  ModelConfig config = testing::counted_config({1, 4, 2, 1, 2, 6, 8, 16});
  config.tie_embeddings = true;
  return config;
}

/// A tensor to be written by hand.
struct RawTensor {
  std::string name;
  std::string dtype = "BF16";
  std::vector<std::int64_t> dims;
  std::string data;
};

/// Every tensor `config` calls for, in BF16, each byte pair a number that differs from the next.
inline std::vector<RawTensor> raw_tensors(const ModelConfig& config) {
  std::vector<RawTensor> tensors;
  unsigned counter = 0;
  for (const TensorEntry& entry : TensorTable(config)) {
    RawTensor& tensor = tensors.emplace_back();
    tensor.name = entry.name();
    tensor.dims.assign(entry.shape.dims().begin(), entry.shape.dims().end());
    for (std::int64_t i = 0; i < entry.shape.elements(); ++i, ++counter) {
      tensor.data.push_back(static_cast<char>(counter % 251));
      tensor.data.push_back(static_cast<char>(0x3c + counter % 7));
    }
  }
  return tensors;
}

/// The bytes of a safetensors file that holds these tensors.
inline std::string safetensors_of(const std::vector<RawTensor>& tensors) {
  std::string header = "{";
  std::string data;
  for (const RawTensor& tensor : tensors) {
    header +=
        fmt::format(R"({}"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                    data.empty() ? "" : ",", tensor.name, tensor.dtype, fmt::join(tensor.dims, ","),
                    data.size(), data.size() + tensor.data.size());
    data += tensor.data;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return safetensors(header, data);
}

/// A checkpoint of one file.
inline void write_checkpoint(const std::filesystem::path& dir, const ModelConfig& config,
                             const std::vector<RawTensor>& tensors) {
  std::filesystem::create_directories(dir);
  write_file(dir / "config.json", config_to_json(config));
  write_file(dir / "model.safetensors", safetensors_of(tensors));
}

/// The same tensors dealt out to two files by turns, with an index.
inline void write_sharded(const std::filesystem::path& dir, const ModelConfig& config,
                          const std::vector<RawTensor>& tensors) {
  const std::string names[2] = {"model-00001-of-00002.safetensors",
                                "model-00002-of-00002.safetensors"};
  std::vector<RawTensor> halves[2];
  std::string map;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    halves[i % 2].push_back(tensors[i]);
    map += fmt::format(R"({}"{}":"{}")", i > 0 ? "," : "", tensors[i].name, names[i % 2]);
  }
  std::filesystem::create_directories(dir);
  write_file(dir / "config.json", config_to_json(config));
  write_file(dir / "model.safetensors.index.json",
             R"({"metadata":{"total_size":[1,{"a":2}]},"weight_map":{)" + map + "}}");
  for (int i = 0; i < 2; ++i) write_file(dir / names[i], safetensors_of(halves[i]));
}

/// The one of that name.
inline RawTensor& find_raw(std::vector<RawTensor>& tensors, std::string_view name) {
  for (RawTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error("no tensor " + std::string(name));
}

}  // namespace airlock::testing
