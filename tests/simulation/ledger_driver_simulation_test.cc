// The gateway's real LedgerDriver and Accountant, over real gRPC, and the real Ledger behind a coordinator
// that loses calls and answers, fails commits and goes away, from a seed. Streams deliver what they may and
// wait to be woken where they may not. At the end Drain says that all is settled: then the ledger has every
// request closed, and billed what was delivered. Threads and time are real, so a seed gives the faults and
// the streams, not their exact order (ledger_driver_steps_test.cc has one thread, and a clock that it moves).
// Seeds: base/core/test_seeds.h.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/core/test_seeds.h"
#include "base/net/grpc.h"
#include "proto/coordinator.grpc.pb.h"
#include "tests/simulation/driver_streams.h"
#include "tests/simulation/faulty_books.h"

namespace quire::simulation {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(5);  // what takes longer never comes

// A coordinator as a gateway meets it. Any thread.
class FaultyCoordinator final : public v1::Coordinator::Service {
 public:
  explicit FaultyCoordinator(uint64_t seed) : books_(seed) {}

  v1::AdmitReply Open(const v1::AdmitRequest& request) {
    MutexLock lock(&mutex_);
    return books_.Open(request);
  }
  void SetAway(bool away) {
    MutexLock lock(&mutex_);
    books_.SetAway(away);
  }
  std::string Compare(const std::map<RequestId, uint64_t>& delivered) {
    MutexLock lock(&mutex_);
    return books_.Compare(delivered);
  }

 private:
  grpc::Status Progress(grpc::ServerContext*, const v1::ProgressRequest* request,
                        v1::ProgressReply* reply) override {
    MutexLock lock(&mutex_);
    return Answer(books_.Progress(*request), reply);
  }
  grpc::Status Settle(grpc::ServerContext*, const v1::SettleRequest* request,
                      v1::SettleReply* reply) override {
    MutexLock lock(&mutex_);
    return Answer(books_.Settle(*request), reply);
  }
  template <typename Reply>
  static grpc::Status Answer(const absl::StatusOr<Reply>& done, Reply* reply) {
    if (done.ok()) *reply = *done;
    return ToGrpc(done.status());
  }

  Mutex mutex_;
  FaultyBooks books_ ABSL_GUARDED_BY(mutex_);
};

gateway::AccountantOptions Options(bool goes_away) {
  gateway::AccountantOptions options;
  options.gateway_id = "simulated";
  options.progress_every_us = 5'000;
  options.progress_min_us = 1'000;
  options.grant_ahead = 16;
  if (goes_away) options.stop_after_us = 300'000;
  // Every call ends, so none may be needed to be taken for lost.
  options.settles = {
      .per_message = 3, .resend_us = 1'000, .max_resend_us = 10'000, .lost_after_us = INT64_MAX / 2};
  return options;
}

class DriverWorld {
 public:
  explicit DriverWorld(uint64_t seed)
      : draw_(seed),
        goes_away_(draw_.Percent(30)),
        coordinator_(seed + 1),
        streams_(driver_, clock_,
                 [this](const v1::AdmitRequest& request) { return coordinator_.Open(request); }),
        server_(*StartGrpcServer({}, {&coordinator_})),
        driver_(*MakeGrpcChannel(absl::StrCat("127.0.0.1:", server_.port), {}), clock_, Options(goes_away_)) {
  }

  // Nothing if all went well.
  std::string Run() {
    for (int i = 0; i < 12; ++i) streams_.Open(draw_);
    coordinator_.SetAway(goes_away_);  // R5 ends what it does not finance
    while (!streams_.empty()) {
      if (!streams_.AwaitWoken(kPatience)) return "a stream waits, and nobody wakes it";
      streams_.WriteWoken();
    }
    coordinator_.SetAway(false);
    if (!driver_.Drain(kPatience)) return "what ended is never settled";
    return coordinator_.Compare(streams_.delivered());
  }

 private:
  Draw draw_;
  const bool goes_away_;
  const SystemClock clock_;
  FaultyCoordinator coordinator_;
  DriverStreams streams_;
  GrpcServer server_;
  gateway::LedgerDriver driver_;  // first to go: its calls end before their server
};

TEST(LedgerDriverSimulation, WhatWasDeliveredIsBilledWhateverIsLost) {
  EXPECT_TRUE(SeedsHold("tests/simulation/kept_driver_seeds", 40, [](uint64_t seed) {
    SCOPED_TRACE(absl::StrCat("QUIRE_SEED=", seed));
    return DriverWorld(seed).Run();
  }));
}

}  // namespace
}  // namespace quire::simulation
