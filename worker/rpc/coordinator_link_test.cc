// The link against a real coordinator service of the test's own.
#include "worker/rpc/coordinator_link.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/core/fd.h"
#include "base/process/kept_port.h"
#include "worker/rpc/testing/scripted_group.h"

namespace quire::worker {
namespace {

class FakeCoordinator final : public v1::Coordinator::Service {
 public:
  grpc::Status Register(grpc::ServerContext*,
                        grpc::ServerReaderWriter<v1::RegisterReply, v1::RegisterRequest>* stream) override {
    v1::RegisterRequest request;
    if (!stream->Read(&request)) return grpc::Status::CANCELLED;
    if (Fenced()) return grpc::Status(grpc::FAILED_PRECONDITION, "the epoch is over");
    const v1::GroupInfo group = request.group();
    v1::RegisterReply reply;
    std::string received;
    if (want_bundle) {
      reply.set_need_bundle(true);
      stream->Write(reply);
      while (stream->Read(&request)) {
        received += request.chunk().data();
        if (request.chunk().last()) break;
      }
    }
    reply.mutable_accepted()->set_heartbeat_ms(50);
    stream->Write(reply);
    {
      MutexLock lock(&mutex);
      registrations.push_back(group);
      bundle = received;
    }
    stream->Read(&request);  // until somebody ends it
    return grpc::Status(grpc::UNAVAILABLE, "over");
  }

  grpc::Status Heartbeat(grpc::ServerContext*, const v1::HeartbeatRequest* request,
                         v1::HeartbeatReply* reply) override {
    MutexLock lock(&mutex);
    beats.push_back(*request);
    reply->set_known(!forget);
    reply->set_drain(drain);
    forget = false;
    return grpc::Status::OK;
  }

  void Await(size_t registered, size_t beaten) {
    const auto reached = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
      return registrations.size() >= registered && beats.size() >= beaten;
    };
    MutexLock lock(&mutex);
    EXPECT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&reached), absl::Seconds(30)));
  }

  bool want_bundle = false;  // before it serves
  Mutex mutex;
  bool fence ABSL_GUARDED_BY(mutex) = false;
  int refused ABSL_GUARDED_BY(mutex) = 0;
  bool forget ABSL_GUARDED_BY(mutex) = false;
  bool drain ABSL_GUARDED_BY(mutex) = false;
  std::vector<v1::GroupInfo> registrations ABSL_GUARDED_BY(mutex);
  std::vector<v1::HeartbeatRequest> beats ABSL_GUARDED_BY(mutex);
  std::string bundle ABSL_GUARDED_BY(mutex);

 private:
  bool Fenced() {
    MutexLock lock(&mutex);
    refused += fence ? 1 : 0;
    return fence;
  }
};

// The coordinator service at a port, for as long as this lives.
struct Serving {
  explicit Serving(FakeCoordinator* service, int port = 0) {
    GrpcServerOptions options;
    options.port = port;
    auto started = StartGrpcServer(options, {service});
    EXPECT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
  }
  ~Serving() { server.server->Shutdown(std::chrono::system_clock::now()); }
  std::string address() const { return absl::StrCat("127.0.0.1:", server.port); }
  GrpcServer server;
};

TestKnobs Knobs(const std::string& coordinator, TextBundle bundle = {}) {
  TestKnobs knobs;
  knobs.coordinator = coordinator;
  knobs.bundle = std::move(bundle);
  return knobs;
}

TEST(CoordinatorLink, RegistersWithItsFactsAndBeats) {
  FakeCoordinator coordinator;
  Serving serving(&coordinator);
  ScriptedGroup group(Knobs(serving.address(), {"bundle", "digest"}));
  coordinator.Await(1, 2);
  MutexLock lock(&coordinator.mutex);
  const v1::GroupInfo& info = coordinator.registrations[0];
  EXPECT_EQ(info.group_id(), "group-a");
  EXPECT_EQ(info.epoch(), kTestEpoch);
  EXPECT_EQ(info.address(), absl::StrCat("127.0.0.1:", group.server().port()));
  EXPECT_EQ(info.bundle_digest(), "digest");
  EXPECT_EQ(info.kv_blocks(), 64u);
  EXPECT_EQ(info.block_tokens(), 16u);
  EXPECT_TRUE(coordinator.beats[0].healthy());
  EXPECT_EQ(coordinator.beats[0].kv_blocks_free(), 64u);
}

TEST(CoordinatorLink, SendsTheBundleInChunksWhenAsked) {
  std::string bundle;
  for (int i = 0; i < 400'000; ++i) absl::StrAppend(&bundle, i);  // 2.3 MB
  FakeCoordinator coordinator;
  coordinator.want_bundle = true;
  Serving serving(&coordinator);
  ScriptedGroup group(Knobs(serving.address(), {bundle, "digest"}));
  coordinator.Await(1, 1);
  MutexLock lock(&coordinator.mutex);
  EXPECT_EQ(coordinator.bundle, bundle);
}

TEST(CoordinatorLink, RegistersAgainWithASuccessor) {
  FakeCoordinator first, second;
  const KeptPort port = *KeptPort::Keep("127.0.0.1", 0);  // so that nobody else takes it between the two
  auto serving = std::make_unique<Serving>(&first, port.port());
  ScriptedGroup group(Knobs(serving->address()));
  first.Await(1, 1);
  serving.reset();
  Serving successor(&second, port.port());
  second.Await(1, 1);
  EXPECT_TRUE(group.Generate(TestRequest(5, 3)).status.ok());
}

TEST(CoordinatorLink, RegistersAgainWhenItIsForgotten) {
  FakeCoordinator coordinator;
  Serving serving(&coordinator);
  ScriptedGroup group(Knobs(serving.address()));
  coordinator.Await(1, 1);
  {
    MutexLock lock(&coordinator.mutex);
    coordinator.forget = true;
  }
  coordinator.Await(2, 2);
}

TEST(CoordinatorLink, UnhealthyGroupSaysSo) {
  FakeCoordinator coordinator;
  Serving serving(&coordinator);
  ScriptedGroup group(Knobs(serving.address()));
  coordinator.Await(1, 1);
  group.set_healthy(false);
  const auto unhealthy = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(coordinator.mutex) {
    return !coordinator.beats.back().healthy();
  };
  MutexLock lock(&coordinator.mutex);
  EXPECT_TRUE(coordinator.mutex.AwaitWithTimeout(absl::Condition(&unhealthy), absl::Seconds(30)));
}

TEST(CoordinatorLink, ADrainingGroupSaysSoAndLivesOn) {
  FakeCoordinator coordinator;
  Serving serving(&coordinator);
  ScriptedGroup group(Knobs(serving.address()));
  coordinator.Await(1, 1);
  EXPECT_TRUE(group.server().Drain(absl::Seconds(60)));
  const auto draining = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(coordinator.mutex) {
    return coordinator.beats.back().draining();
  };
  MutexLock lock(&coordinator.mutex);
  EXPECT_TRUE(coordinator.mutex.AwaitWithTimeout(absl::Condition(&draining), absl::Seconds(60)));
  EXPECT_TRUE(coordinator.beats.back().healthy());  // not lost: what runs may end
}

// A coordinator that stops fences its groups and tells them to end: what runs may end as the drain allows.
TEST(CoordinatorLink, AFenceIsNoLossForAGroupThatDrains) {
  FakeCoordinator coordinator;
  Serving serving(&coordinator);
  TestKnobs knobs = Knobs(serving.address());
  knobs.held_from_step = 3;
  ScriptedGroup group(knobs);
  coordinator.Await(1, 1);
  auto open = group.Open(TestRequest(20, 50));
  ASSERT_TRUE(open->ReadUntilToken());
  bool all_ended = false;
  std::thread drain([&] { all_ended = group.server().Drain(absl::Seconds(600)); });
  const auto draining = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(coordinator.mutex) {
    return coordinator.beats.back().draining();
  };
  const auto refused = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(coordinator.mutex) {
    return coordinator.refused > 0;
  };
  {
    MutexLock lock(&coordinator.mutex);
    EXPECT_TRUE(coordinator.mutex.AwaitWithTimeout(absl::Condition(&draining), absl::Seconds(60)));
    coordinator.fence = coordinator.forget = true;
    EXPECT_TRUE(coordinator.mutex.AwaitWithTimeout(absl::Condition(&refused), absl::Seconds(60)));
  }
  group.ReleaseSteps();
  drain.join();
  EXPECT_TRUE(all_ended);
  EXPECT_EQ(open->ReadToEnd().ids(), group.Expected(TestRequest(20, 50)));
  EXPECT_FALSE(group.lost().HasBeenNotified());
}

TEST(CoordinatorLink, FencedEpochLosesTheGroup) {
  FakeCoordinator coordinator;
  {
    MutexLock lock(&coordinator.mutex);
    coordinator.fence = true;
  }
  Serving serving(&coordinator);
  ScriptedGroup group(Knobs(serving.address()));
  group.lost().WaitForNotification();
  EXPECT_EQ(group.Generate(TestRequest(5, 3)).status.error_code(), grpc::UNAVAILABLE);
}

TEST(CoordinatorLink, DrainIsHandedOn) {
  FakeCoordinator coordinator;
  {
    MutexLock lock(&coordinator.mutex);
    coordinator.drain = true;
  }
  Serving serving(&coordinator);
  ScriptedGroup group(Knobs(serving.address()));
  group.drained().WaitForNotification();
}

// A minute passes whenever somebody looks.
class HastyClock final : public Clock {
 public:
  int64_t NowUs() const override { return now_us_.fetch_add(60'000'000); }
  int64_t UnixMs() const override { return 0; }

 private:
  mutable std::atomic<int64_t> now_us_{0};
};

TEST(CoordinatorLink, AGroupWhoseOwnerIsGoneEndsItself) {
  const KeptPort nobodys = *KeptPort::Keep("127.0.0.1", 0);
  HastyClock clock;
  Notification drained;
  CoordinatorLinkOptions options;
  options.address = absl::StrCat("127.0.0.1:", nobodys.port());
  options.owner_lock = absl::StrCat(testing::TempDir(), "/no-such-folder/lock");
  options.clock = &clock;
  options.on_drain = [&] {
    if (!drained.HasBeenNotified()) drained.Notify();
  };
  const auto link = *CoordinatorLink::Start(std::move(options));
  drained.WaitForNotification();
}

class OwnerWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/quire_owner_XXXXXX";
    lock_ = Fd(mkstemp(path_.data()));
    ASSERT_EQ(flock(lock_.get(), LOCK_EX), 0);
  }
  void TearDown() override { unlink(path_.c_str()); }
  // Minutes of tries, a second apart, until the first that says so; -1 = none does.
  int MinutesUntilGone(OwnerWatch& watch, int minutes) {
    for (int second = 1; second <= minutes * 60; ++second) {
      clock_.AdvanceMs(1000);
      if (watch.Missed()) return (second + 59) / 60;
    }
    return -1;
  }

  ManualClock clock_;
  std::string path_;
  Fd lock_;
};

TEST_F(OwnerWatchTest, AFreeFolderAndAQuarterOfAnHour) {
  lock_.Close();
  OwnerWatch watch(path_, clock_);
  EXPECT_EQ(MinutesUntilGone(watch, 60), 15);
}

TEST_F(OwnerWatchTest, WhoeverHoldsTheFolderIsWaitedFor) {
  OwnerWatch watch(path_, clock_);
  EXPECT_EQ(MinutesUntilGone(watch, 100), -1);
  lock_.Close();
  EXPECT_NE(MinutesUntilGone(watch, 15), -1);
}

TEST_F(OwnerWatchTest, AnAnswerBeginsTheTimeAnew) {
  lock_.Close();
  OwnerWatch watch(path_, clock_);
  EXPECT_EQ(MinutesUntilGone(watch, 14), -1);
  watch.Heard();
  EXPECT_EQ(MinutesUntilGone(watch, 60), 15);
}

TEST_F(OwnerWatchTest, ANightsSleepIsNotAnAbsence) {
  lock_.Close();
  OwnerWatch watch(path_, clock_);
  for (int night = 0; night < 14; ++night) {
    clock_.AdvanceMs(8 * 3'600'000);
    EXPECT_FALSE(watch.Missed());
  }
}

TEST_F(OwnerWatchTest, AGroupThatOthersStartedWaitsForEver) {
  OwnerWatch watch("", clock_);
  EXPECT_EQ(MinutesUntilGone(watch, 1000), -1);
}

}  // namespace
}  // namespace quire::worker
