#include "airlock/model/safetensors.h"

#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/model/support.h"

namespace airlock::safetensors_test {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::safetensors;
using testing::TempDir;
using testing::write_file;

/// A file of one test, opened.
SafetensorsFile open_bytes(const TempDir& dir, std::string_view bytes) {
  write_file(dir / "m.safetensors", bytes);
  return SafetensorsFile::open(dir / "m.safetensors");
}

constexpr std::string_view kTwo = R"({"__metadata__":{"format":"pt"},)"
                                  R"("b":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]},)"
                                  R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   )";

TEST(SafetensorsFile, ReadsTensorsAndPartsOfThem) {
  const TempDir dir;
  std::string data(20, '\0');
  const float values[2] = {1.5F, -2.0F};
  std::memcpy(data.data(), values, sizeof(values));
  for (std::size_t i = 8; i < 20; ++i) data[i] = static_cast<char>(i);
  std::string header(kTwo);
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const SafetensorsFile file = open_bytes(dir, safetensors(header, data));
  ASSERT_EQ(file.entries().size(), 2U);
  EXPECT_EQ(file.entries()[0].name, "a");
  const LoadedTensor a = file.load("a");
  EXPECT_EQ(a.view().spec, (TensorSpec{DType::kF32, {2}}));
  EXPECT_EQ(a.view().as<float>()[1], -2.0F);
  const LoadedTensor b = file.load("b");
  EXPECT_EQ(b.view().spec, (TensorSpec{DType::kBF16, {2, 3}}));
  EXPECT_EQ(std::memcmp(b.view().data, data.data() + 8, 12), 0);
  std::array<std::byte, 5> part{};
  file.will_need(*file.find("b"), 4, part.size());
  file.read(*file.find("b"), 4, part);
  EXPECT_EQ(std::memcmp(part.data(), data.data() + 12, part.size()), 0);
  EXPECT_EQ(error_of([&] { file.read(*file.find("b"), 8, part); }).first, ErrorCode::kInternal);
  EXPECT_EQ(file.bytes(), 8 + header.size() + 20);
}

TEST(SafetensorsFile, AlignsTensorsThatTheFileDidNot) {
  const TempDir dir;
  for (std::size_t shift = 0; shift < 8; ++shift) {
    std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
    header.resize((header.size() + 7) / 8 * 8 + shift, ' ');
    const float values[2] = {0.25F, 3.0F};
    std::string data(8, '\0');
    std::memcpy(data.data(), values, 8);
    const SafetensorsFile file = open_bytes(dir, safetensors(header, data));
    const LoadedTensor a = file.load("a");
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.view().data) % BufferPool::kAlignment, 0U)
        << shift;
    EXPECT_EQ(a.view().as<float>()[0], 0.25F) << shift;
    EXPECT_EQ(a.view().as<float>()[1], 3.0F) << shift;
  }
}

TEST(SafetensorsFile, SaysSoIfTheFileChangesWhileItIsOpen) {
  constexpr std::string_view kHeader =
      R"({"a":{"dtype":"U8","shape":[1048576],"data_offsets":[0,1048576]}}   )";
  const std::string whole = safetensors(kHeader, std::string(1 << 20, 'x'));
  std::vector<std::byte> out(1 << 20);
  struct Change {
    const char* what;
    std::function<void(const std::filesystem::path&)> make;
    const char* says;
  };
  const auto resize = [](std::uintmax_t size) {
    return [=](const std::filesystem::path& path) { std::filesystem::resize_file(path, size); };
  };
  for (const Change& change :
       {Change{"cut inside the tensor", resize(whole.size() / 2), "bytes, but had"},
        Change{"cut to nothing", resize(0), "has 0 bytes, but had"},
        Change{"longer", resize(whole.size() + 1), "bytes, but had"},
        Change{"written to",
               [&](const std::filesystem::path& path) {
                 write_file(path, safetensors(kHeader, std::string(1 << 20, 'y')));
                 // The clock of files is coarse: a write right after the open may bear its time.
                 const auto time = std::filesystem::last_write_time(path);
                 std::filesystem::last_write_time(path, time + std::chrono::seconds(1));
               },
               "was written to since it was opened"}}) {
    SCOPED_TRACE(change.what);
    const TempDir dir;
    const SafetensorsFile file = open_bytes(dir, whole);
    const SafetensorsEntry& entry = file.entries()[0];
    file.read(entry, 0, out);
    change.make(dir / "m.safetensors");
    for (const std::uint64_t offset : {std::uint64_t{0}, entry.bytes - 1}) {
      const auto [code, message] =
          error_of([&] { file.read(entry, offset, std::span(out).first(1)); });
      EXPECT_EQ(code, ErrorCode::kIo);
      EXPECT_THAT(message, HasSubstr("m.safetensors: "));
      EXPECT_THAT(message, HasSubstr(change.says));
    }
  }
}

TEST(SafetensorsFile, GoesOnWithTheOldFileIfAnotherTakesItsName) {
  const TempDir dir;
  const SafetensorsFile file = open_bytes(
      dir, safetensors(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "same"));
  write_file(dir / "other", "something else");
  std::filesystem::rename(dir / "other", dir / "m.safetensors");
  std::array<std::byte, 4> out{};
  file.read(file.entries()[0], 0, out);
  EXPECT_EQ(std::memcmp(out.data(), "same", 4), 0);
}

TEST(SafetensorsFile, AcceptsTensorsItDoesNotReadUntilTheyAreAskedFor) {
  const TempDir dir;
  const SafetensorsFile file = open_bytes(
      dir, safetensors(R"({"f8":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]},)"
                       R"("f4":{"dtype":"F4","shape":[2],"data_offsets":[3,4]},)"
                       R"("five":{"dtype":"F32","shape":[1,1,1,1,1],"data_offsets":[4,8]},)"
                       R"("empty":{"dtype":"F32","shape":[7,0],"data_offsets":[8,8]},)"
                       R"("scalar":{"dtype":"I64","shape":[],"data_offsets":[8,16]}})",
                       std::string(16, '\0')));
  EXPECT_EQ(error_of([&] { (void)file.load("f8"); }).first, ErrorCode::kUnsupported);
  EXPECT_THAT(error_of([&] { (void)file.load("f4"); }).second, HasSubstr("stored in F4"));
  EXPECT_THAT(error_of([&] { (void)file.load("five"); }).second, HasSubstr("5 dimensions"));
  EXPECT_EQ(error_of([&] { (void)file.load("nobody"); }).first, ErrorCode::kNotFound);
  EXPECT_EQ(file.load("empty").view().bytes(), 0);
  EXPECT_EQ(file.load("scalar").view().spec.shape.rank(), 0);
  EXPECT_EQ(*file.load("scalar").view().as<std::int64_t>(), 0);
}

struct Hostile {
  const char* what;
  std::string bytes;
  const char* says;
};

std::string one_tensor(std::string_view fields, std::size_t data_bytes = 8) {
  return safetensors("{\"t\":{" + std::string(fields) + "}}", std::string(data_bytes, '\0'));
}

std::vector<Hostile> hostile_files() {
  const std::string good = R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  const std::string data(8, '\0');
  const std::string deep(1 << 20, '[');
  std::string cut = safetensors(good, data);
  cut.resize(cut.size() - 1);
  std::string names = "{";
  for (const char* range : {"[0,4]", "[4,8]"}) {
    names += std::string(names.size() > 1 ? "," : "") +
             R"("t":{"dtype":"F32","shape":[1],"data_offsets":)" + range + "}";
  }
  names += "}";
  std::string dims = "1";
  for (int i = 0; i < 100; ++i) dims += ",1";
  return {
      {"empty file", "", "has 0 bytes"},
      {"seven bytes", "1234567", "has 7 bytes"},
      {"header of 2^60", safetensors(good, data, std::uint64_t{1} << 60), "header of 1152921504"},
      {"header of 2^64-1", safetensors(good, data, ~std::uint64_t{0}), "header of 18446744073709"},
      {"header past the file", safetensors(good, data, good.size() + 9), "only 62 follow"},
      {"header of 0", safetensors("", ""), "does not begin with '{'"},
      {"another format", safetensors("PK\x03\x04", data), "does not begin with '{'"},
      {"cut header", safetensors(good.substr(0, 30), ""), "is not valid JSON"},
      {"not UTF-8", safetensors("{\"\xc3\x28\":{}}", ""), "is not valid JSON"},
      {"control character", safetensors("{\"\x1b[2J\":{}}", ""), "is not valid JSON"},
      {"two values", safetensors("{}{}", ""), "is not valid JSON"},
      {"deep arrays", one_tensor("\"shape\":" + deep), "has an array in t.shape"},
      {"deep objects", safetensors(R"({"a":{"b":{"c":{}}}})", ""), "field b"},
      {"an array as tensor", safetensors(R"({"t":[]})", ""), "has an array in t"},
      {"a number as tensor", safetensors(R"({"t":7})", ""), "has a number in t"},
      {"metadata of numbers", safetensors(R"({"__metadata__":{"a":1}})", ""), "in __metadata__"},
      {"metadata nested", safetensors(R"({"__metadata__":{"a":{}}})", ""), "in __metadata__"},
      {"no dtype", one_tensor(R"("shape":[2],"data_offsets":[0,8])"), "tensor t has no dtype"},
      {"no shape", one_tensor(R"("dtype":"F32","data_offsets":[0,8])"), "tensor t has no shape"},
      {"no offsets", one_tensor(R"("dtype":"F32","shape":[2])"), "tensor t has no data_offsets"},
      {"unknown field", one_tensor(R"("dtype":"F32","x":1)"), "has a field x"},
      {"field twice", one_tensor(R"("dtype":"F32","dtype":"F16")"), "two fields dtype"},
      {"unknown dtype", one_tensor(R"("dtype":"F31","shape":[2],"data_offsets":[0,8])"),
       "unknown dtype F31"},
      {"dtype is a number", one_tensor(R"("dtype":4,"shape":[2],"data_offsets":[0,8])"),
       "has a number in t.dtype"},
      {"negative dimension", one_tensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"),
       "has a negative number in t.shape"},
      {"fractional dimension", one_tensor(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"),
       "not a 64-bit whole number in t.shape"},
      {"dimension past 2^64",
       one_tensor(R"("dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8])"),
       "not a 64-bit whole number in t.shape"},
      {"dimension past 2^62",
       one_tensor(R"("dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8])"),
       "has a dimension of"},
      {"a hundred dimensions",
       one_tensor("\"dtype\":\"F32\",\"shape\":[" + dims + "],\"data_offsets\":[0,4]", 4),
       "more than 64 numbers in t.shape"},
      {"product wraps to the right size",
       one_tensor(
           R"("dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,0])", 0),
       "which is not the 0 bytes"},
      {"product wraps in bits",
       one_tensor(R"("dtype":"F32","shape":[576460752303423490],"data_offsets":[0,8])"),
       "which is not the 8 bytes"},
      {"shape too large", one_tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"),
       "tensor t is F32 [3], which is not the 8 bytes"},
      {"shape too small", one_tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,8])"),
       "tensor t is F32 [1], which is not the 8 bytes"},
      {"half a byte", one_tensor(R"("dtype":"F4","shape":[3],"data_offsets":[0,1])", 1),
       "which is not the 1 bytes"},
      {"one offset", one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8])"),
       "are not [begin, end]"},
      {"three offsets", one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4,8])"),
       "are not [begin, end]"},
      {"end before begin", one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"),
       "are not [begin, end]"},
      {"range past the end", one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[4,12])"),
       "ends at byte 12 of the data, which has 8"},
      {"begin near 2^64",
       one_tensor(
           R"("dtype":"U8","shape":[1],"data_offsets":[18446744073709551614,18446744073709551615])"),
       "ends at byte 18446744073709551615 of the data, which has 8"},
      {"truncated data", cut, "ends at byte 8 of the data, which has 7"},
      {"bytes after the data", safetensors(good, data + "x"), "has 9 bytes, its tensors only 8"},
      {"hole before", one_tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"),
       "bytes 0 to 4 of the data, before tensor t"},
      {"overlap",
       safetensors(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                   R"("u":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                   data),
       "tensor u begins at byte 4 of the data and overlaps tensor t, which ends at 8"},
      {"the same range twice",
       safetensors(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                   R"("u":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                   data),
       "overlaps tensor t"},
      {"hole between",
       safetensors(R"({"t":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                   R"("u":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                   data),
       "bytes 3 to 4 of the data, before tensor u"},
      {"a name twice", safetensors(names, data), "tensor t is described twice"},
  };
}

TEST(SafetensorsFile, RefusesHostileFilesAndNamesFileAndTensor) {
  const TempDir dir;
  for (const Hostile& hostile : hostile_files()) {
    SCOPED_TRACE(hostile.what);
    const auto [code, message] = error_of([&] { (void)open_bytes(dir, hostile.bytes); });
    EXPECT_EQ(code, ErrorCode::kCorruptFile) << message;
    EXPECT_THAT(message, HasSubstr(hostile.says));
    EXPECT_THAT(message, HasSubstr("m.safetensors: "));
  }
}

TEST(SafetensorsFile, ShowsHostileNamesAsPlainShortText) {
  const TempDir dir;
  const std::string name = "\\u001b[2J" + std::string(5000, 'n');
  const auto [code, message] = error_of([&] {
    (void)open_bytes(dir, safetensors("{\"" + name +
                                          R"(":{"dtype":"F31","shape":[],)"
                                          R"("data_offsets":[0,0]}})",
                                      ""));
  });
  EXPECT_EQ(code, ErrorCode::kCorruptFile);
  EXPECT_LT(message.size(), 500U);
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
}

TEST(SafetensorsFile, RefusesEveryTruncationOfAValidFile) {
  const TempDir dir;
  const std::string whole = safetensors(kTwo, std::string(20, '\0'));
  ASSERT_NO_THROW((void)open_bytes(dir, whole));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto [code, message] =
        error_of([&] { (void)open_bytes(dir, std::string_view(whole).substr(0, size)); });
    EXPECT_EQ(code, ErrorCode::kCorruptFile) << size;
  }
}

TEST(SafetensorsFile, NeverCrashesOnAFlippedByte) {
  const TempDir dir;
  const std::string whole = safetensors(kTwo, std::string(20, '\0'));
  const std::size_t header_end = whole.size() - 20;
  int refused = 0;
  for (std::size_t i = 0; i < header_end; ++i) {
    for (const int flip : {1, 128}) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ flip);
      try {
        const SafetensorsFile file = open_bytes(dir, changed);
        for (const SafetensorsEntry& entry : file.entries()) {
          EXPECT_LE(entry.begin + entry.bytes, 20U);
        }
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kCorruptFile) << error.what();
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, static_cast<int>(header_end));
}

TEST(SafetensorsFile, RefusesWhatIsNoRegularFileWithoutWaiting) {
  const TempDir dir;
  EXPECT_EQ(error_of([&] { (void)SafetensorsFile::open(dir / "absent"); }).first,
            ErrorCode::kNotFound);
  EXPECT_EQ(error_of([&] { (void)SafetensorsFile::open(dir.path()); }).first,
            ErrorCode::kCorruptFile);
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { (void)SafetensorsFile::open(dir / "fifo"); }).first,
            ErrorCode::kCorruptFile);
}

}  // namespace
}  // namespace airlock::safetensors_test
