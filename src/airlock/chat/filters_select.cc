#include <array>

#include "airlock/chat/filters.h"

namespace airlock::chat {
namespace {

Value default_filter(Evaluator&, const Value& input, const CallArgs& args) {
  const Params params("default", args, {"default_value", "boolean"});
  const bool replaced = input.is(Kind::kUndefined) || (params.truth(1) && !truth_of(input));
  if (!replaced) return input;
  return params.get(0) == nullptr ? view_of("") : params[0];
}

Value attr_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("attr", args, {"name"}, 1);
  require_defined(input);
  const auto found = evaluator.find_attribute(input, params.text(0, ""));
  return found ? *found : undefined("there is no such attribute");
}

CallArgs without_first(Heap& heap, const CallArgs& args, std::size_t count) {
  heap.step(args.positional.size() + args.named.size());
  const auto rest = args.positional.begin() + static_cast<std::ptrdiff_t>(count);
  return {std::vector<Value>(rest, args.positional.end()), args.named};
}

Value map_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  Heap& heap = evaluator.heap();
  if (!truth_of(input)) return lazy(heap, [](Value&) { return false; });
  Iterator* items = nullptr;
  if (const Value* const attribute = args.find("attribute");
      args.positional.empty() && attribute != nullptr) {
    for (const auto& [name, value] : args.named)
      if (name != "attribute" && name != "default") refuse("`map` takes no argument `{}`", name);
    return lazy(
        heap, [&evaluator, input, items,
               getter = Getter(heap, attribute, false, args.find("default"))](Value& out) mutable {
          if (items == nullptr) items = iterate(evaluator.heap(), input);
          Value item;
          if (!items->next(item)) return false;
          out = getter(evaluator, item);
          return true;
        });
  }
  return lazy(heap, [&evaluator, input, items, args](Value& out) mutable {
    if (args.positional.empty()) refuse("`map` wants the name of a filter, or an attribute");
    if (items == nullptr) items = iterate(evaluator.heap(), input);
    Value item;
    if (!items->next(item)) return false;
    out =
        evaluator.apply_filter(args.positional[0], item, without_first(evaluator.heap(), args, 1));
    return true;
  });
}

/// select, reject, selectattr and rejectattr.
Value selected(Evaluator& evaluator, const Value& input, const CallArgs& args, bool keep,
               bool by_attribute) {
  Heap& heap = evaluator.heap();
  if (!truth_of(input)) return lazy(heap, [](Value&) { return false; });
  const std::size_t first = by_attribute ? 1 : 0;
  const bool complete = args.positional.size() >= first;
  const Value* const attribute = by_attribute && complete ? &args.positional[0] : nullptr;
  Iterator* items = nullptr;
  return lazy(heap, [&evaluator, input, items, args, keep, first, complete,
                     getter = Getter(heap, attribute, false)](Value& out) mutable {
    if (!complete) refuse("a filter wants the name of an attribute");
    if (items == nullptr) items = iterate(evaluator.heap(), input);
    while (items->next(out)) {
      evaluator.heap().step();
      const Value looked_at = getter(evaluator, out);
      const bool passes =
          args.positional.size() > first
              ? evaluator.apply_test(args.positional[first], looked_at,
                                     without_first(evaluator.heap(), args, first + 1))
              : truth_of(looked_at);
      if (passes == keep) return true;
    }
    return false;
  });
}
Value select_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  return selected(evaluator, input, args, true, false);
}
Value reject_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  return selected(evaluator, input, args, false, false);
}
Value selectattr_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  return selected(evaluator, input, args, true, true);
}
Value rejectattr_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  return selected(evaluator, input, args, false, true);
}

constexpr std::array kSelectFilters = {
    FilterEntry{"default", default_filter},
    FilterEntry{"d", default_filter},
    FilterEntry{"attr", attr_filter},
    FilterEntry{"map", map_filter},
    FilterEntry{"select", select_filter},
    FilterEntry{"reject", reject_filter},
    FilterEntry{"selectattr", selectattr_filter},
    FilterEntry{"rejectattr", rejectattr_filter},
};

}  // namespace

std::span<const FilterEntry> select_filters() {
  return kSelectFilters;
}

}  // namespace airlock::chat
