#include "cli/output.h"

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <system_error>

#include "airlock/core/error.h"
#include "cli/signals.h"

namespace airlock {

void print_result(std::string_view text) {
  const bool ok =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  const int why = errno;
  if (!ok) signal_stop().throw_if_stopped();  // a signal, not the output, ended it
  require(ok, ErrorCode::kIo, "cannot write to standard output: {}",
          std::generic_category().message(why));
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  require(file.is_open(), ErrorCode::kIo, "{}: cannot create the file: {}", path.string(),
          std::generic_category().message(errno));
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  require(!file.fail(), ErrorCode::kIo, "{}: cannot write the file: {}", path.string(),
          std::generic_category().message(errno));
}

}  // namespace airlock
