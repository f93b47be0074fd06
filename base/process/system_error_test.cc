#include "base/process/system_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quire {
namespace {

TEST(SystemError, SaysWhatToDo) {
  for (const auto& [error, advice] : {std::pair(ENFILE, "the limit on open files"),
                                      {EAGAIN, "the limit on processes"},
                                      {ENOMEM, "free memory"},
                                      {EPERM, "what this user and its cgroup may do"}}) {
    const std::string said(SystemError("can't fork", error).message());
    EXPECT_THAT(said, testing::StartsWith(absl::StrCat("can't fork: ", std::strerror(error), ": ")));
    EXPECT_THAT(said, testing::HasSubstr(advice));
  }
}

}  // namespace
}  // namespace quire
