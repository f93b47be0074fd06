#include "worker/rank.h"

#include <cstdlib>
#include <utility>

#include "base/core/exit_code.h"
#include "base/core/log.h"
#include "base/core/shutdown.h"
#include "base/core/status.h"
#include "worker/follower_signals.h"
#include "worker/grammar/xgrammar_compiler.h"
#include "worker/kv_plan.h"

namespace quire::worker {

GroupServerOptions Rank::ServerOptions() {
  const int64_t kv_tokens = int64_t{kv_blocks_} * kBlockTokens;
  GroupServerOptions options;
  options.listen = config_.Listen();
  options.advertise_host = advertised_.host;
  options.advertise_port = advertised_.port;
  options.coordinator = config_.coordinator;
  options.owner_lock = config_.owner_lock;
  options.worker_secret = worker_secret_;
  options.model.name = config_.ModelName();
  options.model.numerics_id = runner_->numerics_id();
  options.model.vocab = checkpoint_.config.vocab;
  options.model.plain_context = std::min(checkpoint_.config.plain_context, kv_tokens);
  options.model.max_context = std::min(checkpoint_.config.max_context, kv_tokens);
  options.model.has_scaled_rope = checkpoint_.config.scaled_rope.has_value();
  options.identity = {
      config_.group_id, static_cast<uint64_t>(config_.group_epoch), static_cast<uint32_t>(config_.ranks), {}};
  options.identity.rank_metrics = rank_metrics_;
  options.grammars = std::make_shared<XGrammarCompiler>(
      ReadVocabulary(FileIn(bundle_, "tokenizer.json"), checkpoint_.config.vocab));
  options.compile = config_.Compile();
  options.bundle = std::move(bundle_);
  options.engine.limits = config_.limits;
  options.engine.kv_blocks = kv_blocks_;
  options.engine.waiting_room = (kOpenPerSequence - 1) * config_.limits.max_sequences;
  options.healthy = [this] { return group_.liveness->Healthy(); };
  options.on_lost = [this](const absl::Status& why) {
    Log(LogLevel::kError, "group_failed", "reason", MessageOf(why));
    group_.liveness->Lose(MessageOf(why));
  };
  options.on_drain = [] { RequestShutdown(); };
  return options;
}

absl::StatusOr<int> Rank::Serve() {
  DistributedRunner runner(group_, *runner_, StepLimits());
  serving_ = true;
  QUIRE_ASSIGN_OR_RETURN(auto server, GroupServer::Start(ServerOptions(), &runner, &metrics_, &clock_));
  ops_->set_ready(true);
  Log(LogLevel::kInfo, "group_ready", "group", config_.group_id, "epoch", config_.group_epoch, "port",
      server->port());
  WaitForShutdownSignal();
  ops_->set_ready(false);
  group_.liveness->AskToDrain();  // whoever told us: no rank says any more that it serves
  SetDraining(server.get());
  if (!group_.liveness->lost()) {
    const bool idle = server->Drain(absl::Seconds(config_.drain_seconds));
    Log(LogLevel::kInfo, "stopped", "all_finished", idle);
  }
  SetDraining(nullptr);
  if (group_.liveness->lost()) {
    MutexLock lock(&end_mutex_);
    EndLost(*server);
  }
  server->Close();  // the last words have left before the followers end, whose driver then ends this rank
  const bool stopped = runner.StopFollowers().ok();
  group_.liveness->Leave();
  return stopped ? 0 : kExitGroupLost;
}

absl::StatusOr<int> Rank::Follow() {
  ops_->set_ready(true);
  absl::Status status;
  {
    const FollowerSignals signals(*group_.liveness);
    Log(LogLevel::kInfo, "follows", "group", config_.group_id, "epoch", config_.group_epoch, "rank",
        config_.rank);
    status = RunFollower(group_, *runner_, StepLimits());
  }
  if (!status.ok()) Log(LogLevel::kError, "step_failed", "reason", MessageOf(status));
  return status.ok() ? 0 : kExitGroupLost;
}

void Rank::OnLost() {
  StopDevice();
  if (!serving_) std::_Exit(kExitGroupLost);  // nobody waits for an answer of this rank
  RequestShutdown();
  MutexLock lock(&end_mutex_);
  if (draining_ != nullptr) EndLost(*draining_);  // who drains may wait for a step that never ends
}

void Rank::StopDevice() {
  MutexLock lock(&end_mutex_);
  if (stopped_with_group_ != nullptr) stopped_with_group_->Stop();
}

void Rank::EndLost(GroupServer& server) {
  server.Lose(group_.liveness->LostError());
  server.Close();
  std::_Exit(kExitGroupLost);
}

void Rank::SetDraining(GroupServer* server) {
  MutexLock lock(&end_mutex_);
  draining_ = server;
}

}  // namespace quire::worker
