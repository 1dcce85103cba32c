#include <gtest/gtest.h>

#include "airlock/core/log.h"

#include "tests/support/environment.h"
#include "tests/support/temp_dir.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  airlock::set_log_level(airlock::LogLevel::kError);
  // What programs under test would keep for the next run goes with this one.
  const airlock::testing::TempDir cache;
  const airlock::testing::ScopedVariable there("XDG_CACHE_HOME", cache.path().string());
  return RUN_ALL_TESTS();
}
