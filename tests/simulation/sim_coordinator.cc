#include "tests/simulation/processes.h"
#include "tests/simulation/world.h"

namespace quire::simulation {

SimCoordinator::SimCoordinator(World* world, int node) : world_(world), node_(node), store_(world) { Reap(); }

void SimCoordinator::TakeOver() {
  coordinator::LedgerOptions options;
  options.first_grant = 16;
  options.reap_after_us = kReapAfterUs;
  options.reap_period_us = kReapPeriodUs;
  options.forget_after_us = kForgetAfterUs;
  options.forget_most = 2;
  ledger_ = std::make_unique<coordinator::Ledger>(&store_, options);
  if (!ledger_->TakeOver().ok()) ledger_.reset();
}

coordinator::Ledger* SimCoordinator::Post() {
  if (ledger_ == nullptr) return nullptr;
  if (!commit_scheduled_) {
    commit_scheduled_ = true;
    world_->cluster.After(node_, world_->cluster.random.In(200, 8 * kMs), [this] { Commit(); });
  }
  return ledger_.get();
}

void SimCoordinator::Commit() {
  commit_scheduled_ = false;
  if (ledger_ == nullptr) return;
  const absl::Status status = ledger_->Commit(world_->cluster.WallMs(node_));
  if (absl::IsFailedPrecondition(status)) ledger_.reset();  // deposed
}

void SimCoordinator::Reap() {
  if (coordinator::Ledger* ledger = Post()) ledger->AdvanceReaper(world_->cluster.ClockOf(node_));
  world_->cluster.After(node_, kReapPeriodUs, [this] { Reap(); });
}

void SimCoordinator::Admit(const v1::AdmitRequest& request, std::function<void(Placement)> place,
                           std::function<void(v1::AdmitReply)> answer) {
  if (ledger_ == nullptr) return;
  // Now and then it waits in the queue, even longer than stop_after.
  const int64_t wait_us = world_->cluster.random.Percent(10) ? world_->cluster.random.In(0, 5 * kSecond) : 0;
  world_->cluster.After(node_, wait_us, [this, request, place, answer] {
    coordinator::Ledger* ledger = Post();
    if (ledger == nullptr) return;
    place(Pick());
    ledger->Admit(request, [answer](absl::StatusOr<v1::AdmitReply> reply) {
      if (reply.ok()) answer(*std::move(reply));
    });
  });
}

void SimCoordinator::Progress(const v1::ProgressRequest& request,
                              std::function<void(v1::ProgressReply)> answer) {
  coordinator::Ledger* ledger = Post();
  if (ledger == nullptr) return;
  ledger->Progress(request, [answer](absl::StatusOr<v1::ProgressReply> reply) {
    if (reply.ok()) answer(*std::move(reply));
  });
}

void SimCoordinator::Settle(const v1::SettleRequest& request, std::function<void(v1::SettleReply)> answer) {
  coordinator::Ledger* ledger = Post();
  if (ledger == nullptr) return;
  ledger->Settle(request, [answer](absl::StatusOr<v1::SettleReply> reply) {
    if (reply.ok()) answer(*std::move(reply));
  });
}

void SimCoordinator::Readmit(std::function<void(Placement)> place) {
  if (ledger_ != nullptr) place(Pick());
}

Placement SimCoordinator::Pick() {
  const auto worker = static_cast<int>(world_->cluster.random.In(0, World::kPairs - 1));
  return {worker, world_->cluster.Incarnation(world_->worker_node(worker))};
}

}  // namespace quire::simulation
