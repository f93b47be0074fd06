#include "cli/messages.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

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
  for (const char* key : {"error", "why", "reason", "message"}) {
    if (std::string text = TextOf(fields, key); !text.empty()) return text;
  }
  return line;
}

std::string WhyLost(const nlohmann::json& group_lost) {
  const std::string why = TextOf(group_lost, "why"), last_line = Readable(TextOf(group_lost, "last_line"));
  return last_line.empty() || last_line == why ? why : absl::StrCat(why, ": ", last_line);
}

namespace {

// Null where the operator took the file away.
absl::StatusOr<nlohmann::json> FirstKeys(const std::string& data) {
  const absl::StatusOr<std::string> content = ReadWholeFile(data + "/keys.json");
  if (absl::IsNotFound(content.status())) return nlohmann::json();
  if (!content.ok()) return content.status();
  return nlohmann::json::parse(*content, nullptr, false);
}

}  // namespace

absl::Status AnnounceReady(const ServeOptions& options, const std::string& api, const std::string& admin) {
  QUIRE_ASSIGN_OR_RETURN(const nlohmann::json keys, FirstKeys(options.data));
  const std::string url = "http://" + api, admin_url = "http://" + admin, model = options.ModelName();
  if (!options.ready_file.empty()) {
    nlohmann::json ready = nlohmann::json::object();
    ready["url"] = url;
    ready["admin_url"] = admin_url;
    ready["model"] = model;
    for (const char* key : {"api_key", "admin_key"}) {
      if (std::string text = TextOf(keys, key); !text.empty()) ready[key] = std::move(text);
    }
    QUIRE_RETURN_IF_ERROR(WriteFileAtomically(options.ready_file, ready.dump() + "\n", 0600));
  }
  const bool show_key = isatty(STDOUT_FILENO) == 1 && keys.is_object();
  const std::string key = show_key ? TextOf(keys, "api_key") : "$KEY";
  Say(absl::StrCat("ready: ", url, "/v1  model ", model, "  (admin: ", admin_url, ")"));
  Say(keys.is_object()
          ? absl::StrCat(show_key ? "API key: " + key + "  " : "", "keys are in ", options.data, "/keys.json")
          : absl::StrCat("keys: those that you have; ", options.data, "/keys.json is gone"));
  Say(absl::StrCat("try: curl ", url, "/v1/chat/completions -H \"Authorization: Bearer ", key,
                   "\" -H 'Content-Type: application/json' -d '{\"model\":\"", model,
                   "\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello!\"}]}'"));
  return absl::OkStatus();
}

}  // namespace quire::cli
