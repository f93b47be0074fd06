#include "worker/rpc/registration.h"

#include <algorithm>

#include "base/net/grpc.h"

namespace quire::worker {
namespace {

constexpr size_t kChunkBytes = 1 << 20;
constexpr absl::Duration kAnswerLimit = absl::Seconds(30);

}  // namespace

Registration::Registration(v1::Coordinator::Stub* stub, const v1::GroupInfo& group, const std::string& bundle,
                           const std::string& secret)
    : bundle_(bundle) {
  AddWorkerSecret(secret, &context_);
  *request_.mutable_group() = group;
  stub->async()->Register(&context_, this);
  StartWrite(&request_);
  StartRead(&reply_);
  StartCall();
}

Registration::~Registration() {
  context_.TryCancel();
  MutexLock lock(&mutex_);
  const auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return done_.has_value(); };
  mutex_.Await(absl::Condition(&ended));
}

absl::StatusOr<v1::RegisterAccepted> Registration::AwaitAccepted() {
  MutexLock lock(&mutex_);
  const auto answered = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return accepted_ || done_; };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&answered), kAnswerLimit)) {
    return absl::DeadlineExceededError("the coordinator did not answer the registration");
  }
  if (done_) return done_->ok() ? absl::UnavailableError("the coordinator ended the registration") : *done_;
  return *accepted_;
}

bool Registration::AwaitEnd(absl::Duration timeout) {
  MutexLock lock(&mutex_);
  const auto over = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return done_ || hurried_; };
  mutex_.AwaitWithTimeout(absl::Condition(&over), timeout);
  hurried_ = false;
  return done_.has_value();
}

void Registration::Hurry() {
  MutexLock lock(&mutex_);
  hurried_ = true;
}

void Registration::OnReadDone(bool ok) {
  if (!ok) return;  // OnDone says why
  MutexLock lock(&mutex_);
  if (reply_.has_accepted()) accepted_ = reply_.accepted();
  if (reply_.need_bundle()) wanted_ = true;
  if (!writing_) SendChunk();
  StartRead(&reply_);  // of an open stream: nothing more comes but its end
}

void Registration::OnWriteDone(bool ok) {
  MutexLock lock(&mutex_);
  writing_ = false;
  if (ok) SendChunk();
}

void Registration::SendChunk() {
  if (!wanted_) return;
  const size_t size = std::min(kChunkBytes, bundle_.size() - offset_);
  v1::BundleChunk* chunk = request_.mutable_chunk();
  chunk->set_data(bundle_.substr(offset_, size));
  offset_ += size;
  chunk->set_last(offset_ == bundle_.size());
  wanted_ = !chunk->last();
  writing_ = true;
  StartWrite(&request_);
}

void Registration::OnDone(const grpc::Status& status) {
  MutexLock lock(&mutex_);
  done_ = FromGrpc(status);
}

}  // namespace quire::worker
