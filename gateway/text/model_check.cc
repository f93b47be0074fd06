#include "gateway/text/model_check.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/status.h"
#include "base/core/text_files.h"
#include "gateway/text/detokenizer.h"
#include "proto/coordinator.pb.h"

namespace quire::gateway {
namespace {

constexpr char kHello[] = "Hello!";

absl::StatusOr<v1::TextBundle> ReadBundle(const std::filesystem::path& folder) {
  v1::TextBundle bundle;
  for (const TextFileName& known : kTextFiles) {  // which it needs, the model says
    absl::StatusOr<std::string> content = ReadWholeFile((folder / known.name).string());
    if (absl::IsNotFound(content.status())) continue;
    QUIRE_RETURN_IF_ERROR(content.status());
    v1::TextFile& file = *bundle.add_files();
    file.set_name(known.name);
    file.set_content(*std::move(content));
  }
  return bundle;
}

// A text must come back from its ids.
absl::Status TryTokenizer(const Tokenizer& tokenizer) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<TokenId> ids, tokenizer.Encode(kHello, Origin::kUser));
  Detokenizer detokenizer(tokenizer, /*skip_special_tokens=*/false);
  std::string text;
  for (const TokenId id : ids) text += detokenizer.Push(id);
  text += detokenizer.Flush();
  if (text == kHello) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: \"", kHello, "\" comes back as \"", text,
                                                 "\": its vocabulary lacks the tokens of some bytes"));
}

// A conversation that every template takes.
absl::Status TryTemplate(const TextModel& model) {
  const ChatTurn hello{"user", kHello};
  QUIRE_ASSIGN_OR_RETURN(const OriginText prompt, model.RenderChat({&hello, 1}));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<TokenId> ids, model.tokenizer().Encode(prompt));
  return ids.empty() ? absl::InvalidArgumentError("the prompt is empty") : absl::OkStatus();
}

const char* TemplatePlace(const v1::TextBundle& bundle) {
  const bool own_file = std::any_of(bundle.files().begin(), bundle.files().end(),
                                    [](const v1::TextFile& file) { return file.name() == kTemplateFile; });
  return own_file ? kTemplateFile : "tokenizer_config.json";
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TextModel>> LoadTextModel(const v1::TextBundle& bundle) {
  QUIRE_ASSIGN_OR_RETURN(std::shared_ptr<const TextModel> model, TextModel::Create(bundle));
  QUIRE_RETURN_IF_ERROR(TryTokenizer(model->tokenizer()));
  if (model->chat_template() == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("the model has no chat template (", kTemplateFile,
                                                   ", or chat_template in tokenizer_config.json), and chats "
                                                   "are all that is served: fetch the files that "
                                                   "are missing, or take a model for chats"));
  }
  const absl::Status rendered = TryTemplate(*model);
  if (rendered.ok()) return model;
  return absl::InvalidArgumentError(absl::StrCat(TemplatePlace(bundle), ": a chat of \"", kHello,
                                                 "\" can't be rendered: ", MessageOf(rendered)));
}

absl::StatusOr<std::string> CheckModelFolder(const std::string& folder) {
  std::error_code error;
  const std::filesystem::file_type type = std::filesystem::status(folder, error).type();
  if (type == std::filesystem::file_type::none) {
    return absl::InvalidArgumentError(absl::StrCat(folder, ": it can't be looked at: ", error.message()));
  }
  if (type != std::filesystem::file_type::directory) {
    return absl::InvalidArgumentError(absl::StrCat(folder, ": there is no such folder"));
  }
  QUIRE_ASSIGN_OR_RETURN(const v1::TextBundle bundle, ReadBundle(folder));
  const absl::StatusOr<std::shared_ptr<const TextModel>> model = LoadTextModel(bundle);
  if (!model.ok()) return absl::InvalidArgumentError(absl::StrCat(folder, ": ", MessageOf(model.status())));
  return absl::StrCat("OK: ", folder, ": a tokenizer of ", (*model)->tokenizer().vocabulary_size(),
                      " ids, a chat template");
}

}  // namespace quire::gateway
