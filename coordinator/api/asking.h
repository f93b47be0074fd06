// How an admin handler, a coroutine on the HTTP server's I/O thread, asks another thread: it is suspended
// until the answer, its deadline or the client's leaving, and the I/O thread serves others meanwhile. What
// was asked is done all the same; a late answer finds nobody and is dropped. Unavailable: not taken, or late.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/async/mailbox.h"
#include "base/http/exchange.h"
#include "coordinator/api/work_thread.h"
#include "coordinator/ledger/ledger_thread.h"

namespace quire::coordinator {

template <typename T>
using AnswerBox = Mailbox<absl::StatusOr<T>>;

template <typename T>
boost::asio::awaitable<absl::StatusOr<T>> AwaitAnswer(http::Exchange& exchange,
                                                      std::shared_ptr<AnswerBox<T>> box,
                                                      std::chrono::milliseconds patience) {
  exchange.OnGone([box] { box->Push(absl::CancelledError("the client has left")); });
  std::vector<absl::StatusOr<T>> answers = co_await box->WaitFor(patience);
  if (answers.empty()) {
    co_return absl::UnavailableError(
        "no answer came in time; it may still be done: look before you try again");
  }
  co_return std::move(answers.front());
}

// operation(ledger, reply) runs on the ledger's thread; the reply is released by its commit.
template <typename T, typename Operation>
boost::asio::awaitable<absl::StatusOr<T>> AskLedger(http::Exchange& exchange, LedgerThread& thread,
                                                    std::chrono::milliseconds patience, Operation operation) {
  auto box = std::make_shared<AnswerBox<T>>();
  const bool posted = thread.Post([box, operation = std::move(operation)](Ledger& ledger) mutable {
    operation(ledger, Reply<T>([box](absl::StatusOr<T> answer) { box->Push(std::move(answer)); }));
  });
  if (!posted) co_return absl::UnavailableError("the ledger is busy; try again");
  co_return co_await AwaitAnswer<T>(exchange, std::move(box), patience);
}

// work() gives an absl::StatusOr<T>.
template <typename T, typename Work>
boost::asio::awaitable<absl::StatusOr<T>> AskThread(http::Exchange& exchange, WorkThread& thread,
                                                    std::chrono::milliseconds patience, Work work) {
  auto box = std::make_shared<AnswerBox<T>>();
  const bool posted = thread.TryPost([box, work = std::move(work)]() mutable {
    try {
      box->Push(work());
    } catch (const std::exception& error) {
      box->Push(absl::InternalError(error.what()));
    }
  });
  if (!posted) co_return absl::UnavailableError("too many reports are being made; try again");
  co_return co_await AwaitAnswer<T>(exchange, std::move(box), patience);
}

}  // namespace quire::coordinator
