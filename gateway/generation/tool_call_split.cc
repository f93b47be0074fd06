#include "gateway/generation/tool_call_split.h"

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <utility>

namespace quire::gateway {
namespace {

constexpr std::string_view kOpenTag = "<tool_call>", kCloseTag = "</tool_call>",
                           kPythonTag = "<|python_tag|>";
constexpr std::string_view kSpaces = " \t\r\n";
constexpr size_t kMaxHeadBytes = 1024;

// How many of the text's last bytes begin `literal`, which is not in it.
size_t BeginningAtEnd(std::string_view text, std::string_view literal) {
  size_t length = std::min(text.size(), literal.size() - 1);
  while (!literal.starts_with(text.substr(text.size() - length))) --length;
  return length;
}

// A call up to its arguments. Scanned again from its start as it grows: it has a bound.
class CallHead {
 public:
  enum class Kind { kMore, kNone, kWithArguments, kWithout };

  CallHead(std::string_view text, const std::vector<std::string>& names) : text_(text) {
    kind_ = Scan(names);
    if (bytes() > kMaxHeadBytes) kind_ = Kind::kNone;
  }
  Kind kind() const { return kind_; }
  // Up to the arguments' {, or to what follows where there are none.
  size_t bytes() const { return kind_ == Kind::kMore ? text_.size() : at_; }
  // Of a tool; empty: it is not there yet.
  const std::string& name() const { return name_; }

 private:
  enum class Got { kIt, kMore, kOther };

  // The literal, behind white space.
  Got Take(std::string_view literal) {
    at_ = std::min(text_.find_first_not_of(kSpaces, at_), text_.size());
    const std::string_view rest = text_.substr(at_, literal.size());
    if (!literal.starts_with(rest)) return Got::kOther;
    if (rest.size() < literal.size()) return Got::kMore;
    at_ += literal.size();
    return Got::kIt;
  }
  Got TakeAll(std::initializer_list<std::string_view> literals) {
    for (const std::string_view literal : literals) {
      if (const Got got = Take(literal); got != Got::kIt) return got;
    }
    return Got::kIt;
  }
  Got TakeName(const std::vector<std::string>& names) {
    if (const Got got = TakeAll({"{", "\"name\"", ":", "\""}); got != Got::kIt) return got;
    size_t end = at_;
    while (end < text_.size() && text_[end] != '"') end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return Got::kMore;
    const auto parsed = nlohmann::json::parse(text_.substr(at_ - 1, end + 2 - at_), nullptr, false);
    const std::string name = parsed.is_string() ? parsed.get<std::string>() : "";
    if (std::find(names.begin(), names.end(), name) == names.end()) return Got::kOther;
    name_ = name;
    at_ = end + 1;
    return Got::kIt;
  }
  Got TakeArgumentsKey() {
    if (const Got got = Take(","); got != Got::kIt) return got;
    Got got = Take("\"arguments\"");
    if (got == Got::kOther) got = Take("\"parameters\"");
    return got == Got::kIt ? Take(":") : got;
  }
  static Kind KindOf(Got got) { return got == Got::kMore ? Kind::kMore : Kind::kNone; }
  Kind Scan(const std::vector<std::string>& names) {
    if (const Got got = TakeName(names); got != Got::kIt) return KindOf(got);
    if (Take("}") == Got::kIt) {
      --at_;
      return Kind::kWithout;
    }
    if (const Got got = TakeArgumentsKey(); got != Got::kIt) return KindOf(got);
    if (Take("{") == Got::kIt) {
      --at_;
      return Kind::kWithArguments;
    }
    const Got got = Take("null");
    return got == Got::kIt ? Kind::kWithout : KindOf(got);
  }

  const std::string_view text_;
  size_t at_ = 0;
  std::string name_;
  Kind kind_;
};

}  // namespace

std::vector<std::string_view> CallTags(ToolForm form) {
  switch (form) {
    case ToolForm::kHermes:
      return {kOpenTag, kCloseTag};
    case ToolForm::kLlama3:
      return {kPythonTag};
    case ToolForm::kNone:
      break;
  }
  return {};
}

ToolCallSplit::ToolCallSplit(CallRules rules)
    : rules_(std::move(rules)),
      state_(rules_.form == ToolForm::kHermes   ? State::kText
             : rules_.form == ToolForm::kLlama3 ? State::kStart
                                                : State::kRest) {}

std::vector<ToolCallSplit::Part> ToolCallSplit::Push(std::string_view text) {
  if (over()) return {};
  pending_ += text;
  while (!pending_.empty() && Step()) {
  }
  return std::exchange(parts_, {});
}

std::vector<ToolCallSplit::Part> ToolCallSplit::Finish(bool cut) {
  while (state_ == State::kHead) {
    const CallHead head(pending_, rules_.names);
    // Of Llama 3's form only the name tells a call from an answer in JSON.
    const bool is_call = !head.name().empty() || rules_.form == ToolForm::kHermes;
    if (cut && is_call) {
      if (!head.name().empty()) BeginCall(head.name());
      BreakOff();
    } else {
      Refuse();
      while (!pending_.empty() && Step()) {
      }
    }
  }
  if (state_ == State::kArguments) BreakOff();
  if (state_ == State::kStart || state_ == State::kText) SayText(pending_);
  if (!over() && !after_call_) Say(std::exchange(space_, {}));
  state_ = State::kOver;
  return std::exchange(parts_, {});
}

bool ToolCallSplit::Step() {
  switch (state_) {
    case State::kStart:
      return StepStart();
    case State::kText:
      return StepText();
    case State::kHead:
      return StepHead();
    case State::kArguments:
      return StepArguments();
    case State::kBrace:
    case State::kTag:
      return StepClosing();
    case State::kRest:
      SayText(std::exchange(pending_, {}));
      if (!after_call_) Say(std::exchange(space_, {}));
      return false;
    case State::kOver:
      break;
  }
  pending_.clear();
  return false;
}

// Whether there is anything but white space.
bool ToolCallSplit::TakeSpace() {
  const size_t count = std::min(pending_.find_first_not_of(kSpaces), pending_.size());
  space_.append(pending_, 0, count);
  pending_.erase(0, count);
  return !pending_.empty();
}

bool ToolCallSplit::StepStart() {
  if (!TakeSpace()) return false;
  if (pending_.front() == '{') {
    Open(0);
  } else if (pending_.starts_with(kPythonTag)) {
    Open(kPythonTag.size());
  } else if (kPythonTag.starts_with(pending_)) {
    return false;
  } else {
    state_ = State::kRest;
  }
  return true;
}

bool ToolCallSplit::StepText() {
  const size_t at = pending_.find(kOpenTag);
  const bool found = at != std::string::npos;
  const size_t text = found ? at : pending_.size() - BeginningAtEnd(pending_, kOpenTag);
  SayText(std::string_view(pending_).substr(0, text));
  pending_.erase(0, text);
  if (found) Open(kOpenTag.size());
  return found;
}

void ToolCallSplit::Open(size_t bytes) {
  opening_ = pending_.substr(0, bytes);
  pending_.erase(0, bytes);
  state_ = State::kHead;
}

bool ToolCallSplit::StepHead() {
  const CallHead head(pending_, rules_.names);
  switch (head.kind()) {
    case CallHead::Kind::kMore:
      return false;
    case CallHead::Kind::kNone:
      Refuse();
      return true;
    case CallHead::Kind::kWithArguments:
      pending_.erase(0, head.bytes());
      BeginCall(head.name());
      return true;
    case CallHead::Kind::kWithout:
      break;
  }
  pending_.erase(0, head.bytes());
  BeginCall(head.name());
  SayArguments("{}");
  EndCall();
  return true;
}

bool ToolCallSplit::StepArguments() {
  const size_t taken = arguments_.Push(pending_);
  if (taken > 0) SayArguments(pending_.substr(0, taken));
  pending_.erase(0, taken);
  if (arguments_.state() == JsonObjectScan::State::kClosed) EndCall();
  if (arguments_.state() == JsonObjectScan::State::kBroken) BreakOff();
  return arguments_.state() != JsonObjectScan::State::kOpen;
}

// What closes a call may be missing in part; what does not belong is text.
bool ToolCallSplit::StepClosing() {
  if (!TakeSpace()) return false;
  const bool hermes = rules_.form == ToolForm::kHermes;
  const std::string_view wanted = state_ == State::kBrace ? "}" : hermes ? kCloseTag : ";";
  if (!pending_.starts_with(wanted)) {
    if (wanted.starts_with(pending_)) return false;
    state_ = state_ == State::kBrace ? State::kTag : AfterCalls();
    return true;
  }
  space_.clear();
  if (state_ == State::kTag && !hermes) {
    Open(wanted.size());
    return true;
  }
  pending_.erase(0, wanted.size());
  state_ = state_ == State::kBrace ? State::kTag : AfterCalls();
  return true;
}

void ToolCallSplit::BeginCall(std::string name) {
  space_.clear();
  after_call_ = true;
  arguments_ = {};
  state_ = State::kArguments;
  parts_.push_back(
      {.kind = PieceKind::kToolCall, .text = {}, .call = {.index = calls_++, .name = std::move(name)}});
}

void ToolCallSplit::SayArguments(std::string text) {
  parts_.push_back({.kind = PieceKind::kToolCall, .text = std::move(text), .call = {.index = calls_ - 1}});
}

void ToolCallSplit::EndCall() {
  ++whole_calls_;
  state_ = rules_.parallel ? State::kBrace : State::kOver;
}

void ToolCallSplit::BreakOff() {
  broke_off_ = true;
  state_ = State::kOver;
}

// What was taken for a call's head is text, as the model wrote it.
void ToolCallSplit::Refuse() {
  state_ = AfterCalls();
  SayText(std::exchange(opening_, {}));
}

void ToolCallSplit::SayText(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) {
    space_ += text;
    return;
  }
  const size_t end = text.find_last_not_of(kSpaces) + 1;
  // Between calls, and behind them where no text came before, it parts nothing.
  const bool parts_texts = !after_call_ || said_text_;
  const std::string before = parts_texts ? space_ + std::string(text.substr(0, first)) : "";
  space_ = text.substr(end);
  Say(before + std::string(text.substr(first, end - first)));
  said_text_ = true;
  after_call_ = false;
}

void ToolCallSplit::Say(std::string text) {
  if (text.empty()) return;
  if (!parts_.empty() && parts_.back().kind == PieceKind::kContent) {
    parts_.back().text += text;
  } else {
    parts_.push_back({.kind = PieceKind::kContent, .text = std::move(text)});
  }
}

}  // namespace quire::gateway
