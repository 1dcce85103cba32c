#include "airlock/model/tokenizer_spec_parts.h"

#include <unordered_map>

#include "airlock/core/error.h"
#include "airlock/model/tokenizer_utf8.h"

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

/// {"String": "..."}: the only pattern that a normalizer or decoder of a Llama uses.
std::string string_pattern(const Node& node) {
  const Node pattern = required(node, "pattern");
  const std::optional<Node> value = member(pattern, "String");
  require(value.has_value(), ErrorCode::kUnsupported, "{}: only a String pattern is supported here",
          pattern.where);
  require(!text(*value).empty(), ErrorCode::kCorruptFile, "{}: is empty", value->where);
  return text(*value);
}

PreTokenizerStep parse_split(const Node& node) {
  PreTokenizerStep step;
  step.kind = PreTokenizerStep::kSplit;
  const Node pattern = required(node, "pattern");
  if (const auto regex = member(pattern, "Regex")) {
    step.pattern = text(*regex);
  } else {
    step.pattern = text(required(pattern, "String"));
    step.literal = true;
  }
  require(!step.pattern.empty(), ErrorCode::kCorruptFile, "{}: is empty", pattern.where);
  step.invert = flag(node, "invert", false);
  const std::string& behavior = text(required(node, "behavior"));
  require(behavior == "Isolated" || behavior == "Removed", ErrorCode::kUnsupported,
          "{}.behavior: `{}` is not supported; supported are Isolated and Removed", node.where,
          behavior);
  step.behavior = behavior == "Isolated" ? PreTokenizerStep::kIsolated : PreTokenizerStep::kRemoved;
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
  } else {
    refuse(node, "Split, ByteLevel, Metaspace and a Sequence of them");
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
      spec.from = string_pattern(step);
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
      steps.push_back(
          {NormalizerStep::kReplace, string_pattern(step), text(required(step, "content"))});
    } else {
      refuse(step, "null, Prepend, Replace and a Sequence of them");
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
