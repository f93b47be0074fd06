// The client of the coordinator and the Watch against real in-process servers.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/core/clock.h"
#include "base/core/hash.h"
#include "base/core/mutex.h"
#include "base/core/test_log.h"
#include "base/net/grpc.h"
#include "gateway/rpc/coordinator_client.h"
#include "gateway/rpc/watcher.h"
#include "proto/coordinator.grpc.pb.h"

namespace quire::gateway {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(60);

class TestCoordinator final : public v1::Coordinator::Service {
 public:
  grpc::Status Admit(grpc::ServerContext*, const v1::AdmitRequest* request,
                     grpc::ServerWriter<v1::AdmitReply>* writer) override {
    v1::AdmitReply reply;
    reply.mutable_placement()->set_group_id(request->model());
    writer->Write(reply);
    reply.mutable_grant()->set_positions(7);
    writer->Write(reply);
    return grpc::Status::OK;
  }
  grpc::Status Settle(grpc::ServerContext*, const v1::SettleRequest* request,
                      v1::SettleReply* reply) override {
    for (const auto& settled : request->requests())
      reply->add_results()->set_request_id(settled.request_id());
    return grpc::Status::OK;
  }
  grpc::Status Progress(grpc::ServerContext*, const v1::ProgressRequest*, v1::ProgressReply*) override {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "not the leader");
  }
  grpc::Status GetTextBundle(grpc::ServerContext*, const v1::GetTextBundleRequest*,
                             grpc::ServerWriter<v1::BundleChunk>* writer) override {
    v1::BundleChunk chunk;
    chunk.set_data("hello ");
    writer->Write(chunk);
    chunk.set_data("world");
    chunk.set_last(true);
    writer->Write(chunk);
    return grpc::Status::OK;
  }
  // The first streams break after their full state; later ones stay open.
  grpc::Status Watch(grpc::ServerContext*, const v1::WatchRequest*,
                     grpc::ServerWriter<v1::WatchEvent>* writer) override {
    const int stream = ++watches;
    if (const grpc::Status refusal = watch_refusal(stream); !refusal.ok()) return refusal;
    v1::WatchEvent event;
    event.mutable_key()->set_key_id("key" + std::to_string(stream));
    writer->Write(event);
    event.set_synced(true);
    writer->Write(event);
    if (stream <= watches_that_break) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "going");
    over.WaitForNotification();
    return grpc::Status::OK;
  }
  std::atomic<int> watches{0};
  int watches_that_break = 1;
  Notification over;
  std::function<grpc::Status(int stream)> watch_refusal = [](int) { return grpc::Status::OK; };
};

struct RpcTestServers {
  RpcTestServers() {
    auto started = StartGrpcServer({}, {&coordinator});
    EXPECT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
    address = "127.0.0.1:" + std::to_string(server.port);
  }
  ~RpcTestServers() {
    coordinator.over.Notify();
    server.server->Shutdown(std::chrono::system_clock::now());
  }

  std::shared_ptr<grpc::Channel> Connect() { return *MakeGrpcChannel(address, {}); }

  TestCoordinator coordinator;
  GrpcServer server;
  std::string address;
};

class RpcTest : public testing::Test {
 protected:
  std::shared_ptr<grpc::Channel> Connect() { return servers_.Connect(); }

  ManualClock clock_;
  RpcTestServers servers_;
};

TEST_F(RpcTest, AdmitStreamsItsRepliesThenEnds) {
  CoordinatorClient client(Connect());
  v1::AdmitRequest request;
  request.set_model("m");
  std::vector<v1::AdmitReply> replies;
  absl::Status end;
  Notification ended;
  auto call = client.Admit(
      request, [&](const v1::AdmitReply& reply) { replies.push_back(reply); },
      [&](const absl::Status& status) {
        end = status;
        ended.Notify();
      });
  ASSERT_TRUE(ended.WaitForNotificationWithTimeout(kLimit));
  EXPECT_TRUE(end.ok()) << end;
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].placement().group_id(), "m");
  EXPECT_EQ(replies[1].grant().positions(), 7u);
}

TEST_F(RpcTest, UnaryCallsBringRepliesAndErrors) {
  CoordinatorClient client(Connect());
  v1::SettleRequest settle;
  settle.add_requests()->set_request_id("id");
  absl::StatusOr<v1::SettleReply> settled;
  absl::StatusOr<v1::ProgressReply> progressed;
  Notification first, second;
  client.Settle(settle, [&](absl::StatusOr<v1::SettleReply> reply) {
    settled = std::move(reply);
    first.Notify();
  });
  client.Progress({}, [&](absl::StatusOr<v1::ProgressReply> reply) {
    progressed = std::move(reply);
    second.Notify();
  });
  ASSERT_TRUE(first.WaitForNotificationWithTimeout(kLimit) && second.WaitForNotificationWithTimeout(kLimit));
  ASSERT_TRUE(settled.ok()) << settled.status();
  EXPECT_EQ(settled->results(0).request_id(), "id");
  EXPECT_TRUE(absl::IsUnavailable(progressed.status()));
  EXPECT_EQ(progressed.status().message(), "not the leader");
}

TEST_F(RpcTest, ABundleIsTakenOnlyWithItsDigest) {
  CoordinatorClient client(Connect());
  absl::StatusOr<std::string> right, wrong;
  Notification first, second;
  auto right_call =
      client.GetTextBundle(ToBytes(Sha256("hello world")), [&](absl::StatusOr<std::string> data) {
        right = std::move(data);
        first.Notify();
      });
  auto wrong_call = client.GetTextBundle(ToBytes(Sha256("other")), [&](absl::StatusOr<std::string> data) {
    wrong = std::move(data);
    second.Notify();
  });
  ASSERT_TRUE(first.WaitForNotificationWithTimeout(kLimit) && second.WaitForNotificationWithTimeout(kLimit));
  ASSERT_TRUE(right.ok()) << right.status();
  EXPECT_EQ(*right, "hello world");
  EXPECT_TRUE(absl::IsDataLoss(wrong.status()));
}

TEST_F(RpcTest, WatchIsOpenedAgainAndSwapsTheWholeState) {
  Facts facts;
  std::atomic<int> synced{0};
  Notification twice;
  Watcher watcher(Connect(), "g", facts, clock_, [&] {
    if (++synced == 2) twice.Notify();
  });
  ASSERT_TRUE(twice.WaitForNotificationWithTimeout(kLimit));
  EXPECT_EQ(facts.FindKey("key1"), nullptr);
  EXPECT_NE(facts.FindKey("key2"), nullptr);
}

// Each try ends, and the next one says that we are awake: an absence ages by them alone.
TEST_F(RpcTest, AWatchOfNobodyEnds) {
  CoordinatorClient client(*MakeGrpcChannel("127.0.0.1:1", {}));
  const auto ended = std::make_shared<Notification>();
  const auto call = client.Watch(
      {}, [](const v1::WatchEvent&) {},
      [ended](const absl::Status& end) {
        EXPECT_TRUE(absl::IsUnavailable(end)) << end;
        ended->Notify();
      });
  EXPECT_TRUE(ended->WaitForNotificationWithTimeout(kLimit));
}

class WatchLogTest : public testing::Test {
 protected:
  CapturedLog log_;  // first: the watcher's threads write to it
  ManualClock clock_;
  RpcTestServers servers_;
};

TEST_F(WatchLogTest, OneLineWhereAnOutageBeginsOrTurnsAndOneWhereItEnds) {
  servers_.coordinator.watch_refusal = [](int stream) {
    if (stream <= 4) return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "another pepper");
    if (stream <= 8) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "it restarts");
    return grpc::Status::OK;
  };
  servers_.coordinator.watches_that_break = 0;
  Facts facts;
  Notification synced;
  {
    Watcher watcher(servers_.Connect(), "g", facts, clock_, [&] { synced.Notify(); });
    ASSERT_TRUE(synced.WaitForNotificationWithTimeout(kLimit));
  }
  EXPECT_EQ(log_.Count("watch_ended"), 2) << log_.Text();
  EXPECT_NE(log_.Text().find("another pepper"), std::string::npos);
  EXPECT_NE(log_.Text().find("it restarts"), std::string::npos);
  EXPECT_EQ(log_.Count("watch_answered_again"), 1) << log_.Text();
}

TEST_F(WatchLogTest, AWatchThatBreaksEachTimeItWasAnsweredFillsNoLog) {
  constexpr int kBreaks = 20, kLines = Watcher::kOutageLines.burst;
  static_assert(kLines < kBreaks);
  servers_.coordinator.watches_that_break = kBreaks;
  Facts facts;
  std::atomic<int> answered{0};
  Notification stands;
  {
    Watcher watcher(servers_.Connect(), "g", facts, clock_, [&] {
      if (++answered == kBreaks + 1) stands.Notify();
    });
    ASSERT_TRUE(stands.WaitForNotificationWithTimeout(kLimit));
  }
  EXPECT_EQ(log_.Count("watch_ended"), kLines) << log_.Text();
  EXPECT_EQ(log_.Count("watch_answered_again"), kLines) << log_.Text();
}

}  // namespace
}  // namespace quire::gateway
