#include "gateway/text/chat_template.h"

#include <nlohmann/json.hpp>

#include "base/core/clock.h"
#include "base/core/status.h"
#include "gateway/text/config_files.h"
#include "gateway/text/jinja/interpreter.h"
#include "gateway/text/jinja/parser.h"

namespace quire::gateway {

struct ChatTemplate::Impl {
  jinja::Body body;
  std::optional<jinja::Body> tool_body;  // for requests with tools, where the checkpoint has two templates
  jinja::Scope special_tokens;
};

namespace {

using nlohmann::ordered_json;

absl::Status AddVariable(const std::string& name, const ordered_json& json, jinja::Scope& scope) {
  QUIRE_ASSIGN_OR_RETURN(scope[name], jinja::Value::FromJson(json, Origin::kUser));
  return absl::OkStatus();
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;

absl::StatusOr<std::unique_ptr<const ChatTemplate>> ChatTemplate::Parse(
    std::string_view tokenizer_config_json, std::optional<std::string_view> chat_template_jinja) {
  QUIRE_ASSIGN_OR_RETURN(TokenizerConfig config, ParseTokenizerConfig(tokenizer_config_json));
  if (chat_template_jinja) {
    config.chat_template = std::string(*chat_template_jinja);
    config.tool_template.reset();
  }
  if (!config.chat_template) return absl::NotFoundError("the checkpoint has no chat template");
  auto impl = std::make_unique<Impl>();
  QUIRE_ASSIGN_OR_RETURN(impl->body, jinja::ParseTemplate(*config.chat_template));
  if (config.tool_template) {
    QUIRE_ASSIGN_OR_RETURN(impl->tool_body, jinja::ParseTemplate(*config.tool_template));
  }
  if (config.bos_token) impl->special_tokens["bos_token"] = jinja::Value::TemplateText(*config.bos_token);
  if (config.eos_token) impl->special_tokens["eos_token"] = jinja::Value::TemplateText(*config.eos_token);
  return std::unique_ptr<const ChatTemplate>(new ChatTemplate(std::move(impl)));
}

absl::StatusOr<OriginText> ChatTemplate::Render(const ordered_json& messages, const ordered_json& tools,
                                                bool add_generation_prompt, const ordered_json& extra) const {
  jinja::Scope globals = impl_->special_tokens;
  QUIRE_RETURN_IF_ERROR(AddVariable("messages", messages, globals));
  QUIRE_RETURN_IF_ERROR(AddVariable("tools", tools, globals));
  globals["documents"] = jinja::None{};
  globals["add_generation_prompt"] = jinja::Value(add_generation_prompt);
  if (extra.is_object()) {
    for (const auto& [name, value] : extra.items()) QUIRE_RETURN_IF_ERROR(AddVariable(name, value, globals));
  }
  const jinja::Body& body = impl_->tool_body && !tools.empty() ? *impl_->tool_body : impl_->body;
  return jinja::Interpreter(std::move(globals), SystemClock().UnixMs() / 1000).Run(body);
}

}  // namespace quire::gateway
