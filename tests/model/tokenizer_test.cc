#include "airlock/model/tokenizer.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "airlock/core/error.h"

#include "tests/model/tokenizer_goldens.h"
#include "tests/support/temp_dir.h"

namespace airlock::tokenizer_test {
namespace {
namespace fs = std::filesystem;

/// A folder to put a tokenizer's files in.
class Folder : public testing::TempDir {
 public:
  void write(const std::string& name, const std::string& content) const {
    testing::write_file(path() / name, content);
  }
  void copy(const std::string& from) const {
    fs::copy_file(goldens::folder() / from, path() / fs::path(from).filename());
  }
};

ErrorCode code_of(const fs::path& path, std::string* message = nullptr) {
  try {
    (void)Tokenizer::load(path);
  } catch (const Error& error) {
    if (message != nullptr) *message = error.what();
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::kInternal;
}

TEST(Tokenizer, PrefersTokenizerJson) {
  const Folder folder;
  folder.copy("llama2/tokenizer.model");
  EXPECT_EQ(Tokenizer::load(folder.path())->vocab_size(), 700);
  folder.copy("llama3/tokenizer.json");
  EXPECT_EQ(Tokenizer::load(folder.path())->vocab_size(), 1511);
}

TEST(Tokenizer, TheConfigurationNamesBosAndEos) {
  const Folder folder;
  folder.copy("llama3/tokenizer.json");
  folder.write("tokenizer_config.json",
               R"({"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|eot_id|>"}})");
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->bos(), tokenizer->find_token("<|begin_of_text|>"));
  EXPECT_EQ(tokenizer->eos(), tokenizer->find_token("<|eot_id|>"));
  folder.write("tokenizer_config.json", R"({"eos_token": "<gone>"})");
  std::string message;
  EXPECT_EQ(code_of(folder.path(), &message), ErrorCode::kCorruptFile);
  EXPECT_NE(message.find("has no token `<gone>`"), std::string::npos) << message;
}

TEST(Tokenizer, SaysWhatIsMissing) {
  const Folder folder;
  std::string message;
  EXPECT_EQ(code_of(folder.path(), &message), ErrorCode::kNotFound);
  EXPECT_NE(message.find("neither tokenizer.json nor tokenizer.model"), std::string::npos);
  EXPECT_EQ(code_of(folder.path() / "nowhere"), ErrorCode::kNotFound);
}

TEST(Tokenizer, RefusesAFolderOrAnEmptyFileInPlaceOfTheFile) {
  const Folder folder;
  fs::create_directory(folder.path() / "tokenizer.json");
  EXPECT_EQ(code_of(folder.path()), ErrorCode::kIo);
  fs::remove(folder.path() / "tokenizer.json");
  folder.write("tokenizer.json", "");
  EXPECT_EQ(code_of(folder.path()), ErrorCode::kCorruptFile);
  fs::remove(folder.path() / "tokenizer.json");
  folder.write("tokenizer.model", "");
  EXPECT_EQ(code_of(folder.path()), ErrorCode::kCorruptFile);
}

}  // namespace
}  // namespace airlock::tokenizer_test
