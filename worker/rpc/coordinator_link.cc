#include "worker/rpc/coordinator_link.h"

#include <algorithm>

#include "base/core/log.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(100), kLastBackoff = absl::Milliseconds(400);
constexpr std::chrono::seconds kBeatDeadline(1);
constexpr absl::Duration kLeastBeat = absl::Milliseconds(50);

}  // namespace

absl::StatusOr<std::unique_ptr<CoordinatorLink>> CoordinatorLink::Start(CoordinatorLinkOptions options) {
  QUIRE_ASSIGN_OR_RETURN(auto channel, MakeGrpcChannel(options.address, options.tls));
  return std::unique_ptr<CoordinatorLink>(new CoordinatorLink(std::move(options), std::move(channel)));
}

CoordinatorLink::CoordinatorLink(CoordinatorLinkOptions options, std::shared_ptr<grpc::Channel> channel)
    : options_(std::move(options)),
      stub_(v1::Coordinator::NewStub(channel)),
      owner_(options_.owner_lock, *options_.clock) {
  thread_ = std::thread([this] { Run(); });
}

CoordinatorLink::~CoordinatorLink() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    if (current_ != nullptr) current_->Cancel();
  }
  thread_.join();
}

void CoordinatorLink::BeatNow() {
  MutexLock lock(&mutex_);
  if (current_ != nullptr) current_->Hurry();
}

void CoordinatorLink::Run() {
  absl::Duration backoff = kFirstBackoff;
  do {
    const absl::Status ended = RegisterAndBeat();
    if (absl::IsFailedPrecondition(ended)) return options_.on_fenced(ended);
    if (accepted_) {
      backoff = kFirstBackoff;
      owner_.Heard();
    } else if (owner_.Missed()) {
      Log(LogLevel::kWarn, "coordinator_gone", "why", "nobody answers and nobody has its data folder");
      options_.on_drain();
    }
    const bool first_failure = backoff == kFirstBackoff;
    Log(first_failure ? LogLevel::kWarn : LogLevel::kDebug, "coordinator_lost", "reason", MessageOf(ended));
    if (AwaitStop(backoff)) return;
    backoff = std::min(2 * backoff, kLastBackoff);
  } while (true);
}

absl::Status CoordinatorLink::RegisterAndBeat() {
  accepted_ = false;
  Registration registration(stub_.get(), options_.group, options_.bundle.serialized, options_.secret);
  SetCurrent(&registration);
  absl::Status ended;
  if (const auto accepted = registration.AwaitAccepted(); accepted.ok()) {
    accepted_ = true;
    options_.on_accepted(*accepted);
    Log(LogLevel::kInfo, "registered", "group", options_.group.group_id(), "coordinator", options_.address);
    ended = BeatUntilEnd(registration, std::max(kLeastBeat, absl::Milliseconds(accepted->heartbeat_ms())));
  } else {
    ended = accepted.status();
  }
  SetCurrent(nullptr);
  return ended;
}

absl::Status CoordinatorLink::BeatUntilEnd(Registration& registration, absl::Duration interval) {
  do {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kBeatDeadline);
    AddWorkerSecret(options_.secret, &context);
    v1::HeartbeatReply reply;
    const grpc::Status status = stub_->Heartbeat(&context, options_.beat(), &reply);
    if (!status.ok()) continue;  // the stream's end says more
    if (!reply.known()) return absl::UnavailableError("the coordinator does not know the group any more");
    if (reply.drain()) options_.on_drain();
  } while (!registration.AwaitEnd(interval));
  return absl::UnavailableError("the registration ended");
}

void CoordinatorLink::SetCurrent(Registration* registration) {
  MutexLock lock(&mutex_);
  current_ = registration;
  if (stopping_ && registration != nullptr) registration->Cancel();
}

bool CoordinatorLink::AwaitStop(absl::Duration timeout) {
  MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&stopping_), timeout);
}

}  // namespace quire::worker
