#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "airlock/core/error.h"
#include "airlock/launch/session.h"

#include "tests/support/paths.h"
#include "tests/support/temp_dir.h"

namespace airlock::worker_session_test {
namespace {

TEST(WorkerSession, GivesUpAWorkerThatStopsWhileItLoads) {
  const testing::TempDir dir;
  const std::filesystem::path program = dir.path() / "stopped";
  std::ofstream(program) << "#!/bin/sh\nexec sleep 600\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  const RunnerModel model(Checkpoint::open(testing::data_dir() / "checkpoints" / "llama3-gqa"));
  WorkerOptions options;
  options.program = program.string();
  options.client.call_timeout = std::chrono::milliseconds(100);
  try {
    const WorkerSession session(model, compute_fingerprint(model.checkpoint()), options, nullptr);
    ADD_FAILURE() << "a session with nobody";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kTimeout) << error.what();
    EXPECT_EQ(std::string(error.what()).rfind("Init: ", 0), 0U) << error.what();
  }
}

}  // namespace
}  // namespace airlock::worker_session_test
