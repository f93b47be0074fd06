#include "gateway/api/models/model_capabilities.h"

namespace quire::gateway {

ModelCapabilities CapabilitiesOf(const TextModel& text) {
  ModelCapabilities can;
  can.chat = text.chat_template() != nullptr;
  can.reasoning = text.think_start_id().has_value() && text.think_end_id().has_value();
  can.tools = text.tool_form() != ToolForm::kNone;
  return can;
}

}  // namespace quire::gateway
