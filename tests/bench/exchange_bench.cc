// quire-bench-exchange: what an all-reduce between the ranks of a group costs, in shared memory and over TCP
// on loopback (with TLS where certificates are given), in one run, since machines differ. Ranks are threads.

#include <algorithm>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/core/options.h"
#include "base/core/status.h"
#include "worker/parallel/shared_word.h"
#include "worker/parallel/shm_group.h"
#include "worker/parallel/tcp/tcp_group.h"

namespace quire::worker {
namespace {

struct BenchConfig {
  int64_t ranks = 2, rounds = 2000, spin_us = 0, port = 29599;
  LinkTlsFiles tls;

  void Declare(Options& options) {
    options.Add("ranks", &ranks, "N", "of the group", {2, kMaxRanks});
    options.Add("rounds", &rounds, "N", "of each size; large ones get fewer", {10, 1'000'000});
    options.Add("spin-us", &spin_us, "us", "as quire-worker's");
    options.Add("port", &port, "PORT", "of the rendezvous, on loopback", {1, 65535});
    options.Add("tls-cert", &tls.cert, "FILE", "a worker's certificate");
    options.Add("tls-key", &tls.key, "FILE", "its key");
    options.Add("tls-ca", &tls.ca, "FILE", "the CA of its peers");
  }
};

enum class Form { kShm, kTcp, kTls };
struct Shape {
  int64_t rows, cols;
};

absl::StatusOr<RankGroup> Join(const BenchConfig& config, Form form, int rank) {
  const BufferSizes buffers{4 << 20, 1 << 16};
  if (form == Form::kShm) {
    ShmGroupOptions options;
    options.shm = std::make_shared<GroupName>(absl::StrCat("quire-bench-exchange-", getpid()));
    options.rank = rank;
    options.size = static_cast<int>(config.ranks);
    options.spin_us = config.spin_us;
    options.buffers = buffers;
    return JoinShmGroup(options);
  }
  TcpGroupOptions options;
  options.meeting.rank = rank;
  options.meeting.size = static_cast<int>(config.ranks);
  options.meeting.rendezvous = absl::StrCat("127.0.0.1:", config.port);
  options.meeting.secret = "bench";
  if (form == Form::kTls) options.meeting.tls = config.tls;
  options.spin_us = config.spin_us;
  options.buffers = buffers;
  return JoinTcpGroup(options);
}

// Microseconds of each exchange, at rank 0, ascending.
std::vector<int64_t> Measure(kernels::Communicator& communicator, const Shape& shape, int64_t rounds) {
  std::vector<float> values(static_cast<size_t>(shape.rows * shape.cols), 1e-30f);
  const kernels::Tensor x{values.data(), kernels::DType::kF32, shape.rows, shape.cols, shape.cols};
  std::vector<int64_t> took;
  for (int64_t round = 0; round < rounds; ++round) {
    const int64_t begin_us = MonotonicUs();
    if (!communicator.AllReduceSum(x).ok()) return {};
    took.push_back(MonotonicUs() - begin_us);
  }
  std::sort(took.begin(), took.end());
  return took;
}

absl::Status RunForm(const BenchConfig& config, Form form, const char* name) {
  std::vector<absl::Status> statuses(static_cast<size_t>(config.ranks));
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < config.ranks; ++rank) {
    ranks.emplace_back([&, rank] {
      auto group = Join(config, form, rank);
      statuses[static_cast<size_t>(rank)] = group.status();
      if (!group.ok()) return;
      const auto communicator = group->rendezvous->HostCommunicator();
      for (const Shape& shape : {Shape{1, 576}, {32, 576}, {512, 576}, {1, 5120}, {32, 5120}, {512, 5120}}) {
        const int64_t rounds = std::max<int64_t>(10, config.rounds * 576 / (shape.rows * shape.cols));
        const auto took = Measure(**communicator, shape, std::max(rounds, config.rounds / 20));
        if (rank != 0 || took.empty()) continue;
        std::printf("%-14s %4ld x %4ld  best %6ld us  median %6ld us\n", name, static_cast<long>(shape.rows),
                    static_cast<long>(shape.cols), static_cast<long>(took.front()),
                    static_cast<long>(took[took.size() / 2]));
      }
      (void)group->rendezvous->AllGather("");  // nobody leaves before all are done
      group->liveness->Leave();
    });
  }
  for (std::thread& rank : ranks) rank.join();
  for (const absl::Status& status : statuses) QUIRE_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

absl::Status Run(const BenchConfig& config) {
  QUIRE_RETURN_IF_ERROR(RunForm(config, Form::kShm, "shared memory"));
  QUIRE_RETURN_IF_ERROR(RunForm(config, Form::kTcp, "TCP"));
  return config.tls.empty() ? absl::OkStatus() : RunForm(config, Form::kTls, "TCP with TLS");
}

}  // namespace
}  // namespace quire::worker

int main(int argc, char** argv) {
  quire::worker::BenchConfig config;
  quire::Options options("quire-bench-exchange", "What an all-reduce costs in each form of a group.");
  config.Declare(options);
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  const absl::Status status = quire::worker::Run(config);
  if (status.ok()) return 0;
  std::fprintf(stderr, "quire-bench-exchange: %s\n", quire::MessageOf(status).c_str());
  return 1;
}
