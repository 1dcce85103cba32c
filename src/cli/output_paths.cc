#include "cli/output_paths.h"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "airlock/core/error.h"
#include "airlock/core/new_file.h"

namespace airlock {
namespace {
namespace fs = std::filesystem;

/// Without links as far as it is there, and normal behind that.
fs::path resolved(const fs::path& path) {
  std::error_code error;
  const fs::path whole = fs::absolute(path, error);
  fs::path real = fs::weakly_canonical(whole, error);
  return error ? whole.lexically_normal() : real;
}

bool same_file(const fs::path& a, const fs::path& b) {
  struct stat of_a {};
  struct stat of_b {};
  const bool a_is = ::stat(a.c_str(), &of_a) == 0;
  const bool b_is = ::stat(b.c_str(), &of_b) == 0;
  if (a_is != b_is) return false;
  if (!a_is) return resolved(a) == resolved(b);
  return S_ISREG(of_a.st_mode) && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

bool to_check(const NamedPath& output) {
  return !output.path.empty() && !names_descriptor(output.path);
}
}  // namespace

void check_outputs(const std::vector<NamedPath>& outputs, const std::vector<NamedPath>& inputs) {
  std::vector<NamedPath> others = inputs;
  others.push_back({"standard output", "/dev/stdout"});
  others.push_back({"standard error", "/dev/stderr"});
  for (const NamedPath& output : outputs) {
    if (!to_check(output)) continue;
    for (const NamedPath& other : others) {
      if (other.path.empty()) continue;
      require(!same_file(output.path, other.path), ErrorCode::kInvalidArgument,
              "{} {}: the same file as {}, which it would overwrite: name another", output.name,
              output.path.string(), other.name);
    }
    others.push_back(output);
  }
}

void check_outside(const std::vector<NamedPath>& outputs, const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return;
  for (const NamedPath& output : outputs) {
    if (!to_check(output)) continue;
    const fs::path real = resolved(output.path);
    bool inside = real == resolved(folder) || real.parent_path() == resolved(folder);
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      inside = inside || same_file(output.path, entry.path());
    }
    require(!inside, ErrorCode::kInvalidArgument,
            "{} {}: in the model's folder {}, which is only read: name another place", output.name,
            output.path.string(), folder.string());
  }
}

void check_output_folder(const NamedPath& folder) {
  fs::path there = fs::absolute(folder.path);
  std::error_code error;
  while (!fs::exists(there, error) && !error && there.has_relative_path()) {
    there = there.parent_path();
  }
  int why = error.value();
  if (why == 0 && !fs::is_directory(there, error)) why = ENOTDIR;
  if (why == 0 && ::faccessat(AT_FDCWD, there.c_str(), W_OK | X_OK, AT_EACCESS) != 0) why = errno;
  require(why == 0, ErrorCode::kIo, "{} {}: cannot write files there: {}: {}", folder.name,
          folder.path.string(), there.string(), std::generic_category().message(why));
}

}  // namespace airlock
