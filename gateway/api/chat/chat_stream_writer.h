// A streamed chat answer as server-sent events, as the hosted page shows them: for each choice its role, its
// reasoning, its text and calls of tools, and its finish_reason, then the usage where it was asked for, then
// [DONE]. Everything that is the same in each event is made once, so that a token costs one escape and one
// append. Pure; one per request, one thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/api/chat/chat_json.h"
#include "gateway/api/pipeline/answer_writer.h"

namespace quire::gateway {

class ChatStreamWriter final : public AnswerWriter {
 public:
  ChatStreamWriter(const AnswerHead& head, const ChatForm& form);

  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  void Fail(const http::ApiError& error, Sink& sink) override;

 private:
  struct Choice {
    std::string start;  // of each of its chunks, up to the delta
    bool begun = false;
    uint32_t excluded = 0;  // positions of reasoning that is left out: they ride with its next frame
  };

  void BeginChoice(Choice& choice, Sink& sink) const;
  // Into frame_: what the delta has of the piece.
  void AppendPart(const Piece& piece);
  std::string Finish(const ChoiceEnd& end) const;
  // Those of a choice's frame that has so many of its own.
  Positions Counted(uint32_t choice, uint32_t positions);

  const ChatForm form_;
  const RequestId id_;
  const std::shared_ptr<const TextModel> text_;
  const std::string head_, chunk_end_;
  std::vector<Choice> choices_;
  uint32_t ended_ = 0;
  std::optional<ChoiceEnd> last_;  // rides with the usage
  std::string frame_;
};

}  // namespace quire::gateway
