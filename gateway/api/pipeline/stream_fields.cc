#include "gateway/api/pipeline/stream_fields.h"

namespace quire::gateway {

StreamWish ReadStreamFields(FieldReader& fields, std::optional<http::ApiError>& error) {
  StreamWish wish{.stream = fields.Bool("stream").value_or(false)};
  const nlohmann::ordered_json* options = fields.Find("stream_options");
  if (options == nullptr) return wish;
  if (!options->is_object()) {
    fields.Fail("stream_options", "give an object");
  } else if (!wish.stream) {
    fields.Fail("stream_options", "it goes with \"stream\": true only");
  }
  if (fields.failed()) return wish;
  FieldReader option_fields(*options, "stream_options.", error);
  if (const auto include = option_fields.Bool("include_usage")) {
    wish.usage_frames = *include ? UsageFrames::kLastChunk : UsageFrames::kNone;
  }
  option_fields.Bool("include_obfuscation");
  if (option_fields.Bool("continuous_usage_stats").value_or(false)) {
    option_fields.Unsupported("continuous_usage_stats", "leave it out or give false");
  }
  return wish;
}

}  // namespace quire::gateway
