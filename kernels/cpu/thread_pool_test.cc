#include "kernels/cpu/thread_pool.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xmmintrin.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <numeric>
#include <optional>
#include <vector>

#include "kernels/cpu/cpu_backend.h"

namespace quire::kernels::cpu {
namespace {

struct PoolCase {
  int threads, spin_us;
};

class ThreadPoolTest : public testing::TestWithParam<PoolCase> {
 protected:
  ThreadPool pool_{GetParam().threads, GetParam().spin_us};
};

TEST_P(ThreadPoolTest, EveryPartRunsOnceAndRunWaits) {
  // Plain ints on purpose: under TSan they prove that Run orders memory.
  std::vector<int> calls(GetParam().threads);
  for (int round = 1; round <= 2000; ++round) {
    pool_.Run([&](int part, int) { ++calls[part]; });
    ASSERT_EQ(std::accumulate(calls.begin(), calls.end(), 0), round * GetParam().threads);
  }
}

TEST_P(ThreadPoolTest, ForEachCoversEveryIndexOnce) {
  for (const int64_t count : {0, 1, 2, 7, 1000}) {
    std::vector<int> seen(count);
    pool_.ForEach(count, [&](int64_t i) { ++seen[i]; });
    EXPECT_EQ(seen, std::vector<int>(count, 1));
  }
}

TEST_P(ThreadPoolTest, OtherThreadsFlushDenormals) {
  std::vector<unsigned> modes(GetParam().threads);
  modes[0] = 0x8040u;                          // the caller's own affair
  while (std::ranges::count(modes, 0u) > 0) {  // until each has come in time for its part
    pool_.Run([&](int, int thread) {
      if (thread != 0) modes[thread] = _mm_getcsr();
    });
  }
  for (const unsigned mode : modes) EXPECT_EQ(mode & 0x8040u, 0x8040u);
}

// A thread held in a signal's handler, as one is that gets no core.
class HeldThread {
 public:
  explicit HeldThread(pthread_t thread) : thread_(thread) {
    EXPECT_EQ(pipe(held_), 0);
    EXPECT_EQ(pipe(go_), 0);
    std::signal(SIGUSR1, [](int) {
      char byte = 0;
      if (write(held_[1], &byte, 1) == 1 && read(go_[0], &byte, 1) == 1 && write(held_[1], &byte, 1) == 1) {
      }
    });
    pthread_kill(thread_, SIGUSR1);
    Wait();
  }
  ~HeldThread() {
    char byte = 0;
    EXPECT_EQ(write(go_[1], &byte, 1), 1);
    Wait();
    for (int fd : {held_[0], held_[1], go_[0], go_[1]}) close(fd);
    std::signal(SIGUSR1, SIG_DFL);
  }

 private:
  static void Wait() {
    char byte = 0;
    EXPECT_EQ(read(held_[0], &byte, 1), 1);
  }
  static inline int held_[2], go_[2];  // what a handler may reach
  const pthread_t thread_;
};

TEST(ThreadPool, WaitsForNoThreadThatHasNotCome) {
  if (dlsym(RTLD_DEFAULT, "__tsan_init") != nullptr) GTEST_SKIP() << "TSan hands a sleeping thread no signal";
  ThreadPool pool(3, 0);
  std::optional<pthread_t> second;
  while (!second.has_value()) {
    pool.Run([&](int, int thread) {
      if (thread == 2) second = pthread_self();
    });
  }
  std::vector<int> calls(3), seen(100);
  {
    const HeldThread held(*second);
    for (int round = 0; round < 100; ++round) pool.Run([&](int part, int) { ++calls[part]; });
    pool.ForEach(100, [&](int64_t i) { ++seen[i]; });
  }
  EXPECT_EQ(calls, std::vector<int>(3, 100));
  EXPECT_EQ(seen, std::vector<int>(100, 1));
  // Once it has a core again, it is one of them again, and takes nothing of what it slept through.
  bool came = false;
  while (!came) {
    pool.Run([&](int part, int thread) {
      ++calls[part];
      if (thread == 2) came = true;
    });
  }
  EXPECT_THAT(calls, testing::Each(calls[0]));
}

// This process may take 128 MiB of addresses more, which are the stacks of some threads, but not of 256.
void LimitAddresses() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t bytes = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE)) + (128 << 20);
  const rlimit limit{bytes, bytes};
  ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

TEST(ThreadPool, ABackendSaysSoWhereThereAreNotEnoughThreads) {
  for (const char* sanitizer : {"__tsan_init", "__asan_init"}) {
    if (dlsym(RTLD_DEFAULT, sanitizer) != nullptr) GTEST_SKIP() << "it needs addresses without end";
  }
  const auto make = [] {
    LimitAddresses();
    const absl::Status made = MakeCpuBackend(256, 0, "auto").status();
    (void)!write(STDERR_FILENO, made.message().data(), made.message().size());
    _exit(absl::IsResourceExhausted(made) ? 0 : 1);
  };
  EXPECT_EXIT(make(), testing::ExitedWithCode(0), "can't start 256 compute threads, .*--threads");
}

INSTANTIATE_TEST_SUITE_P(All, ThreadPoolTest,
                         testing::Values(PoolCase{1, 0}, PoolCase{2, 0}, PoolCase{2, 20}, PoolCase{3, 0},
                                         PoolCase{4, 5}));

}  // namespace
}  // namespace quire::kernels::cpu
