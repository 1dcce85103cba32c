#include "airlock/core/utf8.h"

#include <algorithm>

namespace airlock {
namespace {
std::uint8_t byte_at(std::string_view bytes, std::size_t i) noexcept {
  return static_cast<std::uint8_t>(bytes[i]);
}
}  // namespace

Utf8Step utf8_step(std::string_view bytes) noexcept {
  const std::uint8_t first = byte_at(bytes, 0);
  if (first < 0x80) return {Utf8Step::kCharacter, 1};
  if (first < 0xC2 || first > 0xF4) return {Utf8Step::kIllFormed, 1};
  const std::uint8_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  // Unicode 16, table 3-7: only the second byte has a range of its own.
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xBF;
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  for (std::uint8_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {Utf8Step::kPartial, i};
    const std::uint8_t next = byte_at(bytes, i);
    if (next < low || next > high) return {Utf8Step::kIllFormed, i};
    low = 0x80, high = 0xBF;
  }
  return {Utf8Step::kCharacter, length};
}

bool is_utf8(std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const Utf8Step step = utf8_step(bytes);
    if (step.kind != Utf8Step::kCharacter) return false;
    bytes.remove_prefix(step.length);
  }
  return true;
}

std::string replace_ill_formed(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  Utf8Stream stream;
  stream.push(bytes, out);
  stream.flush(out);
  return out;
}

char32_t utf8_code_point(std::string_view character) noexcept {
  const std::uint8_t first = byte_at(character, 0);
  if (character.size() == 1) return first;
  char32_t code_point = first & (0x7FU >> character.size());
  for (std::size_t i = 1; i < character.size(); ++i)
    code_point = (code_point << 6U) | (byte_at(character, i) & 0x3FU);
  return code_point;
}

std::string_view last_character(std::string_view text) noexcept {
  std::size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80) --begin;
  return text.substr(begin);
}

void append_utf8(char32_t code_point, std::string& out) {
  const auto put = [&out](char32_t value) { out.push_back(static_cast<char>(value)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6U)), put(0x80 | (code_point & 0x3FU));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12U)), put(0x80 | ((code_point >> 6U) & 0x3FU));
    put(0x80 | (code_point & 0x3FU));
  } else {
    put(0xF0 | (code_point >> 18U)), put(0x80 | ((code_point >> 12U) & 0x3FU));
    put(0x80 | ((code_point >> 6U) & 0x3FU)), put(0x80 | (code_point & 0x3FU));
  }
}

void Utf8Stream::push(std::string_view bytes, std::string& out) {
  while (held_size_ > 0 && !bytes.empty()) {
    held_[held_size_++] = bytes.front();
    const Utf8Step step = utf8_step({held_.data(), held_size_});
    if (step.kind == Utf8Step::kIllFormed) {
      // The new byte is the one that does not fit: it starts something of its own.
      out += kReplacement;
      held_size_ = 0;
      break;
    }
    bytes.remove_prefix(1);
    if (step.kind == Utf8Step::kPartial) continue;
    out.append(held_.data(), held_size_);
    held_size_ = 0;
  }
  std::size_t begin = 0;
  std::size_t at = 0;
  while (at < bytes.size()) {
    const Utf8Step step = utf8_step(bytes.substr(at));
    if (step.kind != Utf8Step::kCharacter) {
      out.append(bytes.substr(begin, at - begin));
      begin = at + step.length;
      if (step.kind == Utf8Step::kIllFormed) {
        out += kReplacement;
      } else {
        std::copy_n(bytes.data() + at, step.length, held_.data());
        held_size_ = step.length;
      }
    }
    at += step.length;
  }
  out.append(bytes.substr(begin));
}

void Utf8Stream::flush(std::string& out) {
  if (held_size_ > 0) out += kReplacement;
  held_size_ = 0;
}

}  // namespace airlock
