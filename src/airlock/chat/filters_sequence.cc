#include <algorithm>
#include <array>

#include "airlock/chat/filters.h"
#include "airlock/chat/unicode.h"

namespace airlock::chat {
namespace {

Value length_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("length", args, {});
  evaluator.heap().step(input.is(Kind::kString) ? input.size / 64 : 0);
  return integer(length_of(input));
}

Value list_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("list", args, {});
  return evaluator.heap().sequence(Kind::kList, items_of(evaluator.heap(), input));
}

Value first_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("first", args, {});
  Value first;
  return iterate(evaluator.heap(), input)->next(first) ? first
                                                       : undefined("no first item: it was empty");
}

Value last_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("last", args, {});
  Value last = undefined("no last item: it was empty");
  if (input.is(Kind::kIterator)) refuse("`last` wants a list: use `|list` before it");
  if (input.is(Kind::kList) || input.is(Kind::kTuple)) {
    const auto& items = input.as<Sequence>().items;
    return items.empty() ? last : items.back();
  }
  Iterator* const items = iterate(evaluator.heap(), input);
  while (items->next(last)) evaluator.heap().step();
  return last;
}

/// An iterator over values that are there already.
Value iterator_over(Heap& heap, std::vector<Value> items) {
  return object_value(Kind::kIterator, iterate(heap, heap.sequence(Kind::kList, std::move(items))));
}

Value reverse_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("reverse", args, {});
  Heap& heap = evaluator.heap();
  std::vector<Value> items = items_of(heap, input);
  std::reverse(items.begin(), items.end());
  if (input.is(Kind::kString)) {
    TextBuilder text(heap);
    for (const Value& character : items) text.add(character.text());
    return text.value();
  }
  return input.is(Kind::kIterator) ? heap.sequence(Kind::kList, std::move(items))
                                   : iterator_over(heap, std::move(items));
}

Value join_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("join", args, {"d", "attribute"});
  Heap& heap = evaluator.heap();
  const Getter getter(heap, params.get(1), false);
  const std::string_view between =
      params.get(0) == nullptr ? std::string_view() : str_of(heap, params[0]).text();
  TextBuilder out(heap);
  Iterator* const items = iterate(heap, input);
  bool first = true;
  for (Value item; items->next(item); first = false) {
    heap.step();
    if (!first) out.add(between);
    add_str(out, getter(evaluator, item));
  }
  return out.value();
}

Value items_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("items", args, {});
  if (input.is(Kind::kUndefined)) return iterator_over(evaluator.heap(), {});
  if (!input.is(Kind::kDict))
    refuse("`items` wants a dict, not a value of type {}", type_name(input));
  View* const view = evaluator.heap().make<View>();
  view->what = View::kItems;
  view->dict = &input.as<Dict>();
  return object_value(Kind::kIterator, iterate(evaluator.heap(), object_value(Kind::kView, view)));
}

using Keyed = std::pair<Value, Value>;

/// Sorts by the keys, equal ones in their order.
void sort_keyed(Heap& heap, std::vector<Keyed>& items, bool reverse) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    const Keyed& less = reverse ? b : a;
    const Keyed& more = reverse ? a : b;
    return in_order(heap, Operator::kLess, less.first, more.first);
  });
}

Value seconds_of(Heap& heap, const std::vector<Keyed>& items) {
  std::vector<Value> seconds;
  for (const Keyed& item : items) seconds.push_back(item.second);
  return heap.sequence(Kind::kList, std::move(seconds));
}

Value sort_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("sort", args, {"reverse", "case_sensitive", "attribute"});
  Heap& heap = evaluator.heap();
  const bool fold = !params.truth(1);
  std::vector<Getter> getters;
  std::vector<Value> attributes;
  if (params.get(2) != nullptr && params[2].is(Kind::kString)) {
    std::string_view names = params[2].text();
    for (std::size_t comma = 0; comma != std::string_view::npos;) {
      comma = names.find(',');
      attributes.push_back(view_of(names.substr(0, comma)));
      if (comma != std::string_view::npos) names.remove_prefix(comma + 1);
      heap.charge(sizeof(Getter));
    }
  } else {
    attributes.push_back(params.get(2) == nullptr ? none() : params[2]);
  }
  for (const Value& attribute : attributes) getters.emplace_back(heap, &attribute, fold);
  std::vector<Keyed> keyed;
  for (const Value& item : items_of(heap, input)) {
    std::vector<Value> keys;
    for (const Getter& getter : getters) keys.push_back(getter(evaluator, item));
    heap.charge(sizeof(Keyed));
    keyed.emplace_back(heap.sequence(Kind::kList, std::move(keys)), item);
  }
  sort_keyed(heap, keyed, params.truth(0));
  return seconds_of(heap, keyed);
}

Value dictsort_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("dictsort", args, {"case_sensitive", "by", "reverse"});
  Heap& heap = evaluator.heap();
  const std::string_view by = params.text(1, "key");
  if (by != "key" && by != "value") refuse("`dictsort` sorts by key or value");
  require_defined(input);
  if (!input.is(Kind::kDict))
    refuse("`dictsort` wants a dict, not a value of type {}", type_name(input));
  const Getter getter(heap, nullptr, !params.truth(0));
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : input.as<Dict>().entries)
    keyed.emplace_back(getter(evaluator, by == "key" ? key : value),
                       heap.sequence(Kind::kTuple, {key, value}));
  sort_keyed(heap, keyed, params.truth(2));
  return seconds_of(heap, keyed);
}

Value extreme(Evaluator& evaluator, const Value& input, const CallArgs& args, std::string_view name,
              Operator better) {
  const Params params(name, args, {"case_sensitive", "attribute"});
  const Getter getter(evaluator.heap(), params.get(1), !params.truth(0));
  Value best = undefined("no item to choose: it was empty");
  Value best_key;
  bool any = false;
  Iterator* const items = iterate(evaluator.heap(), input);
  for (Value item; items->next(item); any = true) {
    const Value key = getter(evaluator, item);
    if (any && !in_order(evaluator.heap(), better, key, best_key)) continue;
    best = item;
    best_key = key;
  }
  return best;
}
Value min_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  return extreme(evaluator, input, args, "min", Operator::kLess);
}
Value max_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  return extreme(evaluator, input, args, "max", Operator::kGreater);
}

Value unique_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("unique", args, {"case_sensitive", "attribute"});
  Heap& heap = evaluator.heap();
  Iterator* const items = iterate(heap, input);
  Dict* const seen = heap.make<Dict>();
  return lazy(heap, [&evaluator, items, seen,
                     getter = Getter(heap, params.get(1), !params.truth(0))](Value& out) {
    while (items->next(out)) {
      const Value key = getter(evaluator, out);
      if (seen->find(evaluator.heap(), key) != nullptr) continue;
      seen->set(evaluator.heap(), key, none());
      return true;
    }
    return false;
  });
}

Value groupby_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("groupby", args, {"attribute", "default", "case_sensitive"}, 1);
  Heap& heap = evaluator.heap();
  const Getter key_of(heap, params.get(0), !params.truth(2), params.get(1));
  const Getter shown_of(heap, params.get(0), false, params.get(1));
  std::vector<Keyed> keyed;
  for (const Value& item : items_of(heap, input)) {
    heap.charge(sizeof(Keyed));
    keyed.emplace_back(key_of(evaluator, item), item);
  }
  sort_keyed(heap, keyed, false);
  std::vector<Value> groups;
  Sequence* members = nullptr;
  for (std::size_t i = 0; i < keyed.size(); ++i) {
    if (i == 0 || !equal(heap, keyed[i - 1].first, keyed[i].first)) {
      members = heap.make<Sequence>();
      const Value pair = heap.sequence(
          Kind::kTuple, {shown_of(evaluator, keyed[i].second), object_value(Kind::kList, members)});
      pair.as<Sequence>().group = true;
      groups.push_back(pair);
    }
    heap.push(*members, keyed[i].second);
  }
  return heap.sequence(Kind::kList, std::move(groups));
}

Value batch_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("batch", args, {"linecount", "fill_with"}, 1);
  Heap& heap = evaluator.heap();
  const std::int64_t size = params.whole(0, 1);
  if (size < 1) refuse("`batch` wants at least one item a line");
  std::vector<Value> lines;
  Sequence* line = nullptr;
  for (const Value& item : items_of(heap, input)) {
    if (line == nullptr || static_cast<std::int64_t>(line->items.size()) == size) {
      line = heap.make<Sequence>();
      lines.push_back(object_value(Kind::kList, line));
    }
    heap.push(*line, item);
  }
  if (line != nullptr && params.get(1) != nullptr && !params[1].is(Kind::kNone))
    while (static_cast<std::int64_t>(line->items.size()) < size) heap.push(*line, params[1]);
  return iterator_over(heap, std::move(lines));
}

Value slice_filter(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("slice", args, {"slices", "fill_with"}, 1);
  Heap& heap = evaluator.heap();
  const std::int64_t count = params.whole(0, 1);
  if (count < 1) refuse("`slice` wants at least one slice");
  const std::vector<Value> items = items_of(heap, input);
  const auto length = static_cast<std::int64_t>(items.size());
  std::vector<Value> slices;
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    auto* const part = heap.make<Sequence>();
    const std::int64_t size = length / count + (i < length % count ? 1 : 0);
    for (std::int64_t end = at + size; at < end; ++at)
      heap.push(*part, items[static_cast<std::size_t>(at)]);
    if (params.get(1) != nullptr && !params[1].is(Kind::kNone) && i >= length % count)
      heap.push(*part, params[1]);
    slices.push_back(object_value(Kind::kList, part));
  }
  return iterator_over(heap, std::move(slices));
}

constexpr std::array kSequenceFilters = {
    FilterEntry{"length", length_filter}, FilterEntry{"count", length_filter},
    FilterEntry{"list", list_filter},     FilterEntry{"first", first_filter},
    FilterEntry{"last", last_filter},     FilterEntry{"reverse", reverse_filter},
    FilterEntry{"join", join_filter},     FilterEntry{"items", items_filter},
    FilterEntry{"sort", sort_filter},     FilterEntry{"dictsort", dictsort_filter},
    FilterEntry{"min", min_filter},       FilterEntry{"max", max_filter},
    FilterEntry{"unique", unique_filter}, FilterEntry{"groupby", groupby_filter},
    FilterEntry{"batch", batch_filter},   FilterEntry{"slice", slice_filter},
};

}  // namespace

std::span<const FilterEntry> sequence_filters() {
  return kSequenceFilters;
}

}  // namespace airlock::chat
