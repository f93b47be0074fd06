#include "gateway/text/messages.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/status.h"
#include "gateway/text/message_content.h"

namespace quire::gateway {
namespace {

using nlohmann::ordered_json;

constexpr int kMaxArgumentsDepth = 32;
constexpr size_t kMaxArgumentsKeys = 4096;

absl::Status FieldError(const std::string& field, std::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", Absl(problem)));
}

// content: null -> "", parts -> their text joined.
absl::Status NormalizeContent(const std::string& field, ordered_json& content) {
  std::string text;
  if (!content.is_null()) {
    if (const auto problem = TextOfContent(content, text)) {
      return FieldError(field + problem->path, problem->message);
    }
  }
  content = std::move(text);
  return absl::OkStatus();
}

// Written as text (OpenAI), wanted as an object (templates).
absl::Status NormalizeArguments(const std::string& field, ordered_json& arguments) {
  if (!arguments.is_string()) return absl::OkStatus();
  const std::string text = arguments.get<std::string>();
  if (text.empty()) {
    arguments = ordered_json::object();
    return absl::OkStatus();
  }
  bool within_limits = true;
  size_t keys = 0;  // an ordered object looks through all its keys for each new one
  const auto check = [&](int depth, ordered_json::parse_event_t event, ordered_json&) {
    if (event == ordered_json::parse_event_t::key) ++keys;
    within_limits = within_limits && depth <= kMaxArgumentsDepth && keys <= kMaxArgumentsKeys;
    return within_limits;
  };
  ordered_json parsed = ordered_json::parse(text, check, /*allow_exceptions=*/false);
  if (!within_limits) return FieldError(field, "is nested too deeply or has too many keys");
  if (!parsed.is_object()) return FieldError(field, "must be a JSON object, written as a string");
  arguments = std::move(parsed);
  return absl::OkStatus();
}

absl::Status NormalizeToolCalls(const std::string& field, ordered_json& tool_calls) {
  if (!tool_calls.is_array()) return FieldError(field, "must be an array");
  for (size_t i = 0; i < tool_calls.size(); ++i) {
    const std::string call_field = absl::StrCat(field, ".", i);
    if (!tool_calls[i].is_object()) return FieldError(call_field, "must be an object");
    const auto function = tool_calls[i].find("function");
    if (function == tool_calls[i].end() || !function->is_object()) {
      return FieldError(call_field + ".function", "must be an object");
    }
    const auto arguments = function->find("arguments");
    if (arguments == function->end()) continue;
    QUIRE_RETURN_IF_ERROR(NormalizeArguments(call_field + ".function.arguments", *arguments));
  }
  return absl::OkStatus();
}

absl::Status NormalizeMessage(const std::string& field, ordered_json& message) {
  if (!message.is_object()) return FieldError(field, "must be an object");
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string()) return FieldError(field + ".role", "must be a string");
  *role = PlainRole(role->get_ref<const std::string&>());
  QUIRE_RETURN_IF_ERROR(NormalizeContent(field + ".content", message["content"]));
  const auto tool_calls = message.find("tool_calls");
  if (tool_calls == message.end()) return absl::OkStatus();
  // Templates ask whether the key is there, so that an empty one must not be.
  if (tool_calls->is_null() || tool_calls->empty()) {
    message.erase(tool_calls);
    return absl::OkStatus();
  }
  return NormalizeToolCalls(field + ".tool_calls", *tool_calls);
}

}  // namespace

absl::StatusOr<ordered_json> NormalizeMessages(const ordered_json& messages) {
  if (!messages.is_array()) return FieldError("messages", "must be an array");
  ordered_json normal = messages;
  for (size_t i = 0; i < normal.size(); ++i) {
    QUIRE_RETURN_IF_ERROR(NormalizeMessage(absl::StrCat("messages.", i), normal[i]));
  }
  return normal;
}

}  // namespace quire::gateway
