#include "gateway/api/intake.h"

#include <utility>

namespace quire::gateway {
namespace {

// The part of all bytes that one key may hold.
constexpr size_t kKeysPart = 4;

}  // namespace

std::optional<http::ApiError> Intake::Take(Held& held, size_t more) {
  if (bytes_ + more > limits_.bytes) return TooManyBytesHeld();
  // A key with one request may always have it.
  if (held.bytes > 0 && held.bytes + more > limits_.bytes / kKeysPart) return TooManyUnadmitted();
  held.bytes += more;
  bytes_ += more;
  return std::nullopt;
}

ApiResult<std::shared_ptr<Intake::Visit>> Intake::Enter(const std::string& key_id, size_t bytes) {
  MutexLock lock(&mutex_);
  Held& held = by_key_[key_id];
  if (held.requests >= limits_.requests_per_key) return TooManyUnadmitted();
  if (auto error = Take(held, bytes)) {
    if (held.requests == 0) by_key_.erase(key_id);
    return *std::move(error);
  }
  ++held.requests;
  return std::make_shared<Visit>(*this, key_id, bytes);
}

std::optional<http::ApiError> Intake::Visit::Resize(size_t bytes) {
  MutexLock lock(&intake_.mutex_);
  Held& held = intake_.by_key_[key_id_];
  held.bytes -= bytes_;
  intake_.bytes_ -= bytes_;
  if (auto error = intake_.Take(held, bytes)) {
    held.bytes += bytes_;
    intake_.bytes_ += bytes_;
    return error;
  }
  bytes_ = bytes;
  return std::nullopt;
}

void Intake::Leave(const std::string& key_id, size_t bytes) {
  MutexLock lock(&mutex_);
  const auto found = by_key_.find(key_id);
  found->second.bytes -= bytes;
  bytes_ -= bytes;
  if (--found->second.requests == 0) by_key_.erase(found);
}

size_t Intake::bytes() const {
  MutexLock lock(&mutex_);
  return bytes_;
}

}  // namespace quire::gateway
