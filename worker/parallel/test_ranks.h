// For tests: ranks as threads of one process, over the real shared memory.
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

namespace quire::worker {

inline std::string UniqueName() {
  static std::atomic<int> next{0};
  return absl::StrCat("quire-test-", getpid(), "-", next++);
}

inline ShmGroupOptions GroupOf(const std::string& name, int rank, int size) {
  ShmGroupOptions options;
  options.shm = std::make_shared<GroupName>(name);
  options.rank = rank;
  options.size = size;
  options.buffers.exchange_bytes = 8192;  // small: exchanges go in several chunks
  options.stale_ms = 60'000;              // loaded test machines pause threads
  return options;
}

inline void RunRanks(int size, const std::function<void(int rank)>& body) {
  std::vector<std::thread> ranks;
  for (int r = 0; r < size; ++r) ranks.emplace_back(body, r);
  for (std::thread& rank : ranks) rank.join();
}

// `body` in each rank of a new group, with an `on_lost` that calls `lost(rank)` where that is given.
inline void RunShm(int size, const std::function<void(RankGroup&)>& body,
                   const std::function<void(int rank)>& lost = nullptr) {
  const std::string name = UniqueName();
  std::latch all_joined(size);
  RunRanks(size, [&](int rank) {
    auto group = JoinShmGroup(GroupOf(name, rank, size), {[&lost, rank] {
                                if (lost) lost(rank);
                              }});
    all_joined.arrive_and_wait();  // a body that loses the group would else end another's Join
    ASSERT_TRUE(group.ok()) << group.status();
    body(*group);
    group->liveness->Leave();
  });
}

}  // namespace quire::worker
