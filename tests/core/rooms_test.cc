// Dependencies point one way, and never from the trusted side to the worker's.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/paths.h"

namespace airlock::rooms_test {
namespace {

const std::vector<std::string> kCommon = {"core", "math", "model", "kernels",
                                          "link", "ops",  "wire"};
const std::vector<std::string> kRunner = {"remote", "plan",   "shield", "runner",
                                          "launch", "engine", "report"};

/// The rooms whose headers `room` may include, itself among them.
std::vector<std::string> rooms_below(const std::string& room) {
  std::vector<std::string> rooms = kCommon;
  if (room == "worker") {
    rooms.push_back(room);
    return rooms;
  }
  if (room == "chat") return {"core", "model", "chat"};
  rooms.insert(rooms.end(), kRunner.begin(), kRunner.end());
  const auto self = std::find(rooms.begin(), rooms.end(), room);
  if (self != rooms.end()) rooms.erase(self + 1, rooms.end());
  return rooms;
}

TEST(Rooms, IncludeOnlyRoomsBelowThem) {
  const std::filesystem::path library = testing::source_dir() / "src" / "airlock";
  const std::string include = "#include \"airlock/";
  int found = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(library)) {
    const std::string kind = entry.path().extension().string();
    if (kind != ".h" && kind != ".cc" && kind != ".cu" && kind != ".inc") continue;
    const std::string room = std::filesystem::relative(entry.path(), library).begin()->string();
    const std::vector<std::string> below = rooms_below(room);
    ASSERT_TRUE(std::find(below.begin(), below.end(), room) != below.end())
        << room << " is a new room: say here what it stands on";
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      if (!line.starts_with(include)) continue;
      ++found;
      const std::string used =
          line.substr(include.size(), line.find('/', include.size()) - include.size());
      EXPECT_TRUE(std::find(below.begin(), below.end(), used) != below.end())
          << entry.path() << ": " << line;
    }
  }
  EXPECT_GT(found, 500);
}

}  // namespace
}  // namespace airlock::rooms_test
