// What an outbox makes of several choices of a request, of top logprobs and of a prompt's scores: who gets
// the credit, and what is bounded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "worker/rpc/outbox.h"

namespace quire::worker {
namespace {

using testing::ElementsAre;

constexpr uint64_t kTag = 1;

Update Spoken(uint32_t choice, int64_t first_position, int64_t count, int64_t top = 0) {
  Update update;
  update.to.tag = kTag;
  update.choice = choice;
  update.first_position = first_position;
  for (int64_t i = 0; i < count; ++i) {
    update.ids.push_back(static_cast<TokenId>(1000 * choice + first_position + i));
    for (int64_t j = 0; j < top; ++j) {
      update.top_logprobs.push_back({update.ids.back() + static_cast<TokenId>(j), static_cast<float>(-j)});
    }
  }
  return update;
}

Update FinishOf(uint32_t choice, FinishCause cause = FinishCause::kLength) {
  Update update;
  update.to.tag = kTag;
  update.choice = choice;
  update.finished = cause;
  return update;
}

Update EndOfRequest(absl::Status why = absl::OkStatus()) {
  Update update;
  update.to.tag = kTag;
  update.ended = std::move(why);
  return update;
}

class OutboxChoicesTest : public testing::Test {
 protected:
  // How many tokens of each choice the next frame has.
  std::map<uint32_t, int> Counts() {
    std::map<uint32_t, int> counts;
    frame_.Clear();
    outbox_.NextFrame(frame_);
    for (const v1::RequestUpdate& update : frame_.updates()) {
      if (!update.has_tokens()) continue;
      EXPECT_EQ(counts.count(update.tokens().choice()), 0u) << "a choice speaks twice in a frame";
      EXPECT_EQ(update.tokens().first_position(), said_[update.tokens().choice()]);
      counts[update.tokens().choice()] = update.tokens().ids_size();
      said_[update.tokens().choice()] += static_cast<uint32_t>(update.tokens().ids_size());
    }
    return counts;
  }

  Outbox outbox_{"numerics"};
  v1::GroupFrame frame_;
  std::map<uint32_t, uint32_t> said_;
};

using Counted = std::map<uint32_t, int>;

TEST_F(OutboxChoicesTest, CreditIsDealtEvenlyHoweverMuchOneSpeaks) {
  outbox_.Open(kTag, 11, 3, 0);
  outbox_.Take(Spoken(7, 0, 1000));
  outbox_.Take(Spoken(2, 0, 4));
  outbox_.Take(Spoken(5, 0, 30));
  outbox_.Grant(kTag, 30);
  EXPECT_EQ(Counts(), (Counted{{7, 13}, {2, 4}, {5, 13}}));  // what one has no use for is the others'
  outbox_.Grant(kTag, 100);
  EXPECT_EQ(Counts(), (Counted{{7, 83}, {5, 17}}));
}

// A token at a time: whose turn it is goes round, also past those who have nothing to say.
TEST_F(OutboxChoicesTest, ALittleCreditGoesRound) {
  outbox_.Open(kTag, 11, 4, 0);
  for (const uint32_t choice : {0u, 1u, 2u, 3u}) outbox_.Take(Spoken(choice, 0, choice == 1 ? 2 : 100));
  Counted all;
  for (int i = 0; i < 17; ++i) {
    outbox_.Grant(kTag, 1);
    for (const auto& [choice, count] : Counts()) all[choice] += count;
  }
  EXPECT_EQ(all, (Counted{{0, 5}, {1, 2}, {2, 5}, {3, 5}}));
  outbox_.Grant(kTag, 2);
  const Counted two = Counts();
  EXPECT_EQ(two.size(), 2u);
}

TEST_F(OutboxChoicesTest, AFinishComesBehindItsChoicesTokensAndTheEndBehindAll) {
  outbox_.Open(kTag, 11, 3, 4);
  outbox_.Take(Spoken(0, 0, 2));
  outbox_.Take(Spoken(1, 0, 3));
  outbox_.Take(FinishOf(0));
  outbox_.Take(FinishOf(2, FinishCause::kDone));
  outbox_.Take(FinishOf(1, FinishCause::kStop));
  outbox_.Take(EndOfRequest());
  EXPECT_EQ(Counts(), (Counted{{0, 2}, {1, 2}}));
  ASSERT_EQ(frame_.updates_size(), 3);
  EXPECT_EQ(frame_.updates(0).finished().reason(), v1::FINISH_LENGTH);
  EXPECT_FALSE(frame_.updates(1).has_finished());
  EXPECT_EQ(frame_.updates(2).finished().choice(), 2u);
  EXPECT_TRUE(frame_.updates(2).has_finished());
  EXPECT_EQ(frame_.updates(2).finished().reason(), v1::FINISH_UNSPECIFIED);
  EXPECT_FALSE(frame_.updates(2).has_ended());
  outbox_.Grant(kTag, 1);
  EXPECT_EQ(Counts(), (Counted{{1, 1}}));
  ASSERT_EQ(frame_.updates_size(), 1);
  EXPECT_EQ(frame_.updates(0).finished().reason(), v1::FINISH_STOP);
  EXPECT_TRUE(frame_.updates(0).has_ended());
  EXPECT_TRUE(outbox_.empty());
}

TEST_F(OutboxChoicesTest, AcceptedIsInTheFirstOfItsUpdates) {
  outbox_.Open(kTag, 11, 2, 100);
  Update cached;
  cached.to.tag = kTag;
  cached.cached_tokens = 32;
  outbox_.Take(std::move(cached));
  outbox_.Take(FinishOf(1, FinishCause::kDone));
  outbox_.Take(Spoken(0, 0, 1));
  EXPECT_EQ(Counts(), (Counted{{0, 1}}));
  ASSERT_EQ(frame_.updates_size(), 2);
  EXPECT_TRUE(frame_.updates(0).has_accepted() && frame_.updates(0).has_finished());
  EXPECT_FALSE(frame_.updates(1).has_accepted());
}

TEST_F(OutboxChoicesTest, TopLogprobsGoWithTheirTokens) {
  outbox_.Open(kTag, 11, 2, 3);
  outbox_.Take(Spoken(0, 0, 2, 3));
  outbox_.Take(Spoken(0, 2, 1, 3));
  outbox_.Take(Spoken(1, 0, 1, 3));
  EXPECT_EQ(Counts(), (Counted{{0, 2}, {1, 1}}));
  const v1::Tokens& first = frame_.updates(0).tokens();
  ASSERT_EQ(first.top_logprobs_size(), 2);
  EXPECT_THAT(first.top_logprobs(1).ids(), ElementsAre(1, 2, 3));
  EXPECT_THAT(first.top_logprobs(1).logprobs(), ElementsAre(0, -1, -2));
  EXPECT_THAT(frame_.updates(1).tokens().top_logprobs(0).ids(), ElementsAre(1000, 1001, 1002));
  outbox_.Grant(kTag, 1);
  EXPECT_EQ(Counts(), (Counted{{0, 1}}));
  EXPECT_THAT(frame_.updates(0).tokens().top_logprobs(0).ids(), ElementsAre(2, 3, 4));
}

TEST_F(OutboxChoicesTest, EachChoiceMayBeBehindByTheBound) {
  outbox_.Open(kTag, 11, 2, 0);
  EXPECT_EQ(outbox_.Take(Spoken(0, 0, Outbox::kMaxUnreadTokens)), std::nullopt);
  EXPECT_EQ(outbox_.Take(Spoken(1, 0, Outbox::kMaxUnreadTokens)), std::nullopt);
  EXPECT_EQ(outbox_.Take(Spoken(1, Outbox::kMaxUnreadTokens, 1)), 11u);
  EXPECT_TRUE(Counts().empty());  // nothing is left of either
  ASSERT_EQ(frame_.updates_size(), 1);
  EXPECT_EQ(frame_.updates(0).ended().code(), static_cast<int>(absl::StatusCode::kAborted));
}

// As many requests as fill the session's bound with top logprobs are far fewer than without.
TEST_F(OutboxChoicesTest, TopLogprobsCountForTheSessionsBound) {
  constexpr int64_t kTop = 20, kTokens = 4000;
  uint64_t tag = 0;
  std::optional<uint64_t> cancelled;
  int64_t entries = 0;
  while (!cancelled && tag < 1000) {
    ++tag;
    outbox_.Open(tag, tag, 1, 0);
    Update update = Spoken(0, 0, kTokens, kTop);
    update.to.tag = tag;
    cancelled = outbox_.Take(std::move(update));
    entries += kTokens * (1 + kTop);
  }
  EXPECT_EQ(cancelled, tag);
  EXPECT_GT(entries, Outbox::kMaxSessionUnread);
  EXPECT_LE(entries - kTokens * (1 + kTop), Outbox::kMaxSessionUnread);
  outbox_.DropAll();  // and all of it is given back
  ++tag;
  outbox_.Open(tag, tag, 1, 0);
  Update update = Spoken(0, 0, kTokens, kTop);
  update.to.tag = tag;
  EXPECT_EQ(outbox_.Take(std::move(update)), std::nullopt);
}

TEST_F(OutboxChoicesTest, AFrameIsBoundedWithinARequestToo) {
  constexpr uint32_t kChoices = 128;
  constexpr int64_t kTop = 20, kTokens = 300;
  outbox_.Open(kTag, 11, kChoices, 1 << 30);
  for (uint32_t choice = 0; choice < kChoices; ++choice) {
    ASSERT_EQ(outbox_.Take(Spoken(choice, 0, kTokens, kTop)), std::nullopt);
    outbox_.Take(FinishOf(choice));
  }
  outbox_.Take(EndOfRequest());
  int frames = 0, finished = 0;
  while (!outbox_.empty()) {
    ASSERT_LT(++frames, 100);
    int64_t entries = 0;
    for (const auto& [choice, count] : Counts()) entries += count * (1 + kTop);
    EXPECT_LE(entries, Outbox::kMaxFrameEntries + kTop);
    EXPECT_LT(frame_.ByteSizeLong(), 2u << 20);
    for (const v1::RequestUpdate& update : frame_.updates()) finished += update.has_finished() ? 1 : 0;
  }
  EXPECT_EQ(frames,
            (kChoices * kTokens * (1 + kTop) + Outbox::kMaxFrameEntries - 1) / Outbox::kMaxFrameEntries);
  EXPECT_EQ(finished, static_cast<int>(kChoices));
  for (const auto& [choice, said] : said_) EXPECT_EQ(said, kTokens) << choice;
}

TEST_F(OutboxChoicesTest, UpdatesOfAFrameAreBoundedToo) {
  constexpr uint32_t kChoices = 128;
  constexpr uint64_t kRequests = 20;  // 2,560 updates
  for (uint64_t tag = 1; tag <= kRequests; ++tag) {
    outbox_.Open(tag, tag, kChoices, 1 << 20);
    for (uint32_t choice = 0; choice < kChoices; ++choice) {
      Update update = Spoken(choice, 0, 1);
      update.to.tag = tag;
      update.finished = FinishCause::kStop;
      outbox_.Take(std::move(update));
    }
    Update end = EndOfRequest();
    end.to.tag = tag;
    outbox_.Take(std::move(end));
  }
  EXPECT_EQ(outbox_.size(), static_cast<int64_t>(kRequests * kChoices));
  int tokens = 0, ended = 0;
  for (int frames = 0; outbox_.NextFrame(frame_); ++frames) {
    ASSERT_LT(frames, 100);
    EXPECT_LE(frame_.updates_size(), Outbox::kMaxFrameUpdates);
    for (const v1::RequestUpdate& update : frame_.updates()) {
      tokens += update.tokens().ids_size();
      ended += update.has_ended() ? 1 : 0;
    }
  }
  EXPECT_EQ(tokens, static_cast<int>(kRequests * kChoices));
  EXPECT_EQ(ended, static_cast<int>(kRequests));
  EXPECT_EQ(outbox_.size(), 0);
}

TEST_F(OutboxChoicesTest, OfADroppedChoiceOnlyTheEndIsSaid) {
  outbox_.Open(kTag, 11, 2, 0);
  outbox_.Take(Spoken(0, 0, 5));
  outbox_.Take(Spoken(1, 0, 5));
  EXPECT_EQ(outbox_.DropChoice(kTag, 7), std::nullopt) << "it has said nothing";
  EXPECT_EQ(outbox_.DropChoice(9, 0), std::nullopt);
  EXPECT_EQ(outbox_.DropChoice(kTag, 0), 11u);
  EXPECT_EQ(outbox_.DropChoice(kTag, 0), std::nullopt) << "once";
  outbox_.Take(Spoken(0, 5, 5));  // was under way
  outbox_.Take(FinishOf(0, FinishCause::kDone));
  outbox_.Grant(kTag, 5);  // the other one's
  uint32_t of_other = 0, finished = 0;
  while (outbox_.NextFrame(frame_)) {
    for (const v1::RequestUpdate& update : frame_.updates()) {
      if (update.has_tokens()) {
        EXPECT_EQ(update.tokens().choice(), 1u);
        of_other += update.tokens().ids_size();
      }
      if (update.has_finished()) {
        EXPECT_EQ(update.finished().choice(), 0u);
        EXPECT_EQ(update.finished().reason(), v1::FINISH_UNSPECIFIED);
        ++finished;
      }
    }
  }
  EXPECT_EQ(of_other, 5u);
  EXPECT_EQ(finished, 1u);
}

Update ScoresOf(int64_t first_position, int64_t count, int64_t top = 0) {
  Update update;
  update.to.tag = kTag;
  update.scores = true;
  update.first_position = first_position;
  for (int64_t i = first_position; i < first_position + count; ++i) {
    update.logprobs.push_back(static_cast<float>(-i));
    for (int64_t j = 0; j < top; ++j) update.top_logprobs.push_back({static_cast<TokenId>(i), 0.0f});
  }
  return update;
}

TEST_F(OutboxChoicesTest, ScoresTakeCreditAndComeBeforeAnyToken) {
  outbox_.Open(kTag, 11, 2, 3);
  outbox_.Take(ScoresOf(1, 4, 2));
  outbox_.Take(ScoresOf(5, 2, 2));
  outbox_.Take(Spoken(0, 0, 5));
  EXPECT_EQ(Counts(), Counted());
  ASSERT_EQ(frame_.updates_size(), 1);
  const v1::PromptScores& first = frame_.updates(0).scores();
  EXPECT_EQ(first.first_position(), 1u);
  EXPECT_THAT(first.logprobs(), ElementsAre(-1, -2, -3));
  ASSERT_EQ(first.top_logprobs_size(), 3);
  EXPECT_THAT(first.top_logprobs(2).ids(), ElementsAre(3, 3));
  EXPECT_FALSE(outbox_.NextFrame(frame_)) << "there is no credit";
  outbox_.Grant(kTag, 4);
  EXPECT_EQ(Counts(), (Counted{{0, 1}})) << "the rest of the scores, and a token";
  EXPECT_EQ(frame_.updates(0).scores().first_position(), 4u);
  EXPECT_THAT(frame_.updates(0).scores().logprobs(), ElementsAre(-4, -5, -6));
  outbox_.Take(EndOfRequest());
  outbox_.Grant(kTag, 100);
  EXPECT_EQ(Counts(), (Counted{{0, 4}}));
  EXPECT_TRUE(frame_.updates(0).has_ended());
  EXPECT_TRUE(outbox_.empty());
}

TEST_F(OutboxChoicesTest, ScoresThatNobodyReadsEndTheRequest) {
  outbox_.Open(kTag, 11, 1, 0);
  EXPECT_EQ(outbox_.Take(ScoresOf(1, Outbox::kMaxUnreadTokens, 5)), std::nullopt);
  EXPECT_EQ(outbox_.Take(ScoresOf(1 + Outbox::kMaxUnreadTokens, 1, 5)), 11u);
  Counts();
  ASSERT_EQ(frame_.updates_size(), 1);
  EXPECT_EQ(frame_.updates(0).ended().code(), static_cast<int>(absl::StatusCode::kAborted));
  EXPECT_TRUE(outbox_.empty());
}

TEST_F(OutboxChoicesTest, AFrameOfScoresIsBounded) {
  constexpr int64_t kTop = 20, kEach = 4000;
  for (uint64_t tag = 1; tag <= 3; ++tag) {
    outbox_.Open(tag, tag, 1, kEach);
    Update scores = ScoresOf(1, kEach, kTop);
    scores.to.tag = tag;
    outbox_.Take(std::move(scores));
  }
  std::map<uint64_t, int64_t> said;
  while (outbox_.NextFrame(frame_)) {
    int64_t entries = 0;
    for (const v1::RequestUpdate& update : frame_.updates()) {
      EXPECT_EQ(update.scores().first_position(), 1 + said[update.tag()]);
      said[update.tag()] += update.scores().logprobs_size();
      entries += update.scores().logprobs_size() * (1 + kTop);
    }
    EXPECT_LE(entries, Outbox::kMaxFrameEntries + 1 + kTop);
  }
  for (uint64_t tag = 1; tag <= 3; ++tag) EXPECT_EQ(said[tag], kEach);
}

TEST_F(OutboxChoicesTest, ItsSizeIsInChoices) {
  outbox_.Open(1, 11, 5, 0);
  outbox_.Open(2, 12, 1, 0);
  outbox_.Refuse(3, absl::InvalidArgumentError("no"));
  EXPECT_EQ(outbox_.size(), 7);
  outbox_.Drop(1);
  EXPECT_EQ(outbox_.size(), 2);
  outbox_.DropAll();
  EXPECT_EQ(outbox_.size(), 0);
}

}  // namespace
}  // namespace quire::worker
