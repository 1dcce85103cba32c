#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "airlock/chat/strings.h"
#include "airlock/chat/unicode.h"
#include "airlock/chat/value.h"

namespace airlock::chat {
namespace {

struct TextBox : Object {
  std::string text;
};

struct SequenceIterator : Iterator {
  const Sequence* sequence = nullptr;
  std::size_t at = 0;
  bool next(Value& out) override {
    if (at >= sequence->items.size()) return false;
    out = sequence->items[at++];
    return true;
  }
};
struct CharacterIterator : Iterator {
  Characters walk;
  bool next(Value& out) override {
    if (walk.rest.empty()) return false;
    out = view_of(walk.next());
    return true;
  }
};
struct ViewIterator : Iterator {
  Heap* heap = nullptr;
  View view;
  std::size_t at = 0;
  bool next(Value& out) override {
    if (at >= view.dict->entries.size()) return false;
    out = view_item(*heap, view, at++);
    return true;
  }
};
struct RangeIterator : Iterator {
  std::int64_t at = 0, step = 1, left = 0;
  bool next(Value& out) override {
    if (left == 0) return false;
    out = integer(at);
    if (--left > 0) at += step;
    return true;
  }
};
struct NoItems : Iterator {
  bool next(Value&) override { return false; }
};

bool equal_items(Heap& heap, const Sequence& a, const Sequence& b) {
  if (a.items.size() != b.items.size()) return false;
  for (std::size_t i = 0; i < a.items.size(); ++i)
    if (!equal(heap, a.items[i], b.items[i])) return false;
  return true;
}

bool equal_dicts(Heap& heap, const Dict& a, Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.find(heap, key);
    if (other == nullptr || !equal(heap, value, *other)) return false;
  }
  return true;
}

/// A hash's place in the tables of this process, which nobody outside can guess.
std::uint64_t stirred(std::uint64_t hash) {
  static const std::uint64_t seed = std::random_device()();
  hash = (hash ^ seed) * 0xFF51AFD7ED558CCDU;
  return hash ^ (hash >> 32U);
}

int sign(std::int64_t a, std::int64_t b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

}  // namespace

void Heap::too_many_steps() const {
  fail(ErrorCode::kResourceExhausted, "the chat template takes more than {} steps", limits_.steps);
}
void Heap::too_much_memory() const {
  fail(ErrorCode::kResourceExhausted, "the chat template needs more than {} bytes for its values",
       limits_.memory_bytes);
}
void Heap::too_deep() {
  fail(ErrorCode::kResourceExhausted, "the chat template, or a value in it, is nested too deep");
}

Value Heap::adopt(std::string&& text) {
  auto* const box = make<TextBox>();
  box->text = std::move(text);
  return view_of(box->text);
}

Value Heap::sequence(Kind kind, std::vector<Value> items) {
  auto* const made = make<Sequence>();
  charge(items.size() * sizeof(Value));
  made->items = std::move(items);
  return object_value(kind, made);
}

Value* Dict::find(Heap& heap, const Value& key) {
  const auto [begin, end] = index.equal_range(stirred(hash_of(heap, key)));
  for (auto at = begin; at != end; ++at) {
    heap.step();
    auto& entry = entries[at->second];
    if (equal(heap, entry.first, key)) return &entry.second;
  }
  return nullptr;
}

void Dict::set(Heap& heap, const Value& key, const Value& value) {
  if (Value* const old = find(heap, key)) {
    *old = value;
    return;
  }
  heap.charge(sizeof(entries[0]) + 4 * sizeof(void*));
  index.emplace(stirred(hash_of(heap, key)), static_cast<std::uint32_t>(entries.size()));
  entries.emplace_back(key, value);
}

std::string_view type_name(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kRange:
      return "range";
    case Kind::kView:
      return "view of a dict";
    case Kind::kIterator:
      return "generator";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kMacro:
      return "Macro";
    case Kind::kFunction:
      return "function";
    case Kind::kLoop:
      return "LoopContext";
  }
  return "object";
}

bool truth_of(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.truth;
    case Kind::kInt:
      return value.integer != 0;
    case Kind::kFloat:
      return value.real != 0;
    case Kind::kString:
      return value.size != 0;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
    case Kind::kView:
      return length_of(value) != 0;
    default:
      return true;
  }
}

bool equal(Heap& heap, const Value& a, const Value& b) {
  heap.step();
  if (a.is_int() && b.is_int()) return a.as_int() == b.as_int();
  if (a.is_number() && b.is_number()) return a.as_real() == b.as_real();
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      heap.step(a.size / 64);
      return a.text() == b.text();
    default:
      break;
  }
  if (a.object == b.object) return true;
  const Heap::Deeper deeper(heap);
  if (a.is(Kind::kList) || a.is(Kind::kTuple))
    return equal_items(heap, a.as<Sequence>(), b.as<Sequence>());
  if (a.is(Kind::kDict)) return equal_dicts(heap, a.as<Dict>(), b.as<Dict>());
  if (a.is(Kind::kRange)) {
    const auto& x = a.as<Range>();
    const auto& y = b.as<Range>();
    return x.length == y.length && (x.length == 0 || x.start == y.start) &&
           (x.length <= 1 || x.step == y.step);
  }
  return false;
}

int compare(Heap& heap, const Value& a, const Value& b) {
  heap.step();
  if (a.is_int() && b.is_int()) return sign(a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) {
    const double x = a.as_real();
    const double y = b.as_real();
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    heap.step(std::min(a.size, b.size) / 64);
    return a.text().compare(b.text());
  }
  if (a.kind != b.kind || !(a.is(Kind::kList) || a.is(Kind::kTuple)))
    refuse("no order between {} and {}", type_name(a), type_name(b));
  const Heap::Deeper deeper(heap);
  const auto& x = a.as<Sequence>().items;
  const auto& y = b.as<Sequence>().items;
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i)
    if (!equal(heap, x[i], y[i])) return compare(heap, x[i], y[i]);
  return sign(static_cast<std::int64_t>(x.size()), static_cast<std::int64_t>(y.size()));
}

std::uint64_t hash_of(Heap& heap, const Value& value) {
  heap.step();
  switch (value.kind) {
    case Kind::kNone:
    case Kind::kUndefined:
      return 1 + static_cast<std::uint64_t>(value.kind);
    case Kind::kBool:
    case Kind::kInt:
      return std::hash<double>()(value.as_real());
    case Kind::kFloat:
      return std::hash<double>()(value.real);
    case Kind::kString:
      heap.step(value.size / 64);
      return std::hash<std::string_view>()(value.text());
    case Kind::kTuple: {
      const Heap::Deeper deeper(heap);
      std::uint64_t hash = 7;
      for (const Value& item : value.as<Sequence>().items)
        hash = hash * 0x9E3779B97F4A7C15U + hash_of(heap, item);
      return hash;
    }
    case Kind::kList:
    case Kind::kDict:
    case Kind::kView:
      refuse("unhashable type: {}", type_name(value));
    default:
      return std::hash<const void*>()(value.object);
  }
}

std::int64_t length_of(const Value& value) {
  const std::int64_t length = find_length(value);
  if (length < 0) refuse("a value of type {} has no length", type_name(value));
  return length;
}

std::int64_t find_length(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return count_characters(value.text());
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<std::int64_t>(value.as<Sequence>().items.size());
    case Kind::kDict:
      return static_cast<std::int64_t>(value.as<Dict>().entries.size());
    case Kind::kView:
      return static_cast<std::int64_t>(value.as<View>().dict->entries.size());
    case Kind::kRange:
      return value.as<Range>().length;
    default:
      return -1;
  }
}

Value view_item(Heap& heap, const View& view, std::size_t i) {
  const auto& [key, value] = view.dict->entries[i];
  if (view.what == View::kKeys) return key;
  if (view.what == View::kValues) return value;
  return heap.sequence(Kind::kTuple, {key, value});
}

Iterator* find_iterator(Heap& heap, const Value& value) {
  // Paid for at once: who goes through it need not count.
  heap.step(value.is(Kind::kString) ? value.size / 4
            : value.is(Kind::kIterator) || find_length(value) < 0
                ? 0
                : static_cast<std::uint64_t>(find_length(value)));
  switch (value.kind) {
    case Kind::kUndefined:
      return heap.make<NoItems>();
    case Kind::kString: {
      auto* const made = heap.make<CharacterIterator>();
      made->walk.rest = value.text();
      return made;
    }
    case Kind::kList:
    case Kind::kTuple: {
      auto* const made = heap.make<SequenceIterator>();
      made->sequence = &value.as<Sequence>();
      return made;
    }
    case Kind::kDict:
    case Kind::kView: {
      auto* const made = heap.make<ViewIterator>();
      made->heap = &heap;
      if (value.is(Kind::kDict)) {
        made->view.dict = &value.as<Dict>();
      } else {
        made->view.what = value.as<View>().what;
        made->view.dict = value.as<View>().dict;
      }
      return made;
    }
    case Kind::kRange: {
      auto* const made = heap.make<RangeIterator>();
      const auto& range = value.as<Range>();
      made->at = range.start;
      made->step = range.step;
      made->left = range.length;
      return made;
    }
    case Kind::kIterator:
      return &value.as<Iterator>();
    default:
      return nullptr;
  }
}

Iterator* iterate(Heap& heap, const Value& value) {
  Iterator* const iterator = find_iterator(heap, value);
  if (iterator == nullptr) refuse("a value of type {} cannot be iterated", type_name(value));
  return iterator;
}

std::vector<Value> items_of(Heap& heap, const Value& value) {
  std::vector<Value> items;
  Iterator* const iterator = iterate(heap, value);
  for (Value item; iterator->next(item);) {
    heap.charge(sizeof(Value));
    items.push_back(item);
  }
  return items;
}

bool contains(Heap& heap, const Value& container, const Value& item) {
  if (container.is(Kind::kString)) {
    if (!item.is(Kind::kString))
      refuse("`in <string>` wants a string on its left, not a value of type {}", type_name(item));
    heap.step(container.size / 8 + 1);
    return find_text(container.text(), item.text()) != std::string_view::npos;
  }
  if (container.is(Kind::kDict)) return container.as<Dict>().find(heap, item) != nullptr;
  if (container.is(Kind::kView) && container.as<View>().what == View::kKeys)
    return container.as<View>().dict->find(heap, item) != nullptr;
  Iterator* const iterator = iterate(heap, container);
  for (Value each; iterator->next(each);)
    if (equal(heap, each, item)) return true;
  return false;
}

}  // namespace airlock::chat
