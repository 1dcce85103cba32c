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

/// Each file that is read of a tokenizer, with what it takes for it to be read.
struct Case {
  const char* file;
  const char* beside;
};
constexpr Case kFiles[] = {
    {"tokenizer.json", "llama2/tokenizer.model"},
    {"tokenizer.model", nullptr},
    {"tokenizer.model", "unigram/tokenizer.json"},
    {"tokenizer_config.json", "llama3/tokenizer.json"},
    {"special_tokens_map.json", "llama2/tokenizer.model"},
    {"added_tokens.json", "llama2/tokenizer.model"},
};

TEST(Tokenizer, SaysWhichFileIsALinkToNothingOrToItself) {
  for (const Case& c : kFiles) {
    SCOPED_TRACE(c.file);
    const Folder folder;
    if (c.beside != nullptr) folder.copy(c.beside);
    const fs::path path = folder.path() / c.file;
    fs::create_symlink("../../blobs/abc", path);
    std::string message;
    EXPECT_EQ(code_of(folder.path(), &message), ErrorCode::kNotFound);
    EXPECT_EQ(message.find(path.string() + ": is a link to ../../blobs/abc, which is not there"),
              0U)
        << message;
    fs::remove(path);
    fs::create_symlink(c.file, path);
    EXPECT_EQ(code_of(folder.path(), &message), ErrorCode::kIo);
    EXPECT_EQ(message, path.string() + ": Too many levels of symbolic links");
  }
}

TEST(Tokenizer, SaysWhichFileIsAGitLfsPointer) {
  for (const Case& c : kFiles) {
    SCOPED_TRACE(c.file);
    const Folder folder;
    if (c.beside != nullptr) folder.copy(c.beside);
    folder.write(c.file, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n");
    std::string message;
    EXPECT_EQ(code_of(folder.path(), &message), ErrorCode::kCorruptFile);
    EXPECT_EQ(message.find((folder.path() / c.file).string() + ": is a Git LFS pointer"), 0U)
        << message;
  }
}

TEST(Tokenizer, SaysHowLargeAFileIsThatIsTooLarge) {
  const Folder folder;
  folder.write("tokenizer.json", "{}");
  fs::resize_file(folder.path() / "tokenizer.json", std::uintmax_t{1} << 40U);  // a hole
  std::string message;
  EXPECT_EQ(code_of(folder.path(), &message), ErrorCode::kCorruptFile);
  EXPECT_EQ(message, (folder.path() / "tokenizer.json").string() +
                         ": has at least 1099511627776 bytes, expected at most 536870912");
}

TEST(Tokenizer, SaysThatAFileIsNoSentencePieceModelWithoutTheLibrarysSource) {
  const Folder folder;
  folder.write("tokenizer.model", "no model");
  std::string message;
  EXPECT_EQ(code_of(folder.path(), &message), ErrorCode::kCorruptFile);
  EXPECT_EQ(message,
            (folder.path() / "tokenizer.model").string() + ": is not a SentencePiece model");
}

TEST(Tokenizer, RefusesAFolderOrAnEmptyFileInPlaceOfTheFile) {
  const Folder folder;
  fs::create_directory(folder.path() / "tokenizer.json");
  EXPECT_EQ(code_of(folder.path()), ErrorCode::kCorruptFile);
  fs::remove(folder.path() / "tokenizer.json");
  folder.write("tokenizer.json", "");
  EXPECT_EQ(code_of(folder.path()), ErrorCode::kCorruptFile);
  fs::remove(folder.path() / "tokenizer.json");
  folder.write("tokenizer.model", "");
  EXPECT_EQ(code_of(folder.path()), ErrorCode::kCorruptFile);
}

}  // namespace
}  // namespace airlock::tokenizer_test
