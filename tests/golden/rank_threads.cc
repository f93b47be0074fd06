#include "tests/golden/rank_threads.h"

#include <algorithm>
#include <latch>
#include <numeric>
#include <thread>

#include "base/core/files.h"
#include "base/core/hash.h"
#include "base/core/status.h"
#include "worker/model/checkpoint.h"
#include "worker/model/weights.h"
#include "worker/parallel/thread_communicator.h"

namespace quire::golden {

DeviceMaker OnHost(BackendMaker make) {
  return [make = std::move(make)](kernels::Rendezvous& rendezvous) -> absl::StatusOr<kernels::Device> {
    kernels::Device device;
    QUIRE_ASSIGN_OR_RETURN(device.backend, make());
    QUIRE_ASSIGN_OR_RETURN(device.communicator, rendezvous.HostCommunicator());
    return device;
  };
}

absl::StatusOr<std::unique_ptr<RankModel>> RankModel::Load(const GroupSetup& setup,
                                                           kernels::Rendezvous& rendezvous) {
  auto model = std::unique_ptr<RankModel>(new RankModel);
  QUIRE_ASSIGN_OR_RETURN(model->device_, setup.make_device(rendezvous));
  model->plain_rope_ = setup.plain_rope;
  kernels::Backend& backend = *model->device_.backend;
  QUIRE_ASSIGN_OR_RETURN(std::string config_json, ReadWholeFile(setup.model_dir + "/config.json"));
  QUIRE_ASSIGN_OR_RETURN(
      const worker::Checkpoint checkpoint,
      worker::OpenCheckpoint(setup.model_dir, std::move(config_json), setup.rope_scaling, setup.weights));
  model->config_ = checkpoint.config;
  QUIRE_ASSIGN_OR_RETURN(model->shard_, worker::MakeShard(model->config_, model->rank(), rendezvous.size()));
  QUIRE_ASSIGN_OR_RETURN(worker::ModelWeights weights,
                         worker::LoadWeights(*checkpoint.files, model->config_,
                                             worker::PlanWeights(model->config_, model->shard_),
                                             {.max_positions = setup.max_tokens + kBlockTokens}, backend));
  // The table is not in order, as in real life.
  for (int32_t block = static_cast<int32_t>(setup.max_tokens / kBlockTokens); block >= 0; --block) {
    model->blocks_.push_back(block);
  }
  QUIRE_RETURN_IF_ERROR(backend.CreateKvCache({.layers = model->config_.layers,
                                               .blocks = std::ssize(model->blocks_),
                                               .kv_heads = model->shard_.kv_heads.size(),
                                               .head_dim = model->config_.head_dim,
                                               .query_heads = model->shard_.query_heads.size()}));
  const kernels::StepLimits limits{.tokens = setup.max_tokens,
                                   .sequences = 1,
                                   .wanted_rows = setup.max_tokens,
                                   .table_blocks = std::ssize(model->blocks_)};
  QUIRE_ASSIGN_OR_RETURN(model->decoder_,
                         worker::Decoder::Create(model->config_, model->shard_, std::move(weights), limits,
                                                 backend, *model->device_.communicator));
  return model;
}

absl::StatusOr<std::vector<float>> RankModel::Logits(std::span<const int32_t> ids,
                                                     std::span<const int64_t> positions, Chunks chunks) {
  std::vector<float> logits;
  for (int64_t position = 0; position < std::ssize(ids);) {
    const int64_t rows = std::min(position == 0 ? chunks.first : chunks.rest, std::ssize(ids) - position);
    QUIRE_RETURN_IF_ERROR(RunChunk(ids.subspan(position, rows), position, positions, logits));
    position += rows;
  }
  return logits;
}

absl::Status RankModel::RunChunk(std::span<const int32_t> ids, int64_t position,
                                 std::span<const int64_t> positions, std::vector<float>& logits) {
  const worker::ModelWeights& weights = decoder_->weights();
  const kernels::SequenceRows sequence{
      .first_row = 0,
      .rows = std::ssize(ids),
      .position = position,
      .blocks = blocks_,
      .rope = plain_rope_ ? weights.rope : weights.scaled_rope.value_or(weights.rope)};
  std::vector<int64_t> wanted_rows;
  for (const int64_t wanted : positions) {
    const int64_t row = wanted - position;
    if (row >= 0 && row < std::ssize(ids)) wanted_rows.push_back(row);
  }
  decoder_->Prepare({.ids = ids, .sequences = {&sequence, 1}, .wanted_rows = wanted_rows});
  QUIRE_ASSIGN_OR_RETURN(const kernels::Tensor result, decoder_->Compute());
  if (rank() != 0 || result.rows == 0) return device_.backend->Finish();  // else others wait for it in vain
  QUIRE_ASSIGN_OR_RETURN(const float* row, device_.backend->ReadRows(result));
  for (int64_t i = 0; i < result.rows; ++i) {
    logits.insert(logits.end(), row + i * result.stride, row + i * result.stride + result.cols);
  }
  return absl::OkStatus();
}

absl::Status RunRanks(const GroupSetup& setup, const std::function<absl::Status(RankModel&)>& scenario) {
  worker::ThreadGroup group(setup.ranks);
  std::latch all_loaded(setup.ranks);
  std::vector<absl::Status> loaded(setup.ranks), finished(setup.ranks);
  std::vector<std::unique_ptr<RankModel>> models(setup.ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < setup.ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const std::unique_ptr<kernels::Rendezvous> rendezvous = group.MakeRendezvous(rank);
      auto model = RankModel::Load(setup, *rendezvous);
      loaded[rank] = model.status();
      if (!model.ok()) group.Fail();  // nobody waits for it
      if (model.ok()) models[rank] = *std::move(model);
      all_loaded.arrive_and_wait();
      if (std::ranges::all_of(loaded, &absl::Status::ok)) finished[rank] = scenario(*models[rank]);
      if (finished[rank].ok()) return;
      group.Fail();
      for (const auto& other : models) other->Stop();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto* statuses : {&loaded, &finished}) {
    for (const absl::Status& status : *statuses) QUIRE_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> LogitsOfPrompt(const GroupSetup& setup, int64_t tokens, Chunks chunks) {
  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  for (int64_t i = 0; i < tokens; ++i) ids[i] = static_cast<int32_t>(i * 7 % 50);
  std::vector<int64_t> positions(static_cast<size_t>(tokens));
  std::iota(positions.begin(), positions.end(), 0);
  std::vector<float> logits;
  QUIRE_RETURN_IF_ERROR(RunRanks(setup, [&](RankModel& model) -> absl::Status {
    QUIRE_ASSIGN_OR_RETURN(std::vector<float> found, model.Logits(ids, positions, chunks));
    if (model.rank() == 0) logits = std::move(found);
    return absl::OkStatus();
  }));
  return logits;
}

}  // namespace quire::golden
