#include "worker/rpc/health_reporter.h"

#include <grpcpp/health_check_service_interface.h>

namespace quire::worker {
namespace {

constexpr absl::Duration kBeat = absl::Milliseconds(250);
constexpr int kRoundsPerBeat = 4;

}  // namespace

HealthReporter::HealthReporter(grpc::Server* server, std::function<bool()> healthy,
                               std::function<void()> beat)
    : server_(server), healthy_(std::move(healthy)), beat_(std::move(beat)) {
  Report(healthy_());
  thread_ = std::thread([this] { Run(); });
}

HealthReporter::~HealthReporter() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
  Report(false);
}

void HealthReporter::Run() {
  MutexLock lock(&mutex_);
  int round = 0;
  while (!mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kBeat)) {
    Report(healthy_());
    if (++round % kRoundsPerBeat == 0) beat_();
  }
}

void HealthReporter::Report(bool serving) {
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  health->SetServingStatus("", serving);
  health->SetServingStatus("quire.v1.Inference", serving);
}

}  // namespace quire::worker
