// Regular expressions: what matches them as trees, what is refused, and lengths. What their grammars let come
// is seen in tests/conformance.
#include "gateway/structured/regex.h"

#include <gmock/gmock.h>

#include "base/core/status.h"

namespace quire::gateway {
namespace {

using ::testing::HasSubstr;

RegexNode MustParse(std::string_view pattern, RegexUse use = RegexUse::kSearch) {
  auto regex = ParseRegex(pattern, use);
  EXPECT_TRUE(regex.ok()) << pattern << ": " << regex.status();
  return regex.ok() ? *regex : RegexNode{};
}

bool IsIn(std::string_view pattern, std::string_view text, RegexUse use = RegexUse::kSearch) {
  return Matches(MustParse(pattern, use), CodePointsOf(text)).value_or(false);
}

TEST(Regex, SearchesOrIsTheWhole) {
  EXPECT_TRUE(IsIn("b", "abc"));
  EXPECT_FALSE(IsIn("b", "abc", RegexUse::kWhole));
  EXPECT_TRUE(IsIn("^a|c$", "axx"));
  EXPECT_TRUE(IsIn("^a|c$", "xxc"));
  EXPECT_FALSE(IsIn("^a|c$", "xax"));
  EXPECT_TRUE(IsIn("^(a|b)$", "b", RegexUse::kWhole)) << "anchors at the ends say nothing then";
}

TEST(Regex, ClassesHoldWhatAllDialectsTake) {
  EXPECT_TRUE(IsIn(R"(^\d$)", "7"));
  EXPECT_FALSE(IsIn(R"(^\d$)", "٣")) << "Python's, not ECMA-262's";
  EXPECT_FALSE(IsIn(R"(^\D$)", "٣")) << "ECMA-262's, not Python's";
  EXPECT_TRUE(IsIn(R"(^\D$)", "é"));
  EXPECT_TRUE(IsIn(R"(^[^\d\s]$)", "漢"));
  EXPECT_FALSE(IsIn(R"(^\W$)", "é"));
  EXPECT_FALSE(IsIn("^.$", "\xE2\x80\xA8"));
  EXPECT_TRUE(IsIn(R"(^[\b]$)", "\b"));
  EXPECT_TRUE(IsIn(R"(^[a\-z]+$)", "z-a"));
  EXPECT_TRUE(IsIn("^[a-]+$", "-a"));
  EXPECT_TRUE(IsIn(R"(^\u{1F600}\x41\u0042$)", "😀AB"));
}

TEST(Regex, RepetitionsOfEmptyTextsEnd) {
  EXPECT_TRUE(IsIn("^(a*)*$", "aaa"));
  EXPECT_TRUE(IsIn("^(a|){200}$", "aaa"));
  EXPECT_FALSE(IsIn("^((a?)+b?){3}$", "aabbbb"));
  EXPECT_TRUE(IsIn("^(ab){2,3}$", "ababab"));
  EXPECT_FALSE(IsIn("^(ab){2,3}$", "abababab"));
}

TEST(Regex, WhatTakesTooLongToTellIsSaid) {
  const std::string text(20'000, 'a');
  EXPECT_EQ(Matches(MustParse("^(((a*)*)*)*b$"), CodePointsOf(text)), std::nullopt);
}

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

TEST(Regex, KnowsItsLengths) {
  EXPECT_EQ(LengthOf(MustParse("^a{2,5}(bc|d)$")), (LengthRange{3, 7}));
  EXPECT_EQ(LengthOf(MustParse("^a+$")), (LengthRange{1, std::nullopt}));
  EXPECT_EQ(LengthOf(MustParse("^()*$")), (LengthRange{0, 0}));
  EXPECT_EQ(LengthOf(MustParse("a")), (LengthRange{1, std::nullopt}));
  EXPECT_GT(LengthOf(MustParse("^((((a{256}){256}){256}){256}){256}$")).min, 1'000'000u)
      << "without overflow";
}

TEST(Regex, KeepsLengthsWhereOneRepetitionCan) {
  RegexNode regex = MustParse("^id-[a-z]+$");
  ASSERT_TRUE(KeepLengths({5, 6}, regex));
  EXPECT_EQ(LengthOf(regex), (LengthRange{5, 6}));
  regex = MustParse("^[a-z]{3}$");
  EXPECT_TRUE(KeepLengths({0, 10}, regex));
  EXPECT_EQ(LengthOf(regex), (LengthRange{3, 3}));
  for (const char* pattern : {"a", "^a+b+$", "^(ab)+$", "^abc$"}) {
    regex = MustParse(pattern);
    EXPECT_FALSE(KeepLengths({4, 5}, regex)) << pattern;
  }
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
