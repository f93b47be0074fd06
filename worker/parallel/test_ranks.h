// For tests: ranks as threads of one process, over the real shared memory or real TCP, in the clear and with
// TLS. What any form of a group promises is tested over all of them.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/parallel/shm_group.h"
#include "worker/parallel/tcp/tcp_group.h"
#include "worker/parallel/tcp/test_tls.h"

namespace quire::worker {

enum class GroupForm { kShm, kTcp, kTls };

inline std::string FormName(GroupForm form) {
  return form == GroupForm::kShm ? "Shm" : form == GroupForm::kTcp ? "Tcp" : "Tls";
}
inline std::string NameOfForm(const ::testing::TestParamInfo<GroupForm>& info) {
  return FormName(info.param);
}
inline const auto kAllForms = ::testing::Values(GroupForm::kShm, GroupForm::kTcp, GroupForm::kTls);

inline std::string UniqueName() {
  static std::atomic<int> next{0};
  return absl::StrCat("quire-test-", getpid(), "-", next++);
}

// What a test says of one rank.
struct TestRank {
  int rank = 0, size = 2;
  BufferSizes buffers{8192, 1 << 16};  // small: exchanges go in several chunks
  int64_t join_timeout_ms = 120'000;
  int64_t stale_ms = 60'000;  // loaded test machines pause threads
};

inline ShmGroupOptions ShmOptions(const std::string& name, const TestRank& rank) {
  ShmGroupOptions options;
  options.shm = std::make_shared<GroupName>(name);
  options.rank = rank.rank;
  options.size = rank.size;
  options.buffers = rank.buffers;
  options.join_timeout_ms = rank.join_timeout_ms;
  options.stale_ms = rank.stale_ms;
  return options;
}

// Where the ranks of one group meet: a name, or a port that nobody else gets meanwhile.
class TestPlace {
 public:
  explicit TestPlace(GroupForm form) : form_(form) {
    if (form == GroupForm::kShm) return;
    kept_ = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(kept_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    const SocketAddress any = Resolve({"127.0.0.1", 0}).value()[0];
    EXPECT_EQ(bind(kept_.get(), any.get(), any.size()), 0);
  }
  const std::string& shm() const { return name_; }
  std::string rendezvous() const { return LocalAddress(kept_.get()).Text(); }
  TcpGroupOptions Tcp(const TestRank& rank) const {
    TcpGroupOptions options;
    options.meeting.rank = rank.rank;
    options.meeting.size = rank.size;
    options.meeting.rendezvous = rendezvous();
    options.meeting.timeout_ms = rank.join_timeout_ms;
    options.meeting.secret = "of this test";
    if (form_ == GroupForm::kTls) options.meeting.tls = TestCertificates::Get().worker;
    options.buffers = rank.buffers;
    options.stale_ms = rank.stale_ms;
    return options;
  }
  absl::StatusOr<RankGroup> Join(const TestRank& rank, LivenessCallbacks callbacks = {}) const {
    return form_ == GroupForm::kShm ? JoinShmGroup(ShmOptions(name_, rank), std::move(callbacks))
                                    : JoinTcpGroup(Tcp(rank), std::move(callbacks));
  }

 private:
  const GroupForm form_;
  const std::string name_ = UniqueName();
  Fd kept_;  // bound, but it does not listen
};

inline void RunRanks(int size, const std::function<void(int rank)>& body) {
  std::vector<std::thread> ranks;
  for (int r = 0; r < size; ++r) ranks.emplace_back(body, r);
  for (std::thread& rank : ranks) rank.join();
}

// `body` in each rank of a new group, with an `on_lost` that calls `lost(rank)` where that is given.
inline void RunGroup(GroupForm form, const TestRank& each, const std::function<void(RankGroup&)>& body,
                     const std::function<void(int rank)>& lost = nullptr) {
  const TestPlace place(form);
  std::latch all_joined(each.size);
  RunRanks(each.size, [&](int rank) {
    TestRank mine = each;
    mine.rank = rank;
    auto group = place.Join(mine, {[&lost, rank] {
                              if (lost) lost(rank);
                            }});
    all_joined.arrive_and_wait();  // a body that loses the group would else end another's Join
    ASSERT_TRUE(group.ok()) << group.status();
    body(*group);
    group->liveness->Leave();
  });
}

inline void RunGroup(GroupForm form, int size, const std::function<void(RankGroup&)>& body,
                     const std::function<void(int rank)>& lost = nullptr) {
  RunGroup(form, TestRank{.rank = 0, .size = size}, body, lost);
}

}  // namespace quire::worker
