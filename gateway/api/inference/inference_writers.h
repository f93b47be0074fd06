// Answers in the hosted original's own form: a whole one with its status and results, and a stream of an
// event for each token, the last of which has all of the text and why it ended; no [DONE] follows, which
// readers of such streams would take for broken JSON. One per request, one thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/api/pipeline/answer_writer.h"

namespace quire::gateway {

class InferenceWholeWriter final : public AnswerWriter {
 public:
  explicit InferenceWholeWriter(AnswerHead head) : head_(std::move(head)), choices_(head_.choices) {}

  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  // Never called: an error is then the whole answer.
  void Fail(const http::ApiError& error, Sink& sink) override;

 private:
  struct Part {
    std::string text;
    uint32_t positions = 0;
  };
  struct Choice {
    std::vector<Part> parts;
    ChoiceEnd end;
  };

  const AnswerHead head_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::vector<Choice> choices_;
};

// Of a job that has no answer: queued, or failed, then with the error.
std::string InferenceJobJson(const RequestId& id, std::string_view status, int64_t runtime_ms,
                             const http::ApiError* error);

// Of one choice.
class InferenceStreamWriter final : public AnswerWriter {
 public:
  explicit InferenceStreamWriter(AnswerHead head) : head_(std::move(head)) {}

  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  void Fail(const http::ApiError& error, Sink& sink) override;

 private:
  const AnswerHead head_;
  std::string text_;
  ChoiceEnd end_;
};

}  // namespace quire::gateway
