#include <algorithm>
#include <array>

#include "airlock/chat/evaluator.h"

namespace airlock::chat {
namespace {

Value view_value(Evaluator& evaluator, const Value& self, View::What what, std::string_view name,
                 const CallArgs& args) {
  const Params params(name, args, {});
  View* const view = evaluator.heap().make<View>();
  view->what = what;
  view->dict = &self.as<Dict>();
  return object_value(Kind::kView, view);
}
Value keys(Evaluator& evaluator, const Value& self, const CallArgs& args) {
  return view_value(evaluator, self, View::kKeys, "keys", args);
}
Value values(Evaluator& evaluator, const Value& self, const CallArgs& args) {
  return view_value(evaluator, self, View::kValues, "values", args);
}
Value items(Evaluator& evaluator, const Value& self, const CallArgs& args) {
  return view_value(evaluator, self, View::kItems, "items", args);
}

Value get(Evaluator& evaluator, const Value& self, const CallArgs& args) {
  const Params params("get", args, {"key", "default"}, 1, true);
  const Value* const found = self.as<Dict>().find(evaluator.heap(), params[0]);
  return found != nullptr ? *found : params.get(1) != nullptr ? params[1] : none();
}

Value copy_dict(Evaluator& evaluator, const Value& self, const CallArgs& args) {
  const Params params("copy", args, {});
  Dict* const made = evaluator.heap().make<Dict>();
  for (const auto& [key, value] : self.as<Dict>().entries) made->set(evaluator.heap(), key, value);
  return dict_value(made);
}

Value copy_list(Evaluator& evaluator, const Value& self, const CallArgs& args) {
  const Params params("copy", args, {});
  return evaluator.heap().sequence(self.kind, self.as<Sequence>().items);
}

Value count(Evaluator& evaluator, const Value& self, const CallArgs& args) {
  const Params params("count", args, {"value"}, 1, true);
  std::int64_t found = 0;
  for (const Value& item : self.as<Sequence>().items)
    found += equal(evaluator.heap(), item, params[0]);
  return integer(found);
}

Value index(Evaluator& evaluator, const Value& self, const CallArgs& args) {
  const Params params("index", args, {"value", "start", "stop"}, 1, true);
  const auto& list = self.as<Sequence>().items;
  const auto length = static_cast<std::int64_t>(list.size());
  const auto bound = [length](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? at + length : at, 0, length);
  };
  for (std::int64_t i = bound(params.whole(1, 0)); i < bound(params.whole(2, length)); ++i)
    if (equal(evaluator.heap(), list[static_cast<std::size_t>(i)], params[0])) return integer(i);
  refuse("`index`: the value is not in the list");
}

using Row = std::pair<std::string_view, FunctionPointer>;
template <std::size_t N>
FunctionPointer find_in(const std::array<Row, N>& rows, std::string_view name) {
  const auto found =
      std::find_if(rows.begin(), rows.end(), [name](const Row& row) { return row.first == name; });
  return found == rows.end() ? nullptr : found->second;
}

}  // namespace

FunctionPointer find_dict_method(std::string_view name) {
  static constexpr std::array<Row, 5> kRows = {
      {{"keys", keys}, {"values", values}, {"items", items}, {"get", get}, {"copy", copy_dict}}};
  return find_in(kRows, name);
}

FunctionPointer find_list_method(std::string_view name) {
  static constexpr std::array<Row, 3> kRows = {
      {{"count", count}, {"index", index}, {"copy", copy_list}}};
  return find_in(kRows, name);
}

}  // namespace airlock::chat
