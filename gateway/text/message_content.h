// What OpenAI's messages write in several ways and chat templates take in one: a content as text parts, the
// role developer. The one place that knows, for the API's parser and for the templates' messages. Header
// only, for any JSON of nlohmann's; pure, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quire::gateway {

inline std::string_view PlainRole(std::string_view role) { return role == "developer" ? "system" : role; }

struct ContentProblem {
  std::string path;     // below the content, as ".1.type"; empty: the content itself
  std::string message;  // what to do
};

// Puts the text of a message's `content` into `text`: a string as it is, the text parts of a list joined.
template <typename Json>
std::optional<ContentProblem> TextOfContent(const Json& content, std::string& text) {
  if (content.is_string()) {
    text = content.template get_ref<const std::string&>();
    return std::nullopt;
  }
  if (!content.is_array()) return ContentProblem{"", "give a string or a list of text parts"};
  for (size_t i = 0; i < content.size(); ++i) {
    const Json& part = content[i];
    std::string path = ".";
    path += std::to_string(i);
    if (!part.is_object()) {
      return ContentProblem{path, "give an object, as {\"type\": \"text\", \"text\": \"...\"}"};
    }
    const auto type = part.find("type"), found = part.find("text");
    if (type == part.end() || *type != "text") {
      return ContentProblem{path + ".type", "this model reads text only: give parts of type \"text\""};
    }
    if (found == part.end() || !found->is_string()) return ContentProblem{path + ".text", "give a string"};
    text += found->template get_ref<const std::string&>();
  }
  return std::nullopt;
}

}  // namespace quire::gateway
