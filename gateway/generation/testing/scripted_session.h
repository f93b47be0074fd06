// For tests only: the worker's end of a gateway's session, and what a test's script says of one request in
// it. Owned by the call that serves the session (scripted_backend.h); scripts run on threads of their own.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/core/ids.h"
#include "base/core/mutex.h"
#include "proto/inference.grpc.pb.h"

namespace quire::gateway::testing {

// One gateway's session: each request's script runs on a thread of its own.
class ScriptedSession {
 public:
  using Stream = grpc::ServerReaderWriter<v1::GroupFrame, v1::GatewayFrame>;

  ScriptedSession(grpc::ServerContext& context, Stream& stream) : context_(context), stream_(stream) {}

  void Open(uint64_t tag, int64_t credit) {
    MutexLock lock(&mutex_);
    requests_[tag].credit = credit;
  }
  void Grant(uint64_t tag, int64_t tokens) {
    MutexLock lock(&mutex_);
    requests_[tag].credit += tokens;
    Flush(tag);
  }
  void AbortChoice(uint64_t tag, uint32_t choice) {
    MutexLock lock(&mutex_);
    requests_[tag].aborted_choices.insert(choice);
  }
  void AwaitChoiceAbort(uint64_t tag, uint32_t choice) {
    MutexLock lock(&mutex_);
    const auto aborted = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return over_ || requests_[tag].aborted_choices.contains(choice);
    };
    mutex_.Await(absl::Condition(&aborted));
  }
  void Abort(uint64_t tag) {
    MutexLock lock(&mutex_);
    requests_[tag].aborted = true;
  }
  void Say(uint64_t tag, v1::RequestUpdate update) {
    MutexLock lock(&mutex_);
    update.set_tag(tag);
    requests_[tag].pending.push_back(std::move(update));
    Flush(tag);
  }
  void Beat() {
    MutexLock lock(&mutex_);
    stream_.Write(v1::GroupFrame());
  }
  void AwaitAbort(uint64_t tag) {
    MutexLock lock(&mutex_);
    const auto aborted = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return over_ || requests_[tag].aborted;
    };
    mutex_.Await(absl::Condition(&aborted));
  }
  void Break() { context_.TryCancel(); }
  void Over() {
    MutexLock lock(&mutex_);
    over_ = true;
  }

 private:
  struct Request {
    int64_t credit = 0;
    std::deque<v1::RequestUpdate> pending;
    bool aborted = false;
    std::set<uint32_t> aborted_choices;
  };

  void Flush(uint64_t tag) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Request& request = requests_[tag];
    const auto needs = [](const v1::RequestUpdate& update) {
      return update.tokens().ids_size() + update.scores().logprobs_size();
    };
    while (!request.pending.empty() && needs(request.pending.front()) <= request.credit) {
      request.credit -= needs(request.pending.front());
      v1::GroupFrame frame;
      *frame.add_updates() = std::move(request.pending.front());
      request.pending.pop_front();
      stream_.Write(frame);
    }
  }

  grpc::ServerContext& context_;
  Mutex mutex_;
  Stream& stream_;  // written under the mutex
  std::map<uint64_t, Request> requests_ ABSL_GUARDED_BY(mutex_);
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
};

// What a script says of one request. Its tokens wait here for the gateway's credit, and what comes behind
// them too.
class TokenWriter {
 public:
  TokenWriter(ScriptedSession& session, uint64_t tag, const v1::GenerateRequest& request)
      : session_(session), tag_(tag) {
    for (const v1::Choice& choice : request.choices()) positions_.push_back(choice.resumed_ids_size());
  }
  // A frame without updates, to all requests of the session.
  void Beat();
  void Accept(uint32_t cached_tokens = 0);
  // To say of this request what only one with those choices could hear.
  TokenWriter WithChoicesOf(const v1::GenerateRequest& request) const { return {session_, tag_, request}; }
  // What is said from here on is of this choice; at first it is 0.
  void Choose(uint32_t choice) { choice_ = choice; }
  // One token per byte, each in an update of its own; a control token by its id.
  void Text(const std::string& text);
  void Token(TokenId id);
  // With its logprob, and those of `top`.
  void Token(TokenId id, float logprob, const std::map<TokenId, float>& top);
  // Of the prompt from this position on, -p of the token at position p, and of each the likeliest: the digits
  // from 1 to `top`, -i of digit i.
  void Scores(uint32_t first_position, uint32_t count, uint32_t top);
  void Finish(v1::FinishReason reason);
  // Until the gateway aborts the choice.
  void AwaitChoiceCancel();
  // Until the gateway aborts this request.
  void AwaitCancel();

 private:
  v1::RequestUpdate Update(TokenId id);

  ScriptedSession& session_;
  const uint64_t tag_;
  uint32_t choice_ = 0;
  std::vector<uint32_t> positions_;  // of the choices
};

}  // namespace quire::gateway::testing
