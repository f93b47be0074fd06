// What a session still has to say: scores of each request's prompt, of its choices their pending tokens and
// finishes, the request's credit, and its end. Merges what can't be sent yet and makes the frames. Pure: no
// lock and no I/O; its Session's, under that one's mutex. What always holds: no more tokens are sent than
// there is credit for, of a request's choices in turn; those of one choice come in order, with its finish
// behind them, and the request's end behind all, once; who lacks credit holds up nobody else; a request with
// a choice of more than kMaxUnreadTokens pending ends with Aborted, to be resumed, and one of more than
// kFewUnread where the session's are more than kMaxSessionUnread (no engine holds answers that are whole,
// read or not); scores are tokens in all of this, and come before those of choices; after its end, or when it
// is dropped, its tag is unknown.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "proto/inference.pb.h"
#include "worker/engine/generation_request.h"

namespace quire::worker {

class Outbox {
 public:
  static constexpr int64_t kMaxUnreadTokens = 4096;  // of a choice
  // In entries, of which each token is one and each of its top logprobs another: of eight bytes.
  static constexpr int64_t kMaxSessionUnread = 1 << 22, kFewUnread = 64;
  // A frame is full at one of these, the first in entries too: it is far below what the wire takes, also
  // where every update has an end with some KiB of reasons.
  static constexpr int64_t kMaxFrameEntries = 1 << 16;
  static constexpr int kMaxFrameUpdates = 1024;

  explicit Outbox(std::string numerics_id) : numerics_id_(std::move(numerics_id)) {}

  // `ticket` is the engine's name of the request, which has so many choices.
  void Open(uint64_t tag, uint64_t ticket, int64_t choices, int64_t credit);
  // A request that never reached the engine.
  void Refuse(uint64_t tag, absl::Status why);
  void Grant(uint64_t tag, int64_t tokens);
  // Whoever has none by now will be given no more: all may be sent of the requests that are here.
  void GrantAll();
  // The ticket of a request that ends because too much of it lies unread: to be cancelled.
  std::optional<uint64_t> Take(Update update);
  // The ticket of a request of which nothing more is to be said.
  std::optional<uint64_t> Drop(uint64_t tag);
  // The same of one choice, which has said something and not its end: only that is said of it from now on.
  // Once.
  std::optional<uint64_t> DropChoice(uint64_t tag, uint32_t choice);
  // Of all requests.
  std::vector<uint64_t> DropAll();
  // All that can be said now, up to a frame's bound; false where that is nothing.
  bool NextFrame(v1::GroupFrame& frame);

  bool empty() const { return requests_.empty(); }
  size_t ready() const { return ready_.size(); }
  // Choices of all requests; a request that never reached the engine is one, too.
  int64_t size() const { return size_; }

 private:
  // Log-probabilities that are pending of tokens, and of equally many of the likeliest ids in the place of
  // each.
  struct Logprobs {
    std::vector<float> own;
    std::vector<TokenLogprob> top;

    void Append(const Update& update);
    // The first `count` tokens', `top_each` each.
    template <typename Message>
    void MoveFirst(int64_t count, int64_t top_each, Message& to);
  };
  // Of a prompt.
  struct Scores {
    int64_t first_position = 0;
    Logprobs logprobs;

    bool empty() const { return logprobs.own.empty(); }
    int64_t count() const { return std::ssize(logprobs.own); }
    int64_t entries() const { return count() + std::ssize(logprobs.top); }
    int64_t entries_each() const { return empty() ? 1 : entries() / count(); }
  };
  // What is pending of a choice, in the order in which it is sent.
  struct Choice {
    uint32_t index = 0;
    int64_t first_position = 0;
    std::vector<TokenId> ids;
    Logprobs logprobs;  // one per id, or none
    std::optional<v1::FinishReason> finished;
    int64_t due = 0;    // ids, in the frame that is being made
    bool over = false;  // all is said
    bool dropped = false;

    int64_t left() const { return std::ssize(ids) - due; }
    int64_t entries() const { return std::ssize(ids) + std::ssize(logprobs.top); }
    int64_t entries_per_id() const { return ids.empty() ? 1 : entries() / std::ssize(ids); }
  };
  struct Request {
    uint64_t ticket = 0;  // 0: the engine has none
    int64_t size = 1;     // choices
    int64_t credit = 0;
    std::optional<int64_t> cached_tokens;
    Scores scores;
    std::vector<Choice> choices;  // that have spoken, until their finish is said
    size_t next = 0;              // whose turn it is where there is not a token for each
    std::optional<absl::Status> end;
    bool ready = false;  // among ready_
  };
  using Requests = absl::flat_hash_map<uint64_t, Request>;

  static Choice& Find(Request& request, uint32_t index);
  // How many of so many tokens each choice may say: equally many, but where one has fewer.
  static void Deal(Request& request, int64_t tokens);
  static bool HasAnythingPending(const Request& request);
  static bool CanSayAnything(const Request& request);
  void MarkReady(uint64_t tag, Request& request);
  void DropPending(Request& request);
  void DropPending(Choice& choice);
  Request& Add(uint64_t tag, int64_t choices);
  void Forget(Requests::iterator request);
  // Scores; whether too much lies unread then.
  bool TakeScores(Request& request, const Update& update);
  // Tokens and finish; the same.
  bool TakeChoice(Request& request, const Update& update);
  // With so many tokens, or scores, pending in one place.
  bool IsTooFarBehind(const Request& request, int64_t pending) const;
  // Of at most so many entries; returns how many it took.
  int64_t Say(uint64_t tag, Request& request, int64_t entries, v1::GroupFrame& frame);
  // At most as there is credit for.
  int64_t SayScores(Request& request, int64_t entries, v1::PromptScores& scores);
  int64_t SayTokens(Request& request, Choice& choice, v1::Tokens& tokens);

  const std::string numerics_id_;
  Requests requests_;           // by tag
  std::deque<uint64_t> ready_;  // of which something can be said
  int64_t unread_ = 0;          // entries pending in all
  int64_t size_ = 0;
};

}  // namespace quire::worker
