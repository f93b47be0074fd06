#include "gateway/api/messages/messages_json.h"

#include "absl/strings/str_cat.h"
#include "base/core/json_text.h"
#include "gateway/api/chat/chat_json.h"

namespace quire::gateway {
namespace {

// Without "cache_control" Anthropic's API caches nothing, and says the same of the same prompt each time.
std::string PromptCounts(const Usage& usage, const MessagesForm& form) {
  const uint64_t cached = form.tells_cached ? usage.counts.cached : 0;
  return absl::StrCat("\"input_tokens\":", usage.counts.prompt - cached,
                      ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":", cached);
}

// More tokens would not help: not to be taken for max_tokens.
constexpr const char* kLoopDetails = ",\"finish_details\":{\"type\":\"loop\"}";

// Calls are to be answered, whatever came behind them.
const char* StopReasonOf(const ChoiceEnd& end) {
  if (end.kind != Ending::Kind::kStop) return "max_tokens";
  if (end.called_tools) return "tool_use";
  return end.stop ? "stop_sequence" : "end_turn";
}

}  // namespace

std::string MessageHead(const AnswerHead& head) {
  return absl::StrCat(R"({"id":"msg_)", head.id.ToHex(), R"(","type":"message","role":"assistant","model":)",
                      JsonQuoted(head.model), ",");
}

bool SameBlock(const Piece& a, const Piece& b) {
  return a.kind == b.kind && (a.kind != PieceKind::kToolCall || a.call.index == b.call.index);
}

std::string BlockStart(const Piece& piece, const AnswerHead& head) {
  if (piece.kind == PieceKind::kReasoning) return R"({"type":"thinking","thinking":")";
  if (piece.kind == PieceKind::kContent) return R"({"type":"text","text":")";
  return absl::StrCat(R"({"type":"tool_use","id":"toolu_)", head.id.ToHex(),
                      absl::Dec(piece.call.index, absl::kZeroPad2), R"(","name":)",
                      JsonQuoted(piece.call.name), R"(,"input":)");
}

std::string ThinkingSignature(const AnswerHead& head) { return head.id.ToHex(); }

std::string StopJson(const ChoiceEnd& end, const MessagesForm& form) {
  const bool by_string = end.kind == Ending::Kind::kStop && end.stop && !end.called_tools;
  return absl::StrCat("\"stop_reason\":\"", StopReasonOf(end),
                      "\",\"stop_sequence\":", by_string ? JsonQuoted(form.stops.at(*end.stop)) : "null");
}

std::string MessagesPromptUsage(const Usage& usage, const MessagesForm& form) {
  return absl::StrCat("{", PromptCounts(usage, form), ",\"output_tokens\":0}");
}

std::string MessagesUsage(const Usage& usage, const ChoiceEnd& end, const MessagesForm& form) {
  return absl::StrCat("{", PromptCounts(usage, form), ",\"output_tokens\":", usage.counts.completion,
                      ",\"output_tokens_details\":{\"thinking_tokens\":", usage.reasoning_tokens,
                      "},\"quire\":{\"estimated_cost\":", CostUsd(usage.cost_nano_usd),
                      ",\"cached_tokens\":", usage.counts.cached, end.loop ? kLoopDetails : "", "}}");
}

}  // namespace quire::gateway
