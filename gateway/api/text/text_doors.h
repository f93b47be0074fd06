// POST /tokenize, /detokenize and /apply-template: what a model's own text files make of a text, of token ids
// and of a conversation, before anything is generated; bodies and replies as vLLM has them. A prompt's ids
// are those that the door of its request takes: so the counts are those that usage will say. Pure; any
// thread.
#pragma once

#include <string_view>

#include "gateway/api/pipeline/question.h"

namespace quire::gateway {

// Each a ParseQuestion. What is encoded fits the model's context, and what is decoded has no more tokens than
// that, nor more than kMaxDecodedBytes of text.
ApiResult<Question> ParseTokenize(std::string_view body);
ApiResult<Question> ParseDetokenize(std::string_view body);
ApiResult<Question> ParseApplyTemplate(std::string_view body);

inline constexpr size_t kMaxDecodedBytes = 16 << 20;

}  // namespace quire::gateway
