// Any answer in any pieces, as each door of HTTP writes it, streamed and whole: every event is one line of
// JSON, a stream tells piece by piece what the whole body says, and each position counts once.
#include <fuzzer/FuzzedDataProvider.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/api/chat/chat_door.h"
#include "gateway/api/completions/completions_door.h"
#include "gateway/api/inference/inference_door.h"
#include "gateway/api/messages/messages_door.h"
#include "gateway/api/pipeline/test_sink.h"
#include "gateway/api/responses/responses_door.h"
#include "gateway/generation/testing/tiny_text.h"

namespace {

using namespace quire::gateway;
using nlohmann::json;

void Check(bool holds) {
  if (!holds) std::abort();
}

// What an answer says, whichever way it was told.
struct Said {
  std::string content, reasoning;
  std::vector<std::string> names, arguments;  // of its calls

  bool operator==(const Said&) const = default;
  std::string& LastArguments() { return arguments.back(); }
  void Call(const json& name) {
    names.push_back(name);
    arguments.emplace_back();
  }
};
using Choices = std::map<int, Said>;

// ---- an answer ----

struct Answer {
  std::vector<Piece> pieces;
  std::vector<ChoiceEnd> ends;
};

// Of one to four characters that writers, JSON or readers of lines may take for more than text.
std::string SomeText(FuzzedDataProvider& bytes) {
  static constexpr std::string_view kCharacters[] = {
      "a",    "\"", "\\", "\n",       "\r",           "data: ",           "\x7f",
      "\x01", "/",  "<",  "\xC2\x85", "\xE2\x80\xA8", "\xF0\x9F\x99\x82", "\xEF\xBF\xBD",
      "\t",   "}"};
  std::string text;
  for (int left = bytes.ConsumeIntegralInRange(1, 4); left > 0; --left) {
    text += kCharacters[bytes.ConsumeIntegralInRange<size_t>(0, std::size(kCharacters) - 1)];
  }
  return text;
}

// With its tokens, as the request asked for logprobs.
Piece SomePiece(FuzzedDataProvider& bytes, uint32_t choice, PieceKind kind) {
  Piece piece{.choice = choice,
              .text = SomeText(bytes),
              .positions = bytes.ConsumeIntegralInRange<uint32_t>(0, 3),
              .kind = kind};
  if (bytes.ConsumeBool()) {
    for (const quire::TokenId id : testing::TinyIds(piece.text))
      piece.tokens.push_back({ChanceOf(id, -0.5F)});
  }
  if (kind == PieceKind::kReasoning) piece.reasoning_positions = piece.positions;
  return piece;
}

// A call's first piece names it; the others are its arguments, cut where the end says that all was cut.
void AddCall(FuzzedDataProvider& bytes, uint32_t choice, uint32_t index, bool whole, Answer& answer) {
  std::vector<std::string> parts = {"{\"k\":\""};
  for (int left = bytes.ConsumeIntegralInRange(0, 3); left > 0; --left) {
    const std::string quoted = json(SomeText(bytes)).dump();
    parts.push_back(quoted.substr(1, quoted.size() - 2));
  }
  if (whole) parts.emplace_back("\"}");
  Piece piece{
      .choice = choice, .text = "", .positions = 1, .kind = PieceKind::kToolCall, .call = {index, "get"}};
  if (bytes.ConsumeBool()) {  // the name alone
    answer.pieces.push_back(piece);
    piece.call.name.clear();
  }
  for (std::string& part : parts) {
    piece.text = std::move(part);
    answer.pieces.push_back(piece);
    piece.call.name.clear();
  }
}

// Reasoning comes first; an end tells whether the last call is whole.
void AddChoice(FuzzedDataProvider& bytes, uint32_t choice, bool of_chat, Answer& answer) {
  for (int left = of_chat ? bytes.ConsumeIntegralInRange(0, 3) : 0; left > 0; --left) {
    answer.pieces.push_back(SomePiece(bytes, choice, PieceKind::kReasoning));
  }
  ChoiceEnd end{.choice = choice, .positions = bytes.ConsumeIntegralInRange<uint32_t>(0, 2)};
  uint32_t calls = 0;
  for (int left = bytes.ConsumeIntegralInRange(0, 6); left > 0; --left) {
    if (of_chat && bytes.ConsumeBool()) {
      const bool whole = left > 1 || bytes.ConsumeBool();
      if (!whole) end.kind = Ending::Kind::kLength;
      AddCall(bytes, choice, calls++, whole, answer);
    } else {
      answer.pieces.push_back(SomePiece(bytes, choice, PieceKind::kContent));
    }
  }
  end.called_tools = calls > 0 && end.kind == Ending::Kind::kStop;
  answer.ends.push_back(end);
}

// Its choices' pieces in any mixture.
Answer SomeAnswer(FuzzedDataProvider& bytes, uint32_t choices, bool of_chat) {
  Answer first, second;
  AddChoice(bytes, 0, of_chat, first);
  if (choices == 1) return first;
  AddChoice(bytes, 1, of_chat, second);
  Answer answer{.pieces = {}, .ends = {first.ends[0], second.ends[0]}};
  for (size_t a = 0, b = 0; a < first.pieces.size() || b < second.pieces.size();) {
    const bool take_first = b == second.pieces.size() || (a < first.pieces.size() && bytes.ConsumeBool());
    answer.pieces.push_back(take_first ? first.pieces[a++] : second.pieces[b++]);
  }
  return answer;
}

// ---- what was written ----

// A stream's data, event by event; a name, where there is one, is its data's type.
std::vector<json> Events(std::string_view stream) {
  std::vector<json> events;
  while (!stream.empty()) {
    const size_t end = stream.find("\n\n");
    Check(end != std::string_view::npos);
    std::string_view event = stream.substr(0, end);
    stream.remove_prefix(end + 2);
    std::string_view name;
    if (event.substr(0, 7) == "event: ") {
      name = event.substr(7, event.find('\n') - 7);
      event.remove_prefix(event.find('\n') + 1);
    }
    Check(event.substr(0, 6) == "data: " && event.find_first_of("\r\n") == std::string_view::npos);
    if (event == "data: [DONE]") {
      Check(stream.empty() && name.empty());
      break;
    }
    events.push_back(json::parse(event.substr(6), nullptr, /*allow_exceptions=*/false));
    Check(events.back().is_object() && (name.empty() || events.back()["type"] == name));
  }
  return events;
}

std::string TextOr(const json& object, const char* field) {
  const auto found = object.find(field);
  return found == object.end() || found->is_null() ? "" : found->get<std::string>();
}

// A chat's message, or a delta of it.
void AddMessage(const json& message, Said& said) {
  said.content += TextOr(message, "content");
  said.reasoning += TextOr(message, "reasoning_content");
  for (const json& call : message.value("tool_calls", json::array())) {
    if (call["function"].contains("name")) said.Call(call["function"]["name"]);
    said.LastArguments() += call["function"]["arguments"].get<std::string>();
  }
}

void AddChoicesOf(const json& body, Choices& all) {
  for (const json& choice : body["choices"]) {
    Said& said = all[choice["index"]];
    if (choice.contains("text")) said.content += choice["text"].get<std::string>();
    for (const char* place : {"message", "delta"}) {
      if (choice.contains(place)) AddMessage(choice[place], said);
    }
  }
}

Choices OpenAiSaid(const std::vector<json>& bodies) {
  Choices all;
  for (const json& body : bodies) AddChoicesOf(body, all);
  return all;
}

// Arguments that were cut are told as they came in a stream, and as none in a whole body.
std::string WholeOrNone(const std::string& arguments) {
  const json parsed = json::parse(arguments, nullptr, /*allow_exceptions=*/false);
  return parsed.is_object() ? parsed.dump() : "{}";
}

void AddBlock(const json& block, Said& said) {
  said.content += block.value("text", "");
  said.reasoning += block.value("thinking", "");
  if (block["type"] == "tool_use") said.Call(block["name"]);
}

Choices MessagesSaid(const std::vector<json>& bodies) {
  Said said;
  for (const json& body : bodies) {
    for (const json& block : body.value("content", json::array())) {
      AddBlock(block, said);
      if (block["type"] == "tool_use") said.LastArguments() = block["input"].dump();
    }
    if (body["type"] == "content_block_start") AddBlock(body["content_block"], said);
    if (body["type"] != "content_block_delta") continue;
    const json& delta = body["delta"];
    said.content += delta.value("text", "");
    said.reasoning += delta.value("thinking", "");
    if (delta.contains("partial_json")) said.LastArguments() += delta["partial_json"].get<std::string>();
  }
  for (std::string& arguments : said.arguments) arguments = WholeOrNone(arguments);
  return {{0, said}};
}

void AddItem(const json& item, Said& said) {
  for (const json& part : item.value("content", json::array())) {
    (item["type"] == "reasoning" ? said.reasoning : said.content) += part["text"].get<std::string>();
  }
  if (item["type"] != "function_call") return;
  said.Call(item["name"]);
  said.LastArguments() += item["arguments"].get<std::string>();
}

// A stream's deltas alone, its last event being the whole response.
Choices ResponsesSaid(const std::vector<json>& bodies) {
  Said said;
  for (const json& body : bodies) {
    if (body.contains("object")) {
      for (const json& item : body["output"]) AddItem(item, said);
      continue;
    }
    const std::string type = body["type"];
    if (type == "response.output_item.added" && body["item"]["type"] == "function_call")
      AddItem(body["item"], said);
    if (type == "response.output_text.delta") said.content += body["delta"].get<std::string>();
    if (type == "response.reasoning_text.delta") said.reasoning += body["delta"].get<std::string>();
    if (type == "response.function_call_arguments.delta")
      said.LastArguments() += body["delta"].get<std::string>();
  }
  return {{0, said}};
}

Choices InferenceSaid(const std::vector<json>& bodies) {
  Choices all;
  for (const json& body : bodies) {
    const json results = body.value("results", json::array());
    for (size_t i = 0; i < results.size(); ++i)
      all[static_cast<int>(i)].content += results[i]["generated_text"];
    if (body.contains("token")) all[0].content += body["token"]["text"].get<std::string>();
  }
  return all;
}

// ---- the doors ----

struct Door {
  ApiResult<DoorRequest> (*parse)(std::string_view body);
  std::string_view request;  // without its last brace
  Choices (*said)(const std::vector<json>& bodies);
  bool of_chat;
  uint32_t choices;
};

ApiResult<DoorRequest> ParseInferenceOfM(std::string_view body) { return ParseInference(body, "m"); }

constexpr std::string_view kChatBody =
    R"({"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":9)";
constexpr std::string_view kTwoChats =
    R"({"model":"m","messages":[{"role":"user","content":"a"}],"n":2,"logprobs":true,"stream_options":{"include_usage":true})";
constexpr Door kDoors[] = {
    {ParseChat, kChatBody, OpenAiSaid, true, 1},
    {ParseChat, kTwoChats, OpenAiSaid, true, 2},
    {ParseCompletion, R"({"model":"m","prompt":"a","n":2,"logprobs":2)", OpenAiSaid, false, 2},
    {ParseMessages, kChatBody, MessagesSaid, true, 1},
    {ParseResponses, R"({"model":"m","input":"a")", ResponsesSaid, true, 1},
    {ParseInferenceOfM, R"({"input":"a")", InferenceSaid, false, 1},
};

std::string Written(const Door& door, const Answer& answer, bool stream) {
  // Without its stream, kTwoChats' options of one would be refused.
  std::string body(door.request);
  if (const size_t options = body.find(",\"stream_options"); !stream && options != std::string::npos) {
    body.resize(options);
  }
  ApiResult<DoorRequest> request =
      door.parse(absl::StrCat(body, ",\"stream\":", stream ? "true" : "false", "}"));
  Check(std::holds_alternative<DoorRequest>(request));
  static const auto text = *TextModel::Create(testing::TinyBundle());
  const DoorRequest& parsed = std::get<DoorRequest>(request);
  const auto writer = parsed.make_writer({.id = quire::RequestId{},
                                          .model = "m",
                                          .created_unix_s = 7,
                                          .choices = door.choices,
                                          .logprobs = parsed.sampling.logprobs,
                                          .text = text});
  TestSink sink;
  const Usage usage;
  std::map<uint32_t, uint64_t> positions, counted;
  writer->Begin(usage, sink);
  for (const Piece& piece : answer.pieces) {
    positions[piece.choice] += piece.positions;
    writer->Delta(piece, sink);
  }
  for (const ChoiceEnd& end : answer.ends) {
    positions[end.choice] += end.positions;
    writer->End(end, sink);
  }
  writer->Close(usage, sink);
  for (const Positions& of_one : sink.TakeDelivered()) counted[of_one.choice] += of_one.count;
  for (const auto& [choice, count] : positions) Check(counted[choice] == count);
  for (const TestSink::Frame& frame : sink.frames()) Check(!frame.bytes.empty());
  return sink.bytes();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider bytes(data, size);
  const Door& door = kDoors[bytes.ConsumeIntegralInRange<size_t>(0, std::size(kDoors) - 1)];
  const Answer answer = SomeAnswer(bytes, door.choices, door.of_chat);
  const json whole = json::parse(Written(door, answer, false), nullptr, /*allow_exceptions=*/false);
  Check(whole.is_object());
  Check(door.said(Events(Written(door, answer, true))) == door.said({whole}));
  return 0;
}
