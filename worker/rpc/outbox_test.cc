#include "worker/rpc/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace quire::worker {
namespace {

using testing::ElementsAre;

constexpr int64_t kPlenty = 1 << 30;

Update Tokens(uint64_t tag, int64_t first_position, int64_t count) {
  Update update;
  update.to.tag = tag;
  update.first_position = first_position;
  for (int64_t i = 0; i < count; ++i) update.ids.push_back(static_cast<TokenId>(first_position + i));
  return update;
}

// With a last token.
Update Finished(uint64_t tag, int64_t position) {
  Update update = Tokens(tag, position, 1);
  update.finished = FinishCause::kStop;
  return update;
}

Update Cached(uint64_t tag, int64_t tokens) {
  Update update;
  update.to.tag = tag;
  update.cached_tokens = tokens;
  return update;
}

Update Ended(uint64_t tag, absl::Status why = absl::OkStatus()) {
  Update update;
  update.to.tag = tag;
  update.ended = std::move(why);
  return update;
}

class OutboxTest : public testing::Test {
 protected:
  // All that it says now.
  std::vector<v1::RequestUpdate> Frame() {
    v1::GroupFrame frame;
    if (!outbox_.NextFrame(frame)) return {};
    return {frame.updates().begin(), frame.updates().end()};
  }
  static std::vector<int> Ids(const v1::RequestUpdate& update) {
    return {update.tokens().ids().begin(), update.tokens().ids().end()};
  }

  Outbox outbox_{"numerics"};
};

TEST_F(OutboxTest, SaysAcceptedTokensFinishedAndEndedInOneUpdate) {
  outbox_.Open(1, 11, 1, kPlenty);
  Update update = Finished(1, 0);
  update.logprobs = {-0.5f};
  outbox_.Take(Cached(1, 32));
  outbox_.Take(std::move(update));
  outbox_.Take(Ended(1));
  const auto frame = Frame();
  ASSERT_EQ(frame.size(), 1u);
  EXPECT_EQ(frame[0].tag(), 1u);
  EXPECT_EQ(frame[0].accepted().cached_tokens(), 32u);
  EXPECT_EQ(frame[0].accepted().numerics_id(), "numerics");
  EXPECT_THAT(Ids(frame[0]), ElementsAre(0));
  EXPECT_THAT(frame[0].tokens().logprobs(), ElementsAre(-0.5f));
  EXPECT_EQ(frame[0].finished().reason(), v1::FINISH_STOP);
  EXPECT_EQ(frame[0].ended().code(), 0);
  EXPECT_TRUE(outbox_.empty());
  EXPECT_TRUE(Frame().empty());
}

TEST_F(OutboxTest, AFrameHasAllRequestsThatHaveSomethingToSay) {
  for (uint64_t tag = 1; tag <= 3; ++tag) outbox_.Open(tag, tag, 1, kPlenty);
  outbox_.Take(Tokens(1, 0, 1));
  outbox_.Take(Tokens(3, 0, 1));
  outbox_.Take(Tokens(1, 1, 1));  // merged
  const auto frame = Frame();
  ASSERT_EQ(frame.size(), 2u);
  EXPECT_THAT(Ids(frame[0]), ElementsAre(0, 1));
  EXPECT_EQ(frame[1].tag(), 3u);
}

TEST_F(OutboxTest, SaysNoMoreThanThereIsCreditFor) {
  outbox_.Open(1, 11, 1, 2);
  for (int64_t i = 0; i < 4; ++i) {
    Update update = Tokens(1, i, 1);
    update.logprobs = {static_cast<float>(i)};
    outbox_.Take(std::move(update));
  }
  outbox_.Take(Finished(1, 4));
  outbox_.Take(Ended(1));
  EXPECT_THAT(Ids(Frame().at(0)), ElementsAre(0, 1));
  EXPECT_TRUE(Frame().empty());
  outbox_.Grant(1, 0);
  EXPECT_TRUE(Frame().empty());
  outbox_.Grant(1, 2);
  const v1::RequestUpdate next = Frame().at(0);
  EXPECT_EQ(next.tokens().first_position(), 2u);
  EXPECT_THAT(next.tokens().logprobs(), ElementsAre(2, 3));
  EXPECT_FALSE(next.has_finished() || next.has_ended());  // its last token is not said
  outbox_.Grant(1, 1);
  const v1::RequestUpdate last = Frame().at(0);
  EXPECT_TRUE(last.has_finished() && last.has_ended());
}

// As of a peer that reads nothing and submits and aborts all the time.
TEST_F(OutboxTest, NothingStaysOfWhatIsDropped) {
  for (uint64_t tag = 1; tag <= 100; ++tag) {
    outbox_.Refuse(tag, absl::InvalidArgumentError("no"));
    outbox_.Drop(tag);
  }
  EXPECT_EQ(outbox_.ready(), 0u);
  outbox_.Refuse(101, absl::InvalidArgumentError("no"));
  EXPECT_EQ(Frame().at(0).tag(), 101u);
}

TEST_F(OutboxTest, WhoLacksCreditHoldsUpNobody) {
  outbox_.Open(1, 11, 1, 0);
  outbox_.Open(2, 12, 1, kPlenty);
  outbox_.Take(Tokens(1, 0, 5));
  outbox_.Take(Tokens(2, 0, 1));
  EXPECT_EQ(Frame().at(0).tag(), 2u);
  outbox_.Grant(1, 5);
  EXPECT_THAT(Ids(Frame().at(0)), ElementsAre(0, 1, 2, 3, 4));
}

TEST_F(OutboxTest, WhereNoCreditCanComeAllMayBeSaid) {
  outbox_.Open(1, 11, 1, 1);
  outbox_.Open(2, 12, 1, 0);
  outbox_.Take(Tokens(1, 0, 5));
  outbox_.Take(Finished(1, 5));
  outbox_.Take(Ended(1));
  outbox_.GrantAll();
  const auto frame = Frame();
  ASSERT_EQ(frame.size(), 1u);
  EXPECT_EQ(Ids(frame[0]).size(), 6u);
  EXPECT_TRUE(frame[0].has_ended());
  outbox_.Take(Finished(2, 0));
  outbox_.Take(Ended(2));
  EXPECT_TRUE(Frame().at(0).has_ended());
}

TEST_F(OutboxTest, AcceptedAndARefusalNeedNoCredit) {
  outbox_.Open(1, 11, 1, 0);
  outbox_.Take(Cached(1, 0));
  outbox_.Refuse(2, absl::ResourceExhaustedError("full"));
  const auto frame = Frame();
  ASSERT_EQ(frame.size(), 2u);
  EXPECT_TRUE(frame[0].has_accepted());
  EXPECT_EQ(frame[1].ended().code(), static_cast<int>(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(frame[1].ended().message(), "full");
}

TEST_F(OutboxTest, AFailureComesBehindItsTokens) {
  outbox_.Open(1, 11, 1, 1);
  outbox_.Take(Tokens(1, 0, 2));
  outbox_.Take(Ended(1, absl::InternalError("not finite")));
  EXPECT_FALSE(Frame().at(0).has_ended());
  outbox_.Grant(1, 1);
  const v1::RequestUpdate last = Frame().at(0);
  EXPECT_THAT(Ids(last), ElementsAre(1));
  EXPECT_EQ(last.ended().message(), "not finite");
}

TEST_F(OutboxTest, TheBoundEndsARequestAndNoOther) {
  outbox_.Open(1, 11, 1, 0);
  outbox_.Open(2, 12, 1, 0);
  outbox_.Take(Tokens(2, 0, 3));
  EXPECT_EQ(outbox_.Take(Tokens(1, 0, Outbox::kMaxUnreadTokens)), std::nullopt);
  EXPECT_EQ(outbox_.Take(Tokens(1, Outbox::kMaxUnreadTokens, 1)), 11u);
  EXPECT_EQ(outbox_.Take(Tokens(1, Outbox::kMaxUnreadTokens + 1, 1)), std::nullopt);  // it is over
  const auto frame = Frame();
  ASSERT_EQ(frame.size(), 1u);
  EXPECT_FALSE(frame[0].has_tokens());
  EXPECT_EQ(frame[0].ended().code(), static_cast<int>(absl::StatusCode::kAborted));
  outbox_.Grant(2, 3);
  EXPECT_EQ(Ids(Frame().at(0)).size(), 3u);
}

// The last tokens are not too many: they are the last.
TEST_F(OutboxTest, AnAnswerThatEndsAtTheBoundIsWhole) {
  outbox_.Open(1, 11, 1, 0);
  outbox_.Take(Tokens(1, 0, Outbox::kMaxUnreadTokens));
  EXPECT_EQ(outbox_.Take(Finished(1, Outbox::kMaxUnreadTokens)), std::nullopt);
  outbox_.Grant(1, kPlenty);
  EXPECT_EQ(std::ssize(Ids(Frame().at(0))), Outbox::kMaxUnreadTokens + 1);
}

// Answers that are whole and not read: no engine counts them, and the session's bound does.
TEST_F(OutboxTest, WhatASessionLeavesUnreadIsBoundedToo) {
  constexpr int64_t kEach = Outbox::kMaxUnreadTokens - 1;
  uint64_t tag = 0;
  for (int64_t total = 0; total + kEach + 1 <= Outbox::kMaxSessionUnread; total += kEach + 1) {
    outbox_.Open(++tag, 11, 1, 0);
    EXPECT_EQ(outbox_.Take(Tokens(tag, 0, kEach)), std::nullopt);
    EXPECT_EQ(outbox_.Take(Finished(tag, kEach)), std::nullopt);
  }
  outbox_.Open(++tag, 12, 1, 0);
  EXPECT_EQ(outbox_.Take(Tokens(tag, 0, Outbox::kFewUnread)), std::nullopt);  // who has few is not to blame
  EXPECT_EQ(outbox_.Take(Tokens(tag, Outbox::kFewUnread, 1)), 12u);
  outbox_.Drop(1);
  outbox_.Open(++tag, 12, 1, 0);
  EXPECT_EQ(outbox_.Take(Tokens(tag, 0, Outbox::kFewUnread + 1)), std::nullopt);
}

TEST_F(OutboxTest, ADroppedRequestIsUnknown) {
  outbox_.Open(1, 11, 1, kPlenty);
  outbox_.Take(Tokens(1, 0, 3));
  EXPECT_EQ(outbox_.Drop(1), 11u);
  EXPECT_EQ(outbox_.Drop(1), std::nullopt);
  EXPECT_EQ(outbox_.Take(Finished(1, 3)), std::nullopt);
  EXPECT_EQ(outbox_.Take(Ended(1)), std::nullopt);
  outbox_.Grant(1, 5);
  EXPECT_TRUE(Frame().empty());
  EXPECT_TRUE(outbox_.empty());
}

TEST_F(OutboxTest, AFrameIsBoundedAndTheRestComesNext) {
  constexpr int64_t kRequests = 20, kEach = Outbox::kMaxUnreadTokens;
  static_assert(kRequests * kEach > Outbox::kMaxFrameEntries);
  for (uint64_t tag = 1; tag <= kRequests; ++tag) {
    outbox_.Open(tag, tag, 1, kPlenty);
    outbox_.Take(Tokens(tag, 0, kEach));
  }
  std::map<uint64_t, int64_t> read;
  int frames = 0;
  for (auto frame = Frame(); !frame.empty(); frame = Frame(), ++frames) {
    int64_t tokens = 0;
    for (const v1::RequestUpdate& update : frame) {
      tokens += update.tokens().ids_size();
      read[update.tag()] += update.tokens().ids_size();
    }
    EXPECT_LE(tokens, Outbox::kMaxFrameEntries);
  }
  EXPECT_EQ(frames, 2);
  for (const auto& [tag, tokens] : read) EXPECT_EQ(tokens, kEach) << tag;
  EXPECT_EQ(std::ssize(read), kRequests);
}

TEST_F(OutboxTest, EndsAreBoundedToo) {
  constexpr uint64_t kRequests = 2 * Outbox::kMaxFrameUpdates + 1;
  for (uint64_t tag = 1; tag <= kRequests; ++tag) {
    outbox_.Refuse(tag, absl::UnavailableError(std::string(8192, 'x')));
  }
  uint64_t ended = 0;
  for (auto frame = Frame(); !frame.empty(); frame = Frame()) {
    EXPECT_LE(std::ssize(frame), Outbox::kMaxFrameUpdates);
    ended += frame.size();
  }
  EXPECT_EQ(ended, kRequests);
}

TEST_F(OutboxTest, DropAllNamesEveryTicket) {
  outbox_.Open(1, 11, 1, kPlenty);
  outbox_.Open(2, 12, 1, kPlenty);
  outbox_.Take(Tokens(1, 0, 3));
  EXPECT_THAT(outbox_.DropAll(), testing::UnorderedElementsAre(11, 12));
  EXPECT_TRUE(outbox_.empty());
  EXPECT_TRUE(Frame().empty());
}

}  // namespace
}  // namespace quire::worker
