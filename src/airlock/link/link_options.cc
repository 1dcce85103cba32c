#include "airlock/link/link_options.h"

#include "airlock/core/error.h"

namespace airlock {

void check_link_options(const LinkOptions& options) {
  if (options.shape) check_link_shape(*options.shape);
  require((options.socket_mode & ~mode_t{0666}) == 0 && (options.socket_mode & 0600) == 0600,
          ErrorCode::kInvalidArgument, "a socket file with mode {:04o}, expected 0600 to 0666",
          options.socket_mode);
}

}  // namespace airlock
