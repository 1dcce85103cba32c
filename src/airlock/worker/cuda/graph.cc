#include "airlock/worker/cuda/graph.h"

namespace airlock::cuda {

void Graph::begin(const Stream& stream) {
  // Other threads pin and free memory meanwhile, as they may in this mode.
  check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal),
        "cudaStreamBeginCapture");
}

void Graph::abandon(const Stream& stream) noexcept {
  cudaGraph_t recorded = nullptr;
  cudaStreamEndCapture(stream.get(), &recorded);
  if (recorded != nullptr) cudaGraphDestroy(recorded);
  cudaGetLastError();  // else the next launch would be blamed for it
}

Graph Graph::end(const Stream& stream) {
  cudaGraph_t recorded = nullptr;
  check(cudaStreamEndCapture(stream.get(), &recorded), "cudaStreamEndCapture");
  cudaGraphExec_t graph = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&graph, recorded, 0);
  cudaGraphDestroy(recorded);
  check(status, "cudaGraphInstantiate");
  return Graph(graph);
}

}  // namespace airlock::cuda
