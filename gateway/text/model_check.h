// Whether a model can be spoken for: its text model, made of its files and tried on a short conversation, so
// that a bad tokenizer or template, or none, is refused at once and not at every request. The catalog loads
// each bundle by LoadTextModel, and `quire-gateway --check DIR` a folder, where the operator looks. Any
// thread. Always: the error names the file and what is wrong in it.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/text/text_model.h"

namespace quire::gateway {

// INVALID_ARGUMENT where the files can't be used: the same files will never do.
absl::StatusOr<std::shared_ptr<const TextModel>> LoadTextModel(const v1::TextBundle& bundle);

// The same of the files in a checkpoint's folder; one line that says so, or the error.
absl::StatusOr<std::string> CheckModelFolder(const std::string& folder);

}  // namespace quire::gateway
