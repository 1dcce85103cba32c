// Streams and events of a GPU, owned.
#pragma once

#include <cuda_runtime_api.h>

#include "airlock/worker/cuda/check.h"

namespace airlock::cuda {

/// Work on it runs in order; work on two streams at the same time. Of the current device.
class Stream {
 public:
  Stream() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }

  [[nodiscard]] cudaStream_t get() const noexcept { return stream_; }
  void wait() const { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }
  /// The same without saying what went wrong, for cleaning up.
  void settle() const noexcept { cudaStreamSynchronize(stream_); }

 private:
  cudaStream_t stream_ = nullptr;
};

/// A mark in a stream's work. May be recorded again; those who wait wait for the mark that was the
/// last when they began.
class Event {
 public:
  Event() {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { cudaEventDestroy(event_); }

  void record(const Stream& stream) const {
    check(cudaEventRecord(event_, stream.get()), "cudaEventRecord");
  }
  /// The host waits.
  void wait() const { check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }
  /// `stream` waits, the host does not.
  void hold(const Stream& stream) const {
    check(cudaStreamWaitEvent(stream.get(), event_, 0), "cudaStreamWaitEvent");
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace airlock::cuda
