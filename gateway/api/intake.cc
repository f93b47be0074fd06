#include "gateway/api/intake.h"

#include <utility>

namespace quire::gateway {
namespace {

// The part of all bytes that one account may hold.
constexpr size_t kAccountsPart = 4;

}  // namespace

std::optional<http::ApiError> Intake::Take(const std::string& account_id, size_t bytes) {
  if (bytes_ + bytes > limits_.bytes) return TooManyBytesHeld();
  const auto found = bytes_by_account_.find(account_id);
  // One request may always be there, however large.
  const size_t held = found == bytes_by_account_.end() ? 0 : found->second;
  if (held > 0 && held + bytes > limits_.bytes / kAccountsPart) return TooManyUnadmitted();
  if (bytes > 0) bytes_by_account_[account_id] += bytes;
  bytes_ += bytes;
  return std::nullopt;
}

void Intake::GiveBack(const std::string& account_id, size_t bytes) {
  bytes_ -= bytes;
  const auto found = bytes_by_account_.find(account_id);
  if (found != bytes_by_account_.end() && (found->second -= bytes) == 0) bytes_by_account_.erase(found);
}

ApiResult<std::shared_ptr<Intake::Visit>> Intake::Enter(const std::string& key_id,
                                                        const std::string& account_id, size_t bytes) {
  MutexLock lock(&mutex_);
  const auto found = requests_by_key_.find(key_id);
  const int inside = found == requests_by_key_.end() ? 0 : found->second;
  if (inside >= limits_.requests_per_key) return TooManyUnadmitted();
  if (auto error = Take(account_id, bytes)) return *std::move(error);
  requests_by_key_[key_id] = inside + 1;
  return std::make_shared<Visit>(*this, key_id, account_id, bytes);
}

std::optional<http::ApiError> Intake::Visit::Resize(size_t bytes) {
  MutexLock lock(&intake_.mutex_);
  intake_.GiveBack(account_id_, bytes_);
  auto error = intake_.Take(account_id_, bytes);
  if (!error) {
    bytes_ = bytes;
  } else if (bytes_ > 0) {
    intake_.bytes_by_account_[account_id_] += bytes_;
    intake_.bytes_ += bytes_;
  }
  return error;
}

void Intake::Leave(const Visit& visit) {
  MutexLock lock(&mutex_);
  GiveBack(visit.account_id_, visit.bytes_);
  const auto found = requests_by_key_.find(visit.key_id_);
  if (--found->second == 0) requests_by_key_.erase(found);
}

size_t Intake::bytes() const {
  MutexLock lock(&mutex_);
  return bytes_;
}

}  // namespace quire::gateway
