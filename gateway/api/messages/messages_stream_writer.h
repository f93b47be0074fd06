// A streamed Messages answer as server-sent events: message_start, for each block its start, its deltas and
// its stop, then message_delta with the reason and the usage, then message_stop. Everything that is the same
// in each delta of a block is made once. Pure; one per request, one thread.
#pragma once

#include <optional>
#include <string>

#include "gateway/api/messages/messages_json.h"

namespace quire::gateway {

class MessagesStreamWriter final : public AnswerWriter {
 public:
  MessagesStreamWriter(AnswerHead head, MessagesForm form) : head_(std::move(head)), form_(std::move(form)) {}

  void Begin(const Usage& usage, Sink& sink) override;
  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  void Fail(const http::ApiError& error, Sink& sink) override;

 private:
  // Both add their events to frame_.
  void OpenBlock(const Piece& piece);
  void CloseBlock();
  void AppendFrame(Sink& sink);

  const AnswerHead head_;
  const MessagesForm form_;
  std::optional<Piece> open_;  // the first of the block's, without its text
  uint32_t blocks_ = 0;        // that were begun
  std::string delta_start_;    // of the open block's
  std::string frame_;
  uint32_t positions_ = 0;  // that ride with the next frame
  ChoiceEnd end_;           // rides with the usage
};

}  // namespace quire::gateway
