// The line that each request gets in the log, bounded for those that delivered no token: refused, abandoned,
// about models or CORS, they cost their sender nothing, so each key may write only so many of them, and all
// strangers together.
// What was left out is counted in the next line's company. Owned by gateway.cc; any thread.
#pragma once

#include "base/core/budgets.h"
#include "base/core/clock.h"
#include "base/http/request_record.h"

namespace quire::gateway {

class RequestLines {
 public:
  static constexpr BudgetLimits kFruitless{.burst = 500, .every_us = 50'000};

  RequestLines(const Clock& clock, http::RequestSink write, BudgetLimits fruitless = kFruitless)
      : clock_(clock), write_(std::move(write)), fruitless_(fruitless) {}

  void Write(const http::RequestRecord& record);

 private:
  const Clock& clock_;
  const http::RequestSink write_;
  Budgets fruitless_;  // by key id; empty: strangers
};

}  // namespace quire::gateway
