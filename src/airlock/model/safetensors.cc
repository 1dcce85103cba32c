#include "airlock/model/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "airlock/core/error.h"
#include "airlock/model/checkpoint_text.h"
#include "airlock/model/input_file.h"
#include "airlock/model/safetensors_header.h"

namespace airlock {

static_assert(std::endian::native == std::endian::little,
              "safetensors are little-endian and taken as they are");

struct SafetensorsFile::Impl {
  explicit Impl(const std::filesystem::path& path) : file(path) {}

  InputFile file;
  std::uint64_t section = 0;  ///< offset of the data section
  std::vector<SafetensorsEntry> entries;
  std::vector<std::size_t> by_name;  ///< indices into entries
};

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  auto impl = std::make_shared<Impl>(path);
  const std::string where = path.string();
  const InputFile& file = impl->file;
  require(file.bytes() >= 8, ErrorCode::kCorruptFile,
          "{}: has {} bytes, too few for a safetensors file (is it truncated?)", where,
          file.bytes());
  std::uint64_t header_bytes = 0;
  file.read(0, std::as_writable_bytes(std::span(&header_bytes, 1)));
  require(header_bytes <= kMaxHeaderBytes, ErrorCode::kCorruptFile,
          "{}: claims a header of {} bytes, expected at most {} (is it a safetensors file?)", where,
          header_bytes, kMaxHeaderBytes);
  const std::uint64_t rest = file.bytes() - 8;
  require(header_bytes <= rest, ErrorCode::kCorruptFile,
          "{}: claims a header of {} bytes, but only {} follow (is it truncated?)", where,
          header_bytes, rest);
  std::string header(header_bytes, '\0');
  file.read(8, std::as_writable_bytes(std::span(header)));
  require(header.starts_with('{'), ErrorCode::kCorruptFile,
          "{}: the header does not begin with '{{' (is it a safetensors file?)", where);
  impl->section = 8 + header_bytes;
  impl->entries = parse_safetensors_header(header, rest - header_bytes, where);
  impl->by_name.resize(impl->entries.size());
  std::iota(impl->by_name.begin(), impl->by_name.end(), std::size_t{0});
  std::sort(impl->by_name.begin(), impl->by_name.end(), [&](std::size_t a, std::size_t b) {
    return impl->entries[a].name < impl->entries[b].name;
  });
  return SafetensorsFile(std::move(impl));
}

const std::filesystem::path& SafetensorsFile::path() const noexcept {
  return impl_->file.path();
}

std::uint64_t SafetensorsFile::bytes() const noexcept {
  return impl_->file.bytes();
}

const std::vector<SafetensorsEntry>& SafetensorsFile::entries() const noexcept {
  return impl_->entries;
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const noexcept {
  const auto found = std::lower_bound(impl_->by_name.begin(), impl_->by_name.end(), name,
                                      [&](std::size_t index, std::string_view wanted) {
                                        return impl_->entries[index].name < wanted;
                                      });
  if (found == impl_->by_name.end() || impl_->entries[*found].name != name) return nullptr;
  return &impl_->entries[*found];
}

TensorSpec SafetensorsFile::spec(const SafetensorsEntry& entry) const {
  require(entry.dtype.has_value(), ErrorCode::kUnsupported,
          "{}: tensor {} is stored in {}, expected F32, F16, BF16 or I64", path().string(),
          excerpt(entry.name), entry.dtype_text);
  require(entry.dims.size() <= Shape::kMaxRank, ErrorCode::kUnsupported,
          "{}: tensor {} has {} dimensions, expected at most {}", path().string(),
          excerpt(entry.name), entry.dims.size(), Shape::kMaxRank);
  return {*entry.dtype, Shape(std::span<const std::int64_t>(entry.dims))};
}

LoadedTensor SafetensorsFile::load(std::string_view name) const {
  const SafetensorsEntry* entry = find(name);
  require(entry != nullptr, ErrorCode::kNotFound, "{}: has no tensor {}", path().string(),
          excerpt(name));
  return load(*entry);
}

LoadedTensor SafetensorsFile::load(const SafetensorsEntry& entry) const {
  const TensorSpec found = spec(entry);
  Buffer memory = BufferPool().acquire(static_cast<std::size_t>(entry.bytes));
  read(entry, 0, memory.span());
  return {found, std::move(memory)};
}

void SafetensorsFile::read(const SafetensorsEntry& entry, std::uint64_t offset,
                           std::span<std::byte> out) const {
  require(offset <= entry.bytes && out.size() <= entry.bytes - offset, ErrorCode::kInternal,
          "{}: {} bytes at {} of tensor {}, which has {}", path().string(), out.size(), offset,
          excerpt(entry.name), entry.bytes);
  impl_->file.read(impl_->section + entry.begin + offset, out);
}

void SafetensorsFile::will_need(const SafetensorsEntry& entry, std::uint64_t offset,
                                std::uint64_t bytes) const noexcept {
  impl_->file.will_need(impl_->section + entry.begin + offset, bytes);
}

}  // namespace airlock
