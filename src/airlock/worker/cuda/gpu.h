// The GPU itself: found, named, made current.
#pragma once

#include <cstdint>
#include <string>

namespace airlock::cuda {

/// One GPU, in use by this process. Copies mean the same GPU.
class Gpu {
 public:
  /// Throws as require_cuda.
  explicit Gpu(int index);

  /// CUDA keeps the current device per thread: every entry from outside begins with this.
  void make_current() const;
  /// The same for destructors: what cannot be made current has nothing left to free.
  void try_make_current() const noexcept;

  [[nodiscard]] std::string label() const;                                  ///< "cuda:0"
  [[nodiscard]] const std::string& name() const noexcept { return name_; }  ///< "NVIDIA H200"
  [[nodiscard]] const std::string& capability() const noexcept { return capability_; }  ///< "9.0"
  [[nodiscard]] int processors() const noexcept { return processors_; }
  /// Most bytes of shared memory that a block may ask for.
  [[nodiscard]] std::int64_t shared_bytes() const noexcept { return shared_bytes_; }
  /// Bytes of device memory that nobody uses. The GPU is current.
  [[nodiscard]] std::int64_t free_bytes() const;

 private:
  int index_;
  std::string name_;
  std::string capability_;
  int processors_ = 0;
  std::int64_t shared_bytes_ = 0;
};

}  // namespace airlock::cuda
