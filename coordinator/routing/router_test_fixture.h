// For tests only: a router on a clock that stands still, requests for it, and an answer to wait for.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "coordinator/fleet/test_group_info.h"
#include "coordinator/routing/router.h"

namespace quire::coordinator {

inline RequestId Id(uint8_t n) {
  RequestId id;
  id.bytes[0] = n;
  return id;
}

inline v1::GroupInfo Info(const std::string& id, uint64_t epoch, uint64_t kv_blocks = 10) {
  return TestGroupInfo(id, epoch, kv_blocks);
}

inline RouteRequest Request(uint8_t n, uint64_t prompt_tokens = 16, uint64_t positions = 16) {
  RouteRequest request;
  request.id = Id(n);
  request.account = "acc";
  request.model = "tiny";
  request.prompt_tokens = prompt_tokens;
  request.positions = positions;
  request.most_tokens = prompt_tokens + positions;
  request.max_wait_us = 60'000'000;
  return request;
}

// One answer, waited for.
class Answer {
 public:
  Router::Done Sink() {
    return [this](const Route& route) {
      route_ = route;
      ++count_;
      answered_.Notify();
    };
  }
  const Route& Wait() {
    answered_.WaitForNotification();
    return route_;
  }
  bool Has() const { return answered_.HasBeenNotified(); }
  int count() const { return count_; }

 private:
  Route route_;
  int count_ = 0;
  Notification answered_;
};

class RouterTest : public testing::Test {
 protected:
  Route PlaceNow(RouteRequest request) {
    request.max_wait_us = 0;
    Answer answer;
    router_.Place(std::move(request), answer.Sink());
    return answer.Wait();
  }
  bool Beat(const std::string& id, uint64_t epoch, bool healthy) {
    v1::HeartbeatRequest beat;
    beat.set_group_id(id);
    beat.set_epoch(epoch);
    beat.set_healthy(healthy);
    return router_.Beat(beat);
  }
  // As its gateway says, and as the ledger then does.
  void Settle(uint8_t n, std::vector<std::pair<GroupEpoch, uint64_t>> made_by) {
    router_.Confirm(Id(n), 16, 16);
    router_.Release(Id(n), Served{0, std::move(made_by)});
    router_.Release(Id(n), std::nullopt);
  }
  size_t Waiting() { return router_.Report().waiting; }

  ManualClock clock_;
  Router router_{Router::Config{}, clock_};
};

}  // namespace quire::coordinator
