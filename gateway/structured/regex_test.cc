// Regular expressions: what is refused. What those that aren't take is seen in string_automaton_test.cc.
#include "gateway/structured/regex.h"

#include <gmock/gmock.h>

#include "base/core/status.h"

namespace quire::gateway {
namespace {

using ::testing::HasSubstr;

TEST(Regex, RefusesWhatNoGrammarCanSay) {
  const std::pair<const char*, const char*> refused[] = {{"(", "without its )"},
                                                         {")", "unmatched )"},
                                                         {"a**", "repetition of a repetition"},
                                                         {"*a", "repetition of nothing"},
                                                         {"[a", "without its ]"},
                                                         {"[]", "empty class"},
                                                         {"[z-a]", "wrong way round"},
                                                         {R"([\d-z])", "no characters"},
                                                         {"(?=a)", "look-around"},
                                                         {"(?<=a)", "look-around"},
                                                         {"(?i)a", "flags"},
                                                         {R"(\bA)", "\\b"},
                                                         {R"((a)\1)", "not supported"},
                                                         {R"(\p{L})", "not supported"},
                                                         {"a^b", "anchor within"},
                                                         {"a$b", "anchor within"},
                                                         {"(^a)", "anchor within"},
                                                         {"a{2", "without its }"},
                                                         {"a{3,2}", "wrong way round"},
                                                         {"a{257}", "more than 256"},
                                                         {"a{x}", "no repetition"},
                                                         {"\\", "at the end"},
                                                         {R"(\ud800)", "names no character"},
                                                         {R"(\u{110000})", "names no character"},
                                                         {R"([^\x00-\u{10FFFF}])", "no character is in"}};
  for (const auto& [pattern, why] : refused) {
    EXPECT_THAT(MessageOf(ParseRegex(pattern, RegexUse::kSearch).status()), HasSubstr(why)) << pattern;
  }
  EXPECT_FALSE(ParseRegex(std::string(60, '(') + std::string(60, ')'), RegexUse::kWhole).ok());
  EXPECT_FALSE(ParseRegex(std::string(kMaxRegexBytes + 1, 'a'), RegexUse::kWhole).ok());
}

TEST(CodePoints, AreSetsWithoutSurrogates) {
  const CodePoints some({{'c', 'e'}, {'a', 'a'}, {'d', 'g'}, {'b', 'b'}});
  EXPECT_EQ(some, CodePoints({{'a', 'g'}}));
  EXPECT_EQ(CodePoints({{0xD000, 0xE000}}), CodePoints({{0xD000, 0xD7FF}, {0xE000, 0xE000}}));
  EXPECT_EQ(CodePoints::All().Without(CodePoints({{1, kLastCodePoint}})), CodePoints({{0, 0}}));
  EXPECT_EQ(some.And(CodePoints({{'b', 'c'}, {'g', 'z'}})), CodePoints({{'b', 'c'}, {'g', 'g'}}));
  EXPECT_TRUE(some.Without(some).empty());
}

}  // namespace
}  // namespace quire::gateway
