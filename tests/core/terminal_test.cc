#include "airlock/core/terminal.h"

#include <csignal>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "airlock/core/log.h"

namespace airlock::terminal_test {
namespace {

TEST(ShownText, KeepsWhatATerminalOnlyDraws) {
  for (const std::string text :
       {"", "plain\n\ttext", "é ü 漢字 \U0001F600", "\u00a0\u200b\u2029"}) {
    EXPECT_EQ(shown_text(text), text);
  }
}

TEST(ShownText, EscapesWhatATerminalObeys) {
  const struct {
    std::string text;
    std::string shown;
  } cases[] = {
      {"\x1b]0;title\x07", "\\x1b]0;title\\x07"},
      {"a,b\r\nc\r\r\n", "a,b\nc\\x0d\n"},
      {"\x1b[2J\r\b", "\\x1b[2J\\x0d\\x08"},
      {std::string(1, '\0'), "\\x00"},
      {"\x7f", "\\x7f"},
      {"\u0080\u009b2J\u009f", "\\x80\\x9b2J\\x9f"},
      {"a\u202eb\u202a\u2066\u2069", "a\\u202eb\\u202a\\u2066\\u2069"},
  };
  for (const auto& at : cases) EXPECT_EQ(shown_text(at.text), at.shown);
}

TEST(ShownText, EscapesBytesThatAreNoUtf8) {
  const struct {
    std::string text;
    std::string shown;
  } cases[] = {
      {"\x9b", "\\x9b"},                             // C1 of an 8-bit terminal
      {"\xc2", "\\xc2"},                             // cut off
      {"\xe2\x80", "\\xe2\\x80"},                    //
      {"\xc0\x9b", "\\xc0\\x9b"},                    // not the shortest form
      {"\xe0\x82\x9b", "\\xe0\\x82\\x9b"},           //
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},           // a surrogate
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // past U+10FFFF
      {"\xff\x61", "\\xffa"},
  };
  for (const auto& at : cases) EXPECT_EQ(shown_text(at.text), at.shown);
}

TEST(ShownLine, IsOneLine) {
  EXPECT_EQ(shown_line("a\nb\tc\x1b"), "a\\nb\\tc\\x1b");
}

// Standard error is changed in a process of each case's own.
class DiagnosticsDeathTest : public ::testing::Test {
 protected:
  DiagnosticsDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  static void say_and_leave() {
    set_log_level(LogLevel::kInfo);
    say("{} {}\n", "text", 1);
    say_over("{}", std::string(100000, 'x'));
    log_warning("{}", "a warning");
    ::_exit(7);
  }
};

TEST_F(DiagnosticsDeathTest, AreWrittenAsShown) {
  set_log_level(LogLevel::kInfo);
  EXPECT_EXIT(
      {
        set_log_level(LogLevel::kInfo);
        say("<{}>", "\x1b[2J");
        log_info("[{}]", "\x1b]0;");
        ::_exit(7);
      },
      ::testing::ExitedWithCode(7), "<.x1b.2J>airlock: ..x1b.0;.");
  set_log_level(LogLevel::kError);
}

TEST_F(DiagnosticsDeathTest, GoNowhereWhereStderrIsClosed) {
  EXPECT_EXIT(
      {
        ::close(STDERR_FILENO);
        say_and_leave();
      },
      ::testing::ExitedWithCode(7), "");
}

TEST_F(DiagnosticsDeathTest, GoNowhereWhereStderrIsFull) {
  EXPECT_EXIT(
      {
        ::dup2(::open("/dev/full", O_WRONLY), STDERR_FILENO);
        say_and_leave();
      },
      ::testing::ExitedWithCode(7), "");
}

TEST_F(DiagnosticsDeathTest, GoNowhereWhereThePipeIsBroken) {
  EXPECT_EXIT(
      {
        std::signal(SIGPIPE, SIG_IGN);
        int ends[2];
        if (::pipe(ends) != 0) ::_exit(1);
        ::dup2(ends[1], STDERR_FILENO);
        ::close(ends[0]);
        say_and_leave();
      },
      ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace airlock::terminal_test
