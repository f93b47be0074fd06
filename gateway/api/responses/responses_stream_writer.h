// A streamed Responses answer: typed events, numbered in sequence. Of each item its beginning, its deltas
// and, once it has ended, its whole; at the end the whole response. So the text of the answer is kept until
// then: as much as a whole answer keeps. Pure; one per request, one thread.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "gateway/api/responses/responses_json.h"

namespace quire::gateway {

class ResponsesStreamWriter final : public AnswerWriter {
 public:
  // `echo`: what the response says of its request, as an object.
  ResponsesStreamWriter(AnswerHead head, std::string echo) : head_(std::move(head)), echo_(std::move(echo)) {}

  void Begin(const Usage& usage, Sink& sink) override;
  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  void Fail(const http::ApiError& error, Sink& sink) override;

 private:
  // These add to frame_. `fields`: behind the event's type and number, with a comma before each.
  void AppendEvent(const char* type, const std::string& fields);
  void OpenItem(const Piece& piece);
  void CloseItem(bool is_whole);
  void AppendDelta(const Piece& piece);
  void AppendResponse(const char* type, const char* status, const std::string& error, const Usage* usage);
  void AppendFrame(Sink& sink);
  // ,"item_id":...,"output_index":... of the open item, and the place of its part.
  std::string Place() const;

  const AnswerHead head_;
  const std::string echo_;
  uint64_t sequence_ = 0;
  std::optional<ResponsesItem> open_;
  uint32_t items_ = 0;           // that were begun
  std::string text_, logprobs_;  // of the open item, as JSON has them
  std::string output_;           // the items that have ended
  std::string frame_;
  uint32_t positions_ = 0;  // that ride with the next frame
  ChoiceEnd end_;           // rides with the usage
  bool begun_ = false;
};

}  // namespace quire::gateway
