// One .safetensors file, mapped read-only: every number in its header is checked before any use.
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

/// A mapped file and its table of tensors. Immutable after open, so any thread may read it; copies
/// share the mapping, and views from `tensor` are valid while a copy lives. A file that is
/// truncated by somebody while mapped raises SIGBUS at the next read, as any mmap does: the size is
/// checked at open only.
class SafetensorsFile {
 public:
  /// The format's own limit on the JSON header.
  static constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

  /// Maps the file and checks the header: length, UTF-8, JSON, no duplicate name, known dtypes,
  /// shapes that fit their byte ranges, ranges that cover the data section without overlap or hole.
  /// Throws Error(kNotFound), Error(kIo), or Error(kCorruptFile) naming the file and the tensor.
  static SafetensorsFile open(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const noexcept;
  /// Size of the whole file.
  [[nodiscard]] std::uint64_t bytes() const noexcept;
  /// Every tensor, in the order of its bytes in the file.
  [[nodiscard]] const std::vector<SafetensorsEntry>& entries() const noexcept;
  /// The entry of that name, or null. Valid while the file is.
  [[nodiscard]] const SafetensorsEntry* find(std::string_view name) const noexcept;
  /// The tensor, aligned to its element size: a view into the mapping, or, in files whose header
  /// was not padded (some on the hub are not), of a copy that is made at the first call and kept
  /// with the file. Throws Error(kNotFound) without such a tensor, Error(kUnsupported) for a dtype
  /// or rank that Airlock does not read.
  [[nodiscard]] ConstTensor tensor(std::string_view name) const;
  /// The bytes of an entry of this file inside the mapping, at any alignment.
  [[nodiscard]] std::span<const std::byte> raw(const SafetensorsEntry& entry) const noexcept;

  /// Tells the system that these bytes of the mapping will be read soon, or will not be read
  /// again for now (they leave this process's resident set; reading them again faults them in).
  /// Bytes outside the mapping are ignored.
  void will_need(std::span<const std::byte> bytes) const noexcept;
  void drop_pages(std::span<const std::byte> bytes) const noexcept;

 private:
  struct Impl;
  explicit SafetensorsFile(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace airlock
