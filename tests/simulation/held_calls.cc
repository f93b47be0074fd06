#include "tests/simulation/held_calls.h"

#include <utility>

#include "gateway/rpc/coordinator_client.h"

namespace quire::simulation {

void HeldCalls::Hold(Call call) {
  MutexLock lock(&mutex_);
  calls_.push_back(std::move(call));
}

size_t HeldCalls::size() const {
  MutexLock lock(&mutex_);
  return calls_.size();
}

bool HeldCalls::AwaitAny(absl::Duration limit) const {
  MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(this, &HeldCalls::Any), limit);
}

HeldCalls::Call HeldCalls::Take(size_t index) {
  MutexLock lock(&mutex_);
  Call call = std::move(calls_.at(index));
  calls_.erase(calls_.begin() + static_cast<std::ptrdiff_t>(index));
  return call;
}

std::shared_ptr<grpc::Channel> HeldCalls::Channel(const std::shared_ptr<HeldCalls>& calls) {
  return std::shared_ptr<grpc::Channel>(calls, reinterpret_cast<grpc::Channel*>(calls.get()));
}

}  // namespace quire::simulation

// What the driver uses of the client; whatever else was used would not link.
namespace quire::gateway {

struct CoordinatorClient::Impl {
  std::shared_ptr<grpc::Channel> channel;
  simulation::HeldCalls& calls() const { return *reinterpret_cast<simulation::HeldCalls*>(channel.get()); }
};

CoordinatorClient::CoordinatorClient(std::shared_ptr<grpc::Channel> channel)
    : impl_(std::make_unique<Impl>(Impl{std::move(channel)})) {}

CoordinatorClient::~CoordinatorClient() = default;

void CoordinatorClient::Progress(const v1::ProgressRequest& request, Done<v1::ProgressReply> done) {
  impl_->calls().Hold(
      [request, done = std::move(done)](simulation::FaultyBooks& books) { done(books.Progress(request)); });
}

void CoordinatorClient::Settle(const v1::SettleRequest& request, Done<v1::SettleReply> done) {
  impl_->calls().Hold(
      [request, done = std::move(done)](simulation::FaultyBooks& books) { done(books.Settle(request)); });
}

}  // namespace quire::gateway
