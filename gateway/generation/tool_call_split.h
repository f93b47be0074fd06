// Tells a choice's content apart: text, and calls of tools as the model's chat template taught it to write
// them. By text, so that a tag is one whether the vocabulary has a token for it or not. Pure; one per choice,
// part of its ChoiceBuffer. Always: a function of the text so far, however it came in pieces; arguments are
// the model's own bytes and, of a whole call, one JSON object; what begins like a call and is none is text,
// as the model wrote it; no more is held back than may still be either: the head of a call (up to 1 KiB), a
// part of a tag, white space.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/generation/json_object_scan.h"
#include "gateway/generation/step.h"
#include "gateway/text/tool_form.h"

namespace quire::gateway {

struct CallRules {
  ToolForm form = ToolForm::kNone;  // kNone: content is text
  std::vector<std::string> names;   // a call of another tool is text
  bool parallel = true;             // false: nothing comes behind the first whole call
};

// The literals that are markup in that form: kept as text where they are special tokens.
std::vector<std::string_view> CallTags(ToolForm form);

class ToolCallSplit {
 public:
  explicit ToolCallSplit(CallRules rules);

  struct Part {
    PieceKind kind = PieceKind::kContent;  // or kToolCall
    std::string text;
    CallPart call = {};
  };
  std::vector<Part> Push(std::string_view text);
  // No more text comes: what was held back. `cut`: the model would have gone on, so that a call that has
  // begun is no text.
  std::vector<Part> Finish(bool cut);

  // Nothing more is taken: the one call that there may be is whole, or a call broke off.
  bool over() const { return state_ == State::kOver; }
  // A call's arguments stopped being JSON, or it was cut.
  bool broke_off() const { return broke_off_; }
  uint32_t whole_calls() const { return whole_calls_; }

 private:
  enum class State : uint8_t {
    kStart,      // Llama 3's form: only here a first call may begin
    kText,       // Hermes' form: a tag may come
    kHead,       // behind what opens a call: {"name": N, "arguments":
    kArguments,  // their object
    kBrace,      // behind them: }
    kTag,        // behind that: </tool_call>, or ; and another call
    kRest,       // text to the end
    kOver,
  };

  // One step on what is pending; whether another may follow.
  bool Step();
  bool StepStart();
  bool StepText();
  bool StepHead();
  bool StepArguments();
  bool StepClosing();
  bool TakeSpace();
  void Open(size_t bytes);
  void BeginCall(std::string name);
  void SayArguments(std::string text);
  void EndCall();
  void BreakOff();
  void Refuse();
  void SayText(std::string_view text);
  void Say(std::string text);
  State AfterCalls() const { return rules_.form == ToolForm::kHermes ? State::kText : State::kRest; }

  const CallRules rules_;
  State state_;
  std::string pending_;  // what was not taken yet
  std::string space_;    // white space that is text only if text follows
  std::string opening_;  // what opened the call whose head is pending
  JsonObjectScan arguments_;
  bool said_text_ = false;
  bool after_call_ = false;  // no text since the last call
  uint32_t calls_ = 0;       // begun
  uint32_t whole_calls_ = 0;
  bool broke_off_ = false;
  std::vector<Part> parts_;
};

}  // namespace quire::gateway
