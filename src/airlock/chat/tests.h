// Jinja's tests: what follows `is`. Inside the chat room only.
#pragma once

#include <string_view>

#include "airlock/chat/evaluator.h"

namespace airlock::chat {

struct TestEntry {
  std::string_view name;
  bool (*function)(Evaluator&, const Value& input, const CallArgs&);
};

/// Null if there is no such test.
const TestEntry* find_test(std::string_view name);

}  // namespace airlock::chat
