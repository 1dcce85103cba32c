// One .safetensors file: every number in its header is checked before any use, and tensors are read
// into memory of their own.
// Format: https://huggingface.co/docs/safetensors (8-byte length, JSON header, one data section).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/tensor.h"

namespace airlock {

/// What the header says of one tensor. `begin` counts from the start of the data section.
struct SafetensorsEntry {
  std::string name;
  std::string dtype_text;      ///< as written, e.g. "BF16", "F8_E4M3"
  std::optional<DType> dtype;  ///< F32, F16, BF16, I64; nothing for dtypes Airlock does not read
  std::vector<std::int64_t> dims;
  std::uint64_t begin = 0;
  std::uint64_t bytes = 0;
};

/// A tensor in memory of its own, 64-byte aligned. Movable.
class LoadedTensor {
 public:
  LoadedTensor() = default;
  LoadedTensor(TensorSpec spec, Buffer memory) : spec_(spec), memory_(std::move(memory)) {}

  /// Valid while this is, wherever it is moved to.
  [[nodiscard]] ConstTensor view() const noexcept { return {spec_, memory_.data()}; }

 private:
  TensorSpec spec_;
  Buffer memory_;
};

/// An open file and its table of tensors. Immutable after open, so any thread may read it; copies
/// share the descriptor. The file is not mapped: if somebody truncates, replaces or writes to it in
/// place, the next read throws, and what was read before is as it was.
class SafetensorsFile {
 public:
  /// The format's own limit on the JSON header.
  static constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

  /// Opens the file and checks the header: length, UTF-8, JSON, no duplicate name, known dtypes,
  /// shapes that fit their byte ranges, ranges that cover the data section without overlap or hole.
  /// Throws as InputFile does, and Error(kCorruptFile) naming the file and the tensor.
  static SafetensorsFile open(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const noexcept;
  /// Size of the whole file.
  [[nodiscard]] std::uint64_t bytes() const noexcept;
  /// Every tensor, in the order of its bytes in the file.
  [[nodiscard]] const std::vector<SafetensorsEntry>& entries() const noexcept;
  /// The entry of that name, or null. Valid while the file is.
  [[nodiscard]] const SafetensorsEntry* find(std::string_view name) const noexcept;
  /// What `load` of that entry would give. Throws Error(kUnsupported) for a dtype or rank that
  /// Airlock does not read.
  [[nodiscard]] TensorSpec spec(const SafetensorsEntry& entry) const;
  /// Reads the tensor. Throws Error(kNotFound) without such a tensor, as `spec` and `read` do, and
  /// Error(kResourceExhausted).
  [[nodiscard]] LoadedTensor load(std::string_view name) const;
  [[nodiscard]] LoadedTensor load(const SafetensorsEntry& entry) const;
  /// Fills `out` with bytes of an entry of this file, from `offset` of its own; together at most
  /// entry.bytes. Throws Error(kIo) if the file is not as it was when it was opened.
  void read(const SafetensorsEntry& entry, std::uint64_t offset, std::span<std::byte> out) const;
  /// Tells the system that these bytes of an entry will be read soon.
  void will_need(const SafetensorsEntry& entry, std::uint64_t offset,
                 std::uint64_t bytes) const noexcept;

 private:
  struct Impl;
  explicit SafetensorsFile(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace airlock
