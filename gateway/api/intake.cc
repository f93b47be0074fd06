#include "gateway/api/intake.h"

#include <utility>

namespace quire::gateway {
namespace {

// The part of all bytes that one account may hold.
constexpr size_t kAccountsPart = 4;

}  // namespace

std::optional<http::ApiError> Intake::Hold(const std::string& account_id, size_t before, size_t now) {
  const auto found = bytes_by_account_.find(account_id);
  const size_t others = (found == bytes_by_account_.end() ? 0 : found->second) - before;
  if (now > before) {
    if (bytes_ - before + now > limits_.bytes) return TooManyBytesHeld();
    // One request may always be there, however large.
    if (others > 0 && others + now > limits_.bytes / kAccountsPart) return TooManyUnadmitted();
  }
  bytes_ = bytes_ - before + now;
  if (others + now > 0) {
    bytes_by_account_[account_id] = others + now;
  } else {
    bytes_by_account_.erase(account_id);
  }
  return std::nullopt;
}

ApiResult<std::shared_ptr<Intake::Visit>> Intake::Enter(const std::string& key_id,
                                                        const std::string& account_id) {
  {
    MutexLock lock(&mutex_);
    const auto found = requests_by_key_.find(key_id);
    const int inside = found == requests_by_key_.end() ? 0 : found->second;
    if (inside >= limits_.requests_per_key) return TooManyUnadmitted();
    requests_by_key_[key_id] = inside + 1;
  }
  return std::make_shared<Visit>(*this, key_id, account_id);
}

std::optional<http::ApiError> Intake::Visit::Resize(size_t bytes) {
  MutexLock lock(&intake_.mutex_);
  auto error = intake_.Hold(account_id_, bytes_, bytes);
  if (!error) bytes_ = bytes;
  return error;
}

void Intake::Leave(const Visit& visit) {
  MutexLock lock(&mutex_);
  Hold(visit.account_id_, visit.bytes_, 0);
  const auto found = requests_by_key_.find(visit.key_id_);
  if (--found->second == 0) requests_by_key_.erase(found);
}

size_t Intake::bytes() const {
  MutexLock lock(&mutex_);
  return bytes_;
}

}  // namespace quire::gateway
