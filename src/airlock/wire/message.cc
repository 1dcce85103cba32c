#include "airlock/wire/message.h"

#include <algorithm>
#include <limits>

#include <flatbuffers/flatbuffers.h>

#include "airlock/wire/frame.h"
#include "airlock/wire/protocol_generated.h"

namespace airlock {
namespace {

/// What is sent, and what is kept, of a text for people.
constexpr std::size_t kMaxText = 2000;

std::string_view cut(std::string_view text) {
  return text.substr(0, kMaxText);
}

/// A peer's text goes to terminals and logs: nothing of it may drive one, so only ASCII is kept
/// (beyond it lie the C1 controls and what reverses the direction of writing).
std::string printable(const flatbuffers::String* text) {
  std::string clean;
  if (text == nullptr) return clean;
  for (const char c : cut({text->c_str(), text->size()})) {
    const auto byte = static_cast<unsigned char>(c);
    clean += byte < 0x20 || byte == 0x7f ? ' ' : byte > 0x7f ? '?' : c;
  }
  return clean;
}

template <typename Table>
const Table& verified(std::span<const std::byte> bytes, std::string_view name) {
  flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(),
                                 /*max_depth=*/8, /*max_tables=*/4);
  require(verifier.VerifyBuffer<Table>(nullptr), ErrorCode::kProtocol,
          "a {} message of {} bytes is malformed", name, bytes.size());
  return *flatbuffers::GetRoot<Table>(bytes.data());
}

fb::TensorDesc to_desc(const TensorSpec& spec) {
  std::array<std::uint32_t, 3> dims{};
  require(spec.shape.rank() <= 3, ErrorCode::kInternal, "a tensor of rank {} on the wire",
          spec.shape.rank());
  for (int i = 0; i < spec.shape.rank(); ++i) {
    const std::int64_t dim = spec.shape[i];
    require(dim <= std::numeric_limits<std::uint32_t>::max(), ErrorCode::kInvalidArgument,
            "a tensor {} is too long for the wire", spec.shape);
    dims[static_cast<std::size_t>(i)] = static_cast<std::uint32_t>(dim);
  }
  return {flatbuffers::span<const std::uint32_t, 3>(dims),
          static_cast<std::uint8_t>(spec.shape.rank()), static_cast<std::uint8_t>(spec.dtype)};
}

flatbuffers::Offset<flatbuffers::Vector<const fb::TensorDesc*>> build_specs(
    flatbuffers::FlatBufferBuilder& builder, const TensorSpecs& specs) {
  std::array<fb::TensorDesc, kMaxTensors> descs;
  for (int i = 0; i < specs.size(); ++i) descs[static_cast<std::size_t>(i)] = to_desc(specs[i]);
  return builder.CreateVectorOfStructs(descs.data(), static_cast<std::size_t>(specs.size()));
}

TensorSpecs parse_specs(const flatbuffers::Vector<const fb::TensorDesc*>* descs,
                        std::string_view name) {
  TensorSpecs specs;
  if (descs == nullptr) return specs;
  require(descs->size() <= kMaxTensors, ErrorCode::kProtocol,
          "a {} message has {} tensors, at most {} are allowed", name, descs->size(), kMaxTensors);
  for (const fb::TensorDesc* desc : *descs) {
    require(is_dtype(desc->dtype()) && desc->rank() <= 3, ErrorCode::kProtocol,
            "a {} message has a tensor of dtype {} and rank {}", name, desc->dtype(), desc->rank());
    std::array<std::int64_t, 3> dims{};
    for (std::size_t i = 0; i < 3; ++i) {
      dims[i] = desc->dims()->Get(static_cast<flatbuffers::uoffset_t>(i));
    }
    specs.push_back({static_cast<DType>(desc->dtype()),
                     Shape(std::span<const std::int64_t>(dims.data(),
                                                         static_cast<std::size_t>(desc->rank())))});
  }
  return specs;
}

/// Offsets travel in units of the tensors' alignment, so that none can be unaligned.
fb::Place to_place(const Place& place) {
  const std::int64_t units = place.offset / static_cast<std::int64_t>(kTensorAlignment);
  require(place.offset >= 0 && units <= std::numeric_limits<std::uint32_t>::max() &&
              place.offset % static_cast<std::int64_t>(kTensorAlignment) == 0,
          ErrorCode::kInternal, "a tensor at byte {} of shared memory", place.offset);
  return {place.segment, 0, static_cast<std::uint32_t>(units)};
}

Place from_place(const fb::Place& place) {
  return {place.segment(),
          static_cast<std::int64_t>(place.offset()) * static_cast<std::int64_t>(kTensorAlignment)};
}

using PlaceVector = flatbuffers::Vector<const fb::Place*>;

flatbuffers::Offset<PlaceVector> build_places(flatbuffers::FlatBufferBuilder& builder,
                                              const std::array<Place, kMaxTensors>& places) {
  std::array<fb::Place, kMaxTensors> built;
  std::size_t count = 0;  // up to the last that is shared: what is not told is not
  for (std::size_t i = 0; i < places.size(); ++i) {
    built[i] = to_place(places[i]);
    if (places[i].shared()) count = i + 1;
  }
  return count == 0 ? 0 : builder.CreateVectorOfStructs(built.data(), count);
}

std::array<Place, kMaxTensors> parse_places(const PlaceVector* built, std::size_t most) {
  std::array<Place, kMaxTensors> places;
  if (built == nullptr) return places;
  require(built->size() <= most, ErrorCode::kProtocol,
          "a Call message has {} places for at most {} tensors", built->size(), most);
  std::size_t at = 0;
  for (const fb::Place* place : *built) places[at++] = from_place(*place);
  return places;
}

std::int64_t parse_bytes(std::uint64_t value, std::string_view name) {
  require(value <= std::uint64_t{std::numeric_limits<std::int64_t>::max()}, ErrorCode::kProtocol,
          "a {} message claims {} bytes", name, value);
  return static_cast<std::int64_t>(value);
}

using EncodingVector = flatbuffers::Vector<const fb::Encoding*>;

flatbuffers::Offset<EncodingVector> build_encodings(flatbuffers::FlatBufferBuilder& builder,
                                                    const Encodings& encodings) {
  std::array<fb::Encoding, kMaxTensors> built;
  std::size_t count = 0;
  for (std::size_t i = 0; i < encodings.size(); ++i) {
    built[i] = {static_cast<std::uint64_t>(encodings[i].bytes),
                static_cast<std::uint8_t>(encodings[i].compression)};
    if (encodings[i].compressed()) count = i + 1;
  }
  return count == 0 ? 0 : builder.CreateVectorOfStructs(built.data(), count);
}

Compression parse_compression_code(std::uint8_t code, std::string_view name) {
  require(is_compression(code), ErrorCode::kProtocol, "a {} message names compression {}", name,
          code);
  return static_cast<Compression>(code);
}

Encodings parse_encodings(const EncodingVector* built, std::size_t most, std::string_view name) {
  Encodings encodings;
  if (built == nullptr) return encodings;
  require(built->size() <= most, ErrorCode::kProtocol,
          "a {} message has {} compressed tensors of at most {}", name, built->size(), most);
  // The verifier checks the vector's length, which needs less alignment than its elements.
  require(reinterpret_cast<std::uintptr_t>(built->Data()) % alignof(fb::Encoding) == 0,
          ErrorCode::kProtocol, "a {} message has compressed tensors that are not aligned", name);
  std::size_t at = 0;
  for (const fb::Encoding* encoding : *built) {
    encodings[at++] = {parse_compression_code(encoding->compression(), name),
                       parse_bytes(encoding->bytes(), name)};
  }
  return encodings;
}

/// The rows that an attention call of one sequence has: such a call does not say how many.
std::int32_t all_rows(const Call& call) {
  const bool any = !call.inputs.empty() && call.inputs[0].shape.rank() > 0;
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  return static_cast<std::int32_t>(any ? std::min(call.inputs[0].shape[0], kMost) : 0);
}

/// True if position and sequence say all of the call's ranges.
bool is_one_sequence(const Call& call) {
  return is_attention(call.op) && call.ranges.size() == 1 &&
         call.ranges[0].tokens == all_rows(call);
}

using RangeVector = flatbuffers::Vector<const fb::RowRange*>;

void check_ranges(const Call& call) {
  require(!is_attention(call.op) || !call.ranges.empty(), ErrorCode::kInvalidArgument,
          "{} does not say whose rows it has", call);
  for (const RowRange& range : call.ranges) {
    require(range.tokens >= 0 && range.position >= 0 &&
                range.position <= std::numeric_limits<std::uint32_t>::max(),
            ErrorCode::kInvalidArgument, "{} tokens at position {} do not fit the wire",
            range.tokens, range.position);
  }
}

flatbuffers::Offset<RangeVector> build_ranges(flatbuffers::FlatBufferBuilder& builder,
                                              const RowRanges& ranges) {
  if (ranges.empty()) return 0;
  std::array<fb::RowRange, kMaxRanges> built;
  std::size_t count = 0;
  for (const RowRange& range : ranges) {
    built[count++] = {range.sequence, static_cast<std::uint32_t>(range.tokens),
                      static_cast<std::uint32_t>(range.position)};
  }
  return builder.CreateVectorOfStructs(built.data(), count);
}

RowRanges parse_ranges(const fb::Call& table, const Call& call) {
  RowRanges ranges;
  if (table.ranges() == nullptr) {
    if (is_attention(call.op) || table.position() != 0 || table.sequence() != 0) {
      ranges.push_back({table.sequence(), all_rows(call), table.position()});
    }
    return ranges;
  }
  const RangeVector& built = *table.ranges();
  require(built.size() >= 1 && built.size() <= kMaxRanges && table.position() == 0 &&
              table.sequence() == 0,
          ErrorCode::kProtocol,
          "a Call message has {} ranges of rows, 1 to {} are allowed and neither position nor "
          "sequence beside them",
          built.size(), kMaxRanges);
  for (const fb::RowRange* range : built) {
    require(range->tokens() <= std::numeric_limits<std::int32_t>::max(), ErrorCode::kProtocol,
            "a Call message has a range of {} rows", range->tokens());
    ranges.push_back(
        {range->sequence(), static_cast<std::int32_t>(range->tokens()), range->position()});
  }
  return ranges;
}

FingerprintBytes parse_fingerprint(const flatbuffers::Vector<std::uint8_t>* bytes,
                                   std::string_view name) {
  FingerprintBytes fingerprint;
  require(bytes != nullptr && bytes->size() == fingerprint.size(), ErrorCode::kProtocol,
          "a {} message has no fingerprint of {} bytes", name, fingerprint.size());
  std::copy(bytes->begin(), bytes->end(), fingerprint.begin());
  return fingerprint;
}

}  // namespace

struct MessageBuilder::Impl {
  flatbuffers::FlatBufferBuilder builder{1024};

  template <typename Table>
  std::span<const std::byte> finish(flatbuffers::Offset<Table> root) {
    builder.Finish(root);
    return {reinterpret_cast<const std::byte*>(builder.GetBufferPointer()), builder.GetSize()};
  }
};

MessageBuilder::MessageBuilder() : impl_(std::make_unique<Impl>()) {}
MessageBuilder::~MessageBuilder() = default;

std::span<const std::byte> MessageBuilder::build(const HelloMessage& message) {
  auto& b = impl_->builder;
  b.Clear();
  const auto fingerprint = b.CreateVector(message.fingerprint.data(), message.fingerprint.size());
  const auto client = b.CreateString(cut(message.client));
  return impl_->finish(
      fb::CreateHello(b, fingerprint, client, static_cast<std::uint8_t>(message.lanes)));
}

std::span<const std::byte> MessageBuilder::build(const WelcomeMessage& message) {
  auto& b = impl_->builder;
  b.Clear();
  const auto fingerprint = b.CreateVector(message.fingerprint.data(), message.fingerprint.size());
  const auto backend = b.CreateString(cut(message.backend));
  const auto worker = b.CreateString(cut(message.worker));
  return impl_->finish(fb::CreateWelcome(
      b, fingerprint, static_cast<std::uint8_t>(message.compute_dtype), backend, worker,
      static_cast<std::uint8_t>(message.lanes), static_cast<std::uint64_t>(message.shared_bytes),
      static_cast<std::uint8_t>(message.products)));
}

std::span<const std::byte> MessageBuilder::build(const Call& message, const Transfer& transfer) {
  auto& b = impl_->builder;
  b.Clear();
  flatbuffers::Offset<flatbuffers::Vector<std::uint8_t>> weights = 0;
  if (!message.weights.empty()) {
    weights = b.CreateVector(reinterpret_cast<const std::uint8_t*>(message.weights.begin()),
                             static_cast<std::size_t>(message.weights.size()));
  }
  const auto inputs = build_specs(b, message.inputs);
  const auto input_places = build_places(b, transfer.inputs);
  const auto output_places = build_places(b, transfer.outputs);
  const auto encodings = build_encodings(b, transfer.input_encodings);
  check_ranges(message);
  const bool one = is_one_sequence(message);
  const RowRange all = one ? message.ranges[0] : RowRange{};
  const auto ranges = build_ranges(b, one ? RowRanges{} : message.ranges);
  return impl_->finish(
      fb::CreateCall(b, static_cast<std::uint8_t>(message.op), message.layer,
                     static_cast<std::uint8_t>(message.reply_dtype), inputs,
                     static_cast<std::uint32_t>(all.position), all.sequence, weights,
                     message.transpose_b, input_places, output_places, encodings,
                     static_cast<std::uint8_t>(transfer.reply_compression), ranges));
}

std::span<const std::byte> MessageBuilder::build(const ReplyMessage& message) {
  auto& b = impl_->builder;
  b.Clear();
  const auto outputs = build_specs(b, message.outputs);
  const auto encodings = build_encodings(b, message.encodings);
  return impl_->finish(fb::CreateReply(b, message.worker_ns, outputs, encodings));
}

std::span<const std::byte> MessageBuilder::build(const FailureMessage& message) {
  auto& b = impl_->builder;
  b.Clear();
  const auto text = b.CreateString(cut(message.text));
  return impl_->finish(fb::CreateFailure(b, static_cast<std::uint8_t>(message.code), text));
}

std::span<const std::byte> MessageBuilder::build(const WorkerStats& message) {
  auto& b = impl_->builder;
  b.Clear();
  const auto u64 = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
  return impl_->finish(fb::CreateStats(
      b, u64(message.weight_bytes), u64(message.kv_bytes), u64(message.resident_bytes),
      u64(message.peak_resident_bytes), static_cast<std::uint32_t>(message.sessions)));
}

std::span<const std::byte> MessageBuilder::build(const ShareMessage& message) {
  auto& b = impl_->builder;
  b.Clear();
  return impl_->finish(
      fb::CreateShare(b, message.segment, static_cast<std::uint64_t>(message.bytes)));
}

std::span<const std::byte> MessageBuilder::build(const ProbeMessage& message) {
  auto& b = impl_->builder;
  b.Clear();
  const fb::Place place = to_place(message.place);
  const fb::Place reply_place = to_place(message.reply_place);
  return impl_->finish(fb::CreateProbe(b, static_cast<std::uint64_t>(message.bytes),
                                       static_cast<std::uint64_t>(message.reply_bytes), &place,
                                       &reply_place));
}

std::span<const std::byte> MessageBuilder::build(const EndSequenceMessage& message) {
  auto& b = impl_->builder;
  b.Clear();
  return impl_->finish(fb::CreateEndSequence(b, message.sequence));
}

HelloMessage parse_hello(std::span<const std::byte> bytes) {
  const auto& table = verified<fb::Hello>(bytes, "Hello");
  return {parse_fingerprint(table.fingerprint(), "Hello"), printable(table.client()),
          table.lanes()};
}

WelcomeMessage parse_welcome(std::span<const std::byte> bytes) {
  const auto& table = verified<fb::Welcome>(bytes, "Welcome");
  require(is_dtype(table.compute_dtype()), ErrorCode::kProtocol, "a Welcome message names dtype {}",
          table.compute_dtype());
  require(table.products() >= 1 && table.products() <= 3, ErrorCode::kProtocol,
          "a Welcome message names products {}", table.products());
  return {parse_fingerprint(table.fingerprint(), "Welcome"),
          static_cast<DType>(table.compute_dtype()),
          printable(table.backend()),
          printable(table.worker()),
          table.lanes(),
          parse_bytes(table.shared_bytes(), "Welcome"),
          static_cast<ProductKinds>(table.products())};
}

CallMessage parse_call_message(std::span<const std::byte> bytes) {
  const auto& table = verified<fb::Call>(bytes, "Call");
  require(is_op(table.op()) && is_dtype(table.reply_dtype()), ErrorCode::kProtocol,
          "a Call message names operator {} and dtype {}", table.op(), table.reply_dtype());
  Call call;
  call.op = static_cast<Op>(table.op());
  call.layer = table.layer();
  call.transpose_b = table.transpose_b();
  call.reply_dtype = static_cast<DType>(table.reply_dtype());
  if (table.weights() != nullptr) {
    require(table.weights()->size() <= kMaxTensors, ErrorCode::kProtocol,
            "a Call message names {} weights, at most {} are allowed", table.weights()->size(),
            kMaxTensors);
    for (const std::uint8_t weight : *table.weights()) {
      require(is_layer_matrix(weight) || weight == static_cast<unsigned>(Weight::kLmHead),
              ErrorCode::kProtocol, "a Call message names weight {}", weight);
      call.weights.push_back(static_cast<Weight>(weight));
    }
  }
  call.inputs = parse_specs(table.inputs(), "Call");
  call.ranges = parse_ranges(table, call);
  const auto count = static_cast<std::size_t>(call.inputs.size());
  return {
      call,
      {parse_places(table.input_places(), count), parse_places(table.output_places(), kMaxTensors),
       parse_encodings(table.input_encodings(), count, "Call"),
       parse_compression_code(table.reply_compression(), "Call")}};
}

ReplyMessage parse_reply(std::span<const std::byte> bytes) {
  const auto& table = verified<fb::Reply>(bytes, "Reply");
  const TensorSpecs outputs = parse_specs(table.outputs(), "Reply");
  return {
      table.worker_ns(), outputs,
      parse_encodings(table.output_encodings(), static_cast<std::size_t>(outputs.size()), "Reply")};
}

FailureMessage parse_failure(std::span<const std::byte> bytes) {
  const auto& table = verified<fb::Failure>(bytes, "Failure");
  const auto code =
      is_error_code(table.code()) ? static_cast<ErrorCode>(table.code()) : ErrorCode::kInternal;
  return {code, printable(table.text())};
}

WorkerStats parse_stats(std::span<const std::byte> bytes) {
  const auto& table = verified<fb::Stats>(bytes, "Stats");
  return {parse_bytes(table.weight_bytes(), "Stats"), parse_bytes(table.kv_bytes(), "Stats"),
          parse_bytes(table.resident_bytes(), "Stats"),
          parse_bytes(table.peak_resident_bytes(), "Stats"), table.sessions()};
}

ShareMessage parse_share(std::span<const std::byte> bytes) {
  const auto& table = verified<fb::Share>(bytes, "Share");
  return {table.segment(), parse_bytes(table.bytes(), "Share")};
}

ProbeMessage parse_probe(std::span<const std::byte> bytes) {
  const auto& table = verified<fb::Probe>(bytes, "Probe");
  for (const std::uint64_t size : {table.bytes(), table.reply_bytes()}) {
    require(size % 4 == 0 && size <= std::uint64_t{ProbeMessage::kMaxBytes}, ErrorCode::kProtocol,
            "a Probe message of {} bytes, expected a multiple of 4 up to {}", size,
            ProbeMessage::kMaxBytes);
  }
  ProbeMessage probe{
      parse_bytes(table.bytes(), "Probe"), parse_bytes(table.reply_bytes(), "Probe"), {}, {}};
  if (table.place() != nullptr) probe.place = from_place(*table.place());
  if (table.reply_place() != nullptr) probe.reply_place = from_place(*table.reply_place());
  return probe;
}

EndSequenceMessage parse_end_sequence(std::span<const std::byte> bytes) {
  return {verified<fb::EndSequence>(bytes, "EndSequence").sequence()};
}

}  // namespace airlock
