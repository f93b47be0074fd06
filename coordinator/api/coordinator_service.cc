#include "coordinator/api/coordinator_service.h"

#include <utility>

#include "base/core/log.h"
#include "base/core/mutex.h"
#include "base/core/status.h"
#include "base/net/caller_role.h"
#include "base/net/grpc.h"
#include "coordinator/api/register_call.h"
#include "coordinator/api/stream_writer.h"
#include "coordinator/api/watch_call.h"
#include "coordinator/api/work_thread.h"
#include "proto/coordinator.grpc.pb.h"

namespace quire::coordinator {
namespace {

constexpr size_t kAdmitQueue = 4;
constexpr size_t kBundleChunkBytes = 1 << 20;
constexpr size_t kBundleQueue = 256;

// A stream that ends with an error at once.
template <typename Message>
grpc::ServerWriteReactor<Message>* Refuse(const absl::Status& why) {
  auto writer = StreamWriter<Message>::Make(1);
  writer->Close(ToGrpc(why));
  return writer.get();
}

grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context, const absl::Status& why) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(why));
  return reactor;
}

// Answers a unary call once with a reply or an error.
template <typename T>
void Answer(grpc::ServerUnaryReactor* reactor, T* out, const absl::StatusOr<T>& reply) {
  if (reply.ok()) *out = *reply;
  reactor->Finish(ToGrpc(reply.status()));
}

// A Readmit that waits: answered once, or given up when its caller cancels.
class ReadmitCall final : public grpc::ServerUnaryReactor {
 public:
  ReadmitCall(Admission* admission, v1::ReadmitReply* reply) : admission_(admission), reply_(reply) {}

  void Begin(std::shared_ptr<ReadmitCall> self, const v1::ReadmitRequest& request) {
    {
      MutexLock lock(&mutex_);
      self_ = self;
    }
    // The sink keeps the call alive: a waiter that is placed late finds it finished.
    const uint64_t ticket = admission_->Readmit(
        request, [self](const absl::StatusOr<v1::ReadmitReply>& answer) { self->End(answer); });
    const absl::StatusOr<RequestId> id = RequestId::FromBytes(request.request_id());
    if (!id.ok() || ticket == 0) return;
    MutexLock lock(&mutex_);
    id_ = *id;
    ticket_ = ticket;
    if (cancelled_) GiveUp();
  }

  void OnCancel() override {
    {
      MutexLock lock(&mutex_);
      cancelled_ = true;
      GiveUp();
    }
    End(absl::CancelledError("the gateway looks for no other group any more"));
  }

  void OnDone() override {
    std::shared_ptr<ReadmitCall> self;  // outlives the lock
    MutexLock lock(&mutex_);
    self.swap(self_);
  }

 private:
  void End(const absl::StatusOr<v1::ReadmitReply>& answer) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      MutexLock lock(&mutex_);
      if (std::exchange(ended_, true)) return;
      if (answer.ok()) *reply_ = *answer;
    }
    Finish(ToGrpc(answer.status()));
  }
  void GiveUp() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (ticket_ != 0) admission_->GiveUp(id_, ticket_);
  }

  Admission* const admission_;
  v1::ReadmitReply* const reply_;
  Mutex mutex_;
  std::shared_ptr<ReadmitCall> self_ ABSL_GUARDED_BY(mutex_);
  RequestId id_ ABSL_GUARDED_BY(mutex_);
  uint64_t ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

class CoordinatorService final : public v1::Coordinator::CallbackService {
 public:
  explicit CoordinatorService(const ServiceParts& parts) : parts_(parts) {}

  grpc::ServerWriteReactor<v1::AdmitReply>* Admit(grpc::CallbackServerContext* context,
                                                  const v1::AdmitRequest* request) override {
    if (const absl::Status may = MayGateway(context); !may.ok()) return Refuse<v1::AdmitReply>(may);
    auto writer = StreamWriter<v1::AdmitReply>::Make(kAdmitQueue);
    auto sink = [writer](const absl::StatusOr<v1::AdmitReply>& event, bool last) {
      if (event.ok()) writer->Send(*event);
      if (last) writer->Close(ToGrpc(event.status()));
    };
    const uint64_t ticket = parts_.admission->Admit(*request, std::move(sink));
    const absl::StatusOr<RequestId> id = RequestId::FromBytes(request->request_id());
    if (id.ok() && ticket != 0) {
      writer->OnEnd([admission = parts_.admission, id = *id, ticket] { admission->GiveUp(id, ticket); });
    }
    return writer.get();
  }

  grpc::ServerUnaryReactor* Readmit(grpc::CallbackServerContext* context, const v1::ReadmitRequest* request,
                                    v1::ReadmitReply* reply) override {
    if (const absl::Status may = MayGateway(context); !may.ok()) return Refuse(context, may);
    auto call = std::make_shared<ReadmitCall>(parts_.admission, reply);
    call->Begin(call, *request);
    return call.get();
  }

  grpc::ServerUnaryReactor* Progress(grpc::CallbackServerContext* context, const v1::ProgressRequest* request,
                                     v1::ProgressReply* reply) override {
    if (const absl::Status may = MayGateway(context); !may.ok()) return Refuse(context, may);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    parts_.admission->Progress(*request,
                               [reactor, reply](const auto& answer) { Answer(reactor, reply, answer); });
    return reactor;
  }

  grpc::ServerUnaryReactor* Settle(grpc::CallbackServerContext* context, const v1::SettleRequest* request,
                                   v1::SettleReply* reply) override {
    if (const absl::Status may = MayGateway(context); !may.ok()) return Refuse(context, may);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    parts_.admission->Settle(*request,
                             [reactor, reply](const auto& answer) { Answer(reactor, reply, answer); });
    return reactor;
  }

  grpc::ServerWriteReactor<v1::WatchEvent>* Watch(grpc::CallbackServerContext* context,
                                                  const v1::WatchRequest*) override {
    if (const absl::Status may = MayGateway(context); !may.ok()) return Refuse<v1::WatchEvent>(may);
    return MakeWatchCall(parts_.facts);
  }

  grpc::ServerWriteReactor<v1::BundleChunk>* GetTextBundle(grpc::CallbackServerContext* context,
                                                           const v1::GetTextBundleRequest* request) override {
    if (const absl::Status may = MayGateway(context); !may.ok()) return Refuse<v1::BundleChunk>(may);
    auto writer = StreamWriter<v1::BundleChunk>::Make(kBundleQueue);
    const bool posted = disk_.TryPost(
        [this, digest = request->digest(), writer] { writer->Close(SendBundle(digest, *writer)); });
    if (!posted) writer->Close(ToGrpc(absl::UnavailableError("the disk is busy; ask again")));
    return writer.get();
  }

  grpc::ServerBidiReactor<v1::RegisterRequest, v1::RegisterReply>* Register(
      grpc::CallbackServerContext* context) override {
    return MakeRegisterCall(parts_, &disk_, MayWorker(context));
  }

  grpc::ServerUnaryReactor* Heartbeat(grpc::CallbackServerContext* context,
                                      const v1::HeartbeatRequest* request,
                                      v1::HeartbeatReply* reply) override {
    if (const absl::Status may = MayWorker(context); !may.ok()) return Refuse(context, may);
    reply->set_known(parts_.router->Beat(*request));
    if (reply->known()) KeepEpoch(request->group_id(), request->epoch());
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  // A word of the group, so that it is not forgotten; the next beat says it again.
  void KeepEpoch(const std::string& group_id, uint64_t epoch) {
    const int64_t now_ms = parts_.clock->UnixMs();
    if (parts_.epochs->IsFresh(group_id, epoch, now_ms)) return;
    disk_.TryPost([epochs = parts_.epochs, group_id, epoch, now_ms] {
      epochs->Raise(group_id, epoch, now_ms).IgnoreError();
    });
  }
  absl::Status MayGateway(grpc::CallbackServerContext* context) const {
    return CheckCaller(*context, CallerRole::kGateway, gateway_secret_);
  }
  absl::Status MayWorker(grpc::CallbackServerContext* context) const {
    return CheckCaller(*context, CallerRole::kWorker, worker_secret_);
  }

  grpc::Status SendBundle(const std::string& raw_digest, StreamWriter<v1::BundleChunk>& writer) {
    Digest digest{};
    if (raw_digest.size() != digest.size()) {
      return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "digest must be 32 bytes");
    }
    std::copy(raw_digest.begin(), raw_digest.end(), digest.begin());
    const absl::StatusOr<std::string> bundle = parts_.bundles->Get(digest);
    if (!bundle.ok()) {
      HandleMissing(digest, bundle.status());
      return ToGrpc(bundle.status());
    }
    size_t sent = 0;
    do {
      v1::BundleChunk chunk;
      chunk.set_data(bundle->substr(sent, kBundleChunkBytes));
      sent += chunk.data().size();
      chunk.set_last(sent == bundle->size());
      writer.Send(std::move(chunk));
    } while (sent < bundle->size());
    return grpc::Status::OK;
  }

  // Whoever asks was told of a group that has it. Only what is known to be absent can be brought again: where
  // the store can't say, groups would register in vain.
  void HandleMissing(const Digest& digest, const absl::Status& why) {
    const absl::StatusOr<bool> has = parts_.bundles->Has(digest);
    const bool absent = has.ok() && !*has;
    if (absent) parts_.router->AskToRegister(ToBytes(digest));
    if (absl::IsNotFound(why)) return;
    Log(LogLevel::kError, absent ? "text_bundle_lost" : "text_bundle_unreadable", "why", MessageOf(why));
  }

  const ServiceParts parts_;
  const ShownSecret gateway_secret_ = GatewaySecret(parts_.pepper);
  const ShownSecret worker_secret_{kWorkerSecretKey, parts_.worker_secret};
  WorkThread disk_;  // last: its jobs use the rest
};

}  // namespace

std::unique_ptr<grpc::Service> MakeCoordinatorService(const ServiceParts& parts) {
  return std::make_unique<CoordinatorService>(parts);
}

}  // namespace quire::coordinator
