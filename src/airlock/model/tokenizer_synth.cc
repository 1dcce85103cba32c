#include "airlock/model/tokenizer_synth.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "airlock/core/error.h"
#include "airlock/core/utf8.h"
#include "airlock/model/bpe.h"
#include "airlock/model/tokenizer_spec.h"

namespace airlock {
namespace {
constexpr std::int64_t kBytes = 256;
constexpr std::int64_t kLlama3Vocabulary = 128256;
constexpr std::int64_t kLlama3Specials = 256;

// Llama 3.1's names in the order of their ids; empty: a reserved one.
constexpr std::array<std::string_view, 11> kSpecials = {"<|begin_of_text|>",
                                                        "<|end_of_text|>",
                                                        "",
                                                        "",
                                                        "<|finetune_right_pad_id|>",
                                                        "",
                                                        "<|start_header_id|>",
                                                        "<|end_header_id|>",
                                                        "<|eom_id|>",
                                                        "<|eot_id|>",
                                                        "<|python_tag|>"};

std::vector<std::string> special_names(std::int64_t count) {
  std::vector<std::string> names;
  int reserved = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<std::size_t>(i);
    const bool has_name = index < kSpecials.size() && !kSpecials[index].empty();
    names.push_back(has_name ? std::string(kSpecials[index])
                             : fmt::format("<|reserved_special_token_{}|>", reserved++));
  }
  return names;
}

/// A pronounceable word for each index: its digits in base 75 as syllables.
std::string filler_word(std::int64_t index) {
  constexpr std::string_view kConsonants = "bdfghklmnprstvz";
  constexpr std::string_view kVowels = "aeiou";
  constexpr auto kSyllables = static_cast<std::int64_t>(kConsonants.size() * kVowels.size());
  std::string word;
  do {
    const auto digit = static_cast<std::size_t>(index % kSyllables);
    word += kConsonants[digit / kVowels.size()];
    word += kVowels[digit % kVowels.size()];
    index /= kSyllables;
  } while (index > 0);
  append_utf8(byte_alphabet()[' '], word);
  std::rotate(word.begin(), word.end() - 2, word.end());
  return word;
}

/// The bytes in the order of their ids in Llama 3: those that spell themselves first.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> first, second;
  for (unsigned byte = 0; byte < kBytes; ++byte) {
    const char32_t spelled = byte_alphabet()[byte];
    std::string text;
    append_utf8(spelled, text);
    if (text == "\"" || text == "\\") text.insert(text.begin(), '\\');  // as JSON spells it
    (spelled == byte ? first : second).push_back(text);
  }
  first.insert(first.end(), second.begin(), second.end());
  return first;
}
}  // namespace

std::string make_byte_level_tokenizer_json(std::int64_t vocab_size) {
  constexpr std::int64_t kLeast = kBytes + 2;
  require(
      vocab_size >= kLeast && vocab_size <= kMaxTokenId + 1, ErrorCode::kInvalidArgument,
      "a byte-level tokenizer of {} tokens: expected {} (256 bytes and two special tokens) to {}",
      vocab_size, kLeast, kMaxTokenId + 1);
  const std::int64_t count = vocab_size >= kLlama3Vocabulary
                                 ? kLlama3Specials
                                 : std::min<std::int64_t>(10, vocab_size - kBytes);
  const std::int64_t first_special = vocab_size - count;
  const std::vector<std::string> specials = special_names(count);
  std::string json =
      "{\n\"version\": \"1.0\",\n\"truncation\": null,\n\"padding\": null,\n\"added_tokens\": [\n";
  for (std::int64_t i = 0; i < count; ++i)
    json += fmt::format(
        R"({{"id": {}, "content": "{}", "single_word": false, "lstrip": false, "rstrip": false, )"
        R"("normalized": false, "special": true}}{})",
        first_special + i, specials[static_cast<std::size_t>(i)], i + 1 < count ? ",\n" : "\n");
  json += R"(],
"normalizer": null,
"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
{"type": "Split", "pattern": {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": false},
{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
)";
  const std::string& bos = specials.front();
  json += fmt::format(
      R"("post_processor": {{"type": "Sequence", "processors": [
{{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true}},
{{"type": "TemplateProcessing",
"single": [{{"SpecialToken": {{"id": "{0}", "type_id": 0}}}}, {{"Sequence": {{"id": "A", "type_id": 0}}}}],
"pair": [{{"SpecialToken": {{"id": "{0}", "type_id": 0}}}}, {{"Sequence": {{"id": "A", "type_id": 0}}}},
{{"SpecialToken": {{"id": "{0}", "type_id": 1}}}}, {{"Sequence": {{"id": "B", "type_id": 1}}}}],
"special_tokens": {{"{0}": {{"id": "{0}", "ids": [{1}], "tokens": ["{0}"]}}}}}}]}},
)",
      bos, first_special);
  json +=
      R"("decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
"model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
"end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
"vocab": {
)";
  const std::vector<std::string> bytes = byte_tokens();
  for (std::int64_t id = 0; id < first_special; ++id)
    json +=
        fmt::format("\"{}\": {}{}",
                    id < kBytes ? bytes[static_cast<std::size_t>(id)] : filler_word(id - kBytes),
                    id, id + 1 < first_special ? ",\n" : "\n");
  json += "},\n\"merges\": []}\n}\n";
  return json;
}

}  // namespace airlock
