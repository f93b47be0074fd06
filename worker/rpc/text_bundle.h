// The checkpoint's text files as one message: what gateways need to turn text into this model's tokens. Read
// once at start, sent to the coordinator by Register. The same folder always gives the same bytes.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quire::worker {

struct TextBundle {
  std::string serialized;  // a quire.v1.TextBundle
  std::string digest;      // SHA-256 of it, 32 bytes
};

// NotFound names a required file that is missing: tokenizer.json and config.json.
absl::StatusOr<TextBundle> ReadTextBundle(const std::string& model_dir);
// What it holds under that name; empty: nothing.
std::string FileIn(const TextBundle& bundle, std::string_view name);

}  // namespace quire::worker
