#include "gateway/api/grpc/chat_messages.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/strict_json.h"
#include "gateway/api/chat/chat_request.h"
#include "gateway/api/grpc/message_writers.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

// Lists that are as long are refused for that.
constexpr size_t kMoreThanAnyTakes = 10'000;

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
  if (message.has_reasoning_content()) turn["reasoning_content"] = message.reasoning_content();
  if (message.has_tool_call_id()) turn["tool_call_id"] = message.tool_call_id();
  for (const v1::ChatToolCall& call : message.tool_calls()) {
    turn["tool_calls"].push_back(
        {{"id", call.id()}, {"function", {{"name", call.name()}, {"arguments", call.arguments_json()}}}});
  }
  return turn;
}

// The fields that are JSON text, parsed; the first that is none is remembered.
class JsonFields {
 public:
  json Read(const std::string& text, const std::string& param) {
    if (error_) return nullptr;
    left_ -= std::min(left_, text.size());
    absl::StatusOr<json> parsed = left_ > 0 ? ParseStrictJson(text) : absl::InvalidArgumentError("too long");
    if (parsed.ok()) return *std::move(parsed);
    error_ = InvalidField(param, absl::StrCat(param, ": not acceptable JSON: ", parsed.status().message()));
    return nullptr;
  }
  const std::optional<http::ApiError>& error() const { return error_; }

 private:
  size_t left_ = 2 << 20;  // bytes of all of them; what they are of has bounds of its own, and smaller ones
  std::optional<http::ApiError> error_;
};

void AddTools(const v1::ChatRequest& request, JsonFields& texts, json& body) {
  for (const v1::ChatTool& tool : request.tools()) {
    if (body["tools"].size() > kMoreThanAnyTakes || texts.error()) break;
    json function{{"name", tool.name()}};
    if (tool.has_description()) function["description"] = tool.description();
    if (tool.has_parameters_json()) {
      const std::string param = absl::StrCat("tools.", body["tools"].size(), ".parameters_json");
      function["parameters"] = texts.Read(tool.parameters_json(), param);
    }
    if (tool.has_strict()) function["strict"] = tool.strict();
    body["tools"].push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  using Choice = v1::ChatToolChoice;
  if (request.tool_choice().choice_case() == Choice::kMode)
    body["tool_choice"] = request.tool_choice().mode();
  if (request.tool_choice().choice_case() == Choice::kFunction) {
    body["tool_choice"] = {{"type", "function"}, {"function", {{"name", request.tool_choice().function()}}}};
  }
  if (request.has_parallel_tool_calls()) body["parallel_tool_calls"] = request.parallel_tool_calls();
}

void AddFormat(const v1::ChatResponseFormat& format, JsonFields& texts, json& body) {
  json& out = body["response_format"] = {{"type", format.type()}};
  if (format.has_regex()) out["regex"] = format.regex();
  if (format.has_grammar()) out["grammar"] = format.grammar();
  if (!format.has_json_schema()) return;
  const v1::ChatJsonSchema& schema = format.json_schema();
  json& wrapped = out["json_schema"] = json::object();
  if (schema.has_name()) wrapped["name"] = schema.name();
  wrapped["schema"] = texts.Read(schema.schema_json(), "response_format.json_schema.schema_json");
  if (schema.has_strict()) wrapped["strict"] = schema.strict();
}

void AddReasoning(const v1::ChatRequest& request, json& body) {
  if (request.has_reasoning_effort()) body["reasoning_effort"] = request.reasoning_effort();
  if (request.has_reasoning_max_tokens()) body["reasoning"]["max_tokens"] = request.reasoning_max_tokens();
  if (request.has_exclude_reasoning()) body["reasoning"]["exclude"] = request.exclude_reasoning();
  if (request.has_separate_reasoning()) body["separate_reasoning"] = request.separate_reasoning();
  if (request.has_loop_guard()) body["loop_guard"] = request.loop_guard();
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

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// Fields of a message and of the messages in it; nothing: they are no message. One takes two bytes on the
// wire and a hundred here, known or not, so that they are counted before they are made.
constexpr int64_t kMaxFields = 100'000;

// As deep as the type nests.
std::optional<int64_t> CountFields(CodedInputStream& input, const google::protobuf::Descriptor& type) {
  int64_t count = 0;
  for (uint32_t tag = 0; count <= kMaxFields && (tag = input.ReadTag()) != 0; ++count) {
    const WireFormatLite::WireType wire = WireFormatLite::GetTagWireType(tag);
    // No field of ours is a group, and one that is unknown nests as it likes.
    if (wire == WireFormatLite::WIRETYPE_START_GROUP) return std::nullopt;
    const auto* field = type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
    const bool nests = wire == WireFormatLite::WIRETYPE_LENGTH_DELIMITED && field != nullptr &&
                       field->message_type() != nullptr;
    uint32_t length = 0;
    if (!nests) {
      if (!WireFormatLite::SkipField(&input, tag)) return std::nullopt;
      continue;
    }
    if (!input.ReadVarint32(&length)) return std::nullopt;
    const CodedInputStream::Limit limit = input.PushLimit(static_cast<int>(length));
    const std::optional<int64_t> inner = CountFields(input, *field->message_type());
    if (!inner) return std::nullopt;
    count += *inner;
    if (count <= kMaxFields && input.BytesUntilLimit() != 0) return std::nullopt;
    input.PopLimit(limit);
  }
  return count;
}

ApiResult<DoorRequest> Parse(std::string_view bytes, bool stream) {
  const int size = static_cast<int>(bytes.size());
  CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data()), size);
  const std::optional<int64_t> fields = CountFields(input, *v1::ChatRequest::descriptor());
  if (fields.value_or(0) > kMaxFields) {
    return BadJson(absl::StrCat("the request has more than ", kMaxFields, " fields in all: make it smaller"));
  }
  v1::ChatRequest message;
  if (!fields || !message.ParseFromArray(bytes.data(), size)) {
    return BadJson("the request is no quire.v1.ChatRequest");
  }
  ApiResult<json> body = BodyOf(message);
  if (auto* error = std::get_if<http::ApiError>(&body)) return std::move(*error);
  ApiResult<ChatRequest> parsed = ReadChatRequest(std::get<json>(body));
  if (auto* error = std::get_if<http::ApiError>(&parsed)) return std::move(*error);
  ChatRequest& request = std::get<ChatRequest>(parsed);
  request.prompt.separate_reasoning = request.separate_reasoning;
  DoorRequest door{.sampling = std::move(request.sampling),
                   .prompt = std::move(request.prompt),
                   .stream = stream,
                   .make_writer = nullptr};
  door.make_writer = [stream,
                      exclude = request.exclude_reasoning](AnswerHead head) -> std::unique_ptr<AnswerWriter> {
    if (stream) return std::make_unique<ChunkWriter>(std::move(head), exclude);
    return std::make_unique<WholeMessageWriter>(std::move(head), exclude);
  };
  return door;
}

}  // namespace

ApiResult<json> BodyOf(const v1::ChatRequest& request) {
  json body{{"model", request.model()}, {"messages", json::array()}};
  for (const v1::ChatMessage& message : request.messages()) body["messages"].push_back(MessageOf(message));
  AddNumbers(request, body);
  for (const std::string& stop : request.stop()) body["stop"].push_back(stop);
  for (const int32_t id : request.stop_token_ids()) {
    if (body["stop_token_ids"].size() > kMoreThanAnyTakes) break;  // a byte each on the wire
    body["stop_token_ids"].push_back(id);
  }
  for (const auto& [id, bias] : request.logit_bias()) {
    if (body["logit_bias"].size() > kMoreThanAnyTakes) break;
    body["logit_bias"][std::to_string(id)] = bias;
  }
  if (request.has_ignore_eos()) body["ignore_eos"] = request.ignore_eos();
  if (request.has_logprobs()) body["logprobs"] = request.logprobs();
  if (request.has_user()) body["user"] = request.user();
  AddReasoning(request, body);
  JsonFields texts;
  AddTools(request, texts, body);
  if (request.has_response_format()) AddFormat(request.response_format(), texts, body);
  if (texts.error()) return *texts.error();
  return body;
}

ApiResult<DoorRequest> ParseWholeChatMessage(std::string_view bytes) { return Parse(bytes, false); }
ApiResult<DoorRequest> ParseStreamedChatMessage(std::string_view bytes) { return Parse(bytes, true); }

}  // namespace quire::gateway
