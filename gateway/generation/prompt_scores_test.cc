#include "gateway/generation/prompt_scores.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace quire::gateway {
namespace {

v1::PromptScores Scored(uint32_t first, std::vector<float> logprobs, int top) {
  v1::PromptScores said;
  said.set_first_position(first);
  for (const float logprob : logprobs) {
    said.add_logprobs(logprob);
    if (top == 0) continue;
    v1::TopLogprobs* likeliest = said.add_top_logprobs();
    for (int i = 0; i < top; ++i) {
      likeliest->add_ids(100 + i);
      likeliest->add_logprobs(-static_cast<float>(i));
    }
  }
  return said;
}

TEST(PromptScoresTest, GathersWhatComesNextAndNothingElse) {
  PromptScores scores({7, 8, 9, 10}, 2);
  EXPECT_EQ(scores.next(), 1u);
  EXPECT_FALSE(scores.Append(Scored(0, {-1}, 2)));
  EXPECT_FALSE(scores.Append(Scored(2, {-1}, 2)));
  EXPECT_FALSE(scores.Append(Scored(1, {}, 2)));
  EXPECT_FALSE(scores.Append(Scored(1, {-1}, 1)));
  EXPECT_FALSE(scores.Append(Scored(1, {-1}, 0)));
  EXPECT_FALSE(scores.Append(Scored(1, {-1, -2, -3, -4}, 2)));
  EXPECT_TRUE(scores.Append(Scored(1, {-1, -2}, 2)));
  EXPECT_FALSE(scores.whole());
  EXPECT_FALSE(scores.Append(Scored(1, {-1}, 2)));
  EXPECT_TRUE(scores.Append(Scored(3, {-3}, 2)));
  EXPECT_TRUE(scores.whole());
  EXPECT_FALSE(scores.Append(Scored(4, {-4}, 2)));
  const SampledToken third = scores.At(2);
  EXPECT_EQ(third.token.id, 9);
  EXPECT_EQ(third.token.logprob, -2);
  ASSERT_EQ(third.top.size(), 2u);
  EXPECT_EQ(third.top[1].id, 101);
  EXPECT_EQ(third.top[1].logprob, -1);
}

TEST(PromptScoresTest, NoChanceIsANumber) {
  PromptScores scores({7, 8, 9}, 0);
  EXPECT_TRUE(scores.Append(Scored(1, {-std::numeric_limits<float>::infinity(), -1e5f}, 0)));
  EXPECT_EQ(scores.At(1).token.logprob, kLeastLogprob);
  EXPECT_EQ(scores.At(2).token.logprob, kLeastLogprob);
}

TEST(PromptScoresTest, NoLogarithmOfAProbabilityIsNoScore) {
  for (const float wrong : {std::numeric_limits<float>::infinity(), std::nanf(""), 0.5f}) {
    PromptScores scores({7, 8, 9}, 1);
    EXPECT_FALSE(scores.Append(Scored(1, {-1, wrong}, 1))) << wrong;
    v1::PromptScores said = Scored(1, {-1, 0}, 1);
    said.mutable_top_logprobs(1)->set_logprobs(0, wrong);
    EXPECT_FALSE(scores.Append(said)) << wrong;
    EXPECT_EQ(scores.next(), 1u);
    EXPECT_TRUE(scores.Append(Scored(1, {-1, 0}, 1)));
  }
}

TEST(PromptScoresTest, OneTokenHasNone) { EXPECT_TRUE(PromptScores({7}, 5).whole()); }

}  // namespace
}  // namespace quire::gateway
