#include "airlock/model/safetensors.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <numeric>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "airlock/core/buffer_pool.h"
#include "airlock/core/error.h"
#include "airlock/model/checkpoint_text.h"
#include "airlock/model/safetensors_header.h"

namespace airlock {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors are little-endian and read in place");

/// A whole file mapped read-only; unmapped on destruction.
class Mapping {
 public:
  explicit Mapping(const std::filesystem::path& path) {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const int open_error = errno;
    require(fd >= 0, open_error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: {}",
            path.string(), std::generic_category().message(open_error));
    struct stat info {};
    const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    size_ = regular ? static_cast<std::size_t>(info.st_size) : 0;
    void* mapped = MAP_FAILED;
    if (size_ > 0) mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const int map_error = errno;
    ::close(fd);
    require(regular, ErrorCode::kCorruptFile, "{}: is not a regular file", path.string());
    require(size_ >= 8, ErrorCode::kCorruptFile,
            "{}: has {} bytes, too few for a safetensors file (is it truncated?)", path.string(),
            size_);
    require(mapped != MAP_FAILED, ErrorCode::kIo, "{}: cannot be mapped: {}", path.string(),
            std::generic_category().message(map_error));
    data_ = static_cast<const std::byte*>(mapped);
  }
  ~Mapping() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// madvise on every page that holds one of these bytes, where they are inside the mapping.
  void advise(std::span<const std::byte> bytes, int advice) const noexcept {
    static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto first = reinterpret_cast<std::uintptr_t>(bytes.data());
    const auto base = reinterpret_cast<std::uintptr_t>(data_);
    if (bytes.empty() || first < base || first - base >= size_) return;
    const std::uintptr_t end = first + std::min(bytes.size(), size_ - (first - base));
    const std::uintptr_t begin = first / page * page;
    ::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
  }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace

struct SafetensorsFile::Impl {
  explicit Impl(const std::filesystem::path& from) : path(from), mapping(from) {}

  std::filesystem::path path;
  Mapping mapping;
  const std::byte* section = nullptr;  ///< the data section
  std::vector<SafetensorsEntry> entries;
  std::vector<std::size_t> by_name;  ///< indices into entries

  BufferPool pool;
  mutable std::mutex mutex;                                  ///< guards copies
  mutable std::map<const SafetensorsEntry*, Buffer> copies;  ///< of misaligned tensors
};

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  auto impl = std::make_shared<Impl>(path);
  const std::string where = path.string();
  const Mapping& mapping = impl->mapping;
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, mapping.data(), 8);
  require(header_bytes <= kMaxHeaderBytes, ErrorCode::kCorruptFile,
          "{}: claims a header of {} bytes, expected at most {} (is it a safetensors file?)", where,
          header_bytes, kMaxHeaderBytes);
  const std::uint64_t rest = mapping.size() - 8;
  require(header_bytes <= rest, ErrorCode::kCorruptFile,
          "{}: claims a header of {} bytes, but only {} follow (is it truncated?)", where,
          header_bytes, rest);
  const std::string_view header(reinterpret_cast<const char*>(mapping.data()) + 8, header_bytes);
  require(header.starts_with('{'), ErrorCode::kCorruptFile,
          "{}: the header does not begin with '{{' (is it a safetensors file?)", where);
  impl->section = mapping.data() + 8 + header_bytes;
  impl->entries = parse_safetensors_header(header, rest - header_bytes, where);
  impl->by_name.resize(impl->entries.size());
  std::iota(impl->by_name.begin(), impl->by_name.end(), std::size_t{0});
  std::sort(impl->by_name.begin(), impl->by_name.end(), [&](std::size_t a, std::size_t b) {
    return impl->entries[a].name < impl->entries[b].name;
  });
  return SafetensorsFile(std::move(impl));
}

const std::filesystem::path& SafetensorsFile::path() const noexcept {
  return impl_->path;
}

std::uint64_t SafetensorsFile::bytes() const noexcept {
  return impl_->mapping.size();
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

std::span<const std::byte> SafetensorsFile::raw(const SafetensorsEntry& entry) const noexcept {
  return {impl_->section + entry.begin, static_cast<std::size_t>(entry.bytes)};
}

ConstTensor SafetensorsFile::tensor(std::string_view name) const {
  const SafetensorsEntry* entry = find(name);
  require(entry != nullptr, ErrorCode::kNotFound, "{}: has no tensor {}", path().string(),
          excerpt(name));
  require(entry->dtype.has_value(), ErrorCode::kUnsupported,
          "{}: tensor {} is stored in {}, expected F32, F16, BF16 or I64", path().string(),
          excerpt(name), entry->dtype_text);
  require(entry->dims.size() <= Shape::kMaxRank, ErrorCode::kUnsupported,
          "{}: tensor {} has {} dimensions, expected at most {}", path().string(), excerpt(name),
          entry->dims.size(), Shape::kMaxRank);
  const TensorSpec spec{*entry->dtype, Shape(std::span<const std::int64_t>(entry->dims))};
  const std::span<const std::byte> bytes = raw(*entry);
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % dtype_size(spec.dtype) == 0) {
    return {spec, bytes.data()};
  }
  const std::lock_guard lock(impl_->mutex);
  Buffer& copy = impl_->copies[entry];
  if (copy.data() == nullptr) {
    Buffer fresh = impl_->pool.acquire(bytes.size());
    std::memcpy(fresh.data(), bytes.data(), bytes.size());
    drop_pages(bytes);
    copy = std::move(fresh);
  }
  return {spec, copy.data()};
}

void SafetensorsFile::will_need(std::span<const std::byte> bytes) const noexcept {
  impl_->mapping.advise(bytes, MADV_WILLNEED);
}

void SafetensorsFile::drop_pages(std::span<const std::byte> bytes) const noexcept {
  impl_->mapping.advise(bytes, MADV_DONTNEED);
}

}  // namespace airlock
