#include "airlock/model/tokenizer_spec_parts.h"

#include <array>
#include <string_view>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/core/utf8.h"
#include "airlock/model/pretokenizer_unicode.h"

namespace airlock {
namespace {
using namespace tokenizer_fields;

[[noreturn]] void refuse(const Node& node, std::string_view supported) {
  fail(ErrorCode::kUnsupported, "{}: type `{}` is not supported; supported are {}", node.where,
       type_of(node), supported);
}

/// Calls `each` for every step of a possibly nested Sequence, whose members are under `key`.
template <typename Each>
void for_each_step(const Node& node, const std::string& key, const Each& each) {
  if (type_of(node) != "Sequence") return each(node);
  const Node steps = required(node, key);
  const std::size_t count = array_size(steps);
  for (std::size_t i = 0; i < count; ++i) for_each_step(element(steps, i), key, each);
}

bool is_one_character(const std::string& text) {
  if (text.empty()) return false;
  const Utf8Step step = utf8_step(text);
  return step.kind == Utf8Step::kCharacter && step.length == text.size();
}

std::string one_character(const Node& node) {
  const std::string& value = text(node);
  require(is_one_character(value), ErrorCode::kCorruptFile,
          "{}: expected one character, found `{}`", node.where, value);
  return value;
}

/// The member `pattern`: {"String": "..."} or {"Regex": "..."}.
struct Pattern {
  std::string text;
  bool literal;
  std::string where;
};

Pattern parse_pattern(const Node& node) {
  const Node pattern = required(node, "pattern");
  const std::optional<Node> regex = member(pattern, "Regex");
  const Node value = regex ? *regex : required(pattern, "String");
  require(!text(value).empty(), ErrorCode::kCorruptFile, "{}: is empty", pattern.where);
  return {text(value), !regex, pattern.where};
}

PreTokenizerStep::Behavior parse_behavior(const Node& node) {
  using Step = PreTokenizerStep;
  constexpr std::array<std::pair<std::string_view, Step::Behavior>, 5> kBehaviors = {
      {{"Isolated", Step::kIsolated},
       {"Removed", Step::kRemoved},
       {"Contiguous", Step::kContiguous},
       {"MergedWithPrevious", Step::kMergedWithPrevious},
       {"MergedWithNext", Step::kMergedWithNext}}};
  for (const auto& [name, behavior] : kBehaviors)
    if (text(node) == name) return behavior;
  fail(ErrorCode::kCorruptFile,
       "{}: expected Isolated, Removed, Contiguous, MergedWithPrevious or MergedWithNext, found "
       "`{}`",
       node.where, text(node));
}

PreTokenizerStep parse_split(const Node& node) {
  PreTokenizerStep step;
  step.kind = PreTokenizerStep::kSplit;
  const Pattern pattern = parse_pattern(node);
  step.pattern = pattern.text;
  step.literal = pattern.literal;
  step.invert = flag(node, "invert", false);
  step.behavior = parse_behavior(required(node, "behavior"));
  return step;
}

PreTokenizerStep::Prepend parse_prepend(const Node& node) {
  const auto scheme = member(node, "prepend_scheme");
  // Files written before prepend_scheme existed say it with add_prefix_space.
  if (!scheme)
    return flag(node, "add_prefix_space", true) ? PreTokenizerStep::kAlways
                                                : PreTokenizerStep::kNever;
  const std::string& name = text(*scheme);
  if (name == "always") return PreTokenizerStep::kAlways;
  if (name == "first") return PreTokenizerStep::kFirst;
  require(name == "never", ErrorCode::kCorruptFile,
          "{}: expected always, first or never, found `{}`", scheme->where, name);
  return PreTokenizerStep::kNever;
}

PreTokenizerStep parse_step(const Node& node) {
  const std::string type = type_of(node);
  if (type == "Split") return parse_split(node);
  PreTokenizerStep step;
  if (type == "ByteLevel") {
    step.kind = PreTokenizerStep::kByteLevel;
    step.add_prefix_space = flag(node, "add_prefix_space", true);
    step.use_regex = flag(node, "use_regex", true);
  } else if (type == "Metaspace") {
    step.kind = PreTokenizerStep::kMetaspace;
    step.replacement = one_character(required(node, "replacement"));
    step.prepend = parse_prepend(node);
    step.split = flag(node, "split", true);
  } else if (type == "Digits") {
    step.pattern = kDigit;
    step.behavior = flag(node, "individual_digits", false) ? PreTokenizerStep::kIsolated
                                                           : PreTokenizerStep::kContiguous;
  } else if (type == "Punctuation") {
    step.pattern = kPunctuation;
    if (const auto behavior = member(node, "behavior")) step.behavior = parse_behavior(*behavior);
  } else {
    refuse(node, "Split, ByteLevel, Metaspace, Digits, Punctuation and a Sequence of them");
  }
  return step;
}

/// The ids that the template's special token `name` stands for.
std::vector<std::int32_t> template_ids(const Node& processor, const std::string& name,
                                       const TokenizerSpec& spec) {
  const auto table = member(processor, "special_tokens");
  const auto entry = table ? member(*table, name) : std::nullopt;
  require(entry.has_value(), ErrorCode::kCorruptFile,
          "{}: the template uses `{}`, which its special_tokens do not have", processor.where,
          name);
  const Node ids = required(*entry, "ids");
  const Node tokens = required(*entry, "tokens");
  const std::size_t count = array_size(ids);
  require(array_size(tokens) == count, ErrorCode::kCorruptFile, "{}: has {} ids for {} tokens",
          entry->where, count, array_size(tokens));
  std::vector<std::int32_t> result;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int32_t token_id = id(element(ids, i));
    const std::string& token = text(element(tokens, i));
    bool found = false;
    for (const AddedToken& added : spec.added)
      found |= added.id == token_id && added.content == token;
    for (const auto& [known, known_id] : spec.bpe.vocab) {
      if (found) break;
      found = known_id == token_id && known == token;
    }
    require(found, ErrorCode::kCorruptFile, "{}: the tokenizer has no token `{}` with the id {}",
            entry->where, token, token_id);
    result.push_back(token_id);
  }
  return result;
}

void parse_template(const Node& node, TokenizerSpec& spec) {
  const Node single = required(node, "single");
  const std::size_t count = array_size(single);
  bool seen_text = false;
  for (std::size_t i = 0; i < count; ++i) {
    const Node piece = element(single, i);
    if (const auto special = member(piece, "SpecialToken")) {
      const auto ids = template_ids(node, text(required(*special, "id")), spec);
      auto& side = seen_text ? spec.suffix : spec.prefix;
      side.insert(side.end(), ids.begin(), ids.end());
      continue;
    }
    const std::string& name = text(required(required(piece, "Sequence"), "id"));
    require(name == "A" && !seen_text, ErrorCode::kUnsupported,
            "{}: a template for one text has the sequence A once and no other", piece.where);
    seen_text = true;
  }
  require(seen_text, ErrorCode::kCorruptFile, "{}: the template leaves out the text (sequence A)",
          single.where);
}

constexpr std::string_view kDecoders =
    "ByteLevel, Metaspace, and a Sequence of Replace, ByteFallback, Fuse and Strip in this order";

DecoderSpec parse_replacing_decoder(const Node& node) {
  DecoderSpec spec;
  spec.kind = DecoderSpec::kReplace;
  int last = 0;
  const auto in_order = [&last](const Node& step, int place) {
    require(place > last, ErrorCode::kUnsupported, "{}: is out of order; supported are {}",
            step.where, kDecoders);
    last = place;
  };
  for_each_step(node, "decoders", [&](const Node& step) {
    const std::string type = type_of(step);
    if (type == "Replace") {
      in_order(step, 1);
      const Pattern pattern = parse_pattern(step);
      require(pattern.literal, ErrorCode::kUnsupported,
              "{}: only a String pattern is supported here", pattern.where);
      spec.from = pattern.text;
      spec.to = text(required(step, "content"));
    } else if (type == "ByteFallback") {
      in_order(step, 2);
      spec.byte_fallback = true;
    } else if (type == "Fuse") {
      in_order(step, 3);
    } else if (type == "Strip") {
      require(last == 3, ErrorCode::kUnsupported, "{}: Strip is supported after Fuse only",
              step.where);
      in_order(step, 4);
      const Node start = required(step, "start");
      const Node stop = required(step, "stop");
      spec.strip = one_character(required(step, "content"));
      spec.strip_count = id(start);
      require(id(stop) == 0, ErrorCode::kUnsupported,
              "{}: taking characters off the end is not supported", stop.where);
    } else {
      refuse(step, kDecoders);
    }
  });
  return spec;
}
}  // namespace

void parse_normalizer(const Node& node, std::vector<NormalizerStep>& steps) {
  for_each_step(node, "normalizers", [&steps](const Node& step) {
    const std::string type = type_of(step);
    if (type == "Prepend") {
      steps.push_back({NormalizerStep::kPrepend, "", text(required(step, "prepend"))});
    } else if (type == "Replace") {
      const Pattern pattern = parse_pattern(step);
      steps.push_back({pattern.literal ? NormalizerStep::kReplace : NormalizerStep::kReplaceMatches,
                       pattern.text, text(required(step, "content"))});
    } else if (type == "Lowercase") {
      steps.push_back({NormalizerStep::kLowercase, "", ""});
    } else if (type == "Strip") {
      steps.push_back({NormalizerStep::kStrip, "", "", flag(step, "strip_left", true),
                       flag(step, "strip_right", true)});
    } else {
      refuse(step, "null, Prepend, Replace, Lowercase, Strip and a Sequence of them");
    }
  });
}

void parse_pre_tokenizer(const Node& node, std::vector<PreTokenizerStep>& steps) {
  for_each_step(node, "pretokenizers", [&steps](const Node& step) {
    require(steps.empty() || steps.back().kind != PreTokenizerStep::kByteLevel,
            ErrorCode::kUnsupported, "{}: nothing may follow ByteLevel", step.where);
    steps.push_back(parse_step(step));
  });
}

void parse_post_processor(const Node& node, TokenizerSpec& spec) {
  bool seen_template = false;
  for_each_step(node, "processors", [&](const Node& step) {
    const std::string type = type_of(step);
    if (type == "ByteLevel") return;  // moves offsets only
    if (type != "TemplateProcessing")
      refuse(step, "null, TemplateProcessing, ByteLevel and a Sequence of them");
    require(!seen_template, ErrorCode::kUnsupported, "{}: a second template", step.where);
    seen_template = true;
    parse_template(step, spec);
  });
}

AddedToken parse_added_token(const Node& node, std::int32_t token_id) {
  AddedToken token;
  token.content = text(required(node, "content"));
  token.id = token_id;
  token.special = flag(node, "special", false);
  token.single_word = flag(node, "single_word", false);
  token.lstrip = flag(node, "lstrip", false);
  token.rstrip = flag(node, "rstrip", false);
  token.normalized = flag(node, "normalized", !token.special);
  require(!token.content.empty(), ErrorCode::kCorruptFile, "{}: has no text", node.where);
  return token;
}

DecoderSpec parse_decoder(const Node& node) {
  const std::string type = type_of(node);
  if (type == "ByteLevel") return {};
  if (type != "Metaspace") return parse_replacing_decoder(node);
  DecoderSpec spec;
  spec.kind = DecoderSpec::kMetaspace;
  spec.from = one_character(required(node, "replacement"));
  spec.drop_first = parse_prepend(node) != PreTokenizerStep::kNever;
  return spec;
}

}  // namespace airlock
