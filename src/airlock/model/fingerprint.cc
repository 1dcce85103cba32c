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

/// Part of a tensor's bytes, and their digest once it is known.
struct Piece {
  TensorEntry tensor;
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
  Fingerprint digest{};
};

/// Digest of the piece, read a window at a time.
Fingerprint sha256(const Checkpoint& checkpoint, const Piece& piece) {
  constexpr std::int64_t kWindow = std::int64_t{1} << 20;
  const std::unique_ptr<EVP_MD_CTX, decltype(&::EVP_MD_CTX_free)> context(::EVP_MD_CTX_new(),
                                                                          &::EVP_MD_CTX_free);
  Fingerprint digest{};
  bool ok = context != nullptr && ::EVP_DigestInit_ex(context.get(), ::EVP_sha256(), nullptr) == 1;
  const auto& [weight, layer, use, shape] = piece.tensor;
  checkpoint.will_need(weight, layer, piece.offset, piece.bytes);
  std::vector<std::byte> memory(static_cast<std::size_t>(std::min(kWindow, piece.bytes)));
  for (std::int64_t done = 0; ok && done < piece.bytes;) {
    const std::int64_t count = std::min(kWindow, piece.bytes - done);
    const auto window = std::span(memory).first(static_cast<std::size_t>(count));
    checkpoint.read(weight, layer, piece.offset + done, window);
    ok = ::EVP_DigestUpdate(context.get(), window.data(), window.size()) == 1;
    done += count;
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

}  // namespace

Fingerprint compute_fingerprint(const Checkpoint& checkpoint, const ByteProgress& progress,
                                const StopToken& stop) {
  std::vector<Piece> pieces;
  std::vector<std::size_t> first_piece;  // of each tensor, and the end
  std::vector<std::int64_t> sizes;
  for (const TensorEntry& tensor : checkpoint.table()) {
    first_piece.push_back(pieces.size());
    const std::int64_t bytes = checkpoint.spec(tensor.weight, tensor.layer).bytes();
    for (std::int64_t offset = 0; offset < bytes; offset += kFingerprintPieceBytes) {
      sizes.push_back(std::min(bytes - offset, kFingerprintPieceBytes));
      pieces.push_back({tensor, offset, sizes.back()});
    }
  }
  first_piece.push_back(pieces.size());

  for_each_piece(
      sizes, [&](std::size_t i) { pieces[i].digest = sha256(checkpoint, pieces[i]); }, progress,
      stop);

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
