#include "airlock/chat/filters.h"

#include <algorithm>
#include <utility>

#include "airlock/chat/unicode.h"

namespace airlock::chat {
namespace {

/// "a.0.b" as what is looked up in turn.
std::vector<Value> path_of(std::string_view attribute) {
  std::vector<Value> path;
  for (bool more = true; more;) {
    const std::size_t dot = attribute.find('.');
    more = dot != std::string_view::npos;
    const std::string_view part = attribute.substr(0, dot);
    const bool digits = !part.empty() && part.size() < 18 &&
                        part.find_first_not_of("0123456789") == std::string_view::npos;
    path.push_back(digits ? integer(std::stoll(std::string(part))) : view_of(part));
    if (more) attribute.remove_prefix(dot + 1);
  }
  return path;
}

}  // namespace

Getter::Getter(Heap& heap, const Value* attribute, bool fold_case, const Value* standard)
    : fold_case_(fold_case) {
  if (attribute != nullptr && attribute->is(Kind::kString)) {
    heap.charge(attribute->size * sizeof(Value));
    path_ = path_of(attribute->text());
  } else if (attribute != nullptr && !attribute->is(Kind::kNone)) {
    path_ = {*attribute};
  }
  if (standard != nullptr && !standard->is(Kind::kNone)) standard_ = *standard;
}

Value Getter::operator()(Evaluator& evaluator, const Value& item) const {
  Value found = item;
  for (const Value& part : path_) {
    found = evaluator.item(found, part);
    if (standard_ && found.is(Kind::kUndefined)) found = *standard_;
  }
  if (!fold_case_ || !found.is(Kind::kString)) return found;
  evaluator.heap().charge(3 * found.size);
  return evaluator.heap().adopt(lower(found.text()));
}

Value lazy(Heap& heap, std::function<bool(Value&)> make) {
  auto* const made = heap.make<Lazy>();
  made->heap = &heap;
  made->make = std::move(make);
  return object_value(Kind::kIterator, made);
}

const FilterEntry* find_filter(std::string_view name) {
  for (const auto filters :
       {text_filters(), number_filters(), sequence_filters(), select_filters()})
    for (const FilterEntry& filter : filters)
      if (filter.name == name) return &filter;
  return nullptr;
}

}  // namespace airlock::chat
