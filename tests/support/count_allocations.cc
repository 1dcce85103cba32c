#include "tests/support/count_allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {
thread_local std::int64_t g_allocations = 0;
thread_local std::int64_t g_left = -1;  // before refusals; negative: without limit
std::atomic<std::int64_t> g_all_allocations{0};

/// Counts one that is asked for; true if it is to be refused.
bool refused() noexcept {
  ++g_allocations;
  g_all_allocations.fetch_add(1, std::memory_order_relaxed);
  if (g_left < 0) return false;
  if (g_left > 0) return --g_left, false;
  errno = ENOMEM;
  return true;
}
}  // namespace

std::int64_t airlock::testing::allocations_of_this_thread() noexcept {
  return g_allocations;
}

std::int64_t airlock::testing::allocations_of_all_threads() noexcept {
  return g_all_allocations.load(std::memory_order_relaxed);
}

void airlock::testing::refuse_allocations_of_this_thread(std::int64_t after) noexcept {
  g_left = after;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// Sanitizers have a malloc of their own.
namespace {
void* allocate(std::size_t size, std::size_t alignment) {
  if (refused()) throw std::bad_alloc();
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* block = alignment <= alignof(std::max_align_t) ? std::malloc(size == 0 ? 1 : size)
                                                       : std::aligned_alloc(alignment, rounded);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
}  // namespace

void* operator new(std::size_t size) {
  return allocate(size, 1);
}
void* operator new[](std::size_t size) {
  return allocate(size, 1);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept {
  std::free(block);
}
void operator delete[](void* block) noexcept {
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  std::free(block);
}
void operator delete[](void* block, std::size_t) noexcept {
  std::free(block);
}
void operator delete(void* block, std::align_val_t) noexcept {
  std::free(block);
}
void operator delete[](void* block, std::align_val_t) noexcept {
  std::free(block);
}
void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
  std::free(block);
}
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept {
  std::free(block);
}

#else

// glibc's own, under the names it keeps for those who replace the usual ones; free stays as it is.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) {
  if (refused()) return nullptr;
  return __libc_malloc(size);
}
void* calloc(std::size_t elements, std::size_t size) {
  if (refused()) return nullptr;
  return __libc_calloc(elements, size);
}
void* realloc(void* block, std::size_t size) {
  if (refused()) return nullptr;
  return __libc_realloc(block, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  if (refused()) return nullptr;
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  if (refused()) return nullptr;
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  if (refused()) return ENOMEM;
  *block = __libc_memalign(alignment, size);
  return *block == nullptr ? ENOMEM : 0;
}
}

#endif
