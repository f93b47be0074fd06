#include "coordinator/api/register_call.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/log.h"
#include "base/core/mutex.h"
#include "base/core/status.h"
#include "base/net/grpc.h"

namespace quire::coordinator {
namespace {

constexpr size_t kMaxBundleBytes = size_t{64} << 20;

class RegisterCall final : public grpc::ServerBidiReactor<v1::RegisterRequest, v1::RegisterReply> {
 public:
  RegisterCall(const ServiceParts& parts, WorkThread* disk) : parts_(parts), disk_(disk) {}
  void Begin(std::shared_ptr<RegisterCall> self, const absl::Status& allowed) {
    MutexLock lock(&mutex_);
    self_ = std::move(self);
    if (!allowed.ok()) return End(allowed);
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    MutexLock lock(&mutex_);
    if (!ok) return End(absl::OkStatus());  // the group is gone
    EndUnlessOk(Take());
  }

  void OnWriteDone(bool) override {  // a failed write ends the read too
    MutexLock lock(&mutex_);
    writing_ = false;
    FinishIfEnding();
  }

  void OnCancel() override {
    MutexLock lock(&mutex_);
    End(absl::CancelledError("the stream was cancelled"));
  }

  void OnDone() override {
    std::shared_ptr<RegisterCall> self;  // outlives the lock
    MutexLock lock(&mutex_);
    self.swap(self_);
  }

 private:
  // What has to come next: the group, then perhaps chunks of its bundle, then nothing.
  absl::Status Take() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!info_) return TakeGroup();
    if (awaits_bundle_) return TakeChunk();
    return absl::InvalidArgumentError("nothing may follow the bundle");
  }

  absl::Status TakeGroup() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!request_.has_group()) return absl::InvalidArgumentError("the first message must be the group");
    info_ = request_.group();
    QUIRE_RETURN_IF_ERROR(WorkerRegistry::CheckInfo(*info_));
    if (info_->epoch() < parts_.router->FirstValidEpoch(info_->group_id())) {
      return absl::FailedPreconditionError(
          absl::StrCat("epoch ", info_->epoch(), " of group ", info_->group_id(), " is over: exit"));
    }
    Digest digest{};
    std::copy(info_->bundle_digest().begin(), info_->bundle_digest().end(), digest.begin());
    return OnDisk([this, digest] { OnFound(parts_.bundles->Has(digest)); });
  }

  void OnFound(const absl::StatusOr<bool>& found) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    if (ending_) return;
    if (!found.ok()) return End(found.status());
    if (*found) return EndUnlessOk(MakeSureOfPrice());
    awaits_bundle_ = true;
    v1::RegisterReply reply;
    reply.set_need_bundle(true);
    Write(std::move(reply));
    Read();
  }

  absl::Status TakeChunk() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!request_.has_chunk()) return absl::InvalidArgumentError("a chunk of the bundle must follow");
    bundle_ += request_.chunk().data();
    if (bundle_.size() > kMaxBundleBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("the text bundle is larger than ", kMaxBundleBytes, " bytes"));
    }
    if (!request_.chunk().last()) {
      Read();
      return absl::OkStatus();
    }
    awaits_bundle_ = false;
    return OnDisk([this, bundle = std::exchange(bundle_, {}), digest = info_->bundle_digest()] {
      OnStored(Store(bundle, digest));
    });
  }

  absl::Status Store(const std::string& bundle, const std::string& digest) {
    if (ToBytes(Sha256(bundle)) != digest) {
      return absl::InvalidArgumentError("the text bundle does not have the digest that the group named");
    }
    return parts_.bundles->Put(bundle).status();
  }

  void OnStored(const absl::Status& stored) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    if (ending_) return;
    EndUnlessOk(stored.ok() ? MakeSureOfPrice() : stored);
  }

  absl::Status MakeSureOfPrice() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (parts_.facts->HasPrice(info_->model())) return WriteDown();
    const bool posted = parts_.ledger->Post([self = self_, model = info_->model(),
                                             price = parts_.first_price](Ledger& ledger) {
      ledger.SetPrice(model, price, [self](absl::StatusOr<PriceRow> row) { self->OnPrice(row.status()); });
    });
    return posted ? absl::OkStatus() : absl::UnavailableError("the ledger is busy; register again");
  }

  void OnPrice(const absl::Status& set) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    if (ending_) return;
    EndUnlessOk(set.ok() ? WriteDown() : set);
  }

  absl::Status WriteDown() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return OnDisk([this, info = *info_] {
      const int64_t now_ms = parts_.clock->UnixMs();
      const absl::StatusOr<uint64_t> live = parts_.facts->PutModel(info, now_ms / 1000);
      absl::Status written = live.status();
      if (written.ok()) written = parts_.epochs->Raise(info.group_id(), info.epoch(), now_ms);
      OnWrittenDown(live.value_or(0), written);
    });
  }

  void OnWrittenDown(uint64_t live, const absl::Status& written) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    live_ = live;
    if (ending_) return LeaveFacts();
    EndUnlessOk(written.ok() ? Accept() : written);
  }

  absl::Status Accept() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    QUIRE_ASSIGN_OR_RETURN(registration_, parts_.router->Register(*info_));
    if (parts_.on_group) parts_.on_group();
    v1::RegisterReply reply;
    reply.mutable_accepted()->set_heartbeat_ms(WorkerRegistry::kBeatMs);
    reply.mutable_accepted()->set_session_secret(SessionSecret(parts_.pepper).value);
    Write(std::move(reply));
    Read();
    return absl::OkStatus();
  }

  // `work` runs without the mutex, and this call outlives it.
  absl::Status OnDisk(WorkThread::Job work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const bool posted = disk_->TryPost([self = self_, work = std::move(work)]() mutable { work(); });
    return posted ? absl::OkStatus() : absl::UnavailableError("the disk is busy; register again");
  }

  void EndUnlessOk(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!status.ok()) End(status);
  }

  void Read() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!ending_) StartRead(&request_);
  }

  void Write(v1::RegisterReply reply) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    reply_ = std::move(reply);
    writing_ = true;
    StartWrite(&reply_);
  }

  void End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (ending_) return;
    ending_ = status;
    if (registration_ != 0) parts_.router->StreamEnded(info_->group_id(), registration_);
    LeaveFacts();
    if (!status.ok()) {
      Log(LogLevel::kWarn, "register_ended", "group", info_ ? info_->group_id() : "", "why",
          MessageOf(status));
    }
    FinishIfEnding();
  }

  void LeaveFacts() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (live_ != 0) parts_.facts->GroupLeft(info_->group_id(), live_);
  }

  void FinishIfEnding() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!ending_ || writing_ || finished_) return;
    finished_ = true;
    Finish(ToGrpc(*ending_));
  }

  const ServiceParts parts_;
  WorkThread* const disk_;
  Mutex mutex_;
  std::shared_ptr<RegisterCall> self_ ABSL_GUARDED_BY(mutex_);
  v1::RegisterRequest request_;
  v1::RegisterReply reply_;
  std::optional<v1::GroupInfo> info_ ABSL_GUARDED_BY(mutex_);
  std::string bundle_ ABSL_GUARDED_BY(mutex_);
  bool awaits_bundle_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t live_ ABSL_GUARDED_BY(mutex_) = 0;  // in SlowFacts
  uint64_t registration_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> ending_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

grpc::ServerBidiReactor<v1::RegisterRequest, v1::RegisterReply>* MakeRegisterCall(
    const ServiceParts& parts, WorkThread* disk, const absl::Status& allowed) {
  auto call = std::make_shared<RegisterCall>(parts, disk);
  call->Begin(call, allowed);
  return call.get();
}

}  // namespace quire::coordinator
