// The group's word to the coordinator: registers, beats while the stream is open, and does it again with
// whoever answers at the address next, for as long as the group lives: workers outlive a coordinator, but not
// one that is gone for good (owner_watch.h). Owned by GroupServer; one thread of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/core/clock.h"
#include "base/core/mutex.h"
#include "base/net/grpc.h"
#include "worker/rpc/owner_watch.h"
#include "worker/rpc/registration.h"
#include "worker/rpc/text_bundle.h"

namespace quire::worker {

struct CoordinatorLinkOptions {
  std::string address;
  TlsFiles tls;
  std::string secret;  // sent with every call; empty: none
  v1::GroupInfo group;
  TextBundle bundle;
  std::string owner_lock;  // of the coordinator that started the group; empty = it was started by others
  const Clock* clock = nullptr;
  std::function<void(const v1::RegisterAccepted&)> on_accepted;  // each time that it registered
  std::function<v1::HeartbeatRequest()> beat;                    // counts and health as they are now
  std::function<void()> on_drain;  // the coordinator wants the group to end, or is gone; may come repeatedly
  std::function<void(absl::Status)> on_fenced;  // this epoch of the group is over
};

class CoordinatorLink {
 public:
  // The callbacks are called on the link's thread.
  static absl::StatusOr<std::unique_ptr<CoordinatorLink>> Start(CoordinatorLinkOptions options);
  // Not only when the next beat is due: it has news. Any thread.
  void BeatNow() ABSL_LOCKS_EXCLUDED(mutex_);
  ~CoordinatorLink();  // ends the registration and joins the thread

 private:
  CoordinatorLink(CoordinatorLinkOptions options, std::shared_ptr<grpc::Channel> channel);
  void Run();
  // One registration, from its first word to its end.
  absl::Status RegisterAndBeat() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status BeatUntilEnd(Registration& registration, absl::Duration interval);
  void SetCurrent(Registration* registration) ABSL_LOCKS_EXCLUDED(mutex_);
  bool AwaitStop(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

  const CoordinatorLinkOptions options_;
  const std::unique_ptr<v1::Coordinator::Stub> stub_;
  OwnerWatch owner_;       // the link's thread only
  bool accepted_ = false;  // by the last RegisterAndBeat; the link's thread only
  Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Registration* current_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;
};

}  // namespace quire::worker
