// A chat answer as messages of gRPC: a ChatChunk for each piece and end, or one ChatAnswer. Pure; one per
// request, one thread. Always: reasoning that is left out counts all the same.
#pragma once

#include <optional>
#include <vector>

#include "gateway/api/pipeline/answer_writer.h"
#include "proto/chat.pb.h"

namespace quire::gateway {

class ChunkWriter final : public AnswerWriter {
 public:
  ChunkWriter(AnswerHead head, bool exclude_reasoning)
      : head_(std::move(head)), exclude_reasoning_(exclude_reasoning), excluded_(head_.choices) {}

  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  // The call's status says it: the sink refuses in place of this.
  void Fail(const http::ApiError& /*error*/, Sink& /*sink*/) override {}

 private:
  v1::ChatChunk Chunk(uint32_t choice) const;
  v1::ChatChunk Finish(const ChoiceEnd& end) const;
  void Append(const v1::ChatChunk& chunk, uint32_t positions, Sink& sink);

  const AnswerHead head_;
  const bool exclude_reasoning_;
  std::vector<uint32_t> excluded_;  // positions that ride with the choice's next chunk
  uint32_t ended_ = 0;
  std::optional<ChoiceEnd> last_;  // rides with the usage
};

class WholeMessageWriter final : public AnswerWriter {
 public:
  WholeMessageWriter(AnswerHead head, bool exclude_reasoning);

  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  void Fail(const http::ApiError& /*error*/, Sink& /*sink*/) override {}

 private:
  const AnswerHead head_;
  const bool exclude_reasoning_;
  v1::ChatAnswer answer_;
  std::vector<Positions> positions_;  // by choice
};

}  // namespace quire::gateway
