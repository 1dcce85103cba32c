// Errors that tests expect.
#pragma once

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "airlock/core/error.h"

namespace airlock {

/// What `action` threw; code kInternal and an empty message mean it did not throw.
struct Caught {
  bool thrown = false;
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

template <typename Action>
Caught catch_error(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return {true, error.code(), error.what()};
  }
  return {};
}

/// Expects `action` to throw Error(`code`) with a message that contains `part`.
template <typename Action>
void expect_error(ErrorCode code, const std::string& part, Action&& action) {
  const Caught caught = catch_error(action);
  EXPECT_TRUE(caught.thrown) << "no error; expected " << error_code_name(code);
  EXPECT_EQ(error_code_name(caught.code), error_code_name(code)) << caught.message;
  EXPECT_THAT(caught.message, ::testing::HasSubstr(part));
}

}  // namespace airlock
