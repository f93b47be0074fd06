// What can be asked of a model, by its own files: as every list of models says it. Pure; any thread.
#pragma once

#include "gateway/text/text_model.h"

namespace quire::gateway {

struct ModelCapabilities {
  bool chat = false;
  bool completions = true;
  bool reasoning = false;
  bool tools = false;
  bool json = true;  // a grammar holds any model to it
};

ModelCapabilities CapabilitiesOf(const TextModel& text);

}  // namespace quire::gateway
