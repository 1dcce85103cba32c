// A hostile template, or a hostile conversation, ends in one clear error: no hang, no flood.
#include <string>

#include <gtest/gtest.h>

#include "airlock/chat/template.h"

namespace airlock::chat_bounds_test {
namespace {

std::string error_of(const std::string& text, std::string_view messages = "[]",
                     const ChatLimits& limits = {}) {
  try {
    const ChatTemplate chat = ChatTemplate::parse(text);
    ChatInput input;
    input.messages = messages;
    static_cast<void>(chat.render(input, limits));
  } catch (const Error& error) {
    return std::string(error_code_name(error.code())) + ": " + error.what();
  }
  return "no error";
}

void expect_exhausted(const std::string& text, const ChatLimits& limits = {}) {
  SCOPED_TRACE(text.substr(0, 200));
  const std::string error = error_of(text, "[]", limits);
  EXPECT_TRUE(error.starts_with("resource_exhausted: ")) << error;
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(ChatBounds, ValuesTooLargeAreRefusedBeforeTheyAreMade) {
  for (const char* const expression :
       {"'a' * 10**12", "'ab' * 10**12", "[1] * 10**12", "(1,) * 10**15", "10**15 * 'x'",
        "'x'.center(10**12)", "'x'.ljust(10**13, 'é')", "'x'.zfill(10**14)", "'x'|center(10**12)",
        "'a\\nb'|indent(10**12)", "[1]|tojson(indent=10**12)", "[1]|batch(10**12, 0)|list",
        "[1]|slice(10**10)|list", "'\\t'.expandtabs(10**12)",
        "('a' * 10**6).replace('', 'b' * 10**6)", "('b' * 10**4).join(('a' * 10**6)|list)",
        "(['a' * 10**6] * 10**4)|join|upper"}) {
    ChatLimits limits;
    limits.memory_bytes = 1 << 24;
    expect_exhausted(std::string("{{ (") + expression + ")|string|length }}", limits);
  }
}

TEST(ChatBounds, WidthsRangesAndPowersThatNobodyMeansAreRefused) {
  for (const char* const expression :
       {"range(10**12)", "range(100001)", "'%1000000000d' % 1", "'%.999999999f' % 1.5",
        "'{:1000000000}'.format(1)", "'{:{}}'.format(1, 10**9)", "'%*d' % (10**9, 1)", "2 ** 64",
        "10 ** 19", "9223372036854775807 + 1", "-9223372036854775807 - 2",
        "3037000500 * 3037000500", "9223372036854775807 * 2", "'9223372036854775808'|int",
        "1e300|int", "2.0 ** 5000", "(-9223372036854775807 - 1) // -1",
        "(-9223372036854775807 - 1)|abs", "'inf'|float|int"}) {
    const std::string error = error_of(std::string("{{ ") + expression + " }}");
    EXPECT_TRUE(error.starts_with("invalid_argument: ")) << expression << ": " << error;
  }
  EXPECT_NE(error_of("{{ 2 ** 64 }}").find("line 1: an int is beyond 64 bits"), std::string::npos);
}

TEST(ChatBounds, LoopsEndAtTheLimitOfSteps) {
  expect_exhausted(
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}");
  expect_exhausted(
      "{% for a in range(100000) %}{% for b in range(100000) %}{% if b in range(9999, 0, -1)"
      " %}{% endif %}{% endfor %}{% endfor %}");
  expect_exhausted(
      "{% set l = range(99999)|list %}{% for a in l if a in l and -1 in l %}{% endfor %}");
  expect_exhausted(
      "{% set s = 'é' * 9999999 %}{% for i in range(99999) %}{{ s[9999998 - i] }}{% endfor %}");
  // Work that no single step shows: long lists and texts gone through, patterns that nearly match.
  ChatLimits limits;
  limits.steps = 1'000'000;
  const std::string often = "{% for i in range(99999) %}{% for j in range(99) %}";
  for (const char* const work :
       {"l|sum",       "l|first",    "l|last",           "l|min",          "l|join|length",
        "-1 in l",     "l == m",     "s|length",         "s is lower",     "s.isascii()",
        "s|wordcount", "s|int",      "s.startswith(s)",  "s in t",         "t.find(s)",
        "t.rfind(s)",  "t.count(s)", "t.replace(s, '')", "t.split(s)",     "t|first",
        "s == t[1:]",  "f(*l)",      "s.strip('a')",     "s|upper|length", "s|truncate(9)"}) {
    expect_exhausted(
        "{% macro f() %}{{ varargs[0] }}{% endmacro %}{% set l = range(99999)|list %}"
        "{% set m = l + [1] %}{% set s = 'a' * 99999 ~ 'b' %}{% set t = 'a' * 999999 %}" +
            often + "{{ " + work + " }}{% endfor %}{% endfor %}",
        limits);
  }
  limits.steps = 1000;
  EXPECT_NE(error_of("{% for a in range(2000) %}{% endfor %}", "[]", limits).find("1000 steps"),
            std::string::npos);
}

TEST(ChatBounds, OutputAndMemoryEndAtTheirLimits) {
  expect_exhausted("{% for a in range(100000) %}" + std::string(1000, 'x') + "{% endfor %}");
  expect_exhausted(
      "{% set ns = namespace(s='x') %}{% for a in range(1000) %}"
      "{% set ns.s = ns.s ~ ns.s %}{% endfor %}");
  expect_exhausted(
      "{% set ns = namespace(s=[1]) %}{% for a in range(1000) %}"
      "{% set ns.s = ns.s + ns.s %}{% endfor %}");
  expect_exhausted(
      "{% set ns = namespace(s='x') %}{% for a in range(1000) %}"
      "{% set ns.s %}{{ ns.s }}{{ ns.s }}{% endset %}{% endfor %}");
  ChatLimits limits;
  limits.output_bytes = 10;
  EXPECT_NE(error_of("01234567890", "[]", limits).find("more than 10 bytes"), std::string::npos);
  EXPECT_EQ(error_of("0123456789", "[]", limits), "no error");
}

TEST(ChatBounds, TheConversationCountsAsMemory) {
  ChatLimits limits;
  limits.memory_bytes = 1 << 16;
  const std::string messages =
      R"([{"role":"user","content":")" + std::string(1 << 16, 'x') + "\"}]";
  const std::string error = error_of("", messages, limits);
  EXPECT_TRUE(error.starts_with("resource_exhausted: ")) << error;
}

TEST(ChatBounds, RecursionEndsAtTheLimitOfDepth) {
  expect_exhausted("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
  expect_exhausted(
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{% if true %}{{ [a()]|join }}"
      "{% endif %}{% endmacro %}{{ a() }}");
  expect_exhausted("{% macro m() %}{{ caller }}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}");
  expect_exhausted(
      "{% set ns = namespace() %}{% macro m(x=ns.m()) %}{% endmacro %}{% set ns.m = m %}"
      "{{ m() }}");
  expect_exhausted("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}");
  // Iterators in iterators.
  expect_exhausted(
      "{% set ns = namespace(i=[1]) %}{% for x in range(50000) %}"
      "{% set ns.i = ns.i|map('string') %}{% endfor %}{{ ns.i|join }}");
  expect_exhausted(
      "{% set ns = namespace(i=[1]) %}{% for x in range(50000) %}"
      "{% set ns.i = ns.i|select %}{% endfor %}{{ ns.i|list }}");
}

TEST(ChatBounds, ValuesMayNestWithoutEndOnlyWhileNobodyLooks) {
  const std::string nest =
      "{% set ns = namespace(x=[]) %}{% for i in range(50000) %}{% set ns.x = [ns.x] %}{% endfor "
      "%}";
  EXPECT_EQ(error_of(nest), "no error");
  for (const char* const look :
       {"{{ ns.x }}", "{{ ns.x|tojson }}", "{{ ns.x == [ns.x] }}", "{{ ns.x < [ns.x] }}",
        "{{ ns }}", "{{ {'a': ns.x} == {'a': [ns.x]} }}", "{{ ns.x in [[ns.x]] }}"})
    expect_exhausted(nest + look);
  expect_exhausted(
      "{% set ns = namespace(x=()) %}{% for i in range(50000) %}{% set ns.x = (ns.x,) %}"
      "{% endfor %}{{ {ns.x: 1} }}");
  // Circles are freed with the rest; the leak checker of the sanitized build would tell.
  EXPECT_EQ(error_of("{% set ns = namespace() %}{% set ns.self = [ns] %}"), "no error");
  expect_exhausted("{% set ns = namespace() %}{% set ns.self = [ns] %}{{ ns }}");
}

TEST(ChatBounds, AConversationNestedTooDeepIsRefused) {
  const std::string deep = R"([{"role":)" + repeated("[", 100000) + repeated("]", 100000) + "}]";
  EXPECT_TRUE(error_of("", deep).starts_with("resource_exhausted: messages: nested too deep"));
  const std::string fits = R"([{"role":)" + repeated("[", 200) + repeated("]", 200) + "}]";
  EXPECT_EQ(error_of("{{ messages }}{{ messages|tojson }}{{ messages == messages }}", fits),
            "no error");
}

TEST(ChatBounds, TemplatesNestedTooDeepAreRefusedWhenParsed) {
  const int n = 20000;
  for (const std::string& text : {"{{ " + repeated("(", n) + "1" + repeated(")", n) + " }}",
                                  "{{ " + repeated("[", n) + repeated("]", n) + " }}",
                                  "{{ " + repeated("{1:", n) + "1" + repeated("}", n) + " }}",
                                  "{{ " + repeated("not ", n) + "1 }}",
                                  "{{ " + repeated("-", n) + "1 }}",
                                  "{{ " + repeated("1 + ", n) + "1 }}",
                                  "{{ " + repeated("1 and ", n) + "1 }}",
                                  "{{ " + repeated("2 ** ", n) + "1 }}",
                                  "{{ x" + repeated("|trim", n) + " }}",
                                  "{{ x" + repeated(".a", n) + " }}",
                                  "{{ x" + repeated("()", n) + " }}",
                                  "{{ x" + repeated("[0]", n) + " }}",
                                  "{{ " + repeated("1 if 1 else ", n) + "1 }}",
                                  "{{ " + repeated("f(", n) + repeated(")", n) + " }}",
                                  "{{ 1" + repeated(" is odd", n) + " }}",
                                  "{% set " + repeated("(", n) + "a = 1 %}",
                                  repeated("{% if 1 %}", n) + repeated("{% endif %}", n),
                                  repeated("{% for a in b %}", n) + repeated("{% endfor %}", n),
                                  repeated("{% set a %}", n) + repeated("{% endset %}", n),
                                  repeated("{% macro m() %}", n) + repeated("{% endmacro %}", n)}) {
    const std::string error = error_of(text);
    EXPECT_TRUE(error.starts_with("invalid_argument: chat template, line 1: ")) << error;
  }
  EXPECT_NE(error_of(std::string(5 << 20, 'x')).find("bytes: expected at most"), std::string::npos);
}

TEST(ChatBounds, ALongTemplateThatIsNotNestedIsFine) {
  EXPECT_EQ(error_of("{{ " + repeated("1 ~ ", 20000) + "1 }}"), "no error");
  EXPECT_EQ(error_of("{% if 0 %}" + repeated("{% elif 0 %}", 20000) + "{% endif %}"), "no error");
  EXPECT_EQ(error_of(repeated("{{ 1 }}{% set x = 1 %}", 20000)), "no error");
}

}  // namespace
}  // namespace airlock::chat_bounds_test
