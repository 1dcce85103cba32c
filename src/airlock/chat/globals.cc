#include "airlock/chat/evaluator.h"
#include "airlock/chat/strftime.h"
#include "airlock/chat/template.h"

namespace airlock::chat {
namespace {

/// The sandbox's own limit.
constexpr std::int64_t kMaxRange = 100'000;

Value range(Evaluator& evaluator, const Value&, const CallArgs& args) {
  const Params params("range", args, {"start", "stop", "step"}, 1, true);
  Range* const made = evaluator.heap().make<Range>();
  const bool one = params.get(1) == nullptr;
  made->start = one ? 0 : params.whole(0, 0);
  made->stop = params.whole(one ? 0 : 1, 0);
  made->step = params.whole(2, 1);
  if (made->step == 0) refuse("`range` cannot have a step of 0");
  const bool down = made->step < 0;
  const auto from = static_cast<std::uint64_t>(down ? made->stop : made->start);
  const auto to = static_cast<std::uint64_t>(down ? made->start : made->stop);
  const bool any = down ? made->stop < made->start : made->start < made->stop;
  const std::uint64_t stride =
      down ? 0 - static_cast<std::uint64_t>(made->step) : static_cast<std::uint64_t>(made->step);
  const std::uint64_t length = any ? (to - from - 1) / stride + 1 : 0;
  if (length > static_cast<std::uint64_t>(kMaxRange))
    refuse("a range of more than {} items", kMaxRange);
  made->length = static_cast<std::int64_t>(length);
  return object_value(Kind::kRange, made);
}

/// Python's dict(mapping or pairs, **more).
Dict* make_dict(Evaluator& evaluator, std::string_view function, const CallArgs& args) {
  Heap& heap = evaluator.heap();
  Dict* const made = heap.make<Dict>();
  if (args.positional.size() > 1)
    refuse("`{}` takes at most one argument without a name", function);
  for (const Value& source : args.positional) {
    if (source.is(Kind::kDict)) {
      for (const auto& [key, value] : source.as<Dict>().entries) made->set(heap, key, value);
      continue;
    }
    Iterator* const pairs = iterate(heap, source);
    for (Value pair; pairs->next(pair);) {
      const std::vector<Value> two = items_of(heap, pair);
      if (two.size() != 2) refuse("`{}` wants pairs of a key and a value", function);
      made->set(heap, two[0], two[1]);
    }
  }
  for (const auto& [name, value] : args.named) made->set(heap, heap.text(name), value);
  return made;
}

Value dict(Evaluator& evaluator, const Value&, const CallArgs& args) {
  return dict_value(make_dict(evaluator, "dict", args));
}

Value namespace_of(Evaluator& evaluator, const Value&, const CallArgs& args) {
  auto* const made = evaluator.heap().make<Namespace>();
  made->attributes = make_dict(evaluator, "namespace", args);
  for (const auto& [key, value] : made->attributes->entries)
    if (key.is(Kind::kString) && key.text().starts_with('_'))
      refuse("a namespace cannot have an attribute that begins with an underscore");
  return object_value(Kind::kNamespace, made);
}

Value raise_exception(Evaluator& evaluator, const Value&, const CallArgs& args) {
  const Params params("raise_exception", args, {"message"}, 1);
  throw ChatRefusal(std::string(str_of(evaluator.heap(), params[0]).text()));
}

Value strftime_now(Evaluator& evaluator, const Value&, const CallArgs& args) {
  const Params params("strftime_now", args, {"format"}, 1);
  return evaluator.heap().text(format_time(params.text(0, ""), evaluator.now()));
}

}  // namespace

std::optional<Value> find_global(Evaluator& evaluator, std::string_view name) {
  const auto function = [&](FunctionPointer call) { return evaluator.bind(call, none(), name); };
  if (name == "range") return function(range);
  if (name == "dict") return function(dict);
  if (name == "namespace") return function(namespace_of);
  if (name == "raise_exception") return function(raise_exception);
  if (name == "strftime_now") return function(strftime_now);
  return std::nullopt;
}

}  // namespace airlock::chat
