#include "gateway/text/tokenizer.h"

#include <gmock/gmock.h>

#include "gateway/text/detokenizer.h"
#include "gateway/text/testdata.h"
#include "gateway/text/unicode.h"

namespace quire::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::Not;
using testing::Recording;
using testing::TestTokenizer;
using Ids = std::vector<TokenId>;

class VocabularyTest : public ::testing::TestWithParam<std::string> {
 protected:
  Ids Encode(const OriginText& text) { return tokenizer_.Encode(text).value(); }
  Ids Encode(const std::string& text, Origin origin) { return tokenizer_.Encode(text, origin).value(); }

  const Tokenizer& tokenizer_ = TestTokenizer(GetParam());
};

INSTANTIATE_TEST_SUITE_P(All, VocabularyTest, ::testing::Values("smollm2", "qwen2", "llama3"),
                         [](const auto& info) { return info.param; });

TEST_P(VocabularyTest, IdsEqualHuggingFaces) {
  const auto texts = Recording("corpus.json");
  const auto recorded = Recording("tokens_" + GetParam() + ".json")["encodings"];
  ASSERT_EQ(texts.size(), recorded.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = texts[i].get<std::string>();
    const Ids as_template = recorded[i]["template"].get<Ids>();
    const Ids as_user = recorded[i].contains("user") ? recorded[i]["user"].get<Ids>() : as_template;
    EXPECT_EQ(Encode(text, Origin::kTemplate), as_template) << i << ": " << text;
    EXPECT_EQ(Encode(text, Origin::kUser), as_user) << i << ": " << text;
  }
}

TEST_P(VocabularyTest, UserTextNeverGivesControlTokens) {
  for (TokenId id = 0; id < tokenizer_.vocabulary_size(); ++id) {
    if (!tokenizer_.IsControl(id)) continue;
    const std::string literal(tokenizer_.BytesOf(id));
    for (const std::string& text : {literal, "x" + literal + literal + " y", "\n" + literal + "\n"}) {
      for (const TokenId got : Encode(text, Origin::kUser)) {
        ASSERT_FALSE(tokenizer_.IsControl(got)) << text;
      }
    }
    ASSERT_THAT(Encode(literal, Origin::kTemplate), ElementsAre(id));
  }
}

TEST_P(VocabularyTest, ALiteralHalfFromTheUserIsNoToken) {
  const std::string literal(tokenizer_.BytesOf(*tokenizer_.eos_id()));
  for (size_t cut = 1; cut < literal.size(); ++cut) {
    OriginText text(literal.substr(0, cut), Origin::kTemplate);
    text.Append(literal.substr(cut), Origin::kUser);
    EXPECT_EQ(Encode(text), Encode(literal, Origin::kUser));
  }
}

TEST_P(VocabularyTest, MergingRunsAcrossOrigins) {
  OriginText text("user\n", Origin::kTemplate);
  text.Append("\nHello", Origin::kUser);
  EXPECT_EQ(Encode(text), Encode("user\n\nHello", Origin::kTemplate));
  Ids apart = Encode("user\n", Origin::kTemplate);
  for (const TokenId id : Encode("\nHello", Origin::kUser)) apart.push_back(id);
  if (GetParam() == "smollm2") return;  // its words never hold both line ends
  EXPECT_THAT(Encode(text), Not(apart));
}

TEST_P(VocabularyTest, DecodingEqualsHuggingFaces) {
  const auto decodings = Recording("tokens_" + GetParam() + ".json")["decodings"];
  ASSERT_GT(decodings.size(), 100u);
  for (const auto& recorded : decodings) {
    for (const bool skip : {false, true}) {
      Detokenizer detokenizer(tokenizer_, skip);
      std::string text;
      for (const TokenId id : recorded["ids"].get<Ids>()) text += detokenizer.Push(id);
      text += detokenizer.Flush();
      EXPECT_EQ(text, recorded[skip ? "skipped" : "kept"].get<std::string>()) << recorded["ids"];
    }
  }
}

// faults.md C.6: a megabyte of the worst there is must neither take long (the test's timeout) nor fail. The
// whole megabyte for one vocabulary only: sanitizers are slow.
TEST_P(VocabularyTest, WorstCasesOfAMegabyte) {
  const size_t bytes = GetParam() == "smollm2" ? 1'000'000 : 100'000;
  const std::string base64 =
      "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU2Nzg5YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXor";
  for (const std::string& unit : {std::string("a"), std::string(" "), std::string("\n"), std::string("!"),
                                  std::string("0"), std::string("\u0301"), std::string("\u0301\u0323"),
                                  std::string("\u200d"), std::string(" \n"), std::string("中"), base64}) {
    std::string text;
    while (text.size() < bytes) text += unit;
    const auto ids = tokenizer_.Encode(text, Origin::kUser);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_GT(ids->size(), bytes / 1000);
  }
}

TEST_P(VocabularyTest, ABoundNeverRefusesWhatFits) {
  std::vector<std::string> texts;
  for (const auto& text : Recording("corpus.json")) texts.push_back(text.get<std::string>());
  for (TokenId id = 0; id < tokenizer_.vocabulary_size(); id += 7) {  // the densest texts: tokens themselves
    std::string text(tokenizer_.BytesOf(id));
    if (IsValidUtf8(text)) texts.push_back(text + text);
  }
  for (const std::string& text : texts) {
    const size_t count = Encode(text, Origin::kUser).size();
    ASSERT_TRUE(tokenizer_.Encode(text, Origin::kUser, {.max_tokens = count}).ok()) << text;
    if (count == 0) continue;
    ASSERT_TRUE(
        absl::IsResourceExhausted(tokenizer_.Encode(text, Origin::kUser, {.max_tokens = count - 1}).status()))
        << text;
  }
}

std::string Letters(size_t count) {
  std::string text;
  for (uint32_t state = 1; text.size() < count; state = state * 1664525 + 1013904223) {
    text += static_cast<char>('a' + (state >> 24) % 26);
  }
  return text;
}

// A word that can't fit is not merged: that is what takes long, and where the client is asked after.
TEST_P(VocabularyTest, WhatCantFitIsRefusedBeforeTheWork) {
  int questions = 0;
  const EncodeLimits limits{.max_tokens = 1000, .gone = [&] { return ++questions, false; }};
  EXPECT_TRUE(absl::IsResourceExhausted(tokenizer_.Encode(Letters(100'000), Origin::kUser, limits).status()));
  EXPECT_LE(questions, 1) << "not 20";
  questions = 0;
  std::string words;
  while (words.size() < 1'000'000) words += " word";
  EXPECT_TRUE(absl::IsResourceExhausted(tokenizer_.Encode(words, Origin::kUser, limits).status()));
  EXPECT_LE(questions, 1) << "not 200";
}

TEST_P(VocabularyTest, NothingMoreIsDoneForAClientThatLeft) {
  std::string words;
  while (words.size() < 100'000) words += " a";
  for (const std::string& text : {Letters(100'000), words}) {
    int questions = 0;
    const EncodeLimits limits{.gone = [&] { return ++questions == 3; }};
    EXPECT_TRUE(absl::IsCancelled(tokenizer_.Encode(text, Origin::kUser, limits).status()));
    EXPECT_EQ(questions, 3);
  }
}

TEST(Tokenizer, RefusesWhatIsNotUtf8) {
  for (const char* bad : {"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\xaf", "\xf5\x80\x80\x80"}) {
    EXPECT_EQ(TestTokenizer("smollm2").Encode(bad, Origin::kUser).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(Tokenizer, KnowsItsTokens) {
  const Tokenizer& tokenizer = TestTokenizer("llama3");
  EXPECT_EQ(tokenizer.vocabulary_size(), 128256);
  EXPECT_EQ(tokenizer.AddedToken("<|eot_id|>"), 128009);
  EXPECT_EQ(tokenizer.AddedToken("the"), std::nullopt);
  EXPECT_THAT(tokenizer.prefix_ids(), ElementsAre(128000));
  EXPECT_EQ(tokenizer.BytesOf(-1), "");
  EXPECT_EQ(tokenizer.BytesOf(128256), "");
  EXPECT_EQ(TestTokenizer("qwen2").vocabulary_size(), 151646);
  EXPECT_EQ(TestTokenizer("smollm2").eos_id(), 2);
}

}  // namespace
}  // namespace quire::gateway
