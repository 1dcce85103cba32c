#include "airlock/chat/json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "airlock/chat/unicode.h"
#include "airlock/core/utf8.h"

namespace airlock::chat {
namespace {

/// Makes values as nlohmann's parser comes by them.
class Reader : public nlohmann::json_sax<nlohmann::json> {
 public:
  Reader(Heap& heap, std::string_view what) : heap_(heap), what_(what) {}
  [[nodiscard]] Value result() const { return result_; }

  bool null() override { return add(none()); }
  bool boolean(bool truth) override { return add(chat::boolean(truth)); }
  bool number_integer(number_integer_t number) override { return add(integer(number)); }
  bool number_unsigned(number_unsigned_t number) override {
    if (number > static_cast<std::uint64_t>(INT64_MAX)) beyond();
    return add(integer(static_cast<std::int64_t>(number)));
  }
  bool number_float(number_float_t number, const string_t& text) override {
    if (text.find_first_of(".eE") == std::string::npos) beyond();
    return add(real(number));
  }
  bool string(string_t& text) override { return add(heap_.text(text)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(dict_value(heap_.make<Dict>())); }
  bool start_array(std::size_t) override {
    return open(object_value(Kind::kList, heap_.make<Sequence>()));
  }
  bool key(string_t& text) override {
    open_.back().key = heap_.text(text);
    return true;
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    refuse("{}: not JSON at byte {}", what_, position);
  }

 private:
  struct Open {
    Value value, key;
  };
  [[noreturn]] void beyond() const { refuse("{}: an int is beyond 64 bits", what_); }
  bool add(const Value& value) {
    if (open_.empty()) {
      result_ = value;
    } else if (Open& top = open_.back(); top.value.is(Kind::kDict)) {
      top.value.as<Dict>().set(heap_, top.key, value);
    } else {
      heap_.push(top.value.as<Sequence>(), value);
    }
    return true;
  }
  bool open(const Value& value) {
    // Half the depth is left for the template around the value.
    require(open_.size() < heap_.limits().depth / 2, ErrorCode::kResourceExhausted,
            "{}: nested too deep", what_);
    add(value);
    open_.push_back({value, none()});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Heap& heap_;
  std::string_view what_;
  Value result_;
  std::vector<Open> open_;
};

void add_escaped(TextBuilder& out, std::string_view text, bool ensure_ascii) {
  constexpr std::string_view kShort = "\"\\\n\r\t\f\b";
  constexpr std::string_view kLetters = "\"\\nrtfb";
  out.add("\"");
  std::size_t plain = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    Characters walk{text.substr(at)};
    const std::string_view character = walk.next();
    at += character.size();
    const char32_t c = utf8_code_point(character);
    if (c >= 0x20 && c != '"' && c != '\\' && (c < 0x7F || !ensure_ascii)) continue;
    out.add(text.substr(plain, begin - plain));
    plain = at;
    if (const std::size_t found = kShort.find(static_cast<char>(c));
        c < 0x80 && found != std::string_view::npos) {
      out.add(fmt::format("\\{}", kLetters[found]));
    } else if (c < 0x10000) {
      out.add(fmt::format("\\u{:04x}", static_cast<unsigned>(c)));
    } else {
      const auto rest = static_cast<unsigned>(c - 0x10000);
      out.add(
          fmt::format("\\u{:04x}\\u{:04x}", 0xD800U + (rest >> 10U), 0xDC00U + (rest & 0x3FFU)));
    }
  }
  out.add(text.substr(plain));
  out.add("\"");
}

std::string number_text(const Value& value) {
  if (value.is(Kind::kInt)) return fmt::format("{}", value.integer);
  if (std::isnan(value.real)) return "NaN";
  if (std::isinf(value.real)) return value.real < 0 ? "-Infinity" : "Infinity";
  return float_repr(value.real);
}

class Writer {
 public:
  Writer(TextBuilder& out, const JsonStyle& style) : out_(out), style_(style) {}

  void add(const Value& value) {
    const Heap::Deeper deeper(out_.heap());
    out_.heap().step();
    switch (value.kind) {
      case Kind::kNone:
        out_.add("null");
        return;
      case Kind::kBool:
        out_.add(value.truth ? "true" : "false");
        return;
      case Kind::kInt:
      case Kind::kFloat:
        out_.add(number_text(value));
        return;
      case Kind::kString:
        add_escaped(out_, value.text(), style_.ensure_ascii);
        return;
      case Kind::kList:
      case Kind::kTuple:
        add_list(value.as<Sequence>());
        return;
      case Kind::kDict:
        add_dict(value.as<Dict>());
        return;
      default:
        refuse("`tojson`: a value of type {} is not JSON", type_name(value));
    }
  }

 private:
  void line() {
    if (!style_.indented) return;
    out_.add("\n");
    for (std::size_t i = 0; i < level_; ++i) out_.add(style_.indent);
  }
  void separate(std::size_t i) {
    if (i != 0) out_.add(style_.item_separator);
    line();
  }
  void add_list(const Sequence& list) {
    if (list.items.empty()) return out_.add("[]");
    out_.add("[");
    ++level_;
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      separate(i);
      add(list.items[i]);
    }
    --level_;
    line();
    out_.add("]");
  }
  void add_dict(const Dict& dict) {
    if (dict.entries.empty()) return out_.add("{}");
    std::vector<std::pair<Value, Value>> sorted;
    if (style_.sort_keys) {
      out_.heap().charge(dict.entries.size() * sizeof(sorted[0]));
      sorted = dict.entries;
      std::stable_sort(sorted.begin(), sorted.end(), [this](const auto& a, const auto& b) {
        return compare(out_.heap(), a.first, b.first) < 0;
      });
    }
    const auto& entries = style_.sort_keys ? sorted : dict.entries;
    out_.add("{");
    ++level_;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      separate(i);
      add_key(entries[i].first);
      out_.add(style_.key_separator);
      add(entries[i].second);
    }
    --level_;
    line();
    out_.add("}");
  }
  void add_key(const Value& key) {
    switch (key.kind) {
      case Kind::kString:
        add_escaped(out_, key.text(), style_.ensure_ascii);
        return;
      case Kind::kNone:
        out_.add("\"null\"");
        return;
      case Kind::kBool:
        out_.add(key.truth ? "\"true\"" : "\"false\"");
        return;
      case Kind::kInt:
      case Kind::kFloat:
        out_.add(fmt::format("\"{}\"", number_text(key)));
        return;
      default:
        refuse("`tojson`: a key of type {} is not JSON", type_name(key));
    }
  }

  TextBuilder& out_;
  const JsonStyle& style_;
  std::size_t level_ = 0;
};

}  // namespace

Value read_json(Heap& heap, std::string_view text, std::string_view what) {
  Reader reader(heap, what);
  nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  return reader.result();
}

void write_json(TextBuilder& out, const Value& value, const JsonStyle& style) {
  Writer(out, style).add(value);
}

}  // namespace airlock::chat
