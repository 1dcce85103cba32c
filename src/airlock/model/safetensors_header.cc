#include "airlock/model/safetensors_header.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "airlock/core/error.h"
#include "airlock/model/checkpoint_text.h"

namespace airlock {
namespace {

using Json = nlohmann::json;

struct KnownDType {
  std::string_view text;
  std::uint64_t bits;  ///< of one element
  std::optional<DType> dtype;
};

/// The dtypes of the reference implementation, safetensors 0.6.
constexpr std::array<KnownDType, 22> kDTypes = {{
    {"F32", 32, DType::kF32},
    {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16},
    {"I64", 64, DType::kI64},
    {"BOOL", 8, {}},
    {"U8", 8, {}},
    {"I8", 8, {}},
    {"U16", 16, {}},
    {"I16", 16, {}},
    {"U32", 32, {}},
    {"I32", 32, {}},
    {"U64", 64, {}},
    {"F64", 64, {}},
    {"C64", 64, {}},
    {"F4", 4, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
    {"F8_E5M2", 8, {}},
    {"F8_E4M3", 8, {}},
    {"F8_E8M0", 8, {}},
    {"F8_E4M3FNUZ", 8, {}},
    {"F8_E5M2FNUZ", 8, {}},
}};

/// Dimensions that are believed; no framework makes more.
constexpr std::size_t kMaxRank = 64;

/// Fills entries from the events of the parser. Levels: 1 names, 2 the fields of a tensor (or the
/// texts of __metadata__), 3 the numbers of a shape or of data_offsets; nothing is deeper, so the
/// header's nesting is bounded by construction.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(std::string_view where) : where_(where) {}
  std::vector<SafetensorsEntry> take() { return std::move(entries_); }

  bool null() override { return unexpected("null"); }
  bool boolean(bool /*value*/) override { return unexpected("a boolean"); }
  bool number_integer(number_integer_t /*value*/) override {
    return unexpected("a negative number");
  }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override {
    return unexpected("a number that is not a 64-bit whole number");
  }
  bool binary(binary_t& /*value*/) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (level_ != 3) return unexpected("a number");
    if (numbers_.size() == kMaxRank) return unexpected("more than 64 numbers");
    numbers_.push_back(value);
    return true;
  }
  bool string(string_t& value) override {
    if (level_ == 2 && metadata_) return true;
    if (level_ != 2 || field_ != "dtype") return unexpected("a string");
    entries_.back().dtype_text = value;
    return true;
  }
  bool start_object(std::size_t /*size*/) override {
    if (level_ > 1) return unexpected("an object");
    if (level_ == 1 && !metadata_) {
      fields_ = {};
      entries_.emplace_back().name = name_;
    }
    ++level_;
    return true;
  }
  bool end_object() override {
    --level_;
    if (level_ == 1 && !metadata_) finish_tensor();
    return true;
  }
  bool start_array(std::size_t /*size*/) override {
    if (level_ != 2 || metadata_ || field_ == "dtype") return unexpected("an array");
    numbers_.clear();
    ++level_;
    return true;
  }
  bool end_array() override {
    --level_;
    field_ == "shape" ? take_shape() : take_offsets();
    return true;
  }
  bool key(string_t& value) override {
    if (level_ == 1) {
      name_ = value;
      metadata_ = name_ == "__metadata__";
      return true;
    }
    if (metadata_) return true;
    field_ = value;
    const auto known = std::find(kFields.begin(), kFields.end(), field_);
    require(known != kFields.end(), ErrorCode::kCorruptFile,
            "{}: tensor {} has a field {}, expected dtype, shape and data_offsets", where_,
            excerpt(name_), excerpt(field_));
    bool& seen = fields_[static_cast<std::size_t>(known - kFields.begin())];
    require(!seen, ErrorCode::kCorruptFile, "{}: tensor {} has two fields {}", where_,
            excerpt(name_), field_);
    seen = true;
    return true;
  }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const Json::exception& error) override {
    fail(ErrorCode::kCorruptFile, "{}: the header is not valid JSON: {}", where_, error.what());
  }

 private:
  static constexpr std::array<std::string_view, 3> kFields = {"dtype", "shape", "data_offsets"};

  [[noreturn]] bool unexpected(std::string_view what) const {
    if (level_ == 0) fail(ErrorCode::kCorruptFile, "{}: the header is not a JSON object", where_);
    fail(ErrorCode::kCorruptFile, "{}: the header has {} in {}{}{}", where_, what, excerpt(name_),
         level_ > 1 && !metadata_ ? "." : "", level_ > 1 && !metadata_ ? field_ : "");
  }
  void finish_tensor() const {
    for (std::size_t i = 0; i < kFields.size(); ++i) {
      require(fields_[i], ErrorCode::kCorruptFile, "{}: tensor {} has no {}", where_,
              excerpt(name_), kFields[i]);
    }
  }
  void take_shape() {
    for (const std::uint64_t dim : numbers_) {
      require(dim <= std::uint64_t{1} << 62, ErrorCode::kCorruptFile,
              "{}: tensor {} has a dimension of {}", where_, excerpt(name_), dim);
      entries_.back().dims.push_back(static_cast<std::int64_t>(dim));
    }
  }
  void take_offsets() {
    require(numbers_.size() == 2 && numbers_[0] <= numbers_[1], ErrorCode::kCorruptFile,
            "{}: tensor {} has data_offsets that are not [begin, end]", where_, excerpt(name_));
    entries_.back().begin = numbers_[0];
    entries_.back().bytes = numbers_[1] - numbers_[0];
  }

  std::string_view where_;
  std::vector<SafetensorsEntry> entries_;
  std::string name_;
  std::string field_;
  std::vector<std::uint64_t> numbers_;
  std::array<bool, 3> fields_{};
  int level_ = 0;
  bool metadata_ = false;
};

std::string shape_text(const SafetensorsEntry& entry) {
  return fmt::format("[{}]", fmt::join(entry.dims, ", "));
}

/// dtype known, and shape and dtype together as many bytes as the range holds.
void check_size(SafetensorsEntry& entry, std::string_view where) {
  const auto known = std::find_if(kDTypes.begin(), kDTypes.end(), [&](const KnownDType& dtype) {
    return dtype.text == entry.dtype_text;
  });
  require(known != kDTypes.end(), ErrorCode::kCorruptFile, "{}: tensor {} has unknown dtype {}",
          where, excerpt(entry.name), excerpt(entry.dtype_text));
  entry.dtype = known->dtype;
  std::uint64_t bits = known->bits;
  bool overflow = false;
  for (const std::int64_t dim : entry.dims) {
    overflow |= __builtin_mul_overflow(bits, static_cast<std::uint64_t>(dim), &bits);
  }
  require(!overflow && bits % 8 == 0 && bits / 8 == entry.bytes, ErrorCode::kCorruptFile,
          "{}: tensor {} is {} {}, which is not the {} bytes of its data_offsets", where,
          excerpt(entry.name), entry.dtype_text, shape_text(entry), entry.bytes);
}

/// Ranges in order cover the data section, without overlap or hole, as the format demands.
void check_cover(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes,
                 std::string_view where) {
  std::uint64_t covered = 0;
  std::string_view previous;
  for (const SafetensorsEntry& entry : entries) {
    require(entry.begin <= data_bytes && entry.bytes <= data_bytes - entry.begin,
            ErrorCode::kCorruptFile,
            "{}: tensor {} ends at byte {} of the data, which has {} (is the file truncated?)",
            where, excerpt(entry.name), entry.begin + entry.bytes, data_bytes);
    require(entry.begin >= covered, ErrorCode::kCorruptFile,
            "{}: tensor {} begins at byte {} of the data and overlaps tensor {}, which ends at {}",
            where, excerpt(entry.name), entry.begin, excerpt(previous), covered);
    require(entry.begin == covered, ErrorCode::kCorruptFile,
            "{}: bytes {} to {} of the data, before tensor {}, belong to no tensor", where, covered,
            entry.begin, excerpt(entry.name));
    covered = entry.begin + entry.bytes;
    previous = entry.name;
  }
  require(covered == data_bytes, ErrorCode::kCorruptFile,
          "{}: the data has {} bytes, its tensors only {}", where, data_bytes, covered);
}

void check_names(const std::vector<SafetensorsEntry>& entries, std::string_view where) {
  std::vector<std::string_view> names;
  names.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  require(twice == names.end(), ErrorCode::kCorruptFile, "{}: tensor {} is described twice", where,
          twice == names.end() ? "" : excerpt(*twice));
}

}  // namespace

std::vector<SafetensorsEntry> parse_safetensors_header(std::string_view json,
                                                       std::uint64_t data_bytes,
                                                       std::string_view where) {
  HeaderReader reader(where);
  Json::sax_parse(json.begin(), json.end(), &reader);
  std::vector<SafetensorsEntry> entries = reader.take();
  for (SafetensorsEntry& entry : entries) check_size(entry, where);
  check_names(entries, where);
  std::sort(entries.begin(), entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              // An empty tensor sorts before the one that starts where it lies.
              return std::tie(a.begin, a.bytes, a.name) < std::tie(b.begin, b.bytes, b.name);
            });
  check_cover(entries, data_bytes, where);
  return entries;
}

}  // namespace airlock
