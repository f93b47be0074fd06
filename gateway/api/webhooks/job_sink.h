// A sink for an answer that nobody waits for: it keeps the body until all of it is there. Then all of it
// counts as delivered: what is billed is what the webhook says. Made for one job, used on its thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "gateway/api/pipeline/sink.h"

namespace quire::gateway {

class JobSink final : public Sink {
 public:
  explicit JobSink(std::function<void()> on_first_token) : on_first_token_(std::move(on_first_token)) {}

  void OnGone(std::function<void()> gone) override {
    gone_ = std::move(gone);
    if (left_ && gone_) std::exchange(gone_, nullptr)();
  }
  bool gone() const override { return left_; }
  void NoteFirstToken() override {
    if (on_first_token_) std::exchange(on_first_token_, nullptr)();
  }
  boost::asio::awaitable<absl::Status> Flush() override { co_return absl::OkStatus(); }
  boost::asio::awaitable<void> Finish() override {
    finished_ = true;
    co_return;
  }
  bool may_refuse() const override { return true; }
  boost::asio::awaitable<void> Refuse(const http::ApiError& error) override {
    error_ = error;
    co_return;
  }

  // The gateway ends: the answer is given up, or what is done with it since.
  void Leave() {
    left_ = true;
    if (gone_) std::exchange(gone_, nullptr)();
  }

  bool finished() const { return finished_; }
  std::string TakeBody() { return std::move(body_); }
  const std::optional<http::ApiError>& error() const { return error_; }

 private:
  void Queue(std::string_view frame, uint32_t positions) override {
    body_ += frame;
    positions_ += positions;
  }
  uint64_t delivered() const override { return finished_ ? positions_ : 0; }

  std::function<void()> on_first_token_, gone_;
  std::string body_;
  uint64_t positions_ = 0;
  bool finished_ = false, left_ = false;
  std::optional<http::ApiError> error_;
};

}  // namespace quire::gateway
