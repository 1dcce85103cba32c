#include <gtest/gtest.h>

#include "airlock/core/log.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  airlock::set_log_level(airlock::LogLevel::kError);
  return RUN_ALL_TESTS();
}
