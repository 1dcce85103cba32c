#include "airlock/math/field_random.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <climits>
#include <cstring>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include "airlock/core/error.h"
#include "airlock/math/field.h"

namespace airlock {
namespace {

static_assert(std::endian::native == std::endian::little, "keystream words are little-endian");

constexpr std::size_t kCounterBytes = 16;

/// The AES-256-CTR keystream of one key and initial counter block (counted up as one big-endian
/// number of 128 bits).
class Keystream {
 public:
  Keystream(const FieldSeed& key, const std::array<std::uint8_t, kCounterBytes>& counter)
      : context_(EVP_CIPHER_CTX_new()) {
    require(context_ != nullptr && EVP_EncryptInit_ex(context_.get(), EVP_aes_256_ctr(), nullptr,
                                                      key.data(), counter.data()) == 1,
            ErrorCode::kInternal, "libcrypto: AES-256-CTR cannot be set up");
  }

  /// The next bytes.
  void next(std::span<std::byte> out) {
    while (!out.empty()) {
      const std::size_t count = std::min<std::size_t>(out.size(), INT_MAX / 2);
      auto* to = reinterpret_cast<unsigned char*>(out.data());
      std::memset(to, 0, count);
      int written = 0;
      require(EVP_EncryptUpdate(context_.get(), to, &written, to, static_cast<int>(count)) == 1 &&
                  static_cast<std::size_t>(written) == count,
              ErrorCode::kInternal, "libcrypto: AES-256-CTR failed");
      out = out.subspan(count);
    }
  }

 private:
  struct Free {
    // Wipes the key schedule.
    void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
  };
  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
};

/// Words of keystream made at a time.
constexpr std::size_t kStreamWords = 1024;

/// Moves the words of `from` whose lower 31 bits are below p to `to`, until that is full. Returns
/// how many were read and written. Which words are skipped says nothing of those that are kept.
struct Taken {
  std::size_t read = 0;
  std::size_t written = 0;
};
Taken take_field(std::span<const std::uint32_t> from, std::span<std::uint32_t> to) {
  Taken taken;
  while (taken.read < from.size() && taken.written < to.size()) {
    const std::uint32_t value = from[taken.read++] & 0x7fffffffU;
    to[taken.written] = value;
    taken.written += static_cast<std::size_t>(value < kFieldPrime);
  }
  return taken;
}

void system_random(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const ssize_t got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    require_system(got > 0, ErrorCode::kInternal, "the system gives no random bytes");
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

}  // namespace

void expand_field_row(const FieldSeed& seed, std::uint64_t row, std::span<std::uint32_t> out) {
  std::array<std::uint8_t, kCounterBytes> counter{};
  std::memcpy(counter.data(), &row, sizeof row);
  Keystream keystream(seed, counter);
  std::array<std::uint32_t, kStreamWords> words;
  while (!out.empty()) {
    // One word in 128 is skipped.
    const std::size_t count = std::min(words.size(), out.size() + out.size() / 64 + 4);
    const std::span<std::uint32_t> fresh(words.data(), count);
    keystream.next(std::as_writable_bytes(fresh));
    out = out.subspan(take_field(fresh, out).written);
  }
}

struct SecretRandom::Impl {
  Keystream keystream;
  std::array<std::uint32_t, kStreamWords> words{};
  std::size_t used = kStreamWords;  ///< of `words`

  explicit Impl(const FieldSeed& key) : keystream(key, {}) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { wipe(std::as_writable_bytes(std::span(words))); }

  std::span<std::uint32_t> left() {
    if (used == words.size()) {
      keystream.next(std::as_writable_bytes(std::span(words)));
      used = 0;
    }
    return std::span(words).subspan(used);
  }
  /// What was handed out does not stay behind.
  void drop(std::size_t count) {
    wipe(std::as_writable_bytes(std::span(words).subspan(used, count)));
    used += count;
  }
};

SecretRandom::SecretRandom() {
  FieldSeed key{};
  system_random(key);
  impl_ = std::make_unique<Impl>(key);
  wipe(std::as_writable_bytes(std::span(key)));
}

SecretRandom::SecretRandom(const FieldSeed& key) : impl_(std::make_unique<Impl>(key)) {}
SecretRandom::SecretRandom(SecretRandom&&) noexcept = default;
SecretRandom& SecretRandom::operator=(SecretRandom&&) noexcept = default;
SecretRandom::~SecretRandom() = default;

void SecretRandom::bytes(std::span<std::byte> out) {
  constexpr std::size_t kWord = sizeof(std::uint32_t);
  while (!out.empty()) {
    const std::span<std::uint32_t> words = impl_->left();
    const std::size_t count = std::min(words.size() * kWord, out.size());
    std::memcpy(out.data(), words.data(), count);
    impl_->drop((count + kWord - 1) / kWord);
    out = out.subspan(count);
  }
}

void SecretRandom::field(std::span<std::uint32_t> out) {
  while (!out.empty()) {
    const Taken taken = take_field(impl_->left(), out);
    impl_->drop(taken.read);
    out = out.subspan(taken.written);
  }
}

FieldSeed SecretRandom::seed() {
  FieldSeed seed{};
  bytes(std::as_writable_bytes(std::span(seed)));
  return seed;
}

void wipe(std::span<std::byte> memory) noexcept {
  OPENSSL_cleanse(memory.data(), memory.size());
}

}  // namespace airlock
