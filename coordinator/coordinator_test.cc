#include "coordinator/coordinator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdlib.h>
#include <sys/stat.h>

#include <future>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/core/api_key.h"
#include "base/core/files.h"
#include "coordinator/coordinator_test_fixture.h"

namespace quire::coordinator {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A stream that has lost its group and waits a minute for another.
v1::ReadmitRequest PatientReadmit(const RequestId& id) {
  v1::ReadmitRequest request;
  request.set_request_id(id.ToBytes());
  request.set_model("tiny");
  request.set_tokens_so_far(110);
  request.set_max_tokens(200);
  request.set_max_wait_ms(60'000);
  return request;
}

// ---- requests ----

TEST_F(CoordinatorTest, ARequestFromAdmitToUsage) {
  auto group = Group("g0", 1);
  const RequestId id = RequestId::Random();
  const Admitted admitted = gateway_->Admit(id, key_id_);
  EXPECT_THAT(admitted.order, ElementsAre("placement", "grant"));
  EXPECT_EQ(admitted.placement->group_id(), "g0");
  EXPECT_EQ(admitted.placement->address(), "127.0.0.1:1");
  EXPECT_EQ(admitted.grant->positions(), 256u);
  EXPECT_EQ(admitted.grant->price().completion_nano_usd(), 150);
  EXPECT_EQ(gateway_->Progress(id, 128, 512).granted_positions(), 512u);
  EXPECT_EQ(Get("/admin/v1/groups")["data"][0]["kv_blocks_reserved"], (100 + 512 + 15) / 16);
  const int64_t cost = 100 * 75 + 300 * 150;
  EXPECT_EQ(gateway_->Settle(id, 300), cost);
  EXPECT_EQ(gateway_->Settle(id, 300), cost);  // a resend posts nothing more
  const auto usage = Get("/admin/v1/usage");
  ASSERT_EQ(usage["data"].size(), 1u);
  EXPECT_EQ(usage["data"][0]["key_id"], key_id_);
  EXPECT_EQ(usage["data"][0]["completion_tokens"], 300);
  EXPECT_EQ(usage["data"][0]["cost_nano_usd"], cost);
  EXPECT_EQ(usage["data"][0]["cost_usd"], "0.000052500");
  EXPECT_EQ(usage["accounts"][0]["posted"]["nano_usd"], cost);
  EXPECT_EQ(Get("/admin/v1/groups")["data"][0]["kv_blocks_reserved"], 0);
  EXPECT_EQ(Get("/admin/v1/audit")["balanced"], true);
}

TEST_F(CoordinatorTest, AResentAdmitGetsTheSameAnswer) {
  auto group = Group("g0", 1);
  const RequestId id = RequestId::Random();
  EXPECT_TRUE(gateway_->Admit(id, key_id_).grant.has_value());
  const Admitted again = gateway_->Admit(id, key_id_);
  EXPECT_EQ(again.placement->group_id(), "g0");
  EXPECT_EQ(again.grant->positions(), 256u);
  EXPECT_EQ(Get("/admin/v1/groups")["data"][0]["open_requests"], 1);
}

TEST_F(CoordinatorTest, RefusalsNameTheirReason) {
  auto group = Group("g0", 1);
  auto reason = [&](auto change) {
    v1::AdmitRequest request = gateway_->Request(RequestId::Random(), key_id_);
    change(request);
    const Admitted admitted = gateway_->Admit(request);
    return admitted.refusal ? admitted.refusal->reason() : v1::REFUSAL_UNSPECIFIED;
  };
  EXPECT_EQ(reason([](auto& r) { r.set_key_id("unknown"); }), v1::REFUSAL_KEY);
  EXPECT_EQ(reason([&](auto& r) { r.set_key_id(ParseApiKey(admin_key_)->id); }), v1::REFUSAL_KEY);
  EXPECT_EQ(reason([](auto& r) { r.set_model("other"); }), v1::REFUSAL_MODEL);
  EXPECT_EQ(reason([](auto& r) { r.set_max_tokens(1600); }), v1::REFUSAL_TOO_LARGE);
  const auto poor =
      operator_->Call("POST", "/admin/v1/keys", R"({"name":"p","account":"poor","cap_nano_usd":7500})");
  EXPECT_EQ(reason([&](auto& r) { r.set_key_id(poor.body["id"]); }), v1::REFUSAL_BUDGET);
  const auto scoped = operator_->Call("POST", "/admin/v1/keys", R"({"name":"s","models":["other"]})");
  EXPECT_EQ(reason([&](auto& r) { r.set_key_id(scoped.body["id"]); }), v1::REFUSAL_SCOPE);
  EXPECT_EQ(reason([](auto& r) { r.set_prompt_tokens(100); }), v1::REFUSAL_UNSPECIFIED);
  EXPECT_EQ(Get("/admin/v1/groups")["data"][0]["open_requests"], 1);  // refused ones reserve nothing
}

TEST_F(CoordinatorTest, MalformedRequestsAreErrors) {
  auto code = [&](auto change) {
    v1::AdmitRequest request = gateway_->Request(RequestId::Random(), key_id_);
    change(request);
    return gateway_->Admit(request).status.error_code();
  };
  EXPECT_EQ(code([](auto& r) { r.set_request_id("short"); }), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto& r) { r.set_choices(0); }), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto& r) { r.set_max_tokens(UINT64_MAX); }), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto& r) { r.set_prompt_tokens(UINT64_MAX); }), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto& r) {
              for (int i = 0; i < 65; ++i) *r.add_prefix_hashes() = std::string(32, 'x');
            }),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(CoordinatorTest, WaitsForRoomAndGivesUpInTime) {
  auto group = Group("g0", 1, 30);
  const RequestId first = RequestId::Random();
  v1::AdmitRequest request = gateway_->Request(first, key_id_);
  request.set_max_tokens(300);  // 23 of 30 blocks at once
  ASSERT_TRUE(gateway_->Admit(request).grant.has_value());
  request.set_request_id(RequestId::Random().ToBytes());
  request.set_max_wait_ms(10);
  auto caller = std::async(std::launch::async, [&] { return gateway_->Admit(request); });
  ASSERT_NO_FATAL_FAILURE(AwaitQueued(1, caller));
  clock_.AdvanceMs(11);
  const Admitted refused = caller.get();
  ASSERT_TRUE(refused.refusal.has_value());
  EXPECT_EQ(refused.refusal->reason(), v1::REFUSAL_NO_CAPACITY);
  EXPECT_GE(refused.refusal->retry_after_s(), 1u);
  gateway_->Settle(first, 1);
  EXPECT_TRUE(gateway_->Admit(request).grant.has_value());
}

TEST_F(CoordinatorTest, AnEndedRegistrationAnUnhealthyBeatAndAFenceTakeAGroupOut) {
  auto group = Group("g0", 1);
  auto places = [&] {
    v1::AdmitRequest request = gateway_->Request(RequestId::Random(), key_id_);
    request.set_max_wait_ms(0);
    return gateway_->Admit(request).placement.has_value();
  };
  EXPECT_TRUE(places());
  EXPECT_TRUE(group->Beat(false));
  EXPECT_FALSE(places());
  EXPECT_TRUE(group->Beat(true));
  EXPECT_TRUE(places());
  group->Leave();
  EXPECT_FALSE(places());
  EXPECT_FALSE(group->Beat());
  auto successor = Group("g0", 2);
  EXPECT_TRUE(places());
  EXPECT_EQ(NewGroup("g0", 1)->Register().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(CoordinatorTest, ReadmitAvoidsTheFailedGroup) {
  auto first = Group("g0", 1);
  const RequestId id = RequestId::Random();
  ASSERT_TRUE(gateway_->Admit(id, key_id_).grant.has_value());
  first->Leave();
  auto second = Group("g1", 1);
  v1::ReadmitRequest request;
  request.set_request_id(id.ToBytes());
  request.set_model("tiny");
  request.set_tokens_so_far(110);
  request.set_failed_group_id("g0");
  request.set_failed_group_epoch(1);
  EXPECT_EQ(gateway_->Readmit(request).placement().group_id(), "g1");
  request.set_request_id(RequestId::Random().ToBytes());
  EXPECT_EQ(gateway_->Readmit(request).refusal().reason(), v1::REFUSAL_CLOSED);
}

TEST_F(CoordinatorTest, AReadmitLeavesTheQueueWhenItsGatewayCancelsOrTheRequestIsSettled) {
  auto group = Group("g0", 1);
  const RequestId id = RequestId::Random();
  ASSERT_TRUE(gateway_->Admit(id, key_id_).grant.has_value());
  group->Leave();
  const v1::ReadmitRequest request = PatientReadmit(id);
  grpc::ClientContext context;
  auto caller = std::async(std::launch::async, [&] {
    v1::ReadmitReply reply;
    return gateway_->stub().Readmit(&context, request, &reply);
  });
  ASSERT_NO_FATAL_FAILURE(AwaitQueued(1, caller));
  context.TryCancel();
  EXPECT_EQ(caller.get().error_code(), grpc::StatusCode::CANCELLED);
  const absl::Time patience = absl::Now() + absl::Minutes(2);
  while (Get("/admin/v1/groups")["waiting_requests"] != 0) ASSERT_LT(absl::Now(), patience);

  auto second = std::async(std::launch::async, [&] { return gateway_->Readmit(request); });
  ASSERT_NO_FATAL_FAILURE(AwaitQueued(1, second));
  gateway_->Settle(id, 10);
  EXPECT_EQ(second.get().refusal().reason(), v1::REFUSAL_CLOSED);
}

// ---- restart ----

TEST_F(CoordinatorTest, ASuccessorKnowsKeysModelsMoneyAndOpenRequests) {
  auto group = Group("g0", 3);
  const RequestId open = RequestId::Random(), settled = RequestId::Random();
  ASSERT_TRUE(gateway_->Admit(open, key_id_).grant.has_value());
  ASSERT_TRUE(gateway_->Admit(settled, key_id_).grant.has_value());
  const int64_t cost = gateway_->Settle(settled, 10);
  group.reset();
  Restart();
  TestWatch watch(*gateway_);
  EXPECT_EQ(watch.UntilSynced().size(), 2u);  // the model too, though no group is back yet
  EXPECT_EQ(Get("/admin/v1/usage")["total"]["cost_nano_usd"], cost);
  auto back = Group("g0", 3);  // the same epoch
  EXPECT_FALSE(back->was_asked_for_bundle());
  EXPECT_EQ(gateway_->Progress(open, 5, 0, "g0", 3).granted_positions(), 256u);
  EXPECT_EQ(Get("/admin/v1/groups")["data"][0]["kv_blocks_reserved"], (100 + 256 + 15) / 16);
  EXPECT_EQ(gateway_->Settle(settled, 10), cost);
  EXPECT_EQ(gateway_->Settle(open, 5), 100 * 75 + 5 * 150);
  EXPECT_EQ(Get("/admin/v1/groups")["data"][0]["kv_blocks_reserved"], 0);
}

// Whoever started the group: the coordinator's word on its epochs outlives it.
TEST_F(CoordinatorTest, AnEpochThatWasReplacedStaysOverAfterARestart) {
  Group("g0", 4).reset();
  Group("g0", 5).reset();
  Restart();
  EXPECT_EQ(NewGroup("g0", 4)->Register().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(NewGroup("g0", 5)->Register().ok());
}

// Any local user reaches the port: only who can read the data folder is a worker.
TEST_F(CoordinatorTest, WithoutTheSecretNobodyIsAWorker) {
  for (const char* secret : {"", "guessed"}) {
    TestGroup group(coordinator_->grpc_address(), "g0", 1);
    group.secret = secret;
    const grpc::Status refused = group.Register();
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
    EXPECT_THAT(refused.error_message(), HasSubstr("--worker-secret-file"));
  }
  auto known = Group("g0", 1);
  TestGroup intruder(coordinator_->grpc_address(), "g0", 1);
  EXPECT_FALSE(intruder.Beat(false));
  EXPECT_EQ(Get("/admin/v1/groups")["data"][0]["state"], "serving");
}

// And asks those who call it for that.
TEST_F(CoordinatorTest, AGroupThatRegistersHearsWhatGatewaysShow) {
  EXPECT_EQ(Group("g0", 1)->session_secret, SessionSecret(*ReadWholeFile(config_.data + "/pepper")).value);
}

// What a gateway can is to watch keys, admit and settle.
TEST_F(CoordinatorTest, WithoutThePepperNobodyIsAGateway) {
  for (const char* pepper : {"", "guessed"}) {
    TestGateway intruder(coordinator_->grpc_address(), pepper);
    const Admitted refused = intruder.Admit(RequestId::Random(), key_id_);
    EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
    EXPECT_THAT(refused.status.error_message(), HasSubstr("--pepper-file"));
    grpc::ClientContext context;
    const auto watch = intruder.stub().Watch(&context, {});
    v1::WatchEvent event;
    EXPECT_FALSE(watch->Read(&event));
    EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  }
  TestWatch watch(*gateway_);
  EXPECT_EQ(watch.UntilSynced().size(), 1u);  // the first API key
}

TEST_F(CoordinatorTest, ASecondCoordinatorIsKeptOut) {
  const auto second = Coordinator::Start(config_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another coordinator uses"));
}

// Not refused: nothing is reserved for it, and the successor may be asked under the same id.
TEST_F(CoordinatorTest, WhatWaitsWhenItStopsIsForItsSuccessor) {
  v1::AdmitRequest request = gateway_->Request(RequestId::Random(), key_id_);
  auto group = Group("g0", 1);
  group->Leave();
  grpc::ClientContext context;
  auto stream = gateway_->stub().Admit(&context, request);  // waits for a group
  v1::AdmitReply reply;
  auto caller = std::async(std::launch::async, [&] { return stream->Read(&reply); });
  ASSERT_NO_FATAL_FAILURE(AwaitQueued(1, caller));
  coordinator_->Stop();
  EXPECT_FALSE(caller.get()) << reply.DebugString();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  Restart();
  auto back = Group("g0", 2);
  EXPECT_TRUE(gateway_->Admit(request).grant.has_value());
}

TEST_F(CoordinatorTest, AStreamThatLooksForAGroupWhenItStopsAsksItsSuccessor) {
  auto group = Group("g0", 1);
  const RequestId id = RequestId::Random();
  ASSERT_TRUE(gateway_->Admit(id, key_id_).grant.has_value());
  group->Leave();
  const v1::ReadmitRequest request = PatientReadmit(id);
  grpc::ClientContext context;
  v1::ReadmitReply reply;
  auto caller =
      std::async(std::launch::async, [&] { return gateway_->stub().Readmit(&context, request, &reply); });
  ASSERT_NO_FATAL_FAILURE(AwaitQueued(1, caller));
  coordinator_->Stop();
  EXPECT_EQ(caller.get().error_code(), grpc::StatusCode::UNAVAILABLE) << reply.DebugString();
  Restart();
  auto back = Group("g0", 2);
  EXPECT_EQ(gateway_->Readmit(request).placement().group_epoch(), 2u);
}

TEST_F(CoordinatorTest, ASecretFolderAndAReadyFile) {
  struct stat info {};
  ASSERT_EQ(stat(config_.data.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  for (const char* file : {"/pepper", "/worker_secret", "/keys.json", "/ledger.db"}) {
    ASSERT_EQ(stat((config_.data + file).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u) << file;
  }
  const auto ready = nlohmann::json::parse(*ReadWholeFile(config_.ready_file));
  EXPECT_EQ(ready["grpc"], coordinator_->grpc_address());
  EXPECT_EQ(ready["admin"], coordinator_->admin_address());
  EXPECT_EQ(ready["metrics"], coordinator_->metrics_address());
  EXPECT_EQ(ready["pid"], getpid());
  EXPECT_TRUE(ready["groups"].empty());
}

// Whoever waits for the groups reads it there: a log says it at some levels only.
TEST_F(CoordinatorTest, TheReadyFileListsTheGroupsThatAreRegistered) {
  const auto groups = [&] { return nlohmann::json::parse(*ReadWholeFile(config_.ready_file))["groups"]; };
  const auto g1 = Group("g1", 7);
  EXPECT_EQ(groups(), nlohmann::json::parse(R"([{"id": "g1", "epoch": 7}])"));
  const auto g0 = Group("g0", 3);
  EXPECT_EQ(groups(), nlohmann::json::parse(R"([{"id": "g0", "epoch": 3}, {"id": "g1", "epoch": 7}])"));
}

}  // namespace
}  // namespace quire::coordinator
