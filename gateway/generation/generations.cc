#include "gateway/generation/generations.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <iterator>
#include <utility>

namespace quire::gateway {

using boost::asio::awaitable;
using std::chrono::milliseconds, std::chrono::steady_clock;

Generations::Generations(const GenerationServices& services, std::vector<GenerationRequest> requests)
    : services_(services), choices_each_(requests.front().choices), prompts_(requests.size()) {
  all_.reserve(prompts_);
  Add(std::move(requests.front()));
  others_.assign(std::make_move_iterator(requests.begin() + 1), std::make_move_iterator(requests.end()));
}

void Generations::Add(GenerationRequest request) {
  all_.push_back({.generation = std::make_unique<Generation>(services_, std::move(request))});
}

bool Generations::granted() const {
  return all_.size() == prompts_ &&
         std::all_of(all_.begin(), all_.end(), [](const One& one) { return one.generation->granted(); });
}

// ---- one step after another ----

awaitable<Step> Generations::Next() {
  return prompts_ == 1 ? all_.front().generation->Next() : NextOfAll(std::nullopt);
}

awaitable<Step> Generations::UntilGranted(milliseconds limit) {
  return prompts_ == 1 ? all_.front().generation->UntilGranted(limit) : NextOfAll(limit);
}

// With a limit: until that, or all are granted.
awaitable<Step> Generations::NextOfAll(std::optional<milliseconds> limit) {
  const steady_clock::time_point end = steady_clock::now() + limit.value_or(milliseconds(0));
  const boost::asio::any_io_executor executor = co_await boost::asio::this_coro::executor;
  if (!std::exchange(started_, true)) StartFeeding(0, executor);
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
    Handle(std::move(fed));
  }
  co_return Step();
}

// All are counted before one that was thrown leaves: End waits for each.
void Generations::Handle(std::vector<Fed> fed) {
  for (const Fed& one : fed) feeding_ -= one.over ? 1 : 0;
  for (Fed& one : fed) {
    if (one.thrown != nullptr) std::rethrow_exception(one.thrown);
    if (!one.step.empty()) held_.push_back(std::move(one));
  }
}

std::optional<Ending> Generations::FirstFailure() const {
  const auto failed = std::find_if(held_.begin(), held_.end(), [](const Fed& fed) {
    return fed.step.ending && fed.step.ending->is_error();
  });
  if (failed == held_.end()) return std::nullopt;
  Ending failure = *failed->step.ending;
  if (failed->index > 0 && !granted() && failure.refusal.reason() == v1::REFUSAL_NO_CAPACITY) {
    failure.refusal.set_message(
        "there is no room now for all of the prompts beside one another: give fewer prompts or retry later");
  }
  return failure;
}

Step Generations::Take() {
  Step all;
  const std::optional<Ending> failure = FirstFailure();
  if (granted()) {
    for (Fed& fed : std::exchange(held_, {})) Append(std::move(fed), all);
  }
  if (failure) {
    all.ending = failure;
    StopFeeding();
    for (One& one : all_) one.generation->EndWith(*failure);
  } else if (ended_ == prompts_) {
    const bool cut = greatest_ == Ending::Kind::kBudget;
    all.ending = Ending{.kind = greatest_, .reason = cut ? v1::SETTLE_BUDGET : v1::SETTLE_COMPLETED};
  }
  return all;
}

void Generations::Append(Fed fed, Step& all) {
  const auto first = static_cast<uint32_t>(fed.index) * choices_each_;
  for (ScoredPrompt& prompt : fed.step.prompts) {
    prompt.choice += first;
    all.prompts.push_back(std::move(prompt));
  }
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

void Generations::StartFeeding(size_t index, const boost::asio::any_io_executor& executor) {
  ++feeding_;
  boost::asio::co_spawn(executor, Feed(index), [fed = fed_, index](std::exception_ptr thrown) {
    fed->Push({.index = index, .over = true, .thrown = std::move(thrown)});
  });
}

void Generations::AddOthers(const boost::asio::any_io_executor& executor) {
  for (GenerationRequest& request : std::exchange(others_, {})) {
    request.may_queue = false;
    Add(std::move(request));
    StartFeeding(all_.size() - 1, executor);
  }
}

awaitable<Step> Generations::FirstStep(size_t index) {
  Generation& generation = *all_[index].generation;
  if (index == 0) {
    Step step = co_await generation.UntilPlaced();
    if (!over_ && !step.ending) AddOthers(co_await boost::asio::this_coro::executor);
    if (!step.empty()) co_return step;
  }
  co_return co_await generation.UntilGranted(std::nullopt);
}

awaitable<void> Generations::Feed(size_t index) {
  Generation& generation = *all_[index].generation;
  Step step = co_await FirstStep(index);
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
  const bool runs = started_ && !over_ && ended_ < prompts_;
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

size_t Generations::abandoned() const {
  const auto count =
      std::count_if(all_.begin(), all_.end(), [](const One& one) { return one.generation->abandoned(); });
  return static_cast<size_t>(count);
}

}  // namespace quire::gateway
