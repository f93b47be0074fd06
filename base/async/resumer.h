// A suspended coroutine as a value: Suspend parks the calling coroutine and hands its Resumer to a function;
// Resume (any thread, once) continues it on its own executor, never inside the caller.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <utility>

namespace quire {

class Resumer {
 public:
  Resumer() = default;
  template <typename CompletionHandler>
  explicit Resumer(CompletionHandler handler)
      : parked_(std::make_unique<ParkedHandler<CompletionHandler>>(std::move(handler))) {}

  explicit operator bool() const { return parked_ != nullptr; }
  // Does nothing where there is nobody.
  void Resume() {
    if (parked_ != nullptr) std::exchange(parked_, nullptr)->Post();
  }

 private:
  struct Parked {
    virtual ~Parked() = default;
    virtual void Post() = 0;
  };
  template <typename CompletionHandler>
  struct ParkedHandler final : Parked {
    explicit ParkedHandler(CompletionHandler handler) : handler(std::move(handler)) {}
    void Post() override { boost::asio::post(std::move(handler)); }
    CompletionHandler handler;
  };

  std::unique_ptr<Parked> parked_;
};

// co_await Suspend([&](Resumer self) { waiter_ = std::move(self); });
template <typename Arm>
boost::asio::awaitable<void> Suspend(Arm arm) {
  return boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void()>(
      [](auto handler, Arm arm) { arm(Resumer(std::move(handler))); }, boost::asio::use_awaitable,
      std::move(arm));
}

}  // namespace quire
