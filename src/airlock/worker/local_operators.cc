#include "airlock/worker/local_operators.h"

#include <array>

#include "airlock/ops/rules.h"

namespace airlock {

CallTicket LocalOperators::submit(const Call& call, std::span<const ConstTensor> inputs,
                                  std::span<const Tensor> outputs) {
  require(submitted_ == collected_, ErrorCode::kInternal, "{}: 1 calls are under way already",
          call);
  Call local = call;
  if (!is_ring(call.op)) local.reply_dtype = DType::kF32;
  for (int i = 0; i < local.inputs.size(); ++i) {
    local.inputs[i] = inputs[static_cast<std::size_t>(i)].spec;
  }
  (void)infer_outputs(backend_.config(), local);
  std::array<BackendSequence*, kMaxRanges> sequences;
  std::size_t count = 0;
  for (const RowRange& range : local.ranges) {
    auto& sequence = sequences_[range.sequence];
    if (!sequence) sequence = backend_.open_sequence();
    sequences[count++] = sequence.get();
  }
  backend_.execute(local, std::span(sequences).first(count), inputs, outputs);
  return {submitted_++};
}

void LocalOperators::collect(CallTicket ticket) {
  require(collected_ < submitted_ && ticket.number == collected_, ErrorCode::kInternal,
          "call {} is not the oldest under way", ticket.number);
  ++collected_;
}

}  // namespace airlock
