// A whole Messages answer: the body of a reply that is not streamed. It keeps the pieces until the end, then
// appends them one by one, so that each token is counted with its own bytes. Pure; one per request, one
// thread.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "gateway/api/messages/messages_json.h"

namespace quire::gateway {

class MessagesWholeWriter final : public AnswerWriter {
 public:
  MessagesWholeWriter(AnswerHead head, MessagesForm form) : head_(std::move(head)), form_(std::move(form)) {}

  void Delta(const Piece& piece, Sink& /*sink*/) override { pieces_.push_back(piece); }
  void End(const ChoiceEnd& end, Sink& /*sink*/) override { end_ = end; }
  void Close(const Usage& usage, Sink& sink) override;
  // Never called: an error is then the whole answer.
  void Fail(const http::ApiError& error, Sink& sink) override;

 private:
  // Of the pieces of one block.
  void AppendText(std::span<const Piece> pieces, Sink& sink) const;
  void AppendCall(std::span<const Piece> pieces, Sink& sink) const;

  const AnswerHead head_;
  const MessagesForm form_;
  std::vector<Piece> pieces_;
  ChoiceEnd end_;
};

}  // namespace quire::gateway
