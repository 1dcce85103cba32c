#include "airlock/core/doomed_file.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace airlock::doomed_file_test {
namespace {

using std::filesystem::exists;

// What is removed stays taken, as in a process that ends: each case has a fork of its own.
class DoomedFileDeathTest : public ::testing::Test {
 protected:
  DoomedFileDeathTest() { GTEST_FLAG_SET(death_test_style, "fast"); }
  [[nodiscard]] std::filesystem::path make(const std::string& name) const {
    testing::write_file(dir_ / name, "x");
    return dir_ / name;
  }
  testing::TempDir dir_;
};

TEST_F(DoomedFileDeathTest, GoesWithTheProcessWhileItIsRemembered) {
  EXPECT_EXIT(
      {
        const DoomedFile kept(make("kept"));
        DoomedFile moved(make("moved"));
        const DoomedFile to(std::move(moved));
        { const DoomedFile forgotten(make("forgotten")); }
        DoomedFile replaced(make("replaced"));
        replaced = {};
        remove_doomed_files();
        const bool good = !exists(dir_ / "kept") && !exists(dir_ / "moved") &&
                          exists(dir_ / "forgotten") && exists(dir_ / "replaced");
        std::exit(good ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(DoomedFileDeathTest, StaysIfItIsAnotherByNow) {
  EXPECT_EXIT(
      {
        const DoomedFile doomed(make("a"));
        std::filesystem::rename(make("b"), dir_ / "a");
        remove_doomed_files();
        std::exit(exists(dir_ / "a") ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(DoomedFileDeathTest, BeyondTheRoomIsNotRemembered) {
  EXPECT_EXIT(
      {
        std::vector<std::optional<DoomedFile>> many(40);
        for (std::size_t i = 0; i < many.size(); ++i) many[i].emplace(make(std::to_string(i)));
        const DoomedFile missing(dir_ / "missing");
        remove_doomed_files();
        std::size_t left = 0;
        for (std::size_t i = 0; i < many.size(); ++i) left += exists(dir_ / std::to_string(i));
        std::exit(left == 8 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace airlock::doomed_file_test
