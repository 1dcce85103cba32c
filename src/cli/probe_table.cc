#include "cli/probe_table.h"

namespace airlock {

Table probe_table(const std::vector<ProbeRow>& rows) {
  Table table({{"link", "link", Table::Align::kLeft},
               {"round trip us", "rtt_us"},
               {"send MB/s", "send_mb_s"},
               {"receive MB/s", "receive_mb_s"},
               {"shared MB/s", "shared_mb_s"},
               {"shared from bytes", "shared_from_bytes"},
               {"worker GFLOP/s: 1 row", "worker_gflops_1"},
               {"64 rows", "worker_gflops_64"},
               {"256 rows", "worker_gflops_256"},
               {"ring GFLOP/s: 1 row", "ring_gflops_1"},
               {"64 rows", "ring_gflops_64"},
               {"256 rows", "ring_gflops_256"},
               {"runner attention GFLOP/s", "runner_attention_gflops"},
               {"runner kernels MB/s", "runner_mb_s"},
               {"pads M/s", "pad_values_m_s"},
               {"checks M/s", "check_values_m_s"},
               {"shield M/s", "shield_values_m_s"}});
  for (const ProbeRow& row : rows) {
    const LinkProfile& link = row.profile;
    const bool shares = link.shared_rate > 0;
    std::vector<Cell> cells = {
        row.link,
        Cell::fixed(link.rtt_ms * 1e3, 1),
        Cell::fixed(link.send_rate / 1e6, 0),
        Cell::fixed(link.receive_rate / 1e6, 0),
        shares ? Cell::fixed(link.shared_rate / 1e6, 0) : Cell(),
        link.shared_from == LinkProfile::kNever ? Cell() : Cell(link.shared_from)};
    for (const auto* points : {&row.rates.worker, &row.rates.ring}) {
      for (std::size_t i = 0; i < 3; ++i) {
        cells.push_back(i < points->size() ? Cell::fixed((*points)[i].flops / 1e9, 1) : Cell());
      }
    }
    cells.push_back(Cell::fixed(row.rates.runner_flops / 1e9, 1));
    cells.push_back(Cell::fixed(row.rates.runner_bytes / 1e6, 0));
    for (const double rate :
         {row.rates.pad_values, row.rates.check_values, row.rates.shield_values}) {
      cells.push_back(Cell::fixed(rate / 1e6, 0));
    }
    table.add(std::move(cells));
  }
  return table;
}

}  // namespace airlock
