#include "gateway/api/responses/responses_json.h"

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/json_text.h"
#include "gateway/api/chat/chat_json.h"

namespace quire::gateway {
namespace {

const char* PrefixOf(PieceKind kind) {
  if (kind == PieceKind::kToolCall) return "fc_";
  return kind == PieceKind::kReasoning ? "rs_" : "msg_";
}

// Of a loop more tokens would not help: not to be taken for max_output_tokens.
const char* DetailsOf(const ChoiceEnd& end) {
  return end.loop ? R"({"reason":"max_output_tokens","finish_details":{"type":"loop"}})"
                  : R"({"reason":"max_output_tokens"})";
}

}  // namespace

bool GoesOn(const ResponsesItem& item, const Piece& piece) {
  return item.kind == piece.kind && (item.kind != PieceKind::kToolCall || item.call == piece.call.index);
}

ResponsesItem ItemOf(const Piece& piece, uint32_t place, const AnswerHead& head) {
  return {.kind = piece.kind,
          .call = piece.call.index,
          .id = absl::StrCat(PrefixOf(piece.kind), head.id.ToHex(), absl::Dec(place, absl::kZeroPad2)),
          .name = piece.call.name,
          .place = place};
}

std::string ItemStart(const ResponsesItem& item, const AnswerHead& head) {
  const std::string start = absl::StrCat("{\"id\":\"", item.id, "\",\"type\":");
  switch (item.kind) {
    case PieceKind::kReasoning:
      return start + R"("reasoning","summary":[],"content":[{"type":"reasoning_text","text":")";
    case PieceKind::kToolCall:
      return absl::StrCat(start, R"("function_call","call_id":"call_)", head.id.ToHex(),
                          absl::Dec(item.call, absl::kZeroPad2), R"(","name":)", JsonQuoted(item.name),
                          R"(,"arguments":")");
    case PieceKind::kContent:
      break;
  }
  return start + R"("message","role":"assistant","content":[{"type":"output_text","text":")";
}

std::string ItemEnd(const ResponsesItem& item, std::string_view logprobs, bool is_whole) {
  const std::string end = absl::StrCat("\"status\":\"", is_whole ? "completed" : "incomplete", "\"}");
  if (item.kind == PieceKind::kToolCall) return "\"," + end;
  if (item.kind == PieceKind::kReasoning) return "\"}]," + end;
  return absl::StrCat("\",\"annotations\":[],\"logprobs\":[", Absl(logprobs), "]}],", end);
}

std::string NewItem(const ResponsesItem& item, const AnswerHead& head) {
  constexpr std::string_view kEnd = R"(,"status":"in_progress"})";
  std::string start = ItemStart(item, head);
  if (item.kind == PieceKind::kToolCall) return absl::StrCat(start, "\"", Absl(kEnd));
  start.resize(start.rfind('[') + 1);  // what has the text is told of by itself
  return absl::StrCat(start, "]", Absl(kEnd));
}

std::string ItemPart(const ResponsesItem& item, std::string_view escaped_text, std::string_view logprobs) {
  if (item.kind == PieceKind::kReasoning) {
    return absl::StrCat(R"({"type":"reasoning_text","text":")", Absl(escaped_text), "\"}");
  }
  return absl::StrCat(R"({"type":"output_text","text":")", Absl(escaped_text),
                      R"(","annotations":[],"logprobs":[)", Absl(logprobs), "]}");
}

std::string ResponseStart(const AnswerHead& head, std::string_view status, std::string_view error,
                          const ChoiceEnd& end, const std::string& echo) {
  return absl::StrCat(R"({"id":"resp_)", head.id.ToHex(), R"(","object":"response","created_at":)",
                      head.created_unix_s, ",\"model\":", JsonQuoted(head.model), ",\"status\":\"",
                      Absl(status), "\",\"error\":", Absl(error),
                      ",\"incomplete_details\":", status == "incomplete" ? DetailsOf(end) : "null", ",",
                      echo.substr(1, echo.size() - 2), ",\"output\":[");
}

std::string ResponseEnd(const Usage* usage) {
  if (usage == nullptr) return "],\"usage\":null}";
  const TokenCounts& counts = usage->counts;
  return absl::StrCat("],\"usage\":{\"input_tokens\":", counts.prompt,
                      ",\"input_tokens_details\":{\"cached_tokens\":", counts.cached,
                      ",\"cache_write_tokens\":0},\"output_tokens\":", counts.completion,
                      ",\"output_tokens_details\":{\"reasoning_tokens\":", usage->reasoning_tokens,
                      "},\"total_tokens\":", counts.prompt + counts.completion,
                      ",\"estimated_cost\":", CostUsd(usage->cost_nano_usd), "}}");
}

const char* StatusOf(const ChoiceEnd& end) {
  return end.kind == Ending::Kind::kStop ? "completed" : "incomplete";
}

}  // namespace quire::gateway
