// Checks of the files a command is to write, before it touches any.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace airlock {

/// A path of the command line, and what gave it (a flag). An empty path: not given.
struct NamedPath {
  std::string name;
  std::filesystem::path path;
};

/// Throws Error(kInvalidArgument) naming both if an output is the same regular file as another
/// output, an input, or the one that stdout or stderr goes to; where neither is there yet, if their
/// paths are the same. Devices, pipes and names of descriptors may be given twice.
void check_outputs(const std::vector<NamedPath>& outputs, const std::vector<NamedPath>& inputs);

/// Throws Error(kInvalidArgument) for an output that is `folder`, which is only read, in it, or
/// (through a link) a file of it. Nothing if there is no such folder.
void check_outside(const std::vector<NamedPath>& outputs, const std::filesystem::path& folder);

/// Throws Error(kIo) unless files can be made in that folder, or the folder itself can be made.
/// Makes nothing.
void check_output_folder(const NamedPath& folder);

}  // namespace airlock
