// For tests only: a sink that keeps every frame and its positions, and takes them all.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gateway/api/pipeline/sink.h"

namespace quire::gateway {

class TestSink final : public Sink {
 public:
  struct Frame {
    std::string bytes;
    uint32_t positions;
  };

  void OnGone(std::function<void()> /*gone*/) override {}
  bool gone() const override { return false; }
  boost::asio::awaitable<absl::Status> Flush() override { co_return absl::OkStatus(); }
  boost::asio::awaitable<void> Finish() override { co_return; }
  bool may_refuse() const override { return false; }
  boost::asio::awaitable<void> Refuse(const http::ApiError& /*error*/) override { co_return; }

  const std::vector<Frame>& frames() const { return frames_; }
  std::string bytes() const {
    std::string all;
    for (const Frame& frame : frames_) all += frame.bytes;
    return all;
  }

 private:
  void Queue(std::string_view frame, uint32_t positions) override {
    frames_.push_back({std::string(frame), positions});
    delivered_ += positions;
  }
  uint64_t delivered() const override { return delivered_; }

  std::vector<Frame> frames_;
  uint64_t delivered_ = 0;
};

}  // namespace quire::gateway
