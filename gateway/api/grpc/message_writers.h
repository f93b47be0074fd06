// A chat answer as messages of gRPC: a ChatChunk for each piece and end, or one ChatAnswer. Pure; one per
// request, one thread.
#pragma once

#include <optional>
#include <vector>

#include "gateway/api/pipeline/answer_writer.h"
#include "proto/chat.pb.h"

namespace quire::gateway {

class ChunkWriter final : public AnswerWriter {
 public:
  explicit ChunkWriter(AnswerHead head) : head_(std::move(head)) {}

  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  // The call's status says it: the sink refuses in place of this.
  void Fail(const http::ApiError& /*error*/, Sink& /*sink*/) override {}

 private:
  v1::ChatChunk Chunk(uint32_t choice) const;

  const AnswerHead head_;
  uint32_t ended_ = 0;
  std::optional<ChoiceEnd> last_;  // rides with the usage
};

class WholeMessageWriter final : public AnswerWriter {
 public:
  explicit WholeMessageWriter(AnswerHead head);

  void Delta(const Piece& piece, Sink& sink) override;
  void End(const ChoiceEnd& end, Sink& sink) override;
  void Close(const Usage& usage, Sink& sink) override;
  void Fail(const http::ApiError& /*error*/, Sink& /*sink*/) override {}

 private:
  const AnswerHead head_;
  v1::ChatAnswer answer_;
  std::vector<Positions> positions_;  // by choice
};

}  // namespace quire::gateway
