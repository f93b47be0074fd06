// Sessions over a real wire: many requests on one stream, and what happens to it and to them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/rpc/group_server.h"
#include "worker/rpc/testing/scripted_group.h"

namespace quire::worker {
namespace {

using testing::HasSubstr;

v1::GenerateRequest Seeded(uint64_t seed, uint32_t max_tokens) {
  v1::GenerateRequest request = TestRequest(10 + static_cast<int>(seed), max_tokens);
  request.set_seed(seed);
  return request;
}

TEST(Session, ManyRequestsGetWhatEachGetsAlone) {
  ScriptedGroup group;
  const auto session = group.OpenSession();
  for (uint64_t tag = 1; tag <= 16; ++tag) session->Submit(tag, Seeded(tag, 60));
  for (uint64_t tag = 1; tag <= 16; ++tag) {
    const Reply& reply = session->ReadToEnd(tag);
    EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
    EXPECT_TRUE(reply.in_order);
    EXPECT_EQ(reply.ids(), group.Expected(Seeded(tag, 60)));
    EXPECT_EQ(reply.finished(), v1::FINISH_LENGTH);
  }
  group.AuditIdle();
}

TEST(Session, AFrameHasWhatAStepBroughtToAll) {
  ScriptedGroup group({.held_from_step = 1});
  const auto session = group.OpenSession();
  for (uint64_t tag = 1; tag <= 8; ++tag) session->Submit(tag, Seeded(tag, 20));
  session->Submit(9, v1::GenerateRequest());  // its refusal says that the others are there
  EXPECT_FALSE(session->ReadToEnd(9).status.ok());
  group.ReleaseSteps();
  int most = 0;
  for (uint64_t tag = 1; tag <= 8; ++tag) {
    session->ReadUntil([&] {
      most = std::max(most, session->frame().updates_size());
      return session->reply(tag).ended;
    });
  }
  EXPECT_EQ(most, 8);
}

TEST(Session, EachRequestEndsAlone) {
  ScriptedGroup group;
  const auto session = group.OpenSession();
  v1::GenerateRequest wrong = TestRequest(20, 12), old = TestRequest(20, 12);
  wrong.add_prompt_ids(1 << 30);
  old.set_group_epoch(kTestEpoch - 1);
  session->Submit(1, wrong);
  session->Submit(2, old);
  session->Submit(3, TestRequest(20, 12));
  EXPECT_EQ(session->ReadToEnd(1).status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(session->ReadToEnd(2).status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(session->ReadToEnd(3).ids(), group.Expected(TestRequest(20, 12)));
}

// Its tokens wait for it in the worker, and those of others pass.
TEST(Session, WhoLacksCreditHoldsUpNobodyElse) {
  ScriptedGroup group;
  const auto session = group.OpenSession();
  session->Submit(1, Seeded(1, 100), /*credit=*/7);
  session->Submit(2, Seeded(2, 400));
  EXPECT_EQ(session->ReadToEnd(2).ids(), group.Expected(Seeded(2, 400)));
  group.AuditIdle();  // all of it is made
  const Reply& slow = session->reply(1);
  EXPECT_EQ(slow.ids().size(), 7u);
  EXPECT_FALSE(slow.ended);
  session->Grant(1, 3);
  session->ReadUntil([&] { return slow.ids().size() >= 10; });
  EXPECT_EQ(slow.ids().size(), 10u);
  session->Grant(1, 90);
  EXPECT_EQ(session->ReadToEnd(1).ids(), group.Expected(Seeded(1, 100)));
  EXPECT_TRUE(slow.in_order);
}

TEST(Session, AReaderThatIsTooSlowLosesItsRequestOnly) {
  ScriptedGroup group({.kv_blocks = 6000});
  const auto session = group.OpenSession();
  session->Submit(1, TestRequest(1, 90'000), /*credit=*/5);
  const Reply& slow = session->ReadToEnd(1);
  EXPECT_EQ(slow.status.error_code(), grpc::ABORTED);  // to be resumed once it reads again
  EXPECT_EQ(slow.ids().size(), 5u);
  group.AuditIdle();
  session->Submit(2, TestRequest(20, 12));
  EXPECT_TRUE(session->ReadToEnd(2).status.ok());
}

TEST(Session, AnAbortFreesItsBlocksWithinTwoStepsAndNothingMoreIsSaid) {
  ScriptedGroup group({.kv_blocks = 6000});
  const auto session = group.OpenSession();
  session->Submit(1, TestRequest(20, 90'000));
  ASSERT_TRUE(session->ReadUntil([&] { return !session->reply(1).ids().empty(); }));
  session->Abort(1);
  session->Abort(1);      // twice is once
  session->Abort(77);     // nobody
  session->Grant(77, 5);  // nobody
  group.AuditIdle();
  session->Submit(2, TestRequest(20, 12));
  EXPECT_EQ(session->ReadToEnd(2).ids(), group.Expected(TestRequest(20, 12)));
  EXPECT_FALSE(session->reply(1).ended);
  EXPECT_GE(group.Metric("quire_worker_cancels_total"), 1);
}

// Whether the end or the abort is first, the request is over and its blocks are free.
TEST(Session, AbortsThatMeetTheEndLeaveNothingBehind) {
  ScriptedGroup group;
  const auto session = group.OpenSession();
  for (uint64_t tag = 1; tag <= 200; ++tag) {
    session->Submit(tag, Seeded(tag % 7, static_cast<uint32_t>(1 + tag % 3)));
    if (tag % 2 == 0) session->ReadUntil([&] { return !session->reply(tag).ids().empty(); });
    session->Abort(tag);
  }
  session->Submit(1000, TestRequest(20, 12));
  EXPECT_TRUE(session->ReadToEnd(1000).status.ok());
  group.AuditIdle();
}

TEST(Session, ItsEndEndsAllItsRequestsAndNoOthers) {
  ScriptedGroup group({.kv_blocks = 6000});
  auto leaves = group.OpenSession(), stays = group.OpenSession();
  for (uint64_t tag = 1; tag <= 4; ++tag) leaves->Submit(tag, TestRequest(20, 90'000));
  stays->Submit(1, TestRequest(20, 500));
  for (uint64_t tag = 1; tag <= 4; ++tag) {
    ASSERT_TRUE(leaves->ReadUntil([&] { return !leaves->reply(tag).ids().empty(); }));
  }
  leaves->Cancel();
  EXPECT_EQ(leaves->End().error_code(), grpc::CANCELLED);
  EXPECT_EQ(stays->ReadToEnd(1).ids(), group.Expected(TestRequest(20, 500)));
  group.AuditIdle();
}

TEST(Session, AGatewayThatClosesItsSideGetsTheRest) {
  ScriptedGroup group;
  const auto session = group.OpenSession();
  session->Submit(1, TestRequest(20, 50), /*credit=*/1);
  session->CloseSending();
  EXPECT_EQ(session->ReadToEnd(1).ids(), group.Expected(TestRequest(20, 50)));
  EXPECT_TRUE(session->End().ok());
}

TEST(Session, ATagIsUsedOnce) {
  ScriptedGroup group;
  for (const uint64_t second : {5, 4, 0}) {
    const auto session = group.OpenSession();
    session->Submit(5, TestRequest(20, 90'000));
    session->Submit(second, TestRequest(20, 12));
    EXPECT_EQ(session->End().error_code(), grpc::INVALID_ARGUMENT);
  }
  group.AuditIdle();
}

TEST(Session, MessageBeyondTheLimitEndsItsSessionOnly) {
  ScriptedGroup group;
  auto session = group.OpenSession(), other = group.OpenSession();
  session->Submit(1, TestRequest(17 << 20, 1));
  EXPECT_EQ(session->ReadToEnd(1).status.error_code(), grpc::RESOURCE_EXHAUSTED);
  other->Submit(1, TestRequest(20, 12));
  EXPECT_TRUE(other->ReadToEnd(1).status.ok());
}

TEST(Session, EndsWithTheGroup) {
  ScriptedGroup group({.held_from_step = 3});
  const auto session = group.OpenSession(), idle = group.OpenSession();
  session->Submit(1, TestRequest(20, 50));
  ASSERT_TRUE(session->ReadUntil([&] { return !session->reply(1).ids().empty(); }));
  group.server().Lose(absl::UnavailableError("rank 1 is silent"));  // while the engine hangs in a step
  for (const auto* lost : {&session, &idle}) {
    const grpc::Status end = (*lost)->End();
    EXPECT_EQ(end.error_code(), grpc::UNAVAILABLE);
    EXPECT_THAT(end.error_message(), HasSubstr("rank 1 is silent"));
  }
  EXPECT_EQ(group.OpenSession()->End().error_code(), grpc::UNAVAILABLE);
  group.ReleaseSteps();
}

// What a drain ends goes on elsewhere, and the session of a server that closes says so too.
TEST(Session, ADrainedServerEndsItOnPurpose) {
  ScriptedGroup group;
  const auto session = group.OpenSession();
  session->Submit(1, TestRequest(20, 12));
  EXPECT_TRUE(session->ReadToEnd(1).status.ok());
  EXPECT_TRUE(group.server().Drain(absl::Seconds(60)));
  session->Submit(2, TestRequest(20, 12));
  EXPECT_EQ(session->ReadToEnd(2).status.error_code(), grpc::ABORTED);
  std::thread close([&] { group.server().Close(); });
  EXPECT_EQ(session->End().error_code(), grpc::ABORTED);
  close.join();
}

// Also of who has no credit, since none can come any more.
TEST(Session, ADrainedServerSaysAllBeforeItEnds) {
  ScriptedGroup group;
  const auto session = group.OpenSession();
  session->Submit(1, TestRequest(20, 500), /*credit=*/1);
  session->Submit(2, TestRequest(20, 500));
  ASSERT_TRUE(session->ReadUntil([&] { return session->reply(2).ended; }));
  EXPECT_TRUE(group.server().Drain(absl::Seconds(60)));
  EXPECT_EQ(session->reply(1).ids().size(), 1u);
  std::thread close([&] { group.server().Close(); });
  EXPECT_EQ(session->ReadToEnd(1).ids(), group.Expected(TestRequest(20, 500)));
  EXPECT_TRUE(session->reply(1).ended);
  EXPECT_EQ(session->End().error_code(), grpc::ABORTED);
  close.join();
}

TEST(Session, BeatsWhileNothingIsToBeSaid) {
  ScriptedGroup group;
  const auto session = group.OpenSession();
  ASSERT_TRUE(session->ReadFrame());  // before any request
  EXPECT_EQ(session->frame().updates_size(), 0);
  session->Submit(1, TestRequest(20, 5));
  EXPECT_TRUE(session->ReadToEnd(1).status.ok());
  ASSERT_TRUE(session->ReadFrame());
  EXPECT_EQ(session->frame().updates_size(), 0);
}

// With all the credit there is, nothing but the wire holds the tokens up.
TEST(Session, APeerThatReadsNothingLosesIt) {
  ScriptedGroup group({.kv_blocks = 6000});
  const auto session = group.OpenSessionWithFixedWindow();
  const auto other = group.OpenSession();
  for (uint64_t tag = 1; tag <= 4; ++tag) session->Submit(tag, TestRequest(1, 90'000));
  session->Submit(5, TestRequest(1, 30));
  for (uint64_t tag = 1; tag <= 5; ++tag) {  // all are there
    ASSERT_TRUE(session->ReadUntil([&] { return !session->reply(tag).ids().empty(); }));
  }
  group.AuditIdle();               // what outgrew the window is aborted; all of it is still to be read
  while (session->Grant(77, 1)) {  // nobody: it only tells whether the session is still there
    ASSERT_TRUE(other->ReadFrame());
  }
  EXPECT_EQ(session->End().error_code(), grpc::CANCELLED);
}

// Refusals cost the engine nothing: the session's own bound holds them.
TEST(Session, APeerThatLeavesEndsUnreadLosesIt) {
  ScriptedGroup group;
  const auto session = group.OpenSessionWithFixedWindow();
  const auto other = group.OpenSession();
  for (uint64_t tag = 1; tag <= 4 * Session::kMaxChoices; ++tag) session->Submit(tag, v1::GenerateRequest());
  while (session->Grant(77, 1)) {  // it reads nothing until it is gone
    ASSERT_TRUE(other->ReadFrame());
  }
  EXPECT_THAT(session->End().error_code(), testing::AnyOf(grpc::RESOURCE_EXHAUSTED, grpc::CANCELLED));
  EXPECT_LT(group.Metric("quire_worker_refused_requests_total"), 3 * Session::kMaxChoices);
  EXPECT_TRUE(group.Generate(TestRequest(20, 12)).status.ok());
}

}  // namespace
}  // namespace quire::worker
