// Where this checkout's files and its program lie. Defined in one small source, so that no other
// object depends on where the checkout is.
#pragma once

#include <filesystem>
#include <string>

namespace airlock::testing {

/// The folder tests/data.
[[nodiscard]] std::filesystem::path data_dir();
/// The root of the checkout.
[[nodiscard]] std::filesystem::path source_dir();
/// The airlock program that belongs to this build.
[[nodiscard]] std::string airlock_program();

}  // namespace airlock::testing
