#include "worker/grammar/structural_tag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace quire::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<TokenId> Named(const std::string& format) {
  const auto ids = ReadStructuralTag(absl::StrCat(R"({"type":"structural_tag","format":)", format, "}"));
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.value_or(StructuralTag()).ids;
}

TEST(StructuralTag, NamesTheIdsOfItsTokenFormats) {
  EXPECT_THAT(Named(R"({"type":"token","token":7})"), ElementsAre(7));
  EXPECT_THAT(Named(R"({"type":"sequence","elements":[{"type":"any_text"},{"type":"tag",
      "begin":{"type":"token","token":8},"content":{"type":"any_tokens","exclude_tokens":[5]},
      "end":{"type":"token","token":9}}]})"),
              ElementsAre(8, 9));
  EXPECT_THAT(Named(R"({"type":"token_triggered_tags","trigger_tokens":[3],"tags":[]})"), ElementsAre(3));
  EXPECT_THAT(Named(R"({"type":"token_dispatch","rules":[[4,{"type":"any_text"}]]})"), ElementsAre(4));
}

TEST(StructuralTag, NothingElseNamesAnId) {
  EXPECT_THAT(Named(R"({"type":"json_schema","json_schema":{"const":{"type":"token","token":7}}})"),
              ElementsAre());
  EXPECT_THAT(Named(R"({"type":"exclude_token","exclude_tokens":[7]})"), ElementsAre());
  EXPECT_THAT(Named(R"({"type":"token","token":"<|im_end|>"})"), ElementsAre());
  EXPECT_THAT(Named(R"({"type":"token","token":-1})"), ElementsAre());
  EXPECT_THAT(Named(R"({"type":"token","token":99999999999})"), ElementsAre());
}

TEST(StructuralTag, BoundsWhatASourceMayHold) {
  const std::vector<std::string> excludes(257, "\"x\"");
  const std::pair<std::string, const char*> cases[] = {
      {std::string((256 << 10) + 1, ' '), "more than 262144 bytes"},
      {std::string(1000, '['), "nested deeper than 256"},
      {"[]", "no JSON object"},
      {"{", "no JSON object"},
      {std::string("{}\0", 3), "no JSON object"},
      {absl::StrCat(R"({"format":{"type":"any_text","excludes":[)", absl::StrJoin(excludes, ","), "]}}"),
       "more than 256 triggers"}};
  for (const auto& [source, message] : cases) {
    const absl::Status status = ReadStructuralTag(source).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
}

TEST(GrammarSize, CountsRulesAndWhatIsRepeated) {
  const GrammarSize size =
      SizeOf("root ::= \"{9}\\\"{9}\" a{3} [^{9}\\]{9}]{2,7} b{4,}\na ::= \"x\"{1,1000000000000}\n");
  EXPECT_EQ(size.rules, 2);
  EXPECT_EQ(size.repeats, 3 + 1 + 7 + 4 + 256);
  EXPECT_EQ(size.longest, 256);
  EXPECT_THAT(std::string(size.Check().message()), HasSubstr("more than 128 times"));
  EXPECT_TRUE(SizeOf("root ::= (([a-z]{1, 128}))\n").Check().ok());
  EXPECT_EQ(SizeOf("\"{").repeats, 0);
  EXPECT_EQ(SizeOf("[\\").repeats, 1);
  EXPECT_EQ(SizeOf("x{12").repeats, 12);
}

TEST(GrammarSize, SetsThatAreWrittenOutCount) {
  std::string sets = "root ::= (", rules = "root ::= (\"\\\"\" q1)\n";
  for (int i = 0; i < 4097; ++i) sets += "[a-z] ";
  EXPECT_EQ(SizeOf(sets).repeats, 4097);
  EXPECT_FALSE(SizeOf(sets + ")\n").Check().ok());
  // What the gateway makes of a long string.
  for (int i = 1; i <= 400; ++i) {
    absl::StrAppend(&rules, "q", i, " ::= ((\"\\\"\") | ([ !#-\\[\\]-\\ud7ff] q", i + 1, ") | (escape q",
                    i + 1, "))\n");
  }
  EXPECT_EQ(SizeOf(rules).repeats, 400);
  EXPECT_TRUE(SizeOf(rules).CheckWithin().ok());
}

TEST(GrammarSize, NamesItsMacros) {
  EXPECT_EQ(SizeOf("root ::= ((\"Regex(\" [Regex(] Token(1, 2) ExcludeToken(3))) (=(\"a\"))\n").macro, "");
  EXPECT_EQ(SizeOf("root ::= ((Regex(\"a\")))\n").macro, "Regex");
  EXPECT_EQ(SizeOf("root ::= (TagDispatch(\n  (\"x\", r),\n  excludes=(\"a\")\n))\n").macro, "TagDispatch");
  EXPECT_EQ(SizeOf("root[capture=\"]\"] ::= (\"a\")\n").macro, "a rule's attribute");
  EXPECT_THAT(std::string(SizeOf("a ::= Substring(\"b\")").CheckWithin().message()), HasSubstr("Substring"));
}

TEST(GrammarSize, EachBoundHolds) {
  EXPECT_THAT(std::string((GrammarSize{.bytes = GrammarSize::kMaxBytes + 1}).Check().message()),
              HasSubstr("bytes"));
  EXPECT_THAT(std::string((GrammarSize{.rules = GrammarSize::kMaxRules + 1}).Check().message()),
              HasSubstr("rules"));
  EXPECT_THAT(std::string((GrammarSize{.repeats = GrammarSize::kMaxRepeats + 1}).Check().message()),
              HasSubstr("maxLength"));
}

}  // namespace
}  // namespace quire::worker
