// The rpc clients against real in-process servers.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/core/clock.h"
#include "base/core/hash.h"
#include "base/core/mutex.h"
#include "base/core/test_log.h"
#include "base/net/grpc.h"
#include "gateway/rpc/coordinator_client.h"
#include "gateway/rpc/watcher.h"
#include "gateway/rpc/worker_client.h"
#include "proto/coordinator.grpc.pb.h"
#include "proto/inference.grpc.pb.h"

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
  // The first streams break after their full state; later ones stay open until cancelled.
  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchRequest*,
                     grpc::ServerWriter<v1::WatchEvent>* writer) override {
    const int stream = ++watches;
    if (const grpc::Status refusal = watch_refusal(stream); !refusal.ok()) return refusal;
    v1::WatchEvent event;
    event.mutable_key()->set_key_id("key" + std::to_string(stream));
    writer->Write(event);
    event.set_synced(true);
    writer->Write(event);
    if (stream <= watches_that_break) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "going");
    while (!context->IsCancelled() && writer->Write(v1::WatchEvent())) absl::SleepFor(absl::Milliseconds(5));
    return grpc::Status::OK;
  }
  std::atomic<int> watches{0};
  int watches_that_break = 1;
  std::function<grpc::Status(int stream)> watch_refusal = [](int) { return grpc::Status::OK; };
};

class TestWorker final : public v1::Inference::Service {
 public:
  grpc::Status Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                        grpc::ServerWriter<v1::GenerateReply>* writer) override {
    deadline = context->deadline();
    v1::GenerateReply reply;
    for (uint32_t i = 0; i < request->max_tokens() && !context->IsCancelled(); ++i) {
      reply.mutable_tokens()->set_first_position(i);
      if (!writer->Write(reply)) break;
    }
    if (request->attempt() == kToldWhenWritten) written.Notify();
    if (context->IsCancelled()) cancelled.Notify();
    return grpc::Status::OK;
  }
  static constexpr uint32_t kToldWhenWritten = 77;
  Notification cancelled, written;
  std::chrono::system_clock::time_point deadline;  // of the last Generate
};

struct RpcTestServers {
  RpcTestServers() {
    auto started = StartGrpcServer({}, {&coordinator, &worker});
    EXPECT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
    address = "127.0.0.1:" + std::to_string(server.port);
  }
  ~RpcTestServers() { server.server->Shutdown(std::chrono::system_clock::now()); }

  std::shared_ptr<grpc::Channel> Connect() { return *MakeGrpcChannel(address, {}); }

  TestCoordinator coordinator;
  TestWorker worker;
  GrpcServer server;
  std::string address;
};

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakePlainChannel(const std::string& address) {
  return MakeGrpcChannel(address, {});
}

class RpcTest : public testing::Test {
 protected:
  std::shared_ptr<grpc::Channel> Connect() { return servers_.Connect(); }

  ManualClock clock_;
  RpcTestServers servers_;
  TestWorker& worker_ = servers_.worker;
  const std::string& address_ = servers_.address;
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
  CoordinatorClient client(*MakePlainChannel("127.0.0.1:1"));
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

// An answer may take hours: it is silence that ends it (Generation).
TEST_F(RpcTest, AGenerateHasNoDeadline) {
  WorkerClient client(MakePlainChannel, clock_);
  v1::GenerateRequest request;
  request.set_max_tokens(1);
  Notification ended;
  const auto call = client.Generate(
      address_, request, [](const v1::GenerateReply&) {}, [&](const absl::Status&) { ended.Notify(); });
  ASSERT_TRUE(ended.WaitForNotificationWithTimeout(kLimit));
  EXPECT_EQ(worker_.deadline, std::chrono::system_clock::time_point::max());
}

TEST_F(RpcTest, GenerateStreamsAndDroppingTheHandleCancels) {
  WorkerClient client(MakePlainChannel, clock_);
  v1::GenerateRequest request;
  request.set_max_tokens(3);
  int tokens = 0;
  Notification ended;
  auto whole = client.Generate(
      address_, request, [&](const v1::GenerateReply&) { ++tokens; },
      [&](const absl::Status&) { ended.Notify(); });
  ASSERT_TRUE(ended.WaitForNotificationWithTimeout(kLimit));
  EXPECT_EQ(tokens, 3);

  request.set_max_tokens(1u << 31);
  Notification started, cut;
  absl::Status end;
  auto endless = client.Generate(
      address_, request,
      [&](const v1::GenerateReply& reply) {
        if (reply.tokens().first_position() == 0) started.Notify();
      },
      [&](const absl::Status& status) {
        end = status;
        cut.Notify();
      });
  ASSERT_TRUE(started.WaitForNotificationWithTimeout(kLimit));
  endless.reset();
  ASSERT_TRUE(cut.WaitForNotificationWithTimeout(kLimit));
  EXPECT_TRUE(absl::IsCancelled(end)) << end;
  EXPECT_TRUE(worker_.cancelled.WaitForNotificationWithTimeout(kLimit));
}

TEST_F(RpcTest, AGenerateIsReadNoFurtherThanItsReaderIs) {
  WorkerClient client(MakePlainChannel, clock_);
  constexpr int64_t kMessages = WorkerClient::kReadAhead + 200;
  v1::GenerateRequest request;
  request.set_max_tokens(kMessages);
  request.set_attempt(TestWorker::kToldWhenWritten);
  Mutex mutex;
  int64_t read = 0, dealt_with = 0, most_ahead = 0;
  Notification ended;
  auto call = client.Generate(
      address_, request,
      [&](const v1::GenerateReply&) {
        MutexLock lock(&mutex);
        most_ahead = std::max(most_ahead, ++read - dealt_with);
      },
      [&](const absl::Status&) { ended.Notify(); });
  ASSERT_TRUE(worker_.written.WaitForNotificationWithTimeout(kLimit));  // all of it lies ready
  {
    MutexLock lock(&mutex);
    const auto full = [&] { return read == WorkerClient::kReadAhead; };
    ASSERT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&full), kLimit));
  }
  for (int64_t i = 0; i < kMessages; ++i) {
    MutexLock lock(&mutex);
    const auto there = [&] { return read > dealt_with; };
    ASSERT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&there), kLimit));
    ++dealt_with;
    call->ReadMore(1);
  }
  ASSERT_TRUE(ended.WaitForNotificationWithTimeout(kLimit));
  EXPECT_EQ(read, kMessages);
  EXPECT_EQ(most_ahead, WorkerClient::kReadAhead);
}

TEST_F(RpcTest, ACallThatIsHeldBackIsCancelledAllTheSame) {
  v1::GenerateRequest request;
  request.set_max_tokens(1u << 31);
  Notification full, ended;
  int64_t read = 0;
  WorkerClient client(MakePlainChannel, clock_);
  auto call = client.Generate(
      address_, request,
      [&](const v1::GenerateReply&) {
        if (++read == WorkerClient::kReadAhead) full.Notify();
      },
      [&](const absl::Status&) { ended.Notify(); });
  ASSERT_TRUE(full.WaitForNotificationWithTimeout(kLimit));
  call.reset();
  EXPECT_TRUE(ended.WaitForNotificationWithTimeout(kLimit));
}

TEST_F(RpcTest, AGroupThatIsNotThereEndsTheCallAtOnce) {
  WorkerClient client(MakePlainChannel, clock_);
  absl::Status end;
  Notification ended;
  auto call = client.Generate(
      "127.0.0.1:1", {}, [](const v1::GenerateReply&) {},
      [&](const absl::Status& status) {
        end = status;
        ended.Notify();
      });
  ASSERT_TRUE(ended.WaitForNotificationWithTimeout(kLimit));
  EXPECT_TRUE(absl::IsUnavailable(end)) << end;
}

class WorkerChannelsTest : public RpcTest {
 protected:
  WorkerClient::Connect Connect() {
    return [this](const std::string& address) {
      auto channel = MakePlainChannel(address);
      channels_[address].push_back(*channel);
      return channel;
    };
  }
  // A call to another address, that of a group which came later.
  static void CallElsewhere(WorkerClient& client, const std::string& address) {
    v1::GenerateRequest request;
    request.set_max_tokens(1);
    Notification ended;
    const auto call = client.Generate(
        address, request, [](const v1::GenerateReply&) {}, [&](const absl::Status&) { ended.Notify(); });
    ASSERT_TRUE(ended.WaitForNotificationWithTimeout(kLimit));
  }
  // The same server under another spelling: not by a name, whose look-up leaks in c-ares.
  const std::string elsewhere_ = absl::StrCat("ipv4:127.0.0.1:", servers_.server.port);
  std::map<std::string, std::vector<std::weak_ptr<grpc::Channel>>> channels_;  // that were made
};

TEST_F(WorkerChannelsTest, TheChannelOfAGroupThatNobodyAsksForIsDropped) {
  WorkerClient client(Connect(), clock_);
  CallElsewhere(client, address_);
  clock_.AdvanceUs(WorkerClient::kUnusedAfterUs - 1);
  CallElsewhere(client, elsewhere_);
  EXPECT_FALSE(channels_[address_].front().expired());
  // A call may still let go of its channel while the next one looks; it is looked at again.
  const absl::Time give_up = absl::Now() + kLimit;
  while (!channels_[address_].front().expired() && absl::Now() < give_up) {
    clock_.AdvanceUs(WorkerClient::kUnusedAfterUs);
    CallElsewhere(client, elsewhere_);
  }
  EXPECT_TRUE(channels_[address_].front().expired());
  EXPECT_EQ(channels_[elsewhere_].size(), 1u);
  CallElsewhere(client, address_);
  EXPECT_EQ(channels_[address_].size(), 2u);
}

TEST_F(WorkerChannelsTest, AChannelWithACallStaysHoweverLongThatTakes) {
  WorkerClient client(Connect(), clock_);
  v1::GenerateRequest request;
  request.set_max_tokens(1u << 31);
  Notification started;
  const auto endless = client.Generate(
      address_, request,
      [&](const v1::GenerateReply& reply) {
        if (reply.tokens().first_position() == 0) started.Notify();
      },
      [](const absl::Status&) {});
  ASSERT_TRUE(started.WaitForNotificationWithTimeout(kLimit));
  for (int i = 0; i < 3; ++i) {
    clock_.AdvanceUs(WorkerClient::kUnusedAfterUs);
    CallElsewhere(client, elsewhere_);
  }
  CallElsewhere(client, address_);
  EXPECT_EQ(channels_[address_].size(), 1u);
}

}  // namespace
}  // namespace quire::gateway
