// Where results go: stdout and files, with failures as errors instead of silence.
#pragma once

#include <filesystem>
#include <string_view>

namespace airlock {

/// Writes to stdout at once. Throws Error(kIo) if nobody takes it (full disk, closed pipe).
void print_result(std::string_view text);
/// Creates or replaces a file. Throws Error(kIo) naming it.
void write_file(const std::filesystem::path& path, std::string_view text);

}  // namespace airlock
