// quire-bench-exchange: what an all-reduce between the ranks of a group costs, and what it costs to bring a
// step's logits to rank 0 and to sample them there, whole rows beside no more than sampling needs, in shared
// memory and over TCP on loopback (with TLS where certificates are given), in one run, since machines differ.
// Ranks are threads; their tensors are of a CPU backend, as in a worker.

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/core/options.h"
#include "base/core/status.h"
#include "kernels/backend_factory.h"
#include "worker/model/row_gather.h"
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

// Microseconds of each exchange, ascending.
std::vector<int64_t> Measure(kernels::Communicator& communicator, kernels::Tensor x, int64_t rounds) {
  for (int64_t row = 0; row < x.rows; ++row) std::fill_n(x.f32(row), x.cols, 1e-30f);
  std::vector<int64_t> took;
  for (int64_t round = 0; round < rounds; ++round) {
    const int64_t begin_us = MonotonicUs();
    if (!communicator.AllReduceSum(x).ok()) return {};
    took.push_back(MonotonicUs() - begin_us);
  }
  std::sort(took.begin(), took.end());
  return took;
}

struct StepEndTimes {
  int64_t gather_us = 0, sample_us = 0;
  int64_t total_us() const { return gather_us + sample_us; }
};

// A step's end: each rank has its part of every row of logits, and rank 0 samples.
class StepEnd {
 public:
  StepEnd(kernels::Communicator& communicator, int64_t vocab, int64_t rows, int64_t spin_us)
      : communicator_(communicator), rank_(communicator.rank()) {
    const int64_t ranks = communicator.size(), runs = vocab / kernels::kRunIds;
    for (int64_t r = 0; r < ranks; ++r) {
      vocab_.push_back({runs * r / ranks * kernels::kRunIds, runs * (r + 1) / ranks * kernels::kRunIds});
    }
    backend_ = kernels::MakeBackend({.threads = 1, .spin_us = static_cast<int>(spin_us)}).value();
    const kernels::StepLimits limits{
        .wanted_rows = rows, .sampled_ids = rank_ == 0 ? vocab : 0, .part_ids = vocab_[rank_].size()};
    if (const absl::Status status = backend_->ReserveStep(limits); !status.ok()) return;
    rows_ = backend_->Allocate(kernels::DType::kF32, rows, rank_ == 0 ? vocab : limits.part_ids).value();
    std::mt19937 random(static_cast<uint32_t>(rank_));
    std::normal_distribution<float> normal(0.0f, 2.5f);
    computed_.resize(static_cast<size_t>(rows * limits.part_ids));
    for (float& logit : computed_) logit = normal(random);
    gather_.emplace(vocab_, limits, *backend_, communicator);
  }

  // The best round's, at rank 0.
  StepEndTimes Measure(const kernels::SampleSpec& spec, bool whole, int64_t rounds) {
    const std::vector<const kernels::SampleSpec*> specs(static_cast<size_t>(rows_.rows), &spec);
    std::vector<kernels::RowNeed> needs(specs.size(), kernels::NeedOf(spec));
    if (whole) needs.clear();
    std::vector<StepEndTimes> times;
    for (int64_t round = 0; round < rounds; ++round) {
      Compute();
      const int64_t begin_us = MonotonicUs();
      if (!gather_->Gather(rows_.Columns(vocab_[rank_].size()), needs).ok()) return {};
      const int64_t gathered_us = MonotonicUs();
      if (rank_ == 0) backend_->Sample(rows_, specs, gather_->runs());
      times.push_back({gathered_us - begin_us, MonotonicUs() - gathered_us});
    }
    return *std::ranges::min_element(times, {}, &StepEndTimes::total_us);
  }

 private:
  // As the last matmul leaves it, on all ranks at the same time.
  void Compute() {
    const int64_t size = vocab_[rank_].size();
    for (int64_t row = 0; row < rows_.rows; ++row) std::copy_n(&computed_[row * size], size, rows_.f32(row));
    float word = 0.0f;
    (void)communicator_.AllReduceSum({&word, kernels::DType::kF32, 1, 1, 1});
  }

  kernels::Communicator& communicator_;
  const size_t rank_;
  std::vector<Range> vocab_;
  std::unique_ptr<kernels::Backend> backend_;
  kernels::Tensor rows_;
  std::vector<float> computed_;
  std::optional<RowGather> gather_;
};

void MeasureStepEnds(kernels::Communicator& communicator, const BenchConfig& config, const char* name) {
  kernels::SampleSpec greedy, usual;
  greedy.params.temperature = 0.0f;
  usual.params = {.temperature = 0.6f, .top_k = 20, .top_p = 0.95f};
  for (const int64_t vocab : {49'152, 152'064}) {
    for (const int64_t rows : {1, 8, 32}) {
      StepEnd end(communicator, vocab, rows, config.spin_us);
      for (const auto& [way, spec] : {std::pair{"greedy", &greedy}, {"t0.6 top_k20 top_p0.95", &usual}}) {
        const int64_t rounds = std::max<int64_t>(10, config.rounds / (2 * rows));
        const StepEndTimes whole = end.Measure(*spec, true, rounds), few = end.Measure(*spec, false, rounds);
        if (communicator.rank() != 0) continue;
        std::printf(
            "%-14s V%-6ld B%-2ld %-22s whole rows %6ld + %5ld us, what is needed %5ld + %4ld us: %.2f\n",
            name, static_cast<long>(vocab), static_cast<long>(rows), way, static_cast<long>(whole.gather_us),
            static_cast<long>(whole.sample_us), static_cast<long>(few.gather_us),
            static_cast<long>(few.sample_us),
            static_cast<double>(few.total_us()) / static_cast<double>(whole.total_us()));
      }
    }
  }
}

// As one rank of the group; rank 0 prints.
absl::Status RunRank(const BenchConfig& config, Form form, const char* name, int rank) {
  QUIRE_ASSIGN_OR_RETURN(RankGroup group, Join(config, form, rank));
  QUIRE_ASSIGN_OR_RETURN(const auto communicator, group.rendezvous->HostCommunicator());
  QUIRE_ASSIGN_OR_RETURN(const auto backend, kernels::MakeBackend({.device = "cpu"}));
  for (const Shape& shape : {Shape{1, 576}, {32, 576}, {512, 576}, {1, 5120}, {32, 5120}, {512, 5120}}) {
    QUIRE_ASSIGN_OR_RETURN(const kernels::Tensor x,
                           backend->Allocate(kernels::DType::kF32, shape.rows, shape.cols));
    const int64_t rounds = std::max<int64_t>(10, config.rounds * 576 / (shape.rows * shape.cols));
    const auto took = Measure(*communicator, x, std::max(rounds, config.rounds / 20));
    if (rank != 0 || took.empty()) continue;
    std::printf("%-14s %4ld x %4ld  best %6ld us  median %6ld us\n", name, static_cast<long>(shape.rows),
                static_cast<long>(shape.cols), static_cast<long>(took.front()),
                static_cast<long>(took[took.size() / 2]));
  }
  MeasureStepEnds(*communicator, config, name);
  QUIRE_RETURN_IF_ERROR(group.rendezvous->AllGather("").status());  // nobody leaves before all are done
  group.liveness->Leave();
  return absl::OkStatus();
}

absl::Status RunForm(const BenchConfig& config, Form form, const char* name) {
  std::vector<absl::Status> statuses(static_cast<size_t>(config.ranks));
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < config.ranks; ++rank) {
    ranks.emplace_back(
        [&, rank] { statuses[static_cast<size_t>(rank)] = RunRank(config, form, name, rank); });
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
  quire::Options options("quire-bench-exchange",
                         "What an all-reduce and a step's end cost in each form of a group.");
  config.Declare(options);
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  const absl::Status status = quire::worker::Run(config);
  if (status.ok()) return 0;
  std::fprintf(stderr, "quire-bench-exchange: %s\n", quire::MessageOf(status).c_str());
  return 1;
}
