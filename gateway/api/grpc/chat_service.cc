#include "gateway/api/grpc/chat_service.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <exception>
#include <typeinfo>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "base/core/log.h"
#include "base/http/bearer.h"
#include "gateway/api/error_response.h"
#include "gateway/api/grpc/chat_messages.h"
#include "gateway/api/grpc/rpc_sink.h"
#include "gateway/api/grpc/served_message.h"
#include "gateway/api/grpc/served_stream.h"
#include "gateway/api/models/model_capabilities.h"

namespace quire::gateway {
namespace {

using boost::asio::awaitable;

Facts::Key KeyOf(const grpc::CallbackServerContext& context, const Authenticator& authenticator) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  if (metadata.count("authorization") != 1) return nullptr;  // which of two?
  return authenticator.CheckToken(
      http::BearerToken(std::string_view(found->second.data(), found->second.size())));
}

// Takes them: gRPC, whose bound they count against, has them no more. So it is its own buffer, not a copy,
// which would only share the bytes.
std::string TakeBytes(grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!message.Dump(&slices).ok()) return bytes;
  bytes.reserve(message.Length());
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  message.Clear();
  return bytes;
}

double MillisecondsSince(int64_t begun_us, int64_t us) { return static_cast<double>(us - begun_us) / 1000; }

v1::ChatModel ModelOf(const CatalogModel& listed) {
  const v1::ModelFact& fact = *listed.fact;
  v1::ChatModel model;
  model.set_id(fact.model());
  model.set_created_unix_s(fact.created_unix_s());
  model.set_owned_by(fact.owned_by());
  model.set_max_context(fact.max_context());
  model.set_max_output_tokens(fact.max_output_tokens());
  model.set_prompt_nano_usd(fact.price().prompt_nano_usd());
  model.set_cached_prompt_nano_usd(fact.price().cached_prompt_nano_usd());
  model.set_completion_nano_usd(fact.price().completion_nano_usd());
  model.set_dtype(listed.text->dtype());
  const ModelCapabilities can = CapabilitiesOf(*listed.text);
  v1::ChatModelCapabilities& capabilities = *model.mutable_capabilities();
  capabilities.set_chat(can.chat);
  capabilities.set_completions(can.completions);
  capabilities.set_reasoning(can.reasoning);
  capabilities.set_tools(can.tools);
  capabilities.set_json(can.json);
  return model;
}

}  // namespace

struct ChatService::Asked {
  RequestId id;
  Facts::Key key;
  grpc::ByteBuffer* message;  // gRPC's, until the call has ended
  ParseBody parse;
  http::RequestRecord record;
  int64_t begun_us;
};

ChatService::ChatService(const Pipeline& pipeline, const ModelCatalog& catalog, CallThreads& threads,
                         const Clock& clock, Metrics& metrics, std::chrono::milliseconds stall_limit,
                         http::RequestSink log)
    : pipeline_(pipeline),
      catalog_(catalog),
      threads_(threads),
      clock_(clock),
      metrics_(metrics),
      stall_limit_(stall_limit),
      lines_(clock, http::Fruit::kTokens, std::move(log)) {}

ChatService::Asked ChatService::Ask(grpc::CallbackServerContext& context, const char* method,
                                    const grpc::ByteBuffer& message, ParseBody parse) const {
  Asked asked{.id = RequestId::Random(),
              .key = KeyOf(context, pipeline_.authenticator()),
              // gRPC reads it no more and made it for this call alone: only its type says const.
              .message = const_cast<grpc::ByteBuffer*>(&message),
              .parse = parse,
              .record = {},
              .begun_us = clock_.NowUs()};
  asked.record.request_id = asked.id.ToHex();
  asked.record.method = "GRPC";
  asked.record.route = method;
  if (asked.key != nullptr) {
    asked.record.key_id = asked.key->key_id();
    asked.record.account = asked.key->account_id();
  }
  context.AddInitialMetadata("x-request-id", asked.record.request_id);
  return asked;
}

grpc::ServerUnaryReactor* ChatService::SpawnMessage(grpc::CallbackServerContext& context, const char* method,
                                                    const grpc::ByteBuffer& request,
                                                    grpc::ByteBuffer& response, Answer answer) {
  auto call = std::make_shared<ServedMessage>(threads_.Next(), context, stall_limit_, response);
  call->Begin();
  Spawn(call, Ask(context, method, request, ParseWholeChatMessage), answer);
  return call.get();
}

grpc::ServerUnaryReactor* ChatService::Chat(grpc::CallbackServerContext* context,
                                            const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  return SpawnMessage(*context, "quire.v1.Chat/Chat", *request, *response, &ChatService::AnswerChat);
}

grpc::ServerUnaryReactor* ChatService::CountTokens(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request,
                                                   grpc::ByteBuffer* response) {
  return SpawnMessage(*context, "quire.v1.Chat/CountTokens", *request, *response, &ChatService::AnswerCount);
}

grpc::ServerUnaryReactor* ChatService::ListModels(grpc::CallbackServerContext* context,
                                                  const grpc::ByteBuffer* request,
                                                  grpc::ByteBuffer* response) {
  return SpawnMessage(*context, "quire.v1.Chat/ListModels", *request, *response, &ChatService::AnswerModels);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ChatService::ChatStream(grpc::CallbackServerContext* context,
                                                                    const grpc::ByteBuffer* request) {
  auto call = std::make_shared<ServedStream>(threads_.Next(), *context, stall_limit_);
  call->Begin();
  Spawn(call, Ask(*context, "quire.v1.Chat/ChatStream", *request, ParseStreamedChatMessage),
        &ChatService::AnswerChat);
  return call.get();
}

void ChatService::Spawn(std::shared_ptr<ServedCall> call, Asked asked, Answer answer) {
  {
    MutexLock lock(&mutex_);
    ++running_;
  }
  const boost::asio::any_io_executor executor = call->executor();
  boost::asio::co_spawn(executor, Run(std::move(call), std::move(asked), answer), boost::asio::detached);
}

bool ChatService::AwaitIdle(absl::Duration limit) {
  MutexLock lock(&mutex_);
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ == 0; };
  return mutex_.AwaitWithTimeout(absl::Condition(&idle), limit);
}

awaitable<void> ChatService::Run(std::shared_ptr<ServedCall> call, Asked asked, Answer answer) {
  const absl::Cleanup leave = [this] {
    MutexLock lock(&mutex_);
    --running_;
  };
  RpcSink sink(*call, clock_);
  const char* thrown = nullptr;
  try {
    if (refusing_) {
      co_await sink.Refuse(
          FromStatus(absl::UnavailableError("the server is shutting down: call another one")));
    } else {
      co_await (this->*answer)(asked, sink);
    }
  } catch (const std::exception& error) {
    thrown = typeid(error).name();  // what it says may quote the client
  } catch (...) {
    thrown = "unknown";
  }
  if (thrown != nullptr)
    Log(LogLevel::kError, "call_threw", "request", asked.record.request_id, "type", thrown);
  call->OnGone(nullptr);
  if (thrown != nullptr && !sink.ended()) co_await sink.Refuse(InternalError());
  if (!sink.ended()) co_await sink.Abandon();
  Record(asked, sink);
}

void ChatService::Record(Asked& asked, const RpcSink& sink) {
  asked.record.status = sink.http_status();
  asked.record.error = sink.error_code();
  asked.record.total_ms = MillisecondsSince(asked.begun_us, clock_.NowUs());
  if (sink.first_token_us() > 0) {
    asked.record.first_token_ms = MillisecondsSince(asked.begun_us, sink.first_token_us());
  }
  metrics_
      .Counter("quire_gateway_grpc_calls_total",
               "Calls of quire.v1.Chat that ended, by method and status as HTTP's.",
               {{"method", asked.record.route}, {"status", std::to_string(asked.record.status)}})
      .Increment();
  lines_.Write(asked.record);
}

awaitable<ApiResult<Prepared>> ChatService::Prepare(Asked& asked, RpcSink& sink) const {
  ApiResult<Newcomer> entered = pipeline_.Enter(asked.key);
  if (auto* error = std::get_if<http::ApiError>(&entered)) co_return std::move(*error);
  const Newcomer newcomer = std::get<Newcomer>(std::move(entered));
  if (auto error = newcomer.visit->Resize(asked.message->Length())) co_return *std::move(error);
  sink.OnGone([owner = newcomer.owner] { owner->Leave(); });
  co_return co_await pipeline_.Prepare(newcomer, asked.id, TakeBytes(*asked.message), asked.parse);
}

awaitable<void> ChatService::AnswerChat(Asked& asked, RpcSink& sink) const {
  ApiResult<Prepared> prepared = co_await Prepare(asked, sink);
  if (auto* error = std::get_if<http::ApiError>(&prepared)) co_return co_await sink.Refuse(*error);
  co_await pipeline_.Serve(std::get<Prepared>(std::move(prepared)), sink, asked.record);
}

awaitable<void> ChatService::AnswerCount(Asked& asked, RpcSink& sink) const {
  ApiResult<Prepared> prepared = co_await Prepare(asked, sink);
  if (auto* error = std::get_if<http::ApiError>(&prepared)) co_return co_await sink.Refuse(*error);
  v1::CountTokensReply reply;
  reply.set_prompt_tokens(std::get<Prepared>(prepared).plans.front().prompt.size());
  sink.Append(reply.SerializeAsString());
  co_await sink.Finish();
}

awaitable<void> ChatService::AnswerModels(Asked& asked, RpcSink& sink) const {
  if (asked.key == nullptr) co_return co_await sink.Refuse(pipeline_.authenticator().Refusal());
  v1::ListModelsReply reply;
  for (const CatalogModel& model : catalog_.Servable()) {
    if (MayUseModel(*asked.key, model.fact->model())) *reply.add_models() = ModelOf(model);
  }
  sink.Append(reply.SerializeAsString());
  co_await sink.Finish();
}

}  // namespace quire::gateway
