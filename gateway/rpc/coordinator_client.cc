#include "gateway/rpc/coordinator_client.h"

#include <optional>
#include <utility>

#include "base/core/hash.h"
#include "gateway/rpc/calls.h"
#include "proto/coordinator.grpc.pb.h"

namespace quire::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kMoneyDeadline{10};  // a commit takes milliseconds; past this the answer is worth a resend
constexpr seconds kBundleDeadline{60};
constexpr size_t kMaxBundleBytes = size_t{256} << 20;

// Gathers a bundle's chunks; one stream's callbacks never overlap.
struct BundleChunks {
  std::string data;
  bool last = false, too_large = false;

  void Add(const v1::BundleChunk& chunk) {
    too_large = too_large || data.size() + chunk.data().size() > kMaxBundleBytes;
    if (!too_large) data += chunk.data();
    last = chunk.last();
  }
  absl::StatusOr<std::string> Take(const std::string& digest, const absl::Status& end) {
    if (!end.ok()) return end;
    if (too_large) return absl::ResourceExhaustedError("the text bundle is larger than 256 MiB");
    if (!last || ToBytes(Sha256(data)) != digest) {
      return absl::DataLossError("the text bundle does not have the digest it was asked for by");
    }
    return std::move(data);
  }
};

}  // namespace

struct CoordinatorClient::Impl {
  explicit Impl(std::shared_ptr<grpc::Channel> channel)
      : stub(v1::Coordinator::NewStub(std::move(channel))) {}

  std::unique_ptr<v1::Coordinator::Stub> stub;
  CallTracker tracker;  // last: its destructor waits for callbacks while the stub still lives
};

CoordinatorClient::CoordinatorClient(std::shared_ptr<grpc::Channel> channel)
    : impl_(std::make_unique<Impl>(std::move(channel))) {}

CoordinatorClient::~CoordinatorClient() = default;

std::unique_ptr<RpcCall> CoordinatorClient::Admit(const v1::AdmitRequest& request,
                                                  std::function<void(v1::AdmitReply)> on_reply,
                                                  OnEnd on_end) {
  const milliseconds deadline = milliseconds(request.max_wait_ms()) + kMoneyDeadline;
  return StartStream<v1::AdmitReply>(
      impl_->tracker, deadline, std::move(on_reply), std::move(on_end), [&](auto* context, auto* reactor) {
        context->set_wait_for_ready(true);  // a coordinator that is being restarted is worth the deadline
        impl_->stub->async()->Admit(context, &request, reactor);
      });
}

void CoordinatorClient::Progress(const v1::ProgressRequest& request, Done<v1::ProgressReply> done) {
  StartUnary<v1::ProgressRequest, v1::ProgressReply>(
      impl_->tracker, request, kMoneyDeadline, std::move(done),
      [this](auto&&... args) { impl_->stub->async()->Progress(std::forward<decltype(args)>(args)...); });
}

std::unique_ptr<RpcCall> CoordinatorClient::Readmit(const v1::ReadmitRequest& request,
                                                    Done<v1::ReadmitReply> done) {
  const milliseconds deadline = milliseconds(request.max_wait_ms()) + kMoneyDeadline;
  auto call = StartUnary<v1::ReadmitRequest, v1::ReadmitReply>(
      impl_->tracker, request, deadline, std::move(done), [this](auto* context, auto&&... args) {
        context->set_wait_for_ready(true);  // as Admit: the coordinator may have gone with the group
        impl_->stub->async()->Readmit(context, std::forward<decltype(args)>(args)...);
      });
  if (call == nullptr) return nullptr;
  return std::make_unique<CallHandle<UnaryCall<v1::ReadmitRequest, v1::ReadmitReply>>>(std::move(call));
}

void CoordinatorClient::Settle(const v1::SettleRequest& request, Done<v1::SettleReply> done) {
  StartUnary<v1::SettleRequest, v1::SettleReply>(
      impl_->tracker, request, kMoneyDeadline, std::move(done),
      [this](auto&&... args) { impl_->stub->async()->Settle(std::forward<decltype(args)>(args)...); });
}

std::unique_ptr<RpcCall> CoordinatorClient::Watch(const v1::WatchRequest& request,
                                                  std::function<void(v1::WatchEvent)> on_event,
                                                  OnEnd on_end) {
  return StartStream<v1::WatchEvent>(
      impl_->tracker, std::nullopt, std::move(on_event), std::move(on_end),
      [&](auto* context, auto* reactor) { impl_->stub->async()->Watch(context, &request, reactor); });
}

std::unique_ptr<RpcCall> CoordinatorClient::GetTextBundle(const std::string& digest, Done<std::string> done) {
  v1::GetTextBundleRequest request;
  request.set_digest(digest);
  auto chunks = std::make_shared<BundleChunks>();
  return StartStream<v1::BundleChunk>(
      impl_->tracker, kBundleDeadline, [chunks](v1::BundleChunk chunk) { chunks->Add(chunk); },
      [chunks, digest, done = std::move(done)](const absl::Status& end) { done(chunks->Take(digest, end)); },
      [&](auto* context, auto* reactor) { impl_->stub->async()->GetTextBundle(context, &request, reactor); });
}

}  // namespace quire::gateway
