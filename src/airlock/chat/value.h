// Python's values as a chat template sees them, and the memory, steps and depth of one rendering.
// Inside the chat room only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "airlock/chat/limits.h"
#include "airlock/core/error.h"

namespace airlock::chat {

enum class Kind : std::uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kView,
  kIterator,
  kNamespace,
  kMacro,
  kFunction,
  kLoop,
};

/// What a value points to lives in a Heap until that goes.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;
};

/// A value, copied freely: what it points to is the Heap's. Strings are UTF-8 that need not own
/// their bytes, so a slice shares them. An undefined value's text says why it is.
struct Value {
  Kind kind = Kind::kNone;
  bool safe = false;  ///< a string marked as markup (`|safe`)
  union {
    bool truth;
    std::int64_t integer = 0;
    double real;
    const char* chars;
    Object* object;
  };
  std::size_t size = 0;  ///< of a string, bytes

  [[nodiscard]] bool is(Kind k) const noexcept { return kind == k; }
  [[nodiscard]] std::string_view text() const noexcept { return {chars, size}; }
  /// An int, or a bool, which Python counts among them.
  [[nodiscard]] bool is_int() const noexcept { return kind == Kind::kInt || kind == Kind::kBool; }
  [[nodiscard]] std::int64_t as_int() const noexcept {
    return kind == Kind::kBool ? static_cast<std::int64_t>(truth) : integer;
  }
  [[nodiscard]] bool is_number() const noexcept { return is_int() || kind == Kind::kFloat; }
  [[nodiscard]] double as_real() const noexcept {
    return kind == Kind::kFloat ? real : static_cast<double>(as_int());
  }
  template <typename T>
  [[nodiscard]] T& as() const noexcept {
    return static_cast<T&>(*object);
  }
};

inline Value none() {
  return {};
}
inline Value boolean(bool truth) {
  Value value;
  value.kind = Kind::kBool;
  value.truth = truth;
  return value;
}
inline Value integer(std::int64_t number) {
  Value value;
  value.kind = Kind::kInt;
  value.integer = number;
  return value;
}
inline Value real(double number) {
  Value value;
  value.kind = Kind::kFloat;
  value.real = number;
  return value;
}
/// A string of bytes that outlive it.
inline Value view_of(std::string_view text) {
  Value value;
  value.kind = Kind::kString;
  value.chars = text.data();
  value.size = text.size();
  return value;
}
inline Value undefined(std::string_view why) {
  Value value = view_of(why);
  value.kind = Kind::kUndefined;
  return value;
}
inline Value object_value(Kind kind, Object* object) {
  Value value;
  value.kind = kind;
  value.object = object;
  return value;
}

/// A list or a tuple. A pair of `|groupby` has names for its two items.
struct Sequence : Object {
  std::vector<Value> items;
  bool group = false;
};

/// What one rendering may use, counted. Everything is kept until the rendering ends, so that values
/// may refer to each other in circles; the limit is on their sum.
class Heap {
 public:
  explicit Heap(const ChatLimits& limits) : limits_(limits) {}

  /// Counts `count` steps of work. Throws Error(kResourceExhausted) past the limit.
  void step(std::uint64_t count = 1) {
    if (count > limits_.steps - steps_) [[unlikely]]
      too_many_steps();
    steps_ += count;
  }
  /// Counts `bytes` of memory, before they are taken, and the work of filling them.
  void charge(std::uint64_t bytes) {
    if (bytes > limits_.memory_bytes - bytes_) [[unlikely]]
      too_much_memory();
    bytes_ += bytes;
    step(bytes / 64);
  }
  template <typename T>
  T* make() {
    charge(sizeof(T) + sizeof(void*));
    auto owned = std::make_unique<T>();
    T* const object = owned.get();
    objects_.push_back(std::move(owned));
    return object;
  }
  Value text(std::string_view text) { return adopt((charge(text.size()), std::string(text))); }
  /// A string whose bytes were counted already.
  Value adopt(std::string&& text);
  void push(Sequence& sequence, const Value& value) {
    charge(sizeof(Value));
    sequence.items.push_back(value);
  }
  /// A list or a tuple of `items`.
  Value sequence(Kind kind, std::vector<Value> items);

  [[nodiscard]] const ChatLimits& limits() const noexcept { return limits_; }

  /// One level deeper into nested statements, expressions or values, for as long as it lives.
  /// Throws Error(kResourceExhausted) past the limit.
  class Deeper {
   public:
    explicit Deeper(Heap& heap) : heap_(heap) {
      if (heap_.depth_ >= heap_.limits_.depth) too_deep();
      ++heap_.depth_;
    }
    ~Deeper() { --heap_.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    Heap& heap_;
  };

 private:
  [[noreturn]] void too_many_steps() const;
  [[noreturn]] void too_much_memory() const;
  [[noreturn]] static void too_deep();

  ChatLimits limits_;
  std::uint64_t steps_ = 0, bytes_ = 0;
  std::uint32_t depth_ = 0;
  std::vector<std::unique_ptr<Object>> objects_;
};

/// Text under construction, counted as it grows.
class TextBuilder {
 public:
  explicit TextBuilder(Heap& heap) : heap_(heap) {}
  void add(std::string_view text) {
    heap_.charge(text.size());
    text_ += text;
  }
  void add(std::int64_t count, char c) {
    if (count <= 0) return;
    heap_.charge(static_cast<std::uint64_t>(count));
    text_.append(static_cast<std::size_t>(count), c);
  }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] Value value() { return heap_.adopt(std::move(text_)); }
  [[nodiscard]] Heap& heap() const noexcept { return heap_; }

 private:
  Heap& heap_;
  std::string text_;
};

/// A dict: entries in the order of their first insertion, found by hash.
struct Dict : Object {
  std::vector<std::pair<Value, Value>> entries;
  std::unordered_multimap<std::uint64_t, std::uint32_t> index;

  /// The value of `key`, or null. Throws as hash_of does. Counts a step for each key compared.
  [[nodiscard]] Value* find(Heap& heap, const Value& key);
  [[nodiscard]] Value* find(Heap& heap, std::string_view key) { return find(heap, view_of(key)); }
  void set(Heap& heap, const Value& key, const Value& value);
};

struct Range : Object {
  std::int64_t start = 0, stop = 0, step = 1, length = 0;
};
/// What dict.keys(), values() and items() give.
struct View : Object {
  enum What : std::uint8_t { kKeys, kValues, kItems };
  What what = kKeys;
  Dict* dict = nullptr;
};
/// What is gone through once: an iterator over something, or what a lazy filter gives.
struct Iterator : Object {
  virtual bool next(Value& out) = 0;
};
struct Namespace : Object {
  Dict* attributes = nullptr;
};

inline Value dict_value(Dict* dict) {
  return object_value(Kind::kDict, dict);
}

// ---- values.cc ----

/// The type's name as Python's messages have it: "str", "list", "Undefined".
std::string_view type_name(const Value& value);
bool truth_of(const Value& value);
/// Python's ==. Counts steps, bounded in depth.
bool equal(Heap& heap, const Value& a, const Value& b);
/// Negative, zero or positive. Throws Error(kInvalidArgument) where Python has no order.
int compare(Heap& heap, const Value& a, const Value& b);
/// Throws Error(kInvalidArgument) for what Python cannot hash.
std::uint64_t hash_of(Heap& heap, const Value& value);
/// The number of items. Throws Error(kInvalidArgument) for what has none.
std::int64_t length_of(const Value& value);
/// As length_of; -1 for what has none.
std::int64_t find_length(const Value& value);
/// Item `i` of a dict's view.
Value view_item(Heap& heap, const View& view, std::size_t i);
/// An iterator over `value`, itself if it is one. Null for what cannot be iterated.
Iterator* find_iterator(Heap& heap, const Value& value);
/// As find_iterator; throws Error(kInvalidArgument) in place of null.
Iterator* iterate(Heap& heap, const Value& value);
/// All items of `value`.
std::vector<Value> items_of(Heap& heap, const Value& value);
/// Python's `item in container`.
bool contains(Heap& heap, const Value& container, const Value& item);

// ---- representation.cc ----

/// Python's str(value), and repr(value), appended.
void add_str(TextBuilder& out, const Value& value);
void add_repr(TextBuilder& out, const Value& value);
Value str_of(Heap& heap, const Value& value);
/// Python's repr of a float.
std::string float_repr(double number);

/// Throws Error(kInvalidArgument, message): a template did what Python refuses.
template <typename... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorCode::kInvalidArgument, format, std::forward<Args>(args)...);
}

}  // namespace airlock::chat
