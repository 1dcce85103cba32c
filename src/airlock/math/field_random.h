// Uniform field elements: a public matrix from its seed, alike on both sides of a link, and secrets
// of this process.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

namespace airlock {

using FieldSeed = std::array<std::uint8_t, 32>;

/// Row `row` of the matrix that `seed` stands for, in which every element is uniform in [0, p):
/// the AES-256-CTR keystream with key `seed` and initial counter block [row as 64 bits
/// little-endian, 0 as 64 bits], read as 32-bit little-endian words, of which the lower 31 bits
/// count if they are below p, else the word is skipped. So `out` of fewer columns is the beginning
/// of the row of more. Throws Error(kInternal) if the library fails. Thread-safe.
void expand_field_row(const FieldSeed& seed, std::uint64_t row, std::span<std::uint32_t> out);

/// A generator of secrets: AES-256-CTR keyed from getrandom, or from a given key in tests. The key
/// and buffered stream are wiped on destruction. Not thread-safe; movable.
class SecretRandom {
 public:
  /// Throws Error(kInternal) if the system gives no random bytes.
  SecretRandom();
  explicit SecretRandom(const FieldSeed& key);
  SecretRandom(SecretRandom&&) noexcept;
  SecretRandom& operator=(SecretRandom&&) noexcept;
  ~SecretRandom();

  void bytes(std::span<std::byte> out);
  /// Uniform in [0, p).
  void field(std::span<std::uint32_t> out);
  /// A fresh seed.
  [[nodiscard]] FieldSeed seed();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Overwrites memory that held a secret, in a way that no compiler leaves out.
void wipe(std::span<std::byte> memory) noexcept;

}  // namespace airlock
