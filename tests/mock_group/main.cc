// quire-mock-group: a worker group without weights. The real engine, sessions, health and registration over a
// scripted model whose tokens are a pure function of the prompt, the seed and the position, so that a test
// knows what any request must get. Takes quire-worker's flags; reads only the text files and config.json of
// --model. With --ranks above 1 its other ranks compute nothing, but take every plan and can be made to hang.

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/core/files.h"
#include "base/core/host_port.h"
#include "base/core/log.h"
#include "base/core/log_options.h"
#include "base/core/mutex.h"
#include "base/core/shutdown.h"
#include "base/core/status.h"
#include "worker/advertised_address.h"
#include "worker/engine/testing/scripted_grammar.h"
#include "worker/engine/testing/scripted_runner.h"
#include "worker/follower_signals.h"
#include "worker/join_group.h"
#include "worker/load_signals.h"
#include "worker/model/model_config.h"
#include "worker/ops_endpoint.h"
#include "worker/parallel/distributed_runner.h"
#include "worker/parallel/plan_codec.h"
#include "worker/rpc/group_server.h"
#include "worker/worker_config.h"

namespace quire::worker {
namespace {

struct MockConfig {
  WorkerConfig worker;
  int64_t token_interval_us = 0;
  int64_t first_id = 1000, end_id = 2000;
  int64_t stop_every = 0, stop_id = 0;
  std::string ready_file, hang_file;

  void Declare(Options& options) {
    worker.kv_blocks = 8192;
    worker.Declare(options);
    options.Add("token-interval-us", &token_interval_us, "us", "how long a step takes at least");
    options.Add("first-id", &first_id, "ID", "tokens are from here");
    options.Add("end-id", &end_id, "ID", "to below here");
    options.Add("stop-every", &stop_every, "N", "a token is --stop-id once in N on average; 0 = never");
    options.Add("stop-id", &stop_id, "ID", "the end-of-sequence id");
    options.Add("hang-file", &hang_file, "FILE", "this rank hangs in its next step once the file is there");
    options.Add("ready-file", &ready_file, "FILE", R"(written once it serves: {"pid","grpc","metrics"})");
  }
};

ScriptedOptions Script(const MockConfig& config) {
  ScriptedOptions script;
  script.kv_blocks = static_cast<int32_t>(config.worker.kv_blocks);
  script.max_sequences = config.worker.limits.max_sequences;
  script.first_id = static_cast<TokenId>(config.first_id);
  script.end_id = static_cast<TokenId>(config.end_id);
  script.stop_every = static_cast<uint64_t>(config.stop_every);
  script.stop_id = static_cast<TokenId>(config.stop_id);
  script.on_launch = [&config](const BatchPlan&) {
    if (!config.hang_file.empty() && std::filesystem::exists(config.hang_file)) {
      Notification().WaitForNotification();
    }
    absl::SleepFor(absl::Microseconds(config.token_interval_us));  // stands for the computation
    return absl::OkStatus();
  };
  return script;
}

class FollowerRunner final : public ModelRunner {
 public:
  explicit FollowerRunner(const MockConfig& config) : script_(Script(config)) {}
  absl::Status Launch(const BatchPlan& plan) override { return script_.on_launch(plan); }
  absl::StatusOr<StepResult> Collect() override { return StepResult{}; }

 private:
  const ScriptedOptions script_;
};

std::string ShmName(const WorkerConfig& worker) {
  return worker.shm.empty() ? absl::StrCat("quire-mock-", getpid()) : worker.shm;
}

absl::StatusOr<RankGroup> JoinRanks(const WorkerConfig& worker, const ModelConfig& model,
                                    std::function<void()> on_drain_asked) {
  GroupTerms terms;
  terms.shm = std::make_shared<GroupName>(ShmName(worker));
  const LoadSignals signals([shm = terms.shm] {  // as in quire-worker: nobody waits for an answer yet
    shm->GiveUp();
    std::_Exit(0);
  });
  terms.buffers.plan_bytes = PlanBytesFor(PlanLimitsFor(worker.limits, model.max_context));
  return JoinGroup(worker, terms, {[] { std::_Exit(70); }, std::move(on_drain_asked)});
}

absl::Status Follow(const MockConfig& config, RankGroup& group) {
  FollowerRunner follower(config);
  absl::Status status;
  {
    const FollowerSignals signals(*group.liveness);
    Log(LogLevel::kInfo, "follows", "group", config.worker.group_id, "rank", config.worker.rank);
    status = RunFollower(group, follower);
  }
  if (status.ok()) return status;
  Log(LogLevel::kError, "step_failed", "reason", MessageOf(status));
  std::_Exit(70);  // as on_lost does, whose thread may see the loss later than this one
}

absl::StatusOr<GroupServerOptions> Describe(const MockConfig& config, const ModelConfig& model,
                                            TextBundle bundle, RankGroup& group, int metrics_port) {
  const WorkerConfig& worker = config.worker;
  const int64_t kv_tokens = worker.kv_blocks * kBlockTokens;
  if (config.first_id < 0 || config.first_id >= config.end_id || config.end_id > model.vocab) {
    return absl::InvalidArgumentError(
        absl::StrCat("--first-id and --end-id must be a range within 0..", model.vocab));
  }
  GroupServerOptions options;
  options.listen = worker.Listen();
  QUIRE_ASSIGN_OR_RETURN(const AdvertisedAddress advertised,
                         ChooseAdvertised(worker.advertise, worker.host, worker.coordinator));
  options.advertise_host = advertised.host;
  options.advertise_port = advertised.port;
  options.coordinator = worker.coordinator;
  QUIRE_ASSIGN_OR_RETURN(options.worker_secret, worker.WorkerSecret());
  options.model = {worker.ModelName(),
                   "scripted-1",
                   model.vocab,
                   std::min(model.plain_context, kv_tokens),
                   std::min(model.max_context, kv_tokens),
                   model.scaled_rope.has_value()};
  options.identity = {worker.group_id,
                      static_cast<uint64_t>(worker.group_epoch),
                      static_cast<uint32_t>(worker.ranks),
                      {JoinHostPort(HostBeside(worker.metrics.host, advertised), metrics_port)}};
  options.bundle = std::move(bundle);
  options.engine.limits = worker.limits;
  options.engine.kv_blocks = static_cast<int32_t>(worker.kv_blocks);
  options.engine.waiting_room = worker.limits.max_sequences;
  options.grammars = std::make_shared<ScriptedGrammarCompiler>();
  options.healthy = [&group] { return group.liveness->Healthy(); };
  options.on_lost = [&group](const absl::Status& why) { group.liveness->Lose(MessageOf(why)); };
  options.on_drain = [] { RequestShutdown(); };
  return options;
}

absl::Status WriteReadyFile(const MockConfig& config, int port, const std::string& metrics) {
  if (config.ready_file.empty()) return absl::OkStatus();
  return WriteFileAtomically(
      config.ready_file,
      absl::StrCat("{\"pid\": ", getpid(), ", \"grpc\": \"", JoinHostPort(config.worker.host, port),
                   "\", \"metrics\": \"", metrics, "\"}\n"),
      0644);
}

absl::Status Run(const MockConfig& config) {
  const WorkerConfig& worker = config.worker;
  QUIRE_ASSIGN_OR_RETURN(TextBundle bundle, ReadTextBundle(worker.model_dir));
  QUIRE_ASSIGN_OR_RETURN(const ModelConfig model,
                         ParseModelConfig(FileIn(bundle, "config.json"), worker.rope_scaling));
  std::atomic<bool> serving{false};
  QUIRE_ASSIGN_OR_RETURN(auto group, JoinRanks(worker, model, [&serving] {
                           if (serving) RequestShutdown();
                         }));
  if (worker.rank != 0) return Follow(config, group);
  serving = true;
  SystemClock clock;
  Metrics metrics;
  QUIRE_ASSIGN_OR_RETURN(auto ops, OpsEndpoint::Start(worker.metrics, &metrics));
  QUIRE_ASSIGN_OR_RETURN(GroupServerOptions options,
                         Describe(config, model, std::move(bundle), group, ops->port()));
  ScriptedRunner scripted(Script(config));
  DistributedRunner runner(group, scripted);
  QUIRE_ASSIGN_OR_RETURN(auto server, GroupServer::Start(std::move(options), &runner, &metrics, &clock));
  ops->set_ready(true);
  QUIRE_RETURN_IF_ERROR(WriteReadyFile(config, server->port(), ops->address()));
  Log(LogLevel::kInfo, "group_ready", "group", worker.group_id, "port", server->port());
  WaitForShutdownSignal();
  server->Drain(absl::Seconds(worker.drain_seconds));
  QUIRE_RETURN_IF_ERROR(runner.StopFollowers());
  group.liveness->Leave();
  return absl::OkStatus();
}

}  // namespace
}  // namespace quire::worker

int main(int argc, char** argv) {
  quire::worker::MockConfig config;
  quire::Options options("quire-mock-group", "A worker group without weights, for tests and benches.");
  config.Declare(options);
  if (const int code = quire::ParseOrExitCode(options, argc, argv); code >= 0) return code;
  quire::InitLogging("mock-group", config.worker.log);
  quire::BlockShutdownSignals();
  const absl::Status status = quire::worker::Run(config);
  if (status.ok()) return 0;
  std::fprintf(stderr, "quire-mock-group: %s\n", quire::MessageOf(status).c_str());
  return 1;
}
