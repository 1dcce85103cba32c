#include "airlock/model/synth_folder.h"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/write_all.h"

namespace airlock {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMarker = "airlock-synth.json";
constexpr std::string_view kPartial = ".partial";

[[noreturn]] void fail_io(const fs::path& path, std::string_view what, int error) {
  fail(ErrorCode::kIo, "{}: cannot {}: {}", path.string(), what,
       std::generic_category().message(error));
}

/// Files of a checkpoint that a new one replaces.
bool is_checkpoint_file(std::string_view name) {
  if (name.ends_with(kPartial)) name.remove_suffix(kPartial.size());
  return name == "config.json" || name == "generation_config.json" || name == "tokenizer.json" ||
         name == "model.safetensors" || name == "model.safetensors.index.json" ||
         (name.starts_with("model-") && name.ends_with(".safetensors"));
}

/// Names in a folder; Error(kIo) if it cannot be listed.
std::vector<std::string> list(const fs::path& dir) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator it(dir, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) fail_io(dir, "be listed", error.value());
  return names;
}

void write_all(int fd, const fs::path& path, std::int64_t offset,
               std::span<const std::byte> bytes) {
  if (const int error = pwrite_all(fd, offset, bytes); error != 0) {
    fail_io(path, "be written", error);
  }
}

}  // namespace

SynthFolder::SynthFolder(const fs::path& dir, std::string_view marker_text) : dir_(dir) {
  std::error_code error;
  const bool existed = fs::exists(dir, error);
  if (!existed) {
    fs::create_directories(dir, error);
    if (error) fail_io(dir, "be made", error.value());
    made_dir_ = true;
  }
  try {
    require(fs::is_directory(dir, error), ErrorCode::kInvalidArgument, "{}: is not a folder",
            dir.string());
    made_marker_ = !fs::exists(dir / kMarker, error);
    require(!made_marker_ || list(dir).empty(), ErrorCode::kInvalidArgument,
            "{}: holds files that are not a checkpoint made by airlock synth; give an empty or a "
            "new folder",
            dir.string());
    take_lock(marker_text);
  } catch (...) {
    if (lock_ >= 0) ::close(lock_);
    if (made_dir_) fs::remove(dir, error);  // only if empty
    throw;
  }
  remove_partials();
}

void SynthFolder::take_lock(std::string_view marker_text) {
  const fs::path path = dir_ / kMarker;
  // Who else may write this folder must not lead us to another file.
  constexpr int kFlags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  lock_ = ::open(path.c_str(), kFlags);
  if (lock_ < 0 && errno == ENOENT) {
    lock_ = ::open(path.c_str(), kFlags | O_CREAT | O_EXCL, 0666);
    if (lock_ < 0 && errno == EEXIST) lock_ = ::open(path.c_str(), kFlags);
  }
  if (lock_ < 0 && errno != ELOOP) fail_io(path, "be opened", errno);
  struct stat status {};
  require(
      lock_ >= 0 && ::fstat(lock_, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1,
      ErrorCode::kInvalidArgument, "{}: a link or no plain file, so nothing is written to it",
      path.string());
  require(::flock(lock_, LOCK_EX | LOCK_NB) == 0, ErrorCode::kInvalidArgument,
          "{}: another airlock synth is writing this folder", dir_.string());
  if (::ftruncate(lock_, 0) != 0) fail_io(path, "be written", errno);
  write_all(lock_, path, 0, std::as_bytes(std::span(marker_text)));
}

SynthFolder::~SynthFolder() {
  for (const File& file : files_) {
    if (file.fd >= 0) ::close(file.fd);
  }
  if (!committed_) {
    remove_partials();
    std::error_code ignored;
    if (made_marker_) fs::remove(dir_ / kMarker, ignored);
    if (made_dir_) fs::remove(dir_, ignored);  // only if empty
  }
  ::close(lock_);
}

void SynthFolder::remove_partials() noexcept {
  std::error_code ignored;
  try {
    for (const std::string& name : list(dir_)) {
      if (name.ends_with(kPartial) && is_checkpoint_file(name)) fs::remove(dir_ / name, ignored);
    }
  } catch (const std::exception&) {
    // A folder that cannot be listed any more keeps them; they are no checkpoint.
  }
}

fs::path SynthFolder::partial(const File& file) const {
  return dir_ / (file.name + std::string(kPartial));
}

std::size_t SynthFolder::create(const std::string& name, std::int64_t size) {
  File& file = files_.emplace_back();
  file.name = name;
  const fs::path path = partial(file);
  file.fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file.fd < 0) fail_io(path, "be made", errno);
  if (::ftruncate(file.fd, size) != 0) fail_io(path, "be grown", errno);
  return files_.size() - 1;
}

void SynthFolder::pwrite(std::size_t file, std::int64_t offset,
                         std::span<const std::byte> bytes) const {
  write_all(files_[file].fd, partial(files_[file]), offset, bytes);
}

void SynthFolder::write(const std::string& name, std::string_view text) {
  const std::size_t file = create(name, static_cast<std::int64_t>(text.size()));
  pwrite(file, 0, std::as_bytes(std::span(text)));
}

void SynthFolder::commit() {
  std::error_code error;
  // config.json goes first and comes last: a folder without it does not open.
  fs::remove(dir_ / "config.json", error);
  if (error) fail_io(dir_ / "config.json", "be replaced", error.value());
  for (const std::string& name : list(dir_)) {
    if (name.ends_with(kPartial) || !is_checkpoint_file(name)) continue;
    fs::remove(dir_ / name, error);
    if (error) fail_io(dir_ / name, "be replaced", error.value());
  }
  for (File& file : files_) {
    // close reports what a network file system could not write.
    const int error_number = ::close(file.fd) == 0 ? 0 : errno;
    file.fd = -1;
    if (error_number != 0) fail_io(partial(file), "be written", error_number);
    fs::rename(partial(file), dir_ / file.name, error);
    if (error) fail_io(partial(file), "be renamed", error.value());
  }
  committed_ = true;
}

}  // namespace airlock
