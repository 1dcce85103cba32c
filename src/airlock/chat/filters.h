// Jinja's filters. Inside the chat room only.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "airlock/chat/evaluator.h"

namespace airlock::chat {

struct FilterEntry {
  std::string_view name;
  Value (*function)(Evaluator&, const Value& input, const CallArgs&);
};

/// Null if there is no such filter.
const FilterEntry* find_filter(std::string_view name);

/// What each item of a sequence is looked at by: Jinja's `attribute` of a filter, "a.b.0".
class Getter {
 public:
  /// `attribute` may be null or None: the item itself. With `fold_case` strings become lower case.
  Getter(Heap& heap, const Value* attribute, bool fold_case, const Value* standard = nullptr);
  [[nodiscard]] Value operator()(Evaluator& evaluator, const Value& item) const;

 private:
  std::vector<Value> path_;
  bool fold_case_;
  std::optional<Value> standard_;
};

/// What a lazy filter gives: items made one by one, when they are asked for.
struct Lazy : Iterator {
  Heap* heap = nullptr;
  std::function<bool(Value&)> make;
  bool next(Value& out) override {
    const Heap::Deeper deeper(*heap);
    heap->step();
    return make(out);
  }
};
Value lazy(Heap& heap, std::function<bool(Value&)> make);

// filters_text.cc, filters_number.cc, filters_sequence.cc, filters_select.cc
std::span<const FilterEntry> text_filters();
std::span<const FilterEntry> number_filters();
std::span<const FilterEntry> sequence_filters();
std::span<const FilterEntry> select_filters();

}  // namespace airlock::chat
