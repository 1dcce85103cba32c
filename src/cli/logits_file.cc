#include "cli/logits_file.h"

#include <bit>
#include <string>
#include <system_error>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/core/write_all.h"

namespace airlock {
namespace {

static_assert(std::endian::native == std::endian::little, "rows are written as they are");

/// Of the header, whatever its number of rows: a multiple of 64, as the format wants it.
constexpr std::size_t kHeaderBytes = 128;

}  // namespace

LogitsFile::LogitsFile(std::filesystem::path path, std::int64_t vocab)
    : file_(std::move(path), NewFile::Special::kRefused), vocab_(vocab) {
  write_header();
}

void LogitsFile::add(std::span<const float> logits) {
  require(static_cast<std::int64_t>(logits.size()) == vocab_, ErrorCode::kInternal,
          "{} logits for a vocabulary of {}", logits.size(), vocab_);
  const auto bytes = std::as_bytes(logits);
  write(static_cast<std::int64_t>(kHeaderBytes) + rows_ * static_cast<std::int64_t>(bytes.size()),
        bytes);
  ++rows_;
  write_header();
}

void LogitsFile::write_header() const {
  std::string header("\x93NUMPY\x01\x00", 8);
  const std::size_t text_bytes = kHeaderBytes - header.size() - 2;
  header += static_cast<char>(text_bytes);
  header += '\0';
  header +=
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows_, vocab_);
  header.resize(kHeaderBytes - 1, ' ');
  header += '\n';
  write(0, std::as_bytes(std::span(header)));
}

void LogitsFile::write(std::int64_t offset, std::span<const std::byte> bytes) const {
  const int error = pwrite_all(file_.fd(), offset, bytes);
  require(error == 0, ErrorCode::kIo, "{}: cannot write the logits: {}", file_.path().string(),
          std::generic_category().message(error));
}

}  // namespace airlock
