// JSON for chat templates: read into values, written as Python's json.dumps writes. Inside the chat
// room only.
#pragma once

#include <string_view>

#include "airlock/chat/value.h"

namespace airlock::chat {

/// The value of `text`. `what` names it in errors. Throws Error(kInvalidArgument): not JSON, an int
/// beyond 64 bits; Error(kResourceExhausted): too deep, too much.
Value read_json(Heap& heap, std::string_view text, std::string_view what);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool indented = false;
  std::string_view indent;
  std::string_view item_separator = ", ";
  std::string_view key_separator = ": ";
};

/// Appends `value`. Throws Error(kInvalidArgument) for what JSON cannot hold.
void write_json(TextBuilder& out, const Value& value, const JsonStyle& style);

}  // namespace airlock::chat
