// The "response_format" of a chat request, and the fields that other servers have for the same: what text an
// answer is to be. Pure; part of ReadChatRequest. Whether the schema can be held to shows when a plan is
// made.
#pragma once

#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/answer_format.h"

namespace quire::gateway {

// kResponseFormat.
TextFormat ReadResponseFormat(FieldReader& fields);

}  // namespace quire::gateway
