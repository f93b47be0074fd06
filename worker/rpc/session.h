// One gateway's session: its Submits, Credits and Aborts to the engine, and to it what the engine's steps
// brought to all its requests, a frame per step. Made and kept alive by InferenceService until gRPC is done
// with it; Take comes from the emitter's thread, the On... reactions from gRPC's, the rest from any.
// What always holds: one write at a time; what can't be written meanwhile waits in the outbox, which is
// bounded; Finish is called exactly once; whatever ends the session, its requests are cancelled; a peer that
// doesn't read for kMaxUnreadBeats, or that leaves twice kMaxChoices ends unread, loses the session.
#pragma once

#include <grpcpp/grpcpp.h>

#include <optional>
#include <span>

#include "absl/container/flat_hash_map.h"
#include "base/core/mutex.h"
#include "proto/inference.grpc.pb.h"
#include "worker/engine/engine.h"
#include "worker/grammar/compile_queue.h"
#include "worker/rpc/outbox.h"
#include "worker/rpc/served_model.h"

namespace quire::worker {

class InferenceService;

class Session final : public grpc::ServerBidiReactor<v1::GatewayFrame, v1::GroupFrame> {
 public:
  static constexpr int64_t kMaxChoices = 8192;  // open or not read to their end; more by one request at most
  static constexpr int kMaxUnreadBeats = 10;    // seconds; a gateway waits for a beat no longer

  Session(uint64_t id, InferenceService* service, Engine* engine, grpc::CallbackServerContext* context);

  void Begin() { StartRead(&received_); }
  // Updates of this session's requests.
  void Take(std::span<Update> updates) ABSL_LOCKS_EXCLUDED(mutex_);
  // Of a request that waits for its grammar.
  void Compiled(uint64_t tag, CompileQueue::Result grammar) ABSL_LOCKS_EXCLUDED(mutex_);
  // Sends an empty frame where nothing else was sent since the last beat.
  void Beat() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the session with `why`, behind what can be sent at once.
  void Fail(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends it with `why` once its last request has ended and its gateway has closed its side, which it is asked
  // to: the end of a stream may overtake what was written before. Want of credit holds nothing back any more.
  void Close(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // A request that waits for its grammar: neither the engine nor the outbox knows it.
  struct Compiling {
    std::shared_ptr<SharedRequest> request;
    int64_t credit = 0;
  };

  void Submit(const v1::Submit& submit) ABSL_LOCKS_EXCLUDED(mutex_);
  // The request where it is to wait for its grammar; else it has been opened, or refused.
  std::shared_ptr<const SharedRequest> Take(const v1::Submit& submit,
                                            absl::StatusOr<std::shared_ptr<SharedRequest>> request)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Open(uint64_t tag, std::shared_ptr<const SharedRequest> request, int64_t credit)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Grant(uint64_t tag, int64_t tokens) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Abort(uint64_t tag) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Refuse(uint64_t tag, const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CloseWith(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Cancels its requests; Finish comes when there is nothing to send.
  void End(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Starts the next write, or Finish, unless a write is under way.
  void Send() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Write() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t id_;
  InferenceService* const service_;
  Engine* const engine_;
  grpc::CallbackServerContext* const context_;
  v1::GatewayFrame received_;

  Mutex mutex_;
  Outbox outbox_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, Compiling> compiling_ ABSL_GUARDED_BY(mutex_);  // by tag
  uint64_t last_tag_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);    // with what it ends
  std::optional<absl::Status> close_ ABSL_GUARDED_BY(mutex_);  // and with what it will, without requests
  bool said_closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool reads_done_ ABSL_GUARDED_BY(mutex_) = false;  // its gateway has closed its side, or is gone

  v1::GroupFrame frame_;  // being written
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool sent_since_beat_ ABSL_GUARDED_BY(mutex_) = false;
  int unread_beats_ ABSL_GUARDED_BY(mutex_) = 0;   // since the write under way began
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // Finish was called
};

}  // namespace quire::worker
