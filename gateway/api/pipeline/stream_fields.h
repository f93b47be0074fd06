// How a client of OpenAI's API wants its answer streamed: "stream" and "stream_options", as every door of it
// reads them. Pure; part of a parse.
#pragma once

#include "gateway/api/field_reader.h"
#include "gateway/api/pipeline/declared_fields.h"

namespace quire::gateway {

enum class UsageFrames {
  kOnFinish,   // stream_options absent: usage rides on the chunk with the finish_reason
  kLastChunk,  // include_usage: a last chunk of its own with no choices
  kNone,       // include_usage: false
};

struct StreamWish {
  bool stream = false;
  UsageFrames usage_frames = UsageFrames::kOnFinish;
};

// kStreamFields.
StreamWish ReadStreamFields(FieldReader& fields);

}  // namespace quire::gateway
