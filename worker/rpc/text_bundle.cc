#include "worker/rpc/text_bundle.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/hash.h"
#include "base/core/status.h"
#include "base/core/text_files.h"
#include "proto/coordinator.pb.h"

namespace quire::worker {

absl::StatusOr<TextBundle> ReadTextBundle(const std::string& model_dir) {
  v1::TextBundle message;
  for (const TextFileName& file : kTextFiles) {
    absl::StatusOr<std::string> content = ReadWholeFile(absl::StrCat(model_dir, "/", file.name));
    if (absl::IsNotFound(content.status()) && !file.required) continue;
    if (absl::IsNotFound(content.status())) {
      return absl::NotFoundError(absl::StrCat(model_dir, " has no ", file.name,
                                              "; --model must name a Hugging Face checkpoint folder"));
    }
    if (!content.ok()) return content.status();
    v1::TextFile* entry = message.add_files();
    entry->set_name(file.name);
    entry->set_content(*std::move(content));
  }
  TextBundle bundle;
  bundle.serialized = message.SerializeAsString();
  bundle.digest = ToBytes(Sha256(bundle.serialized));
  return bundle;
}

std::string FileIn(const TextBundle& bundle, std::string_view name) {
  v1::TextBundle message;
  if (!message.ParseFromString(bundle.serialized)) return "";
  for (v1::TextFile& file : *message.mutable_files()) {
    if (file.name() == name) return std::move(*file.mutable_content());
  }
  return "";
}

}  // namespace quire::worker
