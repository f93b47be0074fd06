#include "base/core/strict_json.h"

#include <gmock/gmock.h>

#include <string>

#include "base/core/json_file.h"
#include "base/core/status.h"

namespace quire {
namespace {

using ::testing::HasSubstr;
using namespace std::string_literals;

// The parser underneath takes a NUL for the end of the text.
TEST(StrictJson, NothingHidesBehindANul) {
  EXPECT_TRUE(ParseStrictJson(R"({"a": 1})").ok());
  EXPECT_TRUE(ParseStrictJson(R"({"a": "\u0000"})").ok()) << "an escaped one is a character";
  for (const std::string& text : {"{}\0"s, "{}\0junk"s, "{} \0{}"s, "\0{}"s, "{\0}"s, "[1,\0]"s, "\"\0\""s}) {
    EXPECT_FALSE(ParseStrictJson(text).ok()) << testing::PrintToString(text);
    EXPECT_FALSE(ParseJsonFile(text, "f.json").ok()) << testing::PrintToString(text);
  }
  EXPECT_THAT(MessageOf(ParseStrictJson("{}\0junk"s).status()), HasSubstr("at byte 3"));
}

TEST(StrictJson, NothingFollowsTheValue) {
  EXPECT_TRUE(ParseStrictJson("{} \r\n\t").ok());
  for (const char* text : {"{}x", "{} {}", "{},", "", " "}) EXPECT_FALSE(ParseStrictJson(text).ok()) << text;
}

TEST(StrictJson, KeysKeepTheirOrderAndComeOnce) {
  const auto parsed = ParseStrictJson(R"({"b": 1, "a": {"z": 1, "y": [], "x": {}}, "c": 2})");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->dump(), R"({"b":1,"a":{"z":1,"y":[],"x":{}},"c":2})");
  EXPECT_THAT(MessageOf(ParseStrictJson(R"({"a": {"k": 1, "k": 2}})").status()),
              HasSubstr("\"k\" is given twice"));
  EXPECT_TRUE(ParseStrictJson(R"({"a": {"a": 1}, "b": {"a": 2}})").ok()) << "in two objects it may stand";
  const auto last = ParseStrictJson(R"({"a": {"k": 1, "k": 2}, "b": 1, "a": [{"c": 1}, {"c": 2}], "d": 3})",
                                    RepeatedKey::kLastCounts);
  EXPECT_EQ(last.value().dump(), R"({"a":[{"c":1},{"c":2}],"b":1,"d":3})");
}

}  // namespace
}  // namespace quire
