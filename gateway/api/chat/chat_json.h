// The pieces of JSON that a chat answer is made of, streamed or whole: its head, its usage, the
// log-probabilities of tokens. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gateway/accounting/accountant.h"
#include "gateway/api/chat/chat_request.h"
#include "gateway/api/pipeline/answer_writer.h"

namespace quire::gateway {

// How a request wants its answer said.
struct ChatForm {
  UsageFrames usage_frames = UsageFrames::kOnFinish;  // of a stream
  bool exclude_reasoning = false;                     // its tokens count all the same
};

// {"id":...,"object":...,"created":...,"model":..., : what follows is the caller's.
std::string ChatHead(const AnswerHead& head, std::string_view object);

std::string UsageJson(const Usage& usage);

// Nano-dollars as dollars: the double nearest to nano/1e9, in the fewest digits that read back as it, so that
// a client's Decimal shows the ledger's own number. (Multiplying by 1e-9 gives another double in two cases of
// five.)
std::string CostUsd(int64_t nano_usd);

// In the fewest digits that read back as it.
std::string FloatJson(float value);

// "stop" or "length": an answer that the spend cap ended is cut like one that max_tokens ended.
const char* FinishReasonOf(Ending::Kind kind);
// The same, or "tool_calls" where that is why it stopped.
const char* FinishReasonOf(const ChoiceEnd& end);

// The id of a choice's call: the same wherever and however often it is said.
std::string CallIdOf(const RequestId& id, uint32_t choice, uint32_t index);

// What a token's bytes are as text: U+FFFD where they are none by themselves.
std::string TokenAsText(TokenId id, const Tokenizer& tokenizer);

// The name of the field for text of that kind, in a message and in a delta; not of calls.
const char* FieldOf(PieceKind kind);

// Of a call's first piece: "id":...,"type":"function","function":{"name":...,"arguments":" ; then its text,
// the texts of its other pieces, and kCallEnd.
std::string CallStart(const RequestId& id, const Piece& piece);
inline constexpr std::string_view kCallEnd = "\"}}";

// "finish_reason":..., and for an answer that the loop guard ended "finish_details".
std::string FinishJson(const ChoiceEnd& end);

// The entries of "logprobs.content" for these tokens, with commas between them: "token" is what its bytes are
// as text (U+FFFD where they are none by themselves), "bytes" are its own.
std::string LogprobEntries(const std::vector<SampledToken>& tokens, const Tokenizer& tokenizer);

}  // namespace quire::gateway
