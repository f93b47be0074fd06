// A tensor-parallel group inside a test: every rank is a thread with its own backend and its shard of a
// model. RunRanks loads all ranks, then runs the same scenario on each; results leave it through what the
// scenario captures (rank 0 writes). No rank's device goes before all have ended.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/backend_factory.h"
#include "kernels/rendezvous.h"
#include "worker/model/decoder.h"
#include "worker/model/model_config.h"

namespace quire::golden {

using BackendMaker = std::function<absl::StatusOr<std::unique_ptr<kernels::Backend>>()>;
using DeviceMaker = std::function<absl::StatusOr<kernels::Device>(kernels::Rendezvous&)>;
// Of a backend in the host's memory.
DeviceMaker OnHost(BackendMaker make);

struct GroupSetup {
  std::string model_dir;
  std::string rope_scaling;
  int ranks = 1;
  int64_t max_tokens = 0;  // of one sequence, which is also the longest batch
  DeviceMaker make_device;
  bool plain_rope = false;  // of the two that a model loaded with --rope-scaling has
  std::string weights = "bf16";
};

// How many tokens run in the first step and in each step after it.
struct Chunks {
  int64_t first = 0, rest = 0;
};

class RankModel {
 public:
  static absl::StatusOr<std::unique_ptr<RankModel>> Load(const GroupSetup& setup,
                                                         kernels::Rendezvous& rendezvous);

  int rank() const { return device_.communicator->rank(); }
  void Stop() { device_.communicator->Stop(); }
  int64_t weight_bytes() const { return device_.backend->weight_stats().bytes; }
  const worker::ModelConfig& config() const { return config_; }
  const worker::Shard& shard() const { return shard_; }

  // Runs `ids` from position 0, cut as `chunks` says, and returns the logits of the rows at `positions`
  // (ascending), [positions, vocab]; empty on other ranks than 0.
  absl::StatusOr<std::vector<float>> Logits(std::span<const int32_t> ids, std::span<const int64_t> positions,
                                            Chunks chunks);

 private:
  RankModel() = default;
  absl::Status RunChunk(std::span<const int32_t> ids, int64_t position, std::span<const int64_t> positions,
                        std::vector<float>& logits);

  kernels::Device device_;
  worker::ModelConfig config_;
  worker::Shard shard_;
  std::unique_ptr<worker::Decoder> decoder_;
  std::vector<int32_t> blocks_;
  bool plain_rope_ = false;
};

// The first error of any rank. No scenario starts unless every rank loaded.
absl::Status RunRanks(const GroupSetup& setup, const std::function<absl::Status(RankModel&)>& scenario);

// Rank 0's logits of all rows of a prompt of so many tokens, cut as `chunks` says.
absl::StatusOr<std::vector<float>> LogitsOfPrompt(const GroupSetup& setup, int64_t tokens, Chunks chunks);

}  // namespace quire::golden
