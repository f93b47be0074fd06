// For tests only: a real in-process worker group, whose sessions say what a test tells them, and what its
// clients heard.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/time/clock.h"
#include "base/core/mutex.h"
#include "base/net/grpc.h"
#include "gateway/rpc/worker_client.h"
#include "proto/inference.grpc.pb.h"

namespace quire::gateway {

inline constexpr absl::Duration kPatience = absl::Seconds(60);

// The group's end of a session.
class GroupEnd final : public grpc::ServerBidiReactor<v1::GatewayFrame, v1::GroupFrame> {
 public:
  explicit GroupEnd(grpc::CallbackServerContext* context) : deadline_(context->deadline()) {
    StartRead(&received_);
  }
  std::chrono::system_clock::time_point deadline() const { return deadline_; }

  void Say(const v1::GroupFrame& frame) {
    MutexLock lock(&mutex_);
    to_say_.push_back(frame);
    SayNext();
  }
  void SayTokens(uint64_t tag, int count) {
    v1::GroupFrame frame;
    frame.add_updates()->set_tag(tag);
    frame.mutable_updates(0)->mutable_tokens()->mutable_ids()->Resize(count, 7);
    Say(frame);
  }
  void SayEnded(uint64_t tag, absl::StatusCode code = absl::StatusCode::kOk) {
    v1::GroupFrame frame;
    frame.add_updates()->set_tag(tag);
    frame.mutable_updates(0)->mutable_ended()->set_code(static_cast<int>(code));
    Say(frame);
  }
  void End(const grpc::Status& status) {
    MutexLock lock(&mutex_);
    if (!std::exchange(ended_, true)) Finish(status);
  }
  // The n-th one, from 1.
  v1::Submit AwaitSubmit(size_t n) {
    MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return submits_.size() >= n; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience));
    return submits_.at(n - 1);
  }
  void AwaitAbort(uint64_t tag) {
    MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return std::ranges::count(aborts_, tag) > 0;
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience));
  }
  void AwaitCredit(uint64_t tag, uint64_t tokens) {
    MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return credit_[tag] >= tokens; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience));
    EXPECT_EQ(credit_[tag], tokens);
  }
  size_t aborts() {
    MutexLock lock(&mutex_);
    return aborts_.size();
  }
  Notification& cancelled() { return cancelled_; }
  // The gateway has closed its side, or is gone.
  Notification& reads_done() { return reads_done_; }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return reads_done_.Notify();
    MutexLock lock(&mutex_);
    if (received_.has_submit()) submits_.push_back(received_.submit());
    for (const v1::Credit& credit : received_.credits()) credit_[credit.tag()] += credit.tokens();
    aborts_.insert(aborts_.end(), received_.aborts().begin(), received_.aborts().end());
    if (!ended_) StartRead(&received_);
  }
  void OnWriteDone(bool ok) override {
    MutexLock lock(&mutex_);
    saying_ = !ok;
    if (ok) SayNext();
  }
  void OnCancel() override {
    cancelled_.Notify();
    End(grpc::Status::CANCELLED);
  }

  void OnDone() override {}

  void SayNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (saying_ || ended_ || to_say_.empty()) return;
    said_ = std::move(to_say_.front());
    to_say_.erase(to_say_.begin());
    saying_ = true;
    StartWrite(&said_);
  }

  const std::chrono::system_clock::time_point deadline_;
  v1::GatewayFrame received_;
  v1::GroupFrame said_;
  Notification cancelled_, reads_done_;
  Mutex mutex_;
  std::vector<v1::Submit> submits_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, uint64_t> credit_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint64_t> aborts_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::GroupFrame> to_say_ ABSL_GUARDED_BY(mutex_);
  bool saying_ ABSL_GUARDED_BY(mutex_) = false, ended_ ABSL_GUARDED_BY(mutex_) = false;
};

class SpokenGroup final : public v1::Inference::CallbackService {
 public:
  grpc::ServerBidiReactor<v1::GatewayFrame, v1::GroupFrame>* Serve(
      grpc::CallbackServerContext* context) override {
    MutexLock lock(&mutex_);
    sessions_.push_back(std::make_unique<GroupEnd>(context));
    return sessions_.back().get();
  }
  // The n-th session, from 1.
  GroupEnd& Session(size_t n) {
    MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return sessions_.size() >= n; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience));
    return *sessions_.at(n - 1);
  }
  size_t sessions() {
    MutexLock lock(&mutex_);
    return sessions_.size();
  }

 private:
  Mutex mutex_;
  std::vector<std::unique_ptr<GroupEnd>> sessions_ ABSL_GUARDED_BY(mutex_);
};

// What a request heard.
class Heard {
 public:
  std::function<void(v1::RequestUpdate)> Listener() {
    return [this](const v1::RequestUpdate& update) {
      MutexLock lock(&mutex_);
      tokens_ += update.tokens().ids_size();
      if (update.has_ended()) ends_.push_back(StatusOf(update.ended()));
    };
  }
  void AwaitTokens(int64_t tokens) {
    MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return tokens_ >= tokens; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience));
  }
  absl::Status AwaitEnd() {
    MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !ends_.empty(); };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience));
    return ends_.at(0);
  }
  int64_t tokens() {
    MutexLock lock(&mutex_);
    return tokens_;
  }
  size_t ends() {
    MutexLock lock(&mutex_);
    return ends_.size();
  }

 private:
  Mutex mutex_;
  int64_t tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<absl::Status> ends_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quire::gateway
