// The folder a checkpoint is written into: nothing in it gets its name before all of it is
// complete. Inside the model room only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace airlock {

/// Writes files under temporary names (NAME.partial) and names them all in `commit`; a folder that
/// is destroyed before that removes what it wrote, and itself if it made it. One process at a time
/// may write a folder. `pwrite` may be called from several threads.
class SynthFolder {
 public:
  /// Makes or takes the folder. Throws Error(kInvalidArgument) if it holds something else than a
  /// checkpoint of `airlock synth` (marked by airlock-synth.json) or if another process is writing
  /// it, Error(kIo) for what the system refuses.
  SynthFolder(const std::filesystem::path& dir, std::string_view marker_text);
  ~SynthFolder();
  SynthFolder(const SynthFolder&) = delete;
  SynthFolder& operator=(const SynthFolder&) = delete;

  /// Begins a file of `size` bytes and returns its number.
  std::size_t create(const std::string& name, std::int64_t size);
  void pwrite(std::size_t file, std::int64_t offset, std::span<const std::byte> bytes) const;
  /// A whole small file.
  void write(const std::string& name, std::string_view text);
  /// Removes what an earlier checkpoint left, then names the files in the order of their creation.
  void commit();

 private:
  struct File {
    std::string name;
    int fd = -1;
  };
  [[nodiscard]] std::filesystem::path partial(const File& file) const;
  void take_lock(std::string_view marker_text);
  void remove_partials() noexcept;

  std::filesystem::path dir_;
  std::vector<File> files_;
  int lock_ = -1;
  bool made_dir_ = false;
  bool made_marker_ = false;
  bool committed_ = false;
};

}  // namespace airlock
