#include "airlock/chat/template.h"

#include <algorithm>
#include <array>

#include "airlock/chat/evaluator.h"
#include "airlock/chat/json.h"
#include "airlock/chat/parser.h"

namespace airlock {
namespace {
using namespace chat;

/// An array of objects, or None for no text.
Value read_objects(Heap& heap, std::string_view json, std::string_view what) {
  if (json.empty()) return none();
  const Value list = read_json(heap, json, what);
  const bool objects =
      list.is(Kind::kList) &&
      std::all_of(list.as<Sequence>().items.begin(), list.as<Sequence>().items.end(),
                  [](const Value& item) { return item.is(Kind::kDict); });
  require(objects, ErrorCode::kInvalidArgument, "{}: expected an array of objects", what);
  return list;
}

/// A message as transformers hands it to a template: without nulls, its reasoning by all its names.
Value plain_message(Heap& heap, Value message) {
  Dict* const made = heap.make<Dict>();
  constexpr std::array<std::string_view, 3> kReasoning = {"reasoning_content", "thinking",
                                                          "reasoning"};
  const Value* reasoning = nullptr;
  for (const std::string_view name : kReasoning) {
    const Value* const found = message.as<Dict>().find(heap, name);
    if (reasoning == nullptr && found != nullptr && !found->is(Kind::kNone)) reasoning = found;
  }
  if (reasoning != nullptr) made->set(heap, view_of("thinking"), *reasoning);
  for (const auto& [key, value] : message.as<Dict>().entries)
    if (!value.is(Kind::kNone)) made->set(heap, key, value);
  if (reasoning != nullptr) made->set(heap, view_of("reasoning_content"), *reasoning);
  return dict_value(made);
}

Value read_messages(Heap& heap, std::string_view json, std::string_view what) {
  const Value list = read_objects(heap, json, what);
  require(!list.is(Kind::kNone), ErrorCode::kInvalidArgument, "{}: expected an array of objects",
          what);
  for (Value& message : list.as<Sequence>().items) message = plain_message(heap, message);
  return list;
}

std::tm system_time() {
  const std::time_t seconds = std::time(nullptr);
  std::tm time{};
  ::localtime_r(&seconds, &time);
  return time;
}

/// What `action` returns; errors of it begin with `where`, if that is known.
template <typename Action>
auto located(const std::string& where, const Action& action) {
  const auto said = [&](const Error& error) {
    return where.empty() ? std::string(error.what()) : fmt::format("{}: {}", where, error.what());
  };
  try {
    return action();
  } catch (const ChatRefusal& refusal) {
    throw ChatRefusal(said(refusal));
  } catch (const Error& error) {
    throw Error(error.code(), said(error));
  }
}

}  // namespace

ChatTemplate::Named ChatTemplate::parse_of(std::string_view text, const std::string& where) {
  return {located(where, [&] { return std::make_shared<const Program>(Parser(text).parse()); }),
          where};
}

ChatTemplate ChatTemplate::parse(std::string_view text) {
  ChatTemplate made;
  made.program_ = parse_of(text, "");
  return made;
}

std::string ChatTemplate::render(const ChatInput& input, const ChatLimits& limits) const {
  const bool for_tools = tool_program_.parsed != nullptr && !input.tools.empty();
  const Named& program = for_tools ? tool_program_ : program_;
  Heap heap(limits);
  Evaluator evaluator(*program.parsed, heap, input.now ? *input.now : system_time());
  for (const auto& [name, token] : special_tokens_) evaluator.define(name, view_of(token));
  if (!input.variables.empty()) {
    const Value variables = read_json(heap, input.variables, "variables");
    require(variables.is(Kind::kDict), ErrorCode::kInvalidArgument,
            "variables: expected an object");
    for (const auto& [name, value] : variables.as<Dict>().entries)
      evaluator.define(name.text(), value);
  }
  evaluator.define("messages", read_messages(heap, input.messages, input.messages_name));
  evaluator.define("tools", read_objects(heap, input.tools, input.tools_name));
  evaluator.define("documents", read_objects(heap, input.documents, "documents"));
  evaluator.define("add_generation_prompt", boolean(input.add_generation_prompt));
  return located(program.where, [&] { return evaluator.render(); });
}

}  // namespace airlock
