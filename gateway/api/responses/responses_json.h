// The pieces of JSON that a Responses answer is made of, streamed or whole: the response, its items, its
// usage. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "gateway/accounting/accountant.h"
#include "gateway/api/pipeline/answer_writer.h"

namespace quire::gateway {

// One of a response's output: reasoning, a message, or a call of a function.
struct ResponsesItem {
  PieceKind kind = PieceKind::kContent;
  uint32_t call = 0;      // of a kToolCall: its index
  std::string id = {};    // of the item
  std::string name = {};  // of a call's function
  uint32_t place = 0;     // in the output
};

// Whether a piece goes on with it.
bool GoesOn(const ResponsesItem& item, const Piece& piece);
ResponsesItem ItemOf(const Piece& piece, uint32_t place, const AnswerHead& head);

// An item, whole: what is before its text, and what is behind; `logprobs` are those of a message's tokens.
std::string ItemStart(const ResponsesItem& item, const AnswerHead& head);
std::string ItemEnd(const ResponsesItem& item, std::string_view logprobs, bool is_whole);
// One that has just begun.
std::string NewItem(const ResponsesItem& item, const AnswerHead& head);
// Of what is not a call: the part that has its text.
std::string ItemPart(const ResponsesItem& item, std::string_view escaped_text, std::string_view logprobs);

// The response up to its output's items: {"id":...,"output":[ ; `end`: why it is incomplete, if it is;
// `echo`: of the request, as an object.
std::string ResponseStart(const AnswerHead& head, std::string_view status, std::string_view error,
                          const ChoiceEnd& end, const std::string& echo);
// "usage":null}, or with it.
std::string ResponseEnd(const Usage* usage);

// "completed" or "incomplete".
const char* StatusOf(const ChoiceEnd& end);

}  // namespace quire::gateway
