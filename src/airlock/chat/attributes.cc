#include <algorithm>
#include <array>

#include "airlock/chat/evaluator.h"
#include "airlock/chat/unicode.h"

namespace airlock::chat {
namespace {

/// Methods that change what they are called on: the sandbox hides them.
bool changes(const Value& object, std::string_view name) {
  constexpr std::array<std::string_view, 8> kList = {"append", "clear", "pop",    "reverse",
                                                     "insert", "sort",  "extend", "remove"};
  constexpr std::array<std::string_view, 5> kDict = {"clear", "pop", "popitem", "setdefault",
                                                     "update"};
  if (object.is(Kind::kList)) return std::find(kList.begin(), kList.end(), name) != kList.end();
  return object.is(Kind::kDict) && std::find(kDict.begin(), kDict.end(), name) != kDict.end();
}

std::int64_t loop_length(Heap& heap, Loop& loop) {
  if (!loop.length) {
    // What is left is gone through, and kept to be given later.
    auto* const rest = heap.make<Sequence>();
    for (Value item; loop.items->next(item);) heap.push(*rest, item);
    loop.items = iterate(heap, object_value(Kind::kList, rest));
    loop.length =
        static_cast<std::int64_t>(rest->items.size()) + loop.index0 + 1 + (loop.next ? 1 : 0);
  }
  return *loop.length;
}

Value cycle(Evaluator&, const Value& self, const CallArgs& args) {
  if (args.positional.empty() || !args.named.empty())
    refuse("`loop.cycle` wants items to choose from");
  const auto at = static_cast<std::size_t>(self.as<Loop>().index0) % args.positional.size();
  return args.positional[at];
}

Value changed(Evaluator& evaluator, const Value& self, const CallArgs& args) {
  Loop& loop = self.as<Loop>();
  const Value now = evaluator.heap().sequence(Kind::kTuple, args.positional);
  const bool differs = !loop.changed || !equal(evaluator.heap(), *loop.changed, now);
  loop.changed = now;
  return boolean(differs);
}

std::optional<Value> loop_attribute(Evaluator& evaluator, const Value& self,
                                    std::string_view name) {
  Loop& loop = self.as<Loop>();
  Heap& heap = evaluator.heap();
  if (name == "index0") return integer(loop.index0);
  if (name == "index") return integer(loop.index0 + 1);
  if (name == "first") return boolean(loop.index0 == 0);
  if (name == "last") return boolean(!loop.peek());
  if (name == "length") return integer(loop_length(heap, loop));
  if (name == "revindex") return integer(loop_length(heap, loop) - loop.index0);
  if (name == "revindex0") return integer(loop_length(heap, loop) - loop.index0 - 1);
  if (name == "depth") return integer(loop.depth0 + 1);
  if (name == "depth0") return integer(loop.depth0);
  if (name == "previtem")
    return loop.index0 == 0 ? undefined("there is no previous item") : *loop.before;
  if (name == "nextitem") {
    const auto& next = loop.peek();
    return next ? *next : undefined("there is no next item");
  }
  if (name == "cycle") return evaluator.bind(cycle, self, name);
  if (name == "changed") return evaluator.bind(changed, self, name);
  return std::nullopt;
}

std::optional<Value> macro_attribute(Heap& heap, const Macro& macro, std::string_view name) {
  if (name == "name") return macro.name().empty() ? none() : view_of(macro.name());
  if (name == "catch_kwargs") return boolean(macro.stmt->takes_kwargs);
  if (name == "catch_varargs") return boolean(macro.stmt->takes_varargs);
  if (name == "caller") return boolean(macro.stmt->takes_caller);
  if (name != "arguments") return std::nullopt;
  std::vector<Value> names;
  for (const Parameter& parameter : macro.stmt->parameters)
    names.push_back(view_of(parameter.name));
  return heap.sequence(Kind::kTuple, std::move(names));
}

std::int64_t bound_of(const Value* value, std::int64_t standard) {
  return value == nullptr || value->is(Kind::kNone) ? standard : value->as_int();
}

/// The `count` positions first, first + step, ... of a slice, as Python adjusts its bounds.
struct Positions {
  std::int64_t first = 0, end = 0, step = 1, count = 0;
};

Positions positions(std::int64_t length, const Value* start, const Value* stop, const Value* step) {
  Positions made;
  made.step = bound_of(step, 1);
  if (made.step == 0) refuse("a slice's step cannot be 0");
  const bool down = made.step < 0;
  const auto adjust = [&](std::int64_t bound) {
    if (bound < 0) bound = std::max<std::int64_t>(bound + length, down ? -1 : 0);
    return std::min(bound, down ? length - 1 : length);
  };
  const auto is_given = [](const Value* v) { return v != nullptr && !v->is(Kind::kNone); };
  made.first = is_given(start) ? adjust(bound_of(start, 0)) : (down ? length - 1 : 0);
  made.end = is_given(stop) ? adjust(bound_of(stop, 0)) : (down ? -1 : length);
  const std::int64_t end = made.end;
  // No overflow: the bounds are within the length.
  const std::int64_t span = down ? made.first - end : end - made.first;
  const std::uint64_t stride =
      down ? 0 - static_cast<std::uint64_t>(made.step) : static_cast<std::uint64_t>(made.step);
  if (span > 0)
    made.count = 1 + static_cast<std::int64_t>((static_cast<std::uint64_t>(span) - 1) / stride);
  if (made.count <= 1) made.step = 1;
  return made;
}

Value string_slice(Heap& heap, std::string_view text, const Positions& at) {
  if (at.count == 0) return view_of("");
  if (at.step == 1) {
    text.remove_prefix(byte_of_character(text, at.first));
    return view_of(text.substr(0, byte_of_character(text, at.count)));
  }
  std::vector<std::string_view> characters;
  heap.charge(text.size() * sizeof(std::string_view));
  for (Characters walk{text}; !walk.rest.empty();) characters.push_back(walk.next());
  TextBuilder out(heap);
  for (std::int64_t i = 0; i < at.count; ++i)
    out.add(characters[static_cast<std::size_t>(at.first + i * at.step)]);
  return out.value();
}

/// The item of a sequence at `index`, counted from the end if negative.
std::optional<Value> item_at(Heap& heap, const Value& object, std::int64_t index) {
  const std::int64_t length = length_of(object);
  if (index < 0) index += length;
  if (index < 0 || index >= length) return std::nullopt;
  if (object.is(Kind::kString)) {
    heap.step(object.size / 16);
    Characters walk{object.text().substr(byte_of_character(object.text(), index))};
    return view_of(walk.next());
  }
  if (object.is(Kind::kRange))
    return integer(object.as<Range>().start + index * object.as<Range>().step);
  return object.as<Sequence>().items[static_cast<std::size_t>(index)];
}

bool is_indexed(const Value& object) {
  return object.is(Kind::kString) || object.is(Kind::kList) || object.is(Kind::kTuple) ||
         object.is(Kind::kRange);
}

}  // namespace

Value Evaluator::bind(FunctionPointer function, const Value& self, std::string_view name) {
  auto* const made = heap_.make<Function>();
  made->call = function;
  made->self = self;
  made->name = name;
  return object_value(Kind::kFunction, made);
}

std::optional<Value> Evaluator::find_attribute(const Value& object, std::string_view name) {
  FunctionPointer method = nullptr;
  switch (object.kind) {
    case Kind::kString:
      method = find_string_method(name);
      break;
    case Kind::kDict:
      method = find_dict_method(name);
      break;
    case Kind::kTuple:
      if (object.as<Sequence>().group && name == "grouper") return object.as<Sequence>().items[0];
      if (object.as<Sequence>().group && name == "list") return object.as<Sequence>().items[1];
      [[fallthrough]];
    case Kind::kList:
      method = find_list_method(name);
      break;
    case Kind::kNamespace: {
      const Value* const found = object.as<Namespace>().attributes->find(heap_, name);
      return found == nullptr ? std::nullopt : std::optional(*found);
    }
    case Kind::kLoop:
      return loop_attribute(*this, object, name);
    case Kind::kMacro:
      return macro_attribute(heap_, object.as<Macro>(), name);
    case Kind::kRange: {
      const auto& range = object.as<Range>();
      if (name == "start") return integer(range.start);
      if (name == "stop") return integer(range.stop);
      if (name == "step") return integer(range.step);
      break;
    }
    default:
      break;
  }
  if (method != nullptr) return bind(method, object, name);
  if (changes(object, name)) return undefined("a chat template cannot change a list or a dict");
  return std::nullopt;
}

Value Evaluator::attribute(const Value& object, std::string_view name) {
  require_defined(object);
  if (const auto found = find_attribute(object, name)) return *found;
  if (object.is(Kind::kDict)) {
    if (const Value* const found = object.as<Dict>().find(heap_, name)) return *found;
  }
  const std::string why = fmt::format("'{} object' has no attribute '{}'", type_name(object), name);
  return undefined(heap_.text(why).text());
}

Value Evaluator::item(const Value& object, const Value& key) {
  require_defined(object);
  if (object.is(Kind::kDict) && !key.is(Kind::kList) && !key.is(Kind::kDict) &&
      !key.is(Kind::kView)) {
    if (const Value* const found = object.as<Dict>().find(heap_, key)) return *found;
  } else if (is_indexed(object) && key.is_int()) {
    if (const auto found = item_at(heap_, object, key.as_int())) return *found;
  }
  if (key.is(Kind::kString)) {
    if (const auto found = find_attribute(object, key.text())) return *found;
  }
  const std::string why = fmt::format("'{} object' has no such item", type_name(object));
  return undefined(heap_.text(why).text());
}

Value Evaluator::slice(const Value& object, const Value* start, const Value* stop,
                       const Value* step) {
  require_defined(object);
  const auto fits = [](const Value* bound) {
    return bound == nullptr || bound->is(Kind::kNone) || bound->is_int();
  };
  if (!is_indexed(object) || !fits(start) || !fits(stop) || !fits(step))
    return undefined("a value that cannot be sliced so");
  const Positions at = positions(length_of(object), start, stop, step);
  if (object.is(Kind::kString)) {
    heap_.step(object.size / 16);
    return string_slice(heap_, object.text(), at);
  }
  if (object.is(Kind::kRange)) {
    const auto& range = object.as<Range>();
    auto* const made = heap_.make<Range>();
    made->start = range.start + at.first * range.step;
    made->step = range.step * at.step;
    made->length = at.count;
    made->stop = range.start + at.end * range.step;
    return object_value(Kind::kRange, made);
  }
  const auto& source = object.as<Sequence>().items;
  std::vector<Value> items;
  heap_.charge(static_cast<std::uint64_t>(at.count) * sizeof(Value));
  for (std::int64_t i = 0; i < at.count; ++i)
    items.push_back(source[static_cast<std::size_t>(at.first + i * at.step)]);
  return heap_.sequence(object.kind, std::move(items));
}

}  // namespace airlock::chat
