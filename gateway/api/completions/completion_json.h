// The pieces of JSON that a text completion is made of, streamed or whole: its head, and the
// log-probabilities of tokens as they were before there were chats, four lists beside one another. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/api/pipeline/answer_writer.h"
#include "gateway/api/pipeline/stream_fields.h"

namespace quire::gateway {

// How a request wants its answer said.
struct CompletionForm {
  UsageFrames usage_frames = UsageFrames::kOnFinish;  // of a stream
  bool tokens_as_ids = false;
  // What comes before each choice's text, by prompt: as many choices as a prompt has are of the first, then
  // as many of the second. Empty: nothing does.
  std::vector<std::string> echoes = {};

  std::string_view EchoOf(uint32_t choice, uint32_t choices) const {
    return echoes.empty() ? std::string_view() : echoes[choice * echoes.size() / choices];
  }
};

// {"id":...,"object":...,"created":...,"model":..., : what follows is the caller's.
std::string CompletionHead(const AnswerHead& head);

// A token by its text; where its bytes are none by themselves, as bytes:\xe4\xbd, so that no two are alike.
std::string TokenName(TokenId id, const Tokenizer& tokenizer, bool as_id);

// How many characters a text has.
size_t CharactersIn(std::string_view text);

// The value of "logprobs" for tokens in their order; an offset counts the characters of the choice's text
// before the token.
class TokenLists {
 public:
  // `offset`: of the piece's text.
  void Add(const Piece& piece, size_t offset, const Tokenizer& tokenizer, bool as_ids);
  std::string Json() const;

 private:
  std::string tokens_, logprobs_, tops_, offsets_;  // each with commas between, none at the ends
};

}  // namespace quire::gateway
