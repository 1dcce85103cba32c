#include "bench/link_exchange.h"

namespace airlock {

std::vector<Contestant> contestants() {
  std::vector<Contestant> all = memory_contestants();
  for (const Contestant& one : socket_contestants()) all.push_back(one);
#ifdef AIRLOCK_BENCH_ZMQ
  for (const Contestant& one : zmq_contestants()) all.push_back(one);
#endif
  return all;
}

}  // namespace airlock
