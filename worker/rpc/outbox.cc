#include "worker/rpc/outbox.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

constexpr int64_t kEndless = int64_t{1} << 40;  // credit

}  // namespace

void Outbox::Open(uint64_t tag, uint64_t ticket, uint32_t choice, int64_t credit) {
  Request& request = requests_[tag];
  request.ticket = ticket;
  request.choice = choice;
  request.credit = credit;
}

void Outbox::Refuse(uint64_t tag, absl::Status why) {
  Request& request = requests_[tag];
  request.end = std::move(why);
  MarkReady(tag, request);
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
  if (update.cached_tokens) request.cached_tokens = update.cached_tokens;
  if (request.ids.empty()) request.first_position = update.first_position;
  request.ids.insert(request.ids.end(), update.ids.begin(), update.ids.end());
  request.logprobs.insert(request.logprobs.end(), update.logprobs.begin(), update.logprobs.end());
  unread_ += static_cast<int64_t>(update.ids.size());
  std::optional<uint64_t> to_cancel;
  if (update.finished) {
    request.finished = *update.finished == FinishCause::kStop ? v1::FINISH_STOP : v1::FINISH_LENGTH;
    request.end = absl::OkStatus();
  } else if (!update.failed.ok()) {
    request.end = std::move(update.failed);
  } else if (IsTooFarBehind(request)) {
    request.end = absl::AbortedError(
        absl::StrCat("the reader is ", request.ids.size(), " tokens behind: resume when it has read on"));
    DropPending(request);
    to_cancel = request.ticket;
  }
  MarkReady(it->first, request);
  return to_cancel;
}

std::optional<uint64_t> Outbox::Drop(uint64_t tag) {
  auto node = requests_.extract(tag);
  if (node.empty()) return std::nullopt;
  DropPending(node.mapped());
  if (node.mapped().ready) std::erase(ready_, tag);
  return node.mapped().ticket;
}

std::vector<uint64_t> Outbox::DropAll() {
  std::vector<uint64_t> tickets;
  for (const auto& [tag, request] : requests_) tickets.push_back(request.ticket);
  requests_.clear();
  ready_.clear();
  unread_ = 0;
  return tickets;
}

bool Outbox::NextFrame(v1::GroupFrame& frame) {
  frame.Clear();
  int64_t tokens = 0;
  while (!ready_.empty() && tokens < kMaxFrameTokens && frame.updates_size() < kMaxFrameUpdates) {
    const uint64_t tag = ready_.front();
    ready_.pop_front();
    const auto it = requests_.find(tag);
    it->second.ready = false;
    v1::RequestUpdate& update = *frame.add_updates();
    update.set_tag(tag);
    tokens += Say(it->second, update);
    if (update.has_ended()) requests_.erase(it);
  }
  return frame.updates_size() > 0;
}

int64_t Outbox::Say(Request& request, v1::RequestUpdate& update) {
  if (request.cached_tokens) {
    update.mutable_accepted()->set_cached_tokens(static_cast<uint32_t>(*request.cached_tokens));
    update.mutable_accepted()->set_numerics_id(numerics_id_);
    request.cached_tokens.reset();
  }
  int64_t said = 0;
  if (request.credit > 0 && !request.ids.empty()) said = SayTokens(request, *update.mutable_tokens());
  if (!request.ids.empty() || !request.end) return said;
  if (request.finished) {
    update.mutable_finished()->set_choice(request.choice);
    update.mutable_finished()->set_reason(*request.finished);
  }
  update.mutable_ended()->set_code(static_cast<int32_t>(request.end->code()));
  update.mutable_ended()->set_message(MessageOf(*request.end));
  return said;
}

int64_t Outbox::SayTokens(Request& request, v1::Tokens& tokens) {
  const int64_t count = std::min(request.credit, static_cast<int64_t>(request.ids.size()));
  tokens.set_choice(request.choice);
  tokens.set_first_position(static_cast<uint32_t>(request.first_position));
  tokens.mutable_ids()->Add(request.ids.begin(), request.ids.begin() + count);
  request.ids.erase(request.ids.begin(), request.ids.begin() + count);
  if (!request.logprobs.empty()) {
    tokens.mutable_logprobs()->Add(request.logprobs.begin(), request.logprobs.begin() + count);
    request.logprobs.erase(request.logprobs.begin(), request.logprobs.begin() + count);
  }
  request.first_position += count;
  request.credit -= count;
  unread_ -= count;
  return count;
}

void Outbox::MarkReady(uint64_t tag, Request& request) {
  const bool has_tokens = !request.ids.empty();
  const bool sayable =
      request.cached_tokens || (has_tokens && request.credit > 0) || (!has_tokens && request.end);
  if (!sayable || std::exchange(request.ready, true)) return;
  ready_.push_back(tag);
}

bool Outbox::IsTooFarBehind(const Request& request) const {
  const int64_t pending = std::ssize(request.ids);
  return pending > kMaxUnreadTokens || (unread_ > kMaxSessionUnread && pending > kFewTokens);
}

void Outbox::DropPending(Request& request) {
  unread_ -= static_cast<int64_t>(request.ids.size());
  request.cached_tokens.reset();
  request.ids.clear();
  request.logprobs.clear();
}

}  // namespace quire::worker
