#include "tests/support/paths.h"

namespace airlock::testing {

std::filesystem::path source_dir() {
  return AIRLOCK_SOURCE_DIR;
}

std::filesystem::path data_dir() {
  return source_dir() / "tests" / "data";
}

std::string airlock_program() {
  return AIRLOCK_CLI;
}

}  // namespace airlock::testing
