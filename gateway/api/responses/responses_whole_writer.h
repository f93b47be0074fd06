// A whole Responses answer: the body of a reply that is not streamed. It keeps the pieces until the end, then
// appends them one by one, so that each token is counted with its own bytes. Pure; one per request, one
// thread.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gateway/api/responses/responses_json.h"

namespace quire::gateway {

class ResponsesWholeWriter final : public AnswerWriter {
 public:
  ResponsesWholeWriter(AnswerHead head, std::string echo) : head_(std::move(head)), echo_(std::move(echo)) {}

  void Delta(const Piece& piece, Sink& /*sink*/) override { pieces_.push_back(piece); }
  void End(const ChoiceEnd& end, Sink& /*sink*/) override { end_ = end; }
  void Close(const Usage& usage, Sink& sink) override;
  // Never called: an error is then the whole answer.
  void Fail(const http::ApiError& error, Sink& sink) override;

 private:
  void AppendItem(const ResponsesItem& item, std::span<const Piece> pieces, bool is_whole, Sink& sink) const;

  const AnswerHead head_;
  const std::string echo_;
  std::vector<Piece> pieces_;
  ChoiceEnd end_;
};

}  // namespace quire::gateway
