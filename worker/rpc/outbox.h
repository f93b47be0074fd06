// What a session still has to say: of each request its pending tokens, their credit, and its end. Merges what
// can't be sent yet and makes the frames. Pure: no lock and no I/O; its Session's, under that one's mutex.
// What always holds: no more tokens are sent than there is credit for; those of one request come in order,
// with its end behind them, once; who lacks credit holds up nobody else; a request with more than
// kMaxUnreadTokens pending ends with Aborted, to be resumed, and one with more than kFewTokens where the
// session's are more than kMaxSessionUnread (no engine holds answers that are whole, read or not); after its
// end, or when it is dropped, its tag is unknown.
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
  static constexpr int64_t kMaxUnreadTokens = 4096;
  static constexpr int64_t kMaxSessionUnread = 1 << 22, kFewTokens = 64;
  // A frame ends with the request that reaches one of these: it is far below what the wire takes, also where
  // every update has an end with some KiB of reasons.
  static constexpr int64_t kMaxFrameTokens = 1 << 16;
  static constexpr int kMaxFrameUpdates = 1024;

  explicit Outbox(std::string numerics_id) : numerics_id_(std::move(numerics_id)) {}

  // `ticket` is the engine's name of the request.
  void Open(uint64_t tag, uint64_t ticket, uint32_t choice, int64_t credit);
  // A request that never reached the engine.
  void Refuse(uint64_t tag, absl::Status why);
  void Grant(uint64_t tag, int64_t tokens);
  // Whoever has none by now will be given no more: all may be sent of the requests that are here.
  void GrantAll();
  // The ticket of a request that ends because too much of it lies unread: to be cancelled.
  std::optional<uint64_t> Take(Update update);
  // The ticket of a request of which nothing more is to be said.
  std::optional<uint64_t> Drop(uint64_t tag);
  // Of all requests.
  std::vector<uint64_t> DropAll();
  // All that can be said now, up to a frame's bound; false where that is nothing.
  bool NextFrame(v1::GroupFrame& frame);

  bool empty() const { return requests_.empty(); }
  size_t ready() const { return ready_.size(); }
  size_t size() const { return requests_.size(); }

 private:
  struct Request {
    uint64_t ticket = 0;  // 0: the engine has none
    uint32_t choice = 0;
    int64_t credit = 0;
    // Pending, in the order in which it is sent.
    std::optional<int64_t> cached_tokens;
    int64_t first_position = 0;
    std::vector<TokenId> ids;
    std::vector<float> logprobs;
    std::optional<v1::FinishReason> finished;
    std::optional<absl::Status> end;
    bool ready = false;  // among ready_
  };

  void MarkReady(uint64_t tag, Request& request);
  void DropPending(Request& request);
  bool IsTooFarBehind(const Request& request) const;
  // Returns how many tokens it took.
  int64_t Say(Request& request, v1::RequestUpdate& update);
  int64_t SayTokens(Request& request, v1::Tokens& tokens);

  const std::string numerics_id_;
  absl::flat_hash_map<uint64_t, Request> requests_;  // by tag
  std::deque<uint64_t> ready_;                       // of which something can be said
  int64_t unread_ = 0;                               // tokens pending in all
};

}  // namespace quire::worker
