#include "airlock/model/checkpoint_pieces.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <numeric>

#include "airlock/core/threads.h"

namespace airlock {
namespace {

/// Bytes between two reports: about a tenth of a second of hashing or generating on two cores.
constexpr std::int64_t kWaveBytes = std::int64_t{256} << 20;

/// Works on pieces [begin, end) with all threads.
void run_wave(std::size_t begin, std::size_t end, const std::function<void(std::size_t)>& work,
              const StopToken& stop) {
  std::atomic<std::size_t> next{begin};
  std::mutex mutex;
  std::exception_ptr error;
  parallel_for(static_cast<std::int64_t>(end - begin), 1, [&](std::int64_t, std::int64_t) {
    while (!stop.stopped()) {
      const std::size_t piece = next.fetch_add(1);
      if (piece >= end) return;
      try {
        work(piece);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
        next = end;
      }
    }
  });
  if (error) std::rethrow_exception(error);
  stop.throw_if_stopped();
}

}  // namespace

void for_each_piece(std::span<const std::int64_t> sizes,
                    const std::function<void(std::size_t)>& work, const ByteProgress& progress,
                    const StopToken& stop) {
  const std::int64_t total = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
  std::int64_t done = 0;
  for (std::size_t begin = 0; begin < sizes.size();) {
    std::int64_t wave = 0;
    std::size_t end = begin;
    while (end < sizes.size() && wave < kWaveBytes) wave += sizes[end++];
    run_wave(begin, end, work, stop);
    begin = end;
    done += wave;
    if (progress) progress(done, total);
  }
}

}  // namespace airlock
