#include "base/core/model_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace quire {
namespace {

TEST(ModelName, IsWhatStandsInJsonAsItIs) {
  for (const char* name :
       {"m", "smollm2-135m-instruct", "org/model:tag", "\xc3\xa9t\xc3\xa9", "with blanks"}) {
    EXPECT_TRUE(CheckModelName(name).ok()) << name;
  }
  EXPECT_TRUE(CheckModelName(std::string(256, 'x')).ok());
  for (const std::string& name :
       {std::string(), std::string("n\xff\x64"), std::string("a\nb"), std::string("a\0b", 3),
        std::string("a\"b"), std::string("a\\b"), std::string("\xed\xa0\x80"), std::string(257, 'x')}) {
    const absl::Status refused = CheckModelName(name);
    EXPECT_TRUE(absl::IsInvalidArgument(refused)) << name;
    EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("--model-name"));
  }
}

}  // namespace
}  // namespace quire
