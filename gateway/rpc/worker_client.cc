#include "gateway/rpc/worker_client.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "base/core/mutex.h"
#include "gateway/rpc/group_session.h"

namespace quire::gateway {
namespace {

// Far more than any context holds; a message beyond the wire's limit would end its whole session.
constexpr size_t kMaxRequestBytes = size_t{8} << 20;

}  // namespace

WorkerCall::WorkerCall(std::shared_ptr<GroupSession> session, uint64_t tag)
    : session_(std::move(session)), tag_(tag) {}

WorkerCall::~WorkerCall() { session_->Abort(tag_); }

void WorkerCall::Grant(int64_t tokens) { session_->Grant(tag_, static_cast<uint32_t>(tokens)); }

void WorkerCall::AbortChoice(uint32_t choice) { session_->AbortChoice(tag_, choice); }

int64_t WorkerCall::heard_us() const { return session_->heard_us(); }

struct WorkerClient::Impl {
  Impl(Connect connect, const Clock& clock) : connect(std::move(connect)), clock(clock) {}

  // The address's session, but not `ended`: then a new one.
  absl::StatusOr<std::shared_ptr<GroupSession>> SessionWith(const std::string& address,
                                                            const std::shared_ptr<GroupSession>& ended)
      ABSL_LOCKS_EXCLUDED(mutex) {
    MutexLock lock(&mutex);
    std::shared_ptr<GroupSession>& known = sessions[address];
    if (known != nullptr && known != ended) return known;
    known = nullptr;
    auto channel = connect(address);
    if (!channel.ok()) {
      sessions.erase(address);
      return channel.status();
    }
    auto session =
        std::make_shared<GroupSession>(tracker, clock, v1::Inference::NewStub(*std::move(channel)),
                                       [this, address](GroupSession* self, GroupSession::Stub stub) {
                                         Forget(address, self, std::move(stub));
                                       });
    if (!tracker.Add(session.get())) return absl::CancelledError("the gateway is shutting down");
    known = session;
    session->Start(session);
    return session;
  }

  void Forget(const std::string& address, const GroupSession* session, GroupSession::Stub stub)
      ABSL_LOCKS_EXCLUDED(mutex) {
    GroupSession::Stub last;  // goes after the lock
    MutexLock lock(&mutex);
    last = std::exchange(forgotten, std::move(stub));
    const auto found = sessions.find(address);
    if (found != sessions.end() && found->second.get() == session) sessions.erase(found);
  }

  const Connect connect;
  const Clock& clock;
  Mutex mutex;
  absl::flat_hash_map<std::string, std::shared_ptr<GroupSession>> sessions ABSL_GUARDED_BY(mutex);
  // The last one's: Forget runs where no last channel may go (calls.h).
  GroupSession::Stub forgotten ABSL_GUARDED_BY(mutex);
  CallTracker tracker;  // last: its destructor waits for callbacks, which use the rest
};

WorkerClient::WorkerClient(Connect connect, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(connect), clock)) {}

WorkerClient::~WorkerClient() = default;

std::unique_ptr<WorkerCall> WorkerClient::Generate(const std::string& address, v1::GenerateRequest request,
                                                   std::function<void(v1::RequestUpdate)> on_update) {
  if (request.ByteSizeLong() > kMaxRequestBytes) {
    on_update(EndedWith(absl::InvalidArgumentError("the request is too large: send a shorter prompt")));
    return nullptr;
  }
  const auto listener = std::make_shared<GroupSession::OnUpdate>(std::move(on_update));
  v1::Submit submission;
  *submission.mutable_request() = std::move(request);
  submission.set_credit(kReadAhead);
  std::shared_ptr<GroupSession> ended;
  for (int tries = 2; tries > 0; --tries) {
    auto session = impl_->SessionWith(address, ended);
    if (!session.ok()) {
      (*listener)(EndedWith(session.status()));
      return nullptr;
    }
    if (const auto tag = (*session)->Submit(submission, listener)) {
      return std::make_unique<WorkerCall>(*std::move(session), *tag);
    }
    ended = *std::move(session);  // just now: nobody has forgotten it yet
  }
  (*listener)(EndedWith(absl::UnavailableError("the sessions with the worker group end at once")));
  return nullptr;
}

absl::Status StatusOf(const v1::Ended& ended) {
  return absl::Status(static_cast<absl::StatusCode>(ended.code()), ended.message());
}

}  // namespace quire::gateway
