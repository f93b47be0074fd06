#include "worker/rpc/outbox.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

constexpr int64_t kEndless = int64_t{1} << 40;  // credit

v1::FinishReason ReasonOf(FinishCause cause) {
  switch (cause) {
    case FinishCause::kStop:
      return v1::FINISH_STOP;
    case FinishCause::kLength:
      return v1::FINISH_LENGTH;
    case FinishCause::kDone:
      return v1::FINISH_UNSPECIFIED;
  }
  return v1::FINISH_UNSPECIFIED;
}

template <typename T>
void Append(std::vector<T>& values, const std::vector<T>& more) {
  values.insert(values.end(), more.begin(), more.end());
}

// With the memory, where that is more than a stream that is read on time needs.
template <typename T>
void DropFront(std::vector<T>& values, int64_t count) {
  values.erase(values.begin(), values.begin() + count);
  if (values.empty() && values.capacity() > static_cast<size_t>(Outbox::kFewUnread)) values.shrink_to_fit();
}

// What one request says in a frame that has room for an update of it.
class Updates {
 public:
  Updates(v1::GroupFrame& frame, uint64_t tag) : frame_(frame), tag_(tag) {}

  v1::RequestUpdate& Last() { return last_ == nullptr ? Next() : *last_; }
  // In which no choice speaks yet; null where the frame is full.
  v1::RequestUpdate* ForChoice() {
    if (last_ != nullptr && !last_->has_tokens() && !last_->has_finished()) return last_;
    return frame_.updates_size() < Outbox::kMaxFrameUpdates ? &Next() : nullptr;
  }

 private:
  v1::RequestUpdate& Next() {
    last_ = frame_.add_updates();
    last_->set_tag(tag_);
    return *last_;
  }

  v1::GroupFrame& frame_;
  const uint64_t tag_;
  v1::RequestUpdate* last_ = nullptr;
};

}  // namespace

void Outbox::Open(uint64_t tag, uint64_t ticket, int64_t choices, int64_t credit) {
  Request& request = Add(tag, choices);
  request.ticket = ticket;
  request.credit = credit;
}

void Outbox::Refuse(uint64_t tag, absl::Status why) {
  Request& request = Add(tag, 1);
  request.end = std::move(why);
  MarkReady(tag, request);
}

Outbox::Request& Outbox::Add(uint64_t tag, int64_t choices) {
  Request& request = requests_[tag];
  request.size = choices;
  size_ += choices;
  return request;
}

void Outbox::Forget(Requests::iterator request) {
  size_ -= request->second.size;
  requests_.erase(request);
}

void Outbox::Grant(uint64_t tag, int64_t tokens) {
  const auto it = requests_.find(tag);
  if (it == requests_.end()) return;
  it->second.credit = std::min(kEndless, it->second.credit + tokens);
  MarkReady(tag, it->second);
}

void Outbox::GrantAll() {
  for (auto& [tag, request] : requests_) {
    request.credit = kEndless;
    MarkReady(tag, request);
  }
}

std::optional<uint64_t> Outbox::Take(Update update) {
  const auto it = requests_.find(update.to.tag);
  if (it == requests_.end() || it->second.end) return std::nullopt;  // it was dropped meanwhile
  Request& request = it->second;
  std::optional<uint64_t> to_cancel;
  if (update.cached_tokens) {
    request.cached_tokens = update.cached_tokens;
  } else if (update.ended) {
    request.end = std::move(update.ended);
  } else if (update.scores ? TakeScores(request, update) : TakeChoice(request, update)) {
    DropPending(request);
    request.end = absl::AbortedError("the reader is too many tokens behind: resume when it has read on");
    to_cancel = request.ticket;
  }
  MarkReady(it->first, request);
  return to_cancel;
}

void Outbox::Logprobs::Append(const Update& update) {
  worker::Append(own, update.logprobs);
  worker::Append(top, update.top_logprobs);
}

template <typename Message>
void Outbox::Logprobs::MoveFirst(int64_t count, int64_t top_each, Message& to) {
  if (!own.empty()) {
    to.mutable_logprobs()->Add(own.begin(), own.begin() + count);
    DropFront(own, count);
  }
  for (int64_t i = 0; i < count && top_each > 0; ++i) {
    v1::TopLogprobs& of_id = *to.add_top_logprobs();
    for (int64_t j = i * top_each; j < (i + 1) * top_each; ++j) {
      of_id.add_ids(top[j].id);
      of_id.add_logprobs(top[j].logprob);
    }
  }
  DropFront(top, count * top_each);
}

bool Outbox::TakeScores(Request& request, const Update& update) {
  Scores& scores = request.scores;
  if (scores.empty()) scores.first_position = update.first_position;
  scores.logprobs.Append(update);
  unread_ += std::ssize(update.logprobs) + std::ssize(update.top_logprobs);
  return IsTooFarBehind(request, scores.count());
}

bool Outbox::TakeChoice(Request& request, const Update& update) {
  Choice& choice = Find(request, update.choice);
  if (choice.dropped) {
    if (update.finished) choice.finished = ReasonOf(*update.finished);
    return false;
  }
  if (choice.ids.empty()) choice.first_position = update.first_position;
  Append(choice.ids, update.ids);
  choice.logprobs.Append(update);
  unread_ += std::ssize(update.ids) + std::ssize(update.top_logprobs);
  if (!update.finished) return IsTooFarBehind(request, std::ssize(choice.ids));
  choice.finished = ReasonOf(*update.finished);
  return false;
}

Outbox::Choice& Outbox::Find(Request& request, uint32_t index) {
  const auto found = std::ranges::find(request.choices, index, &Choice::index);
  if (found != request.choices.end()) return *found;
  Choice& choice = request.choices.emplace_back();
  choice.index = index;
  return choice;
}

std::optional<uint64_t> Outbox::Drop(uint64_t tag) {
  const auto it = requests_.find(tag);
  if (it == requests_.end()) return std::nullopt;
  DropPending(it->second);
  if (it->second.ready) std::erase(ready_, tag);
  const uint64_t ticket = it->second.ticket;
  Forget(it);
  return ticket;
}

std::optional<uint64_t> Outbox::DropChoice(uint64_t tag, uint32_t index) {
  const auto it = requests_.find(tag);
  if (it == requests_.end() || it->second.end) return std::nullopt;
  const auto choice = std::ranges::find(it->second.choices, index, &Choice::index);
  if (choice == it->second.choices.end() || std::exchange(choice->dropped, true)) return std::nullopt;
  DropPending(*choice);
  MarkReady(tag, it->second);  // its end may be all that is left
  return it->second.ticket;
}

std::vector<uint64_t> Outbox::DropAll() {
  std::vector<uint64_t> tickets;
  for (const auto& [tag, request] : requests_) tickets.push_back(request.ticket);
  requests_.clear();
  ready_.clear();
  unread_ = 0;
  size_ = 0;
  return tickets;
}

bool Outbox::NextFrame(v1::GroupFrame& frame) {
  frame.Clear();
  int64_t entries = kMaxFrameEntries;
  while (!ready_.empty() && entries > 0 && frame.updates_size() < kMaxFrameUpdates) {
    const uint64_t tag = ready_.front();
    ready_.pop_front();
    const auto it = requests_.find(tag);
    it->second.ready = false;
    entries -= Say(tag, it->second, entries, frame);
    if (it->second.end && !HasAnythingPending(it->second)) {
      Forget(it);
    } else {
      MarkReady(tag, it->second);  // where the frame is full
    }
  }
  return frame.updates_size() > 0;
}

int64_t Outbox::Say(uint64_t tag, Request& request, int64_t entries, v1::GroupFrame& frame) {
  Updates updates(frame, tag);
  if (request.cached_tokens) {
    v1::Accepted& accepted = *updates.Last().mutable_accepted();
    accepted.set_cached_tokens(static_cast<uint32_t>(*request.cached_tokens));
    accepted.set_numerics_id(numerics_id_);
    request.cached_tokens.reset();
  }
  int64_t per_token = 1, said = 0;
  if (!request.scores.empty() && request.credit > 0) {
    said = SayScores(request, entries, *updates.Last().mutable_scores());
  }
  for (const Choice& choice : request.choices) per_token = std::max(per_token, choice.entries_per_id());
  const int64_t left = request.scores.empty() ? std::max<int64_t>(0, entries - said) : 0;
  Deal(request, std::min(request.credit, (left + per_token - 1) / per_token));
  for (Choice& choice : request.choices) {
    const bool finishes = choice.finished && choice.left() == 0;
    v1::RequestUpdate* update = choice.due > 0 || finishes ? updates.ForChoice() : nullptr;
    if (update == nullptr) continue;
    if (choice.due > 0) said += SayTokens(request, choice, *update->mutable_tokens());
    if (!finishes) continue;
    update->mutable_finished()->set_choice(choice.index);
    update->mutable_finished()->set_reason(*choice.finished);
    choice.over = true;
  }
  std::erase_if(request.choices, [](const Choice& choice) { return choice.over; });
  if (!request.end || HasAnythingPending(request)) return said;
  v1::Ended& ended = *updates.Last().mutable_ended();
  ended.set_code(static_cast<int32_t>(request.end->code()));
  ended.set_message(MessageOf(*request.end));
  return said;
}

int64_t Outbox::SayScores(Request& request, int64_t entries, v1::PromptScores& said) {
  Scores& scores = request.scores;
  const int64_t each = scores.entries_each();
  const int64_t count = std::min({scores.count(), request.credit, (entries + each - 1) / each});
  said.set_first_position(static_cast<uint32_t>(scores.first_position));
  scores.logprobs.MoveFirst(count, each - 1, said);
  scores.first_position += count;
  request.credit -= count;
  unread_ -= count * each;
  return count * each;
}

int64_t Outbox::SayTokens(Request& request, Choice& choice, v1::Tokens& tokens) {
  const int64_t count = std::exchange(choice.due, 0), top = choice.entries_per_id() - 1;
  tokens.set_choice(choice.index);
  tokens.set_first_position(static_cast<uint32_t>(choice.first_position));
  tokens.mutable_ids()->Add(choice.ids.begin(), choice.ids.begin() + count);
  choice.logprobs.MoveFirst(count, top, tokens);
  DropFront(choice.ids, count);
  choice.first_position += count;
  request.credit -= count;
  unread_ -= count * (1 + top);
  return count * (1 + top);
}

void Outbox::Deal(Request& request, int64_t tokens) {
  std::vector<Choice>& choices = request.choices;
  for (Choice& choice : choices) choice.due = 0;
  for (;;) {
    int64_t sharers = 0, each = tokens;
    for (const Choice& choice : choices) {
      if (choice.left() == 0) continue;
      ++sharers;
      each = std::min(each, choice.left());
    }
    if (sharers == 0 || tokens == 0) return;
    each = std::min(each, tokens / sharers);
    if (each == 0) break;
    for (Choice& choice : choices) {
      if (choice.left() > 0) choice.due += each;
    }
    tokens -= sharers * each;
  }
  for (; tokens > 0; ++request.next) {  // fewer than there are sharers
    Choice& choice = choices[request.next % choices.size()];
    if (choice.left() == 0) continue;
    ++choice.due;
    --tokens;
  }
}

bool Outbox::HasAnythingPending(const Request& request) {
  return !request.scores.empty() || std::ranges::any_of(request.choices, [](const Choice& choice) {
    return !choice.ids.empty() || choice.finished;
  });
}

bool Outbox::CanSayAnything(const Request& request) {
  if (request.cached_tokens || (request.end && !HasAnythingPending(request))) return true;
  if (!request.scores.empty() && request.credit > 0) return true;
  return std::ranges::any_of(request.choices, [&](const Choice& choice) {
    return choice.ids.empty() ? choice.finished.has_value() : request.credit > 0;
  });
}

void Outbox::MarkReady(uint64_t tag, Request& request) {
  if (request.ready || !CanSayAnything(request)) return;
  request.ready = true;
  ready_.push_back(tag);
}

bool Outbox::IsTooFarBehind(const Request& request, int64_t pending) const {
  if (pending > kMaxUnreadTokens) return true;
  if (unread_ <= kMaxSessionUnread) return false;
  int64_t entries = request.scores.entries();
  for (const Choice& of_request : request.choices) entries += of_request.entries();
  return entries > kFewUnread;
}

void Outbox::DropPending(Request& request) {
  for (Choice& choice : request.choices) DropPending(choice);
  request.choices.clear();
  unread_ -= request.scores.entries();
  request.scores = {};
  request.cached_tokens.reset();
}

void Outbox::DropPending(Choice& choice) {
  unread_ -= choice.entries();
  choice.ids = {};
  choice.logprobs = {};
}

}  // namespace quire::worker
