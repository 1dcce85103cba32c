#include "airlock/remote/flight.h"

#include <algorithm>
#include <cstring>

#include "airlock/math/convert.h"
#include "airlock/ops/rules.h"

namespace airlock {
namespace {

double milliseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

void check_memory(const Call& call, const TensorSpec& wire, const TensorSpec& own,
                  std::string_view what) {
  const bool widened = own.dtype == DType::kF32 && is_real(wire.dtype);
  require(own.shape == wire.shape && (own.dtype == wire.dtype || widened), ErrorCode::kInternal,
          "{}: {} is {} {} in memory, expected {} {}, or f32", call, what, dtype_name(own.dtype),
          own.shape, dtype_name(wire.dtype), wire.shape);
}

void copy(const ConstTensor& from, const Tensor& to) {
  std::memcpy(to.data, from.data, static_cast<std::size_t>(from.bytes()));
}

std::size_t size_of(const TensorSpecs& specs) {
  return static_cast<std::size_t>(specs.size());
}

}  // namespace

void Flight::begin(const ModelConfig& config, const Call& call, std::span<const ConstTensor> inputs,
                   std::span<const Tensor> outputs, FlightMemory& memory, std::uint64_t id) {
  begin_ = Clock::now();
  call_ = call;
  id_ = id;
  failure = unsent = nullptr;
  reply_ = infer_outputs(config, call);
  require(inputs.size() == size_of(call.inputs) && outputs.size() == size_of(reply_),
          ErrorCode::kInternal, "{}: {} inputs and {} outputs given", call, inputs.size(),
          outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    check_memory(call, reply_[static_cast<int>(i)], outputs[i].spec, "an output");
    wanted_[i] = outputs[i];
  }
  transfer_ = {};
  for (std::size_t i = 0; i < inputs.size(); ++i) carry_input(i, inputs[i], memory);
  std::int64_t compressible = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    carry_output(i, memory);
    if (outputs_[i].may_shrink()) compressible += outputs_[i].tensor.bytes();
  }
  transfer_.reply_compression = memory.compress.for_reply(call_, compressible);
  message_ = builder_.build(call_, transfer_);
  encoded_ = Clock::now();
}

void Flight::place(Carried& carried, const TensorSpec& wire, std::byte* own, bool same_dtype,
                   const FlightMemory& memory) {
  carried.place = {};
  carried.encoding = {};
  carried.tensor = {wire, own};
  // Ids index the embedding: the worker has to check them where the runner cannot change them;
  // seeds are small.
  if (memory.arena == nullptr || wire.dtype == DType::kI64 || wire.bytes() < memory.shared_from ||
      wire.bytes() > memory.shared_up_to) {
    return;
  }
  if (same_dtype) {
    if (const auto found = memory.arena->find(own)) {
      carried.place = *found;
      return;
    }
  }
  Buffer buffer = memory.shared.acquire(static_cast<std::size_t>(wire.bytes()));
  const auto found = memory.arena->find(buffer.data());
  if (!found) return;  // the budget is spent
  carried.place = *found;
  carried.tensor.data = buffer.data();
  carried.buffer = std::move(buffer);
}

void Flight::carry_input(std::size_t at, const ConstTensor& own, FlightMemory& memory) {
  const TensorSpec& wire = call_.inputs[static_cast<int>(at)];
  check_memory(call_, wire, own.spec, "an input");
  const bool same = wire.dtype == own.spec.dtype;
  Carried& carried = inputs_[at];
  // Sent tensors are only read; the writable view serves both directions.
  place(carried, wire, const_cast<std::byte*>(own.data), same, memory);
  transfer_.inputs[at] = carried.place;
  if (!same && !carried.place.shared()) {
    carried.buffer = memory.own.acquire(static_cast<std::size_t>(wire.bytes()));
    carried.tensor.data = carried.buffer.data();
  }
  if (!same) {
    convert(own, carried.tensor);
  } else if (carried.tensor.data != own.data) {
    copy(own, carried.tensor);
  }
  if (carried.may_shrink()) compress_input(at, memory);
}

void Flight::compress_input(std::size_t at, FlightMemory& memory) {
  Carried& carried = inputs_[at];
  const Compression compression =
      memory.compress.for_input(call_, at, carried.tensor, memory.codec, memory.own);
  if (compression == Compression::kNone) return;
  carried.encoded = memory.own.acquire(encoded_bound(carried.tensor.spec));
  const auto bytes = static_cast<std::int64_t>(
      memory.codec.encode(compression, carried.tensor, carried.encoded.span()));
  if (bytes >= carried.tensor.bytes()) return carried.encoded.release();
  carried.encoding = {compression, bytes};
  transfer_.input_encodings[at] = carried.encoding;
  carried.buffer.release();
}

void Flight::carry_output(std::size_t at, const FlightMemory& memory) {
  const TensorSpec& wire = reply_[static_cast<int>(at)];
  Carried& carried = outputs_[at];
  // What arrives behind the reply gets its memory only then.
  place(carried, wire, wanted_[at].data, wire.dtype == wanted_[at].spec.dtype, memory);
  transfer_.outputs[at] = carried.place;
}

void announce(Channel& channel, SharedArena& arena, std::uint16_t segment,
              MessageBuilder& builder) {
  const auto news = arena.news_of(segment);
  if (!news) return;
  // Part of setting up, as Init is: not the call's overhead.
  channel.send(FrameType::kShare, 0, builder.build(news->message), {}, Layout::kAligned,
               news->file);
  arena.told(segment);
}

void Flight::send(Channel& channel, const FlightMemory& memory) {
  for (const auto* places : {&transfer_.inputs, &transfer_.outputs}) {
    for (const Place& place : *places) {
      if (place.shared()) announce(channel, *memory.arena, place.segment, share_builder_);
    }
  }
  std::array<std::span<const std::byte>, kMaxTensors> parts;
  std::size_t count = 0;
  std::int64_t through_memory = 0;
  std::int64_t saved = 0;
  for (std::size_t i = 0; i < size_of(call_.inputs); ++i) {
    const Carried& carried = inputs_[i];
    if (carried.place.shared()) {
      through_memory += carried.tensor.bytes();
      continue;
    }
    parts[count++] = carried.behind();
    if (carried.encoding.compressed()) saved += carried.tensor.bytes() - carried.encoding.bytes;
  }
  channel.link().carry_out(static_cast<std::size_t>(through_memory));
  const FrameBytes sent =
      channel.send(FrameType::kCall, id_, message_, std::span(parts).first(count),
                   layout_of(transfer_.input_encodings));
  out_.wire = sent.payload + through_memory;
  out_.raw = out_.wire + saved;
  out_.overhead = sent.overhead;
  written_ = Clock::now();
  for (Carried& carried : inputs_) {
    if (!carried.place.shared()) carried.release();
  }
}

void Flight::receive(Channel& channel, const IncomingFrame& frame, const FlightMemory& memory) {
  const ReplyMessage answer = parse_reply(frame.message);
  require(answer.outputs == reply_, ErrorCode::kProtocol,
          "the worker answered tensors of other shapes or dtypes than the call has");
  worker_ns_ = answer.worker_ns;
  std::array<std::span<std::byte>, kMaxTensors> parts;
  std::size_t count = 0;
  std::int64_t through_memory = 0;
  std::int64_t saved = 0;
  for (std::size_t i = 0; i < size_of(reply_); ++i) {
    Carried& carried = outputs_[i];
    carried.encoding = answer.encodings[i];
    if (carried.place.shared()) {
      require(!carried.encoding.compressed(), ErrorCode::kProtocol,
              "the worker says that an output in shared memory is compressed");
      through_memory += carried.tensor.bytes();
      continue;
    }
    if (carried.encoding.compressed()) {
      const auto most = static_cast<std::int64_t>(encoded_bound(carried.tensor.spec));
      require(carried.encoding.compression == transfer_.reply_compression &&
                  carried.encoding.bytes <= most,
              ErrorCode::kProtocol,
              "the worker compressed an output into {} bytes of {}, at most {} of {} are expected",
              carried.encoding.bytes, compression_name(carried.encoding.compression), most,
              compression_name(transfer_.reply_compression));
      carried.encoded = memory.own.acquire(static_cast<std::size_t>(carried.encoding.bytes));
      saved += carried.tensor.bytes() - carried.encoding.bytes;
    }
    if (carried.tensor.spec.dtype != wanted_[i].spec.dtype) {
      carried.buffer = memory.own.acquire(static_cast<std::size_t>(carried.tensor.bytes()));
      carried.tensor.data = carried.buffer.data();
    }
    parts[count++] = carried.behind();
  }
  channel.receive_tensors(std::span(parts).first(count), layout_of(answer.encodings));
  channel.link().carry_in(static_cast<std::size_t>(through_memory));
  const FrameBytes received = channel.received_bytes();
  in_.wire = received.payload + through_memory;
  in_.raw = in_.wire + saved;
  in_.overhead = received.overhead;
}

void Flight::finish(FlightMemory& memory) {
  collected_ = Clock::now();
  for (std::size_t i = 0; i < size_of(reply_); ++i) {
    Carried& carried = outputs_[i];
    const Tensor& arrived = carried.tensor;
    if (carried.encoding.compressed()) {
      memory.codec.decode(carried.encoding.compression, carried.behind(), arrived);
    }
    if (carried.may_shrink()) {
      memory.compress.saw_output(call_, i, arrived, memory.codec, memory.own);
    }
    if (arrived.spec.dtype != wanted_[i].spec.dtype) {
      convert(arrived, wanted_[i]);
    } else if (arrived.data != wanted_[i].data) {
      copy(arrived, wanted_[i]);
    }
  }
  drop();
  end_ = Clock::now();
}

void Flight::drop() noexcept {
  for (Carried& carried : inputs_) carried.release();
  for (Carried& carried : outputs_) carried.release();
}

void Flight::describe_to(LedgerEntry& entry, Clock::time_point zero) const {
  entry.op = call_.op;
  entry.layer = call_.layer;
  entry.sent_bytes = out_.raw;
  entry.received_bytes = in_.raw;
  entry.sent_wire_bytes = out_.wire;
  entry.received_wire_bytes = in_.wire;
  entry.overhead_bytes = out_.overhead + in_.overhead;
  entry.start_ms = milliseconds(begin_ - zero);
  entry.encode_ms = milliseconds(encoded_ - begin_);
  entry.send_ms = milliseconds(written_ - encoded_);
  // A reply that waited here to be collected was under way as far as the runner can tell.
  const double waited = milliseconds(collected_ - written_);
  entry.worker_ms = std::min(static_cast<double>(worker_ns_) / 1e6, waited);
  entry.receive_ms = waited - entry.worker_ms;
  entry.decode_ms = milliseconds(end_ - collected_);
  entry.total_ms = milliseconds(end_ - begin_);
  entry.wire_dtype = call_.reply_dtype;
}

}  // namespace airlock
