// CUDA graphs: what a stream was given, recorded once and launched as one.
#pragma once

#include <memory>

#include <cuda_runtime_api.h>

#include "airlock/worker/cuda/stream.h"

namespace airlock::cuda {

/// Movable. Work it holds runs on memory of others, which must be there when it is launched.
class Graph {
 public:
  /// Records what `body` enqueues on `stream`, where nothing of it runs. `body` neither waits nor
  /// allocates. Throws what it throws, and Error if CUDA cannot record it; then the stream is as
  /// before.
  template <typename Body>
  static Graph record(const Stream& stream, const Body& body) {
    begin(stream);
    try {
      body();
    } catch (...) {
      abandon(stream);
      throw;
    }
    return end(stream);
  }

  void launch(const Stream& stream) const {
    check(cudaGraphLaunch(graph_.get(), stream.get()), "cudaGraphLaunch");
  }

 private:
  struct Destroy {
    void operator()(cudaGraphExec_t graph) const noexcept { cudaGraphExecDestroy(graph); }
  };
  explicit Graph(cudaGraphExec_t graph) : graph_(graph) {}

  static void begin(const Stream& stream);
  static void abandon(const Stream& stream) noexcept;
  static Graph end(const Stream& stream);

  std::unique_ptr<CUgraphExec_st, Destroy> graph_;
};

}  // namespace airlock::cuda
