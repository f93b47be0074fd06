// What one request gets, health and drain over a real wire: a GroupServer in this process, and a generated
// client.
#include "worker/rpc/group_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/engine/testing/scripted_runner.h"
#include "worker/rpc/testing/scripted_group.h"

namespace quire::worker {
namespace {

TEST(Generate, StreamsAcceptedThenTokensThenFinished) {
  ScriptedGroup group;
  const Reply reply = group.Generate(TestRequest(20, 12));
  EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
  EXPECT_TRUE(reply.in_order);
  EXPECT_EQ(reply.accepted.numerics_id(), "scripted-1");
  EXPECT_EQ(reply.ids(), group.Expected(TestRequest(20, 12)));
  EXPECT_EQ(reply.finished(), v1::FINISH_LENGTH);
}

TEST(Generate, ReportsCachedTokens) {
  ScriptedGroup group;
  EXPECT_EQ(group.Generate(TestRequest(40, 3)).accepted.cached_tokens(), 0u);
  EXPECT_EQ(group.Generate(TestRequest(40, 3)).accepted.cached_tokens(), 32u);
}

TEST(Generate, StopIdEndsTheAnswer) {
  ScriptedGroup group;
  v1::GenerateRequest request = TestRequest(20, 12);
  request.mutable_sampling()->add_stop_ids(group.Expected(request)[4]);
  const Reply reply = group.Generate(request);
  EXPECT_EQ(reply.finished(), v1::FINISH_STOP);
  EXPECT_LE(reply.ids().size(), 5u);
  EXPECT_EQ(reply.ids().back(), request.sampling().stop_ids(0));
}

TEST(Generate, ResumedRequestCountsOn) {
  ScriptedGroup group;
  v1::GenerateRequest request = TestRequest(20, 12);
  const std::vector<TokenId> whole = group.Generate(request).ids();
  for (int i = 0; i < 5; ++i) request.mutable_choices(0)->add_resumed_ids(whole[i]);
  const Reply reply = group.Generate(request);
  EXPECT_EQ(reply.choice().first_position, 5u);
  EXPECT_EQ(reply.ids(), std::vector<TokenId>(whole.begin() + 5, whole.end()));
}

TEST(Generate, LogprobsComeWithTheirTokens) {
  ScriptedGroup group;
  v1::GenerateRequest request = TestRequest(20, 12);
  EXPECT_TRUE(group.Generate(request).choice().logprobs.empty());
  request.mutable_sampling()->set_logprobs(true);
  EXPECT_EQ(group.Generate(request).choice().logprobs.size(), 12u);
}

TEST(Generate, InvalidRequestsFailAloneWithTheirStatus) {
  ScriptedGroup group;
  v1::GenerateRequest request = TestRequest(20, 12);
  request.add_prompt_ids(1 << 30);
  EXPECT_EQ(group.Generate(request).status.error_code(), grpc::INVALID_ARGUMENT);
  request = TestRequest(20, 12);
  request.set_group_epoch(77);
  EXPECT_EQ(group.Generate(request).status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_TRUE(group.Generate(TestRequest(20, 12)).status.ok());
}

TEST(Generate, MessageBeyondTheLimitFailsAlone) {
  ScriptedGroup group;
  EXPECT_EQ(group.Generate(TestRequest(17 << 20, 1)).status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(group.Generate(TestRequest(20, 12)).status.ok());
}

TEST(Generate, ManyAtOnceGetWhatEachGetsAlone) {
  ScriptedGroup group;
  std::vector<std::thread> clients;
  for (uint64_t seed = 0; seed < 16; ++seed) {
    clients.emplace_back([&group, seed] {
      v1::GenerateRequest request = TestRequest(10 + static_cast<int>(seed), 60);
      request.set_seed(seed);
      const Reply reply = group.Generate(request);
      EXPECT_TRUE(reply.status.ok()) << reply.status.error_code() << " " << reply.status.error_message();
      EXPECT_EQ(reply.ids(), group.Expected(request));
    });
  }
  for (std::thread& client : clients) client.join();
  group.AuditIdle();
}

TEST(Generate, FullGroupAnswersResourceExhausted) {
  ScriptedGroup group({.max_sequences = 1, .waiting_room = 0, .held_from_step = 3});
  auto open = group.Open(TestRequest(20, 12));
  ASSERT_TRUE(open->ReadUntilToken());
  EXPECT_EQ(group.Generate(TestRequest(20, 12)).status.error_code(), grpc::RESOURCE_EXHAUSTED);
  group.ReleaseSteps();
  EXPECT_TRUE(open->ReadToEnd().status.ok());
}

TEST(Generate, ClientThatLeavesFreesItsBlocksWithinTwoSteps) {
  ScriptedGroup group({.kv_blocks = 6000});
  auto open = group.Open(TestRequest(20, 90'000));
  ASSERT_TRUE(open->ReadUntilToken());
  open->Cancel();
  EXPECT_EQ(open->ReadToEnd().status.error_code(), grpc::CANCELLED);
  group.AuditIdle();
}

TEST(Generate, LostGroupEndsEveryRequestWithUnavailable) {
  ScriptedGroup group({.held_from_step = 3});
  auto open = group.Open(TestRequest(20, 50));
  ASSERT_TRUE(open->ReadUntilToken());
  group.server().Lose(absl::UnavailableError("rank 1 is silent"));  // while the engine hangs in a step
  const Reply reply = open->ReadToEnd();
  EXPECT_EQ(reply.status.error_code(), grpc::UNAVAILABLE);
  EXPECT_THAT(reply.status.error_message(), testing::HasSubstr("rank 1 is silent"));
  EXPECT_EQ(group.Generate(TestRequest(20, 5)).status.error_code(), grpc::UNAVAILABLE);
  group.ReleaseSteps();
}

TEST(Generate, DrainLetsOpenRequestsEnd) {
  ScriptedGroup group({.held_from_step = 3});
  auto open = group.Open(TestRequest(20, 50));
  ASSERT_TRUE(open->ReadUntilToken());
  group.ReleaseSteps();
  EXPECT_TRUE(group.server().Drain(absl::Seconds(30)));
  EXPECT_EQ(open->ReadToEnd().ids(), group.Expected(TestRequest(20, 50)));
  EXPECT_EQ(group.Generate(TestRequest(20, 5)).status.error_code(), grpc::ABORTED);
}

TEST(Generate, DrainEndsWithAbortedWhatTakesTooLong) {
  ScriptedGroup group({.held_from_step = 3});
  auto open = group.Open(TestRequest(20, 50));
  ASSERT_TRUE(open->ReadUntilToken());
  bool all_ended = false;
  std::thread drain([&] { all_ended = group.server().Drain(absl::ZeroDuration()); });
  group.ReleaseSteps();
  drain.join();
  const Reply reply = open->ReadToEnd();
  if (all_ended) {
    EXPECT_TRUE(reply.status.ok());  // the steps were released before the drain looked
  }
  EXPECT_TRUE(reply.status.ok() || reply.status.error_code() == grpc::ABORTED);
  EXPECT_TRUE(reply.in_order);
}

// Who waits long hears that the group is well, for as long as it is.
TEST(Generate, BeatsWhileNothingElseIsToBeSaid) {
  ScriptedGroup group({.held_from_step = 2});
  auto open = group.Open(TestRequest(20, 50));
  ASSERT_TRUE(open->ReadUntilToken());
  ASSERT_TRUE(open->ReadUntilBeat());
  ASSERT_TRUE(open->ReadUntilBeat());
  group.ReleaseSteps();
  EXPECT_EQ(open->ReadToEnd().ids(), group.Expected(TestRequest(20, 50)));
}

TEST(Health, FollowsTheRanks) {
  ScriptedGroup group;
  for (const char* service : {"", "quire.v1.Inference"}) {
    auto watch = group.WatchHealth(service);
    EXPECT_TRUE(watch->AwaitServing(true));
    group.set_healthy(false);
    EXPECT_TRUE(watch->AwaitServing(false));
    group.set_healthy(true);
    EXPECT_TRUE(watch->AwaitServing(true));
  }
}

TEST(Health, NotServingOnceLost) {
  ScriptedGroup group;
  auto watch = group.WatchHealth("");
  EXPECT_TRUE(watch->AwaitServing(true));
  group.server().Lose(absl::UnavailableError("rank 1 is silent"));
  EXPECT_TRUE(watch->AwaitServing(false));
}

}  // namespace
}  // namespace quire::worker
