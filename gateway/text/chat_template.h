// The checkpoint's chat template (Jinja), rendered as Hugging Face does: trim_blocks and lstrip_blocks on,
// its tojson. Owned by TextModel; immutable after Parse, so any thread may call Render. Always: every byte of
// the result carries its origin (template literal, or value from the request), and a render is bounded in
// depth, steps and bytes.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "gateway/text/origin_text.h"

namespace quire::gateway {

class ChatTemplate {
 public:
  // chat_template.jinja wins over tokenizer_config.json's chat_template (a string, or a list of named ones of
  // which "default" is taken, and "tool_use" for requests with tools); NOT_FOUND if neither has one.
  static absl::StatusOr<std::unique_ptr<const ChatTemplate>> Parse(
      std::string_view tokenizer_config_json, std::optional<std::string_view> chat_template_jinja);
  ~ChatTemplate();

  // `messages`: objects with `role` and, as text, `content`. `tools`: an array, or null for none. `extra`: an
  // object of further variables (chat_template_kwargs that the gateway allows), or null. INVALID_ARGUMENT
  // with the template's own message where it raises one.
  absl::StatusOr<OriginText> Render(const nlohmann::ordered_json& messages,
                                    const nlohmann::ordered_json& tools, bool add_generation_prompt,
                                    const nlohmann::ordered_json& extra) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace quire::gateway
