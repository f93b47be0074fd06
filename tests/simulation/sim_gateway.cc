#include <algorithm>
#include <numeric>

#include "tests/simulation/processes.h"
#include "tests/simulation/world.h"

namespace quire::simulation {
namespace {

constexpr int64_t kAdmitAgainUs = 1 * kSecond;
constexpr int64_t kAdmitDeadlineUs = 8 * kSecond;
constexpr int64_t kStallUs = 700 * kMs;
constexpr uint32_t kMaxAttempts = 8;

gateway::AccountantOptions Options() {
  gateway::AccountantOptions options;
  options.gateway_id = "simulated";
  options.progress_every_us = 250 * kMs;
  options.settles = {
      .per_message = 3, .resend_us = 100 * kMs, .max_resend_us = 1 * kSecond, .lost_after_us = 500 * kMs};
  options.stop_after_us = kStopAfterUs;
  options.grant_ahead = 16;
  return options;
}

}  // namespace

SimGateway::SimGateway(World* world, int node)
    : world_(world), node_(node), accountant_(Options(), [this] { Arm(); }) {}

int64_t SimGateway::Now() const { return world_->cluster.ClockOf(node_); }

bool SimGateway::Drained() const {
  return streams_.empty() && accountant_.open_requests() == 0 && accountant_.pending_settles() == 0;
}

void SimGateway::Die() {
  for (const RequestId& id : mine_) world_->checker.GatewayDied(id);
}

void SimGateway::Call(std::function<void(SimCoordinator&)> call) {
  World* const world = world_;
  const int coordinator = believed_;
  world_->cluster.Send(node_, world_->coordinator_node(coordinator),
                       [world, coordinator, call] { call(*world->coordinator(coordinator)); });
}

template <typename T>
std::function<void(T)> SimGateway::Answer(int from, std::function<void(T)> handle) {
  World* const world = world_;
  const int node = node_;
  const uint64_t incarnation = world_->cluster.Incarnation(node_);
  return [=](T value) { world->cluster.Answer(from, node, incarnation, [handle, value] { handle(value); }); };
}

// ---- admission ----

void SimGateway::Open(const RequestId& id, const ClientRequest& request) {
  Stream& stream = streams_[id];
  stream.client = request;
  stream.opened_us = Now();
  stream.heard_us = Now();
  stream.accepted.assign(request.length.size(), 0);
  stream.delivered.assign(request.length.size(), 0);
  mine_.insert(id);
  world_->checker.Started(id, request.prompt_tokens, static_cast<uint32_t>(request.length.size()));
  if (request.leaves_after_us != INT64_MAX) {
    world_->cluster.After(node_, request.leaves_after_us, [this, id] { End(id, v1::SETTLE_CLIENT_GONE); });
  }
  Admit(id);
  Watch(id);
}

void SimGateway::Admit(const RequestId& id) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || found->second.granted) return;
  const Stream& stream = found->second;
  if (Now() - stream.opened_us > kAdmitDeadlineUs) return End(id, v1::SETTLE_ABANDONED);
  const auto choices = static_cast<uint32_t>(stream.client.length.size());
  const gateway::AdmitCall call = accountant_.BeginAdmit({.id = id,
                                                          .choices = choices,
                                                          .prompt_tokens = stream.client.prompt_tokens,
                                                          .max_tokens = stream.client.max_tokens},
                                                         Now());
  v1::AdmitRequest request;
  request.set_request_id(id.ToBytes());
  request.set_key_id(stream.client.key_id);
  request.set_model("m");
  request.set_choices(choices);
  request.set_prompt_tokens(stream.client.prompt_tokens);
  request.set_max_tokens(stream.client.max_tokens);
  const int from = world_->coordinator_node(believed_);
  auto place = Answer<Placement>(from, [this, id](Placement placement) { Place(id, placement); });
  auto answer = Answer<v1::AdmitReply>(from, [this, call](v1::AdmitReply reply) { OnAdmit(call, reply); });
  Call([=](SimCoordinator& coordinator) { coordinator.Admit(request, place, answer); });
  world_->cluster.After(node_, kAdmitAgainUs, [this, id] {
    const auto stream = streams_.find(id);
    if (stream == streams_.end() || stream->second.granted) return;
    believed_ = 1 - believed_;
    Admit(id);
  });
}

void SimGateway::OnAdmit(const gateway::AdmitCall& call, const v1::AdmitReply& reply) {
  if (reply.has_grant()) {
    world_->checker.Granted(call.id, reply.grant(), world_->cluster.ToSimulated(node_, call.sent_us));
  }
  const bool granted = accountant_.OnAdmitReply(call, reply, Now());
  const auto found = streams_.find(call.id);
  if (found == streams_.end()) return;
  if (granted) {
    found->second.granted = true;
    return Write(call.id);
  }
  if (reply.has_refusal() && !found->second.granted) End(call.id, v1::SETTLE_ABANDONED);
}

// ---- workers ----

void SimGateway::Place(const RequestId& id, Placement placement) {
  const auto found = streams_.find(id);
  if (found == streams_.end() || found->second.generating) return;
  Stream& stream = found->second;
  stream.generating = true;
  stream.heard_us = Now();
  stream.worker = placement.worker;
  v1::Placement group;
  group.set_group_id(std::to_string(world_->worker_node(placement.worker)));
  group.set_group_epoch(placement.epoch);
  stream.attempt = accountant_.NewAttempt(id, group);
  const GenerateCall call{
      id,
      stream.attempt,
      placement.epoch,
      stream.accepted,
      stream.client.length,
      static_cast<uint64_t>(world_->cluster.random.In(0, static_cast<int64_t>(stream.client.prompt_tokens)))};
  World* const world = world_;
  const int self = node_;
  const uint64_t incarnation = world_->cluster.Incarnation(node_);
  // A connection to the worker: broken or not, but never doubled. If it breaks, the silence shows it.
  int64_t connection_us = 0;
  world_->cluster.SendInOrder(node_, world_->worker_node(placement.worker), 0, connection_us, [=] {
    world->worker(placement.worker)->Generate(call, self - world->gateway_node(0), incarnation);
  });
}

void SimGateway::OnToken(const Token& token) {
  const auto found = streams_.find(token.id);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  if (!accountant_.Accept(token.id, token.attempt, 1, token.cached_tokens, Now())) return;
  world_->checker.Accepted(token.id, token.position, stream.accepted[token.choice]);
  const uint64_t accepted = std::accumulate(stream.accepted.begin(), stream.accepted.end(), uint64_t{0});
  if (accepted == 0) stream.cached_tokens = token.cached_tokens;
  ++stream.accepted[token.choice];
  stream.heard_us = Now();
  Write(token.id);
}

// Looks after a stream from time to time: a silent worker is replaced, a stopped stream ended.
void SimGateway::Watch(const RequestId& id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  const Stream& stream = found->second;
  const bool expects =
      stream.generating || (stream.granted && stream.attempt == 0);  // the placement may be lost
  const bool silent =
      expects && stream.accepted != stream.client.length && Now() - stream.heard_us > kStallUs;
  if (silent && stream.attempt >= kMaxAttempts) {
    return End(id, v1::SETTLE_SERVER_ERROR);
  }
  if (silent) Readmit(id);
  Write(id);
  world_->cluster.After(node_, world_->cluster.random.In(100 * kMs, 300 * kMs), [this, id] { Watch(id); });
}

void SimGateway::Readmit(const RequestId& id) {
  Stream& stream = streams_.at(id);
  stream.generating = false;
  World* const world = world_;
  const int worker = stream.worker;
  const uint32_t attempt = stream.attempt;
  world_->cluster.Send(node_, world_->worker_node(worker),
                       [=] { world->worker(worker)->Cancel(id, attempt); });
  auto place = Answer<Placement>(world_->coordinator_node(believed_),
                                 [this, id](Placement placement) { Place(id, placement); });
  Call([place](SimCoordinator& coordinator) { coordinator.Readmit(place); });
  world_->cluster.After(node_, kStallUs, [this, id] {
    const auto found = streams_.find(id);
    if (found == streams_.end() || found->second.generating) return;
    believed_ = 1 - believed_;
    Readmit(id);
  });
}

// ---- the client's socket ----

void SimGateway::Write(const RequestId& id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  const gateway::Allowance may = accountant_.MayDeliver(id, Now());
  switch (may.end) {
    case gateway::EndCause::kRevoked:
      return End(id, v1::SETTLE_REVOKED);
    case gateway::EndCause::kClosed:
    case gateway::EndCause::kStopped:
      return End(id, v1::SETTLE_STOPPED);
    case gateway::EndCause::kNone:
    case gateway::EndCause::kBudget:
      break;
  }
  if (!stream.granted) return;
  const uint64_t accepted = std::accumulate(stream.accepted.begin(), stream.accepted.end(), uint64_t{0});
  const uint64_t delivered = std::accumulate(stream.delivered.begin(), stream.delivered.end(), uint64_t{0});
  const bool exhausted = may.end == gateway::EndCause::kBudget && accepted - delivered >= may.positions;
  const bool complete = stream.accepted == stream.client.length && accepted - delivered <= may.positions;
  if (stream.client.streamed) WriteStreamed(id, stream, may.positions);
  if (!exhausted && !complete) return;
  if (!stream.client.streamed) WriteWhole(id, stream, may.positions);
  if (stream.client.streamed) world_->checker.UsageRead(id, accountant_.UsageAfter(id, 0));
  End(id, exhausted && !complete ? v1::SETTLE_BUDGET : v1::SETTLE_COMPLETED);
}

void SimGateway::WriteStreamed(const RequestId& id, Stream& stream, uint64_t positions) {
  for (uint32_t choice = 0; choice < stream.accepted.size() && positions > 0; ++choice) {
    const uint64_t now = std::min(positions, stream.accepted[choice] - stream.delivered[choice]);
    Deliver(id, stream, choice, now);
    positions -= now;
  }
}

// The body carries usage and text in one write.
void SimGateway::WriteWhole(const RequestId& id, Stream& stream, uint64_t positions) {
  const uint64_t accepted = std::accumulate(stream.accepted.begin(), stream.accepted.end(), uint64_t{0});
  const gateway::Usage usage = accountant_.UsageAfter(id, std::min(positions, accepted));
  WriteStreamed(id, stream, positions);
  world_->checker.UsageRead(id, usage);
}

void SimGateway::Deliver(const RequestId& id, Stream& stream, uint32_t choice, uint64_t positions) {
  if (positions == 0) return;
  world_->checker.Delivered(id, choice, positions, stream.cached_tokens);
  stream.delivered[choice] += positions;
  accountant_.Delivered(id, choice, positions);
}

void SimGateway::End(const RequestId& id, v1::SettleReason reason) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  World* const world = world_;
  const int worker = found->second.worker;
  const uint32_t attempt = found->second.attempt;
  world_->cluster.Send(node_, world_->worker_node(worker),
                       [=] { world->worker(worker)->Cancel(id, attempt); });
  streams_.erase(found);
  accountant_.Finish(id, reason, Now());
}

// ---- progress and settle ----

void SimGateway::Arm() {
  const int64_t due_us = accountant_.NextDueUs();
  if (due_us >= armed_us_) return;
  armed_us_ = due_us;
  world_->cluster.After(node_, due_us - Now(), [this, due_us] {
    if (armed_us_ != due_us) return;  // another timer came first
    armed_us_ = INT64_MAX;
    Drive();
  });
}

void SimGateway::Drive() {
  gateway::Due due = accountant_.TakeDue(Now());
  const int from = world_->coordinator_node(believed_);
  if (due.progress) {
    auto answer = Answer<v1::ProgressReply>(from, [this, call = *due.progress](v1::ProgressReply reply) {
      const int64_t sent_us = world_->cluster.ToSimulated(node_, call.sent_us);
      for (int i = 0; i < reply.results_size(); ++i) {
        world_->checker.ProgressAnswered(call.request.requests(i), reply.results(i), sent_us);
      }
      answered_us_ = Now();
      for (const RequestId& id : accountant_.OnProgressReply(call, reply)) Write(id);
    });
    Call([request = due.progress->request, answer](SimCoordinator& coordinator) {
      coordinator.Progress(request, answer);
    });
  }
  if (due.settle) {
    for (const v1::RequestSettle& settle : due.settle->request.requests()) world_->checker.SettleSent(settle);
    auto answer = Answer<v1::SettleReply>(from, [this, call = *due.settle](v1::SettleReply reply) {
      for (const v1::SettleResult& result : reply.results()) {
        world_->checker.SettleAnswered(*RequestId::FromBytes(result.request_id()), result.amount_nano_usd());
      }
      answered_us_ = Now();
      accountant_.OnSettleReply(call, reply, Now());
    });
    Call([request = due.settle->request, answer](SimCoordinator& coordinator) {
      coordinator.Settle(request, answer);
    });
  }
  if ((due.progress || due.settle) && Now() - answered_us_ > kStallUs) {
    believed_ = 1 - believed_;  // nobody answers: try the other
    answered_us_ = Now();
  }
  for (const RequestId& id : due.ended) Write(id);
  Arm();
}

}  // namespace quire::simulation
