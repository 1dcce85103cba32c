#include "airlock/model/input_file.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/model/support.h"

namespace airlock::input_file_test {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::least_config;
using testing::raw_tensors;
using testing::TempDir;
using testing::write_checkpoint;
using testing::write_file;

struct Unreadable {
  const char* what;
  std::function<void(const TempDir&)> make;
  ErrorCode code;
  const char* says;
};

TEST(InputFile, SaysWhyAFileOrFolderCannotBeRead) {
  constexpr std::string_view kPointer =
      "version https://git-lfs.github.com/spec/v1\n"
      "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
      "size 12345\n";
  const auto name = [](const char* file) { return std::string("model/") + file; };
  const auto with_pointer = [&](const char* file) {
    return [=](const TempDir& dir) { write_file(dir / name(file), kPointer); };
  };
  const auto with_link = [&](const char* file) {
    return [=](const TempDir& dir) {
      std::filesystem::remove(dir / name(file));
      std::filesystem::create_symlink("../../blobs/abc", dir / name(file));
    };
  };
  const std::vector<Unreadable> cases = {
      {"pointer of weights", with_pointer("model.safetensors"), ErrorCode::kCorruptFile,
       "model.safetensors: is a Git LFS pointer, not the file itself"},
      {"pointer of the configuration", with_pointer("config.json"), ErrorCode::kCorruptFile,
       "config.json: is a Git LFS pointer"},
      {"link of weights to nothing", with_link("model.safetensors"), ErrorCode::kNotFound,
       "model.safetensors: is a link to ../../blobs/abc, which is not there"},
      {"link of the configuration to nothing", with_link("config.json"), ErrorCode::kNotFound,
       "config.json: is a link to ../../blobs/abc, which is not there"},
      {"link of generation_config.json to nothing", with_link("generation_config.json"),
       ErrorCode::kNotFound, "generation_config.json: is a link to"},
      {"link to itself",
       [&](const TempDir& dir) {
         std::filesystem::remove(dir / name("model.safetensors"));
         std::filesystem::create_symlink("model.safetensors", dir / name("model.safetensors"));
       },
       ErrorCode::kIo, "model.safetensors: Too many levels of symbolic links"},
      {"shards without an index",
       [&](const TempDir& dir) {
         std::filesystem::rename(dir / name("model.safetensors"),
                                 dir / name("model-00001-of-00002.safetensors"));
       },
       ErrorCode::kNotFound,
       "holds shards (model-00001-of-00002.safetensors), but not model.safetensors.index.json"},
      {"a file for the folder",
       [&](const TempDir& dir) {
         std::filesystem::remove_all(dir / "model");
         write_file(dir / "model", "x");
       },
       ErrorCode::kIo, "model: is not a folder"},
      {"a link to nothing for the folder",
       [&](const TempDir& dir) {
         std::filesystem::remove_all(dir / "model");
         std::filesystem::create_symlink("snapshots/abc", dir / "model");
       },
       ErrorCode::kNotFound, "model: is a link to snapshots/abc, which is not there"},
      {"no folder", [&](const TempDir& dir) { std::filesystem::remove_all(dir / "model"); },
       ErrorCode::kNotFound, "model: no such folder"},
  };
  for (const Unreadable& unreadable : cases) {
    SCOPED_TRACE(unreadable.what);
    const TempDir dir;
    write_checkpoint(dir / "model", least_config(), raw_tensors(least_config()));
    unreadable.make(dir);
    const auto [code, message] = error_of([&] { (void)Checkpoint::open(dir / "model"); });
    EXPECT_EQ(code, unreadable.code) << message;
    EXPECT_THAT(message, HasSubstr(unreadable.says));
  }
}

/// A user whom permissions bind, for as long as it lives: root passes them all.
class Nobody {
 public:
  Nobody() { EXPECT_TRUE(::geteuid() != 0 || ::seteuid(65534) == 0); }
  ~Nobody() { EXPECT_TRUE(::getuid() != 0 || ::seteuid(0) == 0); }
};

TEST(InputFile, SaysWhichFileOrFolderPermissionsKeepItFrom) {
  const TempDir dir;
  std::filesystem::permissions(dir.path(), std::filesystem::perms(0755));
  write_checkpoint(dir / "model", least_config(), raw_tensors(least_config()));
  for (const char* closed : {"model", "model/model.safetensors", "model/config.json"}) {
    const auto before = std::filesystem::status(dir / closed).permissions();
    std::filesystem::permissions(dir / closed, std::filesystem::perms::none);
    const auto [code, message] = [&] {
      const Nobody nobody;
      return error_of([&] { (void)Checkpoint::open(dir / "model"); });
    }();
    EXPECT_EQ(code, ErrorCode::kIo) << message;
    EXPECT_THAT(message, ::testing::StartsWith((dir / closed).string()));
    EXPECT_THAT(message, ::testing::EndsWith(": Permission denied"));
    std::filesystem::permissions(dir / closed, before);
  }
}

}  // namespace
}  // namespace airlock::input_file_test
