#include "gateway/api/pipeline/stream_fields.h"

namespace quire::gateway {

StreamWish ReadStreamFields(FieldReader& fields) {
  StreamWish wish{.stream = fields.Bool(kStream).value_or(false)};
  std::optional<FieldReader> options = fields.Object(kStreamOptions);
  if (!options) return wish;
  if (!wish.stream) fields.Fail(kStreamOptions, "it goes with \"stream\": true only");
  if (const auto include = options->Bool(kIncludeUsage)) {
    wish.usage_frames = *include ? UsageFrames::kLastChunk : UsageFrames::kNone;
  }
  options->Bool(kIncludeObfuscation);
  options->Bool(kContinuousUsage);
  return wish;
}

}  // namespace quire::gateway
