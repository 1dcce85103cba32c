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
  cudaError_t status = cudaStreamEndCapture(stream.get(), &recorded);
  if (status != cudaSuccess) cudaGetLastError();
  check(status, "cudaStreamEndCapture");
  cudaGraphExec_t graph = nullptr;
  status = cudaGraphInstantiate(&graph, recorded, 0);
  cudaGraphDestroy(recorded);
  if (status != cudaSuccess) cudaGetLastError();
  check(status, "cudaGraphInstantiate");
  return Graph(graph);
}

}  // namespace airlock::cuda
