// The pieces of JSON that a Messages answer is made of, streamed or whole. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "gateway/accounting/accountant.h"
#include "gateway/api/pipeline/answer_writer.h"

namespace quire::gateway {

// How a request wants its answer said.
struct MessagesForm {
  std::vector<std::string> stops;
  bool tells_cached = false;
  bool omits_thinking = false;
};

// {"id":...,"type":"message","role":"assistant","model":..., : what follows is the caller's.
std::string MessageHead(const AnswerHead& head);

// Whether they are parts of one block.
bool SameBlock(const Piece& a, const Piece& b);
// The block that this piece begins, up to where its text stands: {"type":"text","text":"
std::string BlockStart(const Piece& piece, const AnswerHead& head);

// What stands for a proof that thinking is the model's. Nothing is made of it: a client sends it back with
// the thinking, which is no part of a prompt.
std::string ThinkingSignature(const AnswerHead& head);

// "stop_reason":...,"stop_sequence":...
std::string StopJson(const ChoiceEnd& end, const MessagesForm& form);

// Of a whole answer, with what more there is to say of its end, or of one that begins: the prompt alone.
std::string MessagesUsage(const Usage& usage, const ChoiceEnd& end, const MessagesForm& form);
std::string MessagesPromptUsage(const Usage& usage, const MessagesForm& form);

}  // namespace quire::gateway
