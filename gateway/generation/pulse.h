// Whether this process has just slept (stopped, starved, a machine's pause): a timer on the connection's
// executor looks at the clock every half second, also while the handler writes to a slow client and does not
// look by itself; a longer gap was a sleep. Owned by a Generation while an attempt runs; that executor's
// thread only. Always: a beat that comes after its owner is gone does nothing.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/core/clock.h"

namespace quire::gateway {

class Pulse : public std::enable_shared_from_this<Pulse> {
 public:
  static constexpr int64_t kEveryUs = 500'000, kSleptUs = kEveryUs + 1'000'000;
  // What the connections still have to say of a sleep is said about then.
  static constexpr int64_t kWakingUs = 2'000'000;

  static std::shared_ptr<Pulse> Start(const boost::asio::any_io_executor& executor, const Clock& clock,
                                      std::function<void()> on_beat) {
    auto pulse = std::make_shared<Pulse>(executor, clock, std::move(on_beat));
    pulse->SetTimer();
    return pulse;
  }
  Pulse(const boost::asio::any_io_executor& executor, const Clock& clock, std::function<void()> on_beat)
      : timer_(executor), clock_(clock), on_beat_(std::move(on_beat)), looked_us_(clock.NowUs()) {}

  void Look() {
    const int64_t now_us = clock_.NowUs();
    if (now_us - looked_us_ > kSleptUs) slept_us_ = now_us;
    looked_us_ = now_us;
  }
  // When the last sleep ended, as far as looked.
  std::optional<int64_t> slept_us() const { return slept_us_; }
  // Another thread may be awake a little sooner than this one.
  bool SleptAbout(int64_t at_us) const { return slept_us_ && std::abs(at_us - *slept_us_) < kWakingUs; }

 private:
  void SetTimer() {
    timer_.expires_after(std::chrono::microseconds(kEveryUs));
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& cancelled) {
      const std::shared_ptr<Pulse> self = weak.lock();
      if (cancelled || self == nullptr) return;
      self->Look();
      self->on_beat_();
      self->SetTimer();
    });
  }

  boost::asio::steady_timer timer_;
  const Clock& clock_;
  const std::function<void()> on_beat_;
  int64_t looked_us_;
  std::optional<int64_t> slept_us_;
};

}  // namespace quire::gateway
