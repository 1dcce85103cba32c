// A call and a first line with values of their own in every field.
#pragma once

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "airlock/report/ledger_json.h"

#include "tests/report/fake_ledger.h"

namespace airlock::testing {

inline LedgerHeader some_header() {
  Plan plan;
  plan.name = "flash+f16+chunk7";
  plan.attention = Attention::kFlash;
  plan.mlp = Mlp::kBlock;
  plan.wire_dtype = DType::kF16;
  plan.embedding = Side::kRunner;
  plan.lm_head = Side::kRunner;
  plan.chunk = 7;
  return {"llama \"x\"", "0123456789ab", odd_model(), plan, "unix"};
}

inline LedgerEntry some_call() {
  LedgerEntry e;
  e.call = 7;
  e.op = Op::kMatmul;
  e.layer = 3;
  e.sent_bytes = 16777216;
  e.received_bytes = 134217728;
  e.overhead_bytes = 208;
  e.start_ms = 12.25;
  e.encode_ms = 0.5;
  e.send_ms = 1.125;
  e.worker_ms = 20.75;
  e.receive_ms = 3.0625;
  e.decode_ms = 0.03125;
  e.total_ms = 25.46875;
  e.link = "unix";
  e.wire_dtype = DType::kBF16;
  e.sent_wire_bytes = 16000000;
  e.received_wire_bytes = 134217728;
  return e;
}

inline void expect_equal(const LedgerEntry& a, const LedgerEntry& b) {
  EXPECT_EQ(a.call, b.call);
  EXPECT_EQ(a.op, b.op);
  EXPECT_EQ(a.layer, b.layer);
  EXPECT_EQ(a.sent_bytes, b.sent_bytes);
  EXPECT_EQ(a.received_bytes, b.received_bytes);
  EXPECT_EQ(a.overhead_bytes, b.overhead_bytes);
  EXPECT_EQ(a.start_ms, b.start_ms);
  EXPECT_EQ(a.encode_ms, b.encode_ms);
  EXPECT_EQ(a.send_ms, b.send_ms);
  EXPECT_EQ(a.worker_ms, b.worker_ms);
  EXPECT_EQ(a.receive_ms, b.receive_ms);
  EXPECT_EQ(a.decode_ms, b.decode_ms);
  EXPECT_EQ(a.total_ms, b.total_ms);
  EXPECT_EQ(a.link, b.link);
  EXPECT_EQ(a.wire_dtype, b.wire_dtype);
  EXPECT_EQ(a.sent_wire_bytes, b.sent_wire_bytes);
  EXPECT_EQ(a.received_wire_bytes, b.received_wire_bytes);
}

}  // namespace airlock::testing
