#include "airlock/shield/hint_cache.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/log.h"
#include "airlock/core/write_all.h"

namespace airlock {
namespace {

static_assert(std::endian::native == std::endian::little, "hints are kept little-endian");

constexpr std::array<char, 8> kHintMagic = {'A', 'L', 'H', 'I', 'N', 'T', 'S', '\n'};
constexpr std::uint32_t kHintVersion = 1;
constexpr std::string_view kTemporary = ".tmp";  ///< ends names with the writer's process number

struct HintHeader {
  std::array<char, 8> magic = kHintMagic;
  std::uint32_t version = kHintVersion;
  std::uint32_t degree = 0;
  std::uint32_t rank = 0;
  std::uint32_t lm_head = 0;
  std::uint64_t bytes = 0;
  Fingerprint fingerprint{};
};
static_assert(sizeof(HintHeader) == 64 && std::has_unique_object_representations_v<HintHeader>);

HintHeader header_of(const HintFile& file) {
  HintHeader header;
  header.degree = static_cast<std::uint32_t>(file.lattice.degree);
  header.rank = static_cast<std::uint32_t>(file.lattice.rank);
  header.lm_head = file.lm_head ? 1 : 0;
  header.bytes = static_cast<std::uint64_t>(file.bytes);
  header.fingerprint = file.fingerprint;
  return header;
}

double mib(std::uint64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

std::string system_text(int error) {
  return std::generic_category().message(error);
}

/// Removes what writers that were killed left of a file: it may be gigabytes.
void remove_leftovers(const std::filesystem::path& folder, const std::string& prefix) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    pid_t writer = 0;
    if (!name.starts_with(prefix) || !name.ends_with(kTemporary)) continue;
    const char* const first = name.data() + prefix.size();
    const char* const last = name.data() + name.size() - kTemporary.size();
    const auto [parsed, failed] = std::from_chars(first, last, writer);
    if (failed != std::errc() || parsed != last || writer <= 0) continue;
    if (::kill(writer, 0) != 0 && errno == ESRCH) ::unlink(entry->path().c_str());
  }
}

/// Fills `into` from `position`; false where the file ends.
bool read_all(int fd, const std::filesystem::path& path, std::int64_t position,
              std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t got = ::pread(fd, into.data(), into.size(), position);
    if (got < 0 && errno == EINTR) continue;
    require_system(got >= 0, ErrorCode::kIo, "{}", path.string());
    if (got == 0) return false;
    position += got;
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

}  // namespace

std::string HintFile::name() const {
  return fmt::format("{}-N{}-r{}{}.hints", to_hex(fingerprint), lattice.degree, lattice.rank,
                     lm_head ? "" : "-layers");
}

std::optional<HintReader> HintReader::open(const std::filesystem::path& folder,
                                           const HintFile& file) {
  const std::filesystem::path path = folder / file.name();
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) return std::nullopt;
  require_system(fd >= 0, ErrorCode::kIo, "{}", path.string());
  HintReader reader(fd, path);
  struct stat status {};
  require_system(::fstat(fd, &status) == 0, ErrorCode::kIo, "{}", path.string());
  const std::int64_t expected = static_cast<std::int64_t>(sizeof(HintHeader)) + file.bytes;
  require(S_ISREG(status.st_mode) && status.st_size == expected, ErrorCode::kCorruptFile,
          "{} has {} bytes, expected {}", path.string(), status.st_size, expected);
  HintHeader header;
  const HintHeader wanted = header_of(file);
  require(read_all(fd, path, 0, std::as_writable_bytes(std::span(&header, 1))) &&
              std::memcmp(&header, &wanted, sizeof header) == 0,
          ErrorCode::kCorruptFile, "{} is of another model, lattice or version", path.string());
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  return reader;
}

HintReader::HintReader(HintReader&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

HintReader::~HintReader() {
  if (fd_ >= 0) ::close(fd_);
}

void HintReader::read(std::int64_t offset, std::span<std::byte> into) const {
  require(read_all(fd_, path_, static_cast<std::int64_t>(sizeof(HintHeader)) + offset, into),
          ErrorCode::kCorruptFile, "{} ends within its hints", path_.string());
}

HintWriter::HintWriter(const std::filesystem::path& folder, const HintFile& file) {
  if (folder.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  path_ = folder / file.name();
  const std::string prefix = fmt::format(".{}.", file.name());
  temporary_ = folder / fmt::format("{}{}{}", prefix, ::getpid(), kTemporary);
  remove_leftovers(folder, prefix);
  if (error) {
    give_up(error.message());
  } else {
    begin(file);
  }
}

void HintWriter::begin(const HintFile& file) {
  struct statvfs disk {};
  const std::int64_t wanted = static_cast<std::int64_t>(sizeof(HintHeader)) + file.bytes;
  if (::statvfs(path_.parent_path().c_str(), &disk) == 0 &&
      disk.f_bavail < static_cast<std::uint64_t>(wanted) / disk.f_frsize + 1) {
    return give_up(fmt::format("the disk has {:.1f} MiB left, they take {:.1f}",
                               mib(disk.f_bavail * disk.f_frsize),
                               mib(static_cast<std::uint64_t>(wanted))));
  }
  ::unlink(temporary_.c_str());  // of a process that had this number
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd_ < 0) return give_up(system_text(errno));
  doomed_ = DoomedFile(temporary_);
  const HintHeader header = header_of(file);
  write_all(0, std::as_bytes(std::span(&header, 1)));
}

HintWriter::~HintWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void HintWriter::write(std::int64_t offset, std::span<const std::byte> from) {
  if (fd_ >= 0) write_all(static_cast<std::int64_t>(sizeof(HintHeader)) + offset, from);
}

void HintWriter::write_all(std::int64_t position, std::span<const std::byte> from) {
  if (const int error = pwrite_all(fd_, position, from); error != 0) give_up(system_text(error));
}

void HintWriter::finish() {
  if (fd_ < 0) return;
  // The close reports what some file systems found out late.
  if (::close(std::exchange(fd_, -1)) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const std::string why = system_text(errno);
    ::unlink(temporary_.c_str());
    give_up(why);
  }
}

void HintWriter::give_up(const std::string& why) {
  log_warning("{}: cannot keep the model's hints, the next run fetches them again: {}",
              path_.string(), why);
  if (fd_ >= 0) {
    ::close(std::exchange(fd_, -1));
    ::unlink(temporary_.c_str());
  }
}

}  // namespace airlock
