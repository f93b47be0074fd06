// The sending end of a server-streamed RPC over the callback API: messages may be sent from any thread and go
// out in order, one write at a time; the stream keeps itself alive until gRPC is done with it, so that a late
// sender finds it closed instead of gone. Included by .cc files of api/ only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/core/mutex.h"

namespace quire::coordinator {

template <typename Message>
class StreamWriter final : public grpc::ServerWriteReactor<Message> {
 public:
  // More than `max_queued` unsent messages end the stream: its reader is too slow.
  static std::shared_ptr<StreamWriter> Make(size_t max_queued) {
    std::shared_ptr<StreamWriter> writer(new StreamWriter(max_queued));
    MutexLock lock(&writer->mutex_);
    writer->self_ = writer;
    return writer;
  }

  // Called once, when the stream is over for whatever reason. Set before the first Send.
  void OnEnd(std::function<void()> on_end) {
    MutexLock lock(&mutex_);
    on_end_ = std::move(on_end);
  }

  void Send(Message message) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    if (closing_) return;
    if (queue_.size() >= max_queued_) {
      CloseLocked(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                               "the reader is too slow; open the stream again"));
      return;
    }
    queue_.push_back(std::move(message));
    WriteNext();
  }

  // After what is queued.
  void Close(grpc::Status status) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    if (!closing_) CloseLocked(std::move(status));
  }

 private:
  explicit StreamWriter(size_t max_queued) : max_queued_(max_queued) {}

  void CloseLocked(grpc::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    closing_ = true;
    status_ = std::move(status);
    WriteNext();
  }

  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || finished_) return;
    if (!queue_.empty()) {
      writing_ = true;
      this->StartWrite(&queue_.front());
    } else if (closing_) {
      finished_ = true;
      this->Finish(status_);
    }
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(&mutex_);
    writing_ = false;
    if (ok) {
      queue_.pop_front();
    } else {
      queue_.clear();
      closing_ = true;
    }
    WriteNext();
  }

  void OnCancel() override {
    MutexLock lock(&mutex_);
    closing_ = true;
    if (!writing_) queue_.clear();
    WriteNext();
  }

  void OnDone() override {
    std::function<void()> on_end;
    std::shared_ptr<StreamWriter> self;
    {
      MutexLock lock(&mutex_);
      closing_ = true;
      on_end.swap(on_end_);
      self.swap(self_);
    }
    if (on_end) on_end();
  }

  const size_t max_queued_;
  Mutex mutex_;
  std::shared_ptr<StreamWriter> self_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> on_end_ ABSL_GUARDED_BY(mutex_);
  std::deque<Message> queue_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::coordinator
