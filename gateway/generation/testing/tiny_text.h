// For tests only: a text bundle whose token ids are bytes, so that a test can write down any token stream by
// hand. Ids 0 to 255 are the bytes, 256 is <|im_start|>, 257 is <|im_end|> (the end-of-sequence token).
#pragma once

#include <string>
#include <vector>

#include "base/core/ids.h"
#include "proto/coordinator.pb.h"

namespace quire::gateway::testing {

inline constexpr TokenId kTinyEos = 257;
inline constexpr TokenId kTinyVocabulary = 258;

std::string TinyTokenizerJson();
v1::TextBundle TinyBundle();
// The same with further tokens, from id 258 on.
v1::TextBundle TinyBundleWith(const std::vector<std::string>& added);

// The same, whose template takes no system message: there is no place for tools.
v1::TextBundle TinyBundleWithoutSystem();

// The same with <think> (258) and </think> (259), whose template begins to reason in each answer, as QwQ's
// does.
v1::TextBundle TinyReasoningBundle();

// The same with <tool_call> (258) and </tool_call> (259), whose template takes tools in Hermes' form.
v1::TextBundle TinyToolBundle(bool special = false);

// The tokens of a text: its bytes.
std::vector<TokenId> TinyIds(const std::string& text);

}  // namespace quire::gateway::testing
