// How a door says an answer: pieces, ends, usage and errors as the frames of its own format. One per request,
// used by the request's coroutine only; each door has its own in its folder. The pipeline calls: Begin once;
// Scores, where a prompt's were asked for, before anything of its choices; Delta and End in any mixture of
// choices, each behind SayEcho until that is done, End once for each; then Close once. Or Fail once, at any
// time, in place of all that would follow.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/core/ids.h"
#include "base/http/error_body.h"
#include "gateway/accounting/accountant.h"
#include "gateway/api/pipeline/sink.h"
#include "gateway/generation/step.h"
#include "gateway/text/text_model.h"

namespace quire::gateway {

class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  // There is something to say; of the usage the prompt is known.
  virtual void Begin(const Usage& /*usage*/, Sink& /*sink*/) {}
  virtual void Scores(const ScoredPrompt& /*prompt*/) {}
  // Says, or makes, some more of what the choice's text begins with: about a millisecond of it, for which the
  // thread's other streams wait. True: there is more. `positions`: of the Delta or End behind it, which may
  // be said with it.
  virtual bool SayEcho(uint32_t /*choice*/, uint32_t /*positions*/, Sink& /*sink*/) { return false; }
  virtual void Delta(const Piece& piece, Sink& sink) = 0;
  virtual void End(const ChoiceEnd& end, Sink& sink) = 0;
  // With the last End's positions, where that was kept back for the usage.
  virtual void Close(const Usage& usage, Sink& sink) = 0;
  // A stream that has begun.
  virtual void Fail(const http::ApiError& error, Sink& sink) = 0;
};

// What a writer knows of its answer before the first piece.
struct AnswerHead {
  RequestId id;
  std::string model;
  int64_t created_unix_s = 0;
  uint32_t choices = 1;
  bool logprobs = false;
  std::shared_ptr<const TextModel> text;
};

using MakeWriter = std::function<std::unique_ptr<AnswerWriter>(AnswerHead)>;

}  // namespace quire::gateway
