// Any bytes as the body of a chat request: it parses or is refused with a sentence, and what parses is in
// bounds.
#include <cstdlib>

#include "gateway/api/chat_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quire::gateway;
  auto result = ParseChatRequest({reinterpret_cast<const char*>(data), size});
  if (const auto* error = std::get_if<ApiError>(&result)) {
    if (error->message.empty()) std::abort();
    return 0;
  }
  const auto& request = std::get<ChatRequest>(result);
  if (request.model.empty() || request.turns.empty() || request.stop.size() > 16) std::abort();
  CheckTokenIds(request, 100);
  return 0;
}
