// The line that each request gets in the log, bounded for those that nothing came of: they cost their sender
// nothing, so each key may write only so many of them, and all strangers together. What was left out is
// counted in the next line's company. Owned by the server; any thread.
#pragma once

#include "base/core/budgets.h"
#include "base/core/clock.h"
#include "base/http/request_record.h"

namespace quire::http {

// What may come of the request of a key: an answer that is none of an error, or tokens that it pays for.
enum class Fruit { kAnswer, kTokens };

class RequestLines {
 public:
  static constexpr BudgetLimits kFruitless{.burst = 500, .every_us = 50'000};

  RequestLines(const Clock& clock, Fruit fruit, RequestSink write, BudgetLimits fruitless = kFruitless)
      : clock_(clock), fruit_(fruit), write_(std::move(write)), fruitless_(fruitless) {}

  void Write(const RequestRecord& record);

 private:
  bool IsFruitless(const RequestRecord& record) const;

  const Clock& clock_;
  const Fruit fruit_;
  const RequestSink write_;
  Budgets fruitless_;  // by key id; empty: strangers
};

}  // namespace quire::http
