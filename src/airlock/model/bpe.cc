#include "airlock/model/bpe.h"

#include <algorithm>
#include <bit>

#include "airlock/core/error.h"
#include "airlock/core/utf8.h"

namespace airlock {
namespace {
bool is_printable_latin(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

std::array<char32_t, 256> make_alphabet() {
  std::array<char32_t, 256> alphabet{};
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte)
    alphabet[byte] = is_printable_latin(byte) ? static_cast<char32_t>(byte) : next++;
  return alphabet;
}

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32U) |
         static_cast<std::uint32_t>(right);
}

// Fibonacci hashing: 2^64 over the golden ratio spreads both halves of the key.
std::size_t slot_of(std::uint64_t key, std::size_t mask) {
  return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ULL) >> 24U) & mask;
}

bool later(const Bpe::Scratch::Pending& a, const Bpe::Scratch::Pending& b) {
  return a.order > b.order;
}
}  // namespace

const std::array<char32_t, 256>& byte_alphabet() noexcept {
  static const std::array<char32_t, 256> kAlphabet = make_alphabet();
  return kAlphabet;
}

int alphabet_byte(char32_t code_point) noexcept {
  constexpr std::size_t kEnd = 0x144;  // 68 of the 256 bytes are not printable
  static const std::array<std::int16_t, kEnd> kBytes = [] {
    std::array<std::int16_t, kEnd> bytes{};
    bytes.fill(-1);
    for (unsigned byte = 0; byte < 256; ++byte)
      bytes[byte_alphabet()[byte]] = static_cast<std::int16_t>(byte);
    return bytes;
  }();
  return code_point < kEnd ? kBytes[code_point] : -1;
}

Bpe::Bpe(const BpeSpec& spec, Units units)
    : units_(units),
      fuse_unknown_(spec.fuse_unk),
      byte_fallback_(spec.byte_fallback),
      whole_words_(spec.ignore_merges) {
  ids_.reserve(spec.vocab.size());
  for (const auto& [text, id] : spec.vocab) ids_.emplace(text, id);
  if (spec.unk_token) unknown_ = ids_.at(*spec.unk_token);
  merges_.resize(std::bit_ceil(2 * spec.merges.size() + 1));
  std::uint32_t rank = 0;
  for (const auto& [left, right, merged] : spec.merges)
    insert_merge({pair_key(left, right), rank++, merged});
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string spelled;
    append_utf8(byte_alphabet()[byte], spelled);
    byte_starts_[byte] = start_of(spelled);
  }
}

void Bpe::insert_merge(const Merge& merge) {
  const std::size_t mask = merges_.size() - 1;
  std::size_t at = slot_of(merge.pair, mask);
  while (merges_[at].pair != kNoPair && merges_[at].pair != merge.pair) at = (at + 1) & mask;
  merges_[at] = merge;  // of two rules for one pair the later counts, as in `tokenizers`
}

const Bpe::Merge* Bpe::find_merge(std::int32_t left, std::int32_t right) const noexcept {
  const std::uint64_t key = pair_key(left, right);
  const std::size_t mask = merges_.size() - 1;
  for (std::size_t at = slot_of(key, mask);; at = (at + 1) & mask) {
    if (merges_[at].pair == key) return &merges_[at];
    if (merges_[at].pair == kNoPair) return nullptr;
  }
}

Bpe::Start Bpe::start_of(std::string_view spelled) const {
  if (const auto found = ids_.find(std::string(spelled)); found != ids_.end())
    return {{found->second}, false, false};
  if (byte_fallback_) {
    Start start{{}, false, true};
    for (const char c : spelled) {
      const auto found = ids_.find(fmt::format("<0x{:02X}>", static_cast<unsigned char>(c)));
      if (found != ids_.end()) start.ids.push_back(found->second);
    }
    if (start.ids.size() == spelled.size()) return start;
  }
  return {{}, true, false};
}

void Bpe::start_word(std::string_view word, std::vector<std::int32_t>& ids) const {
  ids.clear();
  bool pending = false;  // an unknown token is due before the next known one
  const auto add = [&](const Start& start) {
    if (start.unknown) {
      if (!unknown_) return;
      if (pending && !fuse_unknown_) ids.push_back(*unknown_);
      pending = true;
      return;
    }
    // `tokenizers` puts a pending unknown token behind bytes that follow it.
    if (pending && !start.fallback) ids.push_back(*unknown_), pending = false;
    ids.insert(ids.end(), start.ids.begin(), start.ids.end());
  };
  if (units_ == Units::kBytes) {
    for (const char c : word) add(byte_starts_[static_cast<unsigned char>(c)]);
  } else {
    std::string spelled;
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t length = utf8_step(word.substr(at)).length;
      spelled = word.substr(at, length);
      if (const auto found = ids_.find(spelled); found != ids_.end()) {
        if (pending) ids.push_back(*unknown_), pending = false;
        ids.push_back(found->second);
      } else {
        add(start_of(spelled));
      }
      at += length;
    }
  }
  if (pending) ids.push_back(*unknown_);
}

void Bpe::encode_word(std::string_view word, Scratch& scratch,
                      std::vector<std::int32_t>& out) const {
  if (whole_words_) {
    if (units_ == Units::kBytes) {
      scratch.spelled.clear();
      for (const char c : word)
        append_utf8(byte_alphabet()[static_cast<unsigned char>(c)], scratch.spelled);
    } else {
      scratch.spelled = word;
    }
    if (const auto found = ids_.find(scratch.spelled); found != ids_.end()) {
      out.push_back(found->second);
      return;
    }
  }
  start_word(word, scratch.ids);
  if (scratch.ids.size() <= kScanLimit) {
    merge_by_scanning(scratch.ids);
  } else {
    merge_by_heap(scratch);
  }
  out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
}

void Bpe::merge_by_scanning(std::vector<std::int32_t>& ids) const {
  std::array<const Merge*, kScanLimit> rules{};  // rules[i] joins ids[i] and ids[i + 1]
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) rules[i] = find_merge(ids[i], ids[i + 1]);
  while (ids.size() > 1) {
    std::size_t best = ids.size();
    for (std::size_t i = 0; i + 1 < ids.size(); ++i)
      if (rules[i] != nullptr && (best == ids.size() || rules[i]->rank < rules[best]->rank))
        best = i;
    if (best == ids.size()) return;
    ids[best] = rules[best]->merged;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(rules.begin() + best + 1, rules.begin() + ids.size(), rules.begin() + best);
    rules[ids.size() - 1] = nullptr;
    if (best + 1 < ids.size()) rules[best] = find_merge(ids[best], ids[best + 1]);
    if (best > 0) rules[best - 1] = find_merge(ids[best - 1], ids[best]);
  }
}

void Bpe::push_pair(Scratch& scratch, std::int32_t at) const {
  const std::int32_t right = at < 0 ? -1 : scratch.next[static_cast<std::size_t>(at)];
  if (right < 0) return;
  const Merge* rule = find_merge(scratch.ids[static_cast<std::size_t>(at)],
                                 scratch.ids[static_cast<std::size_t>(right)]);
  if (rule == nullptr) return;
  scratch.heap.push_back({pair_key(static_cast<std::int32_t>(rule->rank), at), rule->merged});
}

void Bpe::merge_by_heap(Scratch& scratch) const {
  auto& [ids, next, previous, heap, spelled] = scratch;
  const auto count = static_cast<std::int32_t>(ids.size());
  next.resize(ids.size());
  previous.resize(ids.size());
  heap.clear();
  for (std::int32_t i = 0; i < count; ++i) {
    next[static_cast<std::size_t>(i)] = i + 1 < count ? i + 1 : -1;
    previous[static_cast<std::size_t>(i)] = i - 1;
  }
  for (std::int32_t i = 0; i < count; ++i) push_pair(scratch, i);
  std::make_heap(heap.begin(), heap.end(), later);
  constexpr std::int32_t kGone = -1;
  while (!heap.empty()) {
    const Scratch::Pending top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), later);
    heap.pop_back();
    const auto at = static_cast<std::size_t>(top.order & 0xFFFFFFFFU);
    if (ids[at] == kGone || next[at] < 0) continue;
    const auto right = static_cast<std::size_t>(next[at]);
    const Merge* rule = find_merge(ids[at], ids[right]);
    if (rule == nullptr || rule->merged != top.merged) continue;  // the pair has changed since
    ids[at] = rule->merged;
    ids[right] = kGone;
    next[at] = next[right];
    if (next[at] >= 0) previous[static_cast<std::size_t>(next[at])] = static_cast<std::int32_t>(at);
    for (const std::int32_t left : {previous[at], static_cast<std::int32_t>(at)}) {
      const std::size_t before = heap.size();
      push_pair(scratch, left);
      if (heap.size() > before) std::push_heap(heap.begin(), heap.end(), later);
    }
  }
  std::erase(ids, kGone);
}

}  // namespace airlock
