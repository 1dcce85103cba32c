#include "airlock/core/error.h"

#include <array>
#include <cerrno>

#include <gtest/gtest.h>
#include <unistd.h>

namespace airlock::error_test {
namespace {

TEST(Error, CarriesItsCodeAndMessage) {
  try {
    fail(ErrorCode::kTimeout, "no answer for {} s", 3);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kTimeout);
    EXPECT_STREQ(error.what(), "no answer for 3 s");
  }
}

TEST(Error, EveryCodeHasAName) {
  for (unsigned i = 0; is_error_code(i); ++i) {
    EXPECT_NE(error_code_name(static_cast<ErrorCode>(i)), "unknown");
  }
  EXPECT_EQ(error_code_name(static_cast<ErrorCode>(200)), "unknown");
}

TEST(Suggest, NamesTheNearestCandidateOrNone) {
  constexpr std::array<std::string_view, 3> kPlans = {"baseline", "flash", "fused"};
  EXPECT_EQ(suggest("flsh", kPlans), " (did you mean `flash`?)");
  EXPECT_EQ(suggest("zzzzzz", kPlans), "");
}

TEST(RequireSystem, SaysWhyTheCallItWasGivenFailed) {
  errno = ENOTTY;  // of a call before
  try {
    require_system(::close(-1) == 0, ErrorCode::kIo, "cannot close {}", "that");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "cannot close that: Bad file descriptor");
  }
}

}  // namespace
}  // namespace airlock::error_test
