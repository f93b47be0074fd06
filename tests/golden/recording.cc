#include "tests/golden/recording.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/status.h"

namespace quire::golden {
namespace {

constexpr char kFolder[] = "tests/golden/data/models/";

absl::StatusOr<std::string> DemoModelDir() {
  const char* given = std::getenv("QUIRE_DEMO_MODEL");
  std::string dir = given != nullptr ? given : "models/smollm2-135m-instruct";
  if (std::filesystem::exists(dir + "/config.json")) return dir;
  return absl::NotFoundError(
      absl::StrCat("the demo model is not in ", dir,
                   "; run scripts/fetch-demo-model, or set QUIRE_DEMO_MODEL to its folder"));
}

}  // namespace

std::vector<int32_t> Recording::AllIds() const {
  std::vector<int32_t> ids = prompt_ids;
  ids.insert(ids.end(), greedy_ids.begin(), greedy_ids.end() - 1);
  return ids;
}

absl::StatusOr<Recording> LoadRecording(const std::string& name) {
  QUIRE_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(kFolder + name + ".json"));
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::InvalidArgumentError(name + ".json is not an object");
  Recording recording;
  recording.model_dir = kFolder + json["model"].get<std::string>();
  if (json["model"] == "") {
    QUIRE_ASSIGN_OR_RETURN(recording.model_dir, DemoModelDir());
  }
  recording.rope_scaling = json["rope_scaling"];
  recording.tokenizer_size = json["tokenizer_size"];
  recording.vocab_stride = json["vocab_stride"];
  json["prompt_ids"].get_to(recording.prompt_ids);
  json["greedy_ids"].get_to(recording.greedy_ids);
  json["margins"].get_to(recording.margins);
  json["logit_rows"].get_to(recording.logit_rows);
  recording.bf16_rms_error = json["bf16_rms_error"];
  recording.bf16_max_error = json["bf16_max_error"];
  QUIRE_ASSIGN_OR_RETURN(const std::string raw, ReadWholeFile(kFolder + name + ".f32"));
  recording.logits.resize(raw.size() / sizeof(float));
  std::memcpy(recording.logits.data(), raw.data(), raw.size());
  recording.columns = std::ssize(recording.logits) / std::ssize(recording.logit_rows);
  return recording;
}

}  // namespace quire::golden
