#include "airlock/math/flash_kernel.h"
namespace airlock {
const FlashKernel* flash_kernel_amx() {
  return nullptr;
}
}  // namespace airlock
