#include "airlock/model/fingerprint.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <openssl/evp.h>

#include "airlock/core/error.h"
#include "airlock/model/checkpoint_pieces.h"

namespace airlock {
namespace {

Fingerprint sha256(const void* data, std::size_t size) {
  Fingerprint digest{};
  unsigned int length = 0;
  const int ok = ::EVP_Digest(data, size, digest.data(), &length, ::EVP_sha256(), nullptr);
  require(ok == 1 && length == digest.size(), ErrorCode::kInternal, "SHA-256 is not available");
  return digest;
}

/// Digest of bytes of the mapping, a window at a time, so that little of it is resident at once.
Fingerprint sha256_and_drop(const Checkpoint& checkpoint, std::span<const std::byte> bytes) {
  constexpr std::size_t kWindow = std::size_t{4} << 20;
  const std::unique_ptr<EVP_MD_CTX, decltype(&::EVP_MD_CTX_free)> context(::EVP_MD_CTX_new(),
                                                                          &::EVP_MD_CTX_free);
  Fingerprint digest{};
  bool ok = context != nullptr && ::EVP_DigestInit_ex(context.get(), ::EVP_sha256(), nullptr) == 1;
  checkpoint.will_need(bytes);
  while (ok && !bytes.empty()) {
    const std::span<const std::byte> window = bytes.first(std::min(kWindow, bytes.size()));
    ok = ::EVP_DigestUpdate(context.get(), window.data(), window.size()) == 1;
    checkpoint.drop_pages(window);
    bytes = bytes.subspan(window.size());
  }
  ok = ok && ::EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) == 1;
  require(ok, ErrorCode::kInternal, "SHA-256 is not available");
  return digest;
}

/// The numbers that the arithmetic depends on; doubles with all their digits.
std::string config_text(const ModelConfig& config) {
  std::string text = "airlock-fingerprint-1\n";
  const auto count = [&](std::string_view name, std::int64_t value) {
    fmt::format_to(std::back_inserter(text), "{} {}\n", name, value);
  };
  const auto number = [&](std::string_view name, double value) {
    fmt::format_to(std::back_inserter(text), "{} {:.17g}\n", name, value);
  };
  count("layers", config.layers);
  count("hidden", config.hidden);
  count("heads", config.heads);
  count("kv_heads", config.kv_heads);
  count("head_dim", config.head_dim);
  count("ffn", config.ffn);
  count("vocab", config.vocab);
  count("tie_embeddings", config.tie_embeddings ? 1 : 0);
  number("rms_norm_eps", config.rms_norm_eps);
  number("rope_theta", config.rope_theta);
  if (config.rope_scaling) {
    number("rope_llama3_factor", config.rope_scaling->factor);
    number("rope_llama3_low_freq_factor", config.rope_scaling->low_freq_factor);
    number("rope_llama3_high_freq_factor", config.rope_scaling->high_freq_factor);
    count("rope_llama3_original_max_position", config.rope_scaling->original_max_position);
  }
  return text;
}

struct Piece {
  std::span<const std::byte> bytes;
  Fingerprint digest{};
};

}  // namespace

Fingerprint compute_fingerprint(const Checkpoint& checkpoint, const ByteProgress& progress,
                                const StopToken& stop) {
  std::vector<Piece> pieces;
  std::vector<std::size_t> first_piece;  // of each tensor, and the end
  std::vector<std::int64_t> sizes;
  for (const TensorEntry& tensor : checkpoint.table()) {
    first_piece.push_back(pieces.size());
    std::span<const std::byte> rest = checkpoint.raw(tensor.weight, tensor.layer);
    while (!rest.empty()) {
      const std::size_t size = std::min<std::size_t>(rest.size(), kFingerprintPieceBytes);
      pieces.push_back({rest.first(size)});
      sizes.push_back(static_cast<std::int64_t>(size));
      rest = rest.subspan(size);
    }
  }
  first_piece.push_back(pieces.size());

  for_each_piece(
      sizes,
      [&](std::size_t i) { pieces[i].digest = sha256_and_drop(checkpoint, pieces[i].bytes); },
      progress, stop);

  std::string text = config_text(checkpoint.config());
  std::size_t i = 0;
  for (const TensorEntry& tensor : checkpoint.table()) {
    std::vector<std::uint8_t> digests;
    for (std::size_t piece = first_piece[i]; piece < first_piece[i + 1]; ++piece) {
      digests.insert(digests.end(), pieces[piece].digest.begin(), pieces[piece].digest.end());
    }
    ++i;
    const TensorSpec spec = checkpoint.spec(tensor.weight, tensor.layer);
    fmt::format_to(std::back_inserter(text), "{} {} {} {}\n", tensor.name(), dtype_name(spec.dtype),
                   spec.shape.to_string(), to_hex(sha256(digests.data(), digests.size())));
  }
  return sha256(text.data(), text.size());
}

std::string to_hex(const Fingerprint& fingerprint) {
  std::string text;
  for (const std::uint8_t byte : fingerprint) {
    fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  }
  return text;
}

std::string short_form(const Fingerprint& fingerprint) {
  return to_hex(fingerprint).substr(0, 12);
}

}  // namespace airlock
