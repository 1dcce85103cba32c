#include "airlock/model/checkpoint_text.h"

#include <nlohmann/json.hpp>

#include "airlock/core/error.h"
#include "airlock/model/input_file.h"

namespace airlock {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxIndexDepth = 32;

/// Collects {"weight_map": {name: file}}; what else the index holds is skipped.
class WeightMapReader : public nlohmann::json_sax<Json> {
 public:
  explicit WeightMapReader(std::string_view where) : where_(where) {}

  std::map<std::string, std::string, std::less<>> take() {
    require(seen_, ErrorCode::kCorruptFile, "{}: has no weight_map", where_);
    return std::move(map_);
  }

  bool null() override { return scalar(); }
  bool boolean(bool /*value*/) override { return scalar(); }
  bool number_integer(number_integer_t /*value*/) override { return scalar(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return scalar(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override {
    return scalar();
  }
  bool binary(binary_t& /*value*/) override { return scalar(); }
  bool string(string_t& value) override {
    if (!inside_) return scalar();
    check_file_name(value);
    require(map_.emplace(key_, value).second, ErrorCode::kCorruptFile,
            "{}: weight_map names tensor {} twice", where_, excerpt(key_));
    return true;
  }
  bool key(string_t& value) override {
    key_ = value;
    return true;
  }
  bool start_object(std::size_t /*size*/) override {
    if (depth_ == 1 && key_ == "weight_map") {
      require(!seen_, ErrorCode::kCorruptFile, "{}: has two weight_maps", where_);
      inside_ = seen_ = true;
    } else if (inside_ || (depth_ == 0 && started_)) {
      return scalar();
    }
    started_ = true;
    return enter();
  }
  bool end_object() override {
    --depth_;
    if (depth_ == 1) inside_ = false;
    return true;
  }
  bool start_array(std::size_t /*size*/) override {
    require(!inside_, ErrorCode::kCorruptFile, "{}: weight_map gives {} no file name", where_,
            excerpt(key_));
    require(depth_ > 0, ErrorCode::kCorruptFile, "{}: is not a JSON object", where_);
    return enter();
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const Json::exception& error) override {
    fail(ErrorCode::kCorruptFile, "{}: is not valid JSON: {}", where_, error.what());
  }

 private:
  bool enter() {
    require(++depth_ <= kMaxIndexDepth, ErrorCode::kCorruptFile, "{}: nested deeper than {} levels",
            where_, kMaxIndexDepth);
    return true;
  }
  bool scalar() {
    require(!inside_, ErrorCode::kCorruptFile, "{}: weight_map gives {} no file name", where_,
            excerpt(key_));
    require(depth_ > 0, ErrorCode::kCorruptFile, "{}: is not a JSON object", where_);
    require(depth_ != 1 || key_ != "weight_map", ErrorCode::kCorruptFile,
            "{}: weight_map is not an object", where_);
    return true;
  }
  void check_file_name(const std::string& file) const {
    const bool plain = file.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    require(plain && file.ends_with(".safetensors"), ErrorCode::kCorruptFile,
            "{}: weight_map names the file \"{}\" for tensor {}, expected a .safetensors file of "
            "the same folder",
            where_, excerpt(file), excerpt(key_));
  }

  std::string_view where_;
  std::string key_;
  std::map<std::string, std::string, std::less<>> map_;
  std::size_t depth_ = 0;
  bool started_ = false;
  bool inside_ = false;
  bool seen_ = false;
};

}  // namespace

std::string read_text_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  return InputFile(path).read_text(max_bytes);
}

std::optional<std::string> read_text_file_if_listed(const std::filesystem::path& path,
                                                    std::uint64_t max_bytes) {
  if (!is_listed(path)) return std::nullopt;
  return read_text_file(path, max_bytes);
}

std::map<std::string, std::string, std::less<>> parse_weight_map(std::string_view json,
                                                                 std::string_view where) {
  WeightMapReader reader(where);
  Json::sax_parse(json.begin(), json.end(), &reader);
  return reader.take();
}

std::string excerpt(std::string_view text) {
  constexpr std::size_t kLimit = 120;
  std::string result(text.substr(0, kLimit));
  for (char& c : result) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  if (text.size() > kLimit) result += "...";
  return result;
}

}  // namespace airlock
