#include "gateway/text/model_check.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/status.h"
#include "gateway/text/text_model.h"
#include "proto/coordinator.pb.h"

namespace quire::gateway {
namespace {

constexpr const char* kFiles[] = {"config.json", "generation_config.json", "tokenizer.json",
                                  "tokenizer_config.json", "chat_template.jinja"};

absl::StatusOr<v1::TextBundle> ReadBundle(const std::filesystem::path& folder) {
  v1::TextBundle bundle;
  for (const char* name : kFiles) {
    if (!std::filesystem::exists(folder / name)) continue;
    QUIRE_ASSIGN_OR_RETURN(std::string content, ReadWholeFile((folder / name).string()));
    v1::TextFile& file = *bundle.add_files();
    file.set_name(name);
    file.set_content(std::move(content));
  }
  return bundle;
}

// A conversation that every template takes.
absl::Status Probe(const TextModel& model) {
  if (model.chat_template() == nullptr) return absl::OkStatus();
  const ChatTurn hello{"user", "Hello!"};
  QUIRE_ASSIGN_OR_RETURN(const OriginText prompt, model.RenderChat({&hello, 1}));
  return model.tokenizer().Encode(prompt).status();
}

}  // namespace

absl::Status CheckModelFolder(const std::string& folder) {
  if (!std::filesystem::is_directory(folder)) {
    return absl::NotFoundError(absl::StrCat(folder, ": there is no such folder"));
  }
  QUIRE_ASSIGN_OR_RETURN(const v1::TextBundle bundle, ReadBundle(folder));
  const absl::StatusOr<std::shared_ptr<const TextModel>> model = TextModel::Create(bundle);
  if (!model.ok()) return absl::InvalidArgumentError(absl::StrCat(folder, ": ", MessageOf(model.status())));
  const absl::Status rendered = Probe(**model);
  if (rendered.ok()) return absl::OkStatus();
  const bool has_file = std::filesystem::exists(std::filesystem::path(folder) / "chat_template.jinja");
  return absl::InvalidArgumentError(absl::StrCat(folder, "/",
                                                 has_file ? "chat_template.jinja" : "tokenizer_config.json",
                                                 ": \"Hello!\" can't be rendered: ", MessageOf(rendered)));
}

}  // namespace quire::gateway
