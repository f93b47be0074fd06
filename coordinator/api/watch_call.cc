#include "coordinator/api/watch_call.h"

#include <memory>
#include <optional>
#include <utility>

#include "base/core/mutex.h"

namespace quire::coordinator {
namespace {

class WatchCall final : public grpc::ServerWriteReactor<v1::WatchEvent> {
 public:
  explicit WatchCall(SlowFacts* facts) : facts_(facts) {}

  void Begin(const std::shared_ptr<WatchCall>& self) {
    MutexLock lock(&mutex_);
    self_ = self;
    // Weak: a wake that comes late finds nobody.
    subscription_ = facts_->Subscribe([weak = std::weak_ptr<WatchCall>(self)] {
      if (const std::shared_ptr<WatchCall> call = weak.lock()) call->Wake();
    });
    WriteNext();
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) ending_ = true;
    WriteNext();
  }

  void OnCancel() override {
    MutexLock lock(&mutex_);
    ending_ = true;
    WriteNext();
  }

  void OnDone() override {
    std::shared_ptr<WatchCall> self;  // outlives the lock
    MutexLock lock(&mutex_);
    facts_->Unsubscribe(subscription_);
    self.swap(self_);
  }

 private:
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    WriteNext();
  }

  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || finished_) return;
    if (ending_) {
      finished_ = true;
      return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the stream was cancelled"));
    }
    std::optional<v1::WatchEvent> next = facts_->Next(subscription_);
    if (!next) return;  // until the wake
    event_ = *std::move(next);
    writing_ = true;
    StartWrite(&event_);
  }

  SlowFacts* const facts_;
  Mutex mutex_;
  std::shared_ptr<WatchCall> self_ ABSL_GUARDED_BY(mutex_);
  uint64_t subscription_ ABSL_GUARDED_BY(mutex_) = 0;
  v1::WatchEvent event_;  // gRPC's while writing_
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerWriteReactor<v1::WatchEvent>* MakeWatchCall(SlowFacts* facts) {
  auto call = std::make_shared<WatchCall>(facts);
  call->Begin(call);
  return call.get();
}

}  // namespace quire::coordinator
