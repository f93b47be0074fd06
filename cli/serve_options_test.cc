#include "cli/serve_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quire::cli {
namespace {

using testing::HasSubstr;

TEST(ServeOptions, RanksAreANumberOrLeftToTheMachine) {
  ServeOptions options;
  EXPECT_EQ(*options.Ranks(), 0);  // the default
  for (const auto& [text, ranks] : {std::pair("auto", 0), {"1", 1}, {"64", 64}}) {
    options.tensor_parallel = text;
    ASSERT_TRUE(options.Ranks().ok()) << text;
    EXPECT_EQ(*options.Ranks(), ranks);
  }
  for (const char* text : {"", "0", "-1", "65", "2.0", "two", "Auto", "auto,2", "99999999999999999999"}) {
    options.tensor_parallel = text;
    EXPECT_THAT(std::string(options.Ranks().status().message()), HasSubstr("--tensor-parallel: '")) << text;
  }
}

}  // namespace
}  // namespace quire::cli
