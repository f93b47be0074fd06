// Automata: which texts they take, and what is made of several. That their grammars let the same texts come
// is seen in tests/conformance.
#include "gateway/structured/string_automaton.h"

#include <gmock/gmock.h>

#include "base/core/status.h"
#include "gateway/structured/ebnf.h"

namespace quire::gateway {
namespace {

StringAutomaton AutomatonOf(std::string_view pattern, RegexUse use = RegexUse::kSearch) {
  const auto regex = ParseRegex(pattern, use);
  EXPECT_TRUE(regex.ok()) << pattern << ": " << regex.status();
  auto automaton = StringAutomaton::OfRegex(regex.ok() ? *regex : RegexNode{});
  EXPECT_TRUE(automaton.ok()) << pattern << ": " << automaton.status();
  return *std::move(automaton);
}

bool IsIn(std::string_view pattern, std::string_view text, RegexUse use = RegexUse::kSearch) {
  return AutomatonOf(pattern, use).Takes(CodePointsOf(text));
}

TEST(StringAutomaton, SearchesOrIsTheWhole) {
  EXPECT_TRUE(IsIn("b", "abc"));
  EXPECT_FALSE(IsIn("b", "abc", RegexUse::kWhole));
  EXPECT_TRUE(IsIn("^a|c$", "axx"));
  EXPECT_TRUE(IsIn("^a|c$", "xxc"));
  EXPECT_FALSE(IsIn("^a|c$", "xax"));
  EXPECT_TRUE(IsIn("^(a|b)$", "b", RegexUse::kWhole)) << "anchors at the ends say nothing then";
}

TEST(StringAutomaton, ClassesHoldWhatAllDialectsTake) {
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

TEST(StringAutomaton, RepetitionsOfEmptyTextsEnd) {
  EXPECT_TRUE(IsIn("^(a*)*$", "aaa"));
  EXPECT_TRUE(IsIn("^(a|){200}$", "aaa"));
  EXPECT_FALSE(IsIn("^((a?)+b?){3}$", "aabbbb"));
  EXPECT_TRUE(IsIn("^(ab){2,3}$", "ababab"));
  EXPECT_FALSE(IsIn("^(ab){2,3}$", "abababab"));
  EXPECT_TRUE(IsIn("^(?:a{2,3}){2}$", "aaaaa"));
  EXPECT_FALSE(IsIn("^[0-5](?:[.](?:[0-9]){1,6})?Z$", "166Z"));
}

TEST(StringAutomaton, TwoRulesAreOne) {
  const auto both = AutomatonOf("^[ab]+$").And(AutomatonOf("aa"));
  ASSERT_TRUE(both.ok());
  EXPECT_TRUE(both->Takes(U"baab"));
  EXPECT_FALSE(both->Takes(U"bab"));
  EXPECT_FALSE(both->Takes(U"caa"));
  const auto short_ones = both->And(*StringAutomaton::OfLengths(3, 4));
  ASSERT_TRUE(short_ones.ok());
  EXPECT_TRUE(short_ones->Takes(U"aab"));
  EXPECT_FALSE(short_ones->Takes(U"aa"));
  EXPECT_FALSE(short_ones->Takes(U"aaaaa"));
  EXPECT_TRUE(AutomatonOf("^a$").And(AutomatonOf("^b$"))->empty());
  EXPECT_TRUE(StringAutomaton::OfLengths(3, 2)->empty());
}

TEST(StringAutomaton, NoneOfNames) {
  const auto others = StringAutomaton::OfNoneOf({U"a", U"ab", U"", U"é"});
  ASSERT_TRUE(others.ok());
  for (const char32_t* name : {U"a", U"ab", U"", U"é"}) EXPECT_FALSE(others->Takes(name));
  for (const char32_t* name : {U"b", U"abc", U"aa", U"éa", U"😀"}) EXPECT_TRUE(others->Takes(name));
}

TEST(StringAutomaton, KnowsWhichLengthsItKeepsTo) {
  EXPECT_TRUE(AutomatonOf("^a{2,5}(bc|d)$").KeepsTo(3, 7));
  EXPECT_FALSE(AutomatonOf("^a{2,5}(bc|d)$").KeepsTo(4, 7));
  EXPECT_FALSE(AutomatonOf("^a{2,5}(bc|d)$").KeepsTo(0, 6));
  EXPECT_TRUE(AutomatonOf("^a+$").KeepsTo(1, std::nullopt));
  EXPECT_FALSE(AutomatonOf("^a+$").KeepsTo(0, 1'000'000));
}

TEST(StringAutomaton, HasNoMoreStatesThanItMay) {
  for (const char* pattern : {"(a|b)*a(a|b){200}", "^(((a{256}){256}){256}){256}$", "^.{200}.{200}$"}) {
    const auto regex = ParseRegex(pattern, RegexUse::kSearch);
    ASSERT_TRUE(regex.ok());
    EXPECT_EQ(StringAutomaton::OfRegex(*regex).status().code(), absl::StatusCode::kResourceExhausted)
        << pattern;
  }
  EXPECT_FALSE(StringAutomaton::OfLengths(0, StringAutomaton::kMaxStates).ok());
  EXPECT_FALSE(StringAutomaton::OfNoneOf({std::u32string(400, U'x')}).ok());
}

}  // namespace
}  // namespace quire::gateway
