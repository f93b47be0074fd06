#include "gateway/generation/generations.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <utility>

namespace quire::gateway {

using boost::asio::awaitable;
using std::chrono::milliseconds, std::chrono::steady_clock;

Generations::Generations(const GenerationServices& services, std::vector<GenerationRequest> requests)
    : choices_each_(requests.front().choices) {
  for (GenerationRequest& request : requests) {
    all_.push_back({.generation = std::make_unique<Generation>(services, std::move(request))});
  }
}

bool Generations::granted() const {
  return std::all_of(all_.begin(), all_.end(), [](const One& one) { return one.generation->granted(); });
}

// ---- one step after another ----

awaitable<Step> Generations::Next() {
  return all_.size() == 1 ? all_.front().generation->Next() : NextOfAll(std::nullopt);
}

awaitable<Step> Generations::UntilGranted(milliseconds limit) {
  return all_.size() == 1 ? all_.front().generation->UntilGranted(limit) : NextOfAll(limit);
}

// With a limit: until that, or all are granted.
awaitable<Step> Generations::NextOfAll(std::optional<milliseconds> limit) {
  const steady_clock::time_point end = steady_clock::now() + limit.value_or(milliseconds(0));
  StartFeeding(co_await boost::asio::this_coro::executor);
  for (const size_t index : std::exchange(taken_, {})) all_[index].go_on->Push({});
  while (!over_) {
    Step step = Take();
    if (!step.empty()) co_return step;
    const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
    if (limit && (granted() || left <= milliseconds(0))) break;
    std::vector<Fed> fed;
    if (limit) {
      fed = co_await fed_->WaitFor(left);
    } else {
      fed = co_await fed_->Wait();
    }
    for (Fed& one : fed) Handle(std::move(one));
  }
  co_return Step();
}

void Generations::Handle(Fed fed) {
  if (fed.over) --feeding_;
  if (fed.thrown != nullptr) std::rethrow_exception(fed.thrown);
  if (!fed.step.empty()) held_.push_back(std::move(fed));
}

Step Generations::Take() {
  Step all;
  std::optional<Ending> failure;
  for (const Fed& fed : held_) {
    if (fed.step.ending && fed.step.ending->is_error() && !failure) failure = fed.step.ending;
  }
  if (granted()) {
    for (Fed& fed : std::exchange(held_, {})) Append(std::move(fed), all);
  }
  if (failure) {
    all.ending = failure;
    StopFeeding();
    for (One& one : all_) one.generation->EndWith(*failure);
  } else if (ended_ == all_.size()) {
    const bool cut = greatest_ == Ending::Kind::kBudget;
    all.ending = Ending{.kind = greatest_, .reason = cut ? v1::SETTLE_BUDGET : v1::SETTLE_COMPLETED};
  }
  return all;
}

void Generations::Append(Fed fed, Step& all) {
  const auto first = static_cast<uint32_t>(fed.index) * choices_each_;
  for (Piece& piece : fed.step.pieces) {
    piece.choice += first;
    all.pieces.push_back(std::move(piece));
  }
  for (ChoiceEnd& end : fed.step.ends) {
    end.choice += first;
    all.ends.push_back(end);
  }
  if (fed.step.ending && !fed.step.ending->is_error()) {
    ++ended_;
    greatest_ = std::max(greatest_, fed.step.ending->kind);
  }
  taken_.push_back(fed.index);
}

// ---- the coroutines ----

void Generations::StartFeeding(const boost::asio::any_io_executor& executor) {
  if (std::exchange(started_, true)) return;
  for (size_t i = 0; i < all_.size(); ++i) {
    ++feeding_;
    boost::asio::co_spawn(executor, Feed(i), [fed = fed_, i](std::exception_ptr thrown) {
      fed->Push({.index = i, .over = true, .thrown = std::move(thrown)});
    });
  }
}

awaitable<void> Generations::Feed(size_t index) {
  Generation& generation = *all_[index].generation;
  Step step = co_await generation.UntilGranted(std::nullopt);
  while (!over_) {
    const bool waits = !step.empty(), ends = step.ending.has_value();
    fed_->Push({.index = index, .step = std::move(step)});
    if (ends) break;
    if (waits) co_await all_[index].go_on->Wait();
    if (over_) break;
    step = co_await generation.Next();
  }
}

void Generations::StopFeeding() {
  over_ = true;
  for (One& one : all_) one.go_on->Push({});
}

void Generations::Abort() {
  StopFeeding();
  for (One& one : all_) one.generation->Abort();
  fed_->Push({});
}

// Whose answer was said to its end has no coroutine that waits, but for the news of its end.
awaitable<void> Generations::End() {
  const bool runs = started_ && !over_ && ended_ < all_.size();
  if (runs) Abort();
  while (feeding_ > 0) {
    std::vector<Fed> fed = co_await fed_->Wait();
    for (const Fed& one : fed) feeding_ -= one.over ? 1 : 0;
  }
}

// ---- what became of it ----

void Generations::Written(uint32_t choice, uint64_t positions) {
  all_[choice / choices_each_].generation->Written(choice % choices_each_, positions);
}

Usage Generations::UsageAtEnd() const {
  Usage sum;
  for (const One& one : all_) {
    const Usage usage = one.generation->UsageAtEnd();
    sum.counts.prompt += usage.counts.prompt;
    sum.counts.cached += usage.counts.cached;
    sum.counts.completion += usage.counts.completion;
    sum.cost_nano_usd += usage.cost_nano_usd;
    sum.reasoning_tokens += usage.reasoning_tokens;
  }
  return sum;
}

// How the first ended that did not just stop.
void Generations::Describe(http::RequestRecord& record) const {
  const std::string stopped = NameOf(Ending::Kind::kStop);
  for (const One& one : all_) {
    http::RequestRecord own;
    one.generation->Describe(own);
    record.model = own.model;
    if (record.finish.empty() || record.finish == stopped) record.finish = own.finish;
    record.prompt_tokens += own.prompt_tokens;
    record.cached_tokens += own.cached_tokens;
    record.completion_tokens += own.completion_tokens;
    record.cost_nano_usd += own.cost_nano_usd;
  }
}

bool Generations::abandoned() const {
  return std::all_of(all_.begin(), all_.end(), [](const One& one) { return one.generation->abandoned(); });
}

}  // namespace quire::gateway
