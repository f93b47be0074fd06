#include "worker/rpc/inference_service.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "base/net/caller_role.h"
#include "worker/rpc/request_validation.h"

namespace quire::worker {

grpc::ServerBidiReactor<v1::GatewayFrame, v1::GroupFrame>* InferenceService::Serve(
    grpc::CallbackServerContext* context) {
  std::shared_ptr<Session> session;
  absl::Status failed, closed;
  {
    MutexLock lock(&mutex_);
    failed = MayServe(*context);
    session = std::make_shared<Session>(++last_session_, this, engine_, context);
    open_.emplace(last_session_, session);
    if (failed.ok()) served_.insert(last_session_);
    closed = closed_;
  }
  if (failed.ok()) {
    session->Begin();
  } else {
    session->Fail(failed);  // and nothing of what it says is read
  }
  if (!closed.ok()) session->Close(closed);
  return session.get();
}

void InferenceService::Admit(const std::optional<ShownSecret>& secret) {
  MutexLock lock(&mutex_);
  admits_ = true;
  secret_ = secret;
}

absl::Status InferenceService::MayServe(const grpc::CallbackServerContext& context) const {
  QUIRE_RETURN_IF_ERROR(failed_);
  if (!admits_) {
    return absl::AbortedError(
        "this group has not registered with its coordinator yet: ask for another placement");
  }
  QUIRE_RETURN_IF_ERROR(CheckCaller(context, CallerRole::kGateway, secret_));
  if (served_.size() < max_sessions_) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("this group has ", max_sessions_,
                   " sessions, as many as it takes: send all requests over one, or give the group more "
                   "--max-sequences"));
}

void InferenceService::Take(std::vector<Update> updates) {
  const auto of_session = [](const Update& update) { return update.to.session; };
  std::ranges::stable_sort(updates, {}, of_session);
  for (auto first = updates.begin(); first != updates.end();) {
    const auto last = std::ranges::upper_bound(first, updates.end(), of_session(*first), {}, of_session);
    if (const auto session = Find(of_session(*first))) session->Take(std::span(first, last));
    first = last;
  }
}

void InferenceService::Beat() {
  for (const auto& session : Open()) session->Beat();
}

void InferenceService::FailAll(const absl::Status& why) {
  {
    MutexLock lock(&mutex_);
    failed_ = why;
  }
  for (const auto& session : Open()) session->Fail(why);
}

void InferenceService::CloseAll(const absl::Status& why) {
  {
    MutexLock lock(&mutex_);
    closed_ = why;
  }
  for (const auto& session : Open()) session->Close(why);
}

absl::StatusOr<std::shared_ptr<SharedRequest>> InferenceService::Validate(
    const v1::GenerateRequest& request) const {
  QUIRE_ASSIGN_OR_RETURN(GenerationRequest valid,
                         ValidateRequest(request, model_, group_epoch_, grammars_ != nullptr));
  return std::make_shared<SharedRequest>(std::move(valid));
}

void InferenceService::Compile(const v1::Grammar& grammar, uint64_t session, uint64_t tag,
                               const CompileQueue::Asker& asker) {
  grammars_->Compile(grammar.kind(), grammar.source(), asker, [=, this](CompileQueue::Result result) {
    if (const auto mine = Find(session)) mine->Compiled(tag, std::move(result));
  });
}

std::shared_ptr<Session> InferenceService::Find(uint64_t session) {
  MutexLock lock(&mutex_);
  const auto it = open_.find(session);
  return it == open_.end() ? nullptr : it->second;
}

std::vector<std::shared_ptr<Session>> InferenceService::Open() {
  MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<Session>> sessions;
  for (const auto& [id, session] : open_) sessions.push_back(session);
  return sessions;
}

void InferenceService::Forget(uint64_t session) {
  std::shared_ptr<Session> last;  // destroyed after the lock is gone
  MutexLock lock(&mutex_);
  served_.erase(session);
  if (auto it = open_.find(session); it != open_.end()) {
    last = std::move(it->second);
    open_.erase(it);
  }
}

}  // namespace quire::worker
