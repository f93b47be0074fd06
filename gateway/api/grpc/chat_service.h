// quire.v1.Chat on the wire: each call's metadata and message into the pipeline, on a coroutine of its own,
// and what comes of it back. One for the gateway; gRPC's threads call the methods. What ended is written to
// the log as a request of HTTP is. Outlives the gRPC server that it is registered with.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "base/core/clock.h"
#include "base/core/metrics.h"
#include "base/core/mutex.h"
#include "base/http/request_lines.h"
#include "gateway/api/call_threads.h"
#include "gateway/api/grpc/served_call.h"
#include "gateway/api/pipeline/pipeline.h"
#include "gateway/generation/model_catalog.h"
#include "proto/chat.grpc.pb.h"

namespace quire::gateway {

using ChatMethods = v1::Chat::WithRawCallbackMethod_Chat<
    v1::Chat::WithRawCallbackMethod_ChatStream<v1::Chat::WithRawCallbackMethod_CountTokens<
        v1::Chat::WithRawCallbackMethod_ListModels<v1::Chat::Service>>>>;

class ChatService final : public ChatMethods {
 public:
  // All must outlive it.
  ChatService(const Pipeline& pipeline, const ModelCatalog& catalog, CallThreads& threads, const Clock& clock,
              Metrics& metrics, std::chrono::milliseconds stall_limit,
              http::RequestSink log = http::LogRequest);

  grpc::ServerUnaryReactor* Chat(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                 grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* ChatStream(grpc::CallbackServerContext* context,
                                                         const grpc::ByteBuffer* request) override;
  grpc::ServerUnaryReactor* CountTokens(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;

  // Calls that come from now on are told to go elsewhere. Then false if some still run when `limit` has
  // passed.
  void Refuse() { refusing_ = true; }
  bool AwaitIdle(absl::Duration limit) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // One call, from its message to its end.
  struct Asked;
  using Answer = boost::asio::awaitable<void> (ChatService::*)(Asked&, class RpcSink&) const;

  Asked Ask(grpc::CallbackServerContext& context, const char* method, const grpc::ByteBuffer& message,
            ParseBody parse) const;
  void Spawn(std::shared_ptr<ServedCall> call, Asked asked, Answer answer);
  boost::asio::awaitable<void> Run(std::shared_ptr<ServedCall> call, Asked asked, Answer answer);
  boost::asio::awaitable<ApiResult<Prepared>> Prepare(Asked& asked, RpcSink& sink) const;
  boost::asio::awaitable<void> AnswerChat(Asked& asked, RpcSink& sink) const;
  boost::asio::awaitable<void> AnswerCount(Asked& asked, RpcSink& sink) const;
  boost::asio::awaitable<void> AnswerModels(Asked& asked, RpcSink& sink) const;
  grpc::ServerUnaryReactor* SpawnMessage(grpc::CallbackServerContext& context, const char* method,
                                         const grpc::ByteBuffer& request, grpc::ByteBuffer& response,
                                         Answer answer);
  void Record(Asked& asked, const RpcSink& sink);

  const Pipeline& pipeline_;
  const ModelCatalog& catalog_;
  CallThreads& threads_;
  const Clock& clock_;
  Metrics& metrics_;
  const std::chrono::milliseconds stall_limit_;
  http::RequestLines lines_;
  std::atomic<bool> refusing_ = false;
  Mutex mutex_;
  int64_t running_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace quire::gateway
