#include "worker/rpc/group_server.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/host_port.h"
#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

// For sessions of a lost group to end after they were told to: they have nothing more to say.
constexpr std::chrono::milliseconds kLostCloseLimit(500);

v1::GroupInfo Describe(const GroupServerOptions& options, int port) {
  v1::GroupInfo group;
  group.set_group_id(options.identity.id);
  group.set_epoch(options.identity.epoch);
  group.set_address(
      JoinHostPort(options.advertise_host.empty() ? options.listen.host : options.advertise_host,
                   options.advertise_port == 0 ? port : options.advertise_port));
  group.set_model(options.model.name);
  group.set_numerics_id(options.model.numerics_id);
  group.set_ranks(options.identity.ranks);
  group.set_kv_blocks(options.engine.kv_blocks);
  group.set_block_tokens(kBlockTokens);
  group.set_max_context(options.model.max_context);
  group.set_plain_context(options.model.plain_context);
  group.set_bundle_digest(options.bundle.digest);
  group.set_max_sequences(static_cast<uint32_t>(options.engine.limits.max_sequences));
  for (const std::string& address : options.identity.rank_metrics) group.add_rank_metrics(address);
  return group;
}

// A gateway needs one. So each request inside may be another gateway's, and as many have none just now.
size_t MaxSessions(const EngineOptions& engine) {
  constexpr int64_t kLeast = 64;
  return static_cast<size_t>(std::max(kLeast, 2 * (engine.limits.max_sequences + engine.waiting_room)));
}

EngineOptions WithContexts(EngineOptions engine, const ServedModel& model) {
  engine.plain_context = model.plain_context;
  engine.scaled_context = model.max_context;
  return engine;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GroupServer>> GroupServer::Start(GroupServerOptions options,
                                                                ModelRunner* runner, Metrics* metrics,
                                                                const Clock* clock) {
  QUIRE_RETURN_IF_ERROR(options.engine.limits.Check());
  std::unique_ptr<GroupServer> server(new GroupServer(options, runner, metrics, clock));
  QUIRE_RETURN_IF_ERROR(server->Serve(std::move(options), clock));
  return server;
}

GroupServer::GroupServer(const GroupServerOptions& options, ModelRunner* runner, Metrics* metrics,
                         const Clock* clock)
    : ranks_healthy_(options.healthy),
      close_limit_(options.close_limit),
      engine_(
          WithContexts(options.engine, options.model), runner, metrics, clock,
          [this](std::vector<Update> updates) { service_.Take(std::move(updates)); },
          [this, on_lost = options.on_lost](const absl::Status& why) {
            Lose(why);
            on_lost(why);
          }),
      service_(options.model, options.identity.epoch, MaxSessions(options.engine), options.grammars,
               options.compile, &engine_, *metrics) {}

absl::Status GroupServer::Serve(GroupServerOptions options, const Clock* clock) {
  if (options.coordinator.empty()) service_.Admit(std::nullopt);
  QUIRE_ASSIGN_OR_RETURN(grpc_, StartGrpcServer(options.listen, {&service_}));
  const auto serving = [this] { return Lives() && !draining_; };
  const auto beat = [this] {
    if (Lives()) service_.Beat();
  };
  health_ = std::make_unique<HealthReporter>(grpc_.server.get(), serving, beat);
  if (options.coordinator.empty()) return absl::OkStatus();
  CoordinatorLinkOptions link;
  link.address = options.coordinator;
  link.tls = options.listen.tls;
  link.owner_lock = options.owner_lock;
  link.clock = clock;
  if (link.tls.empty()) link.secret = options.worker_secret;
  link.group = Describe(options, grpc_.port);
  link.bundle = std::move(options.bundle);
  link.on_accepted = [this](const v1::RegisterAccepted& accepted) {
    const std::string& secret = accepted.session_secret();  // older coordinators say none
    service_.Admit(secret.empty() ? std::nullopt : std::optional(ShownSecret{kSessionSecretKey, secret}));
  };
  link.beat = [this, identity = options.identity] { return Beat(identity); };
  link.on_drain = options.on_drain;
  link.on_fenced = [this, on_lost = options.on_lost](const absl::Status& why) {
    if (draining_) return;  // a coordinator that stops fences its groups, and lets them end their work
    Lose(why);
    on_lost(why);
  };
  QUIRE_ASSIGN_OR_RETURN(link_, CoordinatorLink::Start(std::move(link)));
  return absl::OkStatus();
}

GroupServer::~GroupServer() {
  link_.reset();
  engine_.Stop(absl::UnavailableError("the worker is stopping"));
  Close();
}

void GroupServer::Close() {
  health_.reset();
  service_.CloseAll(absl::AbortedError("the worker is stopping: ask for another placement"));
  if (grpc_.server != nullptr && !std::exchange(closed_, true))
    grpc_.server->Shutdown(std::chrono::system_clock::now() + (lost_ ? kLostCloseLimit : close_limit_));
}

void GroupServer::Lose(const absl::Status& why) {
  lost_ = true;
  service_.FailAll(absl::UnavailableError(absl::StrCat("the worker group is lost: ", MessageOf(why))));
}

bool GroupServer::Drain(absl::Duration limit) {
  draining_ = true;
  if (link_ != nullptr) link_->BeatNow();
  engine_.StopAdmitting(absl::AbortedError("the worker is stopping: ask for another placement"));
  const bool idle = engine_.AwaitIdle(limit);
  engine_.Stop(absl::AbortedError("the worker is stopping: resume the request elsewhere"));
  return idle;
}

v1::HeartbeatRequest GroupServer::Beat(const GroupIdentity& identity) const {
  const EngineLoad load = engine_.load();
  v1::HeartbeatRequest beat;
  beat.set_group_id(identity.id);
  beat.set_epoch(identity.epoch);
  beat.set_healthy(Lives());
  beat.set_draining(draining_);
  beat.set_kv_blocks_total(load.kv_blocks_total);
  beat.set_kv_blocks_free(load.kv_blocks_free);
  beat.set_running(static_cast<uint32_t>(load.running));
  beat.set_waiting(static_cast<uint32_t>(load.waiting));
  beat.set_steps(load.steps);
  beat.set_emitted_tokens(load.emitted_tokens);
  return beat;
}

}  // namespace quire::worker
