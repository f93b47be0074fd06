#include "cli/messages.h"

#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/core/files.h"
#include "base/core/status.h"

namespace quire::cli {

void Say(const std::string& line) {
  std::printf("quire: %s\n", line.c_str());
  std::fflush(stdout);
}

std::string TextOf(const nlohmann::json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::string Readable(const std::string& line) {
  const nlohmann::json fields = nlohmann::json::parse(line, nullptr, false);
  if (!fields.is_object()) return line;
  for (const char* key : {"error", "why", "message"}) {
    if (std::string text = TextOf(fields, key); !text.empty()) return text;
  }
  return line;
}

std::string ModelNameOf(const ServeOptions& options) {
  if (!options.model_name.empty()) return options.model_name;
  return std::filesystem::weakly_canonical(options.model).filename().string();
}

absl::Status AnnounceReady(const ServeOptions& options, const std::string& api, const std::string& admin) {
  QUIRE_ASSIGN_OR_RETURN(const std::string content, ReadWholeFile(options.data + "/keys.json"));
  const nlohmann::json keys = nlohmann::json::parse(content, nullptr, false);
  const std::string url = "http://" + api, admin_url = "http://" + admin;
  const std::string model = ModelNameOf(options);
  if (!options.ready_file.empty()) {
    nlohmann::json ready;
    ready["url"] = url;
    ready["api_key"] = TextOf(keys, "api_key");
    ready["admin_url"] = admin_url;
    ready["admin_key"] = TextOf(keys, "admin_key");
    ready["model"] = model;
    QUIRE_RETURN_IF_ERROR(WriteFileAtomically(options.ready_file, ready.dump() + "\n", 0600));
  }
  Say(absl::StrCat("ready: ", url, "/v1  model ", model));
  Say(absl::StrCat("API key: ", TextOf(keys, "api_key"), "  (admin: ", admin_url, ", keys in ", options.data,
                   "/keys.json)"));
  Say(absl::StrCat("try: curl ", url, "/v1/chat/completions -H 'Authorization: Bearer ",
                   TextOf(keys, "api_key"), "' -H 'Content-Type: application/json' -d '{\"model\":\"", model,
                   "\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}'"));
  return absl::OkStatus();
}

}  // namespace quire::cli
