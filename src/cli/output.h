// Where results go: stdout and files, with failures as errors instead of silence.
#pragma once

#include <filesystem>
#include <string_view>

namespace airlock {

/// Writes to stdout at once: as it is to a pipe or a file, and on a terminal as shown_text() of
/// core/terminal.h, so that a text that somebody else chose cannot drive it. Throws Error(kIo) at
/// the first byte that nobody takes (full disk, closed stdout, closed pipe), Error(kInterrupted)
/// if a signal comes while nobody reads.
void print_result(std::string_view text);
/// Puts a file that only this user reads, whole, in the place of what was there, as OutputFile
/// does. Throws Error(kIo) naming it.
void write_file(const std::filesystem::path& path, std::string_view text);

}  // namespace airlock
