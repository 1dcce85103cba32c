#include "airlock/chat/tests.h"

#include <array>

#include "airlock/chat/filters.h"
#include "airlock/chat/strings.h"

namespace airlock::chat {
namespace {

/// Tests of a value alone.
template <bool (*Is)(const Value&)>
bool alone(Evaluator&, const Value& input, const CallArgs& args) {
  const Params params("is ...", args, {});
  return Is(input);
}
bool is_defined(const Value& v) {
  return !v.is(Kind::kUndefined);
}
bool is_undefined(const Value& v) {
  return v.is(Kind::kUndefined);
}
bool is_none(const Value& v) {
  return v.is(Kind::kNone);
}
bool is_boolean(const Value& v) {
  return v.is(Kind::kBool);
}
bool is_true(const Value& v) {
  return v.is(Kind::kBool) && v.truth;
}
bool is_false(const Value& v) {
  return v.is(Kind::kBool) && !v.truth;
}
bool is_integer(const Value& v) {
  return v.is(Kind::kInt);
}
bool is_float(const Value& v) {
  return v.is(Kind::kFloat);
}
bool is_number(const Value& v) {
  return v.is_number();
}
bool is_string(const Value& v) {
  return v.is(Kind::kString);
}
bool is_mapping(const Value& v) {
  return v.is(Kind::kDict);
}
bool is_escaped(const Value& v) {
  return v.is(Kind::kString) && v.safe;
}
bool is_sequence_like(const Value& v) {
  return v.is(Kind::kString) || v.is(Kind::kList) || v.is(Kind::kTuple) || v.is(Kind::kDict) ||
         v.is(Kind::kRange) || v.is(Kind::kUndefined);
}
bool is_iterable(const Value& v) {
  return is_sequence_like(v) || v.is(Kind::kView) || v.is(Kind::kIterator) || v.is(Kind::kLoop);
}
bool is_callable(const Value& v) {
  return v.is(Kind::kMacro) || v.is(Kind::kFunction) || v.is(Kind::kLoop) || v.is(Kind::kUndefined);
}

bool remainder_is(Evaluator& evaluator, const Value& input, const Value& by, std::int64_t rest) {
  return equal(evaluator.heap(), arithmetic(evaluator.heap(), Operator::kModulo, input, by),
               integer(rest));
}
bool odd(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("odd", args, {});
  return remainder_is(evaluator, input, integer(2), 1);
}
bool even(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("even", args, {});
  return remainder_is(evaluator, input, integer(2), 0);
}
bool divisibleby(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("divisibleby", args, {"num"}, 1);
  return remainder_is(evaluator, input, params[0], 0);
}
bool lower_test(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("lower", args, {});
  evaluator.heap().step(input.is(Kind::kString) ? input.size / 2 : 0);
  return is_all_lower(str_of(evaluator.heap(), input).text());
}
bool upper_test(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("upper", args, {});
  evaluator.heap().step(input.is(Kind::kString) ? input.size / 2 : 0);
  return is_all_upper(str_of(evaluator.heap(), input).text());
}
bool filter_test(Evaluator&, const Value& input, const CallArgs& args) {
  const Params params("filter", args, {});
  return input.is(Kind::kString) && find_filter(input.text()) != nullptr;
}
bool test_test(Evaluator&, const Value& input, const CallArgs& args) {
  const Params params("test", args, {});
  return input.is(Kind::kString) && find_test(input.text()) != nullptr;
}
bool sameas(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("sameas", args, {"other"}, 1);
  const Value& other = params[0];
  if (input.kind != other.kind) return false;
  switch (input.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
    case Kind::kString:
      return equal(evaluator.heap(), input, other);
    default:
      return input.object == other.object;
  }
}
bool in_test(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("in", args, {"seq"}, 1);
  return contains(evaluator.heap(), params[0], input);
}
bool eq(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("eq", args, {"other"}, 1, true);
  return equal(evaluator.heap(), input, params[0]);
}
bool ne(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  return !eq(evaluator, input, args);
}
template <Operator Op>
bool ordered(Evaluator& evaluator, const Value& input, const CallArgs& args) {
  const Params params("is ...", args, {"other"}, 1, true);
  return in_order(evaluator.heap(), Op, input, params[0]);
}

constexpr std::array kTests = {
    TestEntry{"defined", alone<is_defined>},
    TestEntry{"undefined", alone<is_undefined>},
    TestEntry{"none", alone<is_none>},
    TestEntry{"boolean", alone<is_boolean>},
    TestEntry{"true", alone<is_true>},
    TestEntry{"false", alone<is_false>},
    TestEntry{"integer", alone<is_integer>},
    TestEntry{"float", alone<is_float>},
    TestEntry{"number", alone<is_number>},
    TestEntry{"string", alone<is_string>},
    TestEntry{"mapping", alone<is_mapping>},
    TestEntry{"sequence", alone<is_sequence_like>},
    TestEntry{"iterable", alone<is_iterable>},
    TestEntry{"callable", alone<is_callable>},
    TestEntry{"escaped", alone<is_escaped>},
    TestEntry{"odd", odd},
    TestEntry{"even", even},
    TestEntry{"divisibleby", divisibleby},
    TestEntry{"lower", lower_test},
    TestEntry{"upper", upper_test},
    TestEntry{"filter", filter_test},
    TestEntry{"test", test_test},
    TestEntry{"sameas", sameas},
    TestEntry{"in", in_test},
    TestEntry{"==", eq},
    TestEntry{"eq", eq},
    TestEntry{"equalto", eq},
    TestEntry{"!=", ne},
    TestEntry{"ne", ne},
    TestEntry{"<", ordered<Operator::kLess>},
    TestEntry{"lt", ordered<Operator::kLess>},
    TestEntry{"lessthan", ordered<Operator::kLess>},
    TestEntry{"<=", ordered<Operator::kLessEqual>},
    TestEntry{"le", ordered<Operator::kLessEqual>},
    TestEntry{">", ordered<Operator::kGreater>},
    TestEntry{"gt", ordered<Operator::kGreater>},
    TestEntry{"greaterthan", ordered<Operator::kGreater>},
    TestEntry{">=", ordered<Operator::kGreaterEqual>},
    TestEntry{"ge", ordered<Operator::kGreaterEqual>},
};

}  // namespace

const TestEntry* find_test(std::string_view name) {
  for (const TestEntry& test : kTests)
    if (test.name == name) return &test;
  return nullptr;
}

}  // namespace airlock::chat
