#include "gateway/api/grpc/chat_messages.h"

#include <string>
#include <utility>

#include "gateway/api/chat/chat_request.h"
#include "gateway/api/grpc/message_writers.h"

namespace quire::gateway {
namespace {

using nlohmann::json;

json MessageOf(const v1::ChatMessage& message) {
  json turn{{"role", message.role()}};
  if (!message.name().empty()) turn["name"] = message.name();
  if (message.has_content()) turn["content"] = message.content();
  if (message.has_content() && message.parts_size() > 0) {
    turn["content"] = json::object();  // both at once: as wrong as this
    return turn;
  }
  for (const std::string& part : message.parts()) {
    turn["content"].push_back({{"type", "text"}, {"text", part}});
  }
  return turn;
}

void AddNumbers(const v1::ChatRequest& request, json& body) {
  if (request.has_max_tokens()) body["max_tokens"] = request.max_tokens();
  if (request.has_min_tokens()) body["min_tokens"] = request.min_tokens();
  if (request.has_temperature()) body["temperature"] = request.temperature();
  if (request.has_top_p()) body["top_p"] = request.top_p();
  if (request.has_min_p()) body["min_p"] = request.min_p();
  if (request.has_top_k()) body["top_k"] = request.top_k();
  if (request.has_repetition_penalty()) body["repetition_penalty"] = request.repetition_penalty();
  if (request.has_presence_penalty()) body["presence_penalty"] = request.presence_penalty();
  if (request.has_frequency_penalty()) body["frequency_penalty"] = request.frequency_penalty();
  if (request.has_seed()) body["seed"] = request.seed();
  if (request.has_n()) body["n"] = request.n();
  if (request.has_top_logprobs()) body["top_logprobs"] = request.top_logprobs();
}

ApiResult<DoorRequest> Parse(std::string_view bytes, bool stream) {
  v1::ChatRequest message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return BadJson("the request is no quire.v1.ChatRequest");
  ApiResult<ChatRequest> parsed = ReadChatRequest(BodyOf(message));
  if (auto* error = std::get_if<http::ApiError>(&parsed)) return std::move(*error);
  ChatRequest& request = std::get<ChatRequest>(parsed);
  DoorRequest door{.sampling = std::move(request.sampling),
                   .prompt = std::move(request.prompt),
                   .stream = stream,
                   .make_writer = nullptr};
  door.make_writer = [stream](AnswerHead head) -> std::unique_ptr<AnswerWriter> {
    if (stream) return std::make_unique<ChunkWriter>(std::move(head));
    return std::make_unique<WholeMessageWriter>(std::move(head));
  };
  return door;
}

}  // namespace

json BodyOf(const v1::ChatRequest& request) {
  json body{{"model", request.model()}, {"messages", json::array()}};
  for (const v1::ChatMessage& message : request.messages()) body["messages"].push_back(MessageOf(message));
  AddNumbers(request, body);
  for (const std::string& stop : request.stop()) body["stop"].push_back(stop);
  for (const int32_t id : request.stop_token_ids()) body["stop_token_ids"].push_back(id);
  for (const auto& [id, bias] : request.logit_bias()) body["logit_bias"][std::to_string(id)] = bias;
  if (request.has_ignore_eos()) body["ignore_eos"] = request.ignore_eos();
  if (request.has_logprobs()) body["logprobs"] = request.logprobs();
  if (request.has_reasoning_effort()) body["reasoning_effort"] = request.reasoning_effort();
  if (request.has_user()) body["user"] = request.user();
  return body;
}

ApiResult<DoorRequest> ParseWholeChatMessage(std::string_view bytes) { return Parse(bytes, false); }
ApiResult<DoorRequest> ParseStreamedChatMessage(std::string_view bytes) { return Parse(bytes, true); }

}  // namespace quire::gateway
