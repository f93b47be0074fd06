// The pieces of JSON that a text completion is made of, streamed or whole: its head, and the
// log-probabilities of tokens as they were before there were chats, four lists beside one another. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/api/pipeline/answer_writer.h"
#include "gateway/api/pipeline/stream_fields.h"
#include "gateway/text/detokenizer.h"

namespace quire::gateway {

// How a request wants its answer said.
struct CompletionForm {
  UsageFrames usage_frames = UsageFrames::kOnFinish;  // of a stream
  bool tokens_as_ids = false;
  // What comes before each choice's text, by prompt: as many choices as a prompt has are of the first, then
  // as many of the second. Empty: nothing does.
  struct Echo {
    std::string text;
    // Of its tokens the first ones, which the tokenizer puts before a text, and which are no part of it.
    size_t silent = 0;
    std::shared_ptr<const PromptScores> scores =
        nullptr;  // then these tokens' text is said, in place of `text`
  };
  std::vector<Echo> echoes = {};

  // Null where nothing is echoed.
  Echo* EchoOf(uint32_t choice, uint32_t choices) {
    return echoes.empty() ? nullptr : &echoes[choice * echoes.size() / choices];
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
  // A prompt's token; of its first there is no logprob.
  void Add(const PromptScores& prompt, size_t position, size_t offset, const Tokenizer& tokenizer,
           bool as_ids);
  std::string Json() const;

 private:
  void Append(std::string_view logprob, std::string_view top, const std::string& name, size_t offset);

  std::string tokens_, logprobs_, tops_, offsets_;  // each with commas between, none at the ends
  bool has_tops_ = false;
};

// Of a scored prompt, said or made at once: a chunk of a stream, and a millisecond's work or two.
inline constexpr size_t kScoredTokensAtOnce = 512;

// A scored prompt as its choice says it: text and lists, so many tokens at a time, from the first one on. A
// token that goes on in the midst of a character stands where that does.
class EchoedPrompt {
 public:
  // All outlive it.
  EchoedPrompt(const CompletionForm::Echo& echo, const Tokenizer& tokenizer, bool as_ids)
      : echo_(echo), tokenizer_(tokenizer), as_ids_(as_ids), detokenizer_(tokenizer, false) {}

  bool done() const { return next_ >= echo_.scores->ids().size(); }
  // Their text.
  std::string Take(size_t tokens, TokenLists& lists);
  // Of the text so far.
  size_t characters() const { return characters_; }

 private:
  const CompletionForm::Echo& echo_;
  const Tokenizer& tokenizer_;
  const bool as_ids_;
  Detokenizer detokenizer_;
  size_t next_ = 0, characters_ = 0;
};

}  // namespace quire::gateway
