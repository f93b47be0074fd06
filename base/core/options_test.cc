#include "base/core/options.h"

#include <gmock/gmock.h>

#include "base/core/status.h"

namespace quire {
namespace {

using ::testing::HasSubstr;

struct Config {
  std::string model = "demo";
  int64_t ranks = 2;
  bool insecure = false;
  std::string level = "info";
  std::vector<std::string> tags;
};

absl::Status ParseInto(Config& config, std::vector<const char*> args) {
  Options options("prog", "A program.");
  options.Add("model", &config.model, "DIR", "what to serve");
  options.Add("ranks", &config.ranks, "ranks", "processes of a group", {1, 64});
  options.Add("insecure", &config.insecure, "allow plaintext");
  options.Add("level", &config.level, "info|warn", "the least that is logged");
  options.AddList("tags", &config.tags, "TAG", "what it is known by");
  args.insert(args.begin(), "prog");
  return options.Parse(static_cast<int>(args.size()), args.data());
}

TEST(Options, TakesBothForms) {
  Config config;
  ASSERT_TRUE(ParseInto(config, {"--model=a", "--ranks", "3", "--insecure"}).ok());
  EXPECT_EQ(config.model, "a");
  EXPECT_EQ(config.ranks, 3);
  EXPECT_TRUE(config.insecure);
  ASSERT_TRUE(ParseInto(config, {"--no-insecure"}).ok());
  EXPECT_FALSE(config.insecure);
}

TEST(Options, SaysWhichAndWhy) {
  Config config;
  EXPECT_THAT(MessageOf(ParseInto(config, {"--rank", "3"})), HasSubstr("did you mean --ranks?"));
  EXPECT_THAT(MessageOf(ParseInto(config, {"--ranks", "65"})), HasSubstr("65 is outside 1..64"));
  EXPECT_THAT(MessageOf(ParseInto(config, {"--ranks", "x"})), HasSubstr("'x' is not a whole number"));
  EXPECT_THAT(MessageOf(ParseInto(config, {"--ranks"})), HasSubstr("needs a value"));
  EXPECT_THAT(MessageOf(ParseInto(config, {"stray"})), HasSubstr("is not a flag"));
  for (const char* level : {"bogus", "inf", "info|warn", "WARN"}) {
    EXPECT_THAT(MessageOf(ParseInto(config, {"--level", level})), HasSubstr("' is none of info, warn"));
  }
  EXPECT_EQ(config.level, "info");
  EXPECT_TRUE(ParseInto(config, {"--level", "warn"}).ok());
  EXPECT_EQ(config.level, "warn");
}

// As an unset variable of a script gives them; "--host=" would be every address of the machine.
TEST(Options, AnEmptyWordIsNoValue) {
  Config config;
  EXPECT_THAT(MessageOf(ParseInto(config, {"--model="})), HasSubstr("--model is empty"));
  EXPECT_THAT(MessageOf(ParseInto(config, {"--model", ""})), HasSubstr("--model is empty"));
  EXPECT_THAT(MessageOf(ParseInto(config, {"--level", ""})), HasSubstr("--level is empty"));
  EXPECT_THAT(MessageOf(ParseInto(config, {"--tags="})), HasSubstr("--tags is empty"));
  EXPECT_EQ(config.model, "demo");
  EXPECT_TRUE(config.tags.empty());
  EXPECT_THAT(MessageOf(ParseInto(config, {"--help="})), HasSubstr("--help takes no value"));
}

}  // namespace
}  // namespace quire
